package wiegand

import (
	"strings"
	"testing"
)

func TestEightBitTable(t *testing.T) {
	want := map[byte]uint64{
		'0': 0xF0, '1': 0xE1, '2': 0xD2, '3': 0xC3, '4': 0xB4, '5': 0xA5,
		'6': 0x96, '7': 0x87, '8': 0x78, '9': 0x69, '*': 0x5A, '#': 0x4B,
	}
	for key, code := range want {
		got, err := EightBit.Encode(key)
		if err != nil || got != NewBits(code, 8) {
			t.Errorf("Encode(%q) = %s, %v; want %#x", key, got, err, code)
		}
	}
	for v := range uint64(256) {
		key, err := EightBit.Key(NewBits(v, 8))
		if known := err == nil; known != (want[key] == v && key != 0) {
			t.Errorf("Key(%#x) = %q, %v", v, key, err)
		}
	}
}

func TestFourBitTable(t *testing.T) {
	for v := range uint64(16) {
		key, err := FourBit.Key(NewBits(v, 4))
		if v > 11 {
			if err == nil {
				t.Errorf("Key(%#x) = %q, want an error", v, key)
			}
			continue
		}
		if err != nil || key != "0123456789*#"[v] {
			t.Errorf("Key(%#x) = %q, %v", v, key, err)
		}
		if back, err := FourBit.Encode(key); err != nil || back != NewBits(v, 4) {
			t.Errorf("Encode(%q) = %s, %v", key, back, err)
		}
	}
}

// TestSixBitTables has the tables of Rosslare's manuals (AY-x55, options 2 and
// 1): even parity, value, odd parity.
func TestSixBitTables(t *testing.T) {
	tables := map[Encoding]map[byte]string{
		SixBit: {
			'0': "000001", '1': "000010", '2': "000100", '3': "000111", '4': "101001", '5': "101010",
			'6': "101100", '7': "101111", '8': "110001", '9': "110010", '*': "110100", '#': "110111",
		},
		SixBitRosslare: {
			'0': "110100", '1': "000010", '2': "000100", '3': "000111", '4': "101001", '5': "101010",
			'6': "101100", '7': "101111", '8': "110001", '9': "110010", '*': "110111", '#': "011001",
		},
	}
	for e, table := range tables {
		for key, want := range table {
			if got, err := e.Encode(key); err != nil || got.String() != want {
				t.Errorf("%s: Encode(%q) = %s, %v; want %s", e, key, got, err, want)
			}
		}
		taken := 0
		for v := range uint64(64) {
			b := NewBits(v, 6)
			key, err := e.Key(b)
			if err != nil {
				if strings.Contains(err.Error(), b.String()) {
					t.Errorf("%s: the error tells the bits: %v", e, err)
				}
				continue
			}
			taken++
			if table[key] != b.String() {
				t.Errorf("%s: Key(%s) = %q", e, b, key)
			}
			for i := range b.Len() {
				if wrong, err := e.Key(b.set(i, 1-b.Bit(i))); err == nil {
					t.Errorf("%s: %s with bit %d flipped is %q", e, b, i, wrong)
				}
			}
		}
		if taken != 12 {
			t.Errorf("%s takes %d of 64 frames, want 12", e, taken)
		}
	}
}

// TestEncodingsAreDeclared shows why an encoding can't be guessed: frames that
// are keys in two encodings are different keys.
func TestEncodingsAreDeclared(t *testing.T) {
	b := parse(t, "110100")
	one, err1 := SixBit.Key(b)
	other, err2 := SixBitRosslare.Key(b)
	if err1 != nil || err2 != nil || one != '*' || other != '0' {
		t.Errorf("%s is %q, %v and %q, %v; want '*' and '0'", b, one, err1, other, err2)
	}
}

func TestKeypadErrors(t *testing.T) {
	for _, name := range []string{"", "5bit", BufferedName} {
		if _, err := ParseEncoding(name); err == nil || !strings.Contains(err.Error(), `"4bit", "8bit", "6bit", "6bit_rosslare"`) {
			t.Errorf("ParseEncoding(%q) error = %v, want one with the choices", name, err)
		}
	}
	for _, want := range Encodings() {
		if e, err := ParseEncoding(string(want)); err != nil || e != want {
			t.Errorf("ParseEncoding(%q) = %q, %v", want, e, err)
		}
	}
	if _, err := FourBit.Key(NewBits(3, 8)); err == nil || !strings.Contains(err.Error(), "wants 4 bits, got 8") {
		t.Errorf("a frame of 8 bits: error %v", err)
	}
	if _, err := FourBit.Encode('a'); err == nil {
		t.Error("Encode took a letter")
	}
	var none Encoding
	if _, err := none.Key(NewBits(3, 4)); err == nil {
		t.Error("the empty encoding decoded a key")
	}
	if _, err := none.Encode('3'); err == nil {
		t.Error("the empty encoding encoded a key")
	}
}
