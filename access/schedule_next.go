package access

import (
	"slices"
	"time"
)

// horizon is how far ahead Next looks.
const horizon = 32 * 24 * time.Hour

// Next gives the first instant after t at which the schedule opens or closes.
// Where there is none for a month it gives the end of that month, to be asked
// again; it is zero for a schedule that never changes.
func (s *Schedule) Next(t time.Time, loc *time.Location) time.Time {
	if s.Fixed() {
		return time.Time{}
	}
	open, marks, limit := s.Open(t, loc), s.marks(), t.Add(horizon)
	for at := t; ; {
		// Between two changes of the zone's offset the wall clock runs as time does.
		_, end := at.In(loc).ZoneBounds()
		next := nextMark(at.In(loc), marks)
		if !end.IsZero() && next.After(end) {
			next = end
		}
		at = next
		if !at.Before(limit) {
			return limit
		}
		if s.Open(at, loc) != open {
			return at
		}
	}
}

// marks are the times of day at which the schedule may change: midnight, when a
// plan ends, and the ends of all spans.
func (s *Schedule) marks() []TimeOfDay {
	marks := []TimeOfDay{0}
	add := func(from, to TimeOfDay) { marks = append(marks, from, to) }
	for _, iv := range s.Intervals {
		add(iv.From, iv.To)
	}
	for _, r := range s.Holidays {
		for _, sp := range r.Intervals {
			add(sp.From, sp.To)
		}
	}
	for _, d := range s.SpecialDays {
		for _, sp := range d.Intervals {
			add(sp.From, sp.To)
		}
	}
	slices.Sort(marks)
	return slices.Compact(marks)
}

// nextMark is the first mark after t on a wall clock whose offset stays.
func nextMark(t time.Time, marks []TimeOfDay) time.Time {
	since := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	for _, m := range marks {
		if at := time.Duration(m) * time.Minute; at > since {
			return t.Add(at - since)
		}
	}
	return t.Add(24*time.Hour - since)
}
