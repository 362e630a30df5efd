//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"postern/access"
	"postern/api"
	"postern/wiegand"
)

// The lines of the strike's panel, as shipped.
const (
	lineLED     = "GPIO22"
	lineBuzzer  = "GPIO23"
	lineStrike  = "GPIO24"
	lineContact = "GPIO25"
	lineREX     = "GPIO16"
	lineTamper  = "GPIO12"
)

// soon is how long anything may take on an idle panel.
const soon = 3 * time.Second

// doors checks the inputs and outputs of the panel with the strike, and ends it.
func (t *bench) doors() error {
	t.panel.drain(nil)
	t.check("contact: opened without a grant, forced; closed, the alarm ends", t.forced)
	t.check("REX: the strike is released", t.rex)
	t.check("reader tamper contact: told, and its end", t.tamper)
	t.check("keypad, 4-bit bursts on the data lines: a code opens", t.keypad)
	t.check("LED and buzzer: they follow a grant and a denial", t.lamp)
	t.check("data line held low: told, and its end", t.heldLow)
	t.check("lines that are held: refused, and by whom is said", t.held)
	err := t.panel.kill(syscall.SIGTERM)
	t.panel = nil
	return err
}

// shunt is how long after a grant an opening is not forced: the strike's time and
// 5 s.
const shunt = 10 * time.Second

func (t *bench) forced() (string, error) {
	time.Sleep(shunt)
	if err := t.chip.pull(lineContact, true); err != nil {
		return "", err
	}
	_, err := t.panel.event(access.DoorForced, soon)
	if err := errors.Join(err, t.chip.pull(lineContact, false)); err != nil {
		return "", err
	}
	_, err = t.panel.event(access.DoorAlarmEnded, soon)
	return "events 301, 304", err
}

func (t *bench) rex() (string, error) {
	if err := t.chip.pull(lineREX, false); err != nil {
		return "", err
	}
	began := time.Now()
	err := t.chip.want(lineStrike, true, soon)
	took := time.Since(began)
	if err := errors.Join(err, t.chip.pull(lineREX, true)); err != nil {
		return "", err
	}
	if _, err := t.panel.event(access.GrantedREX, soon); err != nil {
		return "", err
	}
	return fmt.Sprintf("released after %.0f ms, event 104", ms(took)), t.passage()
}

func (t *bench) tamper() (string, error) {
	return t.unwell(lineTamper, true, wiegand.HealthTampered)
}

func (t *bench) keypad() (string, error) {
	encoding, err := wiegand.ParseEncoding("4bit")
	if err != nil {
		return "", err
	}
	for _, key := range []byte(code) {
		burst, err := encoding.Encode(key)
		if err != nil {
			return "", err
		}
		if _, err := t.sender.send(pulse{bits: burst.Uint(0, burst.Len()-1), count: burst.Len(), period: time.Millisecond}); err != nil {
			return "", err
		}
		time.Sleep(150 * time.Millisecond) // quick fingers
	}
	if err := t.chip.want(lineStrike, true, soon); err != nil {
		return "", err
	}
	if _, err := t.panel.event(access.GrantedCode, soon); err != nil {
		return "", err
	}
	return "opened, event 101", t.passage()
}

// lamp badges a known and an unknown card and counts what lamp and beeper do.
func (t *bench) lamp() (string, error) {
	f, _ := wiegand.Lookup(badgeFormat)
	var seen []string
	for _, card := range []struct {
		what   string
		number uint64
	}{{"granted", 1}, {"denied", 60_000}} {
		frame, err := f.Encode(badgeFacility, card.number)
		if err != nil {
			return "", err
		}
		if _, err := t.sender.send(pulse{bits: frame.Uint(0, f.Len-1), count: f.Len, period: time.Millisecond}); err != nil {
			return "", err
		}
		lamps, beeps, err := t.count(4 * time.Second)
		if err != nil {
			return "", err
		}
		seen = append(seen, fmt.Sprintf("%s: %d × LED, %d × buzzer", card.what, lamps, beeps))
		if lamps == 0 || beeps == 0 {
			return strings.Join(seen, "; "), fmt.Errorf("%s: nothing was shown", card.what)
		}
		for _, line := range []string{lineLED, lineBuzzer} {
			if err := t.chip.want(line, false, soon); err != nil {
				return strings.Join(seen, "; "), err
			}
		}
	}
	return strings.Join(seen, "; "), t.passage()
}

// count counts how often LED and buzzer go on.
func (t *bench) count(during time.Duration) (lamps, beeps int, err error) {
	var was [2]bool
	var n [2]int
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for i, line := range []string{lineLED, lineBuzzer} {
			now, err := t.chip.level(line)
			if err != nil {
				return 0, 0, err
			}
			if now && !was[i] {
				n[i]++
			}
			was[i] = now
		}
	}
	return n[0], n[1], nil
}

func (t *bench) heldLow() (string, error) {
	return t.unwell(lineD0, false, wiegand.HealthStuck)
}

// unwell moves a line to where the reader's health is another, and back.
func (t *bench) unwell(line string, level bool, want wiegand.HealthState) (string, error) {
	if err := t.chip.pull(line, level); err != nil {
		return "", err
	}
	told, err := t.health(30*time.Second, func(r api.Reader) bool { return r.Health == string(want) })
	if err := errors.Join(err, t.chip.pull(line, !level)); err != nil {
		return told, err
	}
	_, err = t.health(time.Minute, func(r api.Reader) bool { return !r.Unwell() })
	return told, err
}

// health waits until the reader is as f wants it, and gives its state in words.
func (t *bench) health(limit time.Duration, f func(api.Reader) bool) (string, error) {
	var words string
	err := until(limit, func() error {
		st, err := t.panel.client.Status(context.Background())
		if err != nil {
			return err
		}
		for _, r := range st.Readers {
			if r.ID == reader {
				words = strings.TrimSpace(r.Health + ": " + r.HealthWhy)
				if f(r) {
					return nil
				}
			}
		}
		return fmt.Errorf("the reader is %s", words)
	})
	return words, err
}

// held has relay-rest ask for lines that the daemon has.
func (t *bench) held() (string, error) {
	said, err := t.panel.relayRest()
	if err == nil {
		return said, errors.New("relay-rest drove lines that the daemon holds")
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, lineStrike) && strings.Contains(line, "held") {
			return "refused", nil
		}
	}
	return said, fmt.Errorf("it does not say that %s is held, and by whom", lineStrike)
}
