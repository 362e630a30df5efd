package wiegand

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func lookup(t rapid.TB, name string) Format {
	t.Helper()
	f, ok := Lookup(name)
	if !ok {
		t.Fatalf("Lookup(%q) found nothing", name)
	}
	return f
}

func TestVectors(t *testing.T) {
	file, err := os.Open("../testdata/wiegand/vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 20 {
		t.Fatalf("%d rows of vectors, want at least 20", len(rows))
	}
	for _, row := range rows[1:] {
		f, b := lookup(t, row[0]), parse(t, row[1])
		facility, _ := strconv.ParseUint(row[2], 10, 64)
		number, err := strconv.ParseUint(row[3], 10, 64)
		if err != nil {
			t.Fatalf("%v: %v", row, err)
		}
		got, err := f.Decode(b)
		if err != nil {
			t.Errorf("%v: %v", row, err)
			continue
		}
		if got.Facility != facility || got.Number != number || got.HasFacility != (row[2] != "") {
			t.Errorf("%v: got %+v", row, got)
		}
		if back, err := f.Encode(facility, number); err != nil || back != b {
			t.Errorf("%v: encoded again %s, %v", row, back, err)
		}
	}
}

// TestOneCard follows an EM card with the serial number 0x01020E9C9B through
// readers that send all of it, its low 32 bits, and its low 24.
func TestOneCard(t *testing.T) {
	const serial = 0x01020E9C9B
	tests := []struct {
		format  string
		payload uint64
		want    Candidate
	}{
		{"raw40", serial, Candidate{Format: "raw40", Number: 4329479323, Payload: serial, PayloadBits: 40}},
		{"W34", serial & 0xFFFFFFFF, Candidate{
			Format: "W34", Facility: 0x020E, HasFacility: true, Number: 0x9C9B,
			Payload: 0x020E9C9B, PayloadBits: 32,
		}},
		{"H10301", serial & 0xFFFFFF, Candidate{
			Format: "H10301", Facility: 14, HasFacility: true, Number: 40091,
			Payload: 0x0E9C9B, PayloadBits: 24,
		}},
	}
	for _, tt := range tests {
		f := lookup(t, tt.format)
		b, err := f.EncodePayload(tt.payload)
		if err != nil {
			t.Fatalf("%s: %v", tt.format, err)
		}
		got, err := Decode(b, []Format{f})
		if err != nil {
			t.Fatalf("%s: %v", tt.format, err)
		}
		if diff := cmp.Diff([]Candidate{tt.want}, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.format, diff)
		}
	}
}

func TestRoundTripAndDamage(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			f := lookup(t, name)
			if err := f.Validate(); err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				payload := rapid.Uint64Range(0, ^uint64(0)>>(64-f.PayloadBits())).Draw(t, "payload")
				b, err := f.EncodePayload(payload)
				if err != nil {
					t.Fatal(err)
				}
				c, err := f.Decode(b)
				if err != nil || c.Payload != payload || c.PayloadBits != f.PayloadBits() {
					t.Fatalf("payload %#x came back as %+v, %v", payload, c, err)
				}
				if again, err := f.Encode(c.Facility, c.Number); err != nil || again != b {
					t.Fatalf("facility %d number %d: %s, %v; want %s", c.Facility, c.Number, again, err, b)
				}
				longer, _ := b.Append(rapid.IntRange(0, 1).Draw(t, "bit"))
				shorter := parse(t, b.String()[1:])
				for _, wrong := range []Bits{longer, shorter} {
					if _, err := f.Decode(wrong); err == nil || !strings.Contains(err.Error(), fmt.Sprint(f.Len)) {
						t.Fatalf("a frame of %d bits: error %v", wrong.Len(), err)
					}
				}
				if len(f.Parity) == 0 {
					return
				}
				for i := range b.Len() {
					if _, err := f.Decode(b.set(i, 1-b.Bit(i))); err == nil {
						t.Fatalf("%s with bit %d flipped was taken", b, i)
					}
				}
				if _, err := f.Decode(b.Complement()); err == nil {
					t.Fatalf("the complement of %s was taken", b)
				}
			})
		})
	}
}

func TestEncodeRefusesWideValues(t *testing.T) {
	tests := []struct {
		format           string
		facility, number uint64
		want             string
	}{
		{"H10301", 256, 0, "facility code has more than 8 bits"},
		{"H10301", 0, 65536, "number has more than 16 bits"},
		{"W34", 65536, 0, "facility code has more than 16 bits"},
		{"raw40", 1, 0, "no facility code"},
		{"raw40", 0, 1 << 40, "number has more than 40 bits"},
	}
	for _, tt := range tests {
		_, err := lookup(t, tt.format).Encode(tt.facility, tt.number)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s.Encode(%d, %d) error = %v, want %q", tt.format, tt.facility, tt.number, err, tt.want)
		}
	}
	if _, err := lookup(t, "H10301").EncodePayload(1 << 24); err == nil {
		t.Error("H10301 took a payload of 25 bits")
	}
}

