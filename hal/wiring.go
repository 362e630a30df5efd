package hal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The defaults and the limits of the times in a Wiring.
const (
	DefaultSilence  = 40 * time.Millisecond
	DefaultDebounce = 20 * time.Millisecond

	minSilence, maxSilence = 10 * time.Millisecond, time.Second
	// Whatever is set between the two: what is active for longer than the upper
	// is seen, what is shorter than the lower is not.
	minDebounce, maxDebounce = 20 * time.Millisecond, 400 * time.Millisecond
	// maxSpare is what a set of 64 lines has left.
	maxSpare = 62
)

// Wiring says what is connected where. Lines are given as the package comment
// says; an empty line is not wired.
type Wiring struct {
	Readers []ReaderWiring
	Doors   []DoorWiring
	// Inputs and Outputs are what belongs to no reader and no door.
	Inputs  []InputWiring
	Outputs []OutputWiring
}

// Pull is the bias of a line. What the zero value means, its user says.
type Pull string

// The pulls.
const (
	// PullUp and PullDown switch the chip's own resistor on.
	PullUp   Pull = "up"
	PullDown Pull = "down"
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
	// Pull is the bias of all these lines, PullUp or PullNone; empty is PullUp.
	Pull Pull
	// Silence ends a frame: 10 ms to 1 s, 0 for DefaultSilence. Too short cuts
	// frames of slow readers, too long joins quick key presses.
	Silence time.Duration
	// LED and Buzzer are outputs, wired or not. They are active high unless said
	// otherwise.
	LED, Buzzer                   string
	LEDActiveLow, BuzzerActiveLow bool
	// Patterns are what the indications look like here; one that is left out has
	// its default.
	Patterns map[Indication]Pattern
	// Tamper is the reader's tamper contact, if there is one: an input of its own,
	// so that its edges take no room from the bits. The usual contact opens when
	// the reader is tampered with: high means tampered, unless TamperActiveLow is
	// set. It is pulled to the level that means tampered, so that a cut wire reads
	// as tampered, unless TamperPull says otherwise.
	Tamper          string
	TamperActiveLow bool
	TamperPull      Pull
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
	// ContactDebounce and REXDebounce are how long a level must hold to count: 20
	// to 400 ms, 0 for DefaultDebounce.
	ContactDebounce, REXDebounce time.Duration
}

// InputWiring is one auxiliary input: a fire relay, a tamper switch, a button.
type InputWiring struct {
	// ID is the input's name, unique among inputs.
	ID string
	// Line is needed.
	Line string
	// ActiveLow is set when low means active.
	ActiveLow bool
	// Supervised has the line pulled to the level that means active, so that a cut
	// wire reads as active. Otherwise it is pulled to the other, where a cut wire
	// goes unseen.
	Supervised bool
	// Pull is the bias in place of the one that Supervised asks for; empty is that.
	Pull Pull
	// Debounce is how long a level must hold to count: 20 to 400 ms, 0 for
	// DefaultDebounce.
	Debounce time.Duration
}

// OutputWiring is one auxiliary output. It rests off.
type OutputWiring struct {
	// ID is the output's name, unique among outputs.
	ID string
	// Line is needed.
	Line string
	// ActiveLow is set when low means on.
	ActiveLow bool
}

// Validate reports every fault of the wiring at once, or nil. Whether the lines
// exist only Open can tell.
func (w Wiring) Validate() error {
	v := validator{used: map[string]string{}}
	each(&v, "reader", w.Readers, func(r ReaderWiring) string { return r.ID }, v.reader)
	each(&v, "door", w.Doors, func(d DoorWiring) string { return d.ID }, v.door)
	each(&v, "input", w.Inputs, func(i InputWiring) string { return i.ID }, v.input)
	each(&v, "output", w.Outputs, func(o OutputWiring) string { return o.ID }, func(o OutputWiring) { v.line("line", o.Line, true) })
	return errors.Join(v.faults...)
}

// each checks the ids of a kind of part, and each part.
func each[T any](v *validator, kind string, all []T, id func(T) string, check func(T)) {
	ids := map[string]bool{}
	for i, part := range all {
		id := id(part)
		v.where = fmt.Sprintf("%s %q", kind, id)
		if id == "" {
			v.where = fmt.Sprintf("%s %d", kind, i+1)
			v.fault("it has no id")
		} else if ids[id] {
			v.fault("another %s has this id", kind)
		}
		ids[id] = true
		check(part)
	}
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
	v.line("tamper", r.Tamper, false)
	switch r.Pull {
	case "", PullUp, PullNone:
	default:
		v.fault("pull %q: want %q or %q", r.Pull, PullUp, PullNone)
	}
	v.pull("tamper pull", r.TamperPull)
	v.duration("silence", r.Silence, minSilence, maxSilence)
	for _, i := range slices.Sorted(maps.Keys(r.Patterns)) {
		if err := r.Patterns[i].check(i); err != nil {
			v.fault("indication %s: %w", i, err)
		}
	}
}

func (v *validator) input(i InputWiring) {
	v.line("line", i.Line, true)
	v.pull("pull", i.Pull)
	v.duration("debounce", i.Debounce, minDebounce, maxDebounce)
}

func (v *validator) pull(what string, p Pull) {
	switch p {
	case "", PullUp, PullDown, PullNone:
	default:
		v.fault("%s %q: want %q, %q or %q", what, p, PullUp, PullDown, PullNone)
	}
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
