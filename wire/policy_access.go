package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/access"
)

// Access gives the policy that a panel would go by, compiled, or every fault of
// the document with its place there. base is the panel's own: it has the access
// points and doors that there are, and stays as it is.
func (p Policy) Access(base *access.Policy) (*access.Policy, []access.Fault) {
	r := policyReader{faulty: map[string]bool{}, pointAt: map[string]int{}, doorAt: map[string]int{}}
	out := &access.Policy{
		Location: base.Location,
		Codes:    access.CodePolicy{Enabled: p.Codes.Enabled, Size: p.Codes.Size},
		Lockout: access.LockoutRules{
			KeyTries: p.Lockout.KeyTries, PointTries: p.Lockout.PointTries,
			First: r.duration("lockout.first", p.Lockout.First, 0), Most: r.duration("lockout.most", p.Lockout.Most, 0),
		},
		Duress:     p.Rules.Duress,
		StaleAfter: r.duration("rules.stale_after", p.Rules.StaleAfter, 0),
		Points:     slices.Clone(base.Points),
		Doors:      slices.Clone(base.Doors),
	}
	if p.TimeZone != "" {
		out.Location = parsed(&r, "time_zone", p.TimeZone, parseZone)
	}
	for i, h := range p.Holidays {
		at := fmt.Sprintf("holidays[%d]", i)
		out.Holidays = append(out.Holidays, access.Holiday{Name: h.Name, Kind: h.Kind, Dates: r.dates(at, h.From, h.To)})
	}
	for i, s := range p.Schedules {
		out.Schedules = append(out.Schedules, r.schedule(fmt.Sprintf("schedules[%d]", i), s))
	}
	for i, a := range p.Areas {
		out.Areas = append(out.Areas, r.area(fmt.Sprintf("areas[%d]", i), a))
	}
	for i, l := range p.AccessLevels {
		out.Levels = append(out.Levels, r.level(fmt.Sprintf("access_levels[%d]", i), l))
	}
	for i, a := range p.AccessPoints {
		r.point(i, a, out.Points)
	}
	for i, d := range p.Doors {
		r.door(i, d, out.Doors)
	}
	for _, i := range p.Interlocks {
		out.Interlocks = append(out.Interlocks, access.Interlock(i))
	}
	for _, f := range out.Compile() {
		r.fault(r.place(f.Path, out), "%s", f.Message)
	}
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return out, nil
}

// policyReader reads the texts of one document and collects its faults.
type policyReader struct {
	faults  []access.Fault
	faulty  map[string]bool
	pointAt map[string]int // where the document names an access point
	doorAt  map[string]int
}

