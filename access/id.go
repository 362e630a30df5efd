package access

import (
	"encoding/hex"
	"errors"
	"strings"
)

// ID is a UUID (RFC 9562) as 16 bytes; the zero value stands for "none".
type ID [16]byte

// ErrID is text that is not a UUID.
var ErrID = errors.New("not a uuid (want 8-4-4-4-12 hexadecimal digits)")

// ParseID reads the 36-character form of a UUID, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, ErrID
	}
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) != 32 {
		return ID{}, ErrID
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, ErrID
	}
	return id, nil
}

// MustParseID is ParseID for constants; it panics on anything else.
func MustParseID(s string) ID {
	id, err := ParseID(s)
	if err != nil {
		panic("access: " + s + ": " + err.Error())
	}
	return id
}

// IsZero reports whether the id stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// String gives the canonical lower-case form, 36 characters.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// MarshalText gives the canonical form; the zero ID is the empty text.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText gives.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}
