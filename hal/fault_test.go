package hal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/gpio"

	"postern/wiegand"
)

// everything is a wiring with one of each part.
func everything() Wiring {
	return Wiring{
		Readers: []ReaderWiring{{ID: "front", Spare: []string{"a", "b"}, LED: "led", Buzzer: "buzzer", Tamper: "tamper"}},
		Doors:   []DoorWiring{{ID: "main", Contact: "contact", REX: "rex"}},
		Inputs:  []InputWiring{{ID: "fire", Supervised: true}},
		Outputs: []OutputWiring{{ID: "light"}},
	}
}

// expectFault wants one fault of a part at once, and not a second one.
func expectFault(t *testing.T, name string, next func(context.Context) error) {
	t.Helper()
	err := next(t.Context())
	if !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "no such device") {
		t.Fatalf("got %v, want a fault that names %s and its reason", err, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the fault told once", err)
	}
}

func TestReaderMends(t *testing.T) {
	inBubble(t, everything(), func(t *testing.T, b *Board, s *Sim) {
		r, card := reader(t, b, "front"), wiegand.NewBits(0x2468ACE, 26)
		must(t, s.Badge("front", card))
		read(t, r)
		for range 3 {
			must(t, s.Fail(ReaderPart, "front"))
			expectFault(t, `reader "front"`, func(ctx context.Context) error {
				_, err := r.Read(ctx)
				return err
			})
			if err := s.Badge("front", card); err == nil || errors.Is(err, os.ErrClosed) {
				t.Errorf("Badge at dead lines: %v", err)
			}
			if got := b.Faults(); len(got) != 1 || !errors.Is(got[0], ErrFault) {
				t.Errorf("Faults = %v, want the reader's", got)
			}
			must(t, s.Heal(ReaderPart, "front"))
			time.Sleep(lastPause)
			synctest.Wait()
			if got := b.Faults(); got != nil {
				t.Errorf("Faults = %v after the lines came back", got)
			}
			must(t, s.Badge("front", card))
			if got := read(t, r); got.Bits != card {
				t.Errorf("the frame after the fault is %s, want %s", got.Bits, card)
			}
		}
	})
}

func TestInputMends(t *testing.T) {
	inBubble(t, everything(), func(t *testing.T, b *Board, s *Sim) {
		for _, tt := range []struct {
			part Part
			id   string
			in   *Input
			set  func(bool) error
		}{
			{ContactPart, "main", b.Contact("main"), func(on bool) error { return s.Contact("main", on) }},
			{REXPart, "main", b.REX("main"), func(on bool) error { return s.REX("main", on) }},
			{TamperPart, "front", b.Tamper("front"), func(on bool) error { return s.Tamper("front", on) }},
			{InputPart, "fire", b.Input("fire"), func(on bool) error { return s.Input("fire", on) }},
		} {
			expectNext(t, tt.in, false)
			next := func(ctx context.Context) error {
				_, err := tt.in.Next(ctx)
				return err
			}
			// What changed while nobody could see it is seen afterwards.
			must(t, s.Fail(tt.part, tt.id))
			expectFault(t, tt.id, next)
			must(t, tt.set(true))
			must(t, s.Heal(tt.part, tt.id))
			expectNext(t, tt.in, true)
			// What changed and changed back is as it was, and told all the same:
			// whoever was told of the fault has to learn that it is over.
			must(t, s.Fail(tt.part, tt.id))
			expectFault(t, tt.id, next)
			must(t, tt.set(false))
			must(t, tt.set(true))
			must(t, s.Heal(tt.part, tt.id))
			expectNext(t, tt.in, true)
			expectNone(t, tt.in, time.Minute)
			must(t, tt.set(false))
			expectNext(t, tt.in, false)
			if err := tt.in.Fault(); err != nil {
				t.Errorf("%s: Fault = %v at the end", tt.part, err)
			}
		}
	})
}

