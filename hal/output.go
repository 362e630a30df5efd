package hal

import (
	"fmt"
	"log/slog"
	"os"
	"sync"

	"periph.io/x/conn/v3/gpio"
)

// driver is one output line. It reaches its rest level without passing through
// the other; see the package comment. A line that fails is requested anew, with
// every change and in between, until it has the level that was asked for last.
type driver struct {
	purpose string
	line    line
	rest    gpio.Level
	explain func(error) error
	log     *slog.Logger
	// broken has a token when a fault began.
	broken chan struct{}
	stop   chan struct{}

	mu     sync.Mutex
	asked  gpio.Level // guarded by mu, as are the others
	driven gpio.Level
	fault  error
	closed bool
}

// openDriver takes a line and puts it at rest.
func openDriver(l *lines, purpose, asked string, rest gpio.Level, log *slog.Logger) (*driver, error) {
	p, err := l.take(purpose, asked)
	if err != nil {
		return nil, err
	}
	d := &driver{
		purpose: purpose, line: p.chip.Line(p.number), rest: rest, asked: rest, driven: rest,
		explain: func(err error) error { return errLine(purpose, err, p) },
		log:     log.With("output", purpose),
		broken:  make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if err := d.put(rest); err != nil {
		d.line.Close()
		return nil, d.explain(err)
	}
	return d, nil
}

// put moves the line.
func (d *driver) put(level gpio.Level) error {
	if d.rest == gpio.High && level == gpio.High {
		return d.line.In(gpio.PullUp, gpio.NoEdge)
	}
	return d.line.Out(level)
}

// reach gives the line the level that is asked for; mu is held. After a request
// that failed half way periph takes the line for an output without having it,
// so a second try begins from nothing.
func (d *driver) reach() error {
	err := d.put(d.asked)
	if err != nil {
		d.line.Close()
		err = d.put(d.asked)
	}
	if err == nil {
		d.driven = d.asked
		if d.fault != nil {
			d.log.Info("output works again")
		}
		d.fault = nil
		return nil
	}
	d.line.Close()
	if d.fault == nil {
		d.log.Error("output failed", "error", err)
		select {
		case d.broken <- struct{}{}:
		default:
		}
	}
	d.fault = d.explain(fmt.Errorf("%w: %w", ErrFault, err))
	return d.fault
}

func (d *driver) drive(level gpio.Level) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("%s: %w", d.purpose, os.ErrClosed)
	}
	d.asked = level
	return d.reach()
}

// turn drives the line off, which is its rest level, or on.
func (d *driver) turn(on bool) error {
	if d == nil {
		return nil
	}
	return d.drive(gpio.Level(on != bool(d.rest)))
}

// run mends the line after faults until close.
func (d *driver) run() {
	if d == nil {
		return
	}
	for {
		select {
		case <-d.broken:
		case <-d.stop:
			return
		}
		for try := 0; ; try++ {
			if !pause(pauseBefore(try), d.stop) {
				return
			}
			if d.mend() {
				break
			}
		}
	}
}

func (d *driver) mend() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed || d.fault == nil || d.reach() == nil
}

// state gives the level that the line has been driven to, and its fault.
func (d *driver) state() (gpio.Level, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.driven, d.fault
}

// close puts the line at rest and releases it.
func (d *driver) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	close(d.stop)
	d.asked = d.rest
	err := d.reach()
	d.line.Close()
	return err
}

// Output is an output that switches a lock, where on is released, or anything
// else. From Open to the first Set, and after Close, it is in the rest state of
// its wiring. A line that fails goes back, as soon as that works, to what was
// set last.
type Output struct {
	*driver
	level func(on bool) gpio.Level
}

func openLock(l *lines, w DoorWiring, log *slog.Logger) (*Output, error) {
	d, err := openDriver(l, lockPurpose(w), w.Lock, w.lockLevel(w.RestReleased), log)
	if err != nil {
		return nil, err
	}
	return &Output{driver: d, level: w.lockLevel}, nil
}

func openOutput(l *lines, w OutputWiring, log *slog.Logger) (*Output, error) {
	d, err := openDriver(l, outputPurpose(w), w.Line, w.level(false), log)
	if err != nil {
		return nil, err
	}
	return &Output{driver: d, level: w.level}, nil
}

// Set switches the output: a lock to released or secured, another on or off.
// Setting what is set already drives the line once more and changes nothing.
// The error wraps ErrFault when the line can't be driven now, and os.ErrClosed
// after Close.
func (o *Output) Set(on bool) error { return o.drive(o.level(on)) }

// State reports whether the output is on, for a lock released, as its line was
// last driven.
func (o *Output) State() bool {
	level, _ := o.state()
	return level == o.level(true)
}

// Fault is why the line does not follow Set, nil when it does; it wraps ErrFault.
func (o *Output) Fault() error {
	_, fault := o.state()
	return fault
}

// lockLevel is the line's level for a state of the lock.
func (w DoorWiring) lockLevel(released bool) gpio.Level {
	energised := released == (w.LockKind != Maglock)
	return gpio.Level(energised != w.LockActiveLow)
}

func (w OutputWiring) level(on bool) gpio.Level { return gpio.Level(on != w.ActiveLow) }

func lockPurpose(w DoorWiring) string     { return fmt.Sprintf("lock of door %q", w.ID) }
func outputPurpose(w OutputWiring) string { return fmt.Sprintf("output %q", w.ID) }
