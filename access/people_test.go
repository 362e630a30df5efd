package access

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// house is an area with a way in and a way out, a vault inside it that wants
// two persons, and an air lock of two doors.
func house(t testing.TB, rule Area) *Policy {
	t.Helper()
	rule.ID = "house"
	times := DefaultDoorTimes()
	p := &Policy{
		Location: mustZone(t, "Europe/Stockholm"),
		Areas:    []Area{rule, {ID: "vault", Passback: PassbackHard}},
		Doors: []DoorPolicy{
			{ID: "main", Times: times, UnlockSchedule: "office", FirstCard: true},
			{ID: "vault", Times: times},
			{ID: "a", Times: times},
			{ID: "b", Times: times},
			{ID: "shop", Times: times},
		},
		Schedules: []Schedule{{ID: "office", Intervals: []Interval{{Days: 62, From: 8 * 60, To: 17 * 60}}}},
		Points: []AccessPoint{
			{ID: "in", Door: "main", Reader: "1", Mode: ModeCardOrCode, To: "house"},
			{ID: "out", Door: "main", Reader: "2", Mode: ModeCard, From: "house"},
			{ID: "vault-in", Door: "vault", Reader: "3", Mode: ModeCard, From: "house", To: "vault", TwoPerson: true, PairWithin: 10 * time.Second},
			{ID: "vault-out", Door: "vault", Reader: "4", Mode: ModeCard, From: "vault", To: "house"},
			{ID: "a", Door: "a", Reader: "5", Mode: ModeCard},
			{ID: "b", Door: "b", Reader: "6", Mode: ModeCard},
			{ID: "shop", Door: "shop", Reader: "7", Mode: ModeCard, Modes: []ScheduledMode{{Schedule: "office", Mode: ModeUnlocked}}},
		},
		Interlocks: []Interlock{{Doors: []string{"a", "b"}}},
	}
	all := Grant{Schedule: ScheduleAlways}
	for _, a := range p.Points {
		all.Points = append(all.Points, a.ID)
	}
	p.Codes = CodePolicy{Enabled: true, Size: 4}
	p.Levels = []Level{{ID: ID{1}, Name: "all", Grants: []Grant{all}}}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	return p
}

// visit is one badge in the life of a house, which opens its door when granted.
type visit struct {
	after  time.Duration // since the one before
	point  string
	person byte
	o      Options
	want   string // as trimmed gives it
}

type life struct {
	p        *Policy
	clock    Clock
	mono     time.Duration
	presence Presence
	pairs    map[string]Pair
}

func (l *life) badge(v visit) Decision {
	l.clock.Now, l.mono = l.clock.Now.Add(v.after), l.mono+v.after
	k := key(func(k *Key) { k.ID = ID{v.person, 0xee}; k.Person = ID{v.person}; k.Options = v.o })
	a := l.p.Point(v.point)
	d := Decide(Query{
		Clock: l.clock, Mono: l.mono, Policy: l.p, Point: a, Kind: CardKind, Keys: []Key{k}, Place: l.presence.Of(k.Holder()), Pair: l.pairs[v.point],
	})
	l.pairs[v.point] = d.Pair
	if d.Granted() {
		for _, who := range []ID{d.Who, d.With} {
			l.presence.Move(who, a.To, l.clock.Now)
		}
	}
	return d
}

