package access

import (
	"fmt"
	"slices"
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
	for i := range p.Schedules {
		s, path := &p.Schedules[i], fmt.Sprintf("schedule[%d]", i)
		if s.ID == ScheduleAlways || s.ID == ScheduleNever {
			c.fault(path+".id", "%q is built in", s.ID)
			continue
		}
		if c.id(path, s.ID, p.schedules[s.ID] != nil) {
			p.schedules[s.ID] = s
		}
		c.intervals(path, s)
	}
}

func (c *compiler) intervals(path string, s *Schedule) {
	if len(s.Intervals) == 0 && !s.Always {
		c.fault(path+".intervals", "a schedule needs an interval (use the built-in %q for none)", ScheduleNever)
	}
	c.size(path+".intervals", len(s.Intervals), maxIntervals)
	for j, iv := range s.Intervals {
		path := fmt.Sprintf("%s.intervals[%d]", path, j)
		if iv.Days == 0 {
			c.fault(path+".days", "names no day")
		}
		if iv.From == iv.To {
			c.fault(path+".to", "ends when it starts (a whole day is 00:00 to 24:00)")
		}
		if iv.From == 24*60 {
			c.fault(path+".from", "24:00 is an end only")
		}
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
		t := d.Times
		c.duration(path+".times.strike", t.Strike, time.Millisecond)
		c.duration(path+".times.extended", t.Extended, t.Strike)
		c.duration(path+".times.relock", t.Relock, 0)
		c.duration(path+".times.held_warning", t.HeldWarning, time.Second)
		c.duration(path+".times.held_alarm", t.HeldAlarm, t.HeldWarning)
		c.duration(path+".times.shunt_after", t.ShuntAfter, 0)
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
		if p.doors[a.Door] == nil {
			c.fault(path+".door", "no door has the id %.70q", a.Door)
		}
		if a.Reader == "" {
			c.fault(path+".reader", "is missing")
		} else if readers[a.Reader] {
			c.fault(path+".reader", "reader %q serves another access point already", a.Reader)
		}
		readers[a.Reader] = true
		if a.Mode.String() == "?" {
			c.fault(path+".mode", "is missing (one of card, code, card_or_code, card_and_pin)")
		}
		if !p.Codes.Enabled && a.Mode == ModeCode {
			c.fault(path+".mode", "takes codes only, and codes are off")
		}
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
	for k, id := range g.Points {
		if c.p.points[id] == nil {
			c.fault(fmt.Sprintf("%s.access_points[%d]", path, k), "no access point has the id %.70q", id)
		}
		if slices.Index(g.Points, id) < k {
			c.fault(fmt.Sprintf("%s.access_points[%d]", path, k), "%q is named twice", id)
		}
	}
	if c.p.schedules[g.Schedule] == nil {
		c.fault(path+".schedule", "no schedule has the id %.70q", g.Schedule)
	}
}
