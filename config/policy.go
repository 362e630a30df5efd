package config

import (
	"time"

	"postern/access"
)

// Schedule is a time of the week by the panel's time zone, with what holidays
// and special days make of it; access.Schedule says how they go together. The
// schedules "always" and "never" are built in.
type Schedule struct {
	// ID is what grants name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID   string `toml:"id,required"`
	Name string `toml:"name"` // for people, at most 64 bytes; default none
	// Intervals are when it holds in an ordinary week, at most 64.
	Intervals []Interval `toml:"intervals"`
	// Holidays are what it holds on holidays; default nothing: a holiday of a kind
	// that no rule names is closed.
	Holidays []HolidayRule `toml:"holidays"`
	// SpecialDays are days that go before holidays and weeks.
	SpecialDays []SpecialDay `toml:"special_days"`
	// ValidFrom and ValidTo are the first and last day of one year on which it
	// holds at all; default without bounds.
	ValidFrom access.Date `toml:"valid_from"`
	ValidTo   access.Date `toml:"valid_to"`
}

// Interval is a weekly time span. One whose To is before its From runs past
// midnight into the next day.
type Interval struct {
	Days access.Days      `toml:"days,required"` // "mon" to "sun"
	From access.TimeOfDay `toml:"from,required"` // 00:00 to 23:59
	To   access.TimeOfDay `toml:"to,required"`   // 00:00 to 24:00
}

// Span is an Interval of days that something else names.
type Span struct {
	From access.TimeOfDay `toml:"from,required"` // 00:00 to 23:59
	To   access.TimeOfDay `toml:"to,required"`   // 00:00 to 24:00
}

// Holiday is days that schedules may treat in their own way.
type Holiday struct {
	Name string `toml:"name"`          // for people, at most 64 bytes; default none
	Kind string `toml:"kind,required"` // what schedules name it by, such as "bank"
	// From and To are the first and the last day: "2026-12-24", or "12-24" for
	// every year. To left out is the one day.
	From access.Date `toml:"from,required"`
	To   access.Date `toml:"to"`
}

// HolidayRule is what a schedule holds on holidays of some kinds.
type HolidayRule struct {
	Kinds     []string `toml:"kinds,required"` // kinds, or "*" for every other
	Ignore    bool     `toml:"ignore"`         // they are as any other day
	Intervals []Span   `toml:"intervals"`      // default none: closed
}

// SpecialDay is days on which a schedule holds during these spans alone.
type SpecialDay struct {
	From      access.Date `toml:"from,required"`
	To        access.Date `toml:"to"`        // default the one day
	Intervals []Span      `toml:"intervals"` // default none: closed
}

// AccessLevel is what its holders may enter, and when.
type AccessLevel struct {
	// ID is the UUID that keys name. Required; with another one than central's,
	// keys fail with AccessLevelNotFound.
	ID     access.ID `toml:"id,required"`
	Name   string    `toml:"name,required"` // for people, 1 to 64 bytes
	Grants []Grant   `toml:"grants"`        // default none: it opens nothing
}

// Grant gives access points during a schedule.
type Grant struct {
	Points   []string `toml:"access_points,required"` // ids, each once
	Schedule string   `toml:"schedule,required"`      // an id, "always" or "never"
}

// AccessPoint is a reader at a side of a door.
type AccessPoint struct {
	// ID is what grants name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID     string `toml:"id,required"`
	Name   string `toml:"name"`            // for people, at most 64 bytes; default none
	Door   string `toml:"door,required"`   // the id of a door
	Reader string `toml:"reader,required"` // the id of a reader, which serves no other point
	// Mode is what it asks for: card, code, card_or_code, card_and_pin (all but
	// card on a reader with a keypad), blocked, or unlocked. Required.
	Mode access.PointMode `toml:"mode,required"`
	// Modes are other modes by schedule. The first whose schedule is open goes
	// before Mode.
	Modes []ScheduledMode `toml:"modes"`
	// From and To are the areas that it leads out of and into; default outside.
	From string `toml:"from"`
	To   string `toml:"to"`
	// TwoPerson wants two persons, the second within PairWithin, 1s to 10m, default
	// 30s, of the first. PairWithin holds for escorts as well.
	TwoPerson  bool          `toml:"two_person"`
	PairWithin time.Duration `toml:"pair_within"`
}

// ScheduledMode is a mode while a schedule is open.
type ScheduledMode struct {
	Schedule string           `toml:"schedule,required"`
	Mode     access.PointMode `toml:"mode,required"`
}

