package access

import "time"

// The parts of a door's step: its releases, its exit button, its contact, and
// what time alone brings about.

func (d *Door) granted(now time.Duration, extended bool) {
	if d.inForce().suspends() {
		return // it lost the race with a lockdown
	}
	length := d.cfg.Times.Strike
	if extended {
		length = d.cfg.Times.Extended
	}
	d.release(now, &d.grant, length)
}

// release starts r, or lengthens it; it never shortens it.
func (d *Door) release(now time.Duration, r *release, length time.Duration) {
	until := now + length
	r.until = max(r.until, until)
	r.shunt = max(r.shunt, until+d.cfg.Times.ShuntAfter)
	if d.open {
		d.heldFrom, d.warned = max(d.heldFrom, until), false
		return
	}
	d.awaited = d.cfg.HasContact
}

// awaitEnd is when a release that waits for its opening was not taken: the end
// of its shunt. A button that only shunts waits for nothing.
func (d *Door) awaitEnd() time.Duration {
	if d.cfg.REX == REXShunt {
		return d.grant.shunt
	}
	return max(d.grant.shunt, d.rex.shunt)
}

// pressed takes every press as one, even when the letting go between two was
// lost: that must not cost anybody the way out.
func (d *Door) pressed(now time.Duration) {
	d.letGo()
	d.hold(now)
	d.tell(GrantedREX)
	if d.cfg.REX == REXShunt {
		d.rex.shunt = max(d.rex.shunt, now+d.cfg.Times.Strike+d.cfg.Times.ShuntAfter)
		return
	}
	d.release(now, &d.rex, d.cfg.Times.Strike)
}

func (d *Door) hold(now time.Duration) {
	if !d.rexDown {
		d.rexDown, d.rexSince = true, now
	}
}

func (d *Door) letGo() {
	d.rexDown = false
	d.edge(&d.rexStuck, false, REXStuckEnded)
}

func (d *Door) contact(now time.Duration, open bool) {
	if !d.cfg.HasContact {
		return
	}
	// A door that stands open when the panel starts was not seen to be forced;
	// one that comes out of a fault open, and went into it closed, was.
	first, changed := !d.known, d.open != open
	d.known, d.open = true, open
	d.edge(&d.fault, false, ContactFaultEnded)
	switch {
	case changed && open:
		d.opened(now, first)
	case changed:
		d.closed(now)
	}
}

func (d *Door) opened(now time.Duration, first bool) {
	// The times count from the end that was promised, not from the relocking.
	d.heldFrom, d.warned = max(now, d.grant.until, d.rex.until), false
	if !d.cfg.RelockOnClose {
		// One opening is what a release is for: it is secured soon after.
		d.cut(now + d.cfg.Times.Relock)
	}
	switch {
	case d.awaited:
		d.awaited = false
		d.tell(AccessTaken)
	case !first && !d.quiet() && now >= max(d.grant.shunt, d.rex.shunt):
		d.alarm = ForcedOpen
		d.tell(DoorForced)
	}
}

func (d *Door) closed(now time.Duration) {
	if d.cfg.RelockOnClose {
		d.cut(now)
	}
	d.endAlarm()
}

// cut ends the releases at t at the latest.
func (d *Door) cut(t time.Duration) {
	d.grant.until = min(d.grant.until, t)
	d.rex.until = min(d.rex.until, t)
}

func (d *Door) endAlarm() {
	if d.alarm != Normal {
		d.alarm = Normal
		d.tell(DoorAlarmEnded)
	}
}

// heldTimesRun reports whether the door stands open and is not to.
func (d *Door) heldTimesRun() bool { return d.open && !d.quiet() && d.alarm == Normal }

// due makes happen what time alone brings about, up to now.
func (d *Door) due(now time.Duration) {
	if d.awaited && now >= d.awaitEnd() {
		d.awaited = false
		if !d.fault {
			d.tell(AccessNotTaken)
		}
	}
	if d.rexDown && now >= d.rexSince+d.cfg.REXStuckAfter {
		d.edge(&d.rexStuck, true, REXStuck)
	}
	if !d.heldTimesRun() {
		return
	}
	if !d.warned && now >= d.heldFrom+d.cfg.Times.HeldWarning {
		d.warned = true
		d.tell(DoorHeldWarning)
	}
	if now >= d.heldFrom+d.cfg.Times.HeldAlarm {
		d.alarm = OpenTooLong
		d.tell(DoorHeldOpen)
	}
}
