// Package plan draws how a panel is wired, from its configuration alone, so that
// the drawing can't drift from what the daemon does: a diagram, a table with the
// rules of electrics and life safety, and what the lines are while a Raspberry Pi
// starts. It knows the 40-pin header; other boards' lines it can't draw.
//
//	made, err := plan.Of("two-doors", c, "two-doors.toml by postern wiring")
package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"postern/config"
)

// headerPins are the pins of a Raspberry Pi's header by GPIO number.
var headerPins = [28]int{27, 28, 3, 5, 7, 29, 31, 26, 24, 21, 19, 23, 32, 33, 8, 10, 36, 11, 12, 35, 38, 40, 15, 16, 18, 22, 37, 13}

// wire is one line and what is at its other end.
type wire struct {
	gpio, pin int
	out       bool
	pull      config.Pull // of an input
	high      bool        // an output's level at rest
	end       string      // the terminal at the part
	through   string      // what has to be between
	note      string
}

// part is a thing with terminals.
type part struct {
	title string
	wires []wire
	door  *config.Door // of a door
}

// drawing is all of a profile.
type drawing struct {
	file, by string // what it is called, and what made it of what
	parts    []part
}

// Made is what is made of one configuration.
type Made struct {
	SVG   []byte // the diagram
	Table []byte // Markdown, which shows NAME.svg
	Pins  []byte // for config.txt of a Raspberry Pi
}

// Of draws a configuration that config.Load has found without faults. Name is that
// of the drawing, by says what made it of what.
func Of(name string, c *config.Config, by string) (Made, error) {
	d, err := plan(c)
	if err != nil {
		return Made{}, err
	}
	d.file, d.by = name, by
	return Made{SVG: d.svg(), Table: d.table(), Pins: d.pins()}, nil
}

const (
	shifter    = "level shifter"
	transistor = "transistor"
	relay      = "relay"
	direct     = "dry contact to ground"
	nothing    = "not connected"
)

// plan lists the wires of a configuration, part by part.
func plan(c *config.Config) (*drawing, error) {
	d := &drawing{}
	var err error
	add := func(p *part, line string, w wire) {
		if line == "" {
			return
		}
		var e error
		if w.gpio, e = gpioOf(line); e != nil {
			err = cmp.Or(err, e)
			return
		}
		w.pin = headerPins[w.gpio]
		p.wires = append(p.wires, w)
	}
	for i := range c.Readers {
		r := &c.Readers[i]
		p := part{title: "Reader " + r.ID}
		pull := cmp.Or(r.Pull, config.PullUp)
		add(&p, r.D0, wire{pull: pull, end: "D0 (green)", through: shifter})
		add(&p, r.D1, wire{pull: pull, end: "D1 (white)", through: shifter})
		for _, s := range r.Spare {
			add(&p, s, wire{pull: pull, end: "–", through: nothing, note: "room in the kernel's queue"})
		}
		add(&p, r.LED, wire{out: true, high: r.LEDActiveLow, end: "LED", through: transistor})
		add(&p, r.Buzzer, wire{out: true, high: r.BuzzerActiveLow, end: "buzzer", through: transistor})
		add(&p, r.Tamper, wire{pull: towards(r.TamperPull, r.TamperActive, true), end: "tamper", through: direct, note: state("tampered", r.TamperActive)})
		d.parts = append(d.parts, p)
	}
	for i := range c.Doors {
		r := &c.Doors[i]
		p := part{title: "Door " + cmp.Or(r.Name, r.ID), door: r}
		add(&p, r.Output, wire{out: true, high: r.RestHigh(), end: "lock's relay", through: relay, note: "see the lock's supply"})
		add(&p, r.Contact, wire{pull: towards("", r.ContactOpen, true), end: "door contact", through: direct, note: state("open", r.ContactOpen)})
		add(&p, r.REX, wire{pull: towards("", r.REXActive, false), end: "exit button", through: direct, note: state("pressed", r.REXActive)})
		d.parts = append(d.parts, p)
	}
	for i := range c.Inputs {
		in := &c.Inputs[i]
		p := part{title: cmp.Or(in.Name, "Input "+in.ID)}
		add(&p, in.Line, wire{pull: towards(in.Pull, in.Active, in.Supervised()), end: string(in.Kind), through: direct, note: state("active", in.Active)})
		d.parts = append(d.parts, p)
	}
	for i := range c.Outputs {
		o := &c.Outputs[i]
		p := part{title: cmp.Or(o.Name, "Output "+o.ID)}
		add(&p, o.Line, wire{out: true, high: o.ActiveLow, end: "coil", through: relay})
		d.parts = append(d.parts, p)
	}
	return d, err
}

var lineName = regexp.MustCompile(`^(?:GPIO|[a-z0-9-]+:)([0-9]{1,2})$`)

func gpioOf(line string) (int, error) {
	if m := lineName.FindStringSubmatch(line); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n < len(headerPins) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("line %q is not on a Raspberry Pi's header (GPIO0 to GPIO27)", line)
}

// towards is the pull of an input: as told, or else to its active level where a
// cut wire has to read as active, and away from it otherwise.
func towards(told config.Pull, active config.LineLevel, supervised bool) config.Pull {
	if told != "" {
		return told
	}
	if (active == config.High) == supervised {
		return config.PullUp
	}
	return config.PullDown
}

func state(what string, level config.LineLevel) string {
	if level == config.High {
		return what + " while the contact is open"
	}
	return what + " while the contact is closed"
}

// rest says in words what a line is while nobody drives it.
func (w wire) rest() string {
	switch {
	case w.out && w.high:
		return "output, high at rest"
	case w.out:
		return "output, low at rest"
	case w.pull == config.PullNone:
		return "input, no pull"
	}
	return "input, pull-" + string(w.pull)
}

// sorted are all wires by GPIO number.
func (d *drawing) sorted() []wire {
	var all []wire
	for _, p := range d.parts {
		all = append(all, p.wires...)
	}
	slices.SortFunc(all, func(a, b wire) int { return cmp.Compare(a.gpio, b.gpio) })
	return all
}
