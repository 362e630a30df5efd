package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// indicator drives one reader's LED and buzzer from one goroutine.
type indicator struct {
	led, buzzer *driver // nil when not wired, which does nothing
	patterns    map[Indication]Pattern

	mu     sync.Mutex
	want   Indication // guarded by mu
	stands Indication // guarded by mu; what one that ends leaves
	// woken has a token when want was set.
	woken chan struct{}
	stop  chan struct{}
}

// ledPurpose and buzzerPurpose name the outputs of a reader.
func ledPurpose(w ReaderWiring) string    { return fmt.Sprintf("led of reader %q", w.ID) }
func buzzerPurpose(w ReaderWiring) string { return fmt.Sprintf("buzzer of reader %q", w.ID) }

func openIndicator(l *lines, w ReaderWiring, log *slog.Logger) (*indicator, error) {
	n := &indicator{
		patterns: w.Patterns, want: Idle, stands: Idle,
		woken: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	outputs := []struct {
		purpose, line string
		activeLow     bool
		driver        **driver
	}{
		{ledPurpose(w), w.LED, w.LEDActiveLow, &n.led},
		{buzzerPurpose(w), w.Buzzer, w.BuzzerActiveLow, &n.buzzer},
	}
	for _, o := range outputs {
		if o.line == "" {
			continue
		}
		d, err := openDriver(l, o.purpose, o.line, gpio.Level(o.activeLow), log)
		if err != nil {
			_ = n.release()
			return nil, err
		}
		*o.driver = d
	}
	return n, nil
}

func (n *indicator) pattern(i Indication) Pattern {
	if p, ok := n.patterns[i]; ok {
		return p
	}
	return DefaultPattern(i)
}

func (n *indicator) set(i Indication) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.want = i
	if i.stands() {
		n.stands = i
	}
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

// finished goes back to what stands after a pattern, unless another was set
// meanwhile.
func (n *indicator) finished() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.woken) == 0 {
		n.want = n.stands
	}
}

// run shows the latest indication until stop is closed, and ends dark.
func (n *indicator) run() {
	for n.show() {
	}
	n.drive(Step{})
}

// show runs one pattern, until its end or until another is wanted. It returns
// false at the end of all.
func (n *indicator) show() bool {
	p := n.pattern(n.current())
	for round := 1; ; round++ {
		for _, s := range p.Steps {
			n.drive(s)
			if over, more := n.wait(s.Length); over {
				return more
			}
		}
		if round == p.Times {
			n.finished()
			return true
		}
	}
}

// wait lets a step last. It reports whether the pattern is over before its end,
// and whether there are others to come.
func (n *indicator) wait(length time.Duration) (over, more bool) {
	var end <-chan time.Time
	if length > 0 {
		end = time.After(length)
	}
	select {
	case <-end:
		return false, true
	case <-n.woken:
		return true, true
	case <-n.stop:
		return true, false
	}
}

// drive sets both outputs. A light that fails must not stop the reader; its
// driver tells and mends the fault.
func (n *indicator) drive(s Step) {
	_ = n.led.turn(s.LED)
	_ = n.buzzer.turn(s.Buzzer)
}

// release puts both outputs at rest and releases them.
func (n *indicator) release() error { return errors.Join(n.led.close(), n.buzzer.close()) }
