package access

import (
	"cmp"
	"time"
)

// Bounds of lockouts after wrong PINs and unknown codes, where a policy does not
// say otherwise.
const (
	KeyTries     = 3 // wrong PINs of one key
	PointTries   = 5 // wrong PINs and unknown codes at one access point
	LockoutFirst = time.Minute
	LockoutMost  = 15 * time.Minute
	// MaxLockout bounds every lockout of any policy.
	MaxLockout = time.Hour
	// MaxTries bounds the tries of any policy.
	MaxTries = 100
	// lockoutForget is how long after the last failure, without another, the
	// count starts anew; at least twice the longest lockout.
	lockoutForget = time.Hour
)

// LockoutRules are how many wrong entries lead to a lockout, and how long it
// lasts: First, doubled for each one in a row up to Most. A member that is zero
// is that of DefaultLockout.
type LockoutRules struct {
	KeyTries   int
	PointTries int
	First      time.Duration
	Most       time.Duration
}

// DefaultLockout are the rules of a policy that sets none.
func DefaultLockout() LockoutRules {
	return LockoutRules{KeyTries: KeyTries, PointTries: PointTries, First: LockoutFirst, Most: LockoutMost}
}

// Or gives the rules with those of other where they have none.
func (r LockoutRules) Or(other LockoutRules) LockoutRules {
	return LockoutRules{
		KeyTries: cmp.Or(r.KeyTries, other.KeyTries), PointTries: cmp.Or(r.PointTries, other.PointTries),
		First: cmp.Or(r.First, other.First), Most: cmp.Or(r.Most, other.Most),
	}
}

// Lockout counts wrong entries, of one key or at one access point. The zero
// value has none. It is kept over restarts, so its times are wall-clock; a
// clock that jumps can lengthen a lockout by at most MaxLockout.
type Lockout struct {
	Failures int       // since the last lockout
	Level    int       // lockouts in a row; each doubles the time
	Last     time.Time // of the last failure
	Until    time.Time // locked out until; zero when not
}

// Locked reports whether entries are refused at now.
func (l Lockout) Locked(now time.Time) bool {
	// An end further off than the longest lockout comes from a clock that has
	// jumped back; it must not lock somebody out for years.
	return now.Before(l.Until) && l.Until.Sub(now) <= MaxLockout
}

// Fail counts a wrong entry by the rules of DefaultLockout and reports whether
// it began a lockout. tries is KeyTries or PointTries.
func (l Lockout) Fail(now time.Time, tries int) (Lockout, bool) {
	return l.FailBy(now, tries, DefaultLockout())
}

// FailBy counts a wrong entry and reports whether it began a lockout. tries is
// the rules' KeyTries or PointTries.
func (l Lockout) FailBy(now time.Time, tries int, r LockoutRules) (Lockout, bool) {
	r = r.Or(DefaultLockout())
	if age := now.Sub(l.Last); age > max(lockoutForget, 2*r.Most) || age < -MaxLockout {
		l = Lockout{}
	}
	l.Last = now
	l.Failures++
	if l.Failures < tries {
		return l, false
	}
	d := r.First << min(l.Level, 16)
	l.Until = now.Add(min(d, r.Most))
	l.Failures = 0
	l.Level++
	return l, true
}

// Succeed is a right entry. A key's count starts anew (clear); an access
// point's goes down by one, so that somebody with a good code can't buy
// unlimited guesses with it while a busy keypad still never locks out.
func (l Lockout) Succeed(clear bool) Lockout {
	if clear || l.Failures <= 1 {
		l.Failures = 0
	} else {
		l.Failures--
	}
	if clear {
		return Lockout{}
	}
	return l
}

// IsZero reports whether there is nothing to keep.
func (l Lockout) IsZero() bool { return l == Lockout{} }