// fault adds a fault unless its place has one: what was wrong first is the
// cause of the rest.
func (r *policyReader) fault(path, format string, args ...any) {
	if !r.faulty[path] {
		r.faulty[path] = true
		r.faults = append(r.faults, access.Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// parsed reads a text, "" as the zero value.
func parsed[T any](r *policyReader, path, text string, parse func(string) (T, error)) (v T) {
	if text == "" {
		return v
	}
	v, err := parse(text)
	if err != nil {
		r.fault(path, "%v", err)
	}
	return v
}

func (r *policyReader) duration(path, text string, without time.Duration) time.Duration {
	if text == "" {
		return without
	}
	return parsed(r, path, text, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%.16q is not a duration (want a number and its unit, such as 500ms, 5s or 1m30s)", s)
		}
		return d, nil
	})
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func parseZone(s string) (*time.Location, error) {
	loc, err := time.LoadLocation(s)
	if err != nil || s == "Local" || len(s) > 64 {
		return nil, errors.New("is no known time zone (want one such as Europe/Stockholm, or UTC)")
	}
	return loc, nil
}

func (r *policyReader) dates(path, from, to string) access.Dates {
	return access.Dates{From: parsed(r, path+".from", from, access.ParseDate), To: parsed(r, path+".to", to, access.ParseDate)}
}

func (r *policyReader) schedule(path string, s PolicySched) access.Schedule {
	out := access.Schedule{
		ID: s.ID, Name: s.Name,
		ValidFrom: parsed(r, path+".valid_from", s.ValidFrom, access.ParseDate), ValidTo: parsed(r, path+".valid_to", s.ValidTo, access.ParseDate),
	}
	for i, iv := range s.Intervals {
		at := fmt.Sprintf("%s.intervals[%d]", path, i)
		days, err := access.ParseDays(iv.Days)
		if err != nil {
			r.fault(at+".days", "%v", err)
		}
		sp := r.span(at, iv)
		out.Intervals = append(out.Intervals, access.Interval{Days: days, From: sp.From, To: sp.To})
	}
	for i, h := range s.Holidays {
		at := fmt.Sprintf("%s.holidays[%d].intervals", path, i)
		out.Holidays = append(out.Holidays, access.HolidayRule{Kinds: h.Kinds, Ignore: h.Ignore, Intervals: r.spans(at, h.Intervals)})
	}
	for i, d := range s.SpecialDays {
		at := fmt.Sprintf("%s.special_days[%d]", path, i)
		out.SpecialDays = append(out.SpecialDays, access.SpecialDay{Dates: r.dates(at, d.From, d.To), Intervals: r.spans(at+".intervals", d.Intervals)})
	}
	return out
}

// spans reads intervals of days that something else names.
func (r *policyReader) spans(path string, in []PolicyInterval) (out []access.Span) {
	for i, iv := range in {
		at := fmt.Sprintf("%s[%d]", path, i)
		if len(iv.Days) > 0 {
			r.fault(at+".days", "days of the week have no say on a holiday or special day")
		}
		out = append(out, r.span(at, iv))
	}
	return out
}

func (r *policyReader) span(path string, iv PolicyInterval) access.Span {
	// Unlike other texts these are always wanted: "" is not midnight.
	read := func(path, s string) access.TimeOfDay {
		t, err := access.ParseTimeOfDay(s)
		if err != nil {
			r.fault(path, "%v", err)
		}
		return t
	}
	return access.Span{From: read(path+".from", iv.From), To: read(path+".to", iv.To)}
}

func (r *policyReader) area(path string, a PolicyArea) access.Area {
	out := access.Area{
		ID: a.ID, Name: a.Name, Passback: parsed(r, path+".passback", a.Passback, access.ParsePassback), Within: r.duration(path+".within", a.Within, 0),
	}
	for i, s := range a.ForgiveAt {
		t, err := access.ParseTimeOfDay(s)
		if err != nil {
			r.fault(fmt.Sprintf("%s.forgive_at[%d]", path, i), "%v", err)
		}
		out.ForgiveAt = append(out.ForgiveAt, t)
	}
	return out
}

func (r *policyReader) level(path string, l PolicyLevel) access.Level {
	out := access.Level{ID: parsed(r, path+".id", l.ID, access.ParseID), Name: l.Name}
	for _, g := range l.Grants {
		out.Grants = append(out.Grants, access.Grant{Points: g.AccessPoints, Schedule: g.Schedule})
	}
	return out
}

// point puts what the document says of an access point into the panel's own.
func (r *policyReader) point(i int, a PolicyPoint, points []access.AccessPoint) {
	path := fmt.Sprintf("access_points[%d]", i)
	n := slices.IndexFunc(points, func(p access.AccessPoint) bool { return p.ID == a.ID })
	if !r.found(path, "access point", a.ID, n, i, r.pointAt) {
		return
	}
	to := &points[n]
	if a.Name != "" {
		to.Name = a.Name
	}
	if a.Mode != "" {
		to.Mode = parsed(r, path+".mode", a.Mode, access.ParsePointMode)
	}
	to.Modes, to.From, to.To, to.TwoPerson = nil, a.From, a.To, a.TwoPerson
	to.PairWithin = r.duration(path+".pair_within", a.PairWithin, 0)
	for j, m := range a.Modes {
		mode := parsed(r, fmt.Sprintf("%s.modes[%d].mode", path, j), m.Mode, access.ParsePointMode)
		to.Modes = append(to.Modes, access.ScheduledMode{Schedule: m.Schedule, Mode: mode})
	}
}

// door puts what the document says of a door into the panel's own.
func (r *policyReader) door(i int, d PolicyDoor, doors []access.DoorPolicy) {
	path := fmt.Sprintf("doors[%d]", i)
	n := slices.IndexFunc(doors, func(p access.DoorPolicy) bool { return p.ID == d.ID })
	if !r.found(path, "door", d.ID, n, i, r.doorAt) {
		return
	}
	to := &doors[n]
	if d.Name != "" {
		to.Name = d.Name
	}
	to.UnlockSchedule, to.FirstCard = d.UnlockSchedule, d.FirstCard
	at, t := path+".times.", &to.Times
	*t = access.DoorTimes{
		Strike:      r.duration(at+"strike", d.Times.Strike, t.Strike),
		Extended:    r.duration(at+"extended", d.Times.Extended, t.Extended),
		Relock:      r.duration(at+"relock", d.Times.Relock, t.Relock),
		HeldWarning: r.duration(at+"held_warning", d.Times.HeldWarning, t.HeldWarning),
		HeldAlarm:   r.duration(at+"held_alarm", d.Times.HeldAlarm, t.HeldAlarm),
		ShuntAfter:  r.duration(at+"shunt_after", d.Times.ShuntAfter, t.ShuntAfter),
	}
}

// found notes where the document names something of the panel's, n in its list.
func (r *policyReader) found(path, what, id string, n, i int, at map[string]int) bool {
	if n < 0 {
		r.fault(path+".id", "this panel has no %s %.70q", what, id)
		return false
	}
	if _, twice := at[id]; twice {
		r.fault(path+".id", "%q is named twice", id)
		return false
	}
	at[id] = i
	return true
}

// place turns the place of a compiler's fault, in the words of panel.toml and
// counted in the panel's own access points and doors, into one of the document.
// What the document does not name is given by its id, as in doors(front).
func (r *policyReader) place(path string, p *access.Policy) string {
	head, rest, ok := strings.Cut(path, "[")
	index, tail, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		return plural(path)
	}
	n, err := strconv.Atoi(index)
	at, id := map[string]int(nil), ""
	switch {
	case err != nil:
	case head == "access_point" && n < len(p.Points):
		at, id = r.pointAt, p.Points[n].ID
	case head == "door" && n < len(p.Doors):
		at, id = r.doorAt, p.Doors[n].ID
	}
	if at == nil {
		return plural(head) + path[len(head):]
	}
	if i, ok := at[id]; ok {
		return fmt.Sprintf("%s[%d]%s", plural(head), i, tail)
	}
	return fmt.Sprintf("%s(%s)%s", plural(head), id, tail)
}

// plural is the document's word for a list of panel.toml.
func plural(head string) string {
	switch head {
	case "holiday", "schedule", "area", "access_level", "access_point", "door", "interlock":
		return head + "s"
	}
	return head
}
