package hal

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestAuxiliary(t *testing.T) {
	for _, low := range []bool{false, true} {
		w := everything()
		w.Readers[0].TamperActiveLow, w.Inputs[0].ActiveLow, w.Outputs[0].ActiveLow = low, low, low
		w.Inputs[0].Debounce = 100 * ms
		inBubble(t, w, func(t *testing.T, b *Board, s *Sim) {
			fire, tamper, light := b.Input("fire"), b.Tamper("front"), b.Output("light")
			expectNext(t, fire, false)
			expectNext(t, tamper, false)
			must(t, s.Input("fire", true))
			must(t, s.Tamper("front", true))
			start := time.Now()
			expectNext(t, tamper, true)
			if took := time.Since(start); took != DefaultDebounce {
				t.Errorf("the tamper took %v, want %v", took, DefaultDebounce)
			}
			expectNext(t, fire, true)
			if took := time.Since(start); took != 100*ms {
				t.Errorf("the input took %v, want 100ms", took)
			}
			if !reader(t, b, "front").Supervised() {
				t.Error("a reader with a tamper is not supervised")
			}
			for _, on := range []bool{true, false, true} {
				must(t, light.Set(on))
				if light.State() != on || s.Output("light") != on {
					t.Errorf("active low %v: Set(%v) leaves it %v", low, on, s.Output("light"))
				}
			}
			must(t, b.Close())
			if s.Output("light") {
				t.Error("on after Close")
			}
			if err := light.Set(true); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), `output "light"`) {
				t.Errorf("Set after Close: %v", err)
			}
		})
	}
}

func TestAuxiliaryUnknown(t *testing.T) {
	b, s := openSim(t, twoReaders())
	if b.Input("x") != nil || b.Output("x") != nil || b.Tamper("front") != nil || b.Tamper("x") != nil || s.Output("x") {
		t.Error("there is something that is not wired")
	}
	if reader(t, b, "front").Supervised() {
		t.Error("a reader without a tamper is supervised")
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"no tamper":     {s.Tamper("front", true), "tamper: reader front has none wired"},
		"tamper":        {s.Tamper("x", true), `tamper: there is no reader "x"`},
		"input":         {s.Input("x", true), `there is no input "x", nor any other`},
		"fail reader":   {s.Fail(ReaderPart, "x"), `fail: there is no reader "x"`},
		"fail led":      {s.Fail(LEDPart, "bare"), "fail: bare has no led wired"},
		"fail lock":     {s.Fail(LockPart, "x"), `fail: there is no door "x"`},
		"heal contact":  {s.Heal(ContactPart, "plain"), "plain has no contact wired"},
		"fail input":    {s.Fail(InputPart, "x"), `there is no input "x"`},
		"fail output":   {s.Fail(OutputPart, "x"), `there is no output "x"`},
		"fail whatever": {s.Fail("door", "main"), `there is no part "door"`},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", name, tt.err, tt.want)
		}
	}
}

// TestCutWiresOfInputs has nothing connected, so that the bias decides.
func TestCutWiresOfInputs(t *testing.T) {
	for _, low := range []bool{false, true} {
		for _, tt := range []struct {
			name string
			spec inputSpec
			want bool
		}{
			{"tamper", tamperSpec(ReaderWiring{Tamper: "l", TamperActiveLow: low}), true},
			{"tamper pulled up", tamperSpec(ReaderWiring{Tamper: "l", TamperActiveLow: low, TamperPull: PullUp}), !low},
			{"supervised", inputOf(InputWiring{Line: "l", ActiveLow: low, Supervised: true}), true},
			{"not supervised", inputOf(InputWiring{Line: "l", ActiveLow: low}), false},
			{"pulled down", inputOf(InputWiring{Line: "l", ActiveLow: low, Pull: PullDown}), low},
			{"no bias", inputOf(InputWiring{Line: "l", ActiveLow: low, Supervised: true, Pull: PullNone}), low},
		} {
			c := &simChip{changed: make(chan struct{})}
			c.add(tt.spec.line)
			in, err := openInput(newLines([]chip{c}), tt.spec, quietLog())
			must(t, err)
			if got, err := in.Next(t.Context()); err != nil || got != tt.want {
				t.Errorf("%s, active low %v: a cut wire is active = %v, %v; want %v", tt.name, low, got, err, tt.want)
			}
			must(t, in.keep.Close())
		}
	}
}

// TestDebounceBounds has the promise of every debounce that a wiring may have:
// what is active for over 400 ms is seen, what is active for under 20 ms is not.
func TestDebounceBounds(t *testing.T) {
	pulse := rapid.OneOf(rapid.IntRange(1, 19_999), rapid.IntRange(400_001, 1_000_000), rapid.SampledFrom([]int{19_999, 400_001}))
	rapid.Check(t, func(rt *rapid.T) {
		w := DoorWiring{ID: "main", REX: "rex"}
		w.REXDebounce = time.Duration(rapid.OneOf(rapid.IntRange(20, 400), rapid.SampledFrom([]int{20, 400})).Draw(rt, "debounce")) * ms
		length := time.Duration(pulse.Draw(rt, "pulse")) * time.Microsecond
		seen := false
		synctest.Test(t, func(t *testing.T) {
			b, s := OpenSim(Wiring{Doors: []DoorWiring{w}}, quietLog())
			defer b.Close()
			expectNext(t, b.REX("main"), false)
			must(t, s.REX("main", true))
			time.Sleep(length)
			must(t, s.REX("main", false))
			time.Sleep(time.Second)
			synctest.Wait()
			seen = len(b.REX("main").pending) == 2
		})
		if want := length > maxDebounce; seen != want {
			rt.Errorf("with %v, a pulse of %v is seen = %v, want %v", w.REXDebounce, length, seen, want)
		}
	})
}
