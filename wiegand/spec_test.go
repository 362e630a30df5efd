package wiegand

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Formats that are met in the field and aren't built in.
func oem36() Spec {
	return Spec{Name: "OEM36", Length: 36, Facility: "1-16", Number: "18-32", Parity: []ParitySpec{
		{Bit: 0, Kind: "odd", Over: "1-17"},
		{Bit: 35, Kind: "even", Over: "18-34"},
	}}
}

func verkada40() Spec {
	return Spec{Name: "Verkada40", Length: 40, Facility: "1-10", Number: "11-38", Parity: []ParitySpec{
		{Bit: 0, Kind: "even", Over: "1-19"},
		{Bit: 39, Kind: "even", Over: "20-38"},
	}}
}

func awid50() Spec {
	return Spec{Name: "AWID50", Length: 50, Facility: "1-16", Number: "17-48", Parity: []ParitySpec{
		{Bit: 0, Kind: "even", Mask: "0" + strings.Repeat("1", 24) + strings.Repeat("0", 25)},
		{Bit: 49, Kind: "odd", Over: "25-48"},
	}}
}

// p10004 is PCSC's format of 37 bits, whose parity is not known.
func p10004() Spec {
	return Spec{Name: "P10004", Length: 37, Facility: "1-13", Number: "14-31"}
}

func TestSpecVectors(t *testing.T) {
	formats, err := Formats([]Spec{oem36(), verkada40(), awid50(), p10004()})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		bits             string
		format           string
		facility, number uint64
	}{
		{"110110000000100000101101110100000001", "OEM36", 45072, 23456},
		{"110110000000100000101101111100111001", "OEM36", 45072, 23527},
		{"1000011001000000000000000000011111010011", "Verkada40", 50, 1001},
		{"1000101000100000000000000010011100100001", "Verkada40", 81, 5008},
		{"10000011111010001000000001100110000000111110010010", "AWID50", 2001, 13371337},
		{"0011000011110111000110000100001011101", "P10004", 3133, 202818},
		{"0111010100110010010001011101011010100", "P10004", 7500, 148950},
	}
	for _, tt := range tests {
		b := parse(t, tt.bits)
		got, err := Decode(b, formats)
		if err != nil || len(got) != 1 || got[0].Format != tt.format || got[0].Facility != tt.facility || got[0].Number != tt.number {
			t.Errorf("%s: got %+v, %v; want %s %d-%d", tt.bits, got, err, tt.format, tt.facility, tt.number)
			continue
		}
		for _, f := range formats {
			if f.Name != tt.format {
				continue
			}
			if back, err := f.EncodePayload(got[0].Payload); err != nil || back != b {
				t.Errorf("%s: encoded again %s, %v", tt.bits, back, err)
			}
		}
	}
	for i, blind := range []bool{true, true, false, true} {
		if formats[i].tellsSwap() == blind {
			t.Errorf("%s: tellsSwap = %v", formats[i].Name, !blind)
		}
	}
}

// TestSpecMakesTheBuiltIns describes three built-in formats in another way, and
// wants the same formats.
func TestSpecMakesTheBuiltIns(t *testing.T) {
	pair := func(from, to int) string {
		var s []string
		for i := from; i < to; i += 3 {
			s = append(s, fmt.Sprintf("%d-%d", i, i+1))
		}
		return strings.Join(s, ", ")
	}
	for want, s := range map[string]Spec{
		"raw40":  {Length: 40},
		"H10302": {Length: 37, Parity: []ParitySpec{{0, "even", "1-18", ""}, {36, "odd", "18-35", ""}}},
		"C1k35s": {Length: 35, Facility: "2-13", Number: "14-33", Data: "2-33", Parity: []ParitySpec{
			{1, "even", pair(2, 33), ""}, {34, "odd", pair(1, 32), ""}, {0, "odd", "1-34", ""},
		}},
	} {
		s.Name = "own"
		got, err := s.Format()
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		got.Name = want
		if diff := cmp.Diff(lookup(t, want), got, cmp.AllowUnexported(Bits{})); diff != "" {
			t.Errorf("-built in +described\n%s", diff)
		}
	}
}

