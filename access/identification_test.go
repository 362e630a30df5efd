package access

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseIdentification(t *testing.T) {
	for _, tt := range []struct {
		typ  Type
		in   string
		want string // canonical, or "" for an error
		err  string // part of the error
	}{
		{Proximity, "0x00499602d2", "0001234567890", ""},
		{Proximity, "0001234567890", "0001234567890", ""},
		{Proximity, "EM:1234567890", "0001234567890", ""},
		{Proximity, "EM:0x499602D2", "0001234567890", ""},
		{Proximity, "EM:0000000000000000001234567890", "0001234567890", ""},
		{Proximity, "1099511627775", "1099511627775", ""},
		{Proximity, "1099511627776", "", "too large for 40 bits"},
		{Proximity, "4294967295", "4294967295", ""},
		{Proximity, "4294967296", "", "too large for 32 bits"},
		{Proximity, "0xa4dccc1d", "2765933597", ""},
		{Proximity, "MC:1", "0000000001", ""},
		{Proximity, "72057594037927935", "72057594037927935", ""},
		{Proximity, "72057594037927936", "", "too large for 56 bits"},
		{Proximity, "0x04a1b2c3d4e5f6", "01303689068602870", ""},
		{Proximity, "MD:0x04a1b2c3d4e5f6", "01303689068602870", ""},
		{Proximity, "H10301:14-40091", "H10301:14-40091", ""},
		{Proximity, "H10301:014-040091", "H10301:14-40091", ""},
		{Proximity, "H10301:256-1", "", "facility is too large for 8 bits"},
		{Proximity, "H10301:1-65536", "", "number is too large for 16 bits"},
		{Proximity, "H10301:65536", "", "wants facility-number"},
		{Proximity, "H10302:11850046624", "H10302:11850046624", ""},
		{Proximity, "H10302:1-2", "", "has no facility"},
		{Proximity, "acme_50:7-9", "acme_50:7-9", ""},
		{Proximity, "0001234567890|MC:7", "0001234567890|0000000007", ""},
		{Proximity, "EM:1|EM:2", "", "different technologies"},
		{Proximity, "EM:1|MC:2|MD:3", "", "two parts"},
		{Proximity, "EM:1|", "", "wrong size"},
		{Proximity, "", "", "is empty"},
		{Proximity, "12345", "", "wrong size"},
		{Proximity, "EM:", "", "decimal digits"},
		{Proximity, "EM:0x", "", "no digits after 0x"},
		{Proximity, "EM:-1", "", "decimal digits"},
		{Proximity, "EM:0x_1", "", "hexadecimal digits"},
		{Proximity, "0x00499602dg", "", "hexadecimal digits"},
		{Proximity, "em:5", "", "in another case (write EM)"},
		{Proximity, "h10301:14-40091", "", "in another case (write H10301)"},
		{Proximity, "XX!:1", "", "unknown specifier"},
		{Proximity, "EM:" + strings.Repeat("0", 80), "", "longer than 80"},
		{Proximity, "000123456789٣", "", "wrong size"},
		{Code, "123456", "123456", ""},
		{Code, "0", "0", ""},
		{Code, "12a4", "", "decimal digits only"},
		{Code, "", "", "1 to 16 digits"},
		{Code, strings.Repeat("1", 17), "", "1 to 16 digits"},
		{"card", "1", "", "unknown type"},
	} {
		t.Run(string(tt.typ)+" "+tt.in, func(t *testing.T) {
			got, err := ParseIdentification(tt.typ, tt.in)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got.Canonical() != tt.want {
				t.Fatalf("got %q, %v; want %q", got.Canonical(), err, tt.want)
			}
			again, err := ParseIdentification(tt.typ, got.Canonical())
			if err != nil || again != got {
				t.Fatalf("the canonical form reads back as %v, %v", again, err)
			}
		})
	}
}

func TestCodesAreMasked(t *testing.T) {
	const code = "739154"
	id, err := ParseIdentification(Code, code)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, nil))
	log.Info("x", "id", id, "cred", CodeCredential(code))
	fmt.Fprintf(&b, "%v %s %v %s", id, id, CodeCredential(code), CodeCredential(code))
	for _, text := range []string{"12x7391", "1" + strings.Repeat("7391", 5)} {
		_, err := ParseIdentification(Code, text)
		fmt.Fprint(&b, err)
	}
	if strings.Contains(b.String(), "7391") {
		t.Fatalf("a code shows in %q", b.String())
	}
}

func TestCredentialsOfOneCard(t *testing.T) {
	id, err := ParseIdentification(Proximity, "EM:0x01020E9C9B")
	if err != nil {
		t.Fatal(err)
	}
	got := id.Credentials([]Matcher{{EM, Full}, {EM, Low24}, {EM, Low32}, {MC, Full}, {EM, Full}})
	want := []Credential{CardCredential(EM, 40, 0x01020E9C9B), CardCredential(EM, 24, 0x0E9C9B), CardCredential(EM, 32, 0x020E9C9B)}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if s := got[1].String(); s != "EM low24 14/40091" {
		t.Errorf("low24 shows as %q", s)
	}
	if got := id.Credentials([]Matcher{{MC, Full}}); len(got) != 1 || got[0] != CardCredential(EM, 40, 0x01020E9C9B) {
		t.Errorf("without a reader for it the key has %v, want its full number", got)
	}
	// A number of a named format is a namespace of its own.
	n, _ := ParseIdentification(Proximity, "H10301:14-40091")
	if got := n.Credentials([]Matcher{{EM, Low24}}); got[0] == want[1] {
		t.Errorf("%v passes for a card's low 24 bits", got)
	}
	// Mifare Classic is 32 bits: low32 and full are one credential.
	m, _ := ParseIdentification(Proximity, "MC:0xA4DCCC1D")
	if got := m.Credentials([]Matcher{{MC, Full}, {MC, Low32}}); len(got) != 1 {
		t.Errorf("MC gives %v, want one credential", got)
	}
}

