package access

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of an access key.
type Type string

// The types of access key.
const (
	Proximity Type = "proximity" // a card
	Code      Type = "code"      // digits typed on a keypad, alone
)

// Limits on the text of an identification, in characters.
const (
	maxIdentification = 80
	// MaxCodeSize is the most digits that a code may have.
	MaxCodeSize = 16
)

// part is one technology's number on a card.
type part struct {
	tech     Technology // zero when format is set
	format   string     // "" for a raw serial number
	facility uint64
	value    uint64
}

func (p part) canonical() string {
	value := strconv.FormatUint(p.value, 10)
	if p.format == "" {
		return strings.Repeat("0", max(0, p.tech.digits()-len(value))) + value
	}
	if f, ok := numberFormats[p.format]; ok && f.facility == 0 {
		return p.format + ":" + value
	}
	return p.format + ":" + strconv.FormatUint(p.facility, 10) + "-" + value
}

// Identification is what an access key is known by: one card number, two on a
// composite key, or a code. The zero value identifies nothing.
type Identification struct {
	parts [2]part
	n     int
	code  string
}

// ParseIdentification reads every form of a key's identification: fixed-size
// serial numbers (13 decimal digits or 0x and 10 hexadecimal for EM, 10 or 8
// for Mifare Classic, 17 or 14 for DESFire), EM:n, MC:n and MD:n of any
// length, FORMAT:facility-number, composites a|b, and for Code decimal
// digits. The errors never repeat a code.
func ParseIdentification(t Type, s string) (Identification, error) {
	switch t {
	case Code:
		return parseCode(s)
	case Proximity:
	default:
		return Identification{}, errors.New("unknown type (one of proximity, code)")
	}
	if s == "" {
		return Identification{}, errors.New("is empty")
	}
	if len(s) > maxIdentification {
		return Identification{}, fmt.Errorf("longer than %d characters", maxIdentification)
	}
	var id Identification
	for text := range strings.SplitSeq(s, "|") {
		if id.n == len(id.parts) {
			return Identification{}, errors.New("a composite key has two parts")
		}
		p, err := parsePart(text)
		if err != nil {
			return Identification{}, err
		}
		id.parts[id.n] = p
		id.n++
	}
	if id.n == 2 && id.parts[0].tech == id.parts[1].tech && id.parts[0].format == id.parts[1].format {
		return Identification{}, errors.New("the parts of a composite key must be of different technologies")
	}
	return id, nil
}

func parseCode(s string) (Identification, error) {
	if s == "" || len(s) > MaxCodeSize {
		return Identification{}, fmt.Errorf("a code has 1 to %d digits", MaxCodeSize)
	}
	if !isDigits(s) {
		return Identification{}, errors.New("a code has decimal digits only")
	}
	return Identification{code: s}, nil
}

func parsePart(s string) (part, error) {
	if name, number, ok := strings.Cut(s, ":"); ok {
		if t, err := ParseTechnology(name); err == nil {
			v, err := parseNumber(number, t.Bits())
			if err != nil {
				return part{}, fmt.Errorf("%s number %w", t, err)
			}
			return part{tech: t, value: v}, nil
		}
		return parseFacilityNumber(name, number)
	}
	for _, t := range []Technology{EM, MC, MD} {
		hexSize := 2 + t.Bits()/4
		if (len(s) == t.digits() && isDigits(s)) || (len(s) == hexSize && strings.HasPrefix(s, "0x")) {
			v, err := parseNumber(s, t.Bits())
			if err != nil {
				return part{}, fmt.Errorf("%s number %w", t, err)
			}
			return part{tech: t, value: v}, nil
		}
	}
	return part{}, errors.New("has the wrong size: want 10 (MC), 13 (EM) or 17 (MD) decimal digits, " +
		"0x and 8, 10 or 14 hexadecimal digits, or a specifier such as EM:12345")
}

// numberFormat is the width in bits of a named format's fields; width 0 of
// facility means that the format has none.
type numberFormat struct{ facility, number int }

// numberFormats are the formats whose fields have known widths. A format that
// is not here was defined by configuration and is bounded by 64 bits a field.
var numberFormats = map[string]numberFormat{
	"H10301": {8, 16},
	"W34":    {16, 16},
	"C1k35s": {12, 20},
	"H10304": {16, 19},
	"H10302": {0, 35},
	"C1k48s": {22, 23},
}

