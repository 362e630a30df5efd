package wiegand

import "strings"

// builtin returns the formats of this package, in the order of their lengths.
func builtin() []Format {
	return []Format{
		h10301(),
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
		corporate35(),
		h10304(),
		h10302(),
		raw("raw40", 40),
		corporate48(),
		raw("raw56", 56),
	}
}

func h10301() Format {
	return Format{
		Name: "H10301", Len: 26,
		Facility: Field{1, 8}, HasFacility: true, Number: Field{9, 24},
		Data: mask(26, 1, 24),
		Parity: []Parity{
			{Bit: 0, Over: mask(26, 1, 12)},
			{Bit: 25, Odd: true, Over: mask(26, 13, 24)},
		},
	}
}

// corporate35 is HID's Corporate 1000 of 35 bits. Its masks are the published
// ones (HID's format sheet, Proxmark3's wiegand_formats.c). Two captured frames,
// one of a card in use, hold all three checks and give the numbers that belong
// to them; two frames can't prove a mask of 22 bits, they only fail to refute it.
func corporate35() Format {
	return Format{
		Name: "C1k35s", Len: 35,
		Facility: Field{2, 13}, HasFacility: true, Number: Field{14, 33},
		Data: mask(35, 2, 33),
		Parity: []Parity{
			{Bit: 1, Over: pairs(35, 2, 33)},
			{Bit: 34, Odd: true, Over: pairs(35, 1, 32)}, // bit 1 is under it
			{Bit: 0, Odd: true, Over: mask(35, 1, 34)},
		},
	}
}

// corporate48 is the Corporate 1000 of 48 bits, from the same sources. One
// frame, a test vector of Proxmark3's, holds all three checks; facility and
// number are equal in it, so that their places rest on the published layout.
func corporate48() Format {
	return Format{
		Name: "C1k48s", Len: 48,
		Facility: Field{2, 23}, HasFacility: true, Number: Field{24, 46},
		Data: mask(48, 2, 46),
		Parity: []Parity{
			{Bit: 1, Over: pairs(48, 3, 46)},
			{Bit: 47, Odd: true, Over: pairs(48, 2, 45)},
			{Bit: 0, Odd: true, Over: mask(48, 1, 47)},
		},
	}
}

// h10304 and h10302 have the same parity: a frame that passes one passes the
// other, and only what the reader lists decides between them. Where it lists
// both, Decode gives both.
func h10304() Format {
	f := h10302()
	f.Name = "H10304"
	f.Facility, f.HasFacility, f.Number = Field{1, 16}, true, Field{17, 35}
	return f
}

func h10302() Format {
	return Format{
		Name: "H10302", Len: 37, Number: Field{1, 35},
		Data: mask(37, 1, 35),
		Parity: []Parity{
			{Bit: 0, Over: mask(37, 1, 18)},
			{Bit: 36, Odd: true, Over: mask(37, 18, 35)}, // bit 18 is under both
		},
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

// pairs returns length bits with two ones of every three from from to to: both
// included, a pair first.
func pairs(length, from, to int) Bits {
	b := NewBits(0, length)
	for i := from; i <= to; i++ {
		if (i-from)%3 < 2 {
			b = b.set(i, 1)
		}
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
