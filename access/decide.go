package access

import "slices"

// PINEntry says how far the PIN of a card + PIN entry has come.
type PINEntry uint8

// The states of a PIN entry.
const (
	PINNone  PINEntry = iota // not yet asked for or typed
	PINRight                 // compared, in constant time, and right
	PINWrong                 // compared and wrong
)

// Query is everything that a decision depends on.
type Query struct {
	Clock      Clock
	Policy     *Policy
	Point      *AccessPoint
	DoorMode   DoorMode
	Kind       CredentialKind
	Keys       []Key // those with the credential that count at the doors
	PIN        PINEntry
	KeyLocked  bool // the key's PIN is locked out
	PadLocked  bool // the access point's keypad is locked out
	Passback   bool // anti-passback refuses (by the caller's areas)
	SecondWant bool // a second person or an escort is missing
}

// Decision is the answer to a Query.
type Decision struct {
	Type    EventType // 1xx granted, 2xx denied
	Reason  Reason
	Key     *Key // the key decided on, nil when none
	WantPIN bool // neither granted nor denied yet: ask for the PIN and decide again
	// CountPad and CountKey say that a wrong entry is to be counted against
	// the keypad and against the key, and committed before it is answered.
	CountPad, CountKey bool
}

// Granted reports whether the door is to be released.
func (d Decision) Granted() bool { return !d.WantPIN && d.Type >= 100 && d.Type < 200 }

// Decide answers a credential at an access point. The first rule that applies
// is the answer, in the order of the steps below; the order is part of the
// contract, as it says what a person at the door and an operator get to know.
func Decide(q Query) Decision {
	if d, done := decideBeforeKey(q); done {
		return d
	}
	k := &q.Keys[0]
	if d, done := decideKey(q, k); done {
		return d
	}
	if q.Passback {
		return Decision{Type: Denied, Reason: ReasonPassback, Key: k}
	}
	if q.SecondWant {
		return Decision{Type: Denied, Reason: ReasonSecondPerson, Key: k}
	}
	if q.Point.Mode == ModeCardAndPIN && k.Options&PINExempt == 0 {
		return decidePIN(q, k)
	}
	if q.Kind == CodeKind {
		return Decision{Type: GrantedCode, Key: k}
	}
	return Decision{Type: GrantedCard, Key: k}
}

// decideBeforeKey is the part that needs no key: the door, the keypad's
// lockout, the mode, and whether there is exactly one key.
func decideBeforeKey(q Query) (Decision, bool) {
	code := q.Kind == CodeKind
	switch {
	case q.DoorMode == LockedDown:
		return Decision{Type: Denied, Reason: ReasonLockedDown}, true
	case q.DoorMode == Blocked:
		return Decision{Type: Denied, Reason: ReasonBlocked}, true
	case code && q.PadLocked:
		return Decision{Type: Denied, Reason: ReasonLockedOut}, true
	case !q.Point.Mode.Takes(q.Kind):
		return Decision{Type: Denied, Reason: ReasonWrongMode}, true
	case len(q.Keys) == 0:
		return Decision{Type: DeniedUnknown, CountPad: code}, true
	case len(q.Keys) > 1:
		return Decision{Type: Denied, Reason: ReasonAmbiguous}, true
	}
	return Decision{}, false
}

// decideKey is the part that is about one key: its state, window and levels.
func decideKey(q Query, k *Key) (Decision, bool) {
	switch k.State {
	case Blacklisted:
		return Decision{Type: DeniedBlacklisted, Key: k}, true
	case Enabled:
	default:
		return Decision{Type: DeniedDisabled, Key: k}, true
	}
	window := q.Clock.within(k.ValidFrom, k.ValidTo)
	if window == no {
		return Decision{Type: DeniedOutside, Key: k}, true
	}
	has, open := authorized(q, k)
	switch {
	case !has:
		return Decision{Type: DeniedNoLevel, Key: k}, true
	case open == no:
		return Decision{Type: DeniedSchedule, Key: k}, true
	case open == unknown || window == unknown:
		return Decision{Type: Denied, Reason: ReasonClockUntrusted, Key: k}, true
	}
	return Decision{}, false
}

// authorized finds whether one of the key's levels has the access point, and
// whether one that does is open now.
func authorized(q Query, k *Key) (has bool, open verdict) {
	for _, id := range k.Levels {
		l := q.Policy.Level(id)
		if l == nil {
			continue
		}
		for _, g := range l.Grants {
			if !slices.Contains(g.Points, q.Point.ID) {
				continue
			}
			has = true
			switch q.Clock.inside(q.Policy.Schedule(g.Schedule), q.Policy.Location) {
			case yes:
				return true, yes
			case unknown:
				open = unknown
			}
		}
	}
	return has, open
}

func decidePIN(q Query, k *Key) Decision {
	switch {
	case !k.HasPIN:
		return Decision{Type: DeniedNoPIN, Key: k}
	case q.KeyLocked || q.PadLocked:
		return Decision{Type: Denied, Reason: ReasonLockedOut, Key: k}
	case q.PIN == PINWrong:
		return Decision{Type: Denied, Reason: ReasonWrongPIN, Key: k, CountKey: true, CountPad: true}
	case q.PIN == PINRight:
		return Decision{Type: GrantedCardPIN, Key: k}
	}
	return Decision{Key: k, WantPIN: true}
}
