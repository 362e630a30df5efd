package access

import (
	"fmt"
	"slices"
	"time"
)

// PointMode is what an access point asks for.
type PointMode uint8

// The modes of an access point.
const (
	ModeCard PointMode = iota + 1
	ModeCode
	ModeCardOrCode
	ModeCardAndPIN
	ModeBlocked  // takes nothing
	ModeUnlocked // asks for nothing: its door is unlocked; cards and codes go on being decided and told
)

var modeNames = [...]string{
	ModeCard: "card", ModeCode: "code", ModeCardOrCode: "card_or_code", ModeCardAndPIN: "card_and_pin",
	ModeBlocked: "blocked", ModeUnlocked: "unlocked",
}

const modesWanted = "one of card, code, card_or_code, card_and_pin, blocked, unlocked"

// ParsePointMode reads "card", "code", "card_or_code", "card_and_pin",
// "blocked" or "unlocked".
func ParsePointMode(s string) (PointMode, error) {
	for i, n := range modeNames {
		if n != "" && n == s {
			return PointMode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown mode %.16q (%s)", s, modesWanted)
}

// String gives the name that ParsePointMode reads.
func (m PointMode) String() string {
	if int(m) < len(modeNames) && modeNames[m] != "" {
		return modeNames[m]
	}
	return "?"
}

// Takes reports whether the mode takes credentials of kind k.
func (m PointMode) Takes(k CredentialKind) bool {
	switch m {
	case ModeCardOrCode, ModeUnlocked:
		return true
	case ModeCode:
		return k == CodeKind
	case ModeCard, ModeCardAndPIN:
		return k != CodeKind
	}
	return false
}

// NeedsKeypad reports whether the mode can't do without a keypad.
func (m PointMode) NeedsKeypad() bool {
	return m == ModeCode || m == ModeCardOrCode || m == ModeCardAndPIN
}

// ScheduledMode is an access point's mode while a schedule is open.
type ScheduledMode struct {
	Schedule string
	Mode     PointMode
}

// PointModes gives the mode of an access point: that of the first of its Modes
// whose schedule is open, else Mode. While the clock is untrusted there may be
// several that it can be, each once, the earliest first.
func (p *Policy) PointModes(a *AccessPoint, c Clock) []PointMode {
	var out []PointMode
	add := func(m PointMode) {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	for _, m := range a.Modes {
		switch p.open(m.Schedule, c) {
		case yes:
			add(m.Mode)
			return out
		case unknown:
			add(m.Mode)
		}
	}
	add(a.Mode)
	return out
}

// open answers whether a schedule is open; one that is not there is not.
func (p *Policy) open(id string, c Clock) verdict {
	s := p.schedules[id]
	if s == nil {
		return no
	}
	return c.inside(s, p.Location)
}

// next is when a schedule changes, zero when it does not or can't be known.
func (p *Policy) next(id string, c Clock) time.Time {
	s := p.schedules[id]
	if s == nil || !c.believed() {
		return time.Time{}
	}
	return s.Next(c.Now, p.Location)
}

// earliest gives the earlier of two times, of which the zero time is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
