package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Indication is what a reader shows the person in front of it.
type Indication string

// The indications. Granted and Denied end by themselves and leave Idle; PINWanted
// goes on until another is set.
const (
	Idle      Indication = "idle"
	Granted   Indication = "granted"
	Denied    Indication = "denied"
	PINWanted Indication = "pin_wanted"
)

// step is a part of a pattern.
type step struct {
	led, buzzer bool
	// length is 0 for as long as nothing else is to be shown.
	length time.Duration
}

// pattern returns the steps of an indication and whether they begin again at
// the end. An unknown one looks like Idle.
func (i Indication) pattern() (steps []step, again bool) {
	const short, long = 100 * time.Millisecond, time.Second
	switch i {
	case Granted:
		return []step{{true, true, short}, {true, false, 2 * long}}, false
	case Denied:
		beep, pause := step{true, true, short}, step{false, false, short}
		return []step{beep, pause, beep, pause, beep, pause}, false
	case PINWanted:
		return []step{{true, false, long / 4}, {false, false, long / 4}}, true
	}
	return []step{{}}, false
}

// indicator drives one reader's LED and buzzer from one goroutine.
type indicator struct {
	led, buzzer *driver // nil when not wired, which does nothing
	log         *slog.Logger

	mu   sync.Mutex
	want Indication // guarded by mu
	// woken has a token when want was set.
	woken chan struct{}
	stop  chan struct{}
}

func openIndicator(l *lines, w ReaderWiring, log *slog.Logger) (*indicator, error) {
	n := &indicator{
		log: log, want: Idle,
		woken: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	outputs := []struct {
		what, line string
		activeLow  bool
		driver     **driver
	}{
		{"led", w.LED, w.LEDActiveLow, &n.led},
		{"buzzer", w.Buzzer, w.BuzzerActiveLow, &n.buzzer},
	}
	for _, o := range outputs {
		if o.line == "" {
			continue
		}
		d, err := openDriver(l, fmt.Sprintf("%s of reader %q", o.what, w.ID), o.line, gpio.Level(o.activeLow))
		if err != nil {
			_ = n.release()
			return nil, err
		}
		*o.driver = d
	}
	return n, nil
}

func (n *indicator) set(i Indication) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.want = i
	select {
	case n.woken <- struct{}{}:
	default:
	}
}

func (n *indicator) current() Indication {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.want
}

// finished goes back to Idle after a pattern, unless another was set meanwhile.
func (n *indicator) finished() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.woken) == 0 {
		n.want = Idle
	}
}

// run shows the latest indication until stop is closed, and ends dark.
func (n *indicator) run() {
	for n.show() {
	}
	n.drive(step{})
}

// show runs one pattern, until its end or until another is wanted. It returns
// false at the end of all.
func (n *indicator) show() bool {
	steps, again := n.current().pattern()
	for {
		for _, s := range steps {
			n.drive(s)
			var over <-chan time.Time
			if s.length > 0 {
				over = time.After(s.length)
			}
			select {
			case <-over:
			case <-n.woken:
				return true
			case <-n.stop:
				return false
			}
		}
		if !again {
			n.finished()
			return true
		}
	}
}

// drive sets both outputs. A light that fails must not stop the reader, so the
// error ends here.
func (n *indicator) drive(s step) {
	if err := errors.Join(n.led.turn(s.led), n.buzzer.turn(s.buzzer)); err != nil {
		n.log.Warn("indication not shown", "error", err)
	}
}

// release puts both outputs at rest and releases them.
func (n *indicator) release() error { return errors.Join(n.led.close(), n.buzzer.close()) }
