package wiegand

import (
	"errors"
	"fmt"
	"strings"
)

// Encoding is the way a keypad sends one key as one frame. It is declared for
// each reader, never guessed. Keypads that send a whole code as one frame are
// [Buffered].
type Encoding string

// The encodings. The keys 0 to 9 have the values 0 to 9, '*' has 10 and '#' has
// 11, save for SixBitRosslare.
const (
	// FourBit is a burst of the value's 4 bits.
	FourBit Encoding = "4bit"
	// EightBit is a burst of 8 bits: the value's complement, then the value.
	EightBit Encoding = "8bit"
	// SixBit is a burst of 6 bits: the value's 4 between an even parity over its
	// first two and an odd parity over its last two (HID 5355 "with parity",
	// Rosslare's "nibble and parities").
	SixBit Encoding = "6bit"
	// SixBitRosslare is SixBit with other values: '0' has 10, '*' has 11 and '#'
	// has 12 (the factory setting of Rosslare's AY series). Taken for SixBit, its
	// '0' is a '*' that clears the entry, and its '*' a '#' that submits it.
	SixBitRosslare Encoding = "6bit_rosslare"
)

// keys are the keys by their values.
const keys = "0123456789*#"

// errNoKey does not say what was received: a digit of a code is a secret.
var errNoKey = errors.New("no key has these bits")

// Encodings returns the encodings that ParseEncoding knows.
func Encodings() []Encoding {
	return []Encoding{FourBit, EightBit, SixBit, SixBitRosslare}
}

// ParseEncoding returns the encoding of a name, or an error that lists the names.
func ParseEncoding(name string) (Encoding, error) {
	if e := Encoding(name); e.Bits() > 0 {
		return e, nil
	}
	var names []string
	for _, e := range Encodings() {
		names = append(names, fmt.Sprintf("%q", e))
	}
	return "", fmt.Errorf("keypad encoding %.32q: want one of %s", name, strings.Join(names, ", "))
}

// Bits returns the length of a key's frame, or 0 for an unknown encoding.
func (e Encoding) Bits() int {
	switch e {
	case FourBit:
		return 4
	case SixBit, SixBitRosslare:
		return 6
	case EightBit:
		return 8
	}
	return 0
}

// Key returns the key of a frame: '0' to '9', '*' or '#'. The error tells
// whether the length or the bits are wrong, and never what the bits were.
func (e Encoding) Key(b Bits) (byte, error) {
	if e.Bits() == 0 {
		return 0, fmt.Errorf("keypad encoding %q is unknown", string(e))
	}
	if b.Len() != e.Bits() {
		return 0, fmt.Errorf("keypad encoding %s wants %d bits, got %d", e, e.Bits(), b.Len())
	}
	for i := range keys {
		if b == e.frame(i) {
			return keys[i], nil
		}
	}
	return 0, fmt.Errorf("keypad encoding %s: %w", e, errNoKey)
}

// Encode returns the frame of a key: '0' to '9', '*' or '#'; any other is an
// error.
func (e Encoding) Encode(key byte) (Bits, error) {
	if e.Bits() == 0 {
		return Bits{}, fmt.Errorf("keypad encoding %q is unknown", string(e))
	}
	i := strings.IndexByte(keys, key)
	if i < 0 {
		return Bits{}, errors.New("a keypad has only the keys 0 to 9, * and #")
	}
	return e.frame(i), nil
}

// frame returns the bits of the key keys[i].
func (e Encoding) frame(i int) Bits {
	value := uint64(i)
	switch e {
	case EightBit:
		return NewBits((value^0xF)<<4|value, 8)
	case SixBitRosslare:
		// The digits 1 to 9 come first, then 0, and the others after it.
		if i == 0 {
			value = 10
		} else if i >= 10 {
			value++
		}
		return nibbleAndParities(value)
	case SixBit:
		return nibbleAndParities(value)
	}
	return NewBits(value, 4)
}

func nibbleAndParities(value uint64) Bits {
	even := value>>3&1 ^ value>>2&1
	odd := value>>1&1 ^ value&1 ^ 1
	return NewBits(even<<5|value<<1|odd, 6)
}
