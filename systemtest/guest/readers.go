//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"time"

	"postern/access"
	"postern/api"
	"postern/systemtest/gpio/plan"
	"postern/wiegand"
)

const (
	reader = "front"
	// badgeFormat and badgeFacility are of the cards that open, numbered from 1.
	badgeFormat, badgeFacility = "H10301", 9
	badgeCards                 = 200
	// code opens too; typed on the reader's keypad.
	code = "482915"
	// codeKey is the number of its key.
	codeKey = 9_000
	// answer is how long the daemon may take to tell of a frame.
	answer = 10 * time.Second
)

// readers starts the panel with a strike, gives it keys, and checks what its
// reader reads, and how soon a badge opens.
func (t *bench) readers() error {
	note("the panel of %s", plan.Strike)
	p, err := startPanel(plan.Strike)
	if err != nil {
		return err
	}
	t.panel = p
	if err := t.rest(); err != nil {
		return err
	}
	if err := t.central.heard(p.started); err != nil {
		return err
	}
	var cards []string
	for n := range badgeCards {
		cards = append(cards, fmt.Sprintf("%s:%d-%d", badgeFormat, badgeFacility, n+1))
	}
	err = errors.Join(
		t.central.put(0, access.Proximity, cards...),
		t.central.put(codeKey, access.Code, code),
		t.central.settled(20*time.Second),
	)
	if err != nil {
		return fmt.Errorf("give the panel its keys: %w", err)
	}
	for _, kind := range []string{loadNone, loadBurn, loadChanges} {
		l, err := t.load(kind)
		if err != nil {
			return err
		}
		for _, period := range t.plan.Periods {
			t.check(fmt.Sprintf("frames of %v, a bit each %v, %s", t.plan.Lengths, period, kind), func() (string, error) {
				return l.during(func() (string, error) { return t.frames(period) })
			})
		}
		if l.changes != nil {
			t.check(fmt.Sprintf("at least %d key changes applied while these frames came", t.plan.Changes), func() (string, error) {
				if l.applied < uint64(t.plan.Changes) {
					return "", fmt.Errorf("only %d", l.applied)
				}
				return fmt.Sprintf("%d changes", l.applied), nil
			})
		}
		t.check("badge to strike, "+kind, func() (string, error) { return l.during(t.latency) })
		if err := l.stop(); err != nil {
			return err
		}
	}
	return nil
}

// rest puts the door, its contact and button and the reader's tamper contact as
// they are when nobody is there. The daemon has pulled them the other way.
func (t *bench) rest() error {
	return errors.Join(t.chip.pull(lineContact, false), t.chip.pull(lineREX, true), t.chip.pull(lineTamper, false))
}

// The loads, as they stand in the table.
const (
	loadNone    = "idle"
	loadBurn    = "two busy processes"
	loadChanges = "key changes being applied"
)

// load is what keeps the machine busy until stop is called.
type load struct {
	stop func() error
	// changes is how many key changes the daemon has applied so far, nil for a load
	// that has none; applied is how many of them it applied during checks.
	changes func() (uint64, error)
	applied uint64
}

// during makes a check, and says how many key changes were applied meanwhile.
func (l *load) during(check func() (string, error)) (string, error) {
	if l.changes == nil {
		return check()
	}
	before, err := l.changes()
	if err != nil {
		return "", err
	}
	seen, err := check()
	now, changesErr := l.changes()
	l.applied += now - before
	return fmt.Sprintf("%s; %d changes meanwhile", seen, now-before), errors.Join(err, changesErr)
}

// load begins a load.
func (t *bench) load(kind string) (*load, error) {
	switch kind {
	case loadBurn:
		var all []*exec.Cmd
		for range 2 {
			cmd := exec.Command("/proc/self/exe", "burn")
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			all = append(all, cmd)
		}
		return &load{stop: func() error {
			for _, cmd := range all {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it was killed
			}
			return nil
		}}, nil
	case loadChanges:
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- t.central.churn(ctx) }()
		return &load{
			stop: func() error {
				t.check("every key change that was sent is applied", func() (string, error) {
					cancel()
					err := errors.Join(<-done, t.central.settled(30*time.Second))
					sent, _, _ := t.central.position() // settled has told of those that failed
					return fmt.Sprintf("%d changes", sent), err
				})
				return nil
			},
			changes: func() (uint64, error) {
				_, confirmed, err := t.central.position()
				return confirmed, err
			},
		}, nil
	}
	return &load{stop: func() error { return nil }}, nil
}

// frames sends frames of each length and compares what the daemon read.
func (t *bench) frames(period time.Duration) (seen string, err error) {
	var details []string
	var total score
	t.panel.drain(nil)
	for _, length := range t.plan.Lengths {
		s, err := t.cell(length, period)
		if err != nil {
			return strings.Join(details, "; "), fmt.Errorf("%d bits: %w", length, err)
		}
		total.add(s)
		if s != (score{right: t.plan.Frames, late: s.late}) {
			details = append(details, fmt.Sprintf("%d bits: %s", length, s))
		}
	}
	seen = total.String()
	if len(details) > 0 {
		return seen, errors.New(strings.Join(details, "; "))
	}
	return seen, nil
}

