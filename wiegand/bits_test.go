package wiegand

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// bitString draws a string of bits of a length in the range.
func bitString(from, to int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		// The length is drawn apart, since slices are mostly drawn short.
		n := rapid.IntRange(from, to).Draw(t, "length")
		ones := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "bits")
		var s strings.Builder
		for _, one := range ones {
			if one {
				s.WriteByte('1')
			} else {
				s.WriteByte('0')
			}
		}
		return s.String()
	})
}

func parse(t rapid.TB, s string) Bits {
	t.Helper()
	b, err := ParseBits(s)
	if err != nil {
		t.Fatalf("ParseBits(%q): %v", s, err)
	}
	return b
}

func TestBitsAgainstString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := bitString(0, MaxBits).Draw(t, "s")
		b := parse(t, s)
		if got := b.String(); got != s {
			t.Fatalf("String = %s, want %s", got, s)
		}
		if b.Len() != len(s) {
			t.Fatalf("Len = %d, want %d", b.Len(), len(s))
		}
		flipped := strings.NewReplacer("0", "1", "1", "0").Replace(s)
		if got := b.Complement(); got != parse(t, flipped) || got.Complement() != b {
			t.Fatalf("Complement of %s = %s, and back %s", s, got, got.Complement())
		}
		if len(s) == 0 {
			return
		}
		from := rapid.IntRange(0, len(s)-1).Draw(t, "from")
		to := rapid.IntRange(from, min(len(s)-1, from+63)).Draw(t, "to")
		var want uint64
		for i := from; i <= to; i++ {
			want = want<<1 | uint64(s[i]-'0')
		}
		if got := b.Uint(from, to); got != want {
			t.Fatalf("Uint(%d, %d) of %s = %d, want %d", from, to, s, got, want)
		}
		at := rapid.IntRange(0, len(s)-1).Draw(t, "at")
		if got := b.Bit(at); got != int(s[at]-'0') {
			t.Fatalf("Bit(%d) of %s = %d", at, s, got)
		}
		changed := b.set(at, 1-b.Bit(at))
		if changed == b || changed.set(at, b.Bit(at)) != b {
			t.Fatalf("set(%d) twice of %s = %s", at, s, changed)
		}
	})
}

func TestNewBits(t *testing.T) {
	tests := []struct {
		v    uint64
		n    int
		want string
	}{
		{0, 0, ""},
		{7, 0, ""},
		{5, 4, "0101"},
		{0xFF, 4, "1111"},
		{^uint64(0), 64, strings.Repeat("1", 64)},
		{1, 66, strings.Repeat("0", 65) + "1"},
		{1 << 63, 128, strings.Repeat("0", 64) + "1" + strings.Repeat("0", 63)},
	}
	for _, tt := range tests {
		got := NewBits(tt.v, tt.n)
		if got.String() != tt.want {
			t.Errorf("NewBits(%#x, %d) = %s, want %s", tt.v, tt.n, got, tt.want)
		}
		if got != parse(t, tt.want) {
			t.Errorf("NewBits(%#x, %d) differs from the same bits parsed", tt.v, tt.n)
		}
	}
}

func TestAppendIsBounded(t *testing.T) {
	b := NewBits(1, MaxBits)
	got, ok := b.Append(1)
	if ok || got != b {
		t.Errorf("Append to %d bits = %s, %v; want the same bits and false", MaxBits, got, ok)
	}
}

func TestParseBitsErrors(t *testing.T) {
	for s, want := range map[string]string{
		"01x1":                   "character 3",
		" 1":                     "character 1",
		"0\u0661":                "character 2",
		strings.Repeat("0", 129): "at most 128",
	} {
		if _, err := ParseBits(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBits(%q) error = %v, want one with %q", s, err, want)
		}
	}
}

func TestPanicsOutOfRange(t *testing.T) {
	b := NewBits(0, 70)
	for name, f := range map[string]func(){
		"Bit(-1)":      func() { b.Bit(-1) },
		"Bit(70)":      func() { b.Bit(70) },
		"Uint(2,1)":    func() { b.Uint(2, 1) },
		"Uint(0,64)":   func() { b.Uint(0, 64) },
		"Uint(60,70)":  func() { b.Uint(60, 70) },
		"NewBits(129)": func() { NewBits(0, 129) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func FuzzParseBits(f *testing.F) {
	f.Add("")
	f.Add("0101")
	f.Add(strings.Repeat("1", 129))
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBits(s)
		if err != nil {
			return
		}
		if b.String() != s {
			t.Errorf("ParseBits(%q) = %q", s, b)
		}
	})
}
