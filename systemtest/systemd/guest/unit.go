//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// unit is what systemd says of a service.
type unit map[string]string

// show asks systemd (systemctl show).
func show(name string) (unit, error) {
	out, err := command("systemctl", "show", name,
		"-p", "Type", "-p", "NotifyAccess", "-p", "ActiveState", "-p", "SubState", "-p", "Result", "-p", "MainPID", "-p", "NRestarts",
		"-p", "ExecMainStartTimestampMonotonic", "-p", "ActiveEnterTimestampMonotonic", "-p", "WatchdogTimestampMonotonic")
	if err != nil {
		return nil, err
	}
	u := unit{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			u[name] = value
		}
	}
	return u, nil
}

func (u unit) number(name string) int {
	n, _ := strconv.Atoi(u[name]) // 0 for what systemd leaves empty
	return n
}

func (u unit) pid() int      { return u.number("MainPID") }
func (u unit) restarts() int { return u.number("NRestarts") }

// at returns a time of the monotonic clock.
func (u unit) at(name string) time.Duration {
	return time.Duration(u.number(name+"TimestampMonotonic")) * time.Microsecond
}

// ready reports whether a service runs; one of Type=notify has said so itself.
func (u unit) ready() bool { return u["ActiveState"] == "active" && u["SubState"] == "running" }

// waitReady waits until a service runs and has been restarted as often.
func waitReady(name string, restarts int, patience time.Duration) (unit, error) {
	var u unit
	err := eventually(patience, func() error {
		var err error
		if u, err = show(name); err != nil {
			return err
		}
		if !u.ready() || u.restarts() != restarts {
			return fmt.Errorf("%s is %s (%s), %s, restarts %d, want %d", name, u["ActiveState"], u["SubState"], u["Result"], u.restarts(), restarts)
		}
		return nil
	})
	return u, err
}

// eventually tries until ok returns nil, and returns its last error. Under
// emulation a try is dear, so they are half a second apart.
func eventually(patience time.Duration, ok func() error) error {
	deadline := now() + patience
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if now() > deadline {
			return fmt.Errorf("not within %s: %w", patience, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// command runs a program and returns its standard output.
func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}
