//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"postern/access"
	"postern/systemtest/gpio/plan"
)

// The lines of the panel with the maglock, as shipped.
const (
	lineMaglock  = "GPIO24"
	lineStore    = "GPIO21"
	lineStoreTop = "GPIO18"
	lineFire     = "GPIO23"
	lineLockdown = "GPIO9"
	lineLamp     = "GPIO10"
	// doorMaglock is the door that has the maglock.
	doorMaglock = "entrance"
)

// fire checks the panel with a maglock, a fire relay, a lockdown button and a
// lamp.
func (t *bench) fire() error {
	note("the panel of %s", plan.Maglock)
	p, err := startPanel(plan.Maglock)
	if err != nil {
		return err
	}
	t.panel = p
	t.check("fire relay's wire cut at the start: the maglock is released, the strike is not", func() (string, error) {
		// Each of the two doors drives its lock before it tells; the event may be the
		// other one's.
		err := p.journal(access.FireAlarm, soon)
		return "event 311", errors.Join(err, t.chip.want(lineMaglock, false, soon), t.chip.stays(lineMaglock, false, time.Second), t.chip.stays(lineStore, false, time.Second))
	})
	t.check("no fire: the maglock holds", func() (string, error) {
		if err := t.quiet(); err != nil {
			return "", err
		}
		_, err := p.event(access.FireCleared, soon)
		return "event 312", errors.Join(err, t.chip.want(lineMaglock, true, soon))
	})
	t.check("lockdown button: a remote unlock is refused, REX releases", t.lockdown)
	t.check("fire during lockdown: the maglock is released", t.fireInLockdown)
	t.check("auxiliary output follows what is asked for", func() (string, error) {
		ctx := context.Background()
		return "on and off", errors.Join(
			p.client.SetOutput(ctx, "lamp", true), t.chip.want(lineLamp, true, soon),
			p.client.SetOutput(ctx, "lamp", false), t.chip.want(lineLamp, false, soon),
		)
	})
	err = p.kill(syscall.SIGTERM)
	t.panel = nil
	return err
}

// quiet is a closed building at rest: doors closed, no fire, no button pressed.
func (t *bench) quiet() error {
	return errors.Join(
		t.chip.pull(lineContact, false), t.chip.pull(lineStoreTop, false), t.chip.pull(lineREX, true),
		t.chip.pull(lineFire, false), t.chip.pull(lineLockdown, true),
	)
}

func (t *bench) lockdown() (string, error) {
	ctx := context.Background()
	if err := t.chip.pull(lineLockdown, false); err != nil {
		return "", err
	}
	if _, err := t.panel.eventOf(doorMaglock, access.DoorLockedDown, soon); err != nil {
		return "", err
	}
	if err := t.panel.client.Unlock(ctx, doorMaglock); err == nil {
		return "", errors.New("a locked-down door was unlocked")
	}
	err := errors.Join(
		t.chip.stays(lineMaglock, true, 200*time.Millisecond),
		t.chip.pull(lineREX, false), t.chip.want(lineMaglock, false, soon),
		t.chip.pull(lineREX, true), t.chip.want(lineMaglock, true, 10*time.Second),
	)
	return "event 318, REX released", err
}

func (t *bench) fireInLockdown() (string, error) {
	if err := t.chip.pull(lineFire, true); err != nil {
		return "", err
	}
	began := time.Now()
	err := t.chip.want(lineMaglock, false, soon)
	took := time.Since(began)
	return fmt.Sprintf("after %.0f ms", ms(took)), errors.Join(
		err, t.chip.pull(lineFire, false), t.chip.pull(lineLockdown, true), t.chip.want(lineMaglock, true, soon),
	)
}
