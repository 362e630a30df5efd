package access

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// The oracle paints every minute of ten years of a wall clock that has never
// heard of zones, day by day from the description of a schedule; a zone then
// only says what its wall clock shows. Schedules must agree with it at every
// minute, and Next at every change.

// Zones with gaps and folds of an hour and of half an hour, at midnight, moved
// by decree, on both hemispheres, and with none.
var oracleZones = []string{
	"UTC", "Europe/Stockholm", "Europe/London", "Europe/Dublin", "Atlantic/Azores", "America/New_York", "America/St_Johns",
	"America/Santiago", "America/Sao_Paulo", "America/Havana", "America/Asuncion", "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut",
	"Asia/Gaza", "Asia/Tehran", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
}

const (
	oracleFrom = 2018
	oracleTo   = 2028 // not included
)

// civilDay counts days from 1 January 2018, a Monday, by the calendar alone.
func civilDay(y, m, d int) int {
	n := 0
	for year := oracleFrom; year < y; year++ {
		n += 365 + leap(year)
	}
	for month := 1; month < m; month++ {
		n += monthDays(y, month)
	}
	return n + d - 1
}

func leap(y int) int {
	if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		return 1
	}
	return 0
}

func monthDays(y, m int) int {
	return [...]int{31, 28 + leap(y), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m-1]
}

type painter struct {
	s        *Schedule
	holidays []Holiday
	minutes  []bool // wall-clock minutes, from the first day on
}

// plan names the plan of a day and gives its spans: "week" or one of its own.
func (p *painter) plan(y, m, d, weekday int) (name string, spans [][2]int) {
	md, ymd := m*100+d, (y*100+m)*100+d
	within := func(r Dates) bool {
		to := r.To
		if to == (Date{}) {
			to = r.From
		}
		f, l := int(r.From.Month)*100+r.From.Day, int(to.Month)*100+to.Day
		if r.From.Year == 0 {
			if f <= l {
				return f <= md && md <= l
			}
			return md >= f || md <= l
		}
		return r.From.Year*10000+f <= ymd && ymd <= to.Year*10000+l
	}
	for i, sp := range p.s.SpecialDays {
		if within(sp.Dates) {
			return fmt.Sprint("special ", i), minutesOf(sp.Intervals)
		}
	}
	for _, h := range p.holidays {
		if !within(h.Dates) {
			continue
		}
		named, any := -1, -1
		for i, r := range p.s.Holidays {
			for _, k := range r.Kinds {
				switch k {
				case h.Kind:
					named = i
				case "*":
					any = i
				}
			}
		}
		if named < 0 {
			named = any
		}
		if named < 0 {
			return "closed", nil
		}
		if r := p.s.Holidays[named]; !r.Ignore {
			return fmt.Sprint("holiday ", named), minutesOf(r.Intervals)
		}
	}
	for _, iv := range p.s.Intervals {
		if iv.Days>>weekday&1 == 1 {
			spans = append(spans, [2]int{int(iv.From), int(iv.To)})
		}
	}
	return "week", spans
}

func minutesOf(in []Span) (out [][2]int) {
	for _, s := range in {
		out = append(out, [2]int{int(s.From), int(s.To)})
	}
	return out
}

