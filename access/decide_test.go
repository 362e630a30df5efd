package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // a Friday

func compiled(t testing.TB) *Policy {
	t.Helper()
	p := goodPolicy()
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	return p
}

func key(change func(*Key)) Key {
	k := Key{ID: ID{9}, Type: Proximity, State: Enabled, Levels: []ID{{1}}}
	if change != nil {
		change(&k)
	}
	return k
}

func TestDecide(t *testing.T) {
	p := compiled(t)
	untrusted := Clock{Now: noon, State: ClockUntrusted, LastGood: noon, Grace: UntrustedGrace}
	for _, tt := range []struct {
		name   string
		point  string // front by default
		change func(*Query)
		keys   []Key
		want   Decision // Key is not compared
	}{
		{"granted by card", "", nil, []Key{key(nil)}, Decision{Type: GrantedCard}},
		{"granted by code", "", func(q *Query) { q.Kind = CodeKind }, []Key{key(nil)}, Decision{Type: GrantedCode}},
		{"locked down before all", "", func(q *Query) { q.DoorMode = LockedDown; q.PadLocked = true }, nil, Decision{Type: Denied, Reason: ReasonLockedDown}},
		{"blocked", "", func(q *Query) { q.DoorMode = Blocked }, []Key{key(nil)}, Decision{Type: Denied, Reason: ReasonBlocked}},
		{"keypad locked out", "", func(q *Query) { q.Kind = CodeKind; q.PadLocked = true }, []Key{key(nil)}, Decision{Type: Denied, Reason: ReasonLockedOut}},
		{"cards go on meanwhile", "", func(q *Query) { q.PadLocked = true }, []Key{key(nil)}, Decision{Type: GrantedCard}},
		{"a code where cards are wanted", "lab", func(q *Query) { q.Kind = CodeKind }, nil, Decision{Type: Denied, Reason: ReasonWrongMode}},
		{"unknown card", "", nil, nil, Decision{Type: DeniedUnknown}},
		{"unknown code counts", "", func(q *Query) { q.Kind = CodeKind }, nil, Decision{Type: DeniedUnknown, CountPad: true}},
		{"two keys", "", nil, []Key{key(nil), key(func(k *Key) { k.ID = ID{8} })}, Decision{Type: Denied, Reason: ReasonAmbiguous}},
		{"blacklisted before its window", "", nil, []Key{key(func(k *Key) { k.State = Blacklisted; k.ValidTo = noon })}, Decision{Type: DeniedBlacklisted}},
		{"disabled before its window", "", nil, []Key{key(func(k *Key) { k.State = Disabled; k.ValidTo = noon })}, Decision{Type: DeniedDisabled}},
		{"a state that is none", "", nil, []Key{key(func(k *Key) { k.State = 0 })}, Decision{Type: DeniedDisabled}},
		{"not yet valid", "", nil, []Key{key(func(k *Key) { k.ValidFrom = noon.Add(time.Second) })}, Decision{Type: DeniedOutside}},
		{"valid from now", "", nil, []Key{key(func(k *Key) { k.ValidFrom = noon })}, Decision{Type: GrantedCard}},
		{"valid till now", "", nil, []Key{key(func(k *Key) { k.ValidTo = noon; k.Levels = nil })}, Decision{Type: DeniedOutside}},
		{"no level", "", nil, []Key{key(func(k *Key) { k.Levels = nil })}, Decision{Type: DeniedNoLevel}},
		{"a level that is gone", "", nil, []Key{key(func(k *Key) { k.Levels = []ID{{77}} })}, Decision{Type: DeniedNoLevel}},
		{"a level for elsewhere", "lab", nil, []Key{key(func(k *Key) { k.Levels = []ID{{2}} })}, Decision{Type: DeniedNoLevel}},
		{"in its schedule", "", nil, []Key{key(func(k *Key) { k.Levels = []ID{{2}} })}, Decision{Type: GrantedCard}},
		{"outside its schedule", "", func(q *Query) { q.Clock.Now = noon.Add(12 * time.Hour) }, []Key{key(func(k *Key) { k.Levels = []ID{{2}} })}, Decision{Type: DeniedSchedule}},
		{"one open schedule is enough", "", func(q *Query) { q.Clock.Now = noon.Add(12 * time.Hour) }, []Key{key(func(k *Key) { k.Levels = []ID{{2}, {4}, {1}} })}, Decision{Type: GrantedCard}},
		{"never", "", nil, []Key{key(func(k *Key) { k.Levels = []ID{{4}} })}, Decision{Type: DeniedSchedule}},
		{"untrusted clock, always", "", func(q *Query) { q.Clock = untrusted }, []Key{key(nil)}, Decision{Type: GrantedCard}},
		{"untrusted clock, schedule", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.Levels = []ID{{2}} })}, Decision{Type: Denied, Reason: ReasonClockUntrusted}},
		{"untrusted clock, over", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.ValidTo = noon })}, Decision{Type: DeniedOutside}},
		{"untrusted clock, far end", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.ValidTo = noon.Add(UntrustedGrace + 1) })}, Decision{Type: GrantedCard}},
		{"untrusted clock, near end", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.ValidTo = noon.Add(time.Hour) })}, Decision{Type: Denied, Reason: ReasonClockUntrusted}},
		{"untrusted clock, not begun", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.ValidFrom = noon.Add(time.Hour) })}, Decision{Type: Denied, Reason: ReasonClockUntrusted}},
		{"untrusted clock that knows no time at all", "", func(q *Query) { q.Clock = Clock{Now: noon, State: ClockUntrusted, Grace: UntrustedGrace} }, []Key{key(func(k *Key) { k.ValidTo = noon.AddDate(-6, 0, 0) })}, Decision{Type: Denied, Reason: ReasonClockUntrusted}},
		{"untrusted clock that knows no time, no window", "", func(q *Query) { q.Clock = Clock{Now: noon, State: ClockUntrusted, Grace: UntrustedGrace} }, []Key{key(nil)}, Decision{Type: GrantedCard}},
		{"untrusted clock, no level anyway", "", func(q *Query) { q.Clock = untrusted }, []Key{key(func(k *Key) { k.ValidTo = noon.Add(time.Hour); k.Levels = nil })}, Decision{Type: DeniedNoLevel}},
		{"holdover is believed", "", func(q *Query) { q.Clock.State = ClockHoldover }, []Key{key(func(k *Key) { k.Levels = []ID{{2}} })}, Decision{Type: GrantedCard}},
		{"no PIN set", "lab", nil, []Key{key(nil)}, Decision{Type: DeniedNoPIN}},
		{"PIN wanted", "lab", nil, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{WantPIN: true}},
		{"PIN right", "lab", func(q *Query) { q.PIN = PINRight }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: GrantedCardPIN}},
		{"PIN wrong", "lab", func(q *Query) { q.PIN = PINWrong }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: Denied, Reason: ReasonWrongPIN, CountKey: true, CountPad: true}},
		{"key locked out, even when right", "lab", func(q *Query) { q.PIN = PINRight; q.KeyLocked = true }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: Denied, Reason: ReasonLockedOut}},
		{"keypad locked out for PINs", "lab", func(q *Query) { q.PIN = PINRight; q.PadLocked = true }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: Denied, Reason: ReasonLockedOut}},
		{"duress", "lab", func(q *Query) { q.PIN = PINDuress; p.Duress = true }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: GrantedCardPIN, Duress: true}},
		{"duress where it is off", "lab", func(q *Query) { q.PIN = PINDuress; p.Duress = false }, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: Denied, Reason: ReasonWrongPIN, CountKey: true, CountPad: true}},
		{"extended", "", nil, []Key{key(func(k *Key) { k.Options = Extended })}, Decision{Type: GrantedCard, Extended: true}},
		{"central away", "", func(q *Query) { q.Away = 2 * time.Hour; p.StaleAfter = time.Hour }, []Key{key(nil)}, Decision{Type: GrantedCard}},
		{"central away, and needed", "", func(q *Query) { q.Away = time.Hour + 1; p.StaleAfter = time.Hour }, []Key{key(func(k *Key) { k.Options = NeedsCentral })}, Decision{Type: Denied, Reason: ReasonStale}},
		{"central just not away", "", func(q *Query) { q.Away = time.Hour; p.StaleAfter = time.Hour }, []Key{key(func(k *Key) { k.Options = NeedsCentral })}, Decision{Type: GrantedCard}},
		{"central never too long away", "", func(q *Query) { q.Away = 1e6 * time.Hour; p.StaleAfter = 0 }, []Key{key(func(k *Key) { k.Options = NeedsCentral })}, Decision{Type: GrantedCard}},
		{"PIN exempt", "lab", nil, []Key{key(func(k *Key) { k.Options = PINExempt })}, Decision{Type: GrantedCard}},
		{"no PIN asked at a card point", "", nil, []Key{key(func(k *Key) { k.HasPIN = true })}, Decision{Type: GrantedCard}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			point := tt.point
			if point == "" {
				point = "front"
			}
			q := Query{Clock: Trusted(noon), Policy: p, Point: p.Point(point), Kind: CardKind, Keys: tt.keys}
			if tt.change != nil {
				tt.change(&q)
			}
			got := Decide(q)
			if len(q.Keys) == 1 && got.Key == nil && got.Type != Denied {
				t.Errorf("the decision names no key")
			}
			if got.Granted() && (got.Who != q.Keys[0].ID || got.With != ID{}) {
				t.Errorf("granted to %v with %v", got.Who, got.With)
			}
			got.Key, got.Who = nil, ID{}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Whatever the query, access is granted only to one enabled key with a level
// for this access point, inside its window, at a door that takes grants.
func TestGrantNeedsEverything(t *testing.T) {
	p := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		at := noon.Add(time.Duration(rapid.IntRange(-200, 200).Draw(t, "hours")) * time.Hour)
		window := func(label string) time.Time {
			h := rapid.IntRange(-50, 50).Draw(t, label)
			if h == 0 {
				return time.Time{}
			}
			return noon.Add(time.Duration(h) * time.Hour)
		}
		keys := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Key {
			k := Key{State: State(rapid.IntRange(0, 4).Draw(t, "state")), HasPIN: rapid.Bool().Draw(t, "pin")}
			for _, l := range rapid.SliceOfN(rapid.ByteRange(0, 5), 0, 3).Draw(t, "levels") {
				k.Levels = append(k.Levels, ID{l})
			}
			return k
		}), 0, 2).Draw(t, "keys")
		for i := range keys {
			keys[i].ValidFrom, keys[i].ValidTo = window("from"), window("to")
		}
		q := Query{
			Clock:  Clock{Now: at, State: ClockState(rapid.IntRange(1, 3).Draw(t, "clock")), LastGood: noon, Grace: time.Hour},
			Policy: p, Point: p.Point(rapid.SampledFrom([]string{"front", "lab"}).Draw(t, "point")),
			DoorMode: DoorMode(rapid.IntRange(0, 4).Draw(t, "mode")), Kind: CredentialKind(rapid.IntRange(1, 3).Draw(t, "kind")),
			Keys: keys, PIN: PINEntry(rapid.IntRange(0, 2).Draw(t, "pin")), KeyLocked: rapid.Bool().Draw(t, "keylocked"), PadLocked: rapid.Bool().Draw(t, "padlocked"),
		}
		d := Decide(q)
		if !d.Granted() {
			return
		}
		k := keys[0]
		switch {
		case len(keys) != 1, k.State != Enabled, q.DoorMode == Blocked, q.DoorMode == LockedDown:
			t.Fatalf("granted %+v to %+v", d, q)
		case q.Clock.State != ClockUntrusted && (!k.ValidFrom.IsZero() && at.Before(k.ValidFrom) || !k.ValidTo.IsZero() && !at.Before(k.ValidTo)):
			t.Fatalf("granted outside its window: %+v at %v", k, at)
		case q.Point.ID == "lab" && (q.Kind == CodeKind || q.PIN != PINRight || !k.HasPIN || q.KeyLocked):
			t.Fatalf("granted without its PIN: %+v", q)
		}
		ok := false
		for _, l := range k.Levels {
			ok = ok || l == ID{1} || l == ID{2} && q.Point.ID == "front" && q.Clock.State != ClockUntrusted && p.Schedule("office").Open(at, time.UTC)
		}
		if !ok {
			t.Fatalf("granted without a level that is open: %+v", k)
		}
	})
}

