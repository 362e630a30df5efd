//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// chipLines is how many lines a Pi's header has, GPIO0 to GPIO27.
const chipLines = 28

// configDir is where the kernel makes simulated chips
// (Documentation/admin-guide/gpio/gpio-sim.rst).
const configDir = "/sys/kernel/config/gpio-sim/panel"

// makeChip makes a chip with the names that the shipped configuration uses, and
// gives the files of /etc/postern to those who read them: both are there before
// the daemon starts. A line that nobody holds keeps its level, as a Raspberry
// Pi's does: what puts the strike at rest then is the unit, not the kernel.
func makeChip() error {
	if err := giveFiles(); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/kernel/config/gpio-sim"); err != nil {
		// systemd may have mounted it; if not, it is mounted here.
		if err := unix.Mount("configfs", "/sys/kernel/config", "configfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount configfs: %w", err)
		}
	}
	bank := configDir + "/bank0"
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return err
	}
	var errs []error
	set := func(file, value string) { errs = append(errs, os.WriteFile(file, []byte(value), 0)) }
	set(bank+"/num_lines", strconv.Itoa(chipLines))
	for n := range chipLines {
		line := bank + "/line" + strconv.Itoa(n)
		errs = append(errs, os.Mkdir(line, 0o755))
		set(line+"/name", "GPIO"+strconv.Itoa(n))
	}
	set("/sys/module/gpio_sim/parameters/keep_levels", "Y")
	set(configDir+"/live", "1")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("make chip: %w", err)
	}
	// udev gives the device its group.
	if out, err := exec.Command("udevadm", "settle", "--timeout=60").CombinedOutput(); err != nil {
		return fmt.Errorf("udevadm settle: %w: %s", err, out)
	}
	return nil
}

// lineFile returns a file of a line's simulation, such as value or pull.
func lineFile(number int, name string) (string, error) {
	read := func(file string) string {
		b, _ := os.ReadFile(filepath.Join(configDir, file))
		return strings.TrimSpace(string(b))
	}
	path := fmt.Sprintf("/sys/devices/platform/%s/%s/sim_gpio%d/%s", read("dev_name"), read("bank0/chip_name"), number, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find the simulated line: %w", err)
	}
	return path, nil
}

// giveFiles lets the two daemons read their passwords.
func giveFiles() error {
	for file, name := range map[string]string{
		"mqtt.password": "posternd", "broker.passwords": "postern-central",
	} {
		uid, gid, err := ids(name)
		if err != nil {
			return err
		}
		path := filepath.Join("/etc/postern", file)
		if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("systemd-sysusers made no user: %w", err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(uidErr, gidErr)
}
