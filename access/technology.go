package access

import "fmt"

// Technology is the kind of card that a key's raw serial number (CSN) belongs
// to. A reader declares it; it is never guessed from a number's length.
type Technology uint8

// The technologies, with the width of their serial numbers.
const (
	EM Technology = iota + 1 // EM4100 and alike, 40 bits
	MC                       // Mifare Classic, 32 bits
	MD                       // Mifare DESFire, 56 bits
)

// ParseTechnology reads "EM", "MC" or "MD".
func ParseTechnology(s string) (Technology, error) {
	switch s {
	case "EM":
		return EM, nil
	case "MC":
		return MC, nil
	case "MD":
		return MD, nil
	}
	return 0, fmt.Errorf("unknown technology %.16q (one of EM, MC, MD)", s)
}

// Bits is the width of the technology's serial number: 40, 32 or 56.
func (t Technology) Bits() int {
	switch t {
	case EM:
		return 40
	case MC:
		return 32
	case MD:
		return 56
	}
	return 0
}

// digits is the fixed size of the canonical decimal form.
func (t Technology) digits() int {
	switch t {
	case EM:
		return 13
	case MC:
		return 10
	case MD:
		return 17
	}
	return 0
}

// String gives "EM", "MC" or "MD".
func (t Technology) String() string {
	switch t {
	case EM:
		return "EM"
	case MC:
		return "MC"
	case MD:
		return "MD"
	}
	return "?"
}

// Match is how much of a card's serial number a reader hands on.
type Match uint8

// The matches. Number is for cards known by the facility and number of a
// named format; such credentials are a namespace of their own.
const (
	Full Match = iota + 1
	Low32
	Low24
	Number
	High32 // the first four bytes of a DESFire UID; ParseMatch does not read it
)

// ParseMatch reads "full", "low32", "low24" or "number". The first four bytes
// of a UID are declared as a part, not as a match.
func ParseMatch(s string) (Match, error) {
	switch s {
	case "full":
		return Full, nil
	case "low32":
		return Low32, nil
	case "low24":
		return Low24, nil
	case "number":
		return Number, nil
	}
	return 0, fmt.Errorf("unknown match %.16q (one of full, low32, low24, number)", s)
}

// Bits is how many low bits of a serial number of technology t the match
// keeps; 0 for Number.
func (m Match) Bits(t Technology) int {
	switch m {
	case Full:
		return t.Bits()
	case Low32, High32:
		return 32
	case Low24:
		return 24
	}
	return 0
}

// String gives the name that ParseMatch reads.
func (m Match) String() string {
	switch m {
	case Full:
		return "full"
	case Low32:
		return "low32"
	case Low24:
		return "low24"
	case Number:
		return "number"
	case High32:
		return "first4"
	}
	return "?"
}

// Matcher is what a reader declares: the technology of its cards and how much
// of their number it sends. Technology is zero for Number.
type Matcher struct {
	Technology Technology
	Match      Match
}

// credential is what this reader would make of a card's part, if it can read
// it at all.
func (m Matcher) credential(p part) (Credential, bool) {
	if m.Match == Number {
		if p.format == "" {
			return Credential{}, false
		}
		return NumberCredential(p.format, p.facility, p.value), true
	}
	if p.format != "" || p.tech != m.Technology {
		return Credential{}, false
	}
	return m.card(p.tech, p.value), true
}

// card is the credential that a serial number has at this reader.
func (m Matcher) card(t Technology, serial uint64) Credential {
	width := m.Match.Bits(t)
	if m.Match == High32 {
		c := CardCredential(t, width, serial>>(t.Bits()-width))
		c.High = true
		return c
	}
	return CardCredential(t, width, serial)
}
