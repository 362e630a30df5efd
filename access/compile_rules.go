package access

import (
	"fmt"
	"time"
)

// Bounds of the rules.
const (
	minLockout    = 10 * time.Second
	minStale      = 15 * time.Minute // the link is spoken on every five minutes, and one message may be lost
	maxStale      = 366 * 24 * time.Hour
	minPairWithin = time.Second
	maxPairWithin = 10 * time.Minute
	maxWithin     = 7 * 24 * time.Hour
	maxForgive    = 24
)

func (c *compiler) between(path string, d, least, most time.Duration) {
	if d < least || d > most {
		c.fault(path, "%v is outside %v to %v", d, least, most)
	}
}

func (c *compiler) rules() {
	for _, m := range [...]struct {
		name string
		n    int
	}{{"key_tries", c.p.Lockout.KeyTries}, {"point_tries", c.p.Lockout.PointTries}} {
		if m.n < 0 || m.n > MaxTries {
			c.fault("lockout."+m.name, "%d is outside 1 to %d", m.n, MaxTries)
		}
	}
	l := c.p.Lockout.Or(DefaultLockout())
	c.between("lockout.first", l.First, minLockout, MaxLockout)
	c.between("lockout.most", l.Most, min(max(l.First, minLockout), MaxLockout), MaxLockout)
	if c.p.StaleAfter != 0 {
		c.between("rules.stale_after", c.p.StaleAfter, minStale, maxStale)
	}
}

func (c *compiler) holidays() {
	c.size("holiday", len(c.p.Holidays), maxEntries)
	for i, h := range c.p.Holidays {
		path := fmt.Sprintf("holiday[%d]", i)
		c.name(path+".name", h.Name)
		if err := CheckName(h.Kind); err != nil {
			c.fault(path+".kind", "%v", err)
		}
		if text := h.check(); text != "" {
			c.fault(path+".from", "%s", text)
		}
	}
}

// name checks what is for people and may be left out.
func (c *compiler) name(path, s string) {
	if len(s) > maxName {
		c.fault(path, "is longer than %d bytes", maxName)
	}
}

// kinds are those of the holidays.
func (c *compiler) kinds() map[string]bool {
	kinds := map[string]bool{}
	for _, h := range c.p.Holidays {
		kinds[h.Kind] = true
	}
	return kinds
}

func (c *compiler) holidayRules(path string, s *Schedule, kinds map[string]bool) {
	c.size(path+".holidays", len(s.Holidays), maxIntervals)
	seen := map[string]bool{}
	for i, r := range s.Holidays {
		path := fmt.Sprintf("%s.holidays[%d]", path, i)
		if len(r.Kinds) == 0 {
			c.fault(path+".kinds", "names no kind of holiday (%q is every other)", AnyKind)
		}
		for k, kind := range r.Kinds {
			path := fmt.Sprintf("%s.kinds[%d]", path, k)
			switch {
			case seen[kind]:
				c.fault(path, "%.70q is named twice", kind)
			case kind != AnyKind && !kinds[kind]:
				c.fault(path, "no holiday is of the kind %.70q", kind)
			}
			seen[kind] = true
		}
		if r.Ignore && len(r.Intervals) > 0 {
			c.fault(path+".ignore", "the holiday is ignored, and there are intervals for it")
		}
		c.spans(path+".intervals", r.Intervals)
	}
}

func (c *compiler) specialDays(path string, s *Schedule) {
	c.size(path+".special_days", len(s.SpecialDays), maxEntries)
	for i, d := range s.SpecialDays {
		path := fmt.Sprintf("%s.special_days[%d]", path, i)
		if text := d.check(); text != "" {
			c.fault(path+".from", "%s", text)
		}
		c.spans(path+".intervals", d.Intervals)
	}
}

func (c *compiler) validity(path string, s *Schedule) {
	from, to := s.ValidFrom, s.ValidTo
	switch {
	case from.Yearly():
		c.fault(path+".valid_from", "wants a day of one year")
	case to.Yearly():
		c.fault(path+".valid_to", "wants a day of one year")
	case !from.IsZero() && !to.IsZero() && to.number() < from.number():
		c.fault(path+".valid_to", "is before valid_from")
	}
}

func (c *compiler) areas() {
	p := c.p
	p.areas = map[string]*Area{}
	c.size("area", len(p.Areas), maxEntries)
	for i := range p.Areas {
		a, path := &p.Areas[i], fmt.Sprintf("area[%d]", i)
		if c.id(path, a.ID, p.areas[a.ID] != nil) {
			p.areas[a.ID] = a
		}
		c.name(path+".name", a.Name)
		switch {
		case a.Passback == PassbackTimed:
			c.between(path+".within", a.Within, time.Second, maxWithin)
		case a.Passback > PassbackTimed:
			c.fault(path+".passback", "is unknown")
		case a.Within != 0:
			c.fault(path+".within", "is for timed anti-passback")
		}
		c.size(path+".forgive_at", len(a.ForgiveAt), maxForgive)
		for j, t := range a.ForgiveAt {
			if t == 24*60 {
				c.fault(fmt.Sprintf("%s.forgive_at[%d]", path, j), "24:00 is an end only")
			}
		}
	}
}

// unlock checks when a door is unlocked.
func (c *compiler) unlock(path string, d *DoorPolicy) {
	switch {
	case d.UnlockSchedule != "":
		c.scheduleID(path+".unlock_schedule", d.UnlockSchedule)
		if len(c.p.Interlocked(d.ID)) > 0 {
			c.fault(path+".unlock_schedule", "unlocks a door that is interlocked")
		}
	case d.FirstCard:
		c.fault(path+".first_card", "needs an unlock_schedule to start")
	}
}

// people checks an access point's areas and its rule for two persons.
func (c *compiler) people(path string, a *AccessPoint) {
	for _, m := range [...]struct{ name, area string }{{"from", a.From}, {"to", a.To}} {
		if m.area != Outside && c.p.areas[m.area] == nil {
			c.fault(path+"."+m.name, "no area has the id %.70q", m.area)
		}
	}
	if a.To != Outside && a.From == a.To {
		c.fault(path+".to", "leads where it comes from")
	}
	if a.PairWithin != 0 {
		c.between(path+".pair_within", a.PairWithin, minPairWithin, maxPairWithin)
	}
}

func (c *compiler) interlocks() {
	c.size("interlock", len(c.p.Interlocks), maxEntries)
	for i, g := range c.p.Interlocks {
		path := fmt.Sprintf("interlock[%d]", i)
		c.name(path+".name", g.Name)
		c.size(path+".doors", len(g.Doors), maxIntervals)
		if len(g.Doors) < 2 {
			c.fault(path+".doors", "an interlock has two doors or more")
		}
		seen := map[string]bool{}
		for j, id := range g.Doors {
			switch path := fmt.Sprintf("%s.doors[%d]", path, j); {
			case c.p.doors[id] == nil:
				c.fault(path, "no door has the id %.70q", id)
			case seen[id]:
				c.fault(path, "%.70q is named twice", id)
			}
			seen[id] = true
		}
	}
}
