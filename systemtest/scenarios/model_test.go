package scenarios

import (
	"maps"
	"slices"
	"time"

	"postern/access"
)

// event is a journal entry as far as the model knows it.
type event struct {
	at          time.Time
	typ         access.EventType
	reason      access.Reason
	door, point string
	key, person access.ID
	cred        string
}

type movement struct {
	who  access.ID
	area string
}

// tries is a subject's wrong entries.
type tries struct {
	failures, level int
	last, until     time.Time
}

// wallClock is what the panel takes for the time: the bubble's, put off.
type wallClock struct {
	off      time.Duration
	state    access.ClockState
	lastGood time.Time
	grace    time.Duration
}

func (c wallClock) at(t time.Time) access.Clock {
	return access.Clock{Now: t.Add(c.off), State: c.state, LastGood: c.lastGood, Grace: c.grace}
}

func (c wallClock) believed() bool { return c.state != access.ClockUntrusted }

// remembered is who was last at a reader that another may go with.
type remembered struct {
	who              access.ID
	escort, needsOne bool
	at               time.Time
}

// waiting is a card that waits for its PIN.
type waiting struct {
	card        card
	seen, until time.Time
}

type pointModel struct {
	pair  remembered
	wait  *waiting
	entry entryModel
	last  lastRead
}

// lastRead is what was granted last, when it was first, and where its holder was
// before.
type lastRead struct {
	shown  shown
	at     time.Time
	before access.Place
}

// model is the panel as it has to be.
type model struct {
	now      time.Time
	clock    wallClock
	site     *site
	keys     map[access.ID]*key
	doors    [doors]doorModel
	points   [readers]pointModel
	pads     map[string]tries
	risked   map[string]tries // what the card may hold while an entry is not answered
	riskedAt time.Time
	riskedBy int // the reader
	places   map[access.ID]access.Place
	fires    [2]bool
	down     bool // the lockdown input
	aux      bool
	orders   []access.DoorOrder // of central
	local    []access.DoorOrder // of operators at the panel, one a door
	last     [doors]wished      // that a door was told
	first    [doors]time.Time   // until when a first card unlocks it
	heard    time.Time          // of central
	stale    bool
	before   *access.Place // where the holder of a card that is held to a reader was

	moved   map[access.ID][]access.Place // since the last check, one after the other
	events  []event                      // expected since then
	locks   []change                     // likewise
	signals [readers]string
	stats   *stats
}

func (m *model) expect(e event) { m.events = append(m.events, e) }

func (m *model) wall() time.Time { return m.now.Add(m.clock.off) }

// sure is an answer that the clock may not allow.
type sure uint8

const (
	no sure = iota
	yes
	unknown
)

func (m *model) open(sched string) sure {
	sc := m.site.scheds[sched]
	switch {
	case sc.always:
		return yes
	case len(sc.spans) == 0:
		return no
	case !m.clock.believed():
		return unknown
	case m.site.open(sched, m.wall()):
		return yes
	}
	return no
}

// modes are those that an access point can be in.
func (m *model) modes(i int) []access.PointMode {
	var out []access.PointMode
	for _, t := range m.site.points[i].modes {
		o := m.open(t.sched)
		if o != no && !slices.Contains(out, t.mode) {
			out = append(out, t.mode)
		}
		if o == yes {
			return out
		}
	}
	if !slices.Contains(out, m.site.points[i].mode) {
		out = append(out, m.site.points[i].mode)
	}
	return out
}

// wished is what a door has to be, grants apart, and by whose order.
type wished struct {
	mode  access.DoorMode
	by    orderer
	until time.Time // of an order at the panel
}

type orderer uint8

const (
	nobody orderer = iota
	central
	panel
	input
)

// untold reports whether an operator's order, or its end, changes no mode and is
// told all the same.
func (is wished) untold(was wished) bool {
	if was.mode != is.mode {
		return false
	}
	if is.by == panel {
		return was.by != panel || was.until != is.until
	}
	return was.by == panel && is.by != input
}

func (m *model) wanted(d int) access.DoorMode { return m.wish(d).mode }

func (m *model) wish(d int) wished {
	if m.down {
		return wished{mode: access.LockedDown, by: input}
	}
	for _, o := range m.local {
		if o.Door == doorID(d) && m.holds(o) {
			return wished{o.Mode, panel, o.Until}
		}
	}
	for _, name := range []string{doorID(d), access.AllDoors} {
		for _, o := range m.orders {
			if o.Door == name && m.holds(o) {
				return wished{mode: o.Mode, by: central}
			}
		}
	}
	spec := m.site.doors[d]
	if spec.unlock != "" && m.open(spec.unlock) == yes && (!spec.first || m.clock.believed() && m.wall().Before(m.first[d])) {
		return wished{mode: access.Unlocked}
	}
	for i, p := range m.site.points {
		if modes := m.modes(i); !p.gone && doorOf[i] == d && len(modes) == 1 && modes[0] == access.ModeUnlocked {
			return wished{mode: access.Unlocked}
		}
	}
	return wished{}
}

