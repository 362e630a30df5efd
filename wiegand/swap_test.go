package wiegand

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSwapWatch(t *testing.T) {
	h10301, raw32 := lookup(t, "H10301"), lookup(t, "raw32")
	oem, err := oem36().Format()
	if err != nil {
		t.Fatal(err)
	}
	card := func(f Format, number uint64) Bits {
		b, err := f.Encode(0, number)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two := card(h10301, 1), card(h10301, 2)
	serial := card(raw32, 0xA4DCCC1D)
	keys := func(keys ...Bits) func(Bits) bool {
		return func(b Bits) bool { return slices.Contains(keys, b) }
	}
	swapped1, swapped2 := one.Complement(), two.Complement()
	damaged := one.set(3, 1)
	tests := []struct {
		name    string
		formats []Format
		known   func(Bits) bool
		frames  []Bits
		want    []SwapState
	}{
		{"two different", []Format{h10301}, nil, []Bits{swapped1, swapped2}, []SwapState{SwapSuspected, SwapReported}},
		{"the same twice", []Format{h10301}, nil, []Bits{swapped1, swapped1, swapped1}, []SwapState{SwapSuspected, SwapSuspected, SwapSuspected}},
		{"the first again", []Format{h10301}, nil, []Bits{swapped1, swapped2, swapped1}, []SwapState{SwapSuspected, SwapReported, SwapReported}},
		{"a right one clears", []Format{h10301}, nil, []Bits{swapped1, one, swapped2, swapped1, two, swapped1}, []SwapState{
			SwapSuspected, SwapNone, SwapSuspected, SwapReported, SwapNone, SwapSuspected,
		}},
		{"one flipped bit is no sign", []Format{h10301}, nil, []Bits{damaged, one.set(20, 1), swapped1, damaged, swapped2}, []SwapState{
			SwapNone, SwapNone, SwapSuspected, SwapSuspected, SwapReported,
		}},
		{"another length says nothing", []Format{h10301}, nil, []Bits{swapped1, card(lookup(t, "W34"), 3), {}}, []SwapState{SwapSuspected, SwapSuspected, SwapSuspected}},
		{"no formats", nil, keys(one), []Bits{swapped1, swapped2}, []SwapState{SwapNone, SwapNone}},
		{"without parity nothing is known", []Format{raw32}, nil, []Bits{serial, serial.Complement()}, []SwapState{SwapNone, SwapNone}},
		{"without parity the complement is a key", []Format{raw32}, keys(serial, NewBits(7, 32)), []Bits{serial.Complement(), NewBits(7, 32).Complement()}, []SwapState{SwapSuspected, SwapReported}},
		{"without parity a key clears", []Format{raw32}, keys(serial), []Bits{serial.Complement(), NewBits(9, 32), serial}, []SwapState{SwapSuspected, SwapSuspected, SwapNone}},
		{"parity that turns with the bits", []Format{oem}, nil, []Bits{card(oem, 5).Complement(), card(oem, 6).Complement()}, []SwapState{SwapNone, SwapNone}},
		{"such parity, and a key", []Format{oem}, keys(card(oem, 5), card(oem, 6)), []Bits{card(oem, 5).Complement(), card(oem, 6).Complement()}, []SwapState{SwapSuspected, SwapReported}},
		{"taken by a format without parity", []Format{h10301, {Name: "raw26", Len: 26, Number: Field{0, 25}, Data: mask(26, 0, 25)}}, nil, []Bits{swapped1, swapped2}, []SwapState{SwapNone, SwapNone}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w SwapWatch
			for i, b := range tt.frames {
				if got := w.Frame(b, tt.formats, tt.known); got != tt.want[i] || w.State() != got {
					t.Errorf("after frame %d: %v, want %v", i+1, got, tt.want[i])
				}
			}
		})
	}
}

// TestSwappedReader sends cards through swapped lines: the second is the report,
// in every format with parity. Through lines that are right, there is no sign.
func TestSwappedReader(t *testing.T) {
	for _, name := range Names() {
		f := lookup(t, name)
		if len(f.Parity) == 0 {
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			top := ^uint64(0) >> (64 - f.PayloadBits())
			a := rapid.Uint64Range(0, top-1).Draw(t, "a")
			b := rapid.Uint64Range(a+1, top).Draw(t, "b")
			one, _ := f.EncodePayload(a)
			two, _ := f.EncodePayload(b)
			var right, swapped SwapWatch
			for i, card := range []Bits{one, two} {
				if got := right.Frame(card, []Format{f}, nil); got != SwapNone {
					t.Fatalf("%s: the lines are right, and it is %v", name, got)
				}
				want := []SwapState{SwapSuspected, SwapReported}[i]
				if got := swapped.Frame(card.Complement(), []Format{f}, nil); got != want {
					t.Fatalf("%s: %v after %d swapped cards, want %v", name, got, i+1, want)
				}
			}
		})
	}
}

func TestSwappedKeypad(t *testing.T) {
	// With these two encodings, a swapped keypad sends these keys for those.
	for from, to := range map[byte]byte{'6': '9', '9': '6', '7': '8', '8': '7', '4': '#', '#': '4', '5': '*', '*': '5'} {
		if got, ok := MirrorKey(from); !ok || got != to {
			t.Errorf("MirrorKey(%q) = %q, %v; want %q", from, got, ok, to)
		}
	}
	for _, key := range []byte("0123x\x00") {
		if got, ok := MirrorKey(key); ok {
			t.Errorf("MirrorKey(%q) = %q, want none", key, got)
		}
	}
	for _, e := range Encodings() {
		tells := "0123"
		if e.Bits() == 6 {
			tells = keys
		}
		for _, key := range []byte(keys) {
			b, err := e.Encode(key)
			if err != nil {
				t.Fatal(err)
			}
			told := false
			for i := range tells {
				told = told || tells[i] == key
			}
			want := SwapNone
			if told {
				want = SwapSuspected
			}
			w := SwapWatch{}
			if got := w.Key(b.Complement(), e); got != want {
				t.Errorf("%s: %q swapped: %v, want %v", e, key, got, want)
			}
			w = SwapWatch{state: SwapReported}
			want = SwapReported
			if told {
				want = SwapNone
			}
			if got := w.Key(b, e); got != want {
				t.Errorf("%s: %q after a report: %v, want %v", e, key, got, want)
			}
		}
	}
	var w SwapWatch
	one, _ := FourBit.Encode('1')
	two, _ := FourBit.Encode('2')
	for i, step := range []struct {
		b    Bits
		want SwapState
	}{{one.Complement(), SwapSuspected}, {one.Complement(), SwapSuspected}, {NewBits(0xC, 5), SwapSuspected}, {two.Complement(), SwapReported}} {
		if got := w.Key(step.b, FourBit); got != step.want {
			t.Errorf("step %d: %v, want %v", i+1, got, step.want)
		}
	}
}

func TestSwapHints(t *testing.T) {
	var w SwapWatch
	for range 3 {
		if got := w.Hint(); got != SwapSuspected {
			t.Errorf("hints alone: %v, want suspected", got)
		}
	}
	one, _ := FourBit.Encode('1')
	if got := w.Key(one.Complement(), FourBit); got != SwapReported {
		t.Errorf("a hint and a key: %v, want reported", got)
	}
	w.Reset()
	if w.State() != SwapNone || w.State().String() != "none" || SwapReported.String() != "reported" || SwapSuspected.String() != "suspected" {
		t.Errorf("after Reset: %v", w.State())
	}
}
