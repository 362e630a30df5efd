package hal

import (
	"fmt"
	"os"
	"sync"

	"periph.io/x/conn/v3/gpio"
)

// driver is one output line. It reaches its rest level without passing through
// the other; see the package comment.
type driver struct {
	line line
	rest gpio.Level
	err  func(error) error
}

// openDriver takes a line and puts it at rest.
func openDriver(l *lines, purpose, asked string, rest gpio.Level) (*driver, error) {
	p, err := l.take(purpose, asked)
	if err != nil {
		return nil, err
	}
	d := &driver{
		line: p.chip.Line(p.number), rest: rest,
		err: func(err error) error { return errLine(purpose, err, p) },
	}
	if err := d.drive(rest); err != nil {
		d.line.Close()
		return nil, err
	}
	return d, nil
}

func (d *driver) drive(level gpio.Level) error {
	var err error
	if d.rest == gpio.High && level == gpio.High {
		err = d.line.In(gpio.PullUp, gpio.NoEdge)
	} else {
		err = d.line.Out(level)
	}
	if err != nil {
		return d.err(err)
	}
	return nil
}

// turn drives the line off, which is its rest level, or on.
func (d *driver) turn(on bool) error {
	if d == nil {
		return nil
	}
	return d.drive(gpio.Level(on != bool(d.rest)))
}

// close puts the line at rest and releases it.
func (d *driver) close() error {
	if d == nil {
		return nil
	}
	err := d.drive(d.rest)
	d.line.Close()
	return err
}

// Output is the output that switches a lock. From Open to the first Set, and
// after Close, it is in the rest state of its wiring.
type Output struct {
	w DoorWiring

	mu       sync.Mutex
	driver   *driver // guarded by mu, as are the others
	released bool
	closed   bool
}

func openOutput(l *lines, w DoorWiring) (*Output, error) {
	o := &Output{w: w, released: w.RestReleased}
	d, err := openDriver(l, fmt.Sprintf("lock of door %q", w.ID), w.Lock, w.lockLevel(w.RestReleased))
	if err != nil {
		return nil, err
	}
	o.driver = d
	return o, nil
}

// Set releases the lock or secures it. Setting what is set already drives the
// line once more and changes nothing. After Close the error wraps os.ErrClosed.
func (o *Output) Set(released bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("lock of door %q: %w", o.w.ID, os.ErrClosed)
	}
	if err := o.driver.drive(o.w.lockLevel(released)); err != nil {
		return err
	}
	o.released = released
	return nil
}

// State reports whether the lock is released, as it was last driven.
func (o *Output) State() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.released
}

// lockLevel is the line's level for a state of the lock.
func (w DoorWiring) lockLevel(released bool) gpio.Level {
	energised := released == (w.LockKind != Maglock)
	return gpio.Level(energised != w.LockActiveLow)
}

func (o *Output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	o.released = o.w.RestReleased
	return o.driver.close()
}
