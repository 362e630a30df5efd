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

func TestKeypadErrors(t *testing.T) {
	if _, err := ParseEncoding("6bit"); err == nil || !strings.Contains(err.Error(), `"4bit" or "8bit"`) {
		t.Errorf("ParseEncoding error = %v, want one with the choices", err)
	}
	if e, err := ParseEncoding("8bit"); err != nil || e != EightBit {
		t.Errorf("ParseEncoding(8bit) = %q, %v", e, err)
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
