package wiegand

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The UID 04 A2 24 6A 8F 31 80 as each reader sends it.
func TestSevenByteUID(t *testing.T) {
	const uid = 0x04A2246A8F3180
	tests := []struct {
		order   Order
		part    Part
		payload uint64
		width   int
		value   uint64
	}{
		{MSB, Whole, 0x04A2246A8F3180, 56, uid},
		{LSB, Whole, 0x80318F6A24A204, 56, uid},
		{MSB, First4, 0x04A2246A, 32, 0x04A2246A},
		{LSB, First4, 0x6A24A204, 32, 0x04A2246A},
		{MSB, Last4, 0x6A8F3180, 32, 0x6A8F3180},
		{LSB, Last4, 0x80318F6A, 32, 0x6A8F3180},
	}
	for _, tt := range tests {
		payload, width, err := ToReader(uid, 56, tt.order, tt.part)
		if err != nil || payload != tt.payload || width != tt.width {
			t.Errorf("%s %s: the reader sends %#x of %d bits, %v; want %#x of %d", tt.part, tt.order, payload, width, err, tt.payload, tt.width)
		}
		value, err := FromReader(tt.payload, tt.width, tt.order, tt.part)
		if err != nil || value != tt.value {
			t.Errorf("%s %s: %#x means %#x, %v; want %#x", tt.part, tt.order, tt.payload, value, err, tt.value)
		}
	}
}

func TestTurn(t *testing.T) {
	tests := []struct {
		payload uint64
		n       int
		want    uint64
	}{
		{0xAB, 8, 0xAB},
		{0x0E9C9B, 24, 0x9B9C0E},
		{0xA4DCCC1D, 32, 0x1DCCDCA4},
		{0x01020E9C9B, 40, 0x9B9C0E0201},
		{1, 64, 1 << 56},
		{^uint64(0), 64, ^uint64(0)},
	}
	for _, tt := range tests {
		if got, err := LSB.Turn(tt.payload, tt.n); err != nil || got != tt.want {
			t.Errorf("LSB.Turn(%#x, %d) = %#x, %v; want %#x", tt.payload, tt.n, got, err, tt.want)
		}
		if got, err := MSB.Turn(tt.payload, tt.n); err != nil || got != tt.payload {
			t.Errorf("MSB.Turn(%#x, %d) = %#x, %v", tt.payload, tt.n, got, err)
		}
	}
}

// TestSerialBothWays holds that a payload means what was sent, and compares the
// turning with a reversal of bytes in memory.
func TestSerialBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]Order{MSB, LSB}).Draw(t, "order")
		part := rapid.SampledFrom([]Part{Whole, First4, Last4}).Draw(t, "part")
		n := 56
		if part == Whole {
			n = 8 * rapid.IntRange(1, 8).Draw(t, "bytes")
		}
		serial := rapid.Uint64().Draw(t, "serial") >> (64 - n)
		payload, width, err := ToReader(serial, n, order, part)
		if err != nil {
			t.Fatal(err)
		}
		var all [8]byte
		binary.BigEndian.PutUint64(all[:], serial<<(64-n))
		sent := slices.Clone(all[:n/8])
		switch part {
		case First4:
			sent = sent[:4]
		case Last4:
			sent = sent[3:]
		}
		if order == LSB {
			slices.Reverse(sent)
		}
		var want uint64
		for _, b := range sent {
			want = want<<8 | uint64(b)
		}
		if payload != want || width != 8*len(sent) {
			t.Fatalf("%#x: the reader sends %#x of %d bits, want %#x of %d", serial, payload, width, want, 8*len(sent))
		}
		meant, err := FromReader(payload, width, order, part)
		if err != nil {
			t.Fatal(err)
		}
		if value, _, err := part.Of(serial, n); err != nil || meant != value {
			t.Fatalf("%#x: the payload means %#x, and its key is known by %#x, %v", serial, meant, value, err)
		}
	})
}

func TestSerialErrors(t *testing.T) {
	fails := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
	}
	_, err := LSB.Turn(3, 26)
	fails(err, "26 bits are no whole bytes")
	_, err = LSB.Turn(1<<24, 24)
	fails(err, "not of 24 bits")
	if strings.Contains(err.Error(), "16777216") {
		t.Errorf("the error tells the payload: %v", err)
	}
	_, err = MSB.Turn(0, 0)
	fails(err, "want 1 to 64")
	_, err = MSB.Turn(0, 65)
	fails(err, "want 1 to 64")
	_, err = Order("middle").Turn(0, 8)
	fails(err, "unknown")
	_, _, err = First4.Of(1, 32)
	fails(err, "only 56 bits have parts")
	_, _, err = Last4.Of(1<<57, 56)
	fails(err, "not of 56 bits")
	_, _, err = Part("half").Of(1, 56)
	fails(err, "unknown")
	_, err = FromReader(1, 56, MSB, First4)
	fails(err, "sends 32 bits, got 56")
	_, err = FromReader(1, 56, MSB, "half")
	fails(err, "unknown")
	_, _, err = ToReader(1, 40, MSB, Last4)
	fails(err, "only 56 bits")
	_, _, err = ToReader(1, 26, LSB, Whole)
	fails(err, "whole bytes")
	_, err = ParseOrder("LSB")
	fails(err, `"msb" or "lsb"`)
	_, err = ParsePart("")
	fails(err, `"whole", "first4" or "last4"`)
	if o, err := ParseOrder("lsb"); err != nil || o != LSB {
		t.Errorf("ParseOrder(lsb) = %q, %v", o, err)
	}
	if p, err := ParsePart("last4"); err != nil || p != Last4 {
		t.Errorf("ParsePart(last4) = %q, %v", p, err)
	}
}
