package wiegand

import "strings"

// builtin returns the formats of this package, in the order of their lengths.
func builtin() []Format {
	return []Format{
		{
			Name: "H10301", Len: 26,
			Facility: Field{1, 8}, HasFacility: true, Number: Field{9, 24},
			Data: mask(26, 1, 24),
			Parity: []Parity{
				{Bit: 0, Over: mask(26, 1, 12)},
				{Bit: 25, Odd: true, Over: mask(26, 13, 24)},
			},
		},
		raw("raw32", 32),
		{
			Name: "W34", Len: 34,
			Facility: Field{1, 16}, HasFacility: true, Number: Field{17, 32},
			Data: mask(34, 1, 32),
			Parity: []Parity{
				{Bit: 0, Over: mask(34, 1, 16)},
				{Bit: 33, Odd: true, Over: mask(34, 17, 32)},
			},
		},
		raw("raw40", 40),
		raw("raw56", 56),
	}
}

// raw is a format that is all number: a card's serial number as it is.
func raw(name string, length int) Format {
	return Format{Name: name, Len: length, Number: Field{0, length - 1}, Data: mask(length, 0, length-1)}
}

// mask returns length bits with ones from from to to, both included.
func mask(length, from, to int) Bits {
	b := NewBits(0, length)
	for i := from; i <= to; i++ {
		b = b.set(i, 1)
	}
	return b
}

// Lookup returns the format of a name, letters' case aside; W34 is known as
// H10306 too.
func Lookup(name string) (Format, bool) {
	if strings.EqualFold(name, "H10306") {
		name = "W34"
	}
	for _, f := range builtin() {
		if strings.EqualFold(name, f.Name) {
			return f, true
		}
	}
	return Format{}, false
}

// Names returns the names Lookup knows, shortest frame first.
func Names() []string {
	var names []string
	for _, f := range builtin() {
		names = append(names, f.Name)
	}
	return names
}
