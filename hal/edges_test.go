package hal

import (
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// trapSet is a lineSet with periph's traps: a wait after Close is a fault, and a
// Halt that comes before a wait is lost.
type trapSet struct {
	t *testing.T
	// before is how long a wait takes to begin.
	before time.Duration

	mu     sync.Mutex
	halt   chan struct{} // guarded by mu; nil while nobody waits
	halts  int
	closed bool
	waits  []time.Duration
}

func (s *trapSet) WaitForEdge(timeout time.Duration) (int, gpio.Edge, error) {
	time.Sleep(s.before)
	s.mu.Lock()
	if s.closed {
		s.t.Error("WaitForEdge after Close")
	}
	s.waits = append(s.waits, timeout)
	halt := make(chan struct{})
	s.halt = halt
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.halt = nil
	}()
	var over <-chan time.Time
	if timeout != 0 {
		over = time.After(timeout)
	}
	select {
	case <-halt:
	case <-over:
	}
	return 0, gpio.NoEdge, os.ErrDeadlineExceeded
}

func (s *trapSet) Halt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halts++
	if s.halt != nil {
		close(s.halt)
		s.halt = nil
	}
	return nil
}

func (s *trapSet) Read(gpio.GPIOValue) (gpio.GPIOValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.t.Error("Read after Close")
	}
	return 1, nil
}

func (s *trapSet) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func TestEdgesCloseDuringWait(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"for ever": forever, "a minute": time.Minute} {
		for _, before := range []time.Duration{0, 20 * time.Millisecond} {
			t.Run(name+" after "+before.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					set := &trapSet{t: t, before: before}
					e := newEdges(set)
					ended := make(chan error)
					go func() {
						for {
							if _, _, err := e.wait(timeout); !errors.Is(err, os.ErrDeadlineExceeded) {
								ended <- err
								return
							}
						}
					}()
					// Closing now meets a wait that has begun or is about to.
					time.Sleep(before / 2)
					closed := make(chan error)
					go func() { closed <- e.Close() }()
					if err := <-ended; !errors.Is(err, os.ErrClosed) {
						t.Errorf("wait ended with %v", err)
					}
					if err := <-closed; err != nil {
						t.Errorf("Close: %v", err)
					}
					if _, _, err := e.wait(timeout); !errors.Is(err, os.ErrClosed) {
						t.Errorf("wait after Close: %v", err)
					}
					if _, err := e.level(); !errors.Is(err, os.ErrClosed) {
						t.Errorf("level after Close: %v", err)
					}
					if err := e.Close(); err != nil {
						t.Errorf("second Close: %v", err)
					}
					if set.waits[0] >= 0 {
						t.Errorf("the first wait was for %v, want one that returns at once", set.waits[0])
					}
					if before > 0 && set.halts < 2 {
						t.Errorf("%d halts: the test met no wait that had not begun", set.halts)
					}
				})
			})
		}
	}
}

func TestReaderEdgesIgnoreOtherLines(t *testing.T) {
	c := &simChip{changed: make(chan struct{})}
	for _, name := range []string{"d0", "d1", "other"} {
		c.add(name)
	}
	src, err := openReaderLines(newLines([]chip{c}), ReaderWiring{ID: "r", D0: "d0", D1: "d1"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := c.lines[0].set.burst([]simEvent{
		{2, gpio.FallingEdge},
		{1, gpio.RisingEdge},
		{1, gpio.FallingEdge},
		{0, gpio.FallingEdge},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if got, err := src.Next(time.Second); got != want || err != nil {
			t.Errorf("Next = %d, %v; want %d", got, err, want)
		}
	}
	if _, err := src.Next(time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Next at the end: %v", err)
	}
}
