package wiegand

import (
	"fmt"
	"math/bits"
	"strings"
)

// MaxBits is the length of the longest frame that can be held, in bits.
const MaxBits = 128

// Bits is a string of 0 to 128 bits, most significant (first received) first.
// It is a value: comparable, usable as a map key, and its zero value is empty.
type Bits struct {
	// The value is right-aligned in hi:lo, and all bits above n are zero, so
	// that equal strings are equal values.
	hi, lo uint64
	n      uint8
}

// ParseBits reads a string of at most 128 characters '0' and '1', first bit
// first; anything else is an error that tells the place.
func ParseBits(s string) (Bits, error) {
	if len(s) > MaxBits {
		return Bits{}, fmt.Errorf("%d characters of bits: at most %d are allowed", len(s), MaxBits)
	}
	var b Bits
	for i := range len(s) {
		if s[i] != '0' && s[i] != '1' {
			return Bits{}, fmt.Errorf("character %d of the bits is %q: want only 0 and 1", i+1, s[i])
		}
		b, _ = b.Append(int(s[i] - '0'))
	}
	return b, nil
}

// NewBits returns the n low bits of v, with zeros in front when n is over 64.
// It panics unless n is 0 to 128.
func NewBits(v uint64, n int) Bits {
	if n < 0 || n > MaxBits {
		panic(fmt.Sprintf("wiegand: NewBits of length %d", n))
	}
	return Bits{lo: v, n: uint8(n)}.clean()
}

// Len returns the number of bits, 0 to 128.
func (b Bits) Len() int { return int(b.n) }

// Bit returns bit i, 0 or 1; bit 0 came first. It panics when i is out of range.
func (b Bits) Bit(i int) int {
	b.check(i, i)
	return int(b.shiftRight(b.Len()-1-i).lo & 1)
}

// Uint returns the bits from to to, both included and counted from 0, as a
// number. It panics when the range is empty, out of bounds, or over 64 bits.
func (b Bits) Uint(from, to int) uint64 {
	b.check(from, to)
	width := to - from + 1
	if width > 64 {
		panic(fmt.Sprintf("wiegand: Uint of %d bits", width))
	}
	v := b.shiftRight(b.Len() - 1 - to).lo
	return v & (^uint64(0) >> (64 - width))
}

// Append returns the bits with one more (0 or 1; only the lowest bit counts) at
// the end, or the same bits and false when there are 128 already.
func (b Bits) Append(bit int) (Bits, bool) {
	if b.n == MaxBits {
		return b, false
	}
	return Bits{hi: b.hi<<1 | b.lo>>63, lo: b.lo<<1 | uint64(bit&1), n: b.n + 1}, true
}

// Complement returns the bits with every one inverted: what a reader with D0
// and D1 swapped sends.
func (b Bits) Complement() Bits {
	return Bits{hi: ^b.hi, lo: ^b.lo, n: b.n}.clean()
}

// String returns the bits as '0' and '1', first bit first.
func (b Bits) String() string {
	var s strings.Builder
	for i := range b.Len() {
		s.WriteByte('0' + byte(b.Bit(i)))
	}
	return s.String()
}

// set returns the bits with bit i made v.
func (b Bits) set(i, v int) Bits {
	if b.Bit(i) == v&1 {
		return b
	}
	if at := b.Len() - 1 - i; at >= 64 {
		b.hi ^= 1 << (at - 64)
	} else {
		b.lo ^= 1 << at
	}
	return b
}

// onesUnder counts the ones of b where mask has ones too.
func (b Bits) onesUnder(mask Bits) int {
	return bits.OnesCount64(b.hi&mask.hi) + bits.OnesCount64(b.lo&mask.lo)
}

// ones counts all ones.
func (b Bits) ones() int { return b.onesUnder(b) }

// clean zeroes what lies above the length.
func (b Bits) clean() Bits {
	switch {
	case b.n <= 64:
		b.hi = 0
		b.lo &= ^uint64(0) >> (64 - b.n) // a shift by 64 gives 0, as it should
	case b.n < MaxBits:
		b.hi &= ^uint64(0) >> (MaxBits - b.n)
	}
	return b
}

// shiftRight shifts the 128-bit value by 0 to 127, keeping the length.
func (b Bits) shiftRight(by int) Bits {
	if by >= 64 {
		return Bits{lo: b.hi >> (by - 64), n: b.n}
	}
	return Bits{hi: b.hi >> by, lo: b.lo>>by | b.hi<<(64-by), n: b.n}
}

func (b Bits) check(from, to int) {
	if from < 0 || to < from || to >= b.Len() {
		panic(fmt.Sprintf("wiegand: bits %d to %d of %d", from, to, b.Len()))
	}
}