func TestSpecTellsEveryFault(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		want []string
	}{
		{"nothing at all", Spec{}, []string{"name: want 1 to 16", "length: 0 bits: want 1 to 128"}},
		{"too long", Spec{Name: "x", Length: 129}, []string{"length: 129 bits"}},
		{"a name with a colon", Spec{Name: "a:b", Length: 26}, []string{`"a:b": name`}},
		{"a long name", Spec{Name: strings.Repeat("x", 17), Length: 26}, []string{"name"}},
		{"built in", Spec{Name: "h10301", Length: 26}, []string{"built-in format H10301"}},
		{"built in under its other name", Spec{Name: "H10306", Length: 34}, []string{"built-in format W34"}},
		{"a technology", Spec{Name: "md", Length: 56}, []string{"MD is a card technology"}},
		{"ranges", Spec{Name: "x", Length: 40, Facility: "1-40", Number: "9-3", Data: "0-3,3-5"}, []string{
			`facility: "1-40": the last bit is 39`, `number: "9-3": its end is before`, `data: "3-5": a bit of it stands before`,
		}},
		{"no numbers", Spec{Name: "x", Length: 40, Facility: "-1", Number: "+1-3", Data: "1-"}, []string{"facility: ", "number: ", "data: "}},
		{"two ranges", Spec{Name: "x", Length: 40, Number: "1-2,4"}, []string{"number: 2 ranges: want one"}},
		{"wide", Spec{Name: "x", Length: 100, Facility: "0-64", Number: "65-99", Data: "0-70"}, []string{"facility: 65 bits", "data: 71 bits"}},
		{"too many data bits", Spec{Name: "x", Length: 65}, []string{"data: 65 bits are not parity, and a payload has at most 64: want the ranges"}},
		{"overlap", Spec{Name: "x", Length: 40, Facility: "0-9", Number: "9-39"}, []string{"number: has bits of the facility"}},
		{"facility without number", Spec{Name: "x", Length: 40, Facility: "0-9"}, []string{"number: is missing"}},
		{"data in two pieces", Spec{Name: "x", Length: 40, Data: "0-3,5-8"}, []string{"number: is missing, and the data bits are not one range"}},
		{"only parity", Spec{Name: "x", Length: 1, Parity: []ParitySpec{{0, "odd", "", "1"}}}, []string{"every bit is parity", "own bit"}},
		{
			"parity",
			Spec{Name: "x", Length: 10, Number: "1-4", Facility: "5-6", Data: "1-8", Parity: []ParitySpec{
				{0, "uneven", "1-3", ""},
				{0, "even", "0-3", ""},
				{4, "odd", "", ""},
				{10, "odd", "1", "0100000000"},
				{9, "odd", "", "01x0000000"},
				{9, "odd", "", "010"},
				{7, "odd", "", "0000000000"},
				{6, "odd", "8-11", ""},
			}},
			[]string{
				`parity 1: kind "uneven"`, "parity 2: its own bit 0", "parity 2: bit 0 is that of parity 1 too",
				"parity 3: what it is over is missing", "parity 4: over and mask both", "parity 4: bit 10: want 0 to 9",
				"parity 5: mask: character 3", "parity 6: mask: 3 bits: want 10", "parity 6: bit 9 is that of parity 5 too",
				"parity 7: mask: it covers no bit", `parity 8: over: "8-11": the last bit is 9`,
				"number: a parity bit is in it", "facility: a parity bit is in it", "data: a parity bit is in it",
			},
		},
		{"order", Spec{Name: "x", Length: 10, Parity: []ParitySpec{{0, "even", "1-9", ""}, {9, "odd", "1-5", ""}}}, []string{
			"parity 1: it is over bit 9, which is parity 2: want that one first",
		}},
		{"many checks", Spec{Name: "x", Length: 100, Number: "0-3", Data: "0-3", Parity: make([]ParitySpec, 40)}, []string{"parity: 40 checks: at most 32"}},
		{"long text", Spec{Name: "x", Length: 40, Number: strings.Repeat("1,", 300)}, []string{"number: 600 characters"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := tt.spec.Format()
			if err == nil {
				t.Fatalf("it was taken: %+v", f)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q", want)
				}
			}
			if n := len(faultsOf(err)); len(tt.want) != n && tt.name != "many checks" {
				t.Errorf("%d faults, want %d", n, len(tt.want))
			}
			if n := len(err.Error()); n > 16_000 {
				t.Errorf("an error of %d bytes", n)
			}
			if t.Failed() {
				t.Logf("error:\n%v", err)
			}
		})
	}
}

