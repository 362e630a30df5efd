//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

const tracing = "/sys/kernel/tracing"

// traced has the kernel write down each time that it drives a line while f runs,
// and gives the levels in their order. What lasts too short to be seen from
// outside is there too.
func (c *chip) traced(line string, f func() error) (levels []bool, err error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	offset, err := strconv.Atoi(strings.TrimPrefix(line, "GPIO"))
	if err != nil {
		return nil, err
	}
	enable := tracing + "/events/gpio/gpio_value/enable"
	if err := errors.Join(os.WriteFile(tracing+"/trace", nil, 0o644), os.WriteFile(enable, []byte("1"), 0o644)); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	err = f()
	raw, readErr := os.ReadFile(tracing + "/trace")
	return drivenLevels(string(raw), base+offset), errors.Join(err, readErr, os.WriteFile(enable, []byte("0"), 0o644))
}

// setLine is an event of the kernel's: "gpio_value: 508 set 1".
var setLine = regexp.MustCompile(`gpio_value: (\d+) set ([01])`)

func drivenLevels(trace string, number int) (levels []bool) {
	for _, m := range setLine.FindAllStringSubmatch(trace, -1) {
		if m[1] == strconv.Itoa(number) {
			levels = append(levels, m[2] == "1")
		}
	}
	return levels
}

// base is the kernel's global number of the chip's first line, which traces have.
func (c *chip) base() (int, error) {
	raw, err := os.ReadFile("/sys/kernel/debug/gpio")
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`GPIOs (\d+)-(\d+), parent: platform/gpio-sim`).FindSubmatch(raw)
	if m == nil {
		return 0, fmt.Errorf("no simulated chip in %.200q", raw)
	}
	return strconv.Atoi(string(m[1]))
}
