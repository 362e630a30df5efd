package wiegand

import (
	"fmt"
	"math/bits"
)

// Order is the order in which a reader sends the bytes of a serial number.
type Order string

// The orders.
const (
	MSB Order = "msb" // first byte of the serial number first
	LSB Order = "lsb" // last byte first
)

// ParseOrder returns the order of a name, or an error that lists the names.
func ParseOrder(name string) (Order, error) {
	switch o := Order(name); o {
	case MSB, LSB:
		return o, nil
	}
	return "", fmt.Errorf("byte order %.32q: want %q or %q", name, MSB, LSB)
}

// Turn returns a payload of 1 to 64 bits in the other reading of the order: as
// it is for MSB, its bytes reversed for LSB, which wants whole bytes. It goes
// both ways: turned twice, a payload is itself. Errors don't tell the payload.
func (o Order) Turn(payload uint64, n int) (uint64, error) {
	if n < 1 || n > 64 || tooWide(payload, n) {
		return 0, fmt.Errorf("a payload that is not of %d bits: want 1 to 64, and none beyond", n)
	}
	switch o {
	case MSB:
		return payload, nil
	case LSB:
		if n%8 != 0 {
			return 0, fmt.Errorf("byte order %s: %d bits are no whole bytes", o, n)
		}
		return bits.ReverseBytes64(payload) >> (64 - n), nil
	}
	return 0, fmt.Errorf("byte order %.32q is unknown", string(o))
}

// Part is how much of a card's serial number a reader sends.
type Part string

// The parts; all but Whole are of 7-byte UIDs.
const (
	Whole  Part = "whole"
	First4 Part = "first4" // 32 bits: bytes 1 to 4
	Last4  Part = "last4"  // 32 bits: bytes 4 to 7
)

// uidBits is the length of the serial numbers that have parts.
const uidBits = 56

// ParsePart returns the part of a name, or an error that lists the names.
func ParsePart(name string) (Part, error) {
	switch p := Part(name); p {
	case Whole, First4, Last4:
		return p, nil
	}
	return "", fmt.Errorf("part %.32q: want %q, %q or %q", name, Whole, First4, Last4)
}

// Of returns the bits of a card's serial number of n bits that are of this part,
// and how many they are: what a key has to be known by at such a reader. First4
// and Last4 want a serial number of 56 bits.
func (p Part) Of(serial uint64, n int) (value uint64, width int, err error) {
	if n < 1 || n > 64 || tooWide(serial, n) {
		return 0, 0, fmt.Errorf("a serial number that is not of %d bits: want 1 to 64, and none beyond", n)
	}
	if p != Whole && n != uidBits && (p == First4 || p == Last4) {
		return 0, 0, fmt.Errorf("part %s of a serial number of %d bits: only %d bits have parts", p, n, uidBits)
	}
	switch p {
	case Whole:
		return serial, n, nil
	case First4:
		return serial >> (uidBits - 32), 32, nil
	case Last4:
		return serial & 0xFFFFFFFF, 32, nil
	}
	return 0, 0, fmt.Errorf("part %.32q is unknown", string(p))
}

// FromReader turns a payload of n bits into the bits of the serial number that
// the reader means by it, in the number's own order: what [Part.Of] gives for
// the card. First4 and Last4 want a payload of 32 bits.
func FromReader(payload uint64, n int, o Order, p Part) (uint64, error) {
	switch p {
	case Whole:
	case First4, Last4:
		if n != 32 {
			return 0, fmt.Errorf("part %s: the reader sends 32 bits, got %d", p, n)
		}
	default:
		return 0, fmt.Errorf("part %.32q is unknown", string(p))
	}
	return o.Turn(payload, n)
}

// ToReader is the other direction: the payload, and its length in bits, that a
// reader sends for a card with a serial number of n bits.
func ToReader(serial uint64, n int, o Order, p Part) (payload uint64, width int, err error) {
	value, width, err := p.Of(serial, n)
	if err != nil {
		return 0, 0, err
	}
	payload, err = o.Turn(value, width)
	if err != nil {
		return 0, 0, err
	}
	return payload, width, nil
}
