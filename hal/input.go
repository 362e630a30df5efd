package hal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// inputQueue is how many changes wait for Next.
	inputQueue = 64
	// flutterEdges is how many edges without a settled level are worth a word.
	flutterEdges = 1000
)

// Input is one debounced input: a door contact (active: open) or a REX (active:
// pressed).
type Input struct {
	name     string
	edges    *edges
	active   gpio.Level
	debounce time.Duration
	log      *slog.Logger
	level    gpio.Level // the settled one; run's alone once it began

	mu      sync.Mutex
	pending []bool // guarded by mu; neighbours differ
	// changed has a token when something was added to pending.
	changed chan struct{}
	// done is closed when run has ended; err is why, and is set before.
	done chan struct{}
	err  error
}

// inputSpec is how an input is opened.
type inputSpec struct {
	name     string
	line     string
	active   gpio.Level
	pull     gpio.Pull
	debounce time.Duration
}

func openInput(l *lines, s inputSpec, log *slog.Logger) (*Input, error) {
	p, err := l.take(s.name, s.line)
	if err != nil {
		return nil, err
	}
	name, err := p.setName()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	set, err := p.chip.LineSet(lineSetSpec{lines: []string{name}, edge: gpio.BothEdges, pull: s.pull})
	if err != nil {
		return nil, errLine(s.name, err, p)
	}
	in := &Input{
		name: s.name, edges: newEdges(set), active: s.active, debounce: orDefault(s.debounce, DefaultDebounce),
		log: log, changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	// Edges are queued from here on, so that no change is lost between this
	// level and the first wait.
	if in.level, err = in.edges.level(); err != nil {
		return nil, errors.Join(errLine(s.name, err, p), in.edges.Close())
	}
	in.push(in.level == in.active)
	return in, nil
}

// contactSpec pulls to the level that means open.
func contactSpec(d DoorWiring) inputSpec {
	s := inputSpec{
		name: fmt.Sprintf("contact of door %q", d.ID), line: d.Contact,
		active: gpio.High, pull: gpio.PullUp, debounce: d.ContactDebounce,
	}
	if d.ContactOpenLow {
		s.active, s.pull = gpio.Low, gpio.PullDown
	}
	return s
}

// rexSpec pulls to the level that means not pressed.
func rexSpec(d DoorWiring) inputSpec {
	s := inputSpec{
		name: fmt.Sprintf("rex of door %q", d.ID), line: d.REX,
		active: gpio.Low, pull: gpio.PullUp, debounce: d.REXDebounce,
	}
	if d.REXPressedHigh {
		s.active, s.pull = gpio.High, gpio.PullDown
	}
	return s
}

// Next returns the level at start when it is called first, and then blocks until
// the debounced level changed; changes that came meanwhile come one by one. It
// is for one caller at a time. The error is the context's, or wraps os.ErrClosed
// after Close, or tells the fault of the line, after which no change comes any
// more.
func (in *Input) Next(ctx context.Context) (active bool, err error) {
	for {
		if active, ok := in.pop(); ok {
			return active, nil
		}
		select {
		case <-in.changed:
		case <-ctx.Done():
			return false, ctx.Err()
		case <-in.done:
			if active, ok := in.pop(); ok {
				return active, nil
			}
			return false, fmt.Errorf("%s: %w", in.name, in.err)
		}
	}
}

func (in *Input) pop() (active, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.pending) == 0 {
		return false, false
	}
	active = in.pending[0]
	in.pending = in.pending[1:]
	return active, true
}

func (in *Input) push(active bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.pending) >= inputQueue {
		// This change undoes the last one in the queue; without both, the queue
		// still ends with the level there is.
		in.pending = in.pending[:len(in.pending)-1]
		return
	}
	in.pending = append(in.pending, active)
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// run follows the line until it is closed.
func (in *Input) run() {
	defer close(in.done)
	in.err = in.loop()
	if !errors.Is(in.err, os.ErrClosed) {
		in.log.Error("input line failed", "error", in.err)
	}
}

func (in *Input) loop() error {
	for {
		if _, _, err := in.edges.wait(forever); err != nil {
			return err
		}
		if err := in.settle(); err != nil {
			return err
		}
		// The level is read, not worked out from the edges: the queue drops
		// edges when contacts bounce much.
		now, err := in.edges.level()
		if err != nil {
			return err
		}
		if now != in.level {
			in.level = now
			in.push(now == in.active)
		}
	}
}

// settle waits until there was no edge for the debounce time.
func (in *Input) settle() error {
	for count := 1; ; count++ {
		_, _, err := in.edges.wait(in.debounce)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_, _, err = in.edges.wait(drain)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if count%flutterEdges == 0 {
			in.log.Warn("input does not settle, check its wiring", "edges", count)
		}
	}
}
