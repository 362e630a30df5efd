package controller

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"postern/access"
)

// follow hands on what a device gives for as long as it lives. A fault is told
// once and tried again: it must not take a door down.
func follow[T any](ctx context.Context, log *slog.Logger, next func(context.Context) (T, error), tell func(T), fault func(error)) error {
	faulty := false
	for {
		v, err := next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if !faulty {
				log.Error("read device", "error", err)
				fault(err)
			}
			faulty = true
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			if !sleep(ctx, time.Second) {
				return ctx.Err()
			}
			continue
		}
		faulty = false
		tell(v)
	}
}

// watch follows an input. After a fault comes the level that the line has then;
// first marks the level at the start alone.
func (c *Controller) watch(ctx context.Context, in Input, log *slog.Logger, tell func(active, first bool), fault func(error)) error {
	first := true
	return follow(ctx, log, in.Next, func(active bool) {
		tell(active, first)
		first = false
	}, fault)
}

// input runs one auxiliary input.
func (c *Controller) input(ctx context.Context, w InputWiring) error {
	fault := func(err error) {
		c.Note(access.Event{Type: access.InputFault, Detail: access.Clip("input " + w.ID + ": " + err.Error())})
		c.mu.Lock()
		if _, heard := c.inputs[w.ID]; !heard {
			c.inputs[w.ID] = false // as good as heard; a level that was stands
		}
		c.mu.Unlock()
		c.poke()
	}
	return c.watch(ctx, w.Device, c.opts.Log.With("input", w.ID), func(active, _ bool) {
		c.act(w, active)
	}, fault)
}

// act does what an auxiliary input means, where its level is not the last that
// it had; none is active before the start. Of fire and lockdown inputs one that
// is active is enough: the end of another is not the end.
func (c *Controller) act(w InputWiring, active bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, heard := c.inputs[w.ID]
	if was == active {
		c.inputs[w.ID] = active
		if !heard && w.Kind == Lockdown {
			c.poke()
		}
		return
	}
	before := c.anyActive(w.Kind)
	c.inputs[w.ID] = active
	changed := c.anyActive(w.Kind) != before
	switch w.Kind {
	case Fire:
		if changed {
			c.tellDoors(pick(active, access.DoorInput{Kind: access.DoorFireOn}, access.DoorInput{Kind: access.DoorFireOff}))
		}
	case Lockdown:
		c.poke()
	case Tamper:
		c.Note(access.Event{Type: pick(active, access.Tampered, access.TamperEnded), Detail: "input " + w.ID})
	default:
		c.Note(access.Event{Type: pick(active, access.InputActive, access.InputInactive), Detail: "input " + w.ID})
	}
}

// anyActive reports whether an input of the kind is active; c.mu is held.
func (c *Controller) anyActive(k InputKind) bool {
	for _, w := range c.opts.Inputs {
		if w.Kind == k && c.inputs[w.ID] {
			return true
		}
	}
	return false
}

func (c *Controller) tellDoors(in access.DoorInput) {
	for _, d := range c.doors {
		d.send(doorMessage{input: &in})
	}
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func (p *point) tamper(open, _ bool) {
	for {
		select {
		case p.tampers <- open:
			return
		default:
		}
		select {
		case <-p.tampers: // a contact that chatters: only its last level counts
		default:
		}
	}
}

func (p *point) tamperFault(err error) {
	p.c.Note(access.Event{Type: access.InputFault, Detail: access.Clip("tamper of reader " + p.w.ID + ": " + err.Error())})
}

// lockedDown reports whether the reader's door is locked down.
func (p *point) lockedDown() bool {
	ap := p.c.policy.Load().PointOf(p.w.ID)
	return ap != nil && p.c.doorMode(ap.Door) == access.LockedDown
}

// idle shows what a reader shows at rest.
func (p *point) idle(locked bool) {
	p.w.Device.Indicate(pick(locked, SignalLocked, SignalIdle))
}
