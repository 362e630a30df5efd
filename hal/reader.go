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
	src     edgeSource
	log     *slog.Logger
	show    *indicator

	frames chan wiegand.Frame
	// done is closed when run has ended; err is why, and is set before.
	done chan struct{}
	err  error
}

func newReader(id string, silence time.Duration, src edgeSource, show *indicator, log *slog.Logger) *Reader {
	return &Reader{
		id: id, silence: silence, src: src, show: show, log: log,
		frames: make(chan wiegand.Frame, frameQueue),
		done:   make(chan struct{}),
	}
}

// Read blocks until a frame closed and returns it, the oldest first. The error
// is the context's, or wraps os.ErrClosed after Close, or tells the fault of
// the lines, after which no frame comes any more.
func (r *Reader) Read(ctx context.Context) (wiegand.Frame, error) {
	select {
	case f := <-r.frames:
		return f, nil
	default:
	}
	select {
	case f := <-r.frames:
		return f, nil
	case <-ctx.Done():
		return wiegand.Frame{}, ctx.Err()
	case <-r.done:
		return wiegand.Frame{}, fmt.Errorf("reader %s: %w", r.id, r.err)
	}
}

// Indicate shows something at the reader, in place of what it shows now. It
// returns at once, and does nothing after Close.
func (r *Reader) Indicate(i Indication) { r.show.set(i) }

// run reads pulses until the source ends. It does nothing else, for while it is
// away the kernel's queue fills.
func (r *Reader) run() {
	defer close(r.done)
	r.err = r.loop()
	if !errors.Is(r.err, os.ErrClosed) {
		r.log.Error("reader lines failed", "error", r.err)
	}
}

func (r *Reader) loop() error {
	var framer wiegand.Framer
	timeout := forever
	for {
		bit, err := r.src.Next(timeout)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			bit, err = r.src.Next(drain)
		}
		switch {
		case err == nil:
			framer.Pulse(bit)
			timeout = r.silence
		case errors.Is(err, os.ErrDeadlineExceeded):
			if frame, ok := framer.Close(); ok {
				r.deliver(frame)
			}
			timeout = forever
		default:
			return err
		}
	}
}

func (r *Reader) deliver(f wiegand.Frame) {
	select {
	case r.frames <- f:
	default:
		// Opening for a card long after it was shown would be worse than not
		// opening, so the new frame goes.
		r.log.Warn("frame dropped, nobody reads", "pulses", f.Pulses)
	}
}