func parseFacilityNumber(name, s string) (part, error) {
	if !isFormatName(name) {
		return part{}, errors.New("has an unknown specifier before the colon (EM, MC, MD, or a format's name such as H10301)")
	}
	f, known := numberFormats[name]
	if !known {
		// em:5 is no format of that name, and no reader would ever know the key.
		if right := sameButForCase(name); right != "" {
			return part{}, fmt.Errorf("has the specifier %s in another case (write %s)", name, right)
		}
		f = numberFormat{64, 64}
	}
	p := part{format: name}
	facility, number, split := strings.Cut(s, "-")
	if !split {
		if known && f.facility > 0 {
			return part{}, fmt.Errorf("%s wants facility-number, such as %s:14-40091", name, name)
		}
		number = s
	} else {
		if f.facility == 0 {
			return part{}, fmt.Errorf("%s has no facility", name)
		}
		v, err := parseDecimal(facility, f.facility)
		if err != nil {
			return part{}, fmt.Errorf("%s facility %w", name, err)
		}
		p.facility = v
	}
	v, err := parseDecimal(number, f.number)
	if err != nil {
		return part{}, fmt.Errorf("%s number %w", name, err)
	}
	p.value = v
	return p, nil
}

// sameButForCase gives the technology or named format that a name would be in
// the right case, "" when there is none.
func sameButForCase(name string) string {
	for _, t := range []Technology{EM, MC, MD} {
		if strings.EqualFold(name, t.String()) {
			return t.String()
		}
	}
	for f := range numberFormats {
		if strings.EqualFold(name, f) {
			return f
		}
	}
	return ""
}

func isFormatName(s string) bool {
	if s == "" || len(s) > 16 {
		return false
	}
	for _, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alnum && c != '_' {
			return false
		}
	}
	return true
}

func parseNumber(s string, width int) (uint64, error) {
	hex, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return parseDecimal(s, width)
	}
	if hex == "" {
		return 0, errors.New("has no digits after 0x")
	}
	// ParseUint would take a sign or an underscore.
	for _, c := range []byte(hex) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, errors.New("has something other than hexadecimal digits after 0x")
		}
	}
	return fit(hex, 16, width)
}

func parseDecimal(s string, width int) (uint64, error) {
	if s == "" || !isDigits(s) {
		return 0, errors.New("has something other than decimal digits")
	}
	return fit(s, 10, width)
}

func fit(s string, base, width int) (uint64, error) {
	v, err := strconv.ParseUint(s, base, 64)
	if err != nil || bits.Len64(v) > width {
		return 0, fmt.Errorf("is too large for %d bits", width)
	}
	return v, nil
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// IsZero reports whether it identifies nothing.
func (id Identification) IsZero() bool { return id.n == 0 && id.code == "" }

// IsCode reports whether it is a code.
func (id Identification) IsCode() bool { return id.code != "" }

// CodeSize is the number of digits of a code, 0 for a card.
func (id Identification) CodeSize() int { return len(id.code) }

// Canonical is the one spelling that is stored, compared and answered. For a
// code it is the code in clear, a secret.
func (id Identification) Canonical() string {
	if id.code != "" {
		return id.code
	}
	var texts []string
	for _, p := range id.parts[:id.n] {
		texts = append(texts, p.canonical())
	}
	return strings.Join(texts, "|")
}

// String is Canonical with a code masked.
func (id Identification) String() string {
	if id.code != "" {
		return "code"
	}
	return id.Canonical()
}

// LogValue masks a code as String does.
func (id Identification) LogValue() slog.Value { return slog.StringValue(id.String()) }

// matcher is the one by which a card part is known when no reader of
// the panel reads its technology, so that two keys with one number are still
// seen to be the same.
func (p part) matcher() Matcher {
	if p.format != "" {
		return Matcher{Match: Number}
	}
	return Matcher{Technology: p.tech, Match: Full}
}

// Credentials are what readers with these matchers can make of the key, each
// once. A part that none of them reads gives its full credential. Two keys
// whose sets meet can't be told apart on this panel.
func (id Identification) Credentials(readers []Matcher) []Credential {
	if id.code != "" {
		return []Credential{CodeCredential(id.code)}
	}
	var out []Credential
	add := func(c Credential) {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	for _, p := range id.parts[:id.n] {
		read := false
		for _, m := range readers {
			if c, ok := m.credential(p); ok {
				add(c)
				read = true
			}
		}
		if !read {
			c, _ := p.matcher().credential(p)
			add(c)
		}
	}
	return out
}

// Matchers are those under which a reader that sends value, width bits of it,
// would know the card: what a reader should perhaps have declared.
func (id Identification) Matchers(value uint64, width int) []Matcher {
	var out []Matcher
	for _, p := range id.parts[:id.n] {
		if p.format != "" {
			continue
		}
		for _, match := range []Match{Full, Low32, Low24, High32} {
			m := Matcher{Technology: p.tech, Match: match}
			if match == High32 && p.tech != MD || match == Low32 && p.tech == MC || match.Bits(p.tech) != width {
				continue
			}
			if c := m.card(p.tech, p.value); c.Value == value {
				out = append(out, m)
			}
		}
	}
	return out
}