func (m *model) holds(o access.DoorOrder) bool {
	switch {
	case o.Until.IsZero():
		return true
	case m.clock.believed():
		return m.wall().Before(o.Until)
	}
	// What opens has to be known not to be over; what locks has to be known to be.
	return !holdsOpen(o.Mode) && o.Until.After(m.clock.lastGood)
}

// boundary is the next instant, until to, at which time alone changes what a door
// has to be; false when there is none.
func (m *model) boundary(to time.Time) (time.Time, bool) {
	if !m.clock.believed() {
		return to, false
	}
	var at []time.Time
	for _, o := range slices.Concat(m.orders, m.local) {
		at = append(at, o.Until.Add(-m.clock.off))
	}
	for _, t := range m.first {
		at = append(at, t.Add(-m.clock.off))
	}
	// The schedules' times are whole minutes of the wall clock.
	for t := m.wall().Truncate(time.Minute).Add(time.Minute).Add(-m.clock.off); !t.After(to); t = t.Add(time.Minute) {
		at = append(at, t)
	}
	slices.SortFunc(at, time.Time.Compare)
	var is [doors]wished
	for d := range is {
		is[d] = m.wish(d)
	}
	was := m.now
	defer func() { m.now = was }()
	for _, t := range at {
		if !t.After(was) || t.After(to) {
			continue
		}
		m.now = t
		for d := range is {
			if m.wish(d) != is[d] {
				return t, true
			}
		}
	}
	return to, false
}

// advance moves everything but the modes on to an instant.
func (m *model) advance(to time.Time) {
	for i := range m.points {
		m.expire(i, to)
	}
	for d := range m.doors {
		m.doors[d].advance(to)
	}
	m.now = to
	for d := range m.first {
		if m.site.doors[d].unlock == "" || m.open(m.site.doors[d].unlock) == no {
			m.first[d] = time.Time{} // what it began is over
		}
	}
}

// move puts people into an area; one that the policy no longer has is nowhere.
func (m *model) move(list []movement) {
	for _, g := range list {
		if _, ok := m.site.areas[g.area]; g.area != access.Outside && !ok {
			delete(m.places, g.who)
			m.moved[g.who] = append(m.moved[g.who], access.Place{})
			continue
		}
		m.places[g.who] = access.Place{Area: g.area, At: m.wall()}
		m.moved[g.who] = append(m.moved[g.who], m.places[g.who])
	}
}

// busy lists the doors that are open or released.
func (m *model) busy(d int) bool { return m.doors[d].open || m.doors[d].released() }

func (m *model) barred(d int) bool {
	if !m.site.interlocked(d) {
		return false
	}
	return slices.ContainsFunc(m.site.interlock, func(o int) bool { return o != d && m.busy(o) })
}

func (m *model) setPolicy(s *site) {
	m.site = s
	maps.DeleteFunc(m.places, func(_ access.ID, p access.Place) bool {
		_, ok := s.areas[p.Area]
		return p.Area != access.Outside && !ok
	})
	for d := range m.doors {
		m.doors[d].happen(func() { m.doors[d].times = s.doors[d].times })
	}
}

// lockout rules.

func (s *site) rules() (keys, pads int, first, most time.Duration) {
	or := func(n, other int) int {
		if n == 0 {
			return other
		}
		return n
	}
	first, most = s.first, s.most
	if first == 0 {
		first = time.Minute
	}
	if most == 0 {
		most = 15 * time.Minute
	}
	return or(s.keyTries, 3), or(s.pointTries, 5), first, most
}

// locked reports whether a subject's entries are refused: a lockout that ends
// more than an hour off is of a clock that was set back.
func (m *model) locked(subject string) bool {
	t := m.pads[subject]
	left := t.until.Sub(m.wall())
	return !t.until.IsZero() && left > 0 && left <= time.Hour
}

// fail counts a wrong entry, and says whether it locks out.
func (m *model) fail(subject string, most int) bool {
	t, began := m.failed(subject, most)
	m.pads[subject] = t
	return began
}

// failed is what a wrong entry makes of a subject's, and whether it locks out.
func (m *model) failed(subject string, most int) (t tries, began bool) {
	_, _, first, longest := m.site.rules()
	now := m.wall()
	t = m.pads[subject]
	if age := now.Sub(t.last); age > max(time.Hour, 2*longest) || age < -time.Hour {
		t = tries{}
	}
	t.last = now
	t.failures++
	began = t.failures >= most
	if began {
		length := first
		for range min(t.level, 16) {
			length *= 2
		}
		t.until = now.Add(min(length, longest))
		t.failures = 0
		t.level++
	}
	return t, began
}
