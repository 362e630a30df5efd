package hal

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The defaults and the limits of the times in a Wiring.
const (
	DefaultSilence  = 40 * time.Millisecond
	DefaultDebounce = 20 * time.Millisecond

	minSilence, maxSilence   = 10 * time.Millisecond, time.Second
	minDebounce, maxDebounce = time.Millisecond, time.Second
	// maxSpare is what a set of 64 lines has left.
	maxSpare = 62
)

// Wiring says what is connected where. Lines are given as the package comment
// says; an empty line is not wired.
type Wiring struct {
	Readers []ReaderWiring
	Doors   []DoorWiring
}

// Pull is the bias of a reader's lines.
type Pull string

// The pulls. The zero value is PullUp.
const (
	// PullUp switches the chip's own pull-up on.
	PullUp Pull = "up"
	// PullNone leaves the bias as the system set it, for boards that bring their
	// own pull-ups.
	PullNone Pull = "none"
)

// ReaderWiring is one reader.
type ReaderWiring struct {
	// ID is the reader's name, unique among readers.
	ID string
	// D0 and D1 are the data lines, both on one chip; both are needed.
	D0, D1 string
	// Spare are input lines of the same chip that are taken without being
	// watched, only to lengthen the kernel's queue: by 16 events each, from 32.
	// With fewer than two, a stalled process can lose the start of a frame.
	Spare []string
	// Pull is the bias of all these lines; empty is PullUp.
	Pull Pull
	// Silence ends a frame: 10 ms to 1 s, 0 for DefaultSilence. Too short cuts
	// frames of slow readers, too long joins quick key presses.
	Silence time.Duration
	// LED and Buzzer are outputs, wired or not. They are active high unless said
	// otherwise.
	LED, Buzzer                   string
	LEDActiveLow, BuzzerActiveLow bool
}

// LockKind says what current does to a lock.
type LockKind string

// The kinds of locks. The zero value is Strike.
const (
	// Strike is fail-secure: released while energised.
	Strike LockKind = "strike"
	// Maglock is fail-safe (strikes of that kind are too): secured while
	// energised.
	Maglock LockKind = "maglock"
)

// DoorWiring is one door.
type DoorWiring struct {
	// ID is the door's name, unique among doors.
	ID string
	// Lock is the output that switches the lock's current; it is needed.
	Lock string
	// LockKind is what the current does; empty is Strike.
	LockKind LockKind
	// LockActiveLow is set when a low level switches the current on.
	LockActiveLow bool
	// RestReleased makes rest, the state at start and after Close and on a dead
	// panel, the released one. The resistor at the output has to agree.
	RestReleased bool
	// Contact is the door position switch, if there is one. It is pulled to the
	// level that means open, so that a cut wire reads as open.
	Contact string
	// ContactOpenLow is set when low means open. The usual switch closes to
	// ground with the door: high means open.
	ContactOpenLow bool
	// REX is the request-to-exit input, if there is one. It is pulled to the
	// level that means not pressed.
	REX string
	// REXPressedHigh is set when high means pressed. The usual button closes to
	// ground: low means pressed.
	REXPressedHigh bool
	// ContactDebounce and REXDebounce are how long a level must hold to count: 1
	// ms to 1 s, 0 for DefaultDebounce.
	ContactDebounce, REXDebounce time.Duration
}

// Validate reports every fault of the wiring at once, or nil. Whether the lines
// exist only Open can tell.
func (w Wiring) Validate() error {
	v := validator{used: map[string]string{}}
	ids := map[string]bool{}
	for i, r := range w.Readers {
		v.where = fmt.Sprintf("reader %q", r.ID)
		if r.ID == "" {
			v.where = fmt.Sprintf("reader %d", i+1)
			v.fault("it has no id")
		} else if ids[r.ID] {
			v.fault("another reader has this id")
		}
		ids[r.ID] = true
		v.reader(r)
	}
	clear(ids)
	for i, d := range w.Doors {
		v.where = fmt.Sprintf("door %q", d.ID)
		if d.ID == "" {
			v.where = fmt.Sprintf("door %d", i+1)
			v.fault("it has no id")
		} else if ids[d.ID] {
			v.fault("another door has this id")
		}
		ids[d.ID] = true
		v.door(d)
	}
	return errors.Join(v.faults...)
}

// validator collects faults and who uses which line.
type validator struct {
	where  string
	used   map[string]string
	faults []error
}

func (v *validator) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf("%s: "+format, append([]any{v.where}, args...)...))
}

func (v *validator) reader(r ReaderWiring) {
	v.line("d0", r.D0, true)
	v.line("d1", r.D1, true)
	for i, line := range r.Spare {
		v.line(fmt.Sprintf("spare %d", i+1), line, true)
	}
	if len(r.Spare) > maxSpare {
		v.fault("%d spare lines: at most %d are possible, and 2 are enough", len(r.Spare), maxSpare)
	}
	v.line("led", r.LED, false)
	v.line("buzzer", r.Buzzer, false)
	switch r.Pull {
	case "", PullUp, PullNone:
	default:
		v.fault("pull %q: want %q or %q", r.Pull, PullUp, PullNone)
	}
	v.duration("silence", r.Silence, minSilence, maxSilence)
}

func (v *validator) door(d DoorWiring) {
	v.line("lock", d.Lock, true)
	v.line("contact", d.Contact, false)
	v.line("rex", d.REX, false)
	switch d.LockKind {
	case "", Strike, Maglock:
	default:
		v.fault("lock kind %q: want %q or %q", d.LockKind, Strike, Maglock)
	}
	v.duration("contact debounce", d.ContactDebounce, minDebounce, maxDebounce)
	v.duration("rex debounce", d.REXDebounce, minDebounce, maxDebounce)
}

func (v *validator) line(what, name string, needed bool) {
	switch {
	case name == "" && needed:
		v.fault("%s has no line", what)
	case name == "":
	case strings.TrimSpace(name) != name || len(name) > 64:
		v.fault("%s: %.70q is no name of a line", what, name)
	case v.used[name] != "":
		v.fault("%s: line %s is the %s already", what, name, v.used[name])
	default:
		v.used[name] = what + " of " + v.where
	}
}

func (v *validator) duration(what string, d, low, high time.Duration) {
	if d != 0 && (d < low || d > high) {
		v.fault("%s %v: want %v to %v", what, d, low, high)
	}
}

// orDefault gives a time its default.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
