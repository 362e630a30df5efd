package plan

import (
	"bytes"
	"fmt"
	"html"
	"slices"

	"postern/config"
)

// The drawing's measures, in pixels.
const (
	width   = 1180
	header  = 60  // left edge of the Pi's header
	rail    = 250 // where a wire leaves the list of pins
	between = 470 // left edge of what is between
	ends    = 760 // left edge of the parts
	rowH    = 24
	gap     = 22
	top     = 84
)

// colours of what is between.
var colours = map[string]string{shifter: "#1f6feb", transistor: "#8250df", relay: "#bc4c00", direct: "#1a7f37", nothing: "#8c959f"}

// canvas writes shapes.
type canvas struct{ bytes.Buffer }

func (c *canvas) text(x, y int, class, format string, args ...any) {
	fmt.Fprintf(c, `<text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(fmt.Sprintf(format, args...)))
}

func (c *canvas) box(x, y, w, h int, class, colour string) {
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="%d" height="%d" rx="4" class="%s" stroke="%s"/>`+"\n", x, y, w, h, class, colour)
}

func (c *canvas) line(x1, y1, x2, y2 int, colour string) {
	fmt.Fprintf(c, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"/>`+"\n", x1, y1, x2, y2, colour)
}

// svg draws the parts one below the other, each wire as a row from the pin to the
// terminal; then each lock's supply, and what has to be minded.
func (d *drawing) svg() []byte {
	var c canvas
	y := top
	c.text(24, 36, "title", "Wiring of %s", d.file)
	c.text(24, 58, "small", "Pin numbers are those of the Raspberry Pi's 40-pin header. Made from %s.toml.", d.file)
	for _, p := range d.parts {
		y = c.part(p, y) + gap
	}
	y = c.supply(y) + gap
	for _, p := range d.parts {
		if p.door != nil {
			y = c.lock(p, y) + gap
		}
	}
	c.text(24, y+4, "head", "Electrics")
	y += rowH
	for _, e := range electrics {
		c.text(24, y, "small", "• %s", e)
		y += 20
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif">
<style>.title{font-size:20px;font-weight:bold}.head{font-size:15px;font-weight:bold}.t{font-size:13px}.small{font-size:12px;fill:#444}.warn{font-size:13px;font-weight:bold;fill:#b00020}.b{fill:#fff}.f{fill:#f6f8fa}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
`, width, y+10, width, y+10)
	out.Write(c.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// part draws a part with its wires and returns where it ends.
func (c *canvas) part(p part, y int) int {
	height := max(len(p.wires), 1)*rowH + 34
	c.box(ends, y, width-ends-24, height, "f", "#57606a")
	c.text(ends+12, y+20, "head", "%s", p.title)
	for i, w := range p.wires {
		row := y + 34 + i*rowH + rowH/2
		colour := colours[w.through]
		c.box(header, row-10, 46, 20, "b", colour)
		c.text(header+6, row+4, "t", "%d", w.pin)
		c.text(header+56, row+4, "t", "GPIO%d", w.gpio)
		c.text(header+116, row-3, "small", "%s", short(w))
		c.line(header+112, row, between, row, colour)
		if w.through == nothing {
			c.text(between+8, row+4, "small", "%s (%s)", nothing, w.note)
			continue
		}
		c.box(between, row-10, 170, 20, "b", colour)
		c.text(between+8, row+4, "t", "%s", w.through)
		c.line(between+170, row, ends+12, row, colour)
		c.text(ends+20, row+4, "t", "%s", w.end)
		c.text(ends+130, row+4, "small", "%s", w.note)
	}
	return y + height
}

// short is rest in few words, which stand on the wire.
func short(w wire) string {
	switch {
	case w.out && w.high:
		return "out, rests high: pull-up"
	case w.out:
		return "out, rests low: pull-down"
	case w.pull == config.PullNone:
		return "in"
	}
	return "in, pull-" + string(w.pull)
}

// supply draws what all parts share.
func (c *canvas) supply(y int) int {
	c.box(24, y, width-48, 44, "f", "#57606a")
	c.text(36, y+27, "t", "%s", "3.3 V: pin 1 or 17, to the shifters' low side. Ground: pins 6, 9, 14, 20, 25, 30, 34, 39, to readers, contacts, relay board and the locks' supply")
	return y + 44
}

// lock draws the loop of a lock's supply.
func (c *canvas) lock(p part, y int) int {
	c.text(24, y+4, "head", "%s: the lock's own supply", p.title)
	chain := []string{"supply +", "relay contact (NO)", "lock, diode across", "supply –"}
	if p.door.Egress == config.EgressHardwired {
		chain = slices.Insert(chain, 1, "break-glass (NC)", "fire relay (NC)")
	}
	x := 24
	for i, box := range chain {
		colour := "#57606a"
		if box == "break-glass (NC)" || box == "fire relay (NC)" {
			colour = "#b00020"
		}
		c.box(x, y+16, 160, 28, "b", colour)
		c.text(x+10, y+34, "t", "%s", box)
		if i+1 < len(chain) {
			c.line(x+160, y+30, x+188, y+30, "#57606a")
		}
		x += 188
	}
	c.text(24, y+64, "small", "%s", dead(p.door))
	c.text(24, y+84, "warn", "%s", egress(p.door))
	return y + 90
}
