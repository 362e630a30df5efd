package hal

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
)

const ms = time.Millisecond

// expectNext wants a change at once or later.
func expectNext(t *testing.T, in *Input, want bool) {
	t.Helper()
	got, err := in.Next(t.Context())
	if err != nil || got != want {
		t.Fatalf("Next = %v, %v; want %v", got, err, want)
	}
}

// expectNone wants no change within a time.
func expectNone(t *testing.T, in *Input, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if got, err := in.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next = %v, %v; want none", got, err)
	}
}

// inBubble runs a test on a simulated board in virtual time.
func inBubble(t *testing.T, w Wiring, f func(t *testing.T, b *Board, s *Sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, s := OpenSim(w, quietLog())
		defer b.Close()
		f(t, b, s)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInputDebounce(t *testing.T) {
	for name, w := range map[string]DoorWiring{
		"usual":    {ID: "main", Contact: "c", REX: "r", REXDebounce: 50 * ms},
		"inverted": {ID: "main", Contact: "c", REX: "r", REXDebounce: 50 * ms, ContactOpenLow: true, REXPressedHigh: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Wiring{Doors: []DoorWiring{w}}, func(t *testing.T, b *Board, s *Sim) {
				inputs := []struct {
					in       *Input
					set      func(bool) error
					debounce time.Duration
				}{
					{b.Contact("main"), func(on bool) error { return s.Contact("main", on) }, 20 * ms},
					{b.REX("main"), func(on bool) error { return s.REX("main", on) }, 50 * ms},
				}
				for _, i := range inputs {
					expectNext(t, i.in, false)
					expectNone(t, i.in, time.Second)

					// A pulse just too short, and one just long enough.
					must(t, i.set(true))
					time.Sleep(i.debounce - ms)
					must(t, i.set(false))
					expectNone(t, i.in, time.Second)
					must(t, i.set(true))
					start := time.Now()
					expectNext(t, i.in, true)
					if took := time.Since(start); took < i.debounce || took > i.debounce+2*ms {
						t.Errorf("the change took %v, want %v", took, i.debounce)
					}

					// A bouncing contact is one change.
					for n := range 9 {
						must(t, i.set(n%2 == 1))
						time.Sleep(i.debounce / 4)
					}
					expectNext(t, i.in, false)
					expectNone(t, i.in, time.Second)

					// The same level once more is none.
					must(t, i.set(false))
					expectNone(t, i.in, time.Second)
				}
			})
		})
	}
}

func TestInputBeforeNext(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		must(t, s.Contact("main", true))
		time.Sleep(time.Second)
		must(t, s.Contact("main", false))
		time.Sleep(time.Second)
		for _, want := range []bool{false, true, false} {
			expectNext(t, b.Contact("main"), want)
		}
	})
}

func TestInputQueueKeepsTheEnd(t *testing.T) {
	for _, extra := range []int{0, 1, 2, 3} {
		inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
			open := false
			for range inputQueue + extra {
				open = !open
				must(t, s.Contact("main", open))
				time.Sleep(time.Second)
			}
			var last bool
			for n := 0; ; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				active, err := b.Contact("main").Next(ctx)
				cancel()
				if err != nil {
					if last != open {
						t.Errorf("%d changes too many: the last is %v, the level %v", extra, last, open)
					}
					return
				}
				if n > 0 && active == last {
					t.Errorf("change %d changes nothing", n)
				}
				if n >= inputQueue {
					t.Errorf("more than %d changes were kept", inputQueue)
				}
				last = active
			}
		})
	}
}

func TestInputFlutterIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := newLog()
		b, s := OpenSim(twoReaders(), log)
		defer b.Close()
		for n := range flutterEdges + 10 {
			must(t, s.Contact("main", n%2 == 0))
			time.Sleep(5 * ms)
		}
		if got := strings.Count(text.String(), "does not settle"); got != 1 {
			t.Errorf("the log tells %d times of an input that does not settle, want once", got)
		}
		if !strings.Contains(text.String(), `contact of door \"main\"`) {
			t.Errorf("the log does not name the input: %s", text.String())
		}
	})
}

