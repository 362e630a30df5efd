package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// This is a second reading of the order of decision, made from its description
// alone. Where it and Decide differ, one of them is wrong.

// scene is a small world in which every rule can bite. Times are hours from
// noon, and every schedule is "open" or not for the whole scene.
type scene struct {
	Trusted          bool
	Hour             int // now, from noon
	Good             int // last good time, from noon
	DoorMode         DoorMode
	Base, Sched      PointMode // the mode, and the one while the schedule "day" is open
	Scheduled        bool
	IsCode           bool
	NKeys            int
	State            State
	From, To         int // hours from noon; 0 is none
	Level            string
	Options          Options
	Person           byte // 0 is none
	HasPIN           bool
	PIN              PINEntry
	KeyLock, PadLock bool
	Duress           bool
	Rule             Passback
	Area             string // where the holder is, "" outside, "?" not known
	Since            int    // hours before now
	Exit             bool   // the access point leads out
	Two              bool
	Pair             byte // person who was there before; 0 is nobody
	PairEscort       bool
	PairEscorted     bool
	PairAge          int // seconds
	Interlock, Busy  bool
	Stale            bool // central away longer than allowed
	StaleOn          bool
	FirstCard        bool // door waits for one, with schedule "day"
	FirstDone        bool
}

func scenes() *rapid.Generator[scene] {
	return rapid.Custom(func(t *rapid.T) scene {
		b := func(name string) bool { return rapid.Bool().Draw(t, name) }
		often := func(name string) bool { return rapid.IntRange(0, 9).Draw(t, name) > 0 }
		n := func(name string, least, most int) int { return rapid.IntRange(least, most).Draw(t, name) }
		s := scene{
			Trusted: often("trusted"), Hour: n("hour", -12, 11), Good: n("good", -30, 30),
			Base: PointMode(n("base", 1, 6)), Sched: PointMode(n("sched", 1, 6)), Scheduled: b("scheduled"),
			IsCode: !often("code"), NKeys: 1, State: Enabled, Level: rapid.SampledFrom([]string{"always", "always", "always", "day", "never", "both", "none", "gone"}).Draw(t, "level"),
			Options: Options(rapid.Byte().Draw(t, "options") & rapid.Byte().Draw(t, "mask")), Person: byte(n("person", 0, 2)),
			HasPIN: often("has pin"), PIN: PINEntry(n("pin", 0, 3)), KeyLock: !often("key lock"), PadLock: !often("pad lock"), Duress: b("duress"),
			Rule: Passback(n("rule", 0, 3)), Area: rapid.SampledFrom([]string{"?", "", "in", "cage"}).Draw(t, "area"), Since: n("since", -3, 3), Exit: b("exit"),
			Two: !often("two"), Pair: byte(n("pair", 0, 3)), PairEscort: b("escort"), PairEscorted: b("escorted"), PairAge: n("age", 0, 40),
			Interlock: b("interlock"), Busy: !often("busy"), Stale: b("stale"), StaleOn: b("stale on"), FirstCard: b("first card"), FirstDone: b("first done"),
		}
		if !often("mode") {
			s.DoorMode = DoorMode(n("door mode", 1, 5))
		}
		if !often("keys") {
			s.NKeys = n("number of keys", 0, 2)
		}
		if !often("state") {
			s.State = State(n("other state", 0, 4))
		}
		if !often("window") {
			s.From, s.To = n("from", -40, 40), n("to", -40, 40)
		}
		if s.Interlock { // neither may be unlocked by itself
			s.FirstCard = false
			s.Base, s.Sched = min(s.Base, ModeBlocked), min(s.Sched, ModeBlocked)
		}
		return s
	})
}

func (s scene) hours(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }

