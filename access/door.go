package access

import "time"

// DoorMode is what a door is set to, in ONVIF's words.
type DoorMode uint8

// The door modes. Accessed is Locked with a release running.
const (
	Locked DoorMode = iota
	Unlocked
	Accessed
	Blocked
	LockedDown
)

// String gives the mode's name.
func (m DoorMode) String() string {
	switch m {
	case Locked:
		return "Locked"
	case Unlocked:
		return "Unlocked"
	case Accessed:
		return "Accessed"
	case Blocked:
		return "Blocked"
	case LockedDown:
		return "LockedDown"
	}
	return "?"
}

// suspends reports whether the mode holds back every cause but REX.
func (m DoorMode) suspends() bool { return m == Blocked || m == LockedDown }

// DoorAlarm is the alarm that stands at a door.
type DoorAlarm uint8

// The alarms, in ONVIF's words.
const (
	Normal DoorAlarm = iota
	ForcedOpen
	OpenTooLong
)

// String gives the alarm's name.
func (a DoorAlarm) String() string {
	switch a {
	case ForcedOpen:
		return "DoorForcedOpen"
	case OpenTooLong:
		return "DoorOpenTooLong"
	}
	return "Normal"
}

// DoorInputKind says what happened to a door.
type DoorInputKind uint8

// The inputs of a door.
const (
	DoorTick          DoorInputKind = iota // time passed
	DoorGrant                              // access was granted; Extended holds for the key
	DoorREX                                // the exit button was pressed
	DoorContactOpen                        // the contact says open
	DoorContactClosed                      // the contact says closed
	DoorSetMode                            // the mode is now Mode
)

// DoorInput is one thing that happened to a door.
type DoorInput struct {
	Kind     DoorInputKind
	Extended bool
	Mode     DoorMode
}

// DoorConfig is how a door is built. RelockOnClose is for a maglock, which must
// not pull on a door that stands open; a strike is secured soon after opening.
type DoorConfig struct {
	Times         DoorTimes
	HasContact    bool
	RelockOnClose bool
}

// DoorOutput is what a door wants after a step.
type DoorOutput struct {
	Release bool          // the lock's output
	Events  []EventType   // to be journalled, in order
	Next    time.Duration // when to step again with DoorTick, if HasNext
	HasNext bool
}

// pulse is a cause that releases the lock until an instant.
type pulse struct {
	on    bool
	until time.Duration
}

func (p pulse) running(now time.Duration) bool { return p.on && now < p.until }

// Door is the state machine of one door. The lock's output is the union of its
// causes: a grant, REX, the Unlocked mode. The end of one never relocks for
// another. Blocked and LockedDown suspend every cause but REX. Time is any
// monotonic clock that starts above zero. The zero value is not usable.
type Door struct {
	cfg  DoorConfig
	mode DoorMode

	grant, rex pulse
	shuntUntil time.Duration // opening before this is not forced
	awaited    bool          // a release has not been followed by an opening yet
	awaitUntil time.Duration

	known    bool // the contact has said something
	open     bool
	heldFrom time.Duration // what the held-open times count from
	warned   bool
	alarm    DoorAlarm
}

// NewDoor makes a door, locked and taken as closed until the contact speaks.
func NewDoor(cfg DoorConfig) *Door { return &Door{cfg: cfg} }

// SetTimes changes the door's times; running causes keep theirs.
func (d *Door) SetTimes(t DoorTimes) { d.cfg.Times = t }

// Mode is the door's mode at now, Accessed while a release runs.
func (d *Door) Mode(now time.Duration) DoorMode {
	if d.mode == Locked && d.Released(now) {
		return Accessed
	}
	return d.mode
}

// Open reports whether the contact says open; false without a contact.
func (d *Door) Open() bool { return d.open }

// Alarm is the alarm that stands.
func (d *Door) Alarm() DoorAlarm { return d.alarm }

// Released reports whether the lock is to be released at now.
func (d *Door) Released(now time.Duration) bool {
	if d.rex.running(now) {
		return true
	}
	return !d.mode.suspends() && (d.mode == Unlocked || d.grant.running(now))
}