// TestFaultsNobodyReads has more of them than anyone would keep.
func TestFaultsNobodyReads(t *testing.T) {
	inBubble(t, everything(), func(t *testing.T, b *Board, s *Sim) {
		in, open := b.Contact("main"), false
		for range 3 * inputQueue {
			must(t, s.Fail(ContactPart, "main"))
			time.Sleep(lastPause)
			must(t, s.Heal(ContactPart, "main"))
			open = !open
			must(t, s.Contact("main", open))
			time.Sleep(2 * lastPause)
		}
		synctest.Wait()
		if n := len(in.pending); n > 2*inputQueue {
			t.Errorf("%d changes and faults are kept", n)
		}
		var last bool
		for len(in.pending) > 0 {
			active, err := in.Next(t.Context())
			if err != nil && !errors.Is(err, ErrFault) {
				t.Fatal(err)
			}
			if err == nil {
				last = active
			}
		}
		if last != open {
			t.Errorf("the last level is %v, want %v", last, open)
		}
	})
}

func TestOutputMends(t *testing.T) {
	for _, activeLow := range []bool{false, true} {
		w := Wiring{Doors: []DoorWiring{{ID: "main", LockActiveLow: activeLow}}}
		inBubble(t, w, func(t *testing.T, b *Board, s *Sim) {
			lock := b.Lock("main")
			must(t, s.Fail(LockPart, "main"))
			for _, on := range []bool{true, false, true} {
				if err := lock.Set(on); !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), `lock of door "main"`) {
					t.Errorf("Set(%v) at a dead line: %v", on, err)
				}
				if lock.State() || s.Lock("main") {
					t.Error("released at a dead line")
				}
				time.Sleep(time.Hour)
			}
			if lock.Fault() == nil {
				t.Error("no fault at a dead line")
			}
			must(t, s.Heal(LockPart, "main"))
			time.Sleep(lastPause)
			synctest.Wait()
			if !lock.State() || !s.Lock("main") || lock.Fault() != nil {
				t.Errorf("half a minute after the line came back: released %v, fault %v; want what was set last", s.Lock("main"), lock.Fault())
			}
			// A change does not wait for the pause to end.
			must(t, s.Fail(LockPart, "main"))
			_ = lock.Set(false)
			time.Sleep(time.Hour)
			must(t, s.Heal(LockPart, "main"))
			must(t, lock.Set(false))
			if s.Lock("main") {
				t.Error("the lock was not secured at once")
			}
			time.Sleep(time.Hour)
			if lock.State() || s.Lock("main") {
				t.Error("something released the lock later")
			}
		})
	}
}

func TestLightFaultIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := newLog()
		b, s := OpenSim(everything(), log)
		defer b.Close()
		must(t, s.Fail(LEDPart, "front"))
		reader(t, b, "front").Indicate(PINWanted)
		time.Sleep(time.Hour)
		if got := strings.Count(text.String(), "output failed"); got != 1 || !strings.Contains(text.String(), `led of reader \"front\"`) {
			t.Errorf("an hour of blinking tells %d faults, want one with the name:\n%.500s", got, text.String())
		}
		must(t, s.Heal(LEDPart, "front"))
		time.Sleep(lastPause)
		synctest.Wait()
		if got := strings.Count(text.String(), "works again"); got != 1 || b.Faults() != nil {
			t.Errorf("told %d times that it works again, faults %v", got, b.Faults())
		}
	})
}

func TestCloseDuringFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := OpenSim(everything(), quietLog())
		for part, id := range map[Part]string{
			ReaderPart: "front", LEDPart: "front", BuzzerPart: "front", TamperPart: "front",
			LockPart: "main", ContactPart: "main", REXPart: "main", InputPart: "fire", OutputPart: "light",
		} {
			must(t, s.Fail(part, id))
		}
		reader(t, b, "front").Indicate(Granted)
		_, _ = b.Lock("main").Set(true), b.Output("light").Set(true)
		time.Sleep(time.Minute)
		if got := len(b.Faults()); got != 9 {
			t.Errorf("%d faults, want 9: %v", got, b.Faults())
		}
		err := b.Close()
		for _, name := range []string{`lock of door "main"`, `output "light"`, `led of reader "front"`} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Close = %v, want one that names the %s", err, name)
			}
		}
		for range 2 { // the fault that nobody was told, and the end
			_, err = b.Contact("main").Next(t.Context())
			if err == nil {
				_, err = b.Contact("main").Next(t.Context())
			}
		}
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v", err)
		}
	})
}

