package hal

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"periph.io/x/conn/v3/gpio"
)

// tracedChip keeps every level its lines pass through, the low instant at the
// start of a first Out too, and how it was reached.
type tracedChip struct {
	*simChip
	levels map[string][]gpio.Level
	high   map[string]bool // was driven high
}

func newTraced(names ...string) *tracedChip {
	c := &tracedChip{
		simChip: &simChip{changed: make(chan struct{})},
		levels:  map[string][]gpio.Level{}, high: map[string]bool{},
	}
	for _, name := range names {
		c.add(name)
	}
	return c
}

func (c *tracedChip) Line(number int) line { return &tracedLine{c.lines[number], c} }

type tracedLine struct {
	*simLine
	trace *tracedChip
}

func (l *tracedLine) add(level gpio.Level) {
	l.trace.levels[l.name] = append(l.trace.levels[l.name], level)
}

func (l *tracedLine) In(pull gpio.Pull, edge gpio.Edge) error {
	err := l.simLine.In(pull, edge)
	l.add(l.level())
	return err
}

func (l *tracedLine) Out(level gpio.Level) error {
	if !l.output {
		l.add(gpio.Low)
	}
	l.add(level)
	l.trace.high[l.name] = l.trace.high[l.name] || bool(level)
	return l.simLine.Out(level)
}

// TestLockLevels goes through every kind of lock and looks at each level that
// its line passes through.
func TestLockLevels(t *testing.T) {
	for _, w := range allLocks() {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) { testLockLevels(t, w) })
	}
}

// allLocks is a door of every kind of lock.
func allLocks() []DoorWiring {
	var all []DoorWiring
	for _, kind := range []LockKind{"", Strike, Maglock} {
		for _, activeLow := range []bool{false, true} {
			for _, restReleased := range []bool{false, true} {
				all = append(all, DoorWiring{ID: "main", Lock: "lock", LockKind: kind, LockActiveLow: activeLow, RestReleased: restReleased})
			}
		}
	}
	return all
}

func testLockLevels(t *testing.T, w DoorWiring) {
	c := newTraced("lock")
	b, err := newBoard([]chip{c}, Wiring{Doors: []DoorWiring{w}}, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	lock := b.Lock("main")
	// released tells the meaning of a level, worked out apart from the code.
	released := func(level gpio.Level) bool {
		current := bool(level)
		if w.LockActiveLow {
			current = !current
		}
		if w.LockKind == Maglock {
			return !current
		}
		return current
	}
	expect := func(what string, want bool) {
		t.Helper()
		if lock.State() != want {
			t.Errorf("%s: State = %v, want %v", what, lock.State(), want)
		}
		for _, level := range c.levels["lock"] {
			if released(level) != want {
				t.Errorf("%s: the line went through %v, want only levels for released = %v", what, c.levels["lock"], want)
				break
			}
		}
		clear(c.levels)
	}
	expect("at start", w.RestReleased)
	for _, on := range []bool{true, true, false, false, true, false, true} {
		if err := lock.Set(on); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprintf("Set(%v)", on), on)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	expect("Close", w.RestReleased)
	if got := released(c.lines[0].level()); got != w.RestReleased {
		t.Errorf("after Close the line says released = %v, want %v", got, w.RestReleased)
	}
	if restHigh := released(gpio.High) == w.RestReleased; restHigh && c.high["lock"] {
		t.Error("a line that rests high was driven high")
	}
	if err := lock.Set(true); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
	if got := released(c.lines[0].level()); got != w.RestReleased {
		t.Error("Set after Close moved the line")
	}
}

func TestOpenFailureLeavesAllAtRest(t *testing.T) {
	c := newTraced("lock", "contact", "led")
	_, err := newBoard([]chip{c}, Wiring{
		Doors:   []DoorWiring{{ID: "main", Lock: "lock", Contact: "contact"}},
		Readers: []ReaderWiring{{ID: "front", D0: "d0", D1: "d1", LED: "led"}},
	}, quietLog())
	if err == nil {
		t.Fatal("a board with missing lines opened")
	}
	for _, l := range c.lines {
		if l.taken {
			t.Errorf("line %s is still taken", l.name)
		}
	}
}
