package wire

import (
	"fmt"

	"postern/access"
)

// Policy is the whole policy of a panel as it travels, in the words of
// panel.toml: what keys may do where and when, and how doors behave. It replaces
// the one before whole.
//
// Access points and doors are the panel's own, by their ids: what is wired to
// them is not the document's. One that it does not name stays as it is in the
// panel's file; of one that it names, name, mode and times that are left out do.
//
// Texts that stand for a time, a day or an id are read by Access, which gives
// every fault at once.
type Policy struct {
	Version
	TimeZone     string          `json:"time_zone,omitempty"` // IANA name; the panel's own when empty
	Codes        Codes           `json:"codes"`
	Rules        PolicyRules     `json:"rules"`
	Lockout      PolicyLockout   `json:"lockout"`
	Holidays     []PolicyHoliday `json:"holidays,omitempty"`
	Schedules    []PolicySched   `json:"schedules,omitempty"`
	Areas        []PolicyArea    `json:"areas,omitempty"`
	AccessLevels []PolicyLevel   `json:"access_levels"` // wanted, as without it nobody gets in anywhere
	AccessPoints []PolicyPoint   `json:"access_points,omitempty"`
	Doors        []PolicyDoor    `json:"doors,omitempty"`
	Interlocks   []PolicyLock    `json:"interlocks,omitempty"`
}

// PolicyRules are what holds for all.
type PolicyRules struct {
	Duress     bool   `json:"duress,omitempty"`
	StaleAfter string `json:"stale_after,omitempty"` // a duration such as "72h"; never when empty
}

// PolicyLockout is access.LockoutRules; what is left out is the panel's default.
type PolicyLockout struct {
	KeyTries   int    `json:"key_tries,omitempty"`
	PointTries int    `json:"point_tries,omitempty"`
	First      string `json:"first,omitempty"`
	Most       string `json:"most,omitempty"`
}

// PolicyHoliday is access.Holiday, with days such as "2026-12-24" or "12-24".
type PolicyHoliday struct {
	Name string `json:"name,omitempty"`
	Kind string `json:"kind"`
	From string `json:"from"`
	To   string `json:"to,omitempty"`
}

// PolicySched is access.Schedule.
type PolicySched struct {
	ID          string              `json:"id"`
	Name        string              `json:"name,omitempty"`
	Intervals   []PolicyInterval    `json:"intervals,omitempty"`
	Holidays    []PolicyHolidayRule `json:"holidays,omitempty"`
	SpecialDays []PolicySpecialDay  `json:"special_days,omitempty"`
	ValidFrom   string              `json:"valid_from,omitempty"`
	ValidTo     string              `json:"valid_to,omitempty"`
}

// PolicyInterval is access.Interval, and without days access.Span.
type PolicyInterval struct {
	Days []string `json:"days,omitempty"` // "mon" to "sun"
	From string   `json:"from"`           // "08:00"
	To   string   `json:"to"`
}

// PolicyHolidayRule is access.HolidayRule.
type PolicyHolidayRule struct {
	Kinds     []string         `json:"kinds"`
	Ignore    bool             `json:"ignore,omitempty"`
	Intervals []PolicyInterval `json:"intervals,omitempty"`
}

// PolicySpecialDay is access.SpecialDay.
type PolicySpecialDay struct {
	From      string           `json:"from"`
	To        string           `json:"to,omitempty"`
	Intervals []PolicyInterval `json:"intervals,omitempty"`
}

// PolicyArea is access.Area.
type PolicyArea struct {
	ID        string   `json:"id"`
	Name      string   `json:"name,omitempty"`
	Passback  string   `json:"passback,omitempty"` // off when empty
	Within    string   `json:"within,omitempty"`
	ForgiveAt []string `json:"forgive_at,omitempty"`
}

// PolicyLevel is access.Level.
type PolicyLevel struct {
	ID     string        `json:"id"`
	Name   string        `json:"name"`
	Grants []PolicyGrant `json:"grants,omitempty"`
}

// PolicyGrant is access.Grant.
type PolicyGrant struct {
	AccessPoints []string `json:"access_points"`
	Schedule     string   `json:"schedule"`
}

// PolicyPoint is what a policy says of an access point.
type PolicyPoint struct {
	ID         string       `json:"id"`
	Name       string       `json:"name,omitempty"`
	Mode       string       `json:"mode,omitempty"`
	Modes      []PolicyMode `json:"modes,omitempty"`
	From       string       `json:"from,omitempty"`
	To         string       `json:"to,omitempty"`
	TwoPerson  bool         `json:"two_person,omitempty"`
	PairWithin string       `json:"pair_within,omitempty"`
}

// PolicyMode is access.ScheduledMode.
type PolicyMode struct {
	Schedule string `json:"schedule"`
	Mode     string `json:"mode"`
}

// PolicyDoor is what a policy says of a door.
type PolicyDoor struct {
	ID             string      `json:"id"`
	Name           string      `json:"name,omitempty"`
	Times          PolicyTimes `json:"times"`
	UnlockSchedule string      `json:"unlock_schedule,omitempty"`
	FirstCard      bool        `json:"first_card,omitempty"`
}