func TestLockout(t *testing.T) {
	var l Lockout
	began := false
	for i := range KeyTries {
		if l.Locked(noon) || began {
			t.Fatalf("locked out after %d tries", i)
		}
		l, began = l.Fail(noon, KeyTries)
	}
	if !began || !l.Locked(noon) || !l.Locked(noon.Add(LockoutFirst-1)) || l.Locked(noon.Add(LockoutFirst)) {
		t.Fatalf("after %d tries: %+v", KeyTries, l)
	}
	at := noon.Add(LockoutFirst)
	for range KeyTries {
		l, began = l.Fail(at, KeyTries)
	}
	if !began || !l.Locked(at.Add(2*LockoutFirst-1)) || l.Locked(at.Add(2*LockoutFirst)) {
		t.Fatalf("the second lockout does not double: %+v", l)
	}
	for range 20 * KeyTries {
		l, _ = l.Fail(at, KeyTries)
	}
	if until := l.Until.Sub(at); until != LockoutMost {
		t.Errorf("the longest lockout is %v", until)
	}
	// A clock that falls back by years must not lock anybody out for years.
	if l.Locked(at.AddDate(-10, 0, 0)) {
		t.Error("locked out for ten years")
	}
	if got := l.Succeed(true); !got.IsZero() {
		t.Errorf("a right PIN leaves %+v", got)
	}
	two := Lockout{Failures: 2, Last: noon}
	if got := two.Succeed(false); got.Failures != 1 {
		t.Errorf("a right entry at an access point leaves %d failures, want 1", got.Failures)
	}
	if got, _ := two.Fail(noon.Add(2*time.Hour), PointTries); got.Failures != 1 {
		t.Errorf("an old failure is not forgotten: %+v", got)
	}
}
