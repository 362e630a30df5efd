package wiegand

import (
	"errors"
	"fmt"
	"strings"
)

// Field is a range of bits of a frame, both ends included, counted from 0.
type Field struct {
	From, To int
}

func (f Field) width() int { return f.To - f.From + 1 }

// Parity is one check of a format: bit Bit makes the number of ones under Over,
// itself counted in, even, or odd when Odd is set.
type Parity struct {
	Bit int
	Odd bool
	// Over is a mask of the frame's length with ones where bits are covered.
	Over Bits
}

func (p Parity) holds(b Bits) bool {
	sum := b.onesUnder(p.Over) + b.Bit(p.Bit)
	return sum%2 == 1 == p.Odd
}

func (p Parity) String() string {
	if p.Odd {
		return fmt.Sprintf("odd parity in bit %d", p.Bit)
	}
	return fmt.Sprintf("even parity in bit %d", p.Bit)
}

// Format describes how a frame of Len bits holds a number. The ones of this
// package come from Lookup; others are valid when Validate says so.
type Format struct {
	Name string
	// Len is the length of the whole frame, 1 to 128 bits.
	Len int
	// Facility is the field of the facility code, where HasFacility is set.
	Facility    Field
	HasFacility bool
	// Number is the field of the card number, at most 64 bits.
	Number Field
	// Data is a mask of the frame's length with ones, at most 64 of them, where
	// the payload's bits are: all bits without parity, unless there are more.
	Data Bits
	// Parity are the checks in the order in which an encoder sets them: a check
	// over other parity bits comes after theirs.
	Parity []Parity
}

// Candidate is what a frame says when it is read in one format.
type Candidate struct {
	// Format is the format's name.
	Format string
	// Facility is the facility code, where HasFacility is set.
	Facility    uint64
	HasFacility bool
	// Number is the card number.
	Number uint64
	// Payload is all data bits without parity, as a number of PayloadBits bits.
	Payload     uint64
	PayloadBits int
}

// PayloadBits returns how many bits the payload has, at most 64.
func (f Format) PayloadBits() int { return f.Data.ones() }

// passes reports whether Decode would take the frame, without the words.
func (f Format) passes(b Bits) bool {
	if b.Len() != f.Len {
		return false
	}
	for _, p := range f.Parity {
		if !p.holds(b) {
			return false
		}
	}
	return true
}

// tellsSwap reports whether the complement of a frame of this format never
// passes: a parity over an odd number of bits, itself counted in, turns when
// all of them do.
func (f Format) tellsSwap() bool {
	for _, p := range f.Parity {
		if p.Over.ones()%2 == 0 {
			return true
		}
	}
	return false
}

// Decode reads a frame in this format; the error says how many bits were wanted
// or which parity is wrong.
func (f Format) Decode(b Bits) (Candidate, error) {
	if b.Len() != f.Len {
		return Candidate{}, fmt.Errorf("%s wants %d bits, got %d", f.Name, f.Len, b.Len())
	}
	for _, p := range f.Parity {
		if !p.holds(b) {
			return Candidate{}, fmt.Errorf("%s: %v is wrong", f.Name, p)
		}
	}
	c := Candidate{
		Format:      f.Name,
		Number:      b.Uint(f.Number.From, f.Number.To),
		HasFacility: f.HasFacility,
		PayloadBits: f.PayloadBits(),
	}
	if f.HasFacility {
		c.Facility = b.Uint(f.Facility.From, f.Facility.To)
	}
	for i := range f.Len {
		if f.Data.Bit(i) == 1 {
			c.Payload = c.Payload<<1 | uint64(b.Bit(i))
		}
	}
	return c, nil
}

// Encode returns the frame for a facility code and a card number, with its
// parity; bits that belong to neither are zero. A value too wide for its field
// is an error, and so is a facility other than 0 in a format without one.
func (f Format) Encode(facility, number uint64) (Bits, error) {
	b := NewBits(0, f.Len)
	if !f.HasFacility && facility != 0 {
		return Bits{}, fmt.Errorf("%s has no facility code", f.Name)
	}
	if f.HasFacility {
		if tooWide(facility, f.Facility.width()) {
			return Bits{}, fmt.Errorf("%s: the facility code has more than %d bits", f.Name, f.Facility.width())
		}
		b = b.setField(f.Facility, facility)
	}
	if tooWide(number, f.Number.width()) {
		return Bits{}, fmt.Errorf("%s: the number has more than %d bits", f.Name, f.Number.width())
	}
	return f.seal(b.setField(f.Number, number)), nil
}

