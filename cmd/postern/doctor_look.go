package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/api"
	"postern/config"
)

// examiner looks at the machine. Its parts are replaced in tests.
type examiner struct {
	config    string
	root      string // before /sys and /dev
	now       func() time.Time
	statfs    func(path string) (space, error)
	systemctl func(ctx context.Context, args ...string) string // "" when it can't tell

	found []finding
}

// space is what a file system has.
type space struct {
	free, size uint64 // bytes
	inodes     uint64 // free
	readOnly   bool
}

// What is little.
const (
	littleSpace  = 64 << 20 // bytes
	littleInodes = 1000
)

func now() time.Time { return time.Now() }

// systemctl asks systemd.
func systemctl(ctx context.Context, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "systemctl", args...).Output() // is-enabled exits with 1 for "disabled"
	return strings.TrimSpace(string(out))
}

func (x *examiner) add(topic, state, name, what, do string) {
	x.found = append(x.found, finding{topic, state, name, what, do})
}

func (x *examiner) ok(topic, format string, args ...any) {
	x.add(topic, stateOK, "", fmt.Sprintf(format, args...), "")
}

func (x *examiner) advice(topic, name, what, do string) { x.add(topic, stateAdvice, name, what, do) }
func (x *examiner) wrong(topic, name, what, do string)  { x.add(topic, stateWrong, name, what, do) }

// configuration reads the file as it is now, which the daemon may not have read yet.
func (x *examiner) configuration() *config.Config {
	cfg, faults, err := config.Load(x.config)
	switch {
	case errors.Is(err, fs.ErrPermission):
		x.advice("configuration", "configuration-unreadable", "The configuration can't be read: "+err.Error(), "Run postern doctor as root.")
		return nil
	case err != nil:
		x.wrong("configuration", "configuration-missing", "The configuration can't be read: "+err.Error(), "Copy an example from /usr/share/postern/firmware-config/examples to it, and change what is yours.")
		return nil
	case len(faults) > 0:
		x.wrong("configuration", "configuration-faulty", fmt.Sprintf("The configuration has %s, the first: %s", count(len(faults), "fault"), faults[0]),
			"Run posternd check --config "+x.config+", mend the file, then systemctl reload posternd.")
		return nil
	}
	x.ok("configuration", "%s has no faults", x.config)
	return cfg
}

// doors looks for what a configuration may leave out and a building may not.
func (x *examiner) doors(cfg *config.Config) {
	if len(cfg.Doors) == 0 {
		x.wrong("doors", "no-doors", "The configuration has no door.", "Add a [[reader]], a [[door]] and an [[access_point]]; the examples show how.")
	}
	for _, d := range cfg.Doors {
		if d.Egress == config.EgressUnsaid {
			x.advice("doors", "egress-unsaid", fmt.Sprintf("Door %s does not say how people get out without this panel.", d.ID),
				`Prove it with the panel off, then set egress = "mechanical" or "hardwired".`)
		}
	}
}

// certificates looks at what the daemon says of those that it uses, and at the
// files that the configuration names and the daemon, or one that is down, does not
// speak of. Those that come as credentials of systemd only the daemon can see.
func (x *examiner) certificates(cfg *config.Config, told []api.Certificate) {
	for _, c := range told {
		x.certificate(c)
	}
	for _, file := range []string{cfg.MQTT.CAFile, cfg.MQTT.CertFile} {
		if file == "" || slices.ContainsFunc(told, func(c api.Certificate) bool { return !c.Credential && c.File == file }) {
			continue
		}
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrPermission) {
			x.advice("certificates", "certificate-unreadable", err.Error(), "Run postern doctor as root.")
			continue
		}
		c := api.Certificate{File: file}
		if err == nil {
			var read api.Certificate
			err = read.Read(data)
			c.NotBefore, c.NotAfter = read.NotBefore, read.NotAfter
		}
		if err != nil {
			c.Error = err.Error()
		}
		x.certificate(c)
	}
}

func (x *examiner) certificate(c api.Certificate) {
	name := c.Where()
	if len(c.Names) > 0 {
		name += " (" + strings.Join(c.Names, ", ") + ")"
	}
	switch state, what, do := c.State(x.now()); state {
	case api.CertificateFaulty:
		x.wrong("certificates", "certificate-faulty", name+" "+what, do)
	case api.CertificateExpired:
		x.wrong("certificates", "certificate-expired", name+" "+what+".", do)
	case api.CertificateNotYet:
		x.wrong("certificates", "certificate-not-yet", name+" "+what+".", do)
	case api.CertificateExpiring:
		x.advice("certificates", "certificate-expiring", name+" "+what+".", do)
	default:
		x.ok("certificates", "%s is good until %s", name, c.NotAfter.UTC().Format(time.DateOnly))
	}
}

