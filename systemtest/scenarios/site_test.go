package scenarios

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"postern/access"
)

// The panel's doors and readers. Reader 0 and 3 are two sides of door 0.
const (
	doors   = 3
	readers = 4
)

var doorOf = [readers]int{0, 1, 2, 0}

// span is minutes of a day, on days of the week; one that ends before it begins
// runs past midnight.
type span struct {
	days     [7]bool
	from, to int
}

// sched is a schedule: spans, but none on a holiday.
type sched struct {
	always bool
	spans  []span
}

type timed struct {
	sched string
	mode  access.PointMode
}

type ptSpec struct {
	gone     bool // the policy does not have it
	mode     access.PointMode
	modes    []timed
	from, to string
	two      bool
	within   time.Duration
}

type doorSpec struct {
	times  access.DoorTimes
	unlock string
	first  bool
}

type areaSpec struct {
	kind    access.Passback
	within  time.Duration
	forgive []int // minutes of the day
}

type grantSpec struct {
	points []int
	sched  string
}

// site is a policy as the model knows it.
type site struct {
	loc                  *time.Location
	codes                int // digits, 0 for none
	scheds               map[string]sched
	holidays             []access.Date
	levels               [][]grantSpec
	points               [readers]ptSpec
	doors                [doors]doorSpec
	areas                map[string]areaSpec
	interlock            []int
	keyTries, pointTries int
	first, most          time.Duration
	duress               bool
	stale                time.Duration
}

var scheduleNames = []string{"s0", "s1", "s2"}

func levelID(i int) access.ID { return access.ID{0xEE, byte(i + 1)} }