func TestInputCloseDuringNext(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		expectNext(t, b.REX("main"), false)
		ended := make(chan error)
		go func() {
			_, err := b.REX("main").Next(t.Context())
			ended <- err
		}()
		synctest.Wait()
		must(t, b.Close())
		if err := <-ended; !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "rex of door") {
			t.Errorf("Next ended with %v", err)
		}
		if err := s.REX("main", true); !errors.Is(err, os.ErrClosed) {
			t.Errorf("REX after Close: %v", err)
		}
	})
}

// scriptedSet is a lineSet that plays a script: 'e' is an edge, 't' a time-out.
// Each comes with a level that is read after it, 'H' or 'L'. At the end it is
// closed.
type scriptedSet struct {
	script string
	level  gpio.GPIOValue
}

func (s *scriptedSet) WaitForEdge(timeout time.Duration) (int, gpio.Edge, error) {
	if timeout < 0 {
		return 0, gpio.NoEdge, os.ErrDeadlineExceeded
	}
	if s.script == "" {
		return 0, gpio.NoEdge, os.ErrClosed
	}
	event := s.script[0]
	s.level = 0
	if s.script[1] == 'H' {
		s.level = 1
	}
	s.script = s.script[2:]
	if event == 't' {
		return 0, gpio.NoEdge, os.ErrDeadlineExceeded
	}
	return 0, gpio.BothEdges, nil
}

func (s *scriptedSet) Read(gpio.GPIOValue) (gpio.GPIOValue, error) { return s.level, nil }
func (s *scriptedSet) Halt() error                                 { return nil }
func (s *scriptedSet) Close() error                                { return nil }

type scriptedChip struct {
	fakeChip
	set *scriptedSet
}

func (c *scriptedChip) LineSet(lineSetSpec) (lineSet, error) { return c.set, nil }

func TestInputLoop(t *testing.T) {
	tests := []struct {
		name, script string
		want         []bool
	}{
		{"a change", "eHtHtH", []bool{false, true}},
		{"a short pulse", "eHeLtLtL", []bool{false}},
		{"bounce behind a time-out is read", "eHtHeLtLtL", []bool{false}},
		{"there and back", "eHtHtHeLtLtL", []bool{false, true, false}},
		{"the level counts, not the edges", "eLeLeLtHtH", []bool{false, true}},
		{"unsettled at the end", "eHtH", []bool{false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &scriptedChip{fakeChip{label: "c", names: []string{"A"}}, &scriptedSet{script: tt.script}}
			in, err := openInput(newLines([]chip{c}), inputSpec{name: "rex", line: "A", active: gpio.High}, quietLog())
			must(t, err)
			in.run()
			var got []bool
			for {
				active, err := in.Next(t.Context())
				if errors.Is(err, os.ErrClosed) {
					break
				}
				must(t, err)
				got = append(got, active)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCutWires(t *testing.T) {
	for _, inverted := range []bool{false, true} {
		d := DoorWiring{ID: "main", Contact: "c", ContactOpenLow: inverted, REX: "r", REXPressedHigh: inverted}
		for _, tt := range []struct {
			spec inputSpec
			want bool
		}{{contactSpec(d), true}, {rexSpec(d), false}} {
			c := &simChip{changed: make(chan struct{})}
			c.add(tt.spec.line)
			in, err := openInput(newLines([]chip{c}), tt.spec, quietLog())
			must(t, err)
			if got, err := in.Next(t.Context()); err != nil || got != tt.want {
				t.Errorf("inverted %v: a cut wire at the %s is active = %v, %v; want %v", inverted, tt.spec.name, got, err, tt.want)
			}
			must(t, in.keep.Close())
		}
	}
}
