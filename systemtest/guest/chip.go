//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	configfs = "/sys/kernel/config"
	// label is that of a Raspberry Pi 4's chip, so that lines can be named by it
	// and their numbers too.
	label = "pinctrl-bcm2711"
	// headerLines are GPIO0 to GPIO27 of the Pi's header.
	headerLines = 28
)

// chip is a gpio-sim chip with the lines of a Raspberry Pi's header. Its outside
// is in sysfs: what pulls a line, and which value a line has.
type chip struct{ dir string }

func newChip() (*chip, error) {
	top := configfs + "/gpio-sim/pi"
	bank := top + "/bank0"
	set := func(path, value string) error { return os.WriteFile(path, []byte(value), 0o644) }
	err := errors.Join(
		os.MkdirAll(bank, 0o755),
		set(bank+"/num_lines", fmt.Sprint(headerLines)),
		set(bank+"/label", label),
	)
	for n := range headerLines {
		dir := fmt.Sprintf("%s/line%d", bank, n)
		err = errors.Join(err, os.Mkdir(dir, 0o755), set(dir+"/name", fmt.Sprintf("GPIO%d", n)))
	}
	if err := errors.Join(err, set(top+"/live", "1")); err != nil {
		return nil, fmt.Errorf("make the GPIO chip: %w", err)
	}
	device, err := os.ReadFile(top + "/dev_name")
	if err != nil {
		return nil, err
	}
	name, err := os.ReadFile(bank + "/chip_name")
	if err != nil {
		return nil, err
	}
	return &chip{dir: filepath.Join("/sys/devices/platform", strings.TrimSpace(string(device)), strings.TrimSpace(string(name)))}, nil
}

// keepLevels has a line that nobody holds keep its level, as on a Raspberry Pi
// whose firmware does not let go of lines strictly; otherwise it goes to its pull.
func (c *chip) keepLevels(keep bool) error {
	value := "N"
	if keep {
		value = "Y"
	}
	return os.WriteFile("/sys/module/gpio_sim/parameters/keep_levels", []byte(value), 0o644)
}

// file is a line's attribute, "pull" or "value". A line is a name such as
// "GPIO17".
func (c *chip) file(line, attribute string) string {
	return fmt.Sprintf("%s/sim_gpio%s/%s", c.dir, strings.TrimPrefix(line, "GPIO"), attribute)
}

// pull moves a line from outside.
func (c *chip) pull(line string, high bool) error {
	value := "pull-down"
	if high {
		value = "pull-up"
	}
	return os.WriteFile(c.file(line, "pull"), []byte(value), 0o644)
}

// level is a line's level now, whoever drives it.
func (c *chip) level(line string) (high bool, err error) {
	raw, err := os.ReadFile(c.file(line, "value"))
	return strings.TrimSpace(string(raw)) == "1", err
}

// want waits until a line has a level.
func (c *chip) want(line string, high bool, limit time.Duration) error {
	return until(limit, func() error {
		now, err := c.level(line)
		if err == nil && now != high {
			err = fmt.Errorf("%s is %s", line, levelName(now))
		}
		return err
	})
}

// stays fails when a line leaves a level within a time.
func (c *chip) stays(line string, high bool, during time.Duration) error {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now, err := c.level(line); err != nil || now != high {
			return errors.Join(err, fmt.Errorf("%s did not stay %s", line, levelName(high)))
		}
	}
	return nil
}

func levelName(high bool) string {
	if high {
		return "high"
	}
	return "low"
}
