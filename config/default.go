package config

import (
	"time"

	"postern/access"
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
	}
}

// DefaultReader gives what the members that a [[reader]] leaves out mean.
func DefaultReader() Reader {
	return Reader{Match: access.Full, Pull: PullUp, Silence: 40 * time.Millisecond}
}

// DefaultDoor gives what the members that a [[door]] leaves out mean.
func DefaultDoor() Door {
	return Door{
		ContactOpen: High,
		REXActive:   Low,
		Debounce:    20 * time.Millisecond,
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
	for i := range c.Doors {
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
