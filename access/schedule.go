package access

import (
	"fmt"
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

// Interval is a weekly time span by the local wall clock, [From, To). One
// whose To is not after its From runs past midnight into the next day.
type Interval struct {
	Days     Days
	From, To TimeOfDay
}

func (iv Interval) open(day time.Weekday, now TimeOfDay) bool {
	if iv.To > iv.From {
		return iv.Days.Has(day) && now >= iv.From && now < iv.To
	}
	yesterday := (day + 6) % 7
	return iv.Days.Has(day) && now >= iv.From || iv.Days.Has(yesterday) && now < iv.To
}

// Schedule says when something holds: always, or within weekly intervals. One
// that has neither never holds.
type Schedule struct {
	ID        string
	Name      string
	Always    bool
	Intervals []Interval
}

// Open reports whether the schedule holds at t, by the wall clock of loc. An
// hour that daylight saving repeats counts both times; one that it skips never
// comes.
func (s *Schedule) Open(t time.Time, loc *time.Location) bool {
	if s.Always {
		return true
	}
	t = t.In(loc)
	now := TimeOfDay(t.Hour()*60 + t.Minute())
	for _, iv := range s.Intervals {
		if iv.open(t.Weekday(), now) {
			return true
		}
	}
	return false
}

// Fixed reports whether the schedule is the same at all times, so that it can
// be decided without a clock.
func (s *Schedule) Fixed() bool { return s.Always || len(s.Intervals) == 0 }