// disk looks at where the daemon keeps its data.
func (x *examiner) disk(dir string) {
	s, err := x.statfs(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		x.advice("disk", "disk-unreadable", err.Error(), "Run postern doctor as root.")
		return
	case err != nil:
		x.wrong("disk", "disk-unreadable", fmt.Sprintf("%s can't be looked at: %v", dir, err), "The daemon makes the folder when it starts: see whether it does.")
		return
	case s.readOnly:
		x.wrong("disk", "card-read-only", "The SD card can't be written: known keys open, but changes and events are not kept.", "Replace the SD card.")
		return
	case s.free < littleSpace || s.inodes < littleInodes:
		x.wrong("disk", "disk-full", fmt.Sprintf("%d MB and %d files are free in %s.", s.free>>20, s.inodes, dir), "Make room: journalctl --vacuum-size=50M, apt-get clean; or fit a larger SD card.")
	default:
		x.ok("disk", "%d MB of %d MB free", s.free>>20, s.size>>20)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.bad-*")); len(aside) > 0 {
		x.advice("store", "store-damaged", fmt.Sprintf("%s put aside, the latest as %s.", count(len(aside), "damaged file"), aside[len(aside)-1]),
			"Keys come back from central by themselves. If this happens again, replace the SD card.")
	}
}

// fileSystem asks the kernel how the card is.
func (x *examiner) fileSystem() {
	for _, file := range x.glob("sys/fs/ext4/*/errors_count") {
		if n := x.number(file); n > 0 {
			x.wrong("disk", "file-system-errors", fmt.Sprintf("The file system of %s has met %s.", filepath.Base(filepath.Dir(file)), count(n, "error")),
				"Make a backup (postern backup), then replace the SD card.")
		}
	}
	for _, file := range x.glob("sys/block/mmcblk*/device/pre_eol_info") {
		if n := x.number(file); n > 1 {
			x.wrong("disk", "card-worn", "The flash memory says that it is worn out.", "Make a backup (postern backup), then replace it.")
		}
	}
}

// board looks at clock, watchdog, supply and lines of the machine.
func (x *examiner) board() {
	if len(x.glob("sys/class/rtc/rtc*")) == 0 {
		x.advice("clock", "no-rtc", "There is no real-time clock: after a start without network, expired keys can't be told from valid ones.",
			"Fit one (a DS3231 at pins 1, 3, 5 and 6) and add its overlay; see install.md.")
	}
	if len(x.glob("dev/watchdog0")) == 0 {
		x.advice("watchdog", "no-watchdog", "There is no hardware watchdog: a machine that hangs stays so.", "Add dtparam=watchdog=on to config.txt; see install.md.")
	}
	if len(x.glob("dev/gpiochip*")) == 0 {
		x.wrong("board", "no-gpio", "There is no GPIO chip in /dev.", "See whether this is a panel, and dmesg | grep -i gpio.")
	}
	for _, file := range x.glob("sys/module/pinctrl_*/parameters/persist_gpio_outputs") {
		if x.text(file) == "Y" {
			x.wrong("board", "outputs-persist", "Outputs of a dead program keep their level: a released lock would stay released.",
				"Add dtparam=strict_gpiod to config.txt and start anew; see install.md.")
		}
	}
	for _, file := range x.glob("sys/devices/platform/soc/soc:firmware/get_throttled") {
		bits, err := strconv.ParseUint(x.text(file), 16, 64)
		switch {
		case err != nil:
		case bits&1 != 0:
			x.wrong("supply", "under-voltage", "The Pi's supply is too weak now.", "Fit a supply for the Pi alone, 5.1 V, and thick, short wires; never the lock's.")
		case bits&(1<<16) != 0:
			x.advice("supply", "under-voltage", "The Pi's supply has been too weak since the start.", "Fit a supply for the Pi alone, 5.1 V, and thick, short wires; never the lock's.")
		}
	}
}

// service asks systemd about the unit.
func (x *examiner) service(ctx context.Context) {
	if state := x.systemctl(ctx, "is-enabled", "posternd.service"); state == "disabled" || state == "masked" {
		x.wrong("daemon", "not-enabled", "The daemon is "+state+": it does not start with the machine.", "systemctl unmask posternd; systemctl enable posternd")
	}
	if value, ok := strings.CutPrefix(x.systemctl(ctx, "show", "-p", "RuntimeWatchdogUSec"), "RuntimeWatchdogUSec="); ok && (value == "0" || value == "infinity") {
		x.advice("watchdog", "watchdog-off", "systemd does not feed the hardware watchdog, so that it is off.",
			"Set RuntimeWatchdogSec=15s in /etc/systemd/system.conf.d/watchdog.conf, and start anew.")
	}
}

func (x *examiner) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(x.root, pattern))
	return found
}

func (x *examiner) text(file string) string {
	data, _ := os.ReadFile(file)
	return strings.TrimSpace(string(data))
}

// number reads a file with a number, decimal or with 0x; 0 for anything else.
func (x *examiner) number(file string) int {
	n, _ := strconv.ParseInt(x.text(file), 0, 32)
	return int(n)
}
