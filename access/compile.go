package access

import (
	"fmt"
	"time"
)

// Bounds on a policy, so that a document from outside can't exhaust a panel.
const (
	maxName      = 64
	maxEntries   = 4096
	maxIntervals = 64
	// MaxDoorTime bounds every time of a door.
	MaxDoorTime = 10 * time.Minute
)

// compiler collects the faults of one policy and fills its indexes.
type compiler struct {
	p      *Policy
	faults []Fault
}

func (c *compiler) fault(path, format string, args ...any) {
	c.faults = append(c.faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

// CheckName says what is wrong with a short id of the configuration (reader,
// door, access point, schedule); nil when it is 1 to 64 of a-z, A-Z, 0-9, '-',
// '_' and '.'.
func CheckName(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("an id has 1 to %d characters", maxName)
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		if !ok {
			return fmt.Errorf("%.70q has a character other than letters, digits, '-', '_' and '.'", s)
		}
	}
	return nil
}

// id checks one id against those already taken; it reports whether to keep it.
func (c *compiler) id(path, id string, taken bool) bool {
	if err := CheckName(id); err != nil {
		c.fault(path+".id", "%v", err)
		return false
	}
	if taken {
		c.fault(path+".id", "%q is used twice", id)
		return false
	}
	return true
}

func (c *compiler) size(path string, n, most int) {
	if n > most {
		c.fault(path, "more than %d entries", most)
	}
}

func (c *compiler) codes() {
	if k := c.p.Codes; k.Enabled && (k.Size < MinPanelCodeSize || k.Size > MaxPanelCodeSize) {
		c.fault("codes.size", "a code has %d to %d digits", MinPanelCodeSize, MaxPanelCodeSize)
	}
}

func (c *compiler) schedules() {
	p := c.p
	p.schedules = map[string]*Schedule{
		ScheduleAlways: {ID: ScheduleAlways, Name: ScheduleAlways, Always: true},
		ScheduleNever:  {ID: ScheduleNever, Name: ScheduleNever},
	}
	c.size("schedule", len(p.Schedules), maxEntries)
	kinds := c.kinds()
	for i := range p.Schedules {
		s, path := &p.Schedules[i], fmt.Sprintf("schedule[%d]", i)
		s.holidays = p.Holidays
		if s.ID == ScheduleAlways || s.ID == ScheduleNever {
			c.fault(path+".id", "%q is built in", s.ID)
			continue
		}
		if c.id(path, s.ID, p.schedules[s.ID] != nil) {
			p.schedules[s.ID] = s
		}
		c.name(path+".name", s.Name)
		c.intervals(path, s)
		c.holidayRules(path, s, kinds)
		c.specialDays(path, s)
		c.validity(path, s)
	}
}

func (c *compiler) intervals(path string, s *Schedule) {
	if len(s.Intervals) == 0 && s.Fixed() && !s.Always {
		c.fault(path+".intervals", "a schedule needs an interval (use the built-in %q for none)", ScheduleNever)
	}
	c.size(path+".intervals", len(s.Intervals), maxIntervals)
	for j, iv := range s.Intervals {
		path := fmt.Sprintf("%s.intervals[%d]", path, j)
		if iv.Days == 0 {
			c.fault(path+".days", "names no day")
		}
		c.span(path, Span{iv.From, iv.To})
	}
}

func (c *compiler) spans(path string, spans []Span) {
	c.size(path, len(spans), maxIntervals)
	for i, s := range spans {
		c.span(fmt.Sprintf("%s[%d]", path, i), s)
	}
}

func (c *compiler) span(path string, s Span) {
	if s.From == s.To {
		c.fault(path+".to", "ends when it starts (a whole day is 00:00 to 24:00)")
	}
	if s.From == 24*60 {
		c.fault(path+".from", "24:00 is an end only")
	}
}

func (c *compiler) doors() {
	p := c.p
	p.doors = map[string]*DoorPolicy{}
	c.size("door", len(p.Doors), maxEntries)
	for i := range p.Doors {
		d, path := &p.Doors[i], fmt.Sprintf("door[%d]", i)
		if c.id(path, d.ID, p.doors[d.ID] != nil) {
			p.doors[d.ID] = d
		}
		c.name(path+".name", d.Name)
		t := d.Times
		c.duration(path+".times.strike", t.Strike, time.Millisecond)
		c.duration(path+".times.extended", t.Extended, t.Strike)
		c.duration(path+".times.relock", t.Relock, 0)
		c.duration(path+".times.held_warning", t.HeldWarning, time.Second)
		c.duration(path+".times.held_alarm", t.HeldAlarm, t.HeldWarning)
		c.duration(path+".times.shunt_after", t.ShuntAfter, 0)
		c.unlock(path, d)
	}
}

func (c *compiler) duration(path string, d, least time.Duration) {
	if d < least || d > MaxDoorTime {
		c.fault(path, "%v is outside %v to %v", d, least, MaxDoorTime)
	}
}

func (c *compiler) points() {
	p := c.p
	p.points = map[string]*AccessPoint{}
	readers := map[string]bool{}
	c.size("access_point", len(p.Points), maxEntries)
	for i := range p.Points {
		a, path := &p.Points[i], fmt.Sprintf("access_point[%d]", i)
		if c.id(path, a.ID, p.points[a.ID] != nil) {
			p.points[a.ID] = a
		}
		c.name(path+".name", a.Name)
		if p.doors[a.Door] == nil {
			c.fault(path+".door", "no door has the id %.70q", a.Door)
		}
		if a.Reader == "" {
			c.fault(path+".reader", "is missing")
		} else if readers[a.Reader] {
			c.fault(path+".reader", "reader %q serves another access point already", a.Reader)
		}
		readers[a.Reader] = true
		c.mode(path+".mode", a, a.Mode)
		c.size(path+".modes", len(a.Modes), maxIntervals)
		for j, m := range a.Modes {
			path := fmt.Sprintf("%s.modes[%d]", path, j)
			c.scheduleID(path+".schedule", m.Schedule)
			c.mode(path+".mode", a, m.Mode)
		}
		c.people(path, a)
	}
}

func (c *compiler) levels() {
	p := c.p
	p.levels = map[ID]*Level{}
	c.size("access_level", len(p.Levels), maxEntries)
	for i := range p.Levels {
		l, path := &p.Levels[i], fmt.Sprintf("access_level[%d]", i)
		switch {
		case l.ID.IsZero():
			c.fault(path+".id", "is missing (want a uuid)")
		case p.levels[l.ID] != nil:
			c.fault(path+".id", "%s is used twice", l.ID)
		default:
			p.levels[l.ID] = l
		}
		if l.Name == "" || len(l.Name) > maxName {
			c.fault(path+".name", "a name has 1 to %d bytes", maxName)
		}
		c.size(path+".grants", len(l.Grants), maxEntries)
		for j, g := range l.Grants {
			c.grant(fmt.Sprintf("%s.grants[%d]", path, j), g)
		}
	}
}

func (c *compiler) grant(path string, g Grant) {
	if len(g.Points) == 0 {
		c.fault(path+".access_points", "names no access point")
	}
	c.size(path+".access_points", len(g.Points), maxEntries)
	seen := make(map[string]bool, len(g.Points))
	for k, id := range g.Points {
		if c.p.points[id] == nil {
			c.fault(fmt.Sprintf("%s.access_points[%d]", path, k), "no access point has the id %.70q", id)
		}
		if seen[id] {
			c.fault(fmt.Sprintf("%s.access_points[%d]", path, k), "%.70q is named twice", id)
		}
		seen[id] = true
	}
	c.scheduleID(path+".schedule", g.Schedule)
}

func (c *compiler) scheduleID(path, id string) {
	if c.p.schedules[id] == nil {
		c.fault(path, "no schedule has the id %.70q", id)
	}
}

func (c *compiler) mode(path string, a *AccessPoint, m PointMode) {
	switch {
	case m.String() == "?":
		c.fault(path, "is missing (%s)", modesWanted)
	case m == ModeCode && !c.p.Codes.Enabled:
		c.fault(path, "takes codes only, and codes are off")
	case m.NeedsKeypad() && a.NoKeypad:
		c.fault(path, "%s needs a keypad, and reader %q has none", m, a.Reader)
	case m == ModeUnlocked && len(c.p.Interlocked(a.Door)) > 0:
		c.fault(path, "unlocks door %q, which is interlocked", a.Door)
	}
}