// paint gives the minutes, and the days on which another plan begins.
func paint(s *Schedule, holidays []Holiday) (minutes []bool, turns []int) {
	days := civilDay(oracleTo, 1, 1)
	p := painter{s: s, holidays: holidays, minutes: make([]bool, days*1440)}
	if s.Always {
		for i := range p.minutes {
			p.minutes[i] = true
		}
		return p.minutes, nil
	}
	names := make([]string, days+1)
	spans := make([][][2]int, days)
	valid := make([]bool, days+1)
	day := 0
	for y := oracleFrom; y < oracleTo; y++ {
		for m := 1; m <= 12; m++ {
			for d := 1; d <= monthDays(y, m); d++ {
				names[day], spans[day] = p.plan(y, m, d, (day+1)%7)
				from, to, n := s.ValidFrom, s.ValidTo, y*10000+m*100+d
				valid[day] = (from == Date{} || from.Year*10000+int(from.Month)*100+from.Day <= n) && (to == Date{} || n <= to.Year*10000+int(to.Month)*100+to.Day)
				day++
			}
		}
	}
	for day := range days {
		if day > 0 && (names[day] != names[day-1] || valid[day] != valid[day-1]) {
			turns = append(turns, day)
		}
		if !valid[day] {
			continue
		}
		for _, s := range spans[day] {
			from, to := day*1440+s[0], day*1440+s[1]
			if s[1] <= s[0] {
				to += 1440
			}
			midnight := (day + 1) * 1440
			if to > midnight && (!valid[day+1] || names[day+1] != "week" && names[day+1] != names[day]) {
				to = midnight
			}
			for i := from; i < min(to, len(p.minutes)); i++ {
				p.minutes[i] = true
			}
		}
	}
	return p.minutes, turns
}

// oracleSchedules are drawn once and for all: dense in what is odd.
func oracleSchedules(r *rand.Rand, n int) ([]Holiday, []Schedule) {
	minute := func() TimeOfDay {
		if r.IntN(2) == 0 {
			return TimeOfDay(r.IntN(9) * 30) // where clocks change
		}
		return TimeOfDay(r.IntN(1440))
	}
	span := func() Span {
		s := Span{minute(), minute()}
		if s.From == s.To {
			s.To = 1440
		}
		return s
	}
	spans := func() (out []Span) {
		for range r.IntN(3) {
			out = append(out, span())
		}
		return out
	}
	day := func(year int) Date {
		m := 1 + r.IntN(12)
		return Date{Year: year, Month: time.Month(m), Day: 1 + r.IntN(28)}
	}
	some := func() int { return oracleFrom + r.IntN(oracleTo-oracleFrom) }
	dates := func() Dates {
		if r.IntN(2) == 0 {
			d := Dates{From: day(0)}
			if r.IntN(2) == 0 {
				d.To = day(0)
			}
			return d
		}
		from := day(some())
		to := from
		to.Day = min(28, from.Day+r.IntN(6))
		return Dates{From: from, To: to}
	}
	holidays := []Holiday{{Kind: "leap", Dates: Dates{From: Date{0, 2, 29}}}, {Kind: "a", Dates: Dates{From: Date{0, 12, 30}, To: Date{0, 1, 2}}}}
	for range 8 {
		holidays = append(holidays, Holiday{Kind: []string{"a", "b", "c"}[r.IntN(3)], Dates: dates()})
	}
	holidays = append(holidays, Holiday{Kind: "b", Dates: Dates{From: day(0)}}, Holiday{Kind: "c", Dates: Dates{From: day(0)}})
	out := []Schedule{
		{ID: "office", Intervals: []Interval{{Days: 0b0111110, From: 8 * 60, To: 17 * 60}}},
		{ID: "nights", Intervals: []Interval{{Days: 127, From: 22 * 60, To: 6 * 60}}, Holidays: []HolidayRule{{Kinds: []string{"*"}, Ignore: true}}},
		{ID: "gap", Intervals: []Interval{{Days: 1, From: 0, To: 1440}, {Days: 65, From: 2 * 60, To: 3 * 60}}},
	}
	for len(out) < n {
		s := Schedule{ID: fmt.Sprint("s", len(out))}
		for range 1 + r.IntN(3) {
			sp := span()
			s.Intervals = append(s.Intervals, Interval{Days: Days(1 + r.IntN(127)), From: sp.From, To: sp.To})
		}
		for i, kinds := range [][]string{{"a"}, {"b", "leap"}, {"*"}} {
			if r.IntN(2) == 0 {
				rule := HolidayRule{Kinds: kinds, Ignore: r.IntN(3) == 0}
				if !rule.Ignore && i < 2 {
					rule.Intervals = spans()
				}
				s.Holidays = append(s.Holidays, rule)
			}
		}
		for range r.IntN(3) {
			s.SpecialDays = append(s.SpecialDays, SpecialDay{Dates: dates(), Intervals: spans()})
		}
		if r.IntN(3) == 0 {
			s.ValidFrom = day(oracleFrom + 1)
		}
		if r.IntN(3) == 0 {
			s.ValidTo = day(oracleTo - 2)
		}
		out = append(out, s)
	}
	return holidays, out
}

