package wiegand

import (
	"errors"
	"fmt"
	"strings"
)

// Encoding is the way a keypad sends one key as one frame. It is declared for
// each reader, never guessed.
type Encoding string

// The encodings. In both, the keys 0 to 9 have the values 0 to 9, '*' has 10
// and '#' has 11.
const (
	// FourBit is a burst of the value's 4 bits.
	FourBit Encoding = "4bit"
	// EightBit is a burst of 8 bits: the value's complement, then the value.
	EightBit Encoding = "8bit"
)

// keys are the keys by their values.
const keys = "0123456789*#"

// errNoKey does not say what was received: a digit of a code is a secret.
var errNoKey = errors.New("no key has these bits")

// ParseEncoding returns the encoding of a name, or an error that lists the names.
func ParseEncoding(name string) (Encoding, error) {
	if e := Encoding(name); e.Bits() > 0 {
		return e, nil
	}
	return "", fmt.Errorf("keypad encoding %q: want %q or %q", name, FourBit, EightBit)
}

// Bits returns the length of a key's frame, or 0 for an unknown encoding.
func (e Encoding) Bits() int {
	switch e {
	case FourBit:
		return 4
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
	value := b.Uint(b.Len()-4, b.Len()-1)
	if int(value) >= len(keys) || b != e.frame(value) {
		return 0, fmt.Errorf("keypad encoding %s: %w", e, errNoKey)
	}
	return keys[value], nil
}

// Encode returns the frame of a key: '0' to '9', '*' or '#'; any other is an
// error.
func (e Encoding) Encode(key byte) (Bits, error) {
	if e.Bits() == 0 {
		return Bits{}, fmt.Errorf("keypad encoding %q is unknown", string(e))
	}
	value := strings.IndexByte(keys, key)
	if value < 0 {
		return Bits{}, errors.New("a keypad has only the keys 0 to 9, * and #")
	}
	return e.frame(uint64(value)), nil
}

// frame returns the bits of a value under 16.
func (e Encoding) frame(value uint64) Bits {
	if e == EightBit {
		return NewBits((value^0xF)<<4|value, 8)
	}
	return NewBits(value, 4)
}
