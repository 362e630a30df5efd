package wiegand

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFramer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Framer
		for _, s := range rapid.SliceOfN(bitString(0, 200), 0, 5).Draw(t, "trains") {
			for i := range len(s) {
				f.Pulse(int(s[i] - '0'))
			}
			frame, ok := f.Close()
			if ok != (len(s) > 0) {
				t.Fatalf("%d pulses: Close says %v", len(s), ok)
			}
			if frame.Pulses != len(s) || frame.Noise() != (len(s) > MaxBits) {
				t.Fatalf("%d pulses: got %d, noise %v", len(s), frame.Pulses, frame.Noise())
			}
			want := s
			if len(s) > MaxBits {
				want = ""
			}
			if frame.Bits.String() != want {
				t.Fatalf("bits = %s, want %s", frame.Bits, want)
			}
		}
	})
}

func TestNoiseDecodesToNothing(t *testing.T) {
	var formats []Format
	for _, name := range Names() {
		format, _ := Lookup(name)
		formats = append(formats, format)
	}
	var f Framer
	for range MaxBits + 32 {
		f.Pulse(1)
	}
	frame, _ := f.Close()
	if frame.Bits != (Bits{}) {
		t.Errorf("noise has the bits %s", frame.Bits)
	}
	if got, err := Decode(frame.Bits, formats); err == nil {
		t.Errorf("noise decoded to %v", got)
	}
}