// Area is a part of the building that people are in.
type Area struct {
	ID   string `toml:"id,required"`
	Name string `toml:"name"` // for people, at most 64 bytes; default none
	// Passback is "off" (the default), "soft", which tells of somebody who comes
	// from where they are not, "hard", which refuses them, or "timed", which
	// refuses who came in less than Within ago, 1s to 168h.
	Passback access.Passback `toml:"passback"`
	Within   time.Duration   `toml:"within"`
	// ForgiveAt are times of day at which it is forgotten who is where; default
	// none: a missed reading then stands until somebody forgives it.
	ForgiveAt []access.TimeOfDay `toml:"forgive_at"`
}

// Interlock is doors of which one at a time is released.
type Interlock struct {
	Name  string   `toml:"name"`           // for people, at most 64 bytes; default none
	Doors []string `toml:"doors,required"` // ids, two or more
}

// Rules are what holds for all.
type Rules struct {
	// Duress takes a PIN whose last digit is one higher as right, and tells central
	// and nobody else; default false. Guessing a PIN then takes half as long.
	Duress bool `toml:"duress"`
	// StaleAfter is how long central may be away, 15m to 8784h, before keys with the
	// option needs_central are denied; default 0, for ever.
	StaleAfter time.Duration `toml:"stale_after"`
}

// Lockout is what wrong PINs and codes lead to.
type Lockout struct {
	KeyTries   int           `toml:"key_tries"`   // wrong PINs of one key, 1 to 100; default 3
	PointTries int           `toml:"point_tries"` // wrong entries at one access point, 1 to 100; default 5
	First      time.Duration `toml:"first"`       // 10s to 1h; default 1m. Each one in a row doubles it
	Most       time.Duration `toml:"most"`        // First to 1h; default 15m
}

// compile builds the first policy and reports its faults. It stays nil when
// there are any.
func (v *checker) compile(c *Config) {
	p := &access.Policy{
		Location: c.Location(),
		Codes:    access.CodePolicy{Enabled: c.Codes.Enabled, Size: c.Codes.Size},
		Lockout:  access.LockoutRules(c.Lockout),
		Duress:   c.Rules.Duress, StaleAfter: c.Rules.StaleAfter,
	}
	for _, h := range c.Holidays {
		p.Holidays = append(p.Holidays, access.Holiday{Name: h.Name, Kind: h.Kind, Dates: access.Dates{From: h.From, To: h.To}})
	}
	for _, s := range c.Schedules {
		p.Schedules = append(p.Schedules, s.access())
	}
	for _, a := range c.Areas {
		p.Areas = append(p.Areas, access.Area(a))
	}
	for _, l := range c.Levels {
		p.Levels = append(p.Levels, access.Level{ID: l.ID, Name: l.Name, Grants: convert(l.Grants, func(g Grant) access.Grant { return access.Grant(g) })})
	}
	for _, a := range c.Points {
		p.Points = append(p.Points, a.access(c))
	}
	for _, d := range c.Doors {
		p.Doors = append(p.Doors, access.DoorPolicy{
			ID: d.ID, Name: d.Name, Times: access.DoorTimes(d.Times), UnlockSchedule: d.UnlockSchedule, FirstCard: d.FirstCard,
		})
	}
	for _, i := range c.Interlocks {
		p.Interlocks = append(p.Interlocks, access.Interlock(i))
	}
	for _, f := range p.Compile() {
		v.fault(f.Path, "%s", f.Message)
	}
	if len(v.faults) == 0 {
		c.policy = p
	}
}

func (s *Schedule) access() access.Schedule {
	return access.Schedule{
		ID: s.ID, Name: s.Name, ValidFrom: s.ValidFrom, ValidTo: s.ValidTo,
		Intervals: convert(s.Intervals, func(iv Interval) access.Interval { return access.Interval(iv) }),
		Holidays: convert(s.Holidays, func(r HolidayRule) access.HolidayRule {
			return access.HolidayRule{Kinds: r.Kinds, Ignore: r.Ignore, Intervals: spans(r.Intervals)}
		}),
		SpecialDays: convert(s.SpecialDays, func(d SpecialDay) access.SpecialDay {
			return access.SpecialDay{Dates: access.Dates{From: d.From, To: d.To}, Intervals: spans(d.Intervals)}
		}),
	}
}

func (a *AccessPoint) access(c *Config) access.AccessPoint {
	r := c.Reader(a.Reader)
	return access.AccessPoint{
		ID: a.ID, Name: a.Name, Door: a.Door, Reader: a.Reader, Mode: a.Mode, From: a.From, To: a.To,
		Modes:     convert(a.Modes, func(m ScheduledMode) access.ScheduledMode { return access.ScheduledMode(m) }),
		TwoPerson: a.TwoPerson, PairWithin: a.PairWithin, NoKeypad: r != nil && r.Keypad == "",
	}
}

func spans(in []Span) []access.Span {
	return convert(in, func(s Span) access.Span { return access.Span(s) })
}

func convert[A, B any](in []A, do func(A) B) (out []B) {
	for _, v := range in {
		out = append(out, do(v))
	}
	return out
}