func TestVisits(t *testing.T) {
	const (
		yes    = "102 "
		back   = "200 Passback"
		second = "200 SecondPersonWanted"
	)
	hard := Area{Passback: PassbackHard, ForgiveAt: []TimeOfDay{4 * 60}}
	for _, tt := range []struct {
		name   string
		rule   Area
		visits []visit
	}{
		{"in, in again, out, out again", hard, []visit{
			{0, "in", 1, 0, yes}, {time.Second, "in", 1, 0, back}, {time.Hour, "out", 1, 0, yes}, {time.Hour, "out", 1, 0, back}, {0, "in", 1, 0, yes},
		}},
		{"out first is no reason to refuse", hard, []visit{{0, "out", 1, 0, yes}, {0, "out", 1, 0, back}}},
		{"two cards of one person are one person", hard, []visit{{0, "in", 1, 0, yes}, {0, "in", 1, Extended, back}}},
		{"exempt", hard, []visit{{0, "in", 1, 0, yes}, {0, "in", 1, APBExempt, yes}, {0, "in", 1, 0, back}}},
		{"forgiven at four", hard, []visit{{0, "in", 1, 0, yes}, {14*time.Hour + 59*time.Minute, "in", 1, 0, back}, {time.Minute, "in", 1, 0, yes}}},
		{"soft", Area{Passback: PassbackSoft}, []visit{{0, "in", 1, 0, yes}, {0, "in", 1, 0, yes}}},
		{"off", Area{}, []visit{{0, "in", 1, 0, yes}, {0, "in", 1, 0, yes}}},
		{"timed", Area{Passback: PassbackTimed, Within: time.Minute}, []visit{
			{0, "in", 1, 0, yes}, {time.Minute - 1, "in", 1, 0, back}, {1, "in", 1, 0, yes}, {0, "out", 1, 0, yes}, {0, "out", 1, 0, yes}, {0, "in", 1, 0, yes},
		}},
		{"two persons", Area{}, []visit{
			{0, "vault-in", 1, 0, second},
			{time.Second, "vault-in", 1, 0, second},
			{5 * time.Second, "vault-in", 2, 0, yes},
			{time.Second, "vault-in", 3, 0, second},
			{10 * time.Second, "vault-in", 4, 0, second},
			{time.Second, "vault-in", 3, 0, yes},
		}},
		{"both are inside", Area{}, []visit{
			{0, "in", 1, 0, yes}, {0, "in", 2, 0, yes}, {0, "vault-in", 1, 0, second}, {0, "vault-in", 2, 0, yes}, {0, "vault-in", 1, 0, back}, {0, "vault-out", 1, 0, yes},
		}},
		{"a visitor with an escort, in either order", Area{}, []visit{
			{0, "in", 1, Escorted, second},
			{time.Second, "in", 2, 0, yes},
			{time.Second, "in", 1, Escorted, second},
			{29 * time.Second, "in", 3, Escort, yes},
			{time.Second, "in", 4, Escorted, yes},
			{time.Second, "in", 5, Escorted, yes},
			{28 * time.Second, "in", 6, Escorted, second},
		}},
		{"an escort and a visitor are two", Area{}, []visit{
			{0, "vault-in", 1, Escorted, second}, {0, "vault-in", 2, 0, second}, {0, "vault-in", 1, Escorted, second}, {0, "vault-in", 3, Escort, yes},
		}},
		{"a common key is nobody", hard, []visit{{0, "in", 1, Common, yes}, {0, "in", 1, Common, yes}, {0, "vault-in", 1, Common, second}, {0, "vault-in", 2, 0, second}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// 13:00 in Stockholm.
			l := &life{p: house(t, tt.rule), clock: Trusted(noon), mono: time.Hour, pairs: map[string]Pair{}}
			for i, v := range tt.visits {
				if got := trimmed(l.badge(v)); got != v.want {
					t.Errorf("badge %d: got %q, want %q", i+1, got, v.want)
				}
			}
		})
	}
}

func TestPassbackWithoutClock(t *testing.T) {
	p := house(t, Area{Passback: PassbackTimed, Within: time.Hour, ForgiveAt: []TimeOfDay{4 * 60}})
	place := Place{Area: "house", At: noon}
	for _, tt := range []struct {
		name  string
		clock Clock
		want  passing
	}{
		{"not known to be over", Clock{Now: noon.AddDate(1, 0, 0), State: ClockUntrusted, LastGood: noon.Add(time.Hour - 1)}, undecided},
		{"known to be over", Clock{Now: noon, State: ClockUntrusted, LastGood: noon.Add(time.Hour)}, passes},
		{"forgiven before the last good time", Clock{Now: noon, State: ClockUntrusted, LastGood: noon.Add(15 * time.Hour)}, passes},
		{"set back a little", Trusted(noon.Add(-time.Minute)), refused},
		{"set back a lot", Trusted(noon.AddDate(-1, 0, 0)), passes},
		{"jumped ahead", Trusted(noon.AddDate(30, 0, 0)), passes},
	} {
		if got := p.passback(p.Point("in"), place, tt.clock); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The last time of day before an instant, where clocks change too.
func TestForgivingTime(t *testing.T) {
	loc := mustZone(t, "Europe/Stockholm")
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.SampledFrom([]string{"2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z", "2026-07-01T00:00:00Z"}).Draw(t, "day")
		start, _ := time.Parse(time.RFC3339, day)
		now := start.Add(time.Duration(rapid.IntRange(-2000, 4000).Draw(t, "minutes")) * time.Minute)
		tod := TimeOfDay(rapid.IntRange(0, 1439).Draw(t, "time of day"))
		last := tod.lastBefore(now, loc)
		if last.After(now) || now.Sub(last) >= 25*time.Hour+time.Minute {
			t.Fatalf("%s before %s is %s", tod, now.In(loc), last)
		}
		// Skipped by a gap, it comes an hour off.
		if l := last.In(loc); l.Hour()*60+l.Minute() != int(tod) && !(l.Day() == 29 && l.Month() == 3 && tod/60 == 2) {
			t.Fatalf("%s before %s is %s", tod, now.In(loc), l)
		}
	})
}

func TestPresence(t *testing.T) {
	var p Presence
	p.Move(ID{}, "house", noon)
	if len(p.People) != 0 {
		t.Error("nobody is somewhere")
	}
	p.Move(ID{2}, "house", noon)
	p.Move(ID{1}, "house", noon)
	p.Move(ID{3}, "cellar", noon)
	p.Move(ID{4}, Outside, noon)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again Presence
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, again); d != "" {
		t.Errorf("-kept +read:\n%s", d)
	}
	if got := p.Inside("house"); len(got) != 2 || got[0] != (ID{1}) {
		t.Errorf("inside are %v", got)
	}
	p.Keep(house(t, Area{}))
	if !p.Of(ID{3}).IsZero() || p.Of(ID{4}).IsZero() || p.Of(ID{1}).IsZero() {
		t.Errorf("after a policy without a cellar: %+v", p)
	}
	if n := p.Forgive(ID{1}); n != 1 || p.Forgive(ID{1}) != 0 || p.Forgive(ID{}) != 2 || len(p.People) != 0 {
		t.Errorf("forgiving leaves %+v", p)
	}
}

