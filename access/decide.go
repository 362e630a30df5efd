package access

import (
	"fmt"
	"time"
)

// PINEntry says how far the PIN of a card + PIN entry has come.
type PINEntry uint8

// The states of a PIN entry.
const (
	PINNone   PINEntry = iota // not yet asked for or typed
	PINRight                  // compared, in constant time, and right
	PINWrong                  // compared and wrong
	PINDuress                 // compared, and right as DuressFor of what was typed
)

// Query is everything that a decision depends on.
type Query struct {
	Clock     Clock
	Mono      time.Duration // monotonic, for what lasts over a few badges
	Policy    *Policy
	Point     *AccessPoint
	DoorMode  DoorMode
	Kind      CredentialKind
	Keys      []Key // those with the credential that count at the doors
	PIN       PINEntry
	KeyLocked bool // the key's PIN is locked out
	PadLocked bool // the access point's keypad is locked out

	Place     Place         // where the only key's Holder is known to be
	Pair      Pair          // the Decision.Pair of the access point before
	Busy      []string      // doors that are open or released now
	FirstCard time.Time     // the door's latest Decision.FirstCardUntil
	Away      time.Duration // since central was last heard of; restarts must not shorten it
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

	// Who is granted, and With who was waiting and goes along; zero for nobody.
	// Once the door was opened, both move into the access point's To.
	Who, With ID
	Extended  bool // the door is released for the extended time
	// Duress asks for a silent Duress event beside this one. Nothing at the door,
	// and nothing that is shown on the panel, may tell it from any other.
	Duress   bool
	Violated bool // soft anti-passback was: PassbackViolated
	// FirstCardUntil is until when this grant unlocks the door by its schedule,
	// zero where it does not: FirstCardCame, and Query.FirstCard from now on.
	FirstCardUntil time.Time
	// Pair is what the access point has to remember, whatever the answer.
	Pair Pair
}

// Granted reports whether the door is to be released.
func (d Decision) Granted() bool { return !d.WantPIN && d.Type >= 100 && d.Type < 200 }

// Decide answers a credential at an access point. The first rule that applies
// is the answer, in the order of the rules below; the order is part of the
// contract, as it says what a person at the door and an operator get to know.
func Decide(q Query) Decision { return decide(q, nil) }

// Explain decides as Decide does, and tells how that came about.
func Explain(q Query) (Decision, Trace) {
	var t Trace
	d := decide(q, &t)
	return d, t
}

// rule is one step of a decision. Its judge reports whether it is the answer,
// which then stands in judging.d.
type rule struct {
	number int
	name   string
	judge  func(*judging) bool
}

// The rules in their order. What a rule may rely on is what those before it found.
var rules = [...]rule{
	{1, "door", (*judging).door},
	{2, "keypad lockout", (*judging).keypadLockout},
	{3, "mode", (*judging).mode},
	{4, "key", (*judging).key},
	{5, "state", (*judging).state},
	{6, "validity", (*judging).validity},
	{7, "level", (*judging).level},
	{8, "clock", (*judging).clock},
	{8, "central", (*judging).central},
	{9, "anti-passback", (*judging).passback},
	{9, "second person", (*judging).secondPerson},
	{9, "interlock", (*judging).interlock},
	{10, "PIN", (*judging).pin},
	{11, "grant", (*judging).grant},
}

// judging is a decision on its way.
type judging struct {
	q     Query
	k     *Key        // the only key, from the rule "key" on
	modes []PointMode // those that the access point can be in
	d     Decision

	window, open verdict
	violated     bool // soft anti-passback

	traced  bool
	outcome Outcome // of the rule at hand
	text    string
}

func decide(q Query, t *Trace) Decision {
	j := judging{q: q, modes: q.Policy.PointModes(q.Point, q.Clock), traced: t != nil}
	j.d.Pair = q.Pair
	for _, r := range rules {
		j.outcome, j.text = OutcomePassed, ""
		answered := r.judge(&j)
		if t != nil {
			if answered {
				j.outcome = OutcomeAnswer
			}
			t.Steps = append(t.Steps, Step{r.number, r.name, j.outcome, j.text})
		}
		if answered {
			break
		}
	}
	return j.d
}

// say is what the rule at hand found, in words, where somebody asked for them.
func (j *judging) say(format string, args ...any) {
	if j.traced {
		j.text = fmt.Sprintf(format, args...)
	}
}

// deny makes a denial the answer.
func (j *judging) deny(t EventType, r Reason, format string, args ...any) bool {
	j.d.Type, j.d.Reason = t, r
	j.say(format, args...)
	return true
}
