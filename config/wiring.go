package config

import (
	"time"

	"postern/access"
	"postern/wiegand"
)

// Reader is a Wiegand reader, with or without a keypad, and its wires. A line
// is named as the kernel names it ("GPIO17"), or by its chip's label and its
// number on that chip ("pinctrl-rp1:17"), since chip numbers differ between
// models. Readers drive 5 V: a level shifter or opto-coupler stands between.
type Reader struct {
	// ID is the reader's name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID string `toml:"id,required"`
	// Technology is the kind of card, "EM", "MC" or "MD"; required unless Match
	// is "number", zero then. With the wrong one no card is known.
	Technology access.Technology `toml:"technology"`
	// Match is how much of the serial number the reader sends: "full" (the
	// default), "low32", "low24", or "number" for cards known by the facility
	// and number of a format. With the wrong one no card is known.
	Match access.Match `toml:"match"`
	// ByteOrder is the order in which the reader sends the bytes of the serial
	// number, "msb" (the default; first byte first) or "lsb". With the wrong one no
	// card is known.
	ByteOrder wiegand.Order `toml:"byte_order"`
	// Part is for readers that send 4 of the 7 bytes of an MD serial number:
	// "first4" or "last4"; default "whole". Match is left out then, and Formats
	// have 32 bits of data. With the wrong one no card is known, and cards that
	// have these bytes in common can't be told apart.
	Part wiegand.Part `toml:"part"`
	// Formats are the frames that the reader sends, by the names that
	// wiegand.Lookup knows or that the file's own [[format]] have; at least one.
	// Any other frame is refused. Parse gives them by their canonical names.
	Formats []string `toml:"formats,required"`
	// Keypad is how keys arrive, by the names that wiegand.ParseEncoding knows, or
	// "buffered26", which is no encoding, see Buffered; default "", none. With the
	// wrong one no key is understood.
	Keypad wiegand.Encoding `toml:"keypad"`
	// KeypadFacility is the facility code, 0 to 255, that is set in a keypad of
	// "buffered26"; required for it. A card with this facility code is taken for a
	// code typed.
	KeypadFacility int `toml:"keypad_facility"`
	// D0 and D1 are the data lines; required with periph. Swapped, every bit is
	// its opposite and no card is known.
	D0 string `toml:"d0"`
	D1 string `toml:"d1"`
	// Spare are two or more unused input lines of the same chip, at most 8;
	// required with periph. The kernel gives room for 16 events a line, and a card sends up
	// to 56: with two lines a busy panel loses bits, with four it does not.
	Spare []string `toml:"spare"`
	// Pull is the data lines' resistor, "up" (the default) or "none" where
	// there is one outside. Open-collector lines without any read noise.
	Pull Pull `toml:"pull" oneof:"up,none"`
	// LED and Buzzer are the lines of the reader's lamp and beeper; default
	// "", none. ActiveLow is for those that are on when low.
	LED             string `toml:"led"`
	LEDActiveLow    bool   `toml:"led_active_low"`
	Buzzer          string `toml:"buzzer"`
	BuzzerActiveLow bool   `toml:"buzzer_active_low"`
	// Indication is what the two do here; a member that is left out is that of the
	// file's [indication]. Parse gives it with those.
	Indication Indication `toml:"indication"`
	// Tamper is the line of the reader's tamper contact; default "", none: a reader
	// whose cable is cut then looks like one at which nobody badges.
	Tamper string `toml:"tamper"`
	// TamperActive is the level while the reader is tampered with: "high" (the
	// default; a contact to ground that opens) or "low". The wrong way round, every
	// reader is tampered with but the one that is.
	TamperActive LineLevel `toml:"tamper_active" oneof:"high,low"`
	// TamperPull is the line's resistor, "up", "down" or "none"; default "", towards
	// TamperActive, so that a cut wire reads as tampered. An open collector that is
	// low when tampered needs "up", and a cut wire goes unseen.
	TamperPull Pull `toml:"tamper_pull" oneof:",up,down,none"`
	// Heartbeat is how often the reader sends a frame that says that it lives, 1s
	// to 1h; default 0, it sends none. Of three that are missing in a row it is
	// told that the reader is lost; with too short a time, for nothing.
	Heartbeat time.Duration `toml:"heartbeat"`
	// HeartbeatBits is that frame; default "10101010". It must be neither as long
	// as a card nor a key of the keypad.
	HeartbeatBits string `toml:"heartbeat_bits"`
	// Silence ends a frame, 25ms to 250ms; default 40ms. Too short cuts the
	// frames of slow readers, too long runs two cards into one.
	Silence time.Duration `toml:"silence"`
}

// Matcher gives what the reader declares about its cards.
func (r *Reader) Matcher() access.Matcher {
	m := access.Matcher{Technology: r.Technology, Match: r.Match}
	switch r.Part {
	case wiegand.First4:
		m.Match = access.High32
	case wiegand.Last4:
		m.Match = access.Low32
	}
	return m
}

// Buffered gives the keypad of a reader whose Keypad is "buffered26"; false for
// any other.
func (r *Reader) Buffered() (wiegand.Buffered, bool) {
	return wiegand.Buffered{Facility: uint64(r.KeypadFacility)}, r.Keypad == wiegand.BufferedName
}

// HeartbeatFrame gives the frame by which the reader says that it lives; false
// when it sends none.
func (r *Reader) HeartbeatFrame() (wiegand.Bits, bool) {
	b, err := wiegand.ParseBits(r.HeartbeatBits)
	return b, err == nil && r.Heartbeat > 0
}

