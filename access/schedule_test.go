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