// TestSchedulesAgainstOracle looks at every minute of ten years in 20 zones when
// POSTERN_ORACLE is full; otherwise at the days around every change of a zone's
// offset and of the year, and at some minutes between.
func TestSchedulesAgainstOracle(t *testing.T) {
	full := os.Getenv("POSTERN_ORACLE") == "full"
	n, stride := 6, 4007
	if full {
		n, stride = 8, 1
	}
	holidays, schedules := oracleSchedules(rand.New(rand.NewPCG(2026, 11)), n)
	p := &Policy{Holidays: holidays, Schedules: schedules}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	for i := range p.Schedules {
		s := &p.Schedules[i]
		minutes, turns := paint(s, holidays)
		for z, zone := range oracleZones {
			t.Run(s.ID+"/"+zone, func(t *testing.T) {
				around, turns := 3*time.Hour, turns
				if z%n == i {
					around = 27 * time.Hour
				}
				if z%2 == i%2 {
					turns = nil
				}
				oracleZone(t, s, minutes, mustZone(t, zone), stride, around, turns)
			})
		}
	}
}

// oracleZone compares a schedule in one zone: each stride of minutes, and with a
// stride above 1 all minutes around the zone's changes, and some of the days
// around the turns.
func oracleZone(t *testing.T, s *Schedule, minutes []bool, loc *time.Location, stride int, around time.Duration, turns []int) {
	first := time.Date(oracleFrom, 1, 3, 0, 0, 0, 0, time.UTC)
	last := time.Date(oracleTo-1, 12, 29, 0, 0, 0, 0, time.UTC)
	want := func(at time.Time) bool {
		// The wall clock is that of time with the zone's offset added.
		_, offset := at.In(loc).Zone()
		wall := int(at.Unix()-time.Date(oracleFrom, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) + offset
		return minutes[wall/60]
	}
	look := func(from, to time.Time, step time.Duration) {
		was, next := false, time.Time{}
		for at := from; at.Before(to) && at.Before(last); at = at.Add(step) {
			w := want(at)
			if got := s.Open(at, loc); got != w {
				t.Fatalf("open at %s = %v, want %v: %+v", at.In(loc), got, w, s)
			}
			// Where every minute is looked at, so is every change.
			if step > time.Minute {
				continue
			}
			switch {
			case !next.IsZero() && at.Before(next) && w != was:
				t.Fatalf("changed at %s, and next was %s: %+v", at.In(loc), next.In(loc), s)
			case at.Equal(next) && w == was && next.Before(from.Add(horizon)):
				t.Fatalf("did not change at %s: %+v", at.In(loc), s)
			}
			if next.IsZero() || !at.Before(next) {
				was, next = w, s.Next(at, loc)
				if !next.After(at) {
					t.Fatalf("next after %s is %s", at, next)
				}
			}
		}
	}
	if stride == 1 {
		look(first, last, time.Minute)
		return
	}
	look(first, last, time.Duration(stride)*time.Minute)
	for at := first; at.Before(last); {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() {
			break
		}
		if end.Before(last) {
			look(end.Add(-around), end.Add(around), time.Minute)
		}
		at = end
	}
	for _, day := range turns {
		midnight := time.Date(oracleFrom, 1, 1+day, 0, 0, 0, 0, loc)
		if midnight.After(first.AddDate(0, 0, 2)) {
			look(midnight.Add(-25*time.Hour), midnight.Add(25*time.Hour), 13*time.Minute)
		}
	}
	look(time.Date(2023, 12, 28, 0, 0, 0, 0, loc), time.Date(2024, 1, 4, 0, 0, 0, 0, loc), time.Minute)
	look(time.Date(2024, 2, 27, 0, 0, 0, 0, loc), time.Date(2024, 3, 2, 0, 0, 0, 0, loc), time.Minute)
}
