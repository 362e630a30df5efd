package scenarios

import (
	"time"

	"postern/access"
)

// stuckAfter is how long an exit button is held before it is stuck.
const stuckAfter = time.Minute

// fitting is how a door is built.
type fitting struct {
	contact, maglock, shuntOnly, fireRelease, rex bool
}

// release is one cause that ends by itself.
type release struct{ until, shunt time.Time }

func (r *release) give(now time.Time, length, after time.Duration) {
	if end := now.Add(length); end.After(r.until) {
		r.until = end
	}
	if end := now.Add(length + after); end.After(r.shunt) {
		r.shunt = end
	}
}

// change is what a lock did at an instant.
type change struct {
	at       time.Time
	door     int
	released bool
}

// doorModel is one door.
type doorModel struct {
	m *model
	n int
	fitting
	times access.DoorTimes
	now   time.Time
	mode  access.DoorMode // without Accessed

	grant, rexed  release
	awaited       bool
	fire, rexDown bool
	rexSince      time.Time
	stuck         bool
	known, open   bool
	fault         bool // the contact can't be read
	held          time.Time
	warned        bool
	alarm         access.DoorAlarm
	wasReleased   bool
	going         []movement
	lastGrant     time.Time
}

func suspends(m access.DoorMode) bool { return m == access.LockedDown || m == access.Blocked }

func holdsOpen(m access.DoorMode) bool { return m == access.Unlocked || m == access.LockedOpen }

// released is the union of the causes: fire, exit button, and where nothing
// suspends them the mode and a grant.
func (d *doorModel) released() bool {
	if d.fire && d.fireRelease || d.now.Before(d.rexed.until) {
		return true
	}
	return !suspends(d.mode) && (holdsOpen(d.mode) || d.now.Before(d.grant.until))
}

func (d *doorModel) note() {
	if r := d.released(); r != d.wasReleased {
		d.wasReleased = r
		d.m.locks = append(d.m.locks, change{d.now, d.n, r})
	}
}

func (d *doorModel) tell(t access.EventType) {
	d.m.expect(event{at: d.now, typ: t, door: doorID(d.n)})
}

func (d *doorModel) quiet() bool { return d.fire || holdsOpen(d.mode) }

func (d *doorModel) awaitEnd() time.Time {
	if !d.shuntOnly && d.rexed.shunt.After(d.grant.shunt) {
		return d.rexed.shunt
	}
	return d.grant.shunt
}

// advance lets time do what it does, up to an instant.
func (d *doorModel) advance(to time.Time) {
	for {
		next := to
		for _, t := range d.deadlines() {
			if t.After(d.now) && t.Before(next) {
				next = t
			}
		}
		d.now = next
		d.due()
		d.note()
		if next.Equal(to) {
			return
		}
	}
}

func (d *doorModel) deadlines() []time.Time {
	out := []time.Time{d.grant.until, d.rexed.until}
	if d.awaited {
		out = append(out, d.awaitEnd())
	}
	if d.rexDown && !d.stuck {
		out = append(out, d.rexSince.Add(stuckAfter))
	}
	if d.open && !d.quiet() && d.alarm == access.Normal {
		out = append(out, d.held.Add(d.times.HeldWarning), d.held.Add(d.times.HeldAlarm))
	}
	return out
}

func (d *doorModel) due() {
	if d.awaited && !d.now.Before(d.awaitEnd()) {
		d.awaited, d.going = false, nil
		if !d.fault {
			d.tell(access.AccessNotTaken)
		}
	}
	if d.rexDown && !d.stuck && !d.now.Before(d.rexSince.Add(stuckAfter)) {
		d.stuck = true
		d.tell(access.REXStuck)
	}
	if !d.open || d.quiet() || d.alarm != access.Normal {
		return
	}
	if !d.warned && !d.now.Before(d.held.Add(d.times.HeldWarning)) {
		d.warned = true
		d.tell(access.DoorHeldWarning)
	}
	if !d.now.Before(d.held.Add(d.times.HeldAlarm)) {
		d.alarm = access.OpenTooLong
		d.tell(access.DoorHeldOpen)
	}
}

