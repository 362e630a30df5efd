package access

import (
	"slices"
	"time"
)

func (j *judging) door() bool {
	switch {
	case j.q.DoorMode == LockedDown:
		return j.deny(Denied, ReasonLockedDown, "the door is locked down")
	case j.q.DoorMode == Blocked:
		return j.deny(Denied, ReasonBlocked, "the door is blocked")
	case len(j.modes) == 1 && j.modes[0] == ModeBlocked:
		return j.deny(Denied, ReasonBlocked, "the access point is blocked")
	}
	j.say("the door is %s", j.q.DoorMode)
	return false
}

func (j *judging) keypadLockout() bool {
	if j.code() && j.q.PadLocked {
		return j.deny(Denied, ReasonLockedOut, "the keypad is locked out")
	}
	j.say("no code is refused for wrong ones before it")
	return false
}

func (j *judging) code() bool { return j.q.Kind == CodeKind }

func (j *judging) takes(m PointMode) bool { return m.Takes(j.q.Kind) }

func (j *judging) mode() bool {
	if !slices.ContainsFunc(j.modes, j.takes) {
		return j.deny(Denied, ReasonWrongMode, "the mode is %s, and this is a %s", j.modes[0], kindText(j.q.Kind))
	}
	if len(j.modes) > 1 {
		j.outcome = OutcomeNoted
		j.say("the mode is one of %v: the clock can't say which", j.modes)
		return false
	}
	j.say("the mode is %s", j.modes[0])
	return false
}

func kindText(k CredentialKind) string {
	if k == CodeKind {
		return "code"
	}
	return "card"
}

func (j *judging) key() bool {
	switch len(j.q.Keys) {
	case 0:
		j.d.CountPad = j.code()
		return j.deny(DeniedUnknown, "", "no key has this %s", kindText(j.q.Kind))
	case 1:
	default:
		return j.deny(Denied, ReasonAmbiguous, "%d keys have this %s", len(j.q.Keys), kindText(j.q.Kind))
	}
	j.k = &j.q.Keys[0]
	j.d.Key = j.k
	j.say("key %s", j.k.ID)
	return false
}

func (j *judging) state() bool {
	switch j.k.State {
	case Blacklisted:
		return j.deny(DeniedBlacklisted, "", "the key is blacklisted")
	case Enabled:
		j.say("the key is enabled")
		return false
	}
	return j.deny(DeniedDisabled, "", "the key is disabled")
}

