package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/access"
	"postern/wiegand"
)

func (v *checker) readers(c *Config) {
	if len(c.Readers) > maxReaders {
		v.fault("reader", "more than %d readers", maxReaders)
	}
	for i := range c.Readers {
		path, r := element("reader", i), &c.Readers[i]
		v.id(path, r.ID, c.Reader(r.ID) != r)
		v.card(path, r)
		v.keypad(path, r, c)
		v.ownIndication(path+".indication", r)
		v.span(path+".silence", r.Silence, minSilence, maxSilence)
		v.heartbeat(path, r, c)
		if c.Board.Driver == Periph {
			v.line(path+".d0", r.D0, "data line 0")
			v.line(path+".d1", r.D1, "data line 1")
			if len(r.Spare) < wantSpare {
				v.fault(path+".spare", "names %d of the %d unused input lines that give the kernel room for a whole card: "+
					"without them a busy panel loses bits", len(r.Spare), wantSpare)
			}
		}
		if len(r.Spare) > maxSpare {
			v.fault(path+".spare", "more than %d lines", maxSpare)
		}
	}
}

// heartbeat checks that a heartbeat passes for nothing else.
func (v *checker) heartbeat(path string, r *Reader, c *Config) {
	if r.Heartbeat == 0 {
		return
	}
	v.span(path+".heartbeat", r.Heartbeat, minHeartbeat, maxHeartbeat)
	b, err := wiegand.ParseBits(r.HeartbeatBits)
	if err != nil {
		v.fault(path+".heartbeat_bits", "%v", err)
		return
	}
	if r.Keypad != "" && r.Keypad != wiegand.BufferedName && b.Len() == r.Keypad.Bits() {
		if _, err := r.Keypad.Key(b); err == nil {
			v.fault(path+".heartbeat_bits", "is a key of the keypad")
		}
	}
	for _, f := range c.FormatsOf(r) {
		if f.Len == b.Len() {
			v.fault(path+".heartbeat_bits", "is as long as a card of %s", f.Name)
		}
	}
}

// card checks what a reader declares about its cards.
func (v *checker) card(path string, r *Reader) {
	if len(r.Formats) == 0 {
		v.fault(path+".formats", "names no format (want some of %s)", strings.Join(v.formatNames(), ", "))
	}
	if len(r.Formats) > maxFormats {
		v.fault(path+".formats", "more than %d formats", maxFormats)
		return
	}
	v.serial(path, r)
	declared := !v.faulty[path+".technology"] && !v.faulty[path+".match"] && !v.faulty[path+".part"]
	for i, name := range r.Formats {
		path := element(path+".formats", i)
		if v.faulty[path] {
			continue
		}
		f, ok := v.format(name)
		if !ok {
			v.unknownFormat(path, name)
			continue
		}
		r.Formats[i] = f.Name
		if slices.Contains(r.Formats[:i], f.Name) {
			v.fault(path, "%s is named twice", f.Name)
		}
		if declared && !fits(r, f) {
			v.fault(path, "%s", v.misfit(r, f))
		}
	}
}

// unknownFormat tells a name that means nothing. One of the file's own formats is
// known, and its fault stands at its description.
func (v *checker) unknownFormat(path, name string) {
	if _, own := v.own[strings.ToLower(name)]; !own {
		v.fault(path, "%.70q is no known format (one of %s)", name, strings.Join(v.formatNames(), ", "))
	}
}

// serial checks what a reader declares about the serial numbers of its cards.
func (v *checker) serial(path string, r *Reader) {
	whole := r.Part == wiegand.Whole
	switch {
	case r.Match != access.Number && r.Technology == 0:
		v.fault(path+".technology", `is missing (one of EM, MC, MD; only match = "number" goes without)`)
	case r.Match != access.Number:
	case r.Technology != 0:
		v.fault(path+".technology", `is for serial numbers: leave it out with match = "number"`)
	case r.ByteOrder != wiegand.MSB:
		v.fault(path+".byte_order", `is for serial numbers: leave it out with match = "number"`)
	case !whole:
		v.fault(path+".part", `is for serial numbers: leave it out with match = "number"`)
	}
	switch {
	case whole || r.Match == access.Number:
	case r.Technology != access.MD && !v.faulty[path+".technology"]:
		v.fault(path+".part", "is for the 7 bytes of MD: %s cards have no such parts", r.Technology)
	case r.Match != access.Full && !v.faulty[path+".match"]:
		v.fault(path+".match", "is said by part already: leave one of them out")
	}
}

// keypad checks what a reader declares about its keypad.
func (v *checker) keypad(path string, r *Reader, c *Config) {
	at := path + ".keypad_facility"
	_, buffered := r.Buffered()
	switch {
	case v.faulty[path+".keypad"]:
	case !buffered && v.lines.set(at):
		v.fault(at, "is for a keypad of %q alone", wiegand.BufferedName)
	case !buffered:
	case !v.lines.set(at):
		v.fault(at, "is missing: the facility code that is set in the keypad, without which a card could pass for a code")
	case c.Codes.Enabled && c.Codes.Size > wiegand.MaxBufferedSize:
		v.fault(path+".keypad", "%s sends at most %d digits, and codes have %d", wiegand.BufferedName, wiegand.MaxBufferedSize, c.Codes.Size)
	}
	v.between(at, r.KeypadFacility, 0, maxFacility)
}

// ownIndication checks the patterns that a reader sets itself; the others are
// checked where they come from.
func (v *checker) ownIndication(path string, r *Reader) {
	for _, m := range r.Indication.members() {
		if at := path + "." + m.name; !v.lines.set(at) {
			v.faulty[at] = true
		}
	}
	v.indication(path, &r.Indication)
}