// PolicyTimes are access.DoorTimes, as durations such as "3s".
type PolicyTimes struct {
	Strike      string `json:"strike,omitempty"`
	Extended    string `json:"extended,omitempty"`
	Relock      string `json:"relock,omitempty"`
	HeldWarning string `json:"held_warning,omitempty"`
	HeldAlarm   string `json:"held_alarm,omitempty"`
	ShuntAfter  string `json:"shunt_after,omitempty"`
}

// PolicyLock is access.Interlock.
type PolicyLock struct {
	Name  string   `json:"name,omitempty"`
	Doors []string `json:"doors"`
}

// DecodePolicy reads a policy document. Unlike other messages it may have no
// member that is not known: a rule that is misspelt must not silently be none.
// Whether a panel can keep it is what Access says.
func DecodePolicy(doc []byte) (Policy, error) {
	var p Policy
	if len(doc) > MaxPayload {
		return Policy{}, tooLong(len(doc))
	}
	if err := Strict(doc, &p, true); err != nil {
		return Policy{}, err
	}
	switch {
	case p.Epoch == 0 || p.Revision == 0:
		return Policy{}, &FieldError{"revision", "epoch or revision is missing"}
	case p.AccessLevels == nil:
		return Policy{}, &FieldError{"access_levels", "is missing (an empty list takes all access away)"}
	}
	return p, nil
}

// PolicyOf is a panel's policy as it travels.
func PolicyOf(p *access.Policy, v Version) Policy {
	l := p.Lockout.Or(access.DefaultLockout())
	out := Policy{
		Version: v, Codes: Codes{Enabled: p.Codes.Enabled, Size: p.Codes.Size},
		Rules:        PolicyRules{Duress: p.Duress, StaleAfter: durationText(p.StaleAfter)},
		Lockout:      PolicyLockout{KeyTries: l.KeyTries, PointTries: l.PointTries, First: l.First.String(), Most: l.Most.String()},
		AccessLevels: []PolicyLevel{},
	}
	if p.Location != nil {
		out.TimeZone = p.Location.String()
	}
	for _, h := range p.Holidays {
		out.Holidays = append(out.Holidays, PolicyHoliday{Name: h.Name, Kind: h.Kind, From: h.From.String(), To: h.To.String()})
	}
	for _, s := range p.Schedules {
		out.Schedules = append(out.Schedules, policySchedule(s))
	}
	for _, a := range p.Areas {
		out.Areas = append(out.Areas, PolicyArea{
			ID: a.ID, Name: a.Name, Passback: a.Passback.String(), Within: durationText(a.Within), ForgiveAt: policyTexts(a.ForgiveAt),
		})
	}
	for _, v := range p.Levels {
		level := PolicyLevel{ID: v.ID.String(), Name: v.Name}
		for _, g := range v.Grants {
			level.Grants = append(level.Grants, PolicyGrant{AccessPoints: g.Points, Schedule: g.Schedule})
		}
		out.AccessLevels = append(out.AccessLevels, level)
	}
	for _, a := range p.Points {
		out.AccessPoints = append(out.AccessPoints, policyPoint(a))
	}
	for _, d := range p.Doors {
		t := d.Times
		out.Doors = append(out.Doors, PolicyDoor{
			ID: d.ID, Name: d.Name, UnlockSchedule: d.UnlockSchedule, FirstCard: d.FirstCard, Times: PolicyTimes{
				Strike: t.Strike.String(), Extended: t.Extended.String(), Relock: t.Relock.String(),
				HeldWarning: t.HeldWarning.String(), HeldAlarm: t.HeldAlarm.String(), ShuntAfter: t.ShuntAfter.String(),
			},
		})
	}
	for _, i := range p.Interlocks {
		out.Interlocks = append(out.Interlocks, PolicyLock(i))
	}
	return out
}

func policySchedule(s access.Schedule) PolicySched {
	out := PolicySched{ID: s.ID, Name: s.Name, ValidFrom: s.ValidFrom.String(), ValidTo: s.ValidTo.String()}
	for _, iv := range s.Intervals {
		out.Intervals = append(out.Intervals, PolicyInterval{Days: iv.Days.Names(), From: iv.From.String(), To: iv.To.String()})
	}
	for _, r := range s.Holidays {
		out.Holidays = append(out.Holidays, PolicyHolidayRule{Kinds: r.Kinds, Ignore: r.Ignore, Intervals: spanTexts(r.Intervals)})
	}
	for _, d := range s.SpecialDays {
		out.SpecialDays = append(out.SpecialDays, PolicySpecialDay{From: d.From.String(), To: d.To.String(), Intervals: spanTexts(d.Intervals)})
	}
	return out
}

func policyPoint(a access.AccessPoint) PolicyPoint {
	out := PolicyPoint{
		ID: a.ID, Name: a.Name, Mode: a.Mode.String(), From: a.From, To: a.To, TwoPerson: a.TwoPerson, PairWithin: durationText(a.PairWithin),
	}
	for _, m := range a.Modes {
		out.Modes = append(out.Modes, PolicyMode{Schedule: m.Schedule, Mode: m.Mode.String()})
	}
	return out
}

func spanTexts(spans []access.Span) (out []PolicyInterval) {
	for _, s := range spans {
		out = append(out, PolicyInterval{From: s.From.String(), To: s.To.String()})
	}
	return out
}

func policyTexts[T fmt.Stringer](in []T) (out []string) {
	for _, v := range in {
		out = append(out, v.String())
	}
	return out
}