func (j *judging) validity() bool {
	j.window = j.q.Clock.within(j.k.ValidFrom, j.k.ValidTo)
	if j.window == no {
		return j.deny(DeniedOutside, "", "%s is outside %s", stamp(j.q.Clock.Now), windowText(j.k))
	}
	if j.window == unknown {
		j.outcome = OutcomeNoted
		j.say("the clock can't say whether it is within %s", windowText(j.k))
		return false
	}
	j.say("%s is within %s", stamp(j.q.Clock.Now), windowText(j.k))
	return false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func windowText(k *Key) string {
	from, to := "always", "ever"
	if !k.ValidFrom.IsZero() {
		from = stamp(k.ValidFrom)
	}
	if !k.ValidTo.IsZero() {
		to = stamp(k.ValidTo)
	}
	return from + " to " + to
}

// level finds whether one of the key's levels has the access point, and whether
// one that does is open now.
func (j *judging) level() bool {
	has := false
	for _, id := range j.k.Levels {
		l := j.q.Policy.Level(id)
		if l == nil {
			continue
		}
		for _, g := range l.Grants {
			if !slices.Contains(g.Points, j.q.Point.ID) {
				continue
			}
			has = true
			switch j.q.Policy.open(g.Schedule, j.q.Clock) {
			case yes:
				j.open = yes
				j.say("level %q gives it by schedule %q", l.Name, g.Schedule)
				return false
			case unknown:
				j.open = unknown
				j.outcome = OutcomeNoted
				j.say("the clock can't say whether schedule %q of level %q is open", g.Schedule, l.Name)
			}
		}
	}
	switch {
	case !has:
		return j.deny(DeniedNoLevel, "", "none of its %d levels gives this access point", len(j.k.Levels))
	case j.open == no:
		return j.deny(DeniedSchedule, "", "its levels give this access point, and none of their schedules is open")
	}
	return false
}

// clock denies what the rules before it could not decide.
func (j *judging) clock() bool {
	all := !slices.ContainsFunc(j.modes, func(m PointMode) bool { return !j.takes(m) })
	if j.window == unknown || j.open == unknown || !all {
		return j.deny(Denied, ReasonClockUntrusted, "the clock is untrusted, and this depends on the time")
	}
	j.say("the clock is %s", j.q.Clock.State)
	return false
}

func (j *judging) central() bool {
	after := j.q.Policy.StaleAfter
	if after > 0 && j.q.Away > after && j.k.Options&NeedsCentral != 0 {
		return j.deny(Denied, ReasonStale, "central has been away for more than %v, and the key needs it", after)
	}
	j.say("nothing here needs central")
	return false
}

func (j *judging) passback() bool {
	a := j.q.Point
	if who := j.k.Holder(); who.IsZero() || j.k.Options&APBExempt != 0 {
		j.say("the key is exempt")
		return false
	}
	where := areaText(j.q.Place.Area)
	switch j.q.Policy.passback(a, j.q.Place, j.q.Clock) {
	case refused:
		return j.deny(Denied, ReasonPassback, "last seen going %s, at %s", where, stamp(j.q.Place.At))
	case undecided:
		return j.deny(Denied, ReasonClockUntrusted, "last seen going %s, and the clock can't say how long ago", where)
	case passesSoftly:
		j.violated = true
		j.outcome = OutcomeNoted
		j.say("last seen going %s: let pass, and told", where)
		return false
	}
	j.say("nothing against it")
	return false
}

func areaText(area string) string {
	if area == Outside {
		return "outside"
	}
	return "into area " + area
}

func (j *judging) secondPerson() bool {
	q := &j.q
	if (q.Point.TwoPerson || j.k.Options&Escorted != 0) && !q.Pair.suffices(q.Point, j.k, q.Mono) {
		j.d.Pair = q.Pair.after(q.Point, j.k, q.Mono, false)
		return j.deny(Denied, ReasonSecondPerson, "%s", j.wanted())
	}
	j.say("nobody else is wanted")
	return false
}

func (j *judging) wanted() string {
	switch {
	case j.k.Options&Escorted != 0:
		return "an escort is wanted"
	case j.k.Holder().IsZero():
		return "two persons are wanted, and the key names nobody"
	}
	return "another person is wanted"
}

func (j *judging) interlock() bool {
	for _, id := range j.q.Policy.Interlocked(j.q.Point.Door) {
		if slices.Contains(j.q.Busy, id) {
			return j.deny(Denied, ReasonInterlock, "door %q is open or released", id)
		}
	}
	j.say("no other door of its group is open or released")
	return false
}

func (j *judging) pin() bool {
	if j.code() || j.k.Options&PINExempt != 0 || !slices.Contains(j.modes, ModeCardAndPIN) {
		j.say("no PIN is asked for")
		return false
	}
	pin := j.q.PIN
	if pin == PINDuress && !j.q.Policy.Duress {
		pin = PINWrong
	}
	switch {
	case !j.k.HasPIN:
		return j.deny(DeniedNoPIN, "", "a PIN is asked for, and the key has none")
	case j.q.KeyLocked:
		return j.deny(Denied, ReasonLockedOut, "the key's PIN is locked out")
	case j.q.PadLocked:
		return j.deny(Denied, ReasonLockedOut, "the keypad is locked out")
	case pin == PINWrong:
		j.d.CountKey, j.d.CountPad = true, true
		return j.deny(Denied, ReasonWrongPIN, "the PIN is wrong")
	case pin == PINRight, pin == PINDuress:
		j.d.Type, j.d.Duress = GrantedCardPIN, pin == PINDuress
		j.say("the PIN is right")
		return false
	}
	j.d.WantPIN = true
	j.say("a PIN is asked for")
	return true
}

// grant is the last rule, and always the answer.
func (j *judging) grant() bool {
	q, d, k := &j.q, &j.d, j.k
	switch {
	case d.Type != 0:
	case j.code() && k.Options&Common != 0:
		d.Type = GrantedCommonCode
	case j.code():
		d.Type = GrantedCode
	default:
		d.Type = GrantedCard
	}
	d.Who, d.Extended, d.Violated = k.Holder(), k.Options&Extended != 0, j.violated
	if q.Pair.goesAlong(q.Point, k, q.Mono) {
		d.With = q.Pair.Who
	}
	d.Pair = q.Pair.after(q.Point, k, q.Mono, true)
	if k.Options&FirstCard != 0 {
		d.FirstCardUntil = q.Policy.firstCardUntil(q.Point.Door, q.FirstCard, q.Clock)
	}
	j.say("%s", d.Type.Text())
	return true
}
