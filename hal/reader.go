package hal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"postern/wiegand"
)

// frameQueue is how many closed frames wait for Read. More than that without a
// reader of them means that nobody decides any more.
const frameQueue = 64

// Reader is one Wiegand reader, card or keypad or both.
type Reader struct {
	id      string
	silence time.Duration
	keep    *keeper[edgeSource]
	log     *slog.Logger
	show    *indicator
	tamper  *Input // nil when not wired

	// arrivals has room for a fault when frames fill it.
	arrivals chan arrival
	// held is told through lines, D0 and D1; low is how they were at the last
	// look.
	held, low [2]bool
	lines     chan heldLine
	// done is closed when run has ended; err is why, and is set before.
	done chan struct{}
	err  error
}

// arrival is a frame, or the fault that came after the frames before.
type arrival struct {
	frame wiegand.Frame
	fault error
}

// heldLine is a data line that is held low, or is no more.
type heldLine struct {
	line int
	held bool
}

// lookEvery is how often idle data lines are looked at. One that is low twice in
// a row is held: by a short, or a reader without its supply.
const lookEvery = 5 * time.Second

func newReader(id string, silence time.Duration, keep *keeper[edgeSource], show *indicator, log *slog.Logger) *Reader {
	return &Reader{
		id: id, silence: silence, keep: keep, show: show, log: log,
		arrivals: make(chan arrival, frameQueue+1),
		lines:    make(chan heldLine, 16),
		done:     make(chan struct{}),
	}
}

// Read blocks until a frame closed and returns it, the oldest first. The error
// is the context's, or wraps os.ErrClosed after Close, or wraps ErrFault, once
// for each fault of the lines; the next Read then waits for frames of the lines
// that are open again.
func (r *Reader) Read(ctx context.Context) (wiegand.Frame, error) {
	select {
	case a := <-r.arrivals:
		return a.frame, a.fault
	default:
	}
	select {
	case a := <-r.arrivals:
		return a.frame, a.fault
	case <-ctx.Done():
		return wiegand.Frame{}, ctx.Err()
	case <-r.done:
		return wiegand.Frame{}, fmt.Errorf("reader %s: %w", r.id, r.err)
	}
}

// Line blocks until a data line (0 or 1) is found held low, or no more held, for
// longer than any pulse. The error is the context's, or wraps os.ErrClosed after
// Close.
func (r *Reader) Line(ctx context.Context) (line int, held bool, err error) {
	select {
	case l := <-r.lines:
		return l.line, l.held, nil
	case <-ctx.Done():
		return 0, false, ctx.Err()
	case <-r.done:
		return 0, false, fmt.Errorf("reader %s: %w", r.id, os.ErrClosed)
	}
}

// Indicate shows something at the reader, in place of what it shows now. It
// returns at once, and does nothing after Close.
func (r *Reader) Indicate(i Indication) { r.show.set(i) }

// Fault is why the data lines are not open, nil when they are; it wraps
// ErrFault.
func (r *Reader) Fault() error { return r.keep.Fault() }

// Supervised reports whether a tamper line is wired. A cut cable of a reader
// without one looks like a reader at which nobody badges.
func (r *Reader) Supervised() bool { return r.tamper != nil }

// run reads pulses until the lines are closed for good. It does nothing else,
// for while it is away the kernel's queue fills.
func (r *Reader) run() {
	defer close(r.done)
	r.err = r.keep.run(r.loop, func(fault error) {
		select {
		case r.arrivals <- arrival{fault: fault}:
		default:
			// The last that waits to be read is a fault already.
		}
	})
}

// loop reads pulses until the source ends. A frame that a fault cuts is dropped.
func (r *Reader) loop(src edgeSource) error {
	var framer wiegand.Framer
	timeout := lookEvery
	for {
		bit, err := src.Next(timeout)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			bit, err = src.Next(drain)
		}
		switch {
		case err == nil:
			framer.Pulse(bit)
			timeout = r.silence
		case errors.Is(err, os.ErrDeadlineExceeded):
			if frame, ok := framer.Close(); ok {
				r.deliver(frame)
			} else if err := r.look(src); err != nil {
				return err
			}
			timeout = lookEvery
		default:
			return err
		}
	}
}

// look tells of data lines that are held.
func (r *Reader) look(src edgeSource) error {
	s, ok := src.(interface{ Held() ([2]bool, error) })
	if !ok {
		return nil
	}
	low, err := s.Held()
	if err != nil {
		return err
	}
	for i := range low {
		held := low[i] && (r.low[i] || r.held[i])
		if held != r.held[i] {
			select {
			case r.lines <- heldLine{i, held}:
				r.held[i] = held
			default: // nobody listens; it is told later
			}
		}
	}
	r.low = low
	return nil
}

func (r *Reader) deliver(f wiegand.Frame) {
	if len(r.arrivals) >= frameQueue {
		// Opening for a card long after it was shown would be worse than not
		// opening, so the new frame goes.
		r.log.Warn("frame dropped, nobody reads", "pulses", f.Pulses)
		return
	}
	r.arrivals <- arrival{frame: f}
}
