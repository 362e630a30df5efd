package config

import (
	"time"

	"postern/access"
	"postern/wiegand"
)

// Default gives what the members that a file leaves out mean. It is not
// complete: system_id, broker and the wiring have to be said.
func Default() Config {
	return Config{
		Panel:   Panel{DataDir: "/var/lib/postern", Timezone: "UTC"},
		API:     API{Socket: "/run/postern/postern.sock"},
		Clock:   Clock{Source: ClockNTP},
		Journal: Journal{Keep: 50_000, Cap: 1_000_000},
		Board:   Board{Driver: Periph},
		Codes:   Codes{Size: 6},
		Lockout: Lockout(access.DefaultLockout()),
	}
}

// DefaultReader gives what the members that a [[reader]] leaves out mean.
func DefaultReader() Reader {
	return Reader{
		Match:        access.Full,
		ByteOrder:    wiegand.MSB,
		Part:         wiegand.Whole,
		Pull:         PullUp,
		TamperActive: High,
		Silence:      40 * time.Millisecond,

		HeartbeatBits: "10101010",
	}
}

// DefaultAccessPoint gives what the members that an [[access_point]] leaves out
// mean.
func DefaultAccessPoint() AccessPoint { return AccessPoint{PairWithin: access.DefaultPairWithin} }

func (a *AccessPoint) setDefaults() { *a = DefaultAccessPoint() }

// defaultDebounce is the debounce of every input.
const defaultDebounce = 20 * time.Millisecond

// DefaultDoor gives what the members that a [[door]] leaves out mean, but for the
// debounce of contact and REX, which is Debounce.
func DefaultDoor() Door {
	return Door{
		ContactOpen: High,
		REXActive:   Low,
		REXAction:   REXUnlock,
		Debounce:    defaultDebounce,
		Times:       DoorTimes(access.DefaultDoorTimes()),
	}
}

// setDefaults is what the decoder calls on each new element of an array.
func (r *Reader) setDefaults() { *r = DefaultReader() }

func (d *Door) setDefaults() { *d = DefaultDoor() }

// settle fills the defaults that depend on other members. A time that nobody
// set can't be at fault: the one that it was taken from is.
func (v *checker) settle(c *Config) {
	if c.MQTT.ClientID == "" {
		c.MQTT.ClientID = "postern-" + c.Panel.SystemID
	}
	for i := range c.Readers {
		c.Readers[i].Indication.inherit(&c.Indication)
	}
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.Active == "" {
			in.Active = Low
			if in.Kind.supervised() {
				in.Active = High
			}
		}
	}
	v.settleDoors(c)
}

// inherited takes a member from another where the file does not set it. The one
// that it was taken from is the one that can be at fault.
func (v *checker) inherited(path string, d *time.Duration, from time.Duration) {
	if !v.lines.set(path) {
		*d = from
		v.faulty[path] = true
	}
}

func (v *checker) settleDoors(c *Config) {
	for i := range c.Doors {
		d := &c.Doors[i]
		v.inherited(element("door", i)+".contact_debounce", &d.ContactDebounce, d.Debounce)
		v.inherited(element("door", i)+".rex_debounce", &d.REXDebounce, d.Debounce)
		path, t := element("door", i)+".times", &c.Doors[i].Times
		if at := path + ".extended"; !v.lines.set(at) {
			t.Extended = max(t.Extended, t.Strike)
			v.faulty[at] = true
		}
		alarm, warning := path+".held_alarm", path+".held_warning"
		switch {
		case !v.lines.set(alarm):
			t.HeldAlarm = max(t.HeldAlarm, t.HeldWarning)
			v.faulty[alarm] = true
		case !v.lines.set(warning):
			t.HeldWarning = max(min(t.HeldWarning, t.HeldAlarm), time.Second)
			v.faulty[warning] = true
		}
	}
}