func TestPresenceIsBounded(t *testing.T) {
	var p Presence
	id := func(n int) ID { return ID{1, byte(n), byte(n >> 8), byte(n >> 16)} }
	for i := range MaxPresence {
		p.Move(id(i), "house", noon.Add(time.Duration(i)))
	}
	p.Move(id(7), Outside, noon.Add(time.Hour))
	p.Move(id(MaxPresence), "house", noon) // the one outside makes place
	p.Move(id(MaxPresence+1), "house", noon)
	if len(p.People) != MaxPresence || !p.Of(id(7)).IsZero() || p.Of(id(MaxPresence+1)).IsZero() {
		t.Errorf("%d people, %v", len(p.People), p.Of(id(7)))
	}
	if !p.Of(id(0)).IsZero() && !p.Of(id(MaxPresence)).IsZero() {
		t.Error("nobody made place for the last one")
	}
}

func TestInterlock(t *testing.T) {
	p := house(t, Area{})
	for _, tt := range []struct {
		point string
		busy  []string
		want  string
	}{
		{"a", nil, "102 "}, {"a", []string{"a", "main"}, "102 "}, {"a", []string{"main", "b"}, "200 Interlock"}, {"main", []string{"a", "b"}, "102 "},
	} {
		point := tt.point
		if point == "main" {
			point = "in"
		}
		d := Decide(Query{Clock: Trusted(noon), Policy: p, Point: p.Point(point), Kind: CardKind, Keys: []Key{key(nil)}, Busy: tt.busy})
		if got := trimmed(d); got != tt.want {
			t.Errorf("%s while %v are busy: got %q, want %q", tt.point, tt.busy, got, tt.want)
		}
	}
}

func TestCodes(t *testing.T) {
	p := house(t, Area{})
	q := Query{Clock: Trusted(noon), Policy: p, Point: p.Point("in"), Kind: CodeKind, Keys: []Key{key(func(k *Key) { k.Type = Code; k.Options = Common })}}
	if d := Decide(q); d.Type != GrantedCommonCode || !d.Who.IsZero() || d.Key == nil {
		t.Errorf("a common code: %+v", d)
	}
	for size, most := range map[int]int{2: 0, 3: 1, 4: 10, 5: 100, 6: 1000} {
		if CodeRisk(size, most) != "" || CodeRisk(size, most+1) == "" || MaxCodes(size) != most {
			t.Errorf("%d digits: at most %d codes, want %d", size, MaxCodes(size), most)
		}
	}
	if got := CodeRisk(4, 11); !strings.HasSuffix(got, "use 5 digits") {
		t.Errorf("advice: %s", got)
	}
	if CodeRisk(16, 1e9) != "" {
		t.Error("16 digits are too few")
	}
}

func TestDuressFor(t *testing.T) {
	for typed, want := range map[string]string{"1235": "1234", "1230": "1239", "0001": "0000", "0000": "0009", "123": "", "12a4": "", "12345": ""} {
		if got := DuressFor(typed); got != want {
			t.Errorf("%s stands for %q, want %q", typed, got, want)
		}
	}
}

// Nothing in a trace tells a PIN under duress from a right one.
func TestTraceKeepsDuress(t *testing.T) {
	p := compiled(t)
	p.Duress = true
	traces := map[PINEntry]string{}
	for _, pin := range []PINEntry{PINRight, PINDuress} {
		d, trace := Explain(Query{Clock: Trusted(noon), Policy: p, Point: p.Point("lab"), Kind: CardKind, PIN: pin, Keys: []Key{key(func(k *Key) { k.HasPIN = true })}})
		if !d.Granted() || d.Duress != (pin == PINDuress) {
			t.Errorf("got %+v", d)
		}
		traces[pin] = trace.String()
	}
	if d := cmp.Diff(traces[PINRight], traces[PINDuress]); d != "" {
		t.Errorf("-right +duress:\n%s", d)
	}
}

func TestLockoutRules(t *testing.T) {
	r := LockoutRules{First: 10 * time.Second, Most: time.Hour}
	l := Lockout{}
	at := noon
	for want := 10 * time.Second; ; want *= 2 {
		var began bool
		l, began = l.FailBy(at, 1, r)
		if !began || l.Until.Sub(at) != min(want, time.Hour) || !l.Locked(at) || l.Locked(l.Until) {
			t.Fatalf("want %v: %+v", want, l)
		}
		at = l.Until
		if want > 4*time.Hour {
			break
		}
	}
}