// score is what came of frames.
type score struct {
	right, wrong, lost, extra int
	late                      time.Duration // the most that a pulse was late by
}

func (s *score) add(o score) {
	s.right, s.wrong, s.lost, s.extra = s.right+o.right, s.wrong+o.wrong, s.lost+o.lost, s.extra+o.extra
	s.late = max(s.late, o.late)
}

func (s score) String() string {
	return fmt.Sprintf("%d of %d right, %d misread, %d lost, %d extra", s.right, s.right+s.wrong+s.lost, s.wrong, s.lost, s.extra)
}

// maxLate is how late the sender may be: more, and it did not send what a reader
// sends.
const maxLate = 5 * time.Millisecond

func (t *bench) cell(length int, period time.Duration) (score, error) {
	rng := rand.New(rand.NewPCG(uint64(length), uint64(period)))
	var s score
	isRead := func(m api.Message) bool {
		return m.Kind == api.MessageRead && m.Read.Reader == reader && m.Read.Kind != api.ReadHint
	}
	for range t.plan.Frames {
		s.extra += len(t.panel.drain(isRead))
		frame, err := randomFrame(rng, length)
		if err != nil {
			return s, err
		}
		out, err := t.sender.send(pulse{bits: frame.Uint(0, length-1), count: length, period: period})
		if err != nil {
			return s, err
		}
		if s.late = max(s.late, out.late); out.late > maxLate {
			return s, fmt.Errorf("the sender was late by %v: this was no reader's frame", out.late)
		}
		switch m, err := t.panel.next(answer, isRead); {
		case errors.Is(err, errNothing):
			s.lost++
		case err != nil:
			return s, err
		case m.Read.Kind == api.ReadCard && m.Read.Bits == frame.String():
			s.right++
		default:
			s.wrong++
			note("sent %s, read %s %s", frame, m.Read.Kind, m.Read.Bits)
		}
	}
	time.Sleep(100 * time.Millisecond)
	s.extra += len(t.panel.drain(isRead))
	return s, nil
}

// formats are those that the panel's reader has, by length; of 40 bits there is
// none with parity.
var formats = map[int]string{26: "H10301", 34: "W34", 37: "H10302", 48: "C1k48s"}

// randomFrame is a card of random numbers.
func randomFrame(rng *rand.Rand, length int) (wiegand.Bits, error) {
	name, ok := formats[length]
	if !ok {
		return wiegand.NewBits(rng.Uint64()>>(64-length), length), nil
	}
	f, _ := wiegand.Lookup(name)
	var facility uint64
	if f.HasFacility {
		facility = rng.Uint64N(1 << (f.Facility.To - f.Facility.From + 1))
	}
	return f.Encode(facility, rng.Uint64N(1<<(f.Number.To-f.Number.From+1)))
}

// maxBadge is how long a badge may take to open, of which the silence that ends
// a frame is 40 ms.
const maxBadge = 500 * time.Millisecond

// latency times badges, from the last pulse's falling edge to the strike's line.
// After each somebody opens and closes the door, so that it locks again.
func (t *bench) latency() (string, error) {
	f, _ := wiegand.Lookup(badgeFormat)
	var all []time.Duration
	for i := range t.plan.Badges {
		frame, err := f.Encode(badgeFacility, uint64(i%badgeCards+1))
		if err != nil {
			return "", err
		}
		if err := t.chip.want(lineStrike, false, answer); err != nil {
			return "", fmt.Errorf("before badge %d: %w", i+1, err)
		}
		out, err := t.sender.send(pulse{bits: frame.Uint(0, f.Len-1), count: f.Len, period: time.Millisecond, watch: lineStrike})
		if err != nil {
			return "", err
		}
		if out.rise == 0 {
			return "", fmt.Errorf("badge %d opened nothing within %v", i+1, watchLimit)
		}
		all = append(all, out.rise)
		if err := t.passage(); err != nil {
			return "", err
		}
	}
	slices.Sort(all)
	p50, p99 := all[len(all)/2], all[min(len(all)-1, len(all)*99/100)]
	seen := fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, of %d badges", ms(p50), ms(p99), len(all))
	if p99 > maxBadge {
		return seen, fmt.Errorf("p99 is over %v", maxBadge)
	}
	return seen, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// passage opens the door and closes it when the strike has locked again.
func (t *bench) passage() error {
	if err := t.chip.pull(lineContact, true); err != nil {
		return err
	}
	if err := t.chip.want(lineStrike, false, answer); err != nil {
		return fmt.Errorf("the strike does not lock again after the door opened: %w", err)
	}
	return t.chip.pull(lineContact, false)
}
