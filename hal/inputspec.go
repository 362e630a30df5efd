package hal

import (
	"fmt"

	"periph.io/x/conn/v3/gpio"
)

// contactSpec pulls to the level that means open.
func contactSpec(d DoorWiring) inputSpec {
	s := inputSpec{
		name: fmt.Sprintf("contact of door %q", d.ID), line: d.Contact,
		active: gpio.High, pull: gpio.PullUp, debounce: d.ContactDebounce,
	}
	if d.ContactOpenLow {
		s.active, s.pull = gpio.Low, gpio.PullDown
	}
	return s
}

// rexSpec pulls to the level that means not pressed.
func rexSpec(d DoorWiring) inputSpec {
	s := inputSpec{
		name: fmt.Sprintf("rex of door %q", d.ID), line: d.REX,
		active: gpio.Low, pull: gpio.PullUp, debounce: d.REXDebounce,
	}
	if d.REXPressedHigh {
		s.active, s.pull = gpio.High, gpio.PullDown
	}
	return s
}

// tamperSpec pulls to the level that means tampered, unless told otherwise.
func tamperSpec(r ReaderWiring) inputSpec {
	s := inputSpec{name: fmt.Sprintf("tamper of reader %q", r.ID), line: r.Tamper, active: gpio.Level(!r.TamperActiveLow)}
	s.pull = pullOf(r.TamperPull, s.active)
	return s
}

// inputOf pulls a supervised input to the level that means active, another to
// the level that means rest, unless told otherwise.
func inputOf(w InputWiring) inputSpec {
	s := inputSpec{name: fmt.Sprintf("input %q", w.ID), line: w.Line, active: gpio.Level(!w.ActiveLow), debounce: w.Debounce}
	s.pull = pullOf(w.Pull, gpio.Level(bool(s.active) == w.Supervised))
	return s
}

// pullOf gives the bias that was asked for, or else the one to a level.
func pullOf(asked Pull, otherwise gpio.Level) gpio.Pull {
	switch {
	case asked == PullNone:
		return gpio.PullNoChange
	case asked == PullUp, asked == "" && otherwise == gpio.High:
		return gpio.PullUp
	}
	return gpio.PullDown
}
