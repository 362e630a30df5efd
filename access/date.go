package access

import (
	"fmt"
	"time"
)

// Date is a day of the calendar. With Year 0 it is that day of every year; the
// zero value is none.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads "2026-12-24", a day of one year (1970 to 9999), or "12-24",
// that day of every year.
func ParseDate(s string) (Date, error) {
	layout, day := "2006-01-02", s
	if len(s) == len("12-24") {
		day = "2000-" + s // a leap year: every day of the year is in it
	}
	t, err := time.Parse(layout, day)
	if err != nil || len(day) != len(layout) || t.Year() < 1970 {
		return Date{}, fmt.Errorf("%.16q is not a day (want one such as 2026-12-24, or 12-24 for every year)", s)
	}
	d := dateOf(t)
	if day != s {
		d.Year = 0
	}
	return d, nil
}

// IsZero reports whether the date is none.
func (d Date) IsZero() bool { return d == Date{} }

// Yearly reports whether the date is a day of every year.
func (d Date) Yearly() bool { return d.Year == 0 && !d.IsZero() }

// String gives the form that ParseDate reads, "" for none.
func (d Date) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.Yearly():
		return fmt.Sprintf("%02d-%02d", int(d.Month), d.Day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

func dateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{Year: y, Month: m, Day: d}
}

// eve is the day before.
func (d Date) eve() Date { return dateOf(time.Date(d.Year, d.Month, d.Day-1, 12, 0, 0, 0, time.UTC)) }

func (d Date) weekday() time.Weekday {
	return time.Date(d.Year, d.Month, d.Day, 12, 0, 0, 0, time.UTC).Weekday()
}

// number orders dates of one kind.
func (d Date) number() int { return (d.Year*16+int(d.Month))*32 + d.Day }

// Dates are the days From to To, both included. To is zero for a single day;
// days of every year may run over the new year.
type Dates struct {
	From, To Date
}

// Has reports whether a day of one year is among them. The 29th of February
// alone comes in leap years only.
func (r Dates) Has(day Date) bool {
	if r.From.Yearly() {
		day.Year = 0
	}
	from, to, n := r.From.number(), r.last().number(), day.number()
	if to < from { // over the new year
		return n >= from || n <= to
	}
	return n >= from && n <= to
}

func (r Dates) last() Date {
	if r.To.IsZero() {
		return r.From
	}
	return r.To
}

// check says what is wrong with the days, "" when they can be.
func (r Dates) check() string {
	switch {
	case r.From.IsZero():
		return "is missing (a day such as 2026-12-24, or 12-24 for every year)"
	case r.From.Yearly() != r.last().Yearly():
		return "is of one year and to is of every year, or the other way round"
	case !r.From.Yearly() && r.last().number() < r.From.number():
		return "is after to"
	}
	return ""
}
