package hal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ErrFault is wrapped by the errors of a reader, input or output whose lines
// failed. It is no end: the lines are opened again until that works, so the
// caller tells the fault and calls again.
var ErrFault = errors.New("line fault")

// The pause before lines are opened again doubles from the first to the last.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

func pauseBefore(try int) time.Duration { return min(firstPause<<min(try, 5), lastPause) }

// pause reports whether it lasted, which it does not when stop is closed.
func pause(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

// keeper keeps lines open: what fails is closed, told once, and opened again
// until Close.
type keeper[T io.Closer] struct {
	name string
	open func() (T, error)
	log  *slog.Logger
	stop chan struct{}

	mu     sync.Mutex
	now    T // guarded by mu, as are the others
	fault  error
	closed bool
}

// newKeeper starts with lines that are open.
func newKeeper[T io.Closer](name string, first T, open func() (T, error), log *slog.Logger) *keeper[T] {
	return &keeper[T]{name: name, now: first, open: open, log: log, stop: make(chan struct{})}
}

// run has use work with the lines for as long as they do, and tells each fault
// through tell. It returns when the lines are closed for good.
func (k *keeper[T]) run(use func(T) error, tell func(error)) error {
	for try := 0; ; {
		began := time.Now()
		err := use(k.lines())
		if errors.Is(err, os.ErrClosed) {
			return err
		}
		// Lines that open and fail at once must not do so every second for ever.
		if time.Since(began) > lastPause {
			try = 0
		}
		tell(k.broke(err))
		if try, err = k.reopen(try); err != nil {
			return err
		}
		k.log.Info("lines are open again")
	}
}

func (k *keeper[T]) lines() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// broke closes the lines and gives their fault.
func (k *keeper[T]) broke(err error) error {
	fault := fmt.Errorf("%s: %w: %w", k.name, ErrFault, err)
	k.log.Error("lines failed", "error", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = fault
	if !k.closed {
		_ = k.now.Close() // they failed already
	}
	return fault
}

// reopen tries until the lines are open, from the pause of a given try on, and
// returns the number of the next one; the error is os.ErrClosed.
func (k *keeper[T]) reopen(try int) (int, error) {
	told := ""
	for {
		if !pause(pauseBefore(try), k.stop) {
			return try, os.ErrClosed
		}
		try++
		lines, err := k.open()
		if err == nil {
			return try, k.take(lines)
		}
		if text := err.Error(); text != told {
			k.log.Warn("lines can't be opened again yet", "error", err)
			told = text
		}
	}
}

// take puts lines in place, unless Close came meanwhile.
func (k *keeper[T]) take(lines T) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return errors.Join(os.ErrClosed, lines.Close())
	}
	k.now, k.fault = lines, nil
	return nil
}

// Fault is why the lines are not open, nil when they are.
func (k *keeper[T]) Fault() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fault
}

// Close closes the lines for good.
func (k *keeper[T]) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	close(k.stop)
	if k.fault != nil {
		return nil // closed by the fault
	}
	return k.now.Close()
}