func TestMatchersThatWouldKnowACard(t *testing.T) {
	for _, tt := range []struct {
		id    string
		value uint64
		width int
		want  string
	}{
		{"EM:0x01020E9C9B", 0x01020E9C9B, 40, "[{EM full}]"},
		{"EM:0x01020E9C9B", 0x020E9C9B, 32, "[{EM low32}]"},
		{"EM:0x01020E9C9B", 0x0E9C9B, 24, "[{EM low24}]"},
		{"EM:0x01020E9C9B", 0x0E9C9C, 24, "[]"},
		{"EM:0x01020E9C9B", 0x01020E9C9B, 32, "[]"},
		{"MC:7", 7, 32, "[{MC full}]"},
		{"MD:0x04A1B2C3D4E5F6", 0x04A1B2C3, 32, "[{MD first4}]"},
		{"MD:0x04A1B2C3D4E5F6|EM:0xC3D4E5F6", 0xC3D4E5F6, 32, "[{MD low32} {EM low32}]"},
		{"H10301:14-40091", 0x0E9C9B, 24, "[]"},
	} {
		id, err := ParseIdentification(Proximity, tt.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(id.Matchers(tt.value, tt.width)); got != tt.want {
			t.Errorf("%s and %#x of %d bits: %s, want %s", tt.id, tt.value, tt.width, got, tt.want)
		}
	}
}

// The first and the last four bytes of a UID are different credentials.
func TestPartsOfAUID(t *testing.T) {
	id, err := ParseIdentification(Proximity, "MD:0x04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	first, last := Matcher{MD, High32}, Matcher{MD, Low32}
	got := id.Credentials([]Matcher{first, last})
	if len(got) != 2 || got[0].Value != 0x04A1B2C3 || got[1].Value != 0xC3D4E5F6 {
		t.Fatalf("got %+v", got)
	}
	for i, m := range []Matcher{first, last} {
		if seen, ok := m.Seen("raw32", got[i].Value, 32, 0, 0); !ok || seen != got[i] {
			t.Errorf("%s sees %v, want %v", m.Match, seen, got[i])
		}
	}
	a, b := got[0], got[1]
	b.Value = a.Value
	if a == b || string(a.IndexKey()) == string(b.IndexKey()) || a.String() == b.String() {
		t.Errorf("%v passes for %v", a, b)
	}
	if _, err := ParseMatch("first4"); err == nil {
		t.Error("first4 is read as a match")
	}
}

// A reader that declares what a key is indexed for sees the very credential
// that the key has.
func TestSeenMeetsIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tech := rapid.SampledFrom([]Technology{EM, MC, MD}).Draw(t, "technology")
		match := rapid.SampledFrom([]Match{Full, Low32, Low24}).Draw(t, "match")
		v := rapid.Uint64Max(1<<tech.Bits()-1).Draw(t, "number")
		id, err := ParseIdentification(Proximity, fmt.Sprintf("%s:%d", tech, v))
		if err != nil {
			t.Fatal(err)
		}
		m := Matcher{tech, match}
		width := match.Bits(tech)
		seen, ok := m.Seen("raw", v&(1<<width-1), width, 0, 0)
		creds := id.Credentials([]Matcher{m})
		if !ok || len(creds) != 1 || creds[0] != seen {
			t.Fatalf("reader sees %v, index has %v", seen, creds)
		}
		if _, ok := m.Seen("raw", v, width+1, 0, 0); ok {
			t.Fatal("a payload of another width is taken")
		}
	})
}

func TestIndexKeysAreDistinct(t *testing.T) {
	all := map[string]Credential{}
	for _, c := range []Credential{
		CardCredential(EM, 40, 1), CardCredential(EM, 32, 1), CardCredential(EM, 24, 1), CardCredential(MC, 32, 1),
		CardCredential(MD, 56, 1), NumberCredential("H10301", 0, 1), NumberCredential("H10301", 1, 0), NumberCredential("W34", 0, 1),
	} {
		k := string(c.IndexKey())
		if other, ok := all[k]; ok {
			t.Errorf("%v and %v have one index key", c, other)
		}
		all[k] = c
	}
	if CodeCredential("1234").IndexKey() != nil {
		t.Error("a code has an index key in clear")
	}
}

func FuzzParseIdentification(f *testing.F) {
	for _, s := range []string{"0x00499602d2", "EM:1|MC:2", "H10301:14-40091", "123456"} {
		f.Add(true, s)
		f.Add(false, s)
	}
	f.Fuzz(func(t *testing.T, code bool, s string) {
		typ := Proximity
		if code {
			typ = Code
		}
		id, err := ParseIdentification(typ, s)
		if err != nil {
			return
		}
		again, err := ParseIdentification(typ, id.Canonical())
		if err != nil || again != id {
			t.Fatalf("%q: canonical %q reads back as %v, %v", s, id.Canonical(), again, err)
		}
	})
}

func TestParseID(t *testing.T) {
	id, err := ParseID("E18574C0-0fde-475c-951f-265f0c2232ea")
	if err != nil || id.String() != "e18574c0-0fde-475c-951f-265f0c2232ea" {
		t.Fatalf("got %v, %v", id, err)
	}
	for _, s := range []string{"", "e18574c0", "e18574c0-0fde-475c-951f-265f0c2232eg", "e18574c00-fde-475c-951f-265f0c2232ea", "{18574c0-0fde-475c-951f-265f0c2232ea}", "e18574c0-0fde-475c-951f-265f0c2232-a"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q is taken for a uuid", s)
		}
	}
}