// faultsOf takes a joined error apart.
func faultsOf(err error) []error {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []error{err}
	}
	return joined.Unwrap()
}

func TestFormatsTogether(t *testing.T) {
	twin := oem36()
	twin.Name = "oem36"
	_, err := Formats([]Spec{oem36(), twin, {Name: "bad", Length: -1}})
	if err == nil || !strings.Contains(err.Error(), "used twice") || !strings.Contains(err.Error(), "-1 bits") {
		t.Errorf("error = %v, want both faults", err)
	}
	if _, err := Formats(make([]Spec, 65)); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("65 formats: error %v", err)
	}
	if got, err := Formats(nil); err != nil || len(got) != 0 {
		t.Errorf("no formats: %v, %v", got, err)
	}
}

// specs draws descriptions that are mostly right, and the ranges in them as
// texts in one of several forms.
func specs() *rapid.Generator[Spec] {
	return rapid.Custom(func(t *rapid.T) Spec {
		n := rapid.IntRange(4, MaxBits).Draw(t, "length")
		s := Spec{Name: "own", Length: n}
		from := rapid.IntRange(1, n-2).Draw(t, "number")
		to := rapid.IntRange(from, min(n-2, from+63)).Draw(t, "to")
		s.Number = fmt.Sprintf("%d-%d", from, to)
		s.Data = s.Number
		over := mask(n, 1, n-2)
		s.Parity = []ParitySpec{
			{Bit: n - 1, Kind: rapid.SampledFrom([]string{"even", "odd"}).Draw(t, "kind"), Mask: over.String()},
			{Bit: 0, Kind: rapid.SampledFrom([]string{"even", "odd"}).Draw(t, "kind"), Over: fmt.Sprintf("1-%d", n-1)},
		}
		return s
	})
}

func TestSpecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := specs().Draw(t, "spec")
		f, err := s.Format()
		if err != nil {
			t.Fatal(err)
		}
		payload := rapid.Uint64().Draw(t, "payload") >> (64 - f.PayloadBits())
		b, err := f.EncodePayload(payload)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Decode(b)
		if err != nil || c.Payload != payload || c.Number != payload {
			t.Fatalf("%#x came back as %+v, %v", payload, c, err)
		}
		i := rapid.IntRange(0, f.Len-1).Draw(t, "flip")
		if f.passes(b.set(i, 1-b.Bit(i))) {
			t.Fatalf("bit %d flipped passes", i)
		}
		if f.tellsSwap() && f.passes(b.Complement()) {
			t.Fatal("the complement passes a format that tells a swap")
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add("OEM36", 36, "1-16", "18-32", "", 0, "odd", "1-17", "", 35, "even", "18-34", "")
	f.Add("x", 3, "", "", "1", 0, "odd", "", "011", 2, "even", "1", "")
	f.Add("H10301", -1, "-", ",", "0-999", 200, "", "1", "1", -1, "odd", "", "")
	f.Fuzz(func(t *testing.T, name string, length int, facility, number, data string,
		bit1 int, kind1, over1, mask1 string, bit2 int, kind2, over2, mask2 string,
	) {
		s := Spec{name, length, facility, number, data, []ParitySpec{{bit1, kind1, over1, mask1}, {bit2, kind2, over2, mask2}}}
		format, err := s.Format()
		if err != nil {
			if len(err.Error()) > 8000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		for _, payload := range []uint64{0, ^uint64(0), 0x0123456789ABCDEF} {
			payload >>= 64 - format.PayloadBits()
			b, err := format.EncodePayload(payload)
			if err != nil {
				t.Fatal(err)
			}
			c, err := format.Decode(b)
			if err != nil || c.Payload != payload {
				t.Fatalf("%+v: payload %#x came back as %+v, %v", s, payload, c, err)
			}
		}
	})
}
