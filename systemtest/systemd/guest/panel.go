//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/access"
	"postern/api"
)

// lineStrike is the strike's output of the shipped configurations.
const lineStrike = 24

// cardBits is a card at a 32-bit reader, and cardID how a key names it.
const (
	cardBits = "01011010101001010001001000110100"
	cardID   = "MC:0x5AA51234"
)

// lines runs the postern command and decodes its lines.
func lines[T any](args ...string) ([]T, error) {
	out, err := command("/usr/bin/postern", append([]string{"--json"}, args...)...)
	if err != nil {
		return nil, err
	}
	var all []T
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			return nil, fmt.Errorf("postern %v said %q: %w", args, line, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// journal returns the panel's own journal, oldest first.
func journal() ([]api.Event, error) { return lines[api.Event]("events", "--limit", "1000") }

// keys returns the panel's keys.
func keys() ([]api.Key, error) { return lines[api.Key]("keys", "list") }

// storeOpen waits until the panel has its store: it is ready before, since
// exit buttons need none.
func storeOpen() error {
	return eventually(patience, func() error { _, err := keys(); return err })
}

// badge presents the card and types keys, and waits for the panel's decision. A
// frame that the busy host tore is sent again: a late bit is the sender's fault.
func badge(typed string) (api.Event, error) {
	const (
		tries  = 4
		latest = 15 * time.Millisecond // well below the silence that ends a frame
	)
	frames := append([]string{cardBits}, keypad4(typed)...)
	for try := 1; ; try++ {
		before, err := journal()
		if err != nil {
			return api.Event{}, err
		}
		out, err := command("/proc/self/exe", append([]string{"send"}, frames...)...)
		if err != nil {
			return api.Event{}, err
		}
		var s sent
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return api.Event{}, fmt.Errorf("the sender said %q: %w", out, err)
		}
		e, err := decision(before)
		if err == nil && e.Type == access.GrantedCardPIN || s.Late < latest || try == tries {
			return e, err
		}
	}
}

// decision waits for the first access event that is not among those before.
func decision(before []api.Event) (api.Event, error) {
	var last uint64
	if n := len(before); n > 0 {
		last = before[n-1].Seq
	}
	var found api.Event
	err := eventually(15*time.Second, func() error {
		all, err := journal()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(e api.Event) bool { return e.Seq > last && e.Type < 300 })
		if i < 0 {
			return fmt.Errorf("no decision among %d events", len(all))
		}
		found = all[i]
		return nil
	})
	return found, err
}

// pull sets a simulated line, as a contact or a button does.
func pull(number int, how string) error {
	file, err := lineFile(number, "pull")
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(how), 0)
}

// kill sends a signal to a process.
func kill(pid int, signal unix.Signal) error {
	if pid <= 1 {
		return errors.New("the unit has no main process")
	}
	return unix.Kill(pid, signal)
}