// cardBits is how many bits of a serial number the reader sends; 0 for match =
// "number".
func (r *Reader) cardBits() int {
	if r.Part == wiegand.First4 || r.Part == wiegand.Last4 {
		return 32
	}
	return r.Match.Bits(r.Technology)
}

// Pull is a resistor to a level.
type Pull string

// The pulls.
const (
	PullUp   Pull = "up"
	PullDown Pull = "down"
	PullNone Pull = "none"
)

// Lock is what current does to a lock.
type Lock string

// The locks.
const (
	Strike  Lock = "strike"  // fail-secure: current releases it
	Maglock Lock = "maglock" // fail-safe, as some strikes are too: current holds it
)

// Egress is how people get out without this software.
type Egress string

// The egresses.
const (
	EgressUnsaid     Egress = ""
	EgressHardwired  Egress = "hardwired"  // a button or fire relay that cuts the lock's supply
	EgressMechanical Egress = "mechanical" // a handle or bar that opens from inside
)

// DeadState is what a door is when the panel is off.
type DeadState string

// The dead states.
const (
	DeadLocked   DeadState = "locked"
	DeadReleased DeadState = "released"
)

// LineLevel is the level of an input line.
type LineLevel string

// The levels.
const (
	High LineLevel = "high"
	Low  LineLevel = "low"
)

// REXAction is what an exit button does.
type REXAction string

// The actions. Both keep the alarm quiet.
const (
	REXUnlock REXAction = "unlock" // the button releases the lock as well
	REXShunt  REXAction = "shunt"  // the way out is opened by other means
)

// Door is a door, its wires, and its times of the first policy.
type Door struct {
	// ID is the door's name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID string `toml:"id,required"`
	// Name is for people, at most 64 bytes; default none.
	Name string `toml:"name"`
	// Lock is "strike" or "maglock"; with the wrong one, a locked door stands
	// open. A maglock holds people in: it needs an Egress. Required.
	Lock Lock `toml:"lock,required" oneof:"strike,maglock"`
	// Egress is "hardwired" or "mechanical"; default "", unsaid. It is a
	// statement about the building, and nothing here can check it.
	Egress Egress `toml:"egress" oneof:",hardwired,mechanical"`
	// OnPanelDead is what the door is while this software does not run,
	// "locked" or "released". It has to agree with how the lock is wired and
	// with what the building's fire plan asks for. Required.
	OnPanelDead DeadState `toml:"on_panel_dead,required" oneof:"locked,released"`
	// Output is the line that switches the lock's current; required with
	// periph.
	Output string `toml:"output"`
	// OutputActiveLow says that the current is on while the line is low;
	// default false. The wrong way round, a locked door stands open.
	OutputActiveLow bool `toml:"output_active_low"`
	// Contact is the door position switch's line; default "", none: the door
	// then can't tell forced, held open or not taken.
	Contact string `toml:"contact"`
	// ContactOpen is the level while the door is open: "high" (the default; a
	// switch to ground, and a pull-up) or "low". The wrong way round, every
	// closed door is forced.
	ContactOpen LineLevel `toml:"contact_open" oneof:"high,low"`
	// REX is the request-to-exit button's line; default "", none. It is never
	// the only way out.
	REX string `toml:"rex"`
	// REXActive is the level while it is pressed: "low" (the default) or
	// "high". The wrong way round, the door is released until REXStuck.
	REXActive LineLevel `toml:"rex_active" oneof:"low,high"`
	// REXAction is "unlock" (the default) or "shunt", for a button or sensor at a
	// way out that is opened by other means. With shunt, REX opens nothing.
	REXAction REXAction `toml:"rex_action" oneof:"unlock,shunt"`
	// FireRelease releases the door while an input of kind fire is active; default
	// false. It is never the way in which people get out: that is Egress.
	FireRelease bool `toml:"fire_release"`
	// Debounce is how long contact and REX must hold, 20ms to 400ms; default 20ms.
	// What is shorter than 20ms is never seen, what is longer than 400ms always is.
	// Too short tells one opening many times, too long misses a quick press.
	Debounce time.Duration `toml:"debounce"`
	// ContactDebounce and REXDebounce are for one of the two alone, 20ms to 400ms;
	// default Debounce. Parse gives them with it.
	ContactDebounce time.Duration `toml:"contact_debounce"`
	REXDebounce     time.Duration `toml:"rex_debounce"`
	// Times are how long the door's states last.
	Times DoorTimes `toml:"times"`
	// UnlockSchedule is when the door is unlocked, a schedule's id; default "",
	// never. With FirstCard it waits, each time that the schedule opens, for a key
	// with the option first_card.
	UnlockSchedule string `toml:"unlock_schedule"`
	FirstCard      bool   `toml:"first_card"`
}

// RestHigh reports the level of the output that OnPanelDead asks for: true for
// high. Pulls, relay-rest and the first drive at start give the same.
func (d *Door) RestHigh() bool {
	current := (d.Lock == Maglock) == (d.OnPanelDead == DeadLocked)
	return current != d.OutputActiveLow
}

// DoorTimes are access.DoorTimes as the file has them, at most
// access.MaxDoorTime each; default access.DefaultDoorTimes. A member that is
// left out gives way to one that is set: a strike of 15s makes extended 15s.
type DoorTimes struct {
	Strike      time.Duration `toml:"strike"`       // at least 1ms; too short and nobody reaches the door
	Extended    time.Duration `toml:"extended"`     // at least Strike
	Relock      time.Duration `toml:"relock"`       // after opening; 0 locks at once
	HeldWarning time.Duration `toml:"held_warning"` // at least 1s
	HeldAlarm   time.Duration `toml:"held_alarm"`   // at least HeldWarning
	ShuntAfter  time.Duration `toml:"shunt_after"`  // too short and slow people set off alarms
}