// EncodePayload returns the frame for all data bits at once, with its parity; a
// payload of more than PayloadBits bits is an error.
func (f Format) EncodePayload(payload uint64) (Bits, error) {
	if tooWide(payload, f.PayloadBits()) {
		return Bits{}, fmt.Errorf("%s: the payload has more than %d bits", f.Name, f.PayloadBits())
	}
	b := NewBits(0, f.Len)
	for i := f.Len - 1; i >= 0; i-- {
		if f.Data.Bit(i) == 1 {
			b = b.set(i, int(payload&1))
			payload >>= 1
		}
	}
	return f.seal(b), nil
}

// seal sets the parity bits.
func (f Format) seal(b Bits) Bits {
	for _, p := range f.Parity {
		if !p.holds(b) {
			b = b.set(p.Bit, 1-b.Bit(p.Bit))
		}
	}
	return b
}

// Validate reports every fault of the description at once, or nil.
func (f Format) Validate() error {
	if f.Len < 1 || f.Len > MaxBits {
		return fmt.Errorf("format %q: %d bits long: want 1 to %d", f.Name, f.Len, MaxBits)
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("format %q: "+format, append([]any{f.Name}, args...)...))
	}
	if f.Name == "" {
		fault("it has no name")
	}
	if f.HasFacility && !f.Facility.within(f.Len) {
		fault("facility bits %d to %d: want a range of 1 to 64 bits within 0 to %d", f.Facility.From, f.Facility.To, f.Len-1)
	}
	if !f.Number.within(f.Len) {
		fault("number bits %d to %d: want a range of 1 to 64 bits within 0 to %d", f.Number.From, f.Number.To, f.Len-1)
	}
	if f.Data.Len() != f.Len || f.Data.ones() < 1 || f.Data.ones() > 64 {
		fault("the data mask has %d bits with %d ones: want %d bits with 1 to 64 ones", f.Data.Len(), f.Data.ones(), f.Len)
	}
	for i, p := range f.Parity {
		if p.Bit < 0 || p.Bit >= f.Len || p.Over.Len() != f.Len {
			fault("parity %d: bit %d and a mask of %d bits: want a bit within 0 to %d and a mask of %d bits", i+1, p.Bit, p.Over.Len(), f.Len-1, f.Len)
			continue
		}
		if p.Over.Bit(p.Bit) == 1 || f.Data.Len() == f.Len && f.Data.Bit(p.Bit) == 1 {
			fault("parity %d: its own bit %d must be neither under its mask nor data", i+1, p.Bit)
		}
	}
	return errors.Join(faults...)
}

// Decode returns every reading of a frame among the formats given, or an error
// that says why none of them takes it.
func Decode(b Bits, formats []Format) ([]Candidate, error) {
	var (
		candidates []Candidate
		reasons    []string
	)
	for _, f := range formats {
		c, err := f.Decode(b)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		candidates = append(candidates, c)
	}
	if len(candidates) > 0 {
		return candidates, nil
	}
	if len(reasons) == 0 {
		return nil, fmt.Errorf("frame of %d bits: the reader lists no formats", b.Len())
	}
	return nil, fmt.Errorf("frame of %d bits fits no format of the reader: %s", b.Len(), strings.Join(reasons, "; "))
}

func (f Field) within(length int) bool {
	return f.From >= 0 && f.To < length && f.width() >= 1 && f.width() <= 64
}

func (b Bits) setField(f Field, v uint64) Bits {
	for i := f.To; i >= f.From; i-- {
		b = b.set(i, int(v&1))
		v >>= 1
	}
	return b
}

func tooWide(v uint64, width int) bool { return width < 64 && v>>width != 0 }
