package wiegand

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The bounds of what a description may have.
const (
	maxSpecs      = 64
	maxSpecName   = 16
	maxSpecText   = 512
	maxSpecParity = 32
)

// Spec describes a format of a site's own in the texts of a configuration file.
// Bits are counted from 0, first received first. A range is "3" or "3-17", both
// ends included; ranges are joined by commas and may not overlap.
//
//	Spec{Name: "OEM36", Length: 36, Facility: "1-16", Number: "18-32", Parity: []ParitySpec{
//		{Bit: 0, Kind: "odd", Over: "1-17"},
//		{Bit: 35, Kind: "even", Over: "18-34"},
//	}}
type Spec struct {
	// Name is 1 to 16 of A-Z, a-z, 0-9 and '_'; not a built-in format's name,
	// letters' case aside, nor EM, MC or MD, since it stands before the colon of
	// a card's identification.
	Name string
	// Length is the length of the whole frame, 1 to 128 bits.
	Length int
	// Facility is the range of the facility code, at most 64 bits; "" for none.
	Facility string
	// Number is the range of the card number, at most 64 bits; "" for the data
	// bits, where these are one range and there is no facility.
	Number string
	// Data are the ranges of the payload, at most 64 bits in all; "" for all
	// bits that aren't parity.
	Data string
	// Parity are the checks, at most 32. One that is over the bit of another
	// stands after it. Without any, every frame of the length is a number.
	Parity []ParitySpec
}

// ParitySpec describes a check: Bit makes the ones that it is over, itself
// counted in, even or odd.
type ParitySpec struct {
	// Bit is the check's own bit; neither data nor under its own mask.
	Bit int
	// Kind is "even" or "odd".
	Kind string
	// Over are the ranges that are checked, or "" where Mask tells them.
	Over string
	// Mask tells them as one '0' or '1' for each bit of the frame, first bit
	// first, or "" where Over does.
	Mask string
}

// Format returns the format that is described, or every fault of the description
// at once. A format that it returns is valid, and takes back what it encodes.
func (s Spec) Format() (Format, error) {
	c := specCheck{name: s.Name, bits: s.Length}
	c.checkName()
	if s.Length < 1 || s.Length > MaxBits {
		c.fault("length", "%d bits: want 1 to %d", s.Length, MaxBits)
		// The rest is read all the same, for the faults that it has at any length.
		c.bits, c.anyLength = MaxBits, true
	}
	f := Format{Name: s.Name, Len: c.bits, Parity: c.parity(s.Parity)}
	checks := NewBits(0, c.bits)
	for _, p := range s.Parity {
		if c.within(p.Bit) {
			checks = checks.set(p.Bit, 1)
		}
	}
	var hasData bool
	f.Data, hasData = c.data(s.Data, checks)
	f.Facility, f.HasFacility = c.field("facility", s.Facility, checks)
	var hasNumber bool
	f.Number, hasNumber = c.field("number", s.Number, checks)
	switch {
	case s.Number == "" && s.Facility != "":
		c.fault("number", "is missing, and there is a facility: want the number's range")
	case s.Number == "":
		if hasData && !c.anyLength {
			f.Number = c.numberOf(f.Data)
		}
	case hasNumber && f.HasFacility && mask(f.Len, f.Facility.From, f.Facility.To).onesUnder(mask(f.Len, f.Number.From, f.Number.To)) > 0:
		c.fault("number", "has bits of the facility in it")
	}
	if err := errors.Join(c.faults...); err != nil {
		return Format{}, err
	}
	if err := f.Validate(); err != nil {
		return Format{}, err
	}
	return f, nil
}

// Formats returns the formats of at most 64 descriptions, or every fault of all
// of them, two of the same name included.
func Formats(specs []Spec) ([]Format, error) {
	if len(specs) > maxSpecs {
		return nil, fmt.Errorf("%d formats are described: at most %d are allowed", len(specs), maxSpecs)
	}
	var (
		formats []Format
		faults  []error
	)
	for i, s := range specs {
		same := func(other Spec) bool { return strings.EqualFold(s.Name, other.Name) }
		if s.Name != "" && slices.ContainsFunc(specs[:i], same) {
			faults = append(faults, fmt.Errorf("format %.32q: the name is used twice", s.Name))
		}
		f, err := s.Format()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		formats = append(formats, f)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return formats, nil
}

// specCheck gathers the faults of one description.
type specCheck struct {
	name string
	bits int
	// anyLength is set where bits stands in for a length that can't be.
	anyLength bool
	faults    []error
}

func (c *specCheck) within(bit int) bool { return bit >= 0 && bit < c.bits }

func (c *specCheck) fault(where, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("format %.32q: %s: %s", c.name, where, fmt.Sprintf(format, args...)))
}

