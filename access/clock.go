package access

import (
	"fmt"
	"time"
)

// ClockState says how far a panel's clock can be believed.
type ClockState uint8

// The clock states.
const (
	ClockUntrusted ClockState = iota + 1 // not synchronised since boot, no RTC, or earlier than the last good time
	ClockHoldover                        // was trusted since boot
	ClockTrusted                         // synchronised, or backed by an RTC
)

// String gives "untrusted", "holdover" or "trusted".
func (c ClockState) String() string {
	switch c {
	case ClockUntrusted:
		return "untrusted"
	case ClockHoldover:
		return "holdover"
	case ClockTrusted:
		return "trusted"
	}
	return "?"
}

// ParseClockState reads what String gives.
func ParseClockState(s string) (ClockState, error) {
	for _, c := range []ClockState{ClockUntrusted, ClockHoldover, ClockTrusted} {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("unknown clock state %.16q", s)
}

// Clock is the present time with how far it can be believed. While it is
// untrusted, LastGood is the last time that is known to have passed, and Grace
// is how long after it a validity window's end is taken as not yet reached.
type Clock struct {
	Now      time.Time
	State    ClockState
	LastGood time.Time
	Grace    time.Duration
}

// UntrustedGrace is the Grace of a panel that sets none.
const UntrustedGrace = 30 * 24 * time.Hour

// Trusted is a clock that is simply right.
func Trusted(now time.Time) Clock { return Clock{Now: now, State: ClockTrusted} }

func (c Clock) believed() bool { return c.State != ClockUntrusted }

// verdict is a question about time, answered.
type verdict uint8

const (
	no verdict = iota
	yes
	unknown
)

// within answers whether the clock is inside the window [from, to). With an
// untrusted clock, now is at or after LastGood: a window that ended before it
// is over, one that began before it has begun, and an end beyond LastGood plus
// Grace is taken as not reached. The rest can't be known, and without any
// LastGood no end can.
func (c Clock) within(from, to time.Time) verdict {
	if c.believed() {
		if !from.IsZero() && c.Now.Before(from) || !to.IsZero() && !c.Now.Before(to) {
			return no
		}
		return yes
	}
	if !to.IsZero() && !to.After(c.LastGood) {
		return no
	}
	begun := from.IsZero() || !from.After(c.LastGood)
	notOver := to.IsZero() || !c.LastGood.IsZero() && to.After(c.LastGood.Add(c.Grace))
	if begun && notOver {
		return yes
	}
	return unknown
}

// inside answers whether a schedule is open. With an untrusted clock that is
// known of one that never changes, and of one whose last day is past.
func (c Clock) inside(s *Schedule, loc *time.Location) verdict {
	if !c.believed() && !s.Fixed() {
		if !c.LastGood.IsZero() && s.over(c.LastGood, loc) {
			return no
		}
		return unknown
	}
	if s.Open(c.Now, loc) {
		return yes
	}
	return no
}
