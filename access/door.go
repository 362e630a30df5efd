package access

import "time"

// Door is the state machine of one door. The lock's output is the union of its
// causes, and the end of one never relocks for another. In the order of their
// weight: a fire, where the door is configured to release on it; the exit
// button; a mode that locks down or blocks, which suspends what follows, a
// running grant included; a mode that unlocks; a grant. A mode comes by command,
// and where there is none by schedule.
//
// A new door is locked, without a command and without a cause: what it was
// before a restart has to be told anew, and only what is present then counts.
//
// Time is any monotonic clock that starts above zero. The zero value is not
// usable, and a Door is not safe for concurrent use.
type Door struct {
	cfg  DoorConfig
	told []EventType // of the step at hand

	command, schedule DoorMode
	commanded         bool

	grant, rex release
	awaited    bool // a release has not been followed by an opening yet

	fire, tamper bool
	rexDown      bool
	rexSince     time.Duration
	rexStuck     bool

	known    bool          // the contact has said something
	open     bool          // its last word
	fault    bool          // it can't be read
	heldFrom time.Duration // what the held-open times count from
	warned   bool
	alarm    DoorAlarm
}

// release is a cause that lasts until an instant. The zero value is over.
type release struct {
	until time.Duration // the lock is released before this
	shunt time.Duration // an opening before this is not forced
}

// NewDoor makes a door, locked and taken as closed until the contact speaks.
func NewDoor(cfg DoorConfig) *Door {
	if cfg.REXStuckAfter <= 0 {
		cfg.REXStuckAfter = DefaultREXStuckAfter
	}
	return &Door{cfg: cfg}
}

// SetTimes changes the door's times; running releases keep theirs. Step with
// DoorTick afterwards, as the next deadline may have moved.
func (d *Door) SetTimes(t DoorTimes) { d.cfg.Times = t }

// Mode is the door's mode at now, Accessed instead of Locked while a grant or
// the exit button releases it.
func (d *Door) Mode(now time.Duration) DoorMode {
	if d.inForce() == Locked && (now < d.grant.until || now < d.rex.until) {
		return Accessed
	}
	return d.inForce()
}

// Physical is what the contact says.
func (d *Door) Physical() DoorPhysicalState {
	switch {
	case d.fault:
		return PhysicalFault
	case !d.known:
		return PhysicalUnknown
	case d.open:
		return PhysicalOpen
	}
	return PhysicalClosed
}

// Open reports whether the contact's last word was open; false without a
// contact.
func (d *Door) Open() bool { return d.open }

// Alarm is the alarm that stands.
func (d *Door) Alarm() DoorAlarm { return d.alarm }

// Fire reports whether the fire input is active.
func (d *Door) Fire() bool { return d.fire }

// Tampered reports whether the tamper input is active.
func (d *Door) Tampered() bool { return d.tamper }

// REXStuck reports whether the exit button has been held too long.
func (d *Door) REXStuck() bool { return d.rexStuck }

// Released reports whether the lock is to be released at now.
func (d *Door) Released(now time.Duration) bool {
	switch mode := d.inForce(); {
	case d.fire && d.cfg.FireRelease, now < d.rex.until:
		return true
	case mode.suspends():
		return false
	default:
		return mode.holdsOpen() || now < d.grant.until
	}
}

// Step takes one input at now, which never goes back, and gives what the door
// wants from then on.
func (d *Door) Step(now time.Duration, in DoorInput) DoorOutput {
	d.told = nil
	d.due(now) // what fell due before this input happened first
	mode, quiet := d.inForce(), d.quiet()
	d.take(now, in)
	d.settle(now, mode, quiet)
	d.due(now) // a time of zero is over at once
	next := d.next(now)
	return DoorOutput{Release: d.Released(now), Events: d.told, Next: next, HasNext: next > 0}
}

func (d *Door) take(now time.Duration, in DoorInput) {
	switch in.Kind {
	case DoorGrant:
		d.granted(now, in.Extended)
	case DoorREX:
		d.pressed(now)
	case DoorREXFoundDown:
		d.hold(now)
	case DoorREXReleased:
		d.letGo()
	case DoorContactOpen:
		d.contact(now, true)
	case DoorContactClosed:
		d.contact(now, false)
	case DoorContactFault:
		if d.cfg.HasContact {
			d.edge(&d.fault, true, ContactFault)
		}
	case DoorFireOn:
		d.edge(&d.fire, true, FireAlarm)
	case DoorFireOff:
		d.edge(&d.fire, false, FireCleared)
	case DoorTamperOn:
		d.edge(&d.tamper, true, Tampered)
	case DoorTamperOff:
		d.edge(&d.tamper, false, TamperEnded)
	case DoorSetMode:
		d.command, d.commanded = in.Mode.settable(), true
	case DoorClearMode:
		d.commanded = false
	case DoorSchedule:
		d.schedule = in.Mode.settable()
	}
}

// settle draws the consequences of a change of mode or of fire.
func (d *Door) settle(now time.Duration, mode DoorMode, quiet bool) {
	if m := d.inForce(); m != mode {
		d.tell(m.event())
		if m.suspends() {
			// Withdrawn, not paused: it must not come back when the mode ends.
			d.grant = release{shunt: min(d.grant.shunt, now+d.cfg.Times.ShuntAfter)}
		}
	}
	switch {
	case d.quiet() && !quiet:
		d.endAlarm()
	case quiet && !d.quiet():
		// It was right to stand open until now.
		d.heldFrom, d.warned = max(d.heldFrom, now), false
	}
}

// next is the earliest instant after now at which time alone changes
// something, or zero.
func (d *Door) next(now time.Duration) (next time.Duration) {
	at := func(t time.Duration) {
		if t > now && (next == 0 || t < next) {
			next = t
		}
	}
	at(d.grant.until)
	at(d.rex.until)
	if d.awaited {
		at(d.awaitEnd())
	}
	if d.rexDown && !d.rexStuck {
		at(d.rexSince + d.cfg.REXStuckAfter)
	}
	if d.heldTimesRun() {
		if !d.warned {
			at(d.heldFrom + d.cfg.Times.HeldWarning)
		}
		at(d.heldFrom + d.cfg.Times.HeldAlarm)
	}
	return next
}

func (d *Door) inForce() DoorMode {
	if d.commanded {
		return d.command
	}
	return d.schedule
}

// quiet reports whether nothing here is an alarm: the door may stand open.
func (d *Door) quiet() bool { return d.fire || d.inForce().holdsOpen() }

// edge sets an input's level and tells when it changed.
func (d *Door) edge(level *bool, to bool, e EventType) {
	if *level != to {
		*level = to
		d.tell(e)
	}
}

func (d *Door) tell(e EventType) { d.told = append(d.told, e) }
