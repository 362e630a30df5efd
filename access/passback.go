package access

import (
	"fmt"
	"time"
)

// Passback is what anti-passback does with somebody who passes where they can't
// be, or too soon.
type Passback uint8

// The kinds of anti-passback.
const (
	PassbackOff   Passback = iota
	PassbackSoft           // lets pass, and tells
	PassbackHard           // refuses who is not in the area that the access point leads out of
	PassbackTimed          // refuses who came into the area less than Area.Within ago
)

var passbackNames = [...]string{"off", "soft", "hard", "timed"}

// ParsePassback reads "off", "soft", "hard" or "timed".
func ParsePassback(s string) (Passback, error) {
	for i, n := range passbackNames {
		if n == s {
			return Passback(i), nil
		}
	}
	return 0, fmt.Errorf("unknown anti-passback %.16q (one of off, soft, hard, timed)", s)
}

// String gives the name that ParsePassback reads.
func (p Passback) String() string { return wordOf(passbackNames[:], p) }

// Area is a part of the building that people are in. The rule of an access
// point is that of the area it leads to or, where it leads outside, of the one
// that it leads out of.
type Area struct {
	ID       string
	Name     string
	Passback Passback
	Within   time.Duration // of PassbackTimed
	// ForgiveAt are times of day, by the policy's time zone, at which the rule
	// forgets where everybody is: they may go anywhere once.
	ForgiveAt []TimeOfDay
}

// Outside is where an access point without From leads in from and one without
// To leads out to.
const Outside = ""

// Place is where somebody was last known to go, and when. The zero value is
// nowhere known: anti-passback has nothing against them.
type Place struct {
	Area string // Outside too
	At   time.Time
}

// IsZero reports whether the place is not known.
func (p Place) IsZero() bool { return p.At.IsZero() }

// passing is an anti-passback verdict.
type passing uint8

const (
	passes passing = iota
	passesSoftly
	refused
	undecided // with an untrusted clock
)

// passback judges somebody last known at place who wants through an access
// point. Where they can't be known to be is no reason to refuse.
func (p *Policy) passback(a *AccessPoint, place Place, c Clock) passing {
	area := p.ruling(a)
	if area == nil || area.Passback == PassbackOff || place.IsZero() || area.forgives(place.At, c, p.Location) {
		return passes
	}
	if area.Passback == PassbackTimed {
		return area.timed(a, place, c)
	}
	switch {
	case place.Area == a.From:
		return passes
	case area.Passback == PassbackSoft:
		return passesSoftly
	}
	return refused
}

// ruling is the area whose rule an access point follows, nil when there is none.
func (p *Policy) ruling(a *AccessPoint) *Area {
	if a.To != Outside {
		return p.areas[a.To]
	}
	return p.areas[a.From]
}

func (r *Area) timed(a *AccessPoint, place Place, c Clock) passing {
	end := place.At.Add(r.Within)
	switch {
	case a.To == Outside || place.Area != a.To:
		return passes
	case !c.believed() && end.After(c.LastGood):
		return undecided
	case !c.believed():
		return passes
	// A time ahead of now is from before the clock was set back: it counts as
	// long as one behind would, not for years.
	case c.Now.Before(end) && place.At.Before(c.Now.Add(r.Within)):
		return refused
	}
	return passes
}

// forgives reports whether a forgiving time of day has come after at. With an
// untrusted clock only those up to the last good time are known to have.
func (r *Area) forgives(at time.Time, c Clock, loc *time.Location) bool {
	now := c.Now
	if !c.believed() {
		now = c.LastGood
	}
	for _, f := range r.ForgiveAt {
		if last := f.lastBefore(now, loc); last.After(at) {
			return true
		}
	}
	return false
}

// lastBefore is the last instant, at now or before, at which the local clock
// showed the time of day.
func (t TimeOfDay) lastBefore(now time.Time, loc *time.Location) time.Time {
	y, m, d := now.In(loc).Date()
	last := time.Date(y, m, d, 0, int(t), 0, 0, loc)
	if last.After(now) {
		last = time.Date(y, m, d-1, 0, int(t), 0, 0, loc)
	}
	return last
}
