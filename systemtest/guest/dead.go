//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"postern/systemtest/gpio/plan"
)

// lock is a lock whose line has to be at rest when the daemon is dead.
type lock struct {
	what, config, line string
	// rest is the line's level that on_panel_dead asks for.
	rest bool
	// stray has the running daemon drive the line to the other level.
	stray func(*bench) error
}

func locks() []lock {
	unlock := func(t *bench) error {
		return errors.Join(t.rest(), t.panel.client.Unlock(context.Background(), "main"))
	}
	return []lock{
		{what: "strike, locked when dead", config: plan.Strike, line: lineStrike, rest: false, stray: unlock},
		{what: "strike on an active-low relay, locked when dead", config: plan.ActiveLow, line: lineStrike, rest: true, stray: unlock},
		{what: "maglock, released when dead", config: plan.Maglock, line: lineMaglock, rest: false, stray: (*bench).quiet},
	}
}

// dead checks that each lock is at rest after the daemon's death, on a chip that
// keeps a line's level when nobody holds it, and how it gets there again.
func (t *bench) dead() error {
	if err := t.chip.keepLevels(true); err != nil {
		return err
	}
	for _, l := range locks() {
		// The resistor that the wiring tables ask for.
		if err := t.chip.pull(l.line, l.rest); err != nil {
			return err
		}
		for _, end := range []struct {
			what string
			how  func(lock) (string, error)
		}{{"kill -9", t.killed}, {"a hang", t.hung}, {"exit", t.exited}} {
			t.check(fmt.Sprintf("%s: at rest after %s", l.what, end.what), func() (string, error) {
				return t.lifetime(l, end.how)
			})
		}
	}
	if err := t.chip.keepLevels(false); err != nil {
		return err
	}
	for _, l := range locks() {
		if err := t.chip.pull(l.line, l.rest); err != nil {
			return err
		}
		t.check(l.what+": on a chip that lets go, the resistor alone puts it at rest after kill -9", func() (string, error) {
			return t.lifetime(l, t.letGo)
		})
	}
	return nil
}

// lifetime starts the daemon, has it drive the line away from rest, and ends it.
func (t *bench) lifetime(l lock, end func(lock) (string, error)) (seen string, err error) {
	levels, err := t.chip.traced(l.line, func() (err error) {
		t.panel, err = startPanel(l.config)
		return err
	})
	if t.panel == nil {
		return "", err
	}
	defer func() {
		t.panel.stop()
		_ = t.panel.cmd.Process.Kill() // ended already, if all went well
		<-t.panel.gone
		t.panel = nil
	}()
	if err != nil {
		return "", err
	}
	if len(levels) > 0 && levels[0] != l.rest {
		return "", fmt.Errorf("the first that the start drove was %s", levelName(levels[0]))
	}
	// Linked is up whole: the link waits for the store, which is checked after a
	// crash.
	if err := errors.Join(t.panel.linked(), l.stray(t), t.chip.want(l.line, !l.rest, soon)); err != nil {
		return "", fmt.Errorf("away from rest: %w", err)
	}
	seen, err = end(l)
	if err != nil {
		t.panel.tellLog()
	}
	return seen, err
}

// putAtRest runs relay-rest as the unit does, and checks what it drove.
func (t *bench) putAtRest(l lock) (took time.Duration, err error) {
	began := time.Now()
	var said string
	levels, err := t.chip.traced(l.line, func() (err error) {
		said, err = t.panel.relayRest()
		return err
	})
	took = time.Since(began)
	if err != nil {
		return took, fmt.Errorf("relay-rest: %w: %s", err, said)
	}
	for _, level := range levels {
		if level != l.rest {
			return took, fmt.Errorf("relay-rest drove %s to %s", l.line, levelName(level))
		}
	}
	return took, t.chip.stays(l.line, l.rest, 100*time.Millisecond)
}

func (t *bench) killed(l lock) (string, error) {
	if err := t.panel.kill(syscall.SIGKILL); err != nil {
		return "", err
	}
	if err := t.chip.stays(l.line, !l.rest, 50*time.Millisecond); err != nil {
		return "", fmt.Errorf("this chip should have kept the level: %w", err)
	}
	took, err := t.putAtRest(l)
	return fmt.Sprintf("kept %s until relay-rest, which took %.0f ms", levelName(!l.rest), ms(took)), err
}

// hung stops the daemon, and does what systemd's watchdog does then.
func (t *bench) hung(l lock) (string, error) {
	if err := t.panel.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	if err := t.chip.stays(l.line, !l.rest, time.Second); err != nil {
		return "", fmt.Errorf("a hung daemon let go of the line: %w", err)
	}
	if err := t.panel.kill(syscall.SIGKILL); err != nil {
		return "", err
	}
	took, err := t.putAtRest(l)
	return fmt.Sprintf("%s while it hung; relay-rest took %.0f ms", levelName(!l.rest), ms(took)), err
}

func (t *bench) exited(l lock) (string, error) {
	began := time.Now()
	if err := t.panel.kill(syscall.SIGTERM); err != nil {
		return "", err
	}
	took := time.Since(began)
	if t.panel.err != nil {
		return "", fmt.Errorf("it ended with %w", t.panel.err)
	}
	if err := t.chip.stays(l.line, l.rest, 50*time.Millisecond); err != nil {
		return "", fmt.Errorf("before relay-rest: %w", err)
	}
	_, err := t.putAtRest(l)
	return fmt.Sprintf("by the daemon itself, gone after %.0f ms", ms(took)), err
}

// letGo checks what the kernel does by itself.
func (t *bench) letGo(l lock) (string, error) {
	if err := t.panel.kill(syscall.SIGKILL); err != nil {
		return "", err
	}
	return levelName(l.rest) + " at once", t.chip.stays(l.line, l.rest, 50*time.Millisecond)
}
