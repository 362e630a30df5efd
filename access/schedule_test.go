package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no zone database: %v", err)
	}
	return loc
}

func interval(t testing.TB, from, to string, days ...string) Interval {
	t.Helper()
	d, err := ParseDays(days)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseTimeOfDay(from)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseTimeOfDay(to)
	if err != nil {
		t.Fatal(err)
	}
	return Interval{Days: d, From: f, To: u}
}

func TestScheduleOpen(t *testing.T) {
	sthlm := mustZone(t, "Europe/Stockholm")
	office := Schedule{ID: "office", Intervals: []Interval{interval(t, "08:00", "17:00", "mon", "tue", "wed", "thu", "fri")}}
	night := Schedule{ID: "night", Intervals: []Interval{interval(t, "22:00", "06:00", "fri")}}
	day := Schedule{ID: "day", Intervals: []Interval{interval(t, "00:00", "24:00", "sun")}}
	early := Schedule{ID: "early", Intervals: []Interval{interval(t, "02:00", "03:00", "sun")}}
	for _, tt := range []struct {
		name string
		s    Schedule
		at   string // UTC
		want bool
	}{
		{"before", office, "2026-11-20T06:59:59Z", false},
		{"at the start", office, "2026-11-20T07:00:00Z", true},
		{"last second", office, "2026-11-20T15:59:59Z", true},
		{"at the end", office, "2026-11-20T16:00:00Z", false},
		{"saturday", office, "2026-11-21T10:00:00Z", false},
		{"summer time", office, "2026-07-03T06:00:00Z", true},
		{"friday night", night, "2026-11-20T21:00:00Z", true},
		{"saturday morning", night, "2026-11-21T04:59:00Z", true},
		{"saturday after", night, "2026-11-21T05:00:00Z", false},
		{"saturday night", night, "2026-11-21T22:00:00Z", false},
		{"friday morning", night, "2026-11-20T03:00:00Z", false},
		{"whole sunday", day, "2026-11-21T23:00:00Z", true},
		{"whole sunday's end", day, "2026-11-22T23:00:00Z", false},
		// On 2026-10-25 the hour 02:00 to 03:00 comes twice, on 2026-03-29 never.
		{"fold, first", early, "2026-10-25T00:30:00Z", true},
		{"fold, second", early, "2026-10-25T01:30:00Z", true},
		{"gap, before", early, "2026-03-29T00:59:59Z", false},
		{"gap, after", early, "2026-03-29T01:00:00Z", false},
		{"never", Schedule{}, "2026-11-20T10:00:00Z", false},
		{"always", Schedule{Always: true}, "2026-11-20T10:00:00Z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.s.Open(at, sthlm); got != tt.want {
				t.Errorf("open at %s = %v, want %v", at.In(sthlm), got, tt.want)
			}
		})
	}
}

