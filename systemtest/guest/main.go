//go:build linux

// Command guest is the first process of a machine that has a kernel, the daemon
// and nothing else. It makes a simulated GPIO chip with the lines of a Raspberry
// Pi's header, runs posternd on it, moves the lines from outside as readers,
// doors and people do, and tells what it saw, a line each, on the console.
//
// The same program is the reader that sends pulses ("send", a process of its own
// that runs before all others) and a busy process ("burn").
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/systemtest/gpio/plan"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "send":
			send()
		case "burn":
			burn()
		}
		return
	}
	if err := run(); err != nil {
		fmt.Println(plan.FatalLine + strings.ReplaceAll(err.Error(), "\n", "; "))
	} else {
		fmt.Println(plan.DoneLine)
	}
	if os.Getpid() == 1 {
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

// burn is a process that is always busy.
func burn() {
	for x := 1.0; ; x = x*1.0000001 + 1 {
		if x > 1e300 {
			x = 1
		}
	}
}

func run() error {
	if err := mounts(); err != nil {
		return err
	}
	raw, err := os.ReadFile(plan.Path)
	if err != nil {
		return err
	}
	var p plan.Plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	if err := loadModules(p.Modules); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return err
	}
	c, err := newChip()
	if err != nil {
		return err
	}
	t := &bench{plan: p, chip: c}
	return t.all()
}

// bench has what the checks need.
type bench struct {
	plan    plan.Plan
	chip    *chip
	central *central
	sender  *sender
	panel   *panel
}

// all runs all checks. An error is a guest in which nothing more can be checked;
// a check that fails is a Result.
func (t *bench) all() (err error) {
	if t.central, err = startCentral(systemID); err != nil {
		return err
	}
	if t.sender, err = startSender(t.chip); err != nil {
		return err
	}
	for _, part := range []func() error{t.readers, t.doors, t.fire, t.dead} {
		if err := part(); err != nil {
			if t.panel != nil {
				t.panel.tellLog()
			}
			return err
		}
	}
	return nil
}

// check runs one check and tells its result. What the check returns is what was
// seen; an error makes it a failure.
func (t *bench) check(what string, f func() (seen string, err error)) {
	began := time.Now()
	seen, err := f()
	r := plan.Result{Check: what, Result: seen, OK: err == nil, Guest: time.Since(began)}
	if err != nil {
		r.Result, r.Detail = "FAILED: "+err.Error(), seen
	}
	t.tell(r)
	if err != nil && t.panel != nil {
		t.panel.tellLog()
	}
}

func (t *bench) tell(r plan.Result) {
	raw, err := json.Marshal(r)
	if err != nil {
		raw = []byte(`{"Check":"` + r.Check + `"}`)
	}
	fmt.Println(plan.ResultLine + string(raw))
}

func note(format string, args ...any) { fmt.Printf(plan.NoteLine+format+"\n", args...) }

// until asks f again and again, less often the longer it takes, until it is
// content, or gives its last complaint when the time is over.
func until(limit time.Duration, f func() error) error {
	began := time.Now()
	for {
		err := f()
		if err == nil {
			return nil
		}
		waited := time.Since(began)
		if waited > limit {
			return fmt.Errorf("after %v: %w", limit, err)
		}
		time.Sleep(2*time.Millisecond + waited/20)
	}
}