// happen does something to the door now, and draws the consequences.
func (d *doorModel) happen(do func()) {
	was := d.quiet()
	do()
	switch now := d.quiet(); {
	case now && !was:
		d.endAlarm()
	case was && !now:
		d.held, d.warned = later(d.held, d.now), false
	}
	d.due()
	d.note()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (d *doorModel) endAlarm() {
	if d.alarm != access.Normal {
		d.alarm = access.Normal
		d.tell(access.DoorAlarmEnded)
	}
}

// let releases the door for somebody.
func (d *doorModel) let(extended bool) {
	d.happen(func() {
		length := d.times.Strike
		if extended {
			length = d.times.Extended
		}
		d.lastGrant = d.now
		d.grant.give(d.now, length, d.times.ShuntAfter)
		d.given(length)
	})
}

// given is a release that runs for a length from now.
func (d *doorModel) given(length time.Duration) {
	if d.open {
		d.held, d.warned = later(d.held, d.now.Add(length)), false
		return
	}
	d.awaited = d.contact
}

func (d *doorModel) press(found bool) {
	d.happen(func() {
		if found {
			d.rexDown, d.rexSince = true, d.now
			return
		}
		d.letGo()
		d.rexDown, d.rexSince = true, d.now
		d.tell(access.GrantedREX)
		if d.shuntOnly {
			d.rexed.shunt = later(d.rexed.shunt, d.now.Add(d.times.Strike+d.times.ShuntAfter))
			return
		}
		d.rexed.give(d.now, d.times.Strike, d.times.ShuntAfter)
		d.given(d.times.Strike)
	})
}

func (d *doorModel) letGo() {
	d.rexDown = false
	if d.stuck {
		d.stuck = false
		d.tell(access.REXStuckEnded)
	}
}

// lose is a contact that can't be read any more: nobody can be seen to go through,
// so those who may count as gone.
func (d *doorModel) lose() {
	if d.fault {
		return
	}
	d.happen(func() {
		d.fault = true
		d.tell(access.ContactFault)
		d.m.move(d.going)
		d.going = nil
	})
}

func (d *doorModel) swing(open bool) {
	d.happen(func() {
		if d.fault {
			d.fault = false
			d.tell(access.ContactFaultEnded)
		}
		first := !d.known
		d.known = true
		if open == d.open {
			return
		}
		d.open = open
		if !open {
			if d.maglock {
				d.cut(d.now)
			}
			d.endAlarm()
			return
		}
		accounted := d.now.Before(later(d.grant.shunt, d.rexed.shunt))
		d.held, d.warned = later(d.now, later(d.grant.until, d.rexed.until)), false
		if !d.maglock {
			d.cut(d.now.Add(d.times.Relock))
		}
		switch {
		case d.awaited:
			d.awaited = false
			d.tell(access.AccessTaken)
			d.m.move(d.going)
			d.going = nil
		case !first && !d.quiet() && !accounted:
			d.alarm = access.ForcedOpen
			d.tell(access.DoorForced)
		}
	})
}

func (d *doorModel) cut(at time.Time) {
	d.grant.until, d.rexed.until = sooner(d.grant.until, at), sooner(d.rexed.until, at)
}

func (d *doorModel) alarmFire(on bool) {
	if d.fire == on {
		return
	}
	d.happen(func() {
		d.fire = on
		if on {
			d.tell(access.FireAlarm)
		} else {
			d.tell(access.FireCleared)
		}
	})
}

func (d *doorModel) set(mode access.DoorMode) {
	d.happen(func() {
		d.mode = mode
		d.tell(map[access.DoorMode]access.EventType{
			access.Locked: access.DoorLocked, access.Unlocked: access.DoorUnlocked, access.Blocked: access.DoorBlocked,
			access.LockedDown: access.DoorLockedDown, access.LockedOpen: access.DoorLockedOpen,
		}[mode])
		if suspends(mode) {
			d.grant = release{shunt: sooner(d.grant.shunt, d.now.Add(d.times.ShuntAfter))}
		}
	})
}
