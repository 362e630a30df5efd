package plan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"postern/config"
)

// electrics are the rules that hold for every drawing.
var electrics = []string{
	"Reader data lines carry 5 V, the Pi takes 3.3 V: a level shifter or opto-coupler in each, with 1 to 4.7 kΩ pull-ups to 3.3 V on the Pi's side.",
	"One common ground: reader, contacts, relay board and Pi.",
	"Each lock has a supply of its own, switched by the relay's contact, and a diode (DC, cathode to plus) or varistor (AC) right at the lock.",
	"LED and buzzer wires of readers carry more than 3.3 V: a transistor or opto-coupler, open collector, in each.",
	"Pulls inside the Pi hold only once it has begun to start: fit 10 kΩ to the rest level at each lock's relay input.",
}

// egress says how people get out of a door, whatever this panel does.
func egress(d *config.Door) string {
	switch d.Egress {
	case config.EgressHardwired:
		return "Way out: break-glass box and the fire panel's relay, in series in the lock's own supply. Prove both with the panel off."
	case config.EgressMechanical:
		return "Way out: the handle inside opens the door mechanically. Prove it with the panel off."
	}
	return "Way out: NOT SAID in panel.toml (egress). Nobody may depend on this panel to get out."
}

// dead says what the door is without the panel.
func dead(d *config.Door) string {
	lock := "strike: current releases it"
	if d.Lock == config.Maglock {
		lock = "maglock: current holds it"
	}
	level := "low"
	if d.RestHigh() {
		level = "high"
	}
	return fmt.Sprintf("%s. Panel off: %s (line %s at rest).", lock, d.OnPanelDead, level)
}

// table gives the wiring as Markdown.
func (d *drawing) table() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made from %s; do not edit. -->\n", d.by)
	fmt.Fprintf(&b, "# Wiring of %s\n\n![Wiring diagram](%s.svg)\n\n", d.file, d.file)
	b.WriteString("| pin | line | at | terminal | through | line's state at rest | |\n|---|---|---|---|---|---|---|\n")
	for _, p := range d.parts {
		for _, w := range p.wires {
			fmt.Fprintf(&b, "| %d | GPIO%d | %s | %s | %s | %s | %s |\n", w.pin, w.gpio, p.title, w.end, w.through, w.rest(), w.note)
		}
	}
	b.WriteString("\n## Life safety\n\n")
	for _, p := range d.parts {
		if p.door != nil {
			fmt.Fprintf(&b, "- **%s.** %s %s\n", p.title, egress(p.door), dead(p.door))
		}
	}
	b.WriteString("\n## Electrics\n\n")
	for _, e := range electrics {
		fmt.Fprintf(&b, "- %s\n", e)
	}
	b.WriteString("\n## On a board without config.txt\n\nA Raspberry Pi sets these pulls as soon as it starts; on another board they are resistors, from the first moment on.\n\n")
	for _, r := range d.resistors() {
		fmt.Fprintf(&b, "- %s: %s\n", r.what, strings.Join(r.lines, ", "))
	}
	return b.Bytes()
}

// resistor is one kind of resistor and the lines that need one each.
type resistor struct {
	what  string
	lines []string
}

// resistors are those that a board without pulls of its own needs, by where they
// lead.
func (d *drawing) resistors() []resistor {
	data := resistor{what: "1 to 4.7 kΩ to 3.3 V"}
	up, down := resistor{what: "10 kΩ to 3.3 V"}, resistor{what: "10 kΩ to ground"}
	for _, w := range d.sorted() {
		end, _, _ := strings.Cut(w.end, " (") // the wire's colour is of no use here
		line := fmt.Sprintf("GPIO%d (%s)", w.gpio, end)
		switch {
		case w.through == shifter:
			data.lines = append(data.lines, line)
		case w.through == nothing:
			up.lines = append(up.lines, fmt.Sprintf("GPIO%d (spare)", w.gpio))
		case w.out && w.high, !w.out && w.pull == config.PullUp:
			up.lines = append(up.lines, line)
		case w.out, w.pull == config.PullDown:
			down.lines = append(down.lines, line)
		}
	}
	return slices.DeleteFunc([]resistor{data, up, down}, func(r resistor) bool { return len(r.lines) == 0 })
}

// pins gives the lines' state while the board starts, for config.txt.
func (d *drawing) pins() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Made from %s; do not edit.
# The lines while the Pi starts, and when nobody holds them. Copy this file to
# /boot/firmware/postern-pins.txt; see boards/ for how it is included. Afterwards
# "pinctrl get" shows the same.
`, d.by)
	for _, w := range d.sorted() {
		set := map[config.Pull]string{config.PullUp: "ip,pu", config.PullDown: "ip,pd", config.PullNone: "ip,pn"}[w.pull]
		if w.out {
			set = "op,pd,dl"
			if w.high {
				set = "op,pu,dh"
			}
		}
		fmt.Fprintf(&b, "gpio=%d=%s\n", w.gpio, set)
	}
	return b.Bytes()
}
