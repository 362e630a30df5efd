package wiegand

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBuffered(t *testing.T) {
	pad := Buffered{Facility: 17}
	frame := func(facility, number uint64) Bits {
		b, err := h10301().Encode(facility, number)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	typed := frame(17, 4711)
	tests := []struct {
		name   string
		pad    Buffered
		frame  Bits
		size   int
		digits string
		mine   bool
		err    string
	}{
		{"four digits", pad, typed, 4, "4711", true, ""},
		{"zeros in front", pad, frame(17, 42), 4, "0042", true, ""},
		{"five digits", pad, frame(17, 42), 5, "00042", true, ""},
		{"the largest", pad, frame(17, 65534), 5, "65534", true, ""},
		{"zero", pad, frame(17, 0), 4, "0000", true, ""},
		{"one digit", pad, frame(17, 7), 1, "7", true, ""},
		{"longer than the codes", pad, frame(17, 12345), 4, "", true, "more than 4 digits"},
		{"the keypad's error", pad, frame(17, 65535), 5, "", true, "the keypad sent 65535"},
		{"a card", pad, frame(18, 4711), 4, "", false, ""},
		{"another length", pad, NewBits(4711, 34), 4, "", false, ""},
		{"noise", pad, Bits{}, 4, "", false, ""},
		{"damaged", pad, typed.set(12, 1-typed.Bit(12)), 4, "", true, "even parity in bit 0"},
		{"six digits", pad, typed, 6, "", false, "codes of 6 digits"},
		{"no digits", pad, typed, 0, "", false, "codes of 0 digits"},
		{"no such facility", Buffered{Facility: 256}, typed, 4, "", false, "facility code 256"},
		{"facility 0", Buffered{}, frame(0, 1), 4, "0001", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			digits, mine, err := tt.pad.Digits(tt.frame, tt.size)
			if digits != tt.digits || mine != tt.mine || (err == nil) != (tt.err == "") {
				t.Fatalf("got %q, %v, %v; want %q, %v, an error with %q", digits, mine, err, tt.digits, tt.mine, tt.err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "12345")) {
				t.Errorf("error %q, want %q and no digits", err, tt.err)
			}
		})
	}
}

func TestBufferedEncode(t *testing.T) {
	pad := Buffered{Facility: 17}
	for _, digits := range []string{"", "123456", "12a4", "-123", "65535", "99999"} {
		if b, err := pad.Encode(digits); err == nil || digits != "" && digits != "65535" && strings.Contains(err.Error(), digits) {
			t.Errorf("Encode(%q) = %s, %v; want an error without the digits", digits, b, err)
		}
	}
	if _, err := (Buffered{Facility: 300}).Encode("1234"); err == nil {
		t.Error("a facility of 300 was encoded")
	}
	rapid.Check(t, func(t *rapid.T) {
		pad := Buffered{Facility: rapid.Uint64Range(0, 255).Draw(t, "facility")}
		size := rapid.IntRange(1, MaxBufferedSize).Draw(t, "size")
		digits := fmt.Sprintf("%0*d", size, rapid.IntRange(0, min(65534, []int{9, 99, 999, 9999, 99999}[size-1])).Draw(t, "number"))
		b, err := pad.Encode(digits)
		if err != nil {
			t.Fatal(err)
		}
		if got, mine, err := pad.Digits(b, size); got != digits || !mine || err != nil {
			t.Fatalf("%q came back as %q, %v, %v", digits, got, mine, err)
		}
		other := Buffered{Facility: (pad.Facility + rapid.Uint64Range(1, 255).Draw(t, "other")) % 256}
		if got, mine, err := other.Digits(b, size); got != "" || mine || err != nil {
			t.Fatalf("the keypad of facility %d took a frame of facility %d: %q, %v, %v", other.Facility, pad.Facility, got, mine, err)
		}
	})
}

func FuzzBuffered(f *testing.F) {
	f.Add(uint64(17), "00001000100010010011001110", 4)
	f.Add(uint64(0), "", 0)
	f.Add(uint64(256), strings.Repeat("1", 26), 9)
	f.Fuzz(func(t *testing.T, facility uint64, s string, size int) {
		b, err := ParseBits(s)
		if err != nil {
			return
		}
		pad := Buffered{Facility: facility}
		digits, mine, err := pad.Digits(b, size)
		if (digits != "") != (mine && err == nil) {
			t.Fatalf("%q, %v, %v", digits, mine, err)
		}
		if digits == "" {
			return
		}
		if len(digits) != size || strings.Trim(digits, "0123456789") != "" {
			t.Fatalf("%q is not of %d digits", digits, size)
		}
		if back, err := pad.Encode(digits); err != nil || back != b {
			t.Fatalf("%q is the frame %s, %v; came from %s", digits, back, err, b)
		}
	})
}
