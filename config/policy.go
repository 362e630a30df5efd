package config

import (
	"postern/access"
)

// Schedule is a time of the week by the panel's time zone. The schedules
// "always" and "never" are built in.
type Schedule struct {
	// ID is what grants name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID   string `toml:"id,required"`
	Name string `toml:"name"` // for people, at most 64 bytes; default none
	// Intervals are when it holds, 1 to 64.
	Intervals []Interval `toml:"intervals"`
}

// Interval is a weekly time span. One whose To is before its From runs past
// midnight into the next day.
type Interval struct {
	Days access.Days      `toml:"days,required"` // "mon" to "sun"
	From access.TimeOfDay `toml:"from,required"` // 00:00 to 23:59
	To   access.TimeOfDay `toml:"to,required"`   // 00:00 to 24:00
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
	// Mode is what it asks for: card, code, card_or_code or card_and_pin, all
	// but card on a reader with a keypad. Required.
	Mode access.PointMode `toml:"mode,required"`
}

// compile builds the first policy and reports its faults. It stays nil when
// there are any.
func (v *checker) compile(c *Config) {
	p := &access.Policy{
		Location: c.Location(),
		Codes:    access.CodePolicy{Enabled: c.Codes.Enabled, Size: c.Codes.Size},
	}
	for _, s := range c.Schedules {
		out := access.Schedule{ID: s.ID, Name: s.Name}
		for _, iv := range s.Intervals {
			out.Intervals = append(out.Intervals, access.Interval(iv))
		}
		p.Schedules = append(p.Schedules, out)
	}
	for _, l := range c.Levels {
		out := access.Level{ID: l.ID, Name: l.Name}
		for _, g := range l.Grants {
			out.Grants = append(out.Grants, access.Grant(g))
		}
		p.Levels = append(p.Levels, out)
	}
	for _, a := range c.Points {
		p.Points = append(p.Points, access.AccessPoint(a))
	}
	for _, d := range c.Doors {
		p.Doors = append(p.Doors, access.DoorPolicy{ID: d.ID, Name: d.Name, Times: access.DoorTimes(d.Times)})
	}
	for _, f := range p.Compile() {
		v.fault(f.Path, "%s", f.Message)
	}
	if len(v.faults) == 0 {
		c.policy = p
	}
}