func (s scene) query(t *rapid.T) Query {
	p := &Policy{
		Codes: CodePolicy{Enabled: true, Size: 4}, Duress: s.Duress,
		// noon is on a Friday; now is within that day.
		Schedules: []Schedule{{ID: "day", Intervals: []Interval{{Days: 1 << time.Friday, From: 8 * 60, To: 17 * 60}}}},
		Areas:     []Area{{ID: "in", Passback: s.Rule}, {ID: "cage"}},
		Doors:     []DoorPolicy{{ID: "d", Times: DefaultDoorTimes()}, {ID: "e", Times: DefaultDoorTimes()}},
		Points:    []AccessPoint{{ID: "p", Door: "d", Reader: "r", Mode: s.Base, To: "in", TwoPerson: s.Two}},
		Levels: []Level{
			{ID: ID{1}, Name: "always", Grants: []Grant{{Points: []string{"p"}, Schedule: ScheduleAlways}}},
			{ID: ID{2}, Name: "day", Grants: []Grant{{Points: []string{"p"}, Schedule: "day"}}},
			{ID: ID{3}, Name: "never", Grants: []Grant{{Points: []string{"p"}, Schedule: ScheduleNever}}},
			{ID: ID{4}, Name: "none"},
		},
	}
	if s.Rule == PassbackTimed {
		p.Areas[0].Within = 2 * time.Hour
	}
	if s.Exit {
		p.Points[0].From, p.Points[0].To = "in", Outside
	}
	if s.Scheduled {
		p.Points[0].Modes = []ScheduledMode{{Schedule: "day", Mode: s.Sched}}
	}
	if s.FirstCard {
		p.Doors[0].UnlockSchedule, p.Doors[0].FirstCard = "day", true
	}
	if s.Interlock {
		p.Interlocks = []Interlock{{Doors: []string{"d", "e"}}}
	}
	if s.StaleOn {
		p.StaleAfter = time.Hour
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatalf("the scene is not a policy: %v", f)
	}
	k := Key{ID: ID{20}, Type: Proximity, State: s.State, Options: s.Options, HasPIN: s.HasPIN}
	if s.Person > 0 {
		k.Person = ID{s.Person}
	}
	if s.From != 0 {
		k.ValidFrom = s.hours(s.From)
	}
	if s.To != 0 {
		k.ValidTo = s.hours(s.To)
	}
	k.Levels = map[string][]ID{"always": {{1}}, "day": {{2}}, "never": {{3}}, "both": {{3}, {2}, {1}}, "none": {{4}}, "gone": {{99}}}[s.Level]
	q := Query{
		Clock: Clock{Now: s.hours(s.Hour), State: ClockTrusted, LastGood: s.hours(s.Good), Grace: 10 * time.Hour},
		Mono:  time.Hour, Policy: p, Point: p.Point("p"), DoorMode: s.DoorMode, Kind: CardKind, PIN: s.PIN, KeyLocked: s.KeyLock, PadLocked: s.PadLock,
		Keys: []Key{k, {ID: ID{21}, State: Enabled}}[:s.NKeys],
	}
	if !s.Trusted {
		q.Clock.State = ClockUntrusted
	}
	if s.IsCode {
		q.Kind = CodeKind
	}
	if s.Area != "?" {
		q.Place = Place{Area: s.Area, At: s.hours(s.Hour - s.Since)}
	}
	if s.Pair > 0 {
		q.Pair = Pair{Who: ID{s.Pair}, Escort: s.PairEscort, Escorted: s.PairEscorted, At: time.Hour - time.Duration(s.PairAge)*time.Second}
		if s.Pair == 3 {
			q.Pair.Who = k.ID
		}
	}
	if s.Busy {
		q.Busy = []string{"d", "e"}
	}
	if s.Stale {
		q.Away = 2 * time.Hour
	}
	if s.FirstDone {
		q.FirstCard = s.hours(24)
	}
	return q
}