func TestDecodeOnlyWhatIsListed(t *testing.T) {
	h10301, raw32 := lookup(t, "H10301"), lookup(t, "raw32")
	b, _ := h10301.Encode(11, 637)
	if _, err := Decode(b, []Format{raw32}); err == nil || !strings.Contains(err.Error(), "raw32 wants 32 bits, got 26") {
		t.Errorf("error = %v", err)
	}
	if _, err := Decode(b, nil); err == nil {
		t.Error("a reader without formats decoded a frame")
	}
	other := h10301
	other.Name = "other"
	got, err := Decode(b, []Format{h10301, raw32, other})
	if err != nil || len(got) != 2 || got[0].Format != "H10301" || got[1].Format != "other" {
		t.Errorf("got %+v, %v; want both formats of 26 bits", got, err)
	}
	flipped := b.set(20, 1-b.Bit(20))
	if _, err := Decode(flipped, []Format{h10301}); err == nil || !strings.Contains(err.Error(), "odd parity in bit 25") {
		t.Errorf("error = %v, want the parity that is wrong", err)
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{"H10301": "H10301", "h10306": "W34", "w34": "W34", "RAW40": "raw40", "c1K48S": "C1k48s"} {
		if f, ok := Lookup(name); !ok || f.Name != want {
			t.Errorf("Lookup(%q) = %q, %v; want %q", name, f.Name, ok, want)
		}
	}
	if f, ok := Lookup("H9999"); ok {
		t.Errorf("Lookup of an unknown name found %q", f.Name)
	}
	if diff := cmp.Diff([]string{"H10301", "raw32", "W34", "C1k35s", "H10304", "H10302", "raw40", "C1k48s", "raw56"}, Names()); diff != "" {
		t.Errorf("Names: -want +got\n%s", diff)
	}
}

// TestCustomFormat has what a long site format may bring: 128 bits, a payload
// chosen from them, and a parity over other parities.
func TestCustomFormat(t *testing.T) {
	over := mask(128, 1, 127)
	inner := mask(128, 2, 126)
	f := Format{
		Name: "site", Len: 128, Number: Field{40, 103}, Data: mask(128, 40, 103),
		Parity: []Parity{{Bit: 1, Over: inner}, {Bit: 127, Odd: true, Over: inner}, {Bit: 0, Odd: true, Over: over}},
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64().Draw(t, "number")
		b, err := f.Encode(0, number)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Decode(b)
		if err != nil || c.Number != number || c.Payload != number {
			t.Fatalf("number %d came back as %+v, %v", number, c, err)
		}
		i := rapid.IntRange(0, 127).Draw(t, "flip")
		if _, err := f.Decode(b.set(i, 1-b.Bit(i))); err == nil {
			t.Fatalf("bit %d flipped was taken", i)
		}
	})
}

func TestValidateTellsEveryFault(t *testing.T) {
	f := Format{
		Len: 10, HasFacility: true, Facility: Field{3, 2}, Number: Field{0, 10}, Data: mask(9, 0, 8),
		Parity: []Parity{{Bit: 10, Over: mask(10, 0, 1)}, {Bit: 0, Over: mask(10, 0, 3)}},
	}
	err := f.Validate()
	if err == nil {
		t.Fatal("a format full of faults is valid")
	}
	for _, want := range []string{"no name", "facility bits 3 to 2", "number bits 0 to 10", "data mask", "parity 1", "parity 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if err := (Format{Name: "x", Len: 129}).Validate(); err == nil {
		t.Error("a format of 129 bits is valid")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("10000101100000010011111010", uint16(0xFFFF))
	f.Add("", uint16(1))
	f.Add(strings.Repeat("1", 128), uint16(0))
	f.Fuzz(func(t *testing.T, s string, which uint16) {
		b, err := ParseBits(s)
		if err != nil {
			return
		}
		var formats []Format
		for i, name := range Names() {
			if which>>i&1 == 1 {
				formats = append(formats, lookup(t, name))
			}
		}
		candidates, err := Decode(b, formats)
		if (err == nil) != (len(candidates) > 0) {
			t.Fatalf("%d candidates with error %v", len(candidates), err)
		}
		for _, c := range candidates {
			format := lookup(t, c.Format)
			if !format.passes(b) {
				t.Errorf("%s decodes %s, and says that it doesn't pass", c.Format, b)
			}
			if back, err := format.EncodePayload(c.Payload); err != nil || back != b {
				t.Errorf("%s decodes to %+v, which encodes to %s, %v", b, c, back, err)
			}
		}
	})
}

func Example() {
	h10301, _ := Lookup("H10301")
	bits, _ := ParseBits("10000101100000010011111010")
	candidates, err := Decode(bits, []Format{h10301})
	fmt.Println(candidates[0].Facility, candidates[0].Number, err)
	// Output: 11 637 <nil>
}
