package access

import "time"

// Bounds of lockouts after wrong PINs and unknown codes.
const (
	KeyTries     = 3 // wrong PINs of one key
	PointTries   = 5 // wrong PINs and unknown codes at one access point
	LockoutFirst = time.Minute
	LockoutMost  = 15 * time.Minute
	// lockoutForget is how long after the last failure, without another, the
	// count starts anew.
	lockoutForget = time.Hour
)

// Lockout counts wrong entries, of one key or at one access point. The zero
// value has none. It is kept over restarts, so its times are wall-clock; a
// clock that jumps can lengthen a lockout by at most LockoutMost.
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
	return now.Before(l.Until) && l.Until.Sub(now) <= LockoutMost
}

// Fail counts a wrong entry and reports whether it began a lockout. tries is
// KeyTries or PointTries.
func (l Lockout) Fail(now time.Time, tries int) (Lockout, bool) {
	if age := now.Sub(l.Last); age > lockoutForget || age < -LockoutMost {
		l = Lockout{}
	}
	l.Last = now
	l.Failures++
	if l.Failures < tries {
		return l, false
	}
	d := LockoutFirst << min(l.Level, 8)
	l.Until = now.Add(min(d, LockoutMost))
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
