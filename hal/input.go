package hal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
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

// Input is one debounced input: a door contact (active: open), a REX (active:
// pressed), a tamper switch, or any other. It is for one caller of Next at a
// time.
type Input struct {
	name     string
	keep     *keeper[*edges]
	active   gpio.Level
	debounce time.Duration
	log      *slog.Logger
	level    gpio.Level // the settled one; run's alone once it began
	begun    bool       // whether lines have been followed; run's alone

	mu      sync.Mutex
	pending []change // guarded by mu; neighbouring levels differ
	// changed has a token when something was added to pending.
	changed chan struct{}
	// done is closed when run has ended; err is why, and is set before.
	done chan struct{}
	err  error
}

// change is a new level, or the fault that came after the levels before.
type change struct {
	active bool
	fault  error
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
	open := func() (*edges, error) {
		set, err := p.chip.LineSet(lineSetSpec{lines: []string{name}, edge: gpio.BothEdges, pull: s.pull})
		if err != nil {
			return nil, errLine(s.name, err, p)
		}
		return newEdges(set), nil
	}
	edges, err := open()
	if err != nil {
		return nil, err
	}
	in := &Input{
		name: s.name, keep: newKeeper(s.name, edges, open, log), active: s.active,
		debounce: orDefault(s.debounce, DefaultDebounce),
		log:      log, changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	// Edges are queued from here on, so that no change is lost between this
	// level and the first wait.
	if in.level, err = edges.level(); err != nil {
		return nil, errors.Join(errLine(s.name, err, p), edges.Close())
	}
	in.push(in.level == in.active)
	return in, nil
}

// Next returns the level at start when it is called first, and then blocks until
// the debounced level changed; changes that came meanwhile come one by one. The
// error is the context's, or wraps os.ErrClosed after Close, or wraps ErrFault,
// once for each fault of the line; the next Next then waits for the line to be
// open again and returns its level, changed or not.
func (in *Input) Next(ctx context.Context) (active bool, err error) {
	for {
		if c, ok := in.pop(); ok {
			return c.active, c.fault
		}
		select {
		case <-in.changed:
		case <-ctx.Done():
			return false, ctx.Err()
		case <-in.done:
			if c, ok := in.pop(); ok {
				return c.active, c.fault
			}
			return false, fmt.Errorf("%s: %w", in.name, in.err)
		}
	}
}

// Fault is why the line is not open, nil when it is; it wraps ErrFault.
func (in *Input) Fault() error { return in.keep.Fault() }

func (in *Input) pop() (c change, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.pending) == 0 {
		return change{}, false
	}
	c = in.pending[0]
	in.pending = in.pending[1:]
	return c, true
}

func (in *Input) push(active bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.pending) >= inputQueue {
		// This change undoes the last one in the queue; without both, the queue
		// still ends with the level there is.
		for i, c := range slices.Backward(in.pending) {
			if c.fault == nil {
				if c.active != active {
					in.pending = slices.Delete(in.pending, i, i+1)
				}
				return
			}
		}
	}
	in.add(change{active: active})
}

func (in *Input) pushFault(fault error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if n := len(in.pending); n > 0 && in.pending[n-1].fault != nil {
		return // one that waits to be told is enough
	}
	in.add(change{fault: fault})
}

// add appends to pending; mu is held.
func (in *Input) add(c change) {
	in.pending = append(in.pending, c)
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// run follows the line until it is closed for good.
func (in *Input) run() {
	defer close(in.done)
	in.err = in.keep.run(in.follow, in.pushFault)
}

// follow follows the line until it fails or is closed. A line that is open again
// may have changed meanwhile, so it begins as if an edge had come.
func (in *Input) follow(e *edges) error {
	again := in.begun
	in.begun = true
	for {
		if !again {
			if _, _, err := e.wait(forever); err != nil {
				return err
			}
		}
		if err := in.settle(e); err != nil {
			return err
		}
		// The level is read, not worked out from the edges: the queue drops
		// edges when contacts bounce much.
		now, err := e.level()
		if err != nil {
			return err
		}
		if now != in.level || again {
			in.level = now
			in.push(now == in.active)
		}
		again = false
	}
}

// settle waits until there was no edge for the debounce time.
func (in *Input) settle(e *edges) error {
	for count := 1; ; count++ {
		_, _, err := e.wait(max(in.debounce-drain, drain))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_, _, err = e.wait(drain)
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
