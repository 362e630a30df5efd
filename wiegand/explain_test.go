package wiegand

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	var formats []Format
	for _, name := range Names() {
		formats = append(formats, lookup(t, name))
	}
	h10301, _ := lookup(t, "H10301").Encode(11, 637)
	h10304, _ := lookup(t, "H10304").Encode(22602, 89248)
	c1k35s, _ := lookup(t, "C1k35s").Encode(4090, 7473)
	flip := func(b Bits, at ...int) Bits {
		for _, i := range at {
			b = b.set(i, 1-b.Bit(i))
		}
		return b
	}
	tests := []struct {
		name string
		bits Bits
		want []string
	}{
		{"right", h10301, []string{"H10301: facility 11, number 637"}},
		{"damaged", flip(h10301, 20), []string{"H10301: odd parity in bit 25 wrong"}},
		{"swapped", h10301.Complement(), []string{
			"H10301: even parity in bit 0, odd parity in bit 25 wrong, but the inverted frame passes: D0 and D1 may be swapped",
		}},
		{"two errors look like a swap", flip(h10301, 3, 20), []string{
			"H10301: even parity in bit 0, odd parity in bit 25 wrong, but the inverted frame passes: D0 and D1 may be swapped",
		}},
		{"both formats of 37 bits", h10304, []string{"H10304: facility 22602, number 89248", "H10302: number 11850046624"}},
		{"a bit under both checks", flip(h10304, 18), []string{
			"H10304: even parity in bit 0, odd parity in bit 36 wrong, but the inverted frame passes: D0 and D1 may be swapped",
			"H10302: even parity in bit 0, odd parity in bit 36 wrong, but the inverted frame passes: D0 and D1 may be swapped",
		}},
		{"a check under a check", flip(c1k35s, 1), []string{
			"C1k35s: even parity in bit 1, odd parity in bit 34, odd parity in bit 0 wrong, but the inverted frame passes: D0 and D1 may be swapped",
		}},
		{"raw", NewBits(0xA4DCCC1D, 32), []string{"raw32: number 2765933597"}},
		{"no format of this length", NewBits(1, 27), nil},
		{"nothing", Bits{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range Explain(tt.bits, formats) {
				got = append(got, e.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	got := Explain(h10301, formats)[0]
	want := Explanation{Format: "H10301", Passes: true, Candidate: Candidate{
		Format: "H10301", Facility: 11, HasFacility: true, Number: 637, Payload: 11<<16 | 637, PayloadBits: 24,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
