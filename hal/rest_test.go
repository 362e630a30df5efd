package hal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/gpio"
)

// restWiring has each kind of output, and inputs that are none of Rest's
// business.
func restWiring() Wiring {
	return Wiring{
		Readers: []ReaderWiring{{ID: "r", D0: "d0", D1: "d1", LED: "led", LEDActiveLow: true, Buzzer: "buzzer", Tamper: "tamper"}},
		Doors: []DoorWiring{
			{ID: "strike", Lock: "strike", Contact: "contact"},
			{ID: "magnet", Lock: "magnet", LockKind: Maglock, RestReleased: true, REX: "rex"},
			{ID: "low", Lock: "low", LockActiveLow: true},
		},
		Inputs:  []InputWiring{{ID: "fire", Line: "fire"}},
		Outputs: []OutputWiring{{ID: "light", Line: "light", ActiveLow: true}},
	}
}

var restNames = []string{"d0", "d1", "led", "buzzer", "tamper", "strike", "contact", "magnet", "rex", "low", "fire", "light"}

func TestRest(t *testing.T) {
	c := newTraced(restNames...)
	low, high := []gpio.Level{gpio.Low, gpio.Low}, []gpio.Level{gpio.High}
	want := map[string][]gpio.Level{"strike": low, "magnet": low, "low": high, "light": high, "led": high, "buzzer": low}
	// A daemon that died had driven some of them.
	for _, name := range []string{"strike", "buzzer"} {
		l := c.lines[indexOf(name)]
		l.driven = gpio.High
	}
	for range 2 {
		must(t, restChips([]chip{c}, restWiring(), quietLog()))
		if diff := cmp.Diff(want, c.levels); diff != "" {
			t.Errorf("levels: -want +got\n%s", diff)
		}
		for _, l := range c.lines {
			if l.taken {
				t.Errorf("line %s is still taken", l.name)
			}
		}
		clear(c.levels)
		// What was an output stays one, and is not low first again.
		low = []gpio.Level{gpio.Low}
		want["strike"], want["magnet"], want["buzzer"] = low, low, low
	}
}

func indexOf(name string) int {
	for i, n := range restNames {
		if n == name {
			return i
		}
	}
	panic("no line " + name)
}

// TestRestGoesOn has a line that another program holds, one that is gone and one
// that was never there.
func TestRestGoesOn(t *testing.T) {
	c := newTraced(restNames...)
	c.lines[indexOf("strike")].holder = "posternd@312"
	c.lines[indexOf("light")].failed = true
	w := restWiring()
	w.Doors[1].Lock = "GPIO99"
	err := restChips([]chip{c}, w, quietLog())
	if err == nil {
		t.Fatal("three outputs at fault are none")
	}
	for _, part := range []string{
		`lock of door "strike": line strike: held, strike by "posternd@312"`,
		`lock of door "magnet": there is no line GPIO99: there are on simulated`,
		`output "light": line light: its chip is gone`,
	} {
		if n := strings.Count(err.Error(), part); n != 1 {
			t.Errorf("the error has %d of %q, want one:\n%v", n, part, err)
		}
	}
	for _, name := range []string{"low", "led", "buzzer"} {
		if c.levels[name] == nil {
			t.Errorf("%s was not put at rest", name)
		}
	}
	for _, name := range []string{"contact", "rex", "tamper", "fire", "d0"} {
		if c.levels[name] != nil {
			t.Errorf("%s was touched", name)
		}
	}
	if err := restChips(nil, Wiring{Doors: w.Doors[:1]}, quietLog()); err == nil || !strings.Contains(err.Error(), "no GPIO chip") {
		t.Errorf("without chips: %v", err)
	}
}

// TestRestLevels has the rest state of every kind of lock be the same as a
// board's.
func TestRestLevels(t *testing.T) {
	for _, w := range allLocks() {
		board, rest := newTraced("lock"), newTraced("lock")
		b, err := newBoard([]chip{board}, Wiring{Doors: []DoorWiring{w}}, quietLog())
		must(t, err)
		must(t, restChips([]chip{rest}, Wiring{Doors: []DoorWiring{w}}, quietLog()))
		if diff := cmp.Diff(board.levels, rest.levels); diff != "" {
			t.Errorf("%+v: -board +rest\n%s", w, diff)
		}
		must(t, b.Close())
	}
}