// closer is what a keeper keeps, and tells when it is closed.
type closer struct{ closed chan struct{} }

func (c closer) Close() error {
	close(c.closed)
	return nil
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		first := closer{make(chan struct{})}
		k := newKeeper("lines", first, func() (closer, error) {
			tries = append(tries, time.Since(start).Round(time.Second))
			start = time.Now()
			return closer{make(chan struct{})}, map[bool]error{true: errLineGone}[len(tries)%2 == 1]
		}, quietLog())
		uses := 0
		// Every second try opens; the lines then fail at once, but for one time.
		ended := make(chan error)
		go func() {
			ended <- k.run(func(closer) error {
				if uses++; uses == 5 {
					time.Sleep(2 * lastPause)
				}
				start = time.Now()
				return errLineGone
			}, func(error) {})
		}()
		time.Sleep(4*time.Minute + 20*time.Second)
		must(t, k.Close())
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("run ended with %v", err)
		}
		const s = time.Second
		want := []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s}
		if diff := cmp.Diff(want, tries); diff != "" {
			t.Errorf("pauses: -want +got\n%s", diff)
		}
	})
}

// TestCloseWhileOpening has lines come only when nobody wants them any more.
func TestCloseWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opening, release := make(chan struct{}), make(chan struct{})
		first, late := closer{make(chan struct{})}, closer{make(chan struct{})}
		k := newKeeper("lines", first, func() (closer, error) {
			close(opening)
			<-release
			return late, nil
		}, quietLog())
		_ = k.broke(errLineGone)
		ended := make(chan error)
		go func() {
			_, err := k.reopen(0)
			ended <- err
		}()
		<-opening
		must(t, k.Close())
		close(release)
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("reopen ended with %v", err)
		}
		<-first.closed
		<-late.closed
	})
}

// halfway is a line with periph's trap: a request that failed leaves it believing
// that it is an output, and it then drives whatever file descriptor 0 is.
type halfway struct {
	t       *testing.T
	fail    int // how many requests fail
	has     bool
	half    bool
	levels  []gpio.Level
	closing int
}

func (l *halfway) request() error {
	if l.has {
		return nil
	}
	if l.half {
		l.t.Error("the line was used after a failed request without a Close between")
	}
	if l.half = l.fail > 0; l.half {
		l.fail--
		return errSimBusy
	}
	l.has = true
	return nil
}

func (l *halfway) Out(level gpio.Level) error {
	if err := l.request(); err != nil {
		return err
	}
	l.levels = append(l.levels, level)
	return nil
}

func (l *halfway) In(gpio.Pull, gpio.Edge) error { return l.Out(gpio.High) }
func (l *halfway) Close()                        { l.has, l.half, l.closing = false, false, l.closing+1 }

type halfwayChip struct {
	fakeChip
	line *halfway
}

func (c *halfwayChip) Line(int) line { return c.line }

func TestFailedRequestIsClosed(t *testing.T) {
	c := &halfwayChip{fakeChip{label: "c", names: []string{"A"}}, &halfway{t: t}}
	d, err := openDriver(newLines([]chip{c}), "lock", "A", gpio.Low, quietLog())
	must(t, err)
	c.line.has, c.line.fail = false, 3
	for range 2 {
		err = d.drive(gpio.High)
	}
	must(t, err)
	if diff := cmp.Diff([]gpio.Level{gpio.Low, gpio.High}, c.line.levels); diff != "" {
		t.Errorf("levels: -want +got\n%s", diff)
	}
}
