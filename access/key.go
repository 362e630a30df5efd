package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits on one access key.
const (
	MaxLevels = 256 // access levels of one key
	PINSize   = 4   // digits of a PIN
)

// State says whether a key may be used at all.
type State uint8

// The states of a key.
const (
	Enabled State = iota + 1
	Disabled
	Blacklisted
)

// ParseState reads "enabled", "disabled" or "blacklisted".
func ParseState(s string) (State, error) {
	for _, v := range []State{Enabled, Disabled, Blacklisted} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("unknown state %.16q (one of enabled, disabled, blacklisted)", s)
}

// String gives the name that ParseState reads.
func (s State) String() string {
	switch s {
	case Enabled:
		return "enabled"
	case Disabled:
		return "disabled"
	case Blacklisted:
		return "blacklisted"
	}
	return "?"
}

// Options are what a key's holder is exempt from or entitled to, as a set.
type Options uint8

// The options.
const (
	Extended     Options = 1 << iota // the door stays released for the extended time
	FirstCard                        // starts an unlock schedule that waits for a first card
	APBExempt                        // anti-passback does not hold
	Escort                           // may bring those who need an escort
	PINExempt                        // no PIN is asked for
	Escorted                         // goes in with somebody whose key has Escort, or not at all
	Common                           // shared by many: it names nobody
	NeedsCentral                     // denied when central has been away for the policy's StaleAfter
)

var optionNames = []struct {
	o    Options
	name string
}{
	{Extended, "extended"},
	{FirstCard, "first_card"},
	{APBExempt, "apb_exempt"},
	{Escort, "escort"},
	{PINExempt, "pin_exempt"},
	{Escorted, "escorted"},
	{Common, "common"},
	{NeedsCentral, "needs_central"},
}

// ParseOptions reads a list of option names, each at most once.
func ParseOptions(names []string) (Options, error) {
	var out Options
	for _, n := range names {
		i := slices.IndexFunc(optionNames, func(v struct {
			o    Options
			name string
		},
		) bool {
			return v.name == n
		})
		if i < 0 {
			return 0, fmt.Errorf("unknown option %.16q", n)
		}
		if out&optionNames[i].o != 0 {
			return 0, fmt.Errorf("option %q twice", n)
		}
		out |= optionNames[i].o
	}
	return out, nil
}

// Names lists the options in a fixed order.
func (o Options) Names() []string {
	out := []string{}
	for _, v := range optionNames {
		if o&v.o != 0 {
			out = append(out, v.name)
		}
	}
	return out
}

// String lists the names, comma between.
func (o Options) String() string { return strings.Join(o.Names(), ",") }

// Key is an access key as a panel knows it, without its PIN. A zero ValidFrom
// means at once, a zero ValidTo never expires; the window is [from, to).
type Key struct {
	ID             ID
	Type           Type
	Identification Identification // zero where a store keeps codes only as hashes
	State          State
	ValidFrom      time.Time
	ValidTo        time.Time
	Levels         []ID
	Person         ID
	Options        Options
	HasPIN         bool
}

// Holder is whom the key stands for: its person, or the key itself where it
// names none. It is zero for a common key, which may be in anybody's hands.
func (k *Key) Holder() ID {
	switch {
	case k.Options&Common != 0:
		return ID{}
	case !k.Person.IsZero():
		return k.Person
	}
	return k.ID
}

// DuressFor gives the PIN that a typed one stands for when it was typed under
// duress: the same with its last digit one lower, 9 for 0. It
// is "" for what is no PIN. Both are secrets.
func DuressFor(typed string) string {
	if CheckPIN(typed) != nil {
		return ""
	}
	last := (typed[PINSize-1]-'0'+9)%10 + '0'
	return typed[:PINSize-1] + string(last)
}

// CheckPIN says what is wrong with a PIN, without repeating it; nil when it is
// four decimal digits.
func CheckPIN(pin string) error {
	if len(pin) != PINSize || !isDigits(pin) {
		return fmt.Errorf("a PIN has %d decimal digits", PINSize)
	}
	return nil
}

// CheckWindow says what is wrong with a validity window, nil for a good one.
func CheckWindow(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return fmt.Errorf("the window ends (%s) before it starts (%s)",
			to.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339))
	}
	return nil
}
