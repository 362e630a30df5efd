package access

import "time"

// DoorOrder wants a door in a mode, until a time where it has one.
type DoorOrder struct {
	Door  string // its id, or AllDoors
	Mode  DoorMode
	Until time.Time // zero: until there is another order
}

// AllDoors is, in a DoorOrder, every door of the panel.
const AllDoors = "*"

// holds reports whether the order is in force. With an untrusted clock one that
// opens has to be known not to be over, which it can't; one that locks has to
// be known to be.
func (o DoorOrder) holds(c Clock) bool {
	switch {
	case o.Until.IsZero():
		return true
	case c.believed():
		return c.Now.Before(o.Until)
	case o.Mode.holdsOpen():
		return false
	}
	return o.Until.After(c.LastGood)
}

// DoorWish is what a door is wanted to be, apart from grants, REX and fire.
type DoorWish struct {
	Ordered  bool     // by an order; else the schedule's mode is in force
	Order    DoorMode // when Ordered
	Schedule DoorMode // Locked, or Unlocked while a schedule says so
	// Next is when this is to be asked again for time alone, zero for never. A
	// change of the clock or its state, of the policy, of an order or of the
	// first card is another reason.
	Next time.Time
}

// DoorWish gives what a door is wanted to be. Its own order goes before one for
// AllDoors, and the first of several before the others. firstCard is the
// Decision.FirstCardUntil of the door's latest first card, zero for none.
func (p *Policy) DoorWish(door string, orders []DoorOrder, firstCard time.Time, c Clock) DoorWish {
	var w DoorWish
	w.Schedule, w.Next = p.scheduled(door, firstCard, c)
	for _, name := range []string{door, AllDoors} {
		for _, o := range orders {
			if o.Door != name || !o.holds(c) {
				continue
			}
			w.Ordered, w.Order = true, o.Mode
			if c.believed() {
				w.Next = earliest(w.Next, o.Until)
			}
			return w
		}
	}
	return w
}

// scheduled is a door's mode by its unlock schedule and by its access points of
// mode ModeUnlocked, and when that may change.
func (p *Policy) scheduled(door string, firstCard time.Time, c Clock) (DoorMode, time.Time) {
	mode, next := Locked, time.Time{}
	if d := p.doors[door]; d != nil && d.UnlockSchedule != "" {
		next = p.next(d.UnlockSchedule, c)
		if p.open(d.UnlockSchedule, c) == yes && (!d.FirstCard || c.believed() && c.Now.Before(firstCard)) {
			mode = Unlocked
		}
		if d.FirstCard && c.believed() && c.Now.Before(firstCard) {
			next = earliest(next, firstCard)
		}
	}
	for i := range p.Points {
		a := &p.Points[i]
		if a.Door != door {
			continue
		}
		for _, m := range a.Modes {
			next = earliest(next, p.next(m.Schedule, c))
		}
		if now := p.PointModes(a, c); len(now) == 1 && now[0] == ModeUnlocked {
			mode = Unlocked
		}
	}
	return mode, next
}

// firstCardUntil is until when a first card now unlocks a door: as long as its
// unlock schedule is open. It is zero when no card is waited for.
func (p *Policy) firstCardUntil(door string, firstCard time.Time, c Clock) time.Time {
	d := p.doors[door]
	if d == nil || !d.FirstCard || !c.believed() || c.Now.Before(firstCard) || p.open(d.UnlockSchedule, c) != yes {
		return time.Time{}
	}
	if next := p.next(d.UnlockSchedule, c); !next.IsZero() {
		return next
	}
	return c.Now.Add(horizon)
}
