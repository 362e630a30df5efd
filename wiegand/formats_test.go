package wiegand

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMasks spells the masks out as the published C code has them: hexadecimal
// over the frame as a number, last bit lowest.
func TestMasks(t *testing.T) {
	tests := []struct {
		format string
		bit    int
		odd    bool
		over   uint64
	}{
		{"H10301", 0, false, 0x1FFE000},
		{"H10301", 25, true, 0x1FFE},
		{"W34", 0, false, 0x1FFFE0000},
		{"W34", 33, true, 0x1FFFE},
		{"C1k35s", 1, false, 0x1_B6DB6DB6},
		{"C1k35s", 34, true, 0x3_6DB6DB6C},
		{"C1k35s", 0, true, 0x3_FFFFFFFF},
		{"H10304", 0, false, 0xFFFFC0000},
		{"H10304", 36, true, 0x7FFFE},
		{"H10302", 0, false, 0xFFFFC0000},
		{"H10302", 36, true, 0x7FFFE},
		{"C1k48s", 1, false, 0x1B6D_B6DB6DB6},
		{"C1k48s", 47, true, 0x36DB_6DB6DB6C},
		{"C1k48s", 0, true, 0x7FFF_FFFFFFFF},
	}
	seen := map[string]int{}
	for _, tt := range tests {
		f := lookup(t, tt.format)
		p := f.Parity[seen[tt.format]]
		seen[tt.format]++
		want := Parity{Bit: tt.bit, Odd: tt.odd, Over: NewBits(tt.over, f.Len)}
		if p != want {
			t.Errorf("%s: %v over %s, want %v over %s", tt.format, p, p.Over, want, want.Over)
		}
	}
	for _, name := range Names() {
		if n := len(lookup(t, name).Parity); n != seen[name] {
			t.Errorf("%s has %d checks, the table %d", name, n, seen[name])
		}
	}
}

func TestBothOf37Bits(t *testing.T) {
	b := parse(t, "0010110000100101000101011100101000000")
	got, err := Decode(b, []Format{lookup(t, "H10304"), lookup(t, "H10302")})
	if err != nil {
		t.Fatal(err)
	}
	want := []Candidate{
		{Format: "H10304", Facility: 22602, HasFacility: true, Number: 89248, Payload: 11850046624, PayloadBits: 35},
		{Format: "H10302", Number: 11850046624, Payload: 11850046624, PayloadBits: 35},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestManyFrames takes 100,000 frames of each format there and back, and breaks
// each: one bit more, one less, every single bit flipped, all bits inverted.
func TestManyFrames(t *testing.T) {
	rounds := 100_000
	if raced || testing.Short() {
		rounds = 10_000
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := lookup(t, name)
			r := rand.New(rand.NewPCG(1, uint64(f.Len)))
			passed := 0
			for range rounds {
				payload := r.Uint64() >> (64 - f.PayloadBits())
				b, err := f.EncodePayload(payload)
				if err != nil {
					t.Fatal(err)
				}
				c, err := f.Decode(b)
				if err != nil || c.Payload != payload {
					t.Fatalf("payload %#x came back as %+v, %v", payload, c, err)
				}
				if again, err := f.Encode(c.Facility, c.Number); err != nil || again != b {
					t.Fatalf("facility %d, number %d: %s, %v; want %s", c.Facility, c.Number, again, err, b)
				}
				longer, _ := b.Append(r.IntN(2))
				shorter := NewBits(b.Uint(1, b.Len()-1), b.Len()-1)
				if f.passes(longer) || f.passes(shorter) {
					passed++
				}
				if len(f.Parity) == 0 {
					continue
				}
				for i := range b.Len() {
					if f.passes(b.set(i, 1-b.Bit(i))) {
						passed++
					}
				}
				if f.passes(b.Complement()) {
					passed++
				}
			}
			if passed > 0 {
				t.Errorf("%d broken frames passed", passed)
			}
		})
	}
}

// TestOnlyRawFormatsAreBlindToSwap holds what SwapWatch rests on.
func TestOnlyRawFormatsAreBlindToSwap(t *testing.T) {
	for _, name := range Names() {
		f := lookup(t, name)
		if f.tellsSwap() != (len(f.Parity) > 0) {
			t.Errorf("%s with %d checks: tellsSwap = %v", name, len(f.Parity), f.tellsSwap())
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var formats []Format
	for _, name := range []string{"H10301", "W34", "C1k35s", "C1k48s"} {
		formats = append(formats, lookup(b, name))
	}
	frame, _ := formats[3].Encode(42069, 42069)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Decode(frame, formats)
	}
}
