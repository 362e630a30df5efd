package controller

import (
	"time"

	"postern/access"
)

// Source is who wants a door in its mode.
type Source string

// The sources, BySchedule below every order and ByInput above.
const (
	ByNobody   Source = ""
	BySchedule Source = "schedule"
	ByCentral  Source = "central"
	ByPanel    Source = "panel" // an operator at the panel
	ByInput    Source = "input" // a lockdown input
)

// FirstCard is how an unlock schedule that is open stands to its first card.
type FirstCard string

// The states of a first card; "" where none is waited for.
const (
	FirstCardAwaited FirstCard = "awaited"
	FirstCardIn      FirstCard = "came"
)

// Wish is what a door is wanted to be, apart from grants, exit buttons and fire.
type Wish struct {
	Mode      access.DoorMode
	By        Source
	Until     time.Time // when that ends by itself, zero for not known
	FirstCard FirstCard
}

// Wish gives what a door is wanted to be now, and by whom.
func (c *Controller) Wish(door string) Wish {
	clock := c.opts.Clock()
	w := c.wish(door, clock)
	out := Wish{Mode: w.mode(), By: w.by, Until: w.until, FirstCard: w.first}
	if out.By == BySchedule {
		out.Until = c.scheduleEnd(door, w.next, clock)
	}
	return out
}

// scheduleEnd is when a schedule no longer unlocks a door that it does unlock, if
// that is within the next few of its changes.
func (c *Controller) scheduleEnd(door string, next time.Time, clock access.Clock) time.Time {
	const changes = 10
	p, first := c.policy.Load(), c.firstCard(door)
	for range changes {
		if next.IsZero() {
			break
		}
		w := p.DoorWish(door, nil, first, access.Trusted(next))
		if w.Schedule != access.Unlocked {
			return next
		}
		next = w.Next
	}
	return time.Time{}
}

// wish is what a door was last told to be.
type wish struct {
	ordered         bool
	order, schedule access.DoorMode
	by              Source
	until           time.Time // of the order
	first           FirstCard
	next            time.Time // when to ask again for time alone
}

func (w wish) mode() access.DoorMode { return pick(w.ordered, w.order, w.schedule) }

// wish is what a door is wanted to be now. An active lockdown input stands above
// every order.
func (c *Controller) wish(door string, clock access.Clock) wish {
	c.mu.Lock()
	orders, local, first, lockdown := c.orders, c.local, c.first[door], c.anyActive(Lockdown)
	c.mu.Unlock()
	p := c.policy.Load()
	v := p.DoorWish(door, orders, first, clock)
	w := wish{ordered: v.Ordered, order: v.Order, schedule: v.Schedule, next: v.Next}
	switch {
	case lockdown:
		w.ordered, w.order, w.by = true, access.LockedDown, ByInput
	case v.Ordered:
		w.by, w.until = ordering(p, door, orders, local, clock)
	case v.Schedule != access.Locked:
		w.by = BySchedule
	}
	w.first = waiting(p, door, first, clock)
	return w
}

// ordering finds the order that is in force, of which local come from the panel.
func ordering(p *access.Policy, door string, orders []access.DoorOrder, local int, clock access.Clock) (Source, time.Time) {
	for _, name := range []string{door, access.AllDoors} {
		for i, o := range orders {
			if o.Door == name && p.DoorWish(door, orders[i:i+1], time.Time{}, clock).Ordered {
				return pick(i < local, ByPanel, ByCentral), o.Until
			}
		}
	}
	return ByNobody, time.Time{}
}

// waiting is how a door's unlock schedule stands to its first card.
func waiting(p *access.Policy, door string, first time.Time, clock access.Clock) FirstCard {
	unlocked := func(first time.Time) bool {
		return p.DoorWish(door, nil, first, clock).Schedule == access.Unlocked
	}
	switch d := p.Door(door); {
	case d == nil || !d.FirstCard || unlocked(time.Time{}) || !unlocked(clock.Now.Add(time.Hour)):
		return ""
	case unlocked(first):
		return FirstCardIn
	}
	return FirstCardAwaited
}

// cause is who brought a door into a mode, for the journal.
type cause struct {
	reason access.Reason
	detail string
}

// cause is the cause of what is wanted now.
func (w wish) cause() cause {
	until := ""
	if !w.until.IsZero() {
		until = ", until " + w.until.UTC().Format(time.RFC3339)
	}
	switch w.by {
	case ByPanel:
		return cause{access.ReasonOperator, "ordered at the panel" + until}
	case ByCentral:
		return cause{"", "ordered by central" + until}
	case ByInput:
		return cause{"", "a lockdown input is active"}
	case BySchedule:
		return cause{"", "by schedule"}
	}
	return cause{}
}

// endOf is the cause of the end of an order.
func (c *Controller) endOf(w wish, clock access.Clock) cause {
	c.mu.Lock()
	changer := c.changer
	c.mu.Unlock()
	switch {
	case w.by == ByInput:
		return cause{"", "no lockdown input is active any more"}
	case !w.until.IsZero() && !clock.Now.Before(w.until):
		return cause{"", "the time of its order is over"}
	case changer == ByPanel:
		return cause{access.ReasonOperator, "its order was taken back at the panel"}
	}
	return cause{"", "its order was taken back by central"}
}

// become tells a door what changed, false when it did not take it. An order goes
// before the schedule, and its end after it: a door that is to be locked down must
// not be unlocked by a schedule for an instant, nor one that an order leaves pass
// through an older schedule.
func (d *door) become(was, is wish, end cause) bool {
	if is.ordered && (!was.ordered || was.order != is.order) &&
		!d.send(doorMessage{input: &access.DoorInput{Kind: access.DoorSetMode, Mode: is.order}, cause: is.cause()}) {
		return false
	}
	if is.schedule != was.schedule {
		by := pick(is.ordered || was.ordered, cause{}, pick(is.schedule == access.Locked, cause{"", "by schedule"}, is.cause()))
		if !d.send(doorMessage{input: &access.DoorInput{Kind: access.DoorSchedule, Mode: is.schedule}, cause: by}) {
			return false
		}
	}
	if !is.ordered && was.ordered && !d.send(doorMessage{input: &access.DoorInput{Kind: access.DoorClearMode}, cause: end}) {
		return false
	}
	d.tellOrder(was, is, end)
	return true
}

// tellOrder journals what an operator at the panel ordered where the door's mode
// is not changed by it, and so tells nothing itself.
func (d *door) tellOrder(was, is wish, end cause) {
	if was.mode() != is.mode() {
		return
	}
	e := access.Event{Type: modeEvent(is.mode()), Door: d.w.ID}
	switch {
	case is.by == ByPanel && (was.by != ByPanel || !was.until.Equal(is.until)):
		e.Reason, e.Detail = is.cause().reason, is.cause().detail
	case was.by == ByPanel && is.by != ByPanel && is.by != ByInput:
		e.Reason, e.Detail = end.reason, end.detail
	default:
		return
	}
	d.c.Note(e)
}

// modeEvent is the journal entry of a door in a mode.
func modeEvent(m access.DoorMode) access.EventType {
	switch m {
	case access.Unlocked:
		return access.DoorUnlocked
	case access.Blocked:
		return access.DoorBlocked
	case access.LockedDown:
		return access.DoorLockedDown
	case access.LockedOpen:
		return access.DoorLockedOpen
	}
	return access.DoorLocked
}
