package access

import "time"

// DefaultPairWithin is how long a second person may come after the first where
// an access point does not say.
const DefaultPairWithin = 30 * time.Second

// Pair is the person at an access point whom another may go with: the first of
// two, somebody who waits for an escort, or an escort who has just gone in. It
// lasts for the access point's PairWithin and no restart. The zero value is
// nobody.
type Pair struct {
	Who      ID
	Escort   bool          // may bring those who need one
	Escorted bool          // needs an escort
	At       time.Duration // on the monotonic clock of Query.Mono
}

// fresh reports whether the pair is somebody else, and not too long ago.
func (p Pair) fresh(a *AccessPoint, who ID, mono time.Duration) bool {
	return p.recent(a, mono) && p.Who != who
}

func (p Pair) recent(a *AccessPoint, mono time.Duration) bool {
	within := a.PairWithin
	if within <= 0 {
		within = DefaultPairWithin
	}
	return !p.Who.IsZero() && mono >= p.At && mono-p.At < within
}

// suffices reports whether the other person is whom this key needs at the
// access point.
func (p Pair) suffices(a *AccessPoint, k *Key, mono time.Duration) bool {
	who := k.Holder()
	if who.IsZero() || !p.fresh(a, who, mono) {
		return false
	}
	switch {
	case k.Options&Escorted != 0 && !p.Escort:
		return false
	case p.Escorted && k.Options&Escort == 0:
		return false
	}
	return true
}

// goesAlong reports whether the other person was waiting and comes in with this key.
func (p Pair) goesAlong(a *AccessPoint, k *Key, mono time.Duration) bool {
	return p.suffices(a, k, mono) && (a.TwoPerson || p.Escorted)
}

// after is who is to be remembered once this key was granted or was told to
// wait for another.
func (p Pair) after(a *AccessPoint, k *Key, mono time.Duration, granted bool) Pair {
	me := Pair{Who: k.Holder(), Escort: k.Options&Escort != 0, Escorted: k.Options&Escorted != 0, At: mono}
	switch {
	case !p.recent(a, mono):
		p = Pair{}
	case granted && a.TwoPerson:
		return Pair{} // a third needs another
	}
	if me.Who.IsZero() || granted && !me.Escort {
		return p
	}
	return me
}
