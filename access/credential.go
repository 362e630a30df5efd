package access

import (
	"encoding/binary"
	"fmt"
	"log/slog"
)

// CredentialKind tells card, number and code credentials apart.
type CredentialKind uint8

// The kinds of credential.
const (
	CardKind   CredentialKind = iota + 1 // low bits of a card's serial number
	NumberKind                           // facility and number of a named format
	CodeKind                             // digits typed on a keypad
)

// Credential is what a reader or keypad produces and keys are looked up by.
// It is comparable; equal credentials can't be told apart at a door.
type Credential struct {
	Kind       CredentialKind
	Technology Technology // CardKind
	Width      uint8      // CardKind: bits of Value
	High       bool       // CardKind: Value is the first bits of the number, not the last
	Format     string     // NumberKind
	Facility   uint64     // NumberKind
	Value      uint64     // CardKind and NumberKind
	code       string
}

// CardCredential is the low width bits (24, 32, 40 or 56) of a card's serial
// number.
func CardCredential(t Technology, width int, value uint64) Credential {
	if width < 64 {
		value &= 1<<width - 1
	}
	return Credential{Kind: CardKind, Technology: t, Width: uint8(width), Value: value}
}

// NumberCredential is the facility and number of a named format.
func NumberCredential(format string, facility, number uint64) Credential {
	return Credential{Kind: NumberKind, Format: format, Facility: facility, Value: number}
}

// CodeCredential is a code as typed. It is a secret.
func CodeCredential(digits string) Credential {
	return Credential{Kind: CodeKind, code: digits}
}

// Digits is the code in clear, "" for a card. It is a secret.
func (c Credential) Digits() string { return c.code }

// IndexKey is the order-free byte form under which stores index a card or
// number credential, at most 34 bytes; nil for a code, which a store must
// index by a keyed hash.
func (c Credential) IndexKey() []byte {
	switch c.Kind {
	case CardKind:
		b := []byte{'C', byte(c.Technology), c.Width}
		if c.High {
			b[2] |= 0x80
		}
		return binary.BigEndian.AppendUint64(b, c.Value)
	case NumberKind:
		b := append([]byte{'N', byte(len(c.Format))}, c.Format...)
		b = binary.BigEndian.AppendUint64(b, c.Facility)
		return binary.BigEndian.AppendUint64(b, c.Value)
	}
	return nil
}

// String names the credential for people: a full serial number in its
// canonical form, a partial one with its width, a code masked.
func (c Credential) String() string {
	switch c.Kind {
	case CardKind:
		if int(c.Width) == c.Technology.Bits() {
			return part{tech: c.Technology, value: c.Value}.canonical()
		}
		if c.High {
			return fmt.Sprintf("%s first%d %d", c.Technology, c.Width/8, c.Value)
		}
		if c.Width == 24 {
			return fmt.Sprintf("%s low24 %d/%d", c.Technology, c.Value>>16, c.Value&0xffff)
		}
		return fmt.Sprintf("%s low%d %d", c.Technology, c.Width, c.Value)
	case NumberKind:
		return part{format: c.Format, facility: c.Facility, value: c.Value}.canonical()
	case CodeKind:
		return "code"
	}
	return "none"
}

// LogValue masks a code as String does.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Seen is what a read means to a reader that declares matcher m, from the
// candidate that a format gave: payload (all data bits, width bits of them)
// for serial numbers, facility and number for Number. It reports false when
// the payload's width is not the one the matcher declares.
func (m Matcher) Seen(format string, payload uint64, width int, facility, number uint64) (Credential, bool) {
	if m.Match == Number {
		return NumberCredential(format, facility, number), true
	}
	if width == 0 || width != m.Match.Bits(m.Technology) {
		return Credential{}, false
	}
	c := CardCredential(m.Technology, width, payload)
	c.High = m.Match == High32
	return c, true
}