// Step takes one input at now, which never goes back, and gives what the door
// wants from then on.
func (d *Door) Step(now time.Duration, in DoorInput) DoorOutput {
	var ev []EventType
	// What fell due before this input happened first.
	ev = d.due(now, ev)
	switch in.Kind {
	case DoorGrant:
		d.release(now, &d.grant, in.Extended)
	case DoorREX:
		d.release(now, &d.rex, false)
		ev = append(ev, GrantedREX)
	case DoorContactOpen:
		ev = d.opened(now, ev)
	case DoorContactClosed:
		ev = d.closed(now, ev)
	case DoorSetMode:
		d.setMode(in.Mode)
	}
	return d.output(now, ev)
}

func (d *Door) release(now time.Duration, p *pulse, extended bool) {
	if p == &d.grant && d.mode.suspends() {
		return // a grant that lost the race with a lockdown
	}
	length := d.cfg.Times.Strike
	if extended {
		length = d.cfg.Times.Extended
	}
	until := now + length
	if p.running(now) {
		until = max(until, p.until)
	}
	*p = pulse{on: true, until: until}
	d.shuntUntil = max(d.shuntUntil, until+d.cfg.Times.ShuntAfter)
	if d.open {
		if d.alarm == Normal {
			d.heldFrom, d.warned = max(d.heldFrom, until), false
		}
		return
	}
	if d.cfg.HasContact {
		d.awaited, d.awaitUntil = true, max(d.awaitUntil, d.shuntUntil)
	}
}

func (d *Door) opened(now time.Duration, ev []EventType) []EventType {
	if d.open {
		return ev
	}
	first := !d.known
	d.known, d.open, d.warned = true, true, false
	d.heldFrom = now
	for _, p := range []pulse{d.grant, d.rex} {
		if p.running(now) {
			d.heldFrom = max(d.heldFrom, p.until)
		}
	}
	if !d.cfg.RelockOnClose {
		// One opening is what a pulse is for: it is secured soon after.
		d.cut(now + d.cfg.Times.Relock)
	}
	if d.awaited {
		d.awaited = false
		ev = append(ev, AccessTaken)
	}
	// A door that stands open when the panel starts was not seen to be forced.
	if !first && d.mode != Unlocked && now >= d.shuntUntil && !d.Released(now) {
		d.alarm = ForcedOpen
		ev = append(ev, DoorForced)
	}
	return ev
}

func (d *Door) closed(now time.Duration, ev []EventType) []EventType {
	wasOpen := d.open
	d.known, d.open = true, false
	if !wasOpen {
		return ev
	}
	if d.cfg.RelockOnClose {
		d.cut(now)
	}
	if d.alarm != Normal {
		d.alarm = Normal
		ev = append(ev, DoorAlarmEnded)
	}
	return ev
}

// cut shortens the running pulses to end at t at the latest.
func (d *Door) cut(t time.Duration) {
	for _, p := range []*pulse{&d.grant, &d.rex} {
		if p.on && p.until > t {
			p.until = t
		}
	}
}

func (d *Door) setMode(m DoorMode) {
	if m == Accessed {
		m = Locked
	}
	d.mode = m
	if m.suspends() {
		d.grant = pulse{}
	}
}

// due makes happen what time alone brings about.
func (d *Door) due(now time.Duration, ev []EventType) []EventType {
	for _, p := range []*pulse{&d.grant, &d.rex} {
		if p.on && now >= p.until {
			p.on = false
		}
	}
	if d.awaited && now >= d.awaitUntil {
		d.awaited = false
		ev = append(ev, AccessNotTaken)
	}
	if !d.open || d.mode == Unlocked || d.alarm != Normal {
		return ev
	}
	if !d.warned && now >= d.heldFrom+d.cfg.Times.HeldWarning {
		d.warned = true
		ev = append(ev, DoorHeldWarning)
	}
	if now >= d.heldFrom+d.cfg.Times.HeldAlarm {
		d.alarm = OpenTooLong
		ev = append(ev, DoorHeldOpen)
	}
	return ev
}

func (d *Door) output(now time.Duration, ev []EventType) DoorOutput {
	out := DoorOutput{Release: d.Released(now), Events: ev}
	at := func(t time.Duration) {
		if t > now && (!out.HasNext || t < out.Next) {
			out.Next, out.HasNext = t, true
		}
	}
	for _, p := range []pulse{d.grant, d.rex} {
		if p.on {
			at(p.until)
		}
	}
	if d.awaited {
		at(d.awaitUntil)
	}
	if d.open && d.mode != Unlocked && d.alarm == Normal {
		if !d.warned {
			at(d.heldFrom + d.cfg.Times.HeldWarning)
		}
		at(d.heldFrom + d.cfg.Times.HeldAlarm)
	}
	return out
}
