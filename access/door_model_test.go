package access

import "time"

// doorUnit is the model's only unit of time: every time is a multiple.
const doorUnit = 500 * time.Millisecond

// doorModel is a door told in a simpler way: it knows no instants and no
// deadlines, only how many units are left of something, and is moved on one
// unit after the other. Every cause of a release is kept by itself.
type doorModel struct {
	cfg   DoorConfig
	times doorUnits

	command, schedule    DoorMode
	commanded            bool
	fire, tamper, fault  bool
	spoken, open         bool
	grants, buttons      []int // units left of each release
	grantShunt, rexShunt int
	waiting              bool // for an opening
	down, stuck          bool
	downFor              int
	promised, heldFor    int // units left of the time that was promised; open beyond it
	warned               bool
	alarm                string
	told                 []EventType
}

// doorUnits are DoorTimes as numbers of units, with the button's.
type doorUnits struct{ strike, extended, relock, warning, alarm, shunt, stuck int }

func (u doorUnits) times() DoorTimes {
	t := func(n int) time.Duration { return time.Duration(n) * doorUnit }
	return DoorTimes{Strike: t(u.strike), Extended: t(u.extended), Relock: t(u.relock), HeldWarning: t(u.warning), HeldAlarm: t(u.alarm), ShuntAfter: t(u.shunt)}
}

func (m *doorModel) mode() DoorMode {
	if m.commanded {
		return m.command
	}
	return m.schedule
}
func (m *doorModel) shut() bool { return m.mode() == Blocked || m.mode() == LockedDown }
func (m *doorModel) free() bool { return m.mode() == Unlocked || m.mode() == LockedOpen }
func (m *doorModel) calm() bool { return m.free() || m.fire }

func (m *doorModel) released() bool {
	if m.fire && m.cfg.FireRelease || len(m.buttons) > 0 {
		return true
	}
	return !m.shut() && (m.free() || len(m.grants) > 0)
}

// unit lets one unit pass.
func (m *doorModel) unit() {
	run := func(left []int) (out []int) {
		for _, n := range left {
			if n > 1 {
				out = append(out, n-1)
			}
		}
		return out
	}
	m.grants, m.buttons = run(m.grants), run(m.buttons)
	m.grantShunt, m.rexShunt = max(m.grantShunt-1, 0), max(m.rexShunt-1, 0)
	m.downFor++
	switch {
	case m.promised > 0:
		m.promised--
	case !m.calm():
		m.heldFor++
	}
	m.over()
}

// over tells what is over by now.
func (m *doorModel) over() {
	if left := m.grantShunt + m.rexShunt; m.waiting && (left == 0 || m.cfg.REX == REXShunt && m.grantShunt == 0) {
		m.waiting = false
		if !m.fault {
			m.tell(AccessNotTaken)
		}
	}
	if m.down && !m.stuck && m.downFor >= m.times.stuck {
		m.stuck = true
		m.tell(REXStuck)
	}
	if !m.open || m.calm() || m.alarm != "" || m.promised > 0 {
		return
	}
	if !m.warned && m.heldFor >= m.times.warning {
		m.warned = true
		m.tell(DoorHeldWarning)
	}
	if m.heldFor >= m.times.alarm {
		m.alarm = "held"
		m.tell(DoorHeldOpen)
	}
}

func (m *doorModel) tell(e EventType) { m.told = append(m.told, e) }

// happen takes an input.
func (m *doorModel) happen(in DoorInput) {
	mode, calm := m.mode(), m.calm()
	switch in.Kind {
	case DoorGrant:
		if !m.shut() {
			n := m.times.strike
			if in.Extended {
				n = m.times.extended
			}
			m.grants = append(m.grants, n)
			m.grantShunt = max(m.grantShunt, n+m.times.shunt)
			m.promise(n)
		}
	case DoorREX:
		m.up()
		m.down, m.downFor = true, 0
		m.tell(GrantedREX)
		m.rexShunt = max(m.rexShunt, m.times.strike+m.times.shunt)
		if m.cfg.REX == REXUnlock {
			m.buttons = append(m.buttons, m.times.strike)
			m.promise(m.times.strike)
		}
	case DoorREXFoundDown:
		if !m.down {
			m.down, m.downFor = true, 0
		}
	case DoorREXReleased:
		m.up()
	case DoorContactOpen, DoorContactClosed:
		if m.cfg.HasContact {
			m.speak(in.Kind == DoorContactOpen)
		}
	case DoorContactFault:
		if m.cfg.HasContact && !m.fault {
			m.fault = true
			m.tell(ContactFault)
		}
	case DoorFireOn, DoorFireOff:
		m.level(&m.fire, in.Kind == DoorFireOn, FireAlarm, FireCleared)
	case DoorTamperOn, DoorTamperOff:
		m.level(&m.tamper, in.Kind == DoorTamperOn, Tampered, TamperEnded)
	case DoorSetMode:
		m.command, m.commanded = in.Mode, true
	case DoorClearMode:
		m.commanded = false
	case DoorSchedule:
		m.schedule = in.Mode
	}
	if m.mode() != mode {
		m.tell([...]EventType{DoorLocked, DoorUnlocked, 0, DoorBlocked, DoorLockedDown, DoorLockedOpen}[m.mode()])
		if m.shut() {
			m.grants, m.grantShunt = nil, min(m.grantShunt, m.times.shunt)
		}
	}
	if m.calm() {
		m.quieten()
	} else if calm {
		m.heldFor, m.warned = 0, false
	}
	m.over()
}

func (m *doorModel) level(l *bool, to bool, on, off EventType) {
	if *l == to {
		return
	}
	*l = to
	if to {
		m.tell(on)
	} else {
		m.tell(off)
	}
}

func (m *doorModel) promise(n int) {
	if m.open {
		m.promised, m.heldFor, m.warned = max(m.promised, n), 0, false
	} else if m.cfg.HasContact {
		m.waiting = true
	}
}

func (m *doorModel) up() {
	if m.stuck {
		m.tell(REXStuckEnded)
	}
	m.down, m.stuck = false, false
}

func (m *doorModel) quieten() {
	if m.alarm != "" {
		m.alarm = ""
		m.tell(DoorAlarmEnded)
	}
}

func (m *doorModel) speak(open bool) {
	if m.fault {
		m.fault = false
		m.tell(ContactFaultEnded)
	}
	spoken, was := m.spoken, m.open
	m.spoken, m.open = true, open
	switch {
	case was && !open:
		if m.cfg.RelockOnClose {
			m.grants, m.buttons = nil, nil
		}
		m.quieten()
	case open && !was:
		m.promised, m.heldFor, m.warned = max(longest(m.grants), longest(m.buttons)), 0, false
		if !m.cfg.RelockOnClose {
			m.grants, m.buttons = atMost(m.grants, m.times.relock), atMost(m.buttons, m.times.relock)
		}
		if m.waiting {
			m.waiting = false
			m.tell(AccessTaken)
		} else if spoken && !m.calm() && m.grantShunt == 0 && m.rexShunt == 0 {
			m.alarm = "forced"
			m.tell(DoorForced)
		}
	}
}

func longest(left []int) (n int) {
	for _, l := range left {
		n = max(n, l)
	}
	return n
}

func atMost(left []int, n int) (out []int) {
	for _, l := range left {
		if min(l, n) > 0 {
			out = append(out, min(l, n))
		}
	}
	return out
}
