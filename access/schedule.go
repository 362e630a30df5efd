package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TimeOfDay is minutes since local midnight, 0 to 1440 (24:00, as an end).
type TimeOfDay int

// ParseTimeOfDay reads "HH:MM", 00:00 to 24:00.
func ParseTimeOfDay(s string) (TimeOfDay, error) {
	if len(s) == 5 && s[2] == ':' && isDigits(s[:2]) && isDigits(s[3:]) {
		h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
		if m < 60 && h*60+m <= 24*60 {
			return TimeOfDay(h*60 + m), nil
		}
	}
	return 0, fmt.Errorf("%.16q is not a time of day (want HH:MM, 00:00 to 24:00)", s)
}

// String gives "HH:MM".
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// Days is a set of weekdays, bit n for time.Weekday n.
type Days uint8

// Has reports whether the day is in the set.
func (d Days) Has(w time.Weekday) bool { return d&(1<<w) != 0 }

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseDays reads day names ("mon" … "sun"), each at most once.
func ParseDays(names []string) (Days, error) {
	var out Days
names:
	for _, n := range names {
		for i, name := range dayNames {
			if n != name {
				continue
			}
			if out.Has(time.Weekday(i)) {
				return 0, fmt.Errorf("day %q twice", n)
			}
			out |= 1 << i
			continue names
		}
		return 0, fmt.Errorf("unknown day %.16q (one of %s)", n, strings.Join(dayNames[:], ", "))
	}
	return out, nil
}

// Names lists the days from Monday on.
func (d Days) Names() []string {
	out := []string{}
	for i := range dayNames {
		if w := time.Weekday((i + 1) % len(dayNames)); d.Has(w) {
			out = append(out, dayNames[w])
		}
	}
	return out
}

// Span is a part of a day by the local wall clock, [From, To). One whose To is
// not after its From runs past midnight into the next day.
type Span struct {
	From, To TimeOfDay
}

// begun reports whether the span holds at now of the day on which it begins.
func (s Span) begun(now TimeOfDay) bool { return now >= s.From && (now < s.To || s.To <= s.From) }

// rest reports whether the span holds at now of the day after.
func (s Span) rest(now TimeOfDay) bool { return s.To <= s.From && now < s.To }

// Interval is a Span on days of the week.
type Interval struct {
	Days     Days
	From, To TimeOfDay
}

// Holiday is days that schedules may treat in their own way, by their kind: a
// bank holiday, a school's summer.
type Holiday struct {
	Name string // for people
	Kind string // what schedules name it by
	Dates
}

// AnyKind is, in a HolidayRule, every kind that no other rule of the schedule names.
const AnyKind = "*"

// HolidayRule is what a schedule holds on holidays of some kinds: its own
// spans, nothing when there are none, or, with Ignore, what it holds anyway.
type HolidayRule struct {
	Kinds     []string // kinds of holidays, or AnyKind
	Ignore    bool
	Intervals []Span
}

// SpecialDay is dates on which a schedule holds during these spans alone.
type SpecialDay struct {
	Dates
	Intervals []Span
}

// Schedule says when something holds: always, or within intervals. Each day of
// the calendar has one plan. It is the schedule's first special day that covers
// it; else its rule for the first holiday there that it does not ignore, which
// is closed where it has none; else its weekly intervals.
//
// What runs past midnight goes on into the next day, unless that one has a
// special plan of its own, which starts from nothing. Outside ValidFrom to
// ValidTo, both included, no day has a plan. A schedule that has none at all
// never holds.
type Schedule struct {
	ID          string
	Name        string
	Always      bool
	Intervals   []Interval
	Holidays    []HolidayRule
	SpecialDays []SpecialDay
	ValidFrom   Date // zero: has always been
	ValidTo     Date // zero: without end

	holidays []Holiday // the policy's
	closed   []Span    // the plan of a holiday without a rule: none
}

// Open reports whether the schedule holds at t, by the wall clock of loc. An
// hour that daylight saving repeats counts both times; one that it skips never
// comes.
func (s *Schedule) Open(t time.Time, loc *time.Location) bool {
	if s.Always {
		return true
	}
	t = t.In(loc)
	today, now := dateOf(t), TimeOfDay(t.Hour()*60+t.Minute())
	if !s.valid(today) {
		return false
	}
	plan := s.plan(today)
	if s.any(plan, today, func(sp Span) bool { return sp.begun(now) }) {
		return true
	}
	eve := today.eve()
	if !s.valid(eve) {
		return false
	}
	before := s.plan(eve)
	if plan != nil && plan != before {
		return false
	}
	return s.any(before, eve, func(sp Span) bool { return sp.rest(now) })
}

// Fixed reports whether the schedule is the same at all times, so that it can
// be decided without a clock.
func (s *Schedule) Fixed() bool {
	return s.Always || len(s.Intervals) == 0 && !slices.ContainsFunc(s.Holidays, func(r HolidayRule) bool { return len(r.Intervals) > 0 }) &&
		!slices.ContainsFunc(s.SpecialDays, func(d SpecialDay) bool { return len(d.Intervals) > 0 })
}

// over reports whether the schedule's last day was before t, so that it never
// holds again.
func (s *Schedule) over(t time.Time, loc *time.Location) bool {
	return !s.Always && !s.ValidTo.IsZero() && dateOf(t.In(loc)).number() > s.ValidTo.number()
}

func (s *Schedule) valid(day Date) bool {
	return (s.ValidFrom.IsZero() || day.number() >= s.ValidFrom.number()) &&
		(s.ValidTo.IsZero() || day.number() <= s.ValidTo.number())
}

// plan gives the special plan of a day, nil when its weekly intervals hold.
func (s *Schedule) plan(day Date) *[]Span {
	for i := range s.SpecialDays {
		if d := &s.SpecialDays[i]; d.Has(day) {
			return &d.Intervals
		}
	}
	for i := range s.holidays {
		h := &s.holidays[i]
		if !h.Has(day) {
			continue
		}
		switch r := s.rule(h.Kind); {
		case r == nil:
			return &s.closed
		case !r.Ignore:
			return &r.Intervals
		}
	}
	return nil
}

func (s *Schedule) rule(kind string) *HolidayRule {
	var other *HolidayRule
	for i := range s.Holidays {
		switch r := &s.Holidays[i]; {
		case slices.Contains(r.Kinds, kind):
			return r
		case slices.Contains(r.Kinds, AnyKind):
			other = r
		}
	}
	return other
}

// any reports whether one of a day's spans is what is asked for.
func (s *Schedule) any(plan *[]Span, day Date, is func(Span) bool) bool {
	if plan != nil {
		return slices.ContainsFunc(*plan, is)
	}
	w := day.weekday()
	for _, iv := range s.Intervals {
		if iv.Days.Has(w) && is(Span{iv.From, iv.To}) {
			return true
		}
	}
	return false
}