// A day's plan, and what of the night before it lets in.
func TestSchedulePlans(t *testing.T) {
	date := func(s string) Date {
		if s == "" {
			return Date{}
		}
		d, err := ParseDate(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	dates := func(from, to string) Dates { return Dates{From: date(from), To: date(to)} }
	night := []Interval{interval(t, "22:00", "06:00", "mon", "tue", "wed", "thu", "fri", "sat", "sun")}
	late := []Span{{From: 23 * 60, To: 2 * 60}}
	holidays := []Holiday{{Kind: "bank", Dates: dates("12-24", "12-26")}, {Kind: "staff", Dates: dates("12-26", "")}, {Kind: "leap", Dates: dates("02-29", "")}}
	closed := Schedule{ID: "closed", Intervals: night}
	ignored := Schedule{ID: "ignored", Intervals: night, Holidays: []HolidayRule{{Kinds: []string{AnyKind}, Ignore: true}}}
	own := Schedule{ID: "own", Intervals: night, Holidays: []HolidayRule{{Kinds: []string{AnyKind}, Ignore: true}, {Kinds: []string{"bank"}, Intervals: late}}}
	bankOff := Schedule{ID: "bank-off", Intervals: night, Holidays: []HolidayRule{{Kinds: []string{"bank"}, Ignore: true}}}
	special := Schedule{ID: "special", Intervals: night, SpecialDays: []SpecialDay{{Dates: dates("2026-12-25", ""), Intervals: late}, {Dates: dates("2026-12-25", "2026-12-27")}}}
	valid := Schedule{ID: "valid", Intervals: night, ValidFrom: date("2026-11-02"), ValidTo: date("2026-11-04")}
	p := &Policy{Holidays: holidays, Schedules: []Schedule{closed, ignored, own, bankOff, special, valid}}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	for _, tt := range []struct {
		schedule, at string
		want         bool
	}{
		{"closed", "2026-12-23T23:59", true},
		{"closed", "2026-12-24T00:00", false},
		{"closed", "2026-12-26T23:00", false},
		{"closed", "2026-12-27T05:00", false},
		{"closed", "2026-12-27T22:00", true},
		{"closed", "2028-02-28T23:00", true},
		{"closed", "2028-02-29T23:00", false},
		{"closed", "2027-03-01T01:00", true},
		{"closed", "2028-03-01T01:00", false},
		{"ignored", "2026-12-24T00:00", true},
		{"ignored", "2026-12-25T23:00", true},
		{"own", "2026-12-24T01:00", false},
		{"own", "2026-12-24T22:30", false},
		{"own", "2026-12-24T23:30", true},
		{"own", "2026-12-25T01:59", true},
		{"own", "2026-12-25T02:00", false}, // the same plan goes on
		{"own", "2026-12-27T01:59", true},
		{"own", "2026-12-27T02:00", false}, // into an ordinary day
		{"bank-off", "2026-12-25T23:00", true},
		{"bank-off", "2026-12-26T01:00", false},
		{"bank-off", "2026-12-26T23:00", false}, // another holiday of that day is closed
		{"special", "2026-12-24T23:00", false},
		{"special", "2026-12-25T22:30", false},
		{"special", "2026-12-25T23:30", true},
		{"special", "2026-12-26T00:30", false},
		{"special", "2026-12-27T23:00", false},
		{"special", "2026-12-28T23:00", true},
		{"valid", "2026-11-01T23:00", false},
		{"valid", "2026-11-02T05:00", false},
		{"valid", "2026-11-02T22:00", true},
		{"valid", "2026-11-03T05:00", true},
		{"valid", "2026-11-04T05:00", true},
		{"valid", "2026-11-04T23:59", true},
		{"valid", "2026-11-05T00:00", false},
	} {
		at, err := time.Parse("2006-01-02T15:04", tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Schedule(tt.schedule).Open(at, time.UTC); got != tt.want {
			t.Errorf("%s at %s: got %v, want %v", tt.schedule, tt.at, got, tt.want)
		}
	}
	end := Clock{State: ClockUntrusted, LastGood: time.Date(2026, 11, 4, 23, 59, 0, 0, time.UTC)}
	if got := end.inside(p.Schedule("valid"), time.UTC); got != unknown {
		t.Errorf("on its last day, without a clock: %v", got)
	}
	end.LastGood = end.LastGood.Add(time.Minute)
	if got := end.inside(p.Schedule("valid"), time.UTC); got != no {
		t.Errorf("after its last day, without a clock: %v", got)
	}
}

func TestParseDate(t *testing.T) {
	for _, s := range []string{"2026-12-24", "12-24", "02-29", "2028-02-29", "1970-01-01", "9999-12-31"} {
		d, err := ParseDate(s)
		if err != nil || d.String() != s || d.Yearly() != (len(s) == 5) {
			t.Errorf("%s: got %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "2026-02-29", "02-30", "12-32", "13-01", "2026-1-1", "1969-12-31", "24-12", "2026-12-24T00:00:00Z", "0000-01-01", "+2026-1-01"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("%q is taken for %v", s, d)
		}
	}
	if got := Days(0b1000011).Names(); len(got) != 3 || got[0] != "mon" || got[2] != "sun" {
		t.Errorf("days are %v", got)
	}
}

// A schedule is what a table with a cell for each minute of the week says.
func TestScheduleAgainstTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Schedule
		table := make([]bool, 7*24*60)
		for range rapid.IntRange(1, 4).Draw(t, "intervals") {
			iv := Interval{
				Days: Days(rapid.IntRange(1, 127).Draw(t, "days")),
				From: TimeOfDay(rapid.IntRange(0, 1439).Draw(t, "from")),
				To:   TimeOfDay(rapid.IntRange(0, 1440).Draw(t, "to")),
			}
			if iv.From == iv.To {
				continue
			}
			s.Intervals = append(s.Intervals, iv)
			length := int(iv.To - iv.From)
			if length < 0 {
				length += 24 * 60
			}
			for d := range 7 {
				if iv.Days.Has(time.Weekday(d)) {
					for m := range length {
						table[(d*24*60+int(iv.From)+m)%len(table)] = true
					}
				}
			}
		}
		minute := rapid.IntRange(0, len(table)-1).Draw(t, "minute")
		// 2026-11-22 is a Sunday.
		at := time.Date(2026, 11, 22, 0, minute, 30, 0, time.UTC)
		if got := s.Open(at, time.UTC); got != table[minute] {
			t.Fatalf("%+v at %v: got %v, want %v", s, at, got, table[minute])
		}
	})
}

func TestParseTimeOfDayAndDays(t *testing.T) {
	for _, s := range []string{"", "8:00", "24:01", "12:60", "12-00", "ab:cd", "0008:00"} {
		if _, err := ParseTimeOfDay(s); err == nil {
			t.Errorf("%q is taken for a time of day", s)
		}
	}
	if v, err := ParseTimeOfDay("24:00"); err != nil || v != 1440 || v.String() != "24:00" {
		t.Errorf("24:00 = %v, %v", v, err)
	}
	for _, names := range [][]string{{"monday"}, {"mon", "mon"}, {""}} {
		if _, err := ParseDays(names); err == nil {
			t.Errorf("%q are taken for days", names)
		}
	}
}