// answer is what the description says, as "type reason", with what goes with it.
func (s scene) answer() (want string, extra map[string]bool) {
	extra = map[string]bool{}
	day := s.Hour >= -4 && s.Hour < 5 // 08:00 to 17:00
	has := func(o Options) bool { return s.Options&o != 0 }

	// The modes that it may be in.
	may := []PointMode{s.Base}
	if s.Scheduled {
		switch {
		case !s.Trusted && s.Sched != s.Base:
			may = []PointMode{s.Sched, s.Base}
		case s.Trusted && day:
			may = []PointMode{s.Sched}
		}
	}
	taken := 0
	pinAsked := false
	for _, m := range may {
		ok := map[PointMode]bool{ModeCard: !s.IsCode, ModeCardAndPIN: !s.IsCode, ModeCode: s.IsCode, ModeCardOrCode: true, ModeUnlocked: true}[m]
		if ok {
			taken++
		}
		pinAsked = pinAsked || m == ModeCardAndPIN && !s.IsCode
	}

	// 1
	if s.DoorMode == LockedDown {
		return "200 LockedDown", extra
	}
	if s.DoorMode == Blocked || len(may) == 1 && may[0] == ModeBlocked {
		return "200 Blocked", extra
	}
	// 2
	if s.IsCode && s.PadLock {
		return "200 LockedOut", extra
	}
	// 3
	if taken == 0 {
		return "200 WrongMode", extra
	}
	// 4
	if s.NKeys == 0 {
		extra["pad"] = s.IsCode
		return "201 ", extra
	}
	if s.NKeys == 2 {
		return "200 Ambiguous", extra
	}
	// 5
	if s.State == Blacklisted {
		return "203 ", extra
	}
	if s.State != Enabled {
		return "204 ", extra
	}
	// 6
	undecided := taken < len(may)
	if s.Trusted {
		if s.From != 0 && s.Hour < s.From || s.To != 0 && s.Hour >= s.To {
			return "202 ", extra
		}
	} else {
		if s.To != 0 && s.To <= s.Good {
			return "202 ", extra // ended before the last good time
		}
		begun := s.From == 0 || s.From <= s.Good
		far := s.To == 0 || s.To > s.Good+10
		undecided = undecided || !begun || !far
	}
	// 7
	switch s.Level {
	case "none", "gone":
		return "206 ", extra
	case "never":
		return "207 ", extra
	case "day":
		if s.Trusted && !day {
			return "207 ", extra
		}
		undecided = undecided || !s.Trusted
	}
	// 8
	if undecided {
		return "200 ClockUntrusted", extra
	}
	if s.StaleOn && s.Stale && has(NeedsCentral) {
		return "200 Stale", extra
	}
	// 9
	nobody := has(Common)
	if !nobody && !has(APBExempt) && s.Area != "?" {
		from := map[bool]string{false: "", true: "in"}[s.Exit]
		switch s.Rule {
		case PassbackHard:
			if s.Area != from {
				return "200 Passback", extra
			}
		case PassbackSoft:
			extra["soft"] = s.Area != from
		case PassbackTimed:
			if s.Exit || s.Area != "in" {
				break
			}
			end := s.Hour - s.Since + 2
			if !s.Trusted && end > s.Good {
				return "200 ClockUntrusted", extra
			}
			if s.Trusted && s.Since < 2 && s.Since > -2 {
				return "200 Passback", extra
			}
		}
	}
	other := s.Pair > 0 && s.PairAge < 30 && !nobody // somebody else, not long ago
	if s.Pair == 3 && s.Person == 0 || s.Pair == s.Person && s.Person > 0 {
		other = false
	}
	right := other && (!has(Escorted) || s.PairEscort) && (!s.PairEscorted || has(Escort))
	if (s.Two || has(Escorted)) && !right {
		extra["waits"] = !nobody
		return "200 SecondPersonWanted", extra
	}
	if s.Interlock && s.Busy {
		return "200 Interlock", extra
	}
	// 10
	byPIN := false
	if pinAsked && !has(PINExempt) {
		wrong := s.PIN == PINWrong || s.PIN == PINDuress && !s.Duress
		switch {
		case !s.HasPIN:
			return "205 ", extra
		case s.KeyLock || s.PadLock:
			return "200 LockedOut", extra
		case wrong:
			extra["pad"], extra["key"] = true, true
			return "200 WrongPIN", extra
		case s.PIN == PINNone:
			return "pin?", extra
		}
		byPIN = true
		extra["duress"] = s.PIN == PINDuress
	}
	// 11
	extra["granted"] = true
	extra["extended"] = has(Extended)
	extra["with"] = right && (s.Two || s.PairEscorted)
	extra["first"] = s.FirstCard && has(FirstCard) && s.Trusted && day && !s.FirstDone
	switch {
	case byPIN:
		return "103 ", extra
	case s.IsCode && has(Common):
		return "105 ", extra
	case s.IsCode:
		return "101 ", extra
	}
	return "102 ", extra
}

func TestDecideAgainstReference(t *testing.T) {
	answers := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := scenes().Draw(t, "scene")
		q := s.query(t)
		want, extra := s.answer()
		d, trace := Explain(q)
		got := trimmed(d)
		if got != want {
			t.Fatalf("got %q, want %q\n%s", got, want, trace)
		}
		answers[got]++
		found := map[string]bool{
			"pad": d.CountPad, "key": d.CountKey, "duress": d.Duress, "extended": d.Extended, "with": !d.With.IsZero(),
			"first": !d.FirstCardUntil.IsZero(), "granted": d.Granted(),
		}
		for name, is := range found {
			if is != extra[name] {
				t.Errorf("%s is %v, want %v\n%s", name, is, extra[name], trace)
			}
		}
		if d.Granted() && d.Violated != extra["soft"] {
			t.Errorf("soft anti-passback is %v, want %v", d.Violated, extra["soft"])
		}
		if extra["first"] && !d.FirstCardUntil.Equal(s.hours(5)) {
			t.Errorf("first card until %v, want 17:00", d.FirstCardUntil)
		}
		if me := q.Keys; extra["waits"] && (d.Pair.Who != me[0].Holder() || d.Pair.At != q.Mono) {
			t.Errorf("the one who waits is not remembered: %+v", d.Pair)
		}
		if plain := Decide(q); plain != d {
			t.Errorf("Decide %+v and Explain %+v differ", plain, d)
		}
		if a := trace.Answer(); a.Outcome != OutcomeAnswer || a.Text == "" {
			t.Errorf("the trace ends with %+v", a)
		}
		for _, step := range trace.Steps {
			if step.Text == "" {
				t.Errorf("step %q says nothing", step.Rule)
			}
		}
	})
	// A property that most scenes never come to is no property.
	for _, want := range []string{
		"101 ", "102 ", "103 ", "201 ", "203 ", "204 ", "202 ", "205 ", "206 ", "207 ", "pin?", "200 LockedDown", "200 Blocked", "200 WrongMode",
		"200 ClockUntrusted", "200 Passback", "200 SecondPersonWanted",
	} {
		if answers[want] == 0 && !testing.Short() && !t.Failed() && len(answers) > 0 && total(answers) > 2000 {
			t.Errorf("no scene was answered %q", want)
		}
	}
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func trimmed(d Decision) string {
	if d.WantPIN {
		return "pin?"
	}
	return digits(int(d.Type)) + " " + string(d.Reason)
}

func digits(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}