func doorID(d int) string  { return fmt.Sprintf("door%d", d) }
func pointID(r int) string { return fmt.Sprintf("point%d", r) }
func readerID(r int) string {
	return fmt.Sprintf("reader%d", r)
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// newSite draws a policy; its schedules change around now.
func newSite(r *rand.Rand, now time.Time) *site {
	s := &site{loc: one(r, time.UTC, berlin, auckland), scheds: map[string]sched{}, areas: map[string]areaSpec{}}
	s.codes = one(r, 0, 4, 4, 5)
	local := now.In(s.loc)
	for _, name := range scheduleNames {
		s.scheds[name] = drawSched(r, local)
	}
	s.scheds[access.ScheduleAlways], s.scheds[access.ScheduleNever] = sched{always: true}, sched{}
	if chance(r, 30) {
		d := local.AddDate(0, 0, r.IntN(2))
		s.holidays = append(s.holidays, access.Date{Year: d.Year(), Month: d.Month(), Day: d.Day()})
	}
	s.keyTries, s.pointTries = one(r, 0, 1, 2, 3), one(r, 0, 2, 4)
	s.first, s.most = one(r, 0, 10*time.Second, 30*time.Second), one(r, 0, time.Minute, 2*time.Minute)
	s.duress = chance(r, 60)
	s.stale = one(r, 0, 15*time.Minute, 20*time.Minute)
	if chance(r, 25) {
		s.interlock = one(r, []int{0, 1}, []int{1, 2}, []int{0, 1, 2})
	}
	s.drawAreas(r)
	for d := range s.doors {
		s.drawDoor(r, d)
	}
	for i := range s.points {
		s.drawPoint(r, i)
	}
	for range one(r, 2, 3, 3, 3) {
		s.drawLevel(r)
	}
	return s
}

// drawSched makes a schedule of which some boundary is near.
func drawSched(r *rand.Rand, local time.Time) sched {
	var out sched
	for range 1 + r.IntN(2) {
		near := local.Hour()*60 + local.Minute() + one(r, -60, -3, -1, 0, 1, 2, 3, 30)
		length := one(r, 1, 2, 5, 60, 700)
		sp := span{from: (near + 2880) % 1440, to: (near + length + 2880) % 1440}
		if chance(r, 40) {
			sp.from, sp.to = (near-length+2880)%1440, (near+2880)%1440
		}
		if sp.to == 0 {
			sp.to = 1440
		}
		for d := range sp.days {
			sp.days[d] = chance(r, 80)
		}
		sp.days[local.Weekday()] = true
		out.spans = append(out.spans, sp)
	}
	return out
}

func (s *site) drawAreas(r *rand.Rand) {
	if chance(r, 50) {
		return
	}
	for _, name := range []string{"hall", "vault"} {
		if chance(r, 25) {
			continue
		}
		a := areaSpec{kind: one(r, access.PassbackOff, access.PassbackSoft, access.PassbackHard, access.PassbackHard, access.PassbackTimed)}
		if a.kind == access.PassbackTimed {
			a.within = one(r, 5*time.Second, time.Minute, time.Hour)
		}
		if chance(r, 25) {
			a.forgive = append(a.forgive, r.IntN(1440))
		}
		s.areas[name] = a
	}
}

func (s *site) interlocked(d int) bool { return slices.Contains(s.interlock, d) }

func (s *site) drawDoor(r *rand.Rand, d int) {
	t := access.DefaultDoorTimes()
	if chance(r, 50) {
		t.Strike, t.Extended = one(r, 3*time.Second, 5*time.Second), one(r, 6*time.Second, 20*time.Second)
		t.Relock = one(r, 0, 500*time.Millisecond, 4*time.Second)
		t.HeldWarning, t.HeldAlarm = one(r, time.Second, 10*time.Second), one(r, 10*time.Second, 25*time.Second)
		t.ShuntAfter = one(r, 0, time.Second, 5*time.Second)
	}
	s.doors[d] = doorSpec{times: t}
	if !s.interlocked(d) && chance(r, 40) {
		s.doors[d].unlock = one(r, "s0", "s1", "s2", "s2", access.ScheduleAlways, access.ScheduleNever)
		s.doors[d].first = chance(r, 50)
	}
}

func (s *site) drawMode(r *rand.Rand, i int) access.PointMode {
	m := one(r, access.ModeCard, access.ModeCard, access.ModeCardOrCode, access.ModeCardOrCode, access.ModeCardAndPIN, access.ModeCardAndPIN, access.ModeCode, access.ModeBlocked, access.ModeUnlocked)
	switch {
	case m == access.ModeCode && s.codes == 0, m == access.ModeUnlocked && s.interlocked(doorOf[i]), m.NeedsKeypad() && i == 2:
		return access.ModeCard
	case (m == access.ModeBlocked || m == access.ModeUnlocked) && chance(r, 60):
		return access.ModeCard
	}
	return m
}

func (s *site) drawPoint(r *rand.Rand, i int) {
	p := ptSpec{mode: s.drawMode(r, i), two: chance(r, 12), within: one(r, 0, 2*time.Second, 10*time.Second), gone: chance(r, 4)}
	for range one(r, 0, 0, 1, 2) {
		p.modes = append(p.modes, timed{one(r, scheduleNames...), s.drawMode(r, i)})
	}
	names := []string{access.Outside}
	for _, n := range []string{"hall", "vault"} {
		if _, ok := s.areas[n]; ok {
			names = append(names, n)
		}
	}
	p.from, p.to = one(r, names...), one(r, names...)
	if i == 3 { // the way back
		p.from, p.to = s.points[0].to, s.points[0].from
	}
	if p.from == p.to {
		p.from, p.to = access.Outside, access.Outside
	}
	s.points[i] = p
}

func (s *site) drawLevel(r *rand.Rand) {
	var grants []grantSpec
	for range 1 + r.IntN(2) {
		g := grantSpec{sched: one(r, access.ScheduleAlways, access.ScheduleAlways, access.ScheduleAlways, "s0", "s1", access.ScheduleNever)}
		for i := range s.points {
			if !s.points[i].gone && chance(r, 80) {
				g.points = append(g.points, i)
			}
		}
		if len(g.points) > 0 {
			grants = append(grants, g)
		}
	}
	s.levels = append(s.levels, grants)
}

// policy is the same in the panel's words.
func (s *site) policy() *access.Policy {
	p := &access.Policy{
		Location: s.loc, Codes: access.CodePolicy{Enabled: s.codes > 0, Size: s.codes}, Duress: s.duress, StaleAfter: s.stale,
		Lockout: access.LockoutRules{KeyTries: s.keyTries, PointTries: s.pointTries, First: s.first, Most: s.most},
	}
	for _, d := range s.holidays {
		p.Holidays = append(p.Holidays, access.Holiday{Kind: "bank", Dates: access.Dates{From: d}})
	}
	for _, name := range scheduleNames {
		out := access.Schedule{ID: name}
		for _, sp := range s.scheds[name].spans {
			iv := access.Interval{From: access.TimeOfDay(sp.from), To: access.TimeOfDay(sp.to)}
			for d, on := range sp.days {
				if on {
					iv.Days |= 1 << d
				}
			}
			out.Intervals = append(out.Intervals, iv)
		}
		p.Schedules = append(p.Schedules, out)
	}
	for _, name := range []string{"hall", "vault"} {
		if a, ok := s.areas[name]; ok {
			area := access.Area{ID: name, Passback: a.kind, Within: a.within}
			for _, m := range a.forgive {
				area.ForgiveAt = append(area.ForgiveAt, access.TimeOfDay(m))
			}
			p.Areas = append(p.Areas, area)
		}
	}
	for i, grants := range s.levels {
		l := access.Level{ID: levelID(i), Name: fmt.Sprint("level ", i)}
		for _, g := range grants {
			out := access.Grant{Schedule: g.sched}
			for _, r := range g.points {
				out.Points = append(out.Points, pointID(r))
			}
			l.Grants = append(l.Grants, out)
		}
		p.Levels = append(p.Levels, l)
	}
	for i, pt := range s.points {
		if pt.gone {
			continue
		}
		out := access.AccessPoint{ID: pointID(i), Door: doorID(doorOf[i]), Reader: readerID(i), Mode: pt.mode, From: pt.from, To: pt.to, TwoPerson: pt.two, PairWithin: pt.within, NoKeypad: i == 2}
		for _, m := range pt.modes {
			out.Modes = append(out.Modes, access.ScheduledMode{Schedule: m.sched, Mode: m.mode})
		}
		p.Points = append(p.Points, out)
	}
	for d, spec := range s.doors {
		p.Doors = append(p.Doors, access.DoorPolicy{ID: doorID(d), Times: spec.times, UnlockSchedule: spec.unlock, FirstCard: spec.first})
	}
	if len(s.interlock) > 0 {
		g := access.Interlock{Name: "lock"}
		for _, d := range s.interlock {
			g.Doors = append(g.Doors, doorID(d))
		}
		p.Interlocks = append(p.Interlocks, g)
	}
	if faults := p.Compile(); len(faults) > 0 {
		panic(fmt.Sprint("a drawn policy is bad: ", faults))
	}
	return p
}

var berlin, auckland = zone("Europe/Berlin"), zone("Pacific/Auckland")

func zone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

// open says whether a schedule is open at an instant.
func (s *site) open(name string, at time.Time) bool {
	sc := s.scheds[name]
	if sc.always {
		return true
	}
	at = at.In(s.loc)
	y, m, d := at.Date()
	minute := at.Hour()*60 + at.Minute()
	if s.holiday(y, m, d) {
		return false // also what ran past the midnight before
	}
	noon := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	eve := noon.AddDate(0, 0, -1)
	for _, sp := range sc.spans {
		past := sp.to <= sp.from
		if sp.days[noon.Weekday()] && minute >= sp.from && (minute < sp.to || past) {
			return true
		}
		if past && sp.days[eve.Weekday()] && minute < sp.to && !s.holiday(eve.Date()) {
			return true
		}
	}
	return false
}

func (s *site) holiday(y int, m time.Month, d int) bool {
	return slices.Contains(s.holidays, access.Date{Year: y, Month: m, Day: d})
}
