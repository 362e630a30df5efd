//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sandbox looks at what the daemon's process really has.
func (b *bench) sandbox(u unit) error {
	proc := fmt.Sprintf("/proc/%d", u.pid())
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return err
	}
	f := fields(string(status))
	uid, gid, err := ids("posternd")
	if err != nil {
		return err
	}
	all, err := devices(proc + "/root/dev")
	if err != nil {
		return err
	}
	gpio := slices.DeleteFunc(all, func(name string) bool { return slices.Contains(pseudo, name) })
	ok := first(f["Uid"]) == fmt.Sprint(uid) && first(f["Gid"]) == fmt.Sprint(gid) && uid != 0 &&
		f["CapEff"] == "0000000000000000" && f["CapBnd"] == "0000000000000000" && f["NoNewPrivs"] == "1" && f["Seccomp"] == "2" &&
		slices.Equal(gpio, []string{"gpiochip0"})
	b.row(ok, "the daemon runs in the unit's sandbox", fmt.Sprintf("user %d, no capabilities: %v, seccomp: %v", uid, f["CapEff"] == "0000000000000000", f["Seccomp"] == "2"),
		"its devices besides the usual ones: "+strings.Join(gpio, ", ")+"; groups "+f["Groups"])
	return nil
}

// network looks at whether the drop-in that shuts the network is in force; all
// that follows happens under it.
func (b *bench) network() error {
	deny, err := command("systemctl", "show", "--value", "-p", "IPAddressDeny", service)
	if err != nil {
		return err
	}
	text, err := command("journalctl", "--boot", "--no-pager", "--output=cat")
	if err != nil {
		return err
	}
	unsupported := "" // what systemd says where the kernel can't do it
	for line := range strings.Lines(text) {
		if strings.Contains(line, "IP firewall") {
			unsupported = line
		}
	}
	deny = strings.TrimSpace(deny)
	b.row(strings.Contains(deny, "0.0.0.0/0") && strings.Contains(deny, "::/0") && unsupported == "",
		"the daemon's network is shut but for what the drop-in allows", "denied: "+deny, unsupported)
	return nil
}

// pseudo are the devices that PrivateDevices= leaves to every service.
var pseudo = []string{"full", "null", "ptmx", "random", "tty", "urandom", "zero"}

// devices returns the device files right in a folder.
func devices(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// Not e.Type(): a device that is bound over a plain file shows as that.
		info, err := os.Lstat(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if info.Mode()&os.ModeDevice != 0 {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// fields reads lines of "Name:\tvalue".
func fields(text string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			f[name] = strings.TrimSpace(value)
		}
	}
	return f
}

func first(text string) string {
	word, _, _ := strings.Cut(text, "\t")
	return word
}

// mostExposed is how exposed a unit may be by systemd's own judgement.
const mostExposed = 1.2

// security asks for systemd's own judgement of both units: 0 is the best.
func (b *bench) security() error {
	for _, name := range []string{service, "postern-central.service"} {
		out, err := command("systemd-analyze", "security", "--offline=true", "--no-pager", name)
		if err != nil {
			return err
		}
		all := strings.Split(strings.TrimSpace(out), "\n")
		last := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(all[len(all)-1]), "→"))
		_, score, _ := strings.Cut(last, ": ")
		number, word, _ := strings.Cut(score, " ")
		exposure, err := strconv.ParseFloat(number, 64)
		b.row(err == nil && exposure <= mostExposed, "systemd-analyze security "+name, number+" "+word, fmt.Sprintf("at most %.1f; 0 is the best, 10 the worst", mostExposed))
	}
	return nil
}
