package hal

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// forever is a wait without a limit.
	forever time.Duration = 0
	// drain is the second wait after a time-out: Go can report a time-out while
	// events are queued.
	drain = time.Millisecond
)

// edges guards a lineSet against its two traps: after Close a wait would read
// from file descriptor 0, and a Halt before a wait is lost.
type edges struct {
	set lineSet
	// using is held during every use of the set; a channel, so that Close can
	// keep halting while it waits for its turn.
	using  chan struct{}
	closed atomic.Bool
}

func newEdges(set lineSet) *edges {
	// The first wait makes the file that Halt acts on. A negative time-out makes
	// it before anything waits, and takes no event.
	_, _, _ = set.WaitForEdge(-1)
	return &edges{set: set, using: make(chan struct{}, 1)}
}

// wait returns the next edge's line number and direction, an error that is
// os.ErrDeadlineExceeded after a timeout (0: for ever; negative: at once), or
// one that is os.ErrClosed.
func (e *edges) wait(timeout time.Duration) (int, gpio.Edge, error) {
	e.using <- struct{}{}
	defer func() { <-e.using }()
	for {
		if e.closed.Load() {
			return 0, gpio.NoEdge, os.ErrClosed
		}
		number, edge, err := e.set.WaitForEdge(timeout)
		if timeout == forever && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // halted
		}
		return number, edge, err
	}
}

// level reads the set's first line.
func (e *edges) level() (gpio.Level, error) {
	bits, err := e.levels(1)
	return bits&1 == 1, err
}

// levels reads the set's lines under mask, the first in bit 0.
func (e *edges) levels(mask gpio.GPIOValue) (gpio.GPIOValue, error) {
	e.using <- struct{}{}
	defer func() { <-e.using }()
	if e.closed.Load() {
		return 0, os.ErrClosed
	}
	return e.set.Read(mask)
}

// Close ends a wait that is going on and releases the lines; waits from then on
// return os.ErrClosed.
func (e *edges) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	for {
		_ = e.set.Halt()
		select {
		case e.using <- struct{}{}:
			// Never given back to another use of the set: closed is set.
			defer func() { <-e.using }()
			return e.set.Close()
		case <-time.After(time.Millisecond):
			// The halt may have come just before the wait began.
		}
	}
}

// edgeSource is a reader's pulses: Next returns 0 or 1, or an error that is
// os.ErrDeadlineExceeded after a timeout (0: for ever), or os.ErrClosed at the
// end. Only one goroutine calls Next; Close may come from another.
type edgeSource interface {
	Next(timeout time.Duration) (bit int, err error)
	Close() error
}

// readerEdges is the edgeSource of a set with D0 and D1.
type readerEdges struct {
	*edges
	d0, d1 int
}

func (r *readerEdges) Next(timeout time.Duration) (int, error) {
	for {
		number, edge, err := r.wait(timeout)
		switch {
		case err != nil:
			return 0, err
		case edge == gpio.FallingEdge && number == r.d0:
			return 0, nil
		case edge == gpio.FallingEdge && number == r.d1:
			return 1, nil
		}
		// No other edge was asked for; were one to come, it is no pulse.
	}
}

// Held reports which of D0 and D1 are low. Between frames both idle high.
func (r *readerEdges) Held() (held [2]bool, err error) {
	bits, err := r.levels(3)
	return [2]bool{bits&1 == 0, bits&2 == 0}, err
}

// readerSet is a reader's lines as one set, to be opened again and again.
type readerSet struct {
	purpose string
	places  []place
	spec    lineSetSpec
}

// takeReaderSet finds a reader's lines.
func takeReaderSet(l *lines, w ReaderWiring) (*readerSet, error) {
	s := &readerSet{
		purpose: fmt.Sprintf("reader %q", w.ID),
		spec:    lineSetSpec{edge: gpio.FallingEdge, pull: gpio.PullUp},
	}
	if w.Pull == PullNone {
		s.spec.pull = gpio.PullNoChange
	}
	for i, asked := range append([]string{w.D0, w.D1}, w.Spare...) {
		what := [...]string{"d0", "d1", "spare"}[min(i, 2)] + " of " + s.purpose
		p, err := l.take(what, asked)
		if err != nil {
			return nil, err
		}
		name, err := p.setName()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		s.places = append(s.places, p)
		if p.chip != s.places[0].chip {
			return nil, fmt.Errorf("%s: %w", s.purpose, errTwoChips)
		}
		if i < 2 {
			s.spec.lines = append(s.spec.lines, name)
		} else {
			s.spec.spare = append(s.spec.spare, name)
		}
	}
	return s, nil
}

func (s *readerSet) open() (edgeSource, error) {
	set, err := s.places[0].chip.LineSet(s.spec)
	if err != nil {
		return nil, errLine(s.purpose, err, s.places...)
	}
	return &readerEdges{edges: newEdges(set), d0: s.places[0].number, d1: s.places[1].number}, nil
}