func (c *specCheck) checkName() {
	wrong := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if c.name == "" || len(c.name) > maxSpecName || strings.ContainsFunc(c.name, wrong) {
		c.fault("name", "want 1 to %d of A-Z, a-z, 0-9 and _", maxSpecName)
		return
	}
	if f, taken := Lookup(c.name); taken {
		c.fault("name", "the built-in format %s has it: choose another", f.Name)
	}
	for _, technology := range []string{"EM", "MC", "MD"} {
		if strings.EqualFold(c.name, technology) {
			c.fault("name", "%s is a card technology: choose another", technology)
		}
	}
}

// parity returns the checks that have no fault, in their order.
func (c *specCheck) parity(specs []ParitySpec) []Parity {
	if len(specs) > maxSpecParity {
		c.fault("parity", "%d checks: at most %d are allowed", len(specs), maxSpecParity)
		specs = specs[:maxSpecParity]
	}
	var out []Parity
	for i, s := range specs {
		where := fmt.Sprintf("parity %d", i+1)
		before := len(c.faults)
		if s.Kind != "even" && s.Kind != "odd" {
			c.fault(where, `kind %.16q: want "even" or "odd"`, s.Kind)
		}
		over := c.over(where, s)
		if !c.within(s.Bit) {
			c.fault(where, "bit %d: want 0 to %d", s.Bit, c.bits-1)
			continue
		}
		if over.Len() > 0 && over.Bit(s.Bit) == 1 {
			c.fault(where, "its own bit %d counts anyway: leave it out of what it is over", s.Bit)
		}
		for j, other := range specs[:i] {
			if other.Bit == s.Bit {
				c.fault(where, "bit %d is that of parity %d too", s.Bit, j+1)
				break
			}
		}
		for j, later := range specs[i+1:] {
			if over.Len() > 0 && c.within(later.Bit) && later.Bit != s.Bit && over.Bit(later.Bit) == 1 {
				c.fault(where, "it is over bit %d, which is parity %d: want that one first", later.Bit, i+j+2)
				break
			}
		}
		if len(c.faults) == before {
			out = append(out, Parity{Bit: s.Bit, Odd: s.Kind == "odd", Over: over})
		}
	}
	return out
}

// over returns the mask of a check, or no bits where there is a fault.
func (c *specCheck) over(where string, s ParitySpec) Bits {
	switch {
	case s.Over != "" && s.Mask != "":
		c.fault(where, "over and mask both tell what it is over: want one of them")
	case s.Over == "" && s.Mask == "":
		c.fault(where, `what it is over is missing: want ranges such as "1-17", or a mask`)
	case s.Over != "":
		m, _, err := parseRanges(s.Over, c.bits)
		if err != nil {
			c.fault(where, "over: %v", err)
			return Bits{}
		}
		return m
	default:
		m, err := ParseBits(s.Mask)
		switch {
		case err != nil:
			c.fault(where, "mask: %v", err)
		case m.Len() != c.bits && !c.anyLength:
			c.fault(where, "mask: %d bits: want %d, one for each bit of the frame", m.Len(), c.bits)
		case m.ones() == 0:
			c.fault(where, "mask: it covers no bit")
		case m.Len() == c.bits:
			return m
		}
	}
	return Bits{}
}

// data returns the mask of the payload, all bits but the checks' by default, or
// false where it has a fault.
func (c *specCheck) data(text string, checks Bits) (Bits, bool) {
	before := len(c.faults)
	data := checks.Complement()
	switch n := data.ones(); {
	case text != "":
		m, _, err := parseRanges(text, c.bits)
		if err != nil {
			c.fault("data", "%v", err)
			break
		}
		data = m
		if n := m.ones(); n > 64 {
			c.fault("data", "%d bits: at most 64 are allowed", n)
		}
		if m.onesUnder(checks) > 0 {
			c.fault("data", "a parity bit is in it")
		}
	case c.anyLength:
	case n == 0:
		c.fault("data", "every bit is parity")
	case n > 64:
		c.fault("data", "%d bits are not parity, and a payload has at most 64: want the ranges", n)
	}
	return data, len(c.faults) == before
}

// field returns a range, or false where there is none or it has a fault.
func (c *specCheck) field(where, text string, checks Bits) (Field, bool) {
	if text == "" {
		return Field{}, false
	}
	m, ranges, err := parseRanges(text, c.bits)
	switch {
	case err != nil:
		c.fault(where, "%v", err)
	case len(ranges) != 1:
		c.fault(where, "%d ranges: want one", len(ranges))
	case ranges[0].width() > 64:
		c.fault(where, "%d bits: at most 64 are allowed", ranges[0].width())
	case m.onesUnder(checks) > 0:
		c.fault(where, "a parity bit is in it")
	default:
		return ranges[0], true
	}
	return Field{}, false
}

// numberOf returns the range of the data bits, which have to be one.
func (c *specCheck) numberOf(data Bits) Field {
	text := data.String()
	from, to := strings.IndexByte(text, '1'), strings.LastIndexByte(text, '1')
	if from < 0 || to-from+1 != data.ones() {
		c.fault("number", "is missing, and the data bits are not one range: want the number's")
		return Field{}
	}
	return Field{from, to}
}