// fits reports whether a frame of the format has what the reader declares: the
// bits of a serial number, or a facility and number told apart by parity from
// any other frame. A format of the site's own may have its numbers without.
func fits(r *Reader, f wiegand.Format) bool {
	if r.Match == access.Number {
		_, builtin := wiegand.Lookup(f.Name)
		return len(f.Parity) > 0 || !builtin
	}
	return f.PayloadBits() == r.cardBits() && bytewise(f)
}

// bytewise reports whether the data could be a serial number's: a facility that
// is no whole bytes is an issuer's numbering.
func bytewise(f wiegand.Format) bool {
	return !f.HasFacility || (f.Facility.To-f.Facility.From+1)%8 == 0
}

func (v *checker) misfit(r *Reader, f wiegand.Format) string {
	var good []string
	for _, name := range v.formatNames() {
		if f, ok := v.format(name); ok && fits(r, f) {
			good = append(good, name)
		}
	}
	want := strings.Join(good, " or ")
	if r.Match == access.Number {
		return fmt.Sprintf(`%s is a whole serial number: match = "number" wants %s`, f.Name, want)
	}
	declared := fmt.Sprintf(`match = "%s"`, r.Match)
	if r.Part != wiegand.Whole {
		declared = fmt.Sprintf(`part = "%s"`, r.Part)
	}
	if f.PayloadBits() == r.cardBits() {
		return fmt.Sprintf(`%s has an issuer's numbers, and %s with %s is a serial number: want %s`, f.Name, r.Technology, declared, want)
	}
	return fmt.Sprintf(`%s has %d bits of data, and %s with %s has %d: want %s`,
		f.Name, f.PayloadBits(), r.Technology, declared, r.cardBits(), want)
}

func (v *checker) doors(c *Config) {
	if len(c.Doors) > maxDoors {
		v.fault("door", "more than %d doors", maxDoors)
	}
	for i := range c.Doors {
		path, d := element("door", i), &c.Doors[i]
		v.name(path+".name", d.Name)
		v.span(path+".debounce", d.Debounce, minDebounce, maxDebounce)
		v.span(path+".contact_debounce", d.ContactDebounce, minDebounce, maxDebounce)
		v.span(path+".rex_debounce", d.REXDebounce, minDebounce, maxDebounce)
		v.release(path, d, c)
		if d.Lock == Maglock && d.Egress == EgressUnsaid && !v.faulty[path+".egress"] {
			v.fault(path+".lock", "a maglock holds people in: it needs a way out that does not depend on this software, "+
				`and the file has to say which (egress = "hardwired" or "mechanical")`)
		}
		if c.Board.Driver == Periph {
			v.line(path+".output", d.Output, "the line that switches the lock's current")
		}
	}
}

// line wants a line that periph can't do without.
func (v *checker) line(path, name, what string) {
	if name == "" {
		v.fault(path, `is missing: %s (a name such as "GPIO17")`, what)
	}
}

// points checks what an access point asks of the wiring; Compile does the rest.
func (v *checker) points(c *Config) {
	for i, a := range c.Points {
		path := element("access_point", i)
		v.name(path+".name", a.Name)
		if a.Reader == "" {
			continue
		}
		n := slices.IndexFunc(c.Readers, func(r Reader) bool { return r.ID == a.Reader })
		if n < 0 {
			v.fault(path+".reader", "no reader has the id %.70q", a.Reader)
			continue
		}
		if a.Mode.NeedsKeypad() && c.Readers[n].Keypad == "" && !v.faulty[element("reader", n)+".keypad"] {
			v.fault(path+".mode", `%s needs a keypad, and reader %q has none (its keypad is %s)`, a.Mode, a.Reader, strings.Join(keypadNames(), ", "))
		}
	}
}

// wires checks the name of every line, and that each has one user.
func (v *checker) wires(c *Config) {
	users := map[string]string{}
	use := func(path, name string) {
		if name == "" {
			return
		}
		if err := checkLine(name); err != nil {
			v.fault(path, "%.70q %v", name, err)
			return
		}
		if other, ok := users[name]; ok {
			v.fault(path, "%s is used by %s already (line %d)", name, other, v.lines.of(other))
			return
		}
		users[name] = path
	}
	for i := range c.Readers {
		path, r := element("reader", i), &c.Readers[i]
		use(path+".d0", r.D0)
		use(path+".d1", r.D1)
		for j, s := range r.Spare {
			path := element(path+".spare", j)
			if s == "" {
				v.fault(path, "names no line")
			}
			use(path, s)
		}
		use(path+".led", r.LED)
		use(path+".buzzer", r.Buzzer)
		use(path+".tamper", r.Tamper)
	}
	for i := range c.Doors {
		path, d := element("door", i), &c.Doors[i]
		use(path+".output", d.Output)
		use(path+".contact", d.Contact)
		use(path+".rex", d.REX)
	}
	for i, in := range c.Inputs {
		use(element("input", i)+".line", in.Line)
	}
	for i, o := range c.Outputs {
		use(element("output", i)+".line", o.Line)
	}
}

// checkLine checks a line's name, or its chip's label and its number there. The
// number has no leading zeros, so that a line has one spelling.
func checkLine(s string) error {
	name, number, numbered := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		name, number, numbered = s[:i], s[i+1:], true
	}
	if name == "" || len(name) > maxNameSize || strings.ContainsAny(name, " \"'\\") {
		return errors.New(`is not a line (want a name such as "GPIO17", or chip and number such as "pinctrl-rp1:17")`)
	}
	if !numbered {
		return nil
	}
	if n, err := strconv.ParseUint(number, 10, 16); err != nil || strconv.FormatUint(n, 10) != number {
		return errors.New(`has no line number after the ':' (want one such as "pinctrl-rp1:17")`)
	}
	return nil
}
