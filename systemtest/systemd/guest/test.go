//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/systemtest/machine"
)

// patience bounds every wait; the machine is emulated, and its host is busy.
const patience = 180 * time.Second

// testLine is the port that no login prompt disturbs.
const testLine = "/dev/ttyS1"

// stateFile keeps what the second boot compares with.
const stateFile = "/var/lib/postern-systemtest.json"

// state is what the first boot tells the second.
type state struct {
	APIKey    string
	DeviceKey []byte
	Keys      int
	Sequence  uint64
	Boot      string
}

// bench makes the checks of one boot.
type bench struct {
	out  *os.File
	last time.Duration // when the last row was made
	// kills is how often the daemon is killed at rest.
	kills int
	state
	central central
}

// test makes the checks of this boot and switches the machine off, or starts it
// again after the first.
func test() error {
	out, err := openTestLine()
	if err != nil {
		return err
	}
	defer out.Close()
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	b := &bench{out: out, last: now(), kills: number(string(cmdline), "postern.kills=")}
	b.say("BOOT", fmt.Sprintf("%.1f s to the tests", now().Seconds()))
	next := "reboot"
	if number(string(cmdline), "postern.boot=") == 2 {
		next = "poweroff"
		err = b.secondBoot()
	} else {
		err = b.firstBoot()
	}
	if err != nil {
		b.say("FATAL", err.Error())
		next = "poweroff"
	} else {
		b.say("END", "")
	}
	_, err = command("systemctl", "--no-block", next)
	return err
}

// openTestLine opens the port for whole lines, as they are.
func openTestLine() (*os.File, error) {
	f, err := os.OpenFile(testLine, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", testLine, err), f.Close())
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", testLine, err), f.Close())
	}
	return f, nil
}

func (b *bench) say(word, text string) {
	text = strings.Join(strings.Fields(text), " ")
	_, _ = fmt.Fprintln(b.out, strings.TrimSpace(word+" "+text)) // the host sees a silent machine
}

// row tells what a check came to.
func (b *bench) row(ok bool, check, result, detail string) {
	t := now()
	line, _ := json.Marshal(machine.Row{Part: "systemd", Check: check, Result: result, Detail: detail, OK: ok, Took: t - b.last})
	b.last = t
	b.say("ROW", string(line))
}

func (b *bench) save() error {
	raw, err := json.Marshal(b.state)
	if err != nil {
		return err
	}
	return write(stateFile, string(raw))
}

func (b *bench) load() error {
	raw, err := os.ReadFile(stateFile)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, &b.state)
}

// write makes a file that the next boot finds.
func write(name, text string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && strings.HasPrefix(name, "/var") {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// seconds prints a time of the guest.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// number reads a number from the kernel's command line, 0 when it is not there.
func number(cmdline, name string) int {
	for word := range strings.FieldsSeq(cmdline) {
		if text, ok := strings.CutPrefix(word, name); ok {
			n, _ := strconv.Atoi(text)
			return n
		}
	}
	return 0
}
