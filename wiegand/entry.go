package wiegand

import (
	"fmt"
	"io"
	"time"
)

// The times and the size of a keypad entry.
const (
	// EntryMax is the most digits an entry can have.
	EntryMax = 16
	// KeyGap is the longest pause between two keys.
	KeyGap = 5 * time.Second
	// EntryLimit is the longest an entry may take in all.
	EntryLimit = 20 * time.Second
	// HashGrace is how long after a submission by size a '#' is ignored: people
	// press it out of habit.
	HashGrace = 2 * time.Second
)

// Entry joins the keys of one keypad to what was typed. Times are durations on
// any one monotonic clock that doesn't run backwards. An Entry is for one
// goroutine, and never prints its digits.
type Entry struct {
	size int
	buf  [EntryMax]byte
	n    int
	// spoiled is set once a digit didn't fit: what is left of the entry counts
	// for nothing until it ends, lest its tail pass for a code.
	spoiled     bool
	first, last time.Duration
	// graced is set while a '#' before graceEnd is to be ignored.
	graced   bool
	graceEnd time.Duration
}

// NewEntry returns an entry that is submitted at size digits, or by '#' alone
// when size is not 1 to 16.
func NewEntry(size int) *Entry {
	e := &Entry{}
	e.SetSize(size)
	return e
}

// SetSize sets the digits at which later keys submit the entry; not 1 to 16
// means by '#' alone. Digits typed before are kept.
func (e *Entry) SetSize(size int) {
	if size < 0 || size > EntryMax {
		size = 0
	}
	e.size = size
}

// Key takes a key at a time and returns the digits when it submits the entry.
// Bytes other than '0' to '9', '*' and '#' are ignored.
func (e *Entry) Key(now time.Duration, k byte) (digits string, done bool) {
	e.Expire(now)
	switch {
	case k == '*':
		e.clear()
	case k == '#':
		if e.graced && now < e.graceEnd {
			return "", false
		}
		e.graced = false
		return e.submit()
	case k >= '0' && k <= '9':
		e.digit(now, k)
		if e.size > 0 && e.n >= e.size {
			e.graced, e.graceEnd = true, now+HashGrace
			return e.submit()
		}
	}
	return "", false
}

// Reset drops the entry and the memory of the last submission, keeping the size.
func (e *Entry) Reset() { *e = Entry{size: e.size} }

// Len returns the number of digits typed so far that count, 0 to 16.
func (e *Entry) Len() int { return e.n }

// Deadline returns when the entry expires unless a key comes, or false when
// nothing is being typed.
func (e *Entry) Deadline() (time.Duration, bool) {
	if e.n == 0 && !e.spoiled {
		return 0, false
	}
	return min(e.last+KeyGap, e.first+EntryLimit), true
}

// Expire drops the entry if its deadline has come, and reports whether it did.
func (e *Entry) Expire(now time.Duration) bool {
	deadline, ok := e.Deadline()
	if !ok || now < deadline {
		return false
	}
	e.clear()
	return true
}

// String tells how many digits there are, and none of them.
func (e Entry) String() string {
	if e.spoiled {
		return "entry with too many digits"
	}
	return fmt.Sprintf("entry with %d digits", e.n)
}

// Format prints the same as String for every verb, so that no verb reaches the
// digits, neither through a pointer nor through a copy.
func (e Entry) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, e.String()) }

func (e *Entry) digit(now time.Duration, k byte) {
	if e.n == 0 && !e.spoiled {
		e.first = now
	}
	e.last = now
	switch {
	case e.spoiled:
	case e.n == EntryMax:
		e.clear()
		e.spoiled = true
	default:
		e.buf[e.n] = k
		e.n++
	}
}

func (e *Entry) submit() (string, bool) {
	if e.n == 0 || e.spoiled {
		e.clear()
		return "", false
	}
	digits := string(e.buf[:e.n])
	e.clear()
	return digits, true
}

// clear drops the digits and wipes them.
func (e *Entry) clear() {
	e.buf, e.n, e.spoiled = [EntryMax]byte{}, 0, false
}
