package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/access"
)

// doorMessage is one thing that a door's goroutine is told; one member is set,
// but for the cause.
type doorMessage struct {
	input  *access.DoorInput
	cause  cause // of an input that sets the mode
	grant  *grant
	times  *access.DoorTimes
	unlock chan error
	ctx    context.Context // of unlock, which is not done after its end
	ping   chan struct{}
}

// inbox is how many messages may wait for a door; its goroutine only drives
// outputs and never waits, so a full one means that it is stuck.
const inbox = 256

// door owns one door: its state machine, its lock and its timer.
type door struct {
	c     *Controller
	w     DoorWiring
	state *access.Door
	in    chan doorMessage
	fault string
	cause cause      // of the mode that it is coming into
	going []movement // of those who were granted and have not opened it yet
}

// grant is a release for a key, and who goes through when it is taken up.
type grant struct {
	extended bool
	at       time.Duration
	going    []movement
}

func newDoor(c *Controller, w DoorWiring) *door {
	times := access.DefaultDoorTimes()
	if p := c.policy.Load().Door(w.ID); p != nil {
		times = p.Times
	}
	return &door{
		c: c, w: w, in: make(chan doorMessage, inbox),
		state: access.NewDoor(access.DoorConfig{Times: times, HasContact: w.Contact != nil, RelockOnClose: w.RelockOnClose, REX: w.REXAction, FireRelease: w.FireRelease}),
	}
}

// send hands a message over without waiting; false when the door is stuck.
func (d *door) send(m doorMessage) bool {
	select {
	case d.in <- m:
		return true
	default:
		d.c.opts.Log.Error("door takes no messages", "door", d.w.ID)
		return false
	}
}

// grant releases the door for a key.
func (d *door) grant(g grant) {
	d.c.reserve(d.w.ID)
	if !d.send(doorMessage{grant: &g}) {
		d.c.unreserve(d.w.ID)
	}
}

func (d *door) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if d.w.Contact != nil {
		g.Go(func() error { return d.c.watch(ctx, d.w.Contact, d.log("contact"), d.contact, d.contactFault) })
	}
	if d.w.REX != nil {
		g.Go(func() error { return d.c.watch(ctx, d.w.REX, d.log("exit button"), d.rex, d.rexFault) })
	}
	g.Go(func() error { return d.loop(ctx) })
	return g.Wait()
}

func (d *door) log(input string) *slog.Logger {
	return d.c.opts.Log.With("door", d.w.ID, "input", input)
}

func (d *door) tell(k access.DoorInputKind) { d.send(doorMessage{input: &access.DoorInput{Kind: k}}) }

func (d *door) contact(open, _ bool) {
	if open {
		d.tell(access.DoorContactOpen)
	} else {
		d.tell(access.DoorContactClosed)
	}
}

func (d *door) contactFault(error) { d.tell(access.DoorContactFault) }

func (d *door) rex(pressed, first bool) {
	switch {
	case !pressed:
		d.tell(access.DoorREXReleased)
	case first: // it was not pressed now
		d.tell(access.DoorREXFoundDown)
	default:
		d.tell(access.DoorREX)
	}
}

func (d *door) rexFault(err error) {
	d.c.Note(access.Event{Type: access.InputFault, Door: d.w.ID, Detail: access.Clip("exit button: " + err.Error())})
}

func (d *door) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	d.apply(d.state.Step(d.c.mono(), access.DoorInput{}), timer)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			d.apply(d.state.Step(d.c.mono(), access.DoorInput{}), timer)
		case m := <-d.in:
			d.handle(m, timer)
		}
	}
}

func (d *door) handle(m doorMessage, timer *time.Timer) {
	switch {
	case m.input != nil:
		d.cause = m.cause
		d.apply(d.state.Step(d.c.mono(), *m.input), timer)
		d.cause = cause{}
	case m.grant != nil:
		defer d.c.unreserve(d.w.ID) // once the door has said how it is
		now := d.c.mono()
		if now-m.grant.at > maxAge {
			d.c.opts.Log.Warn("grant dropped: the door was held up for too long", "door", d.w.ID)
			return
		}
		switch mode := d.state.Mode(now); {
		case mode == access.LockedDown || mode == access.Blocked: // it lost the race
		case d.w.Contact == nil || d.state.Open() || d.state.Physical() == access.PhysicalFault:
			// Nobody can be seen to go through.
			d.c.move(m.grant.going)
		default:
			d.going = append(d.going, m.grant.going...)
		}
		d.apply(d.state.Step(now, access.DoorInput{Kind: access.DoorGrant, Extended: m.grant.extended}), timer)
	case m.times != nil:
		d.state.SetTimes(*m.times)
		d.apply(d.state.Step(d.c.mono(), access.DoorInput{}), timer)
	case m.unlock != nil:
		err := m.ctx.Err()
		if err == nil {
			err = d.unlock(timer)
		}
		d.c.unreserve(d.w.ID)
		m.unlock <- err
	case m.ping != nil:
		m.ping <- struct{}{}
	}
}

func (d *door) unlock(timer *time.Timer) error {
	now := d.c.mono()
	if mode := d.state.Mode(now); mode == access.Blocked || mode == access.LockedDown {
		return fmt.Errorf("%w: door %q is %s", ErrRefused, d.w.ID, mode)
	}
	d.apply(d.state.Step(now, access.DoorInput{Kind: access.DoorGrant}), timer)
	d.c.Note(access.Event{Type: access.Granted, Reason: access.ReasonOperator, Door: d.w.ID})
	if d.fault != "" {
		return fmt.Errorf("%w: the lock of door %q can't be driven: %s", ErrRefused, d.w.ID, d.fault)
	}
	return nil
}

// apply drives the lock first, then tells.
func (d *door) apply(out access.DoorOutput, timer *time.Timer) {
	fault := ""
	if err := d.w.Lock.Set(out.Release); err != nil {
		fault = err.Error()
	}
	if fault != "" && d.fault == "" {
		d.c.opts.Log.Error("drive lock", "door", d.w.ID, "error", fault)
		d.c.Note(access.Event{Type: access.OutputFault, Door: d.w.ID, Detail: access.Clip(fault)})
	}
	d.fault = fault
	for _, t := range out.Events {
		e := access.Event{Type: t, Door: d.w.ID}
		if t >= access.DoorLocked && t <= access.DoorLockedOpen {
			e.Reason, e.Detail = d.cause.reason, d.cause.detail
		}
		d.c.Note(e)
		switch t {
		case access.AccessTaken, access.ContactFault: // with a fault nobody can be seen any more
			d.c.move(d.going)
			d.going = nil
		case access.AccessNotTaken:
			d.going = nil
		}
	}
	now := d.c.mono()
	wait := time.Hour
	if out.HasNext {
		wait = max(out.Next-now, 0)
	}
	timer.Reset(wait)
	d.c.setState(DoorState{
		ID: d.w.ID, Mode: d.state.Mode(now), Alarm: d.state.Alarm(), HasContact: d.w.Contact != nil,
		Physical: d.state.Physical(), Open: d.state.Open(), Released: out.Release, LockFault: fault,
		Fire: d.state.Fire(), REXStuck: d.state.REXStuck(),
	})
}

func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
