package wire

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// reading is a connection that gives bytes.
type reading struct {
	net.Conn
	io.Reader
}

func (r reading) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// TestBoundedConn has a packet as long as may be between two that are longer.
func TestBoundedConn(t *testing.T) {
	packet := func(first byte, n int) []byte {
		out := []byte{first}
		for length := n; ; {
			b := byte(length & 0x7f)
			if length >>= 7; length == 0 {
				return append(append(out, b), bytes.Repeat([]byte{first}, n)...)
			}
			out = append(out, b|0x80)
		}
	}
	want := append(packet(0x32, MaxPacket), packet(0xd0, 0)...)
	in := append(packet(0x31, MaxPacket+1), want...)
	in = append(in, packet(0x33, 4*MaxPacket)...)
	var dropped atomic.Uint64
	got, err := io.ReadAll(NewBoundedConn(reading{Reader: bytes.NewReader(in)}, &dropped))
	if err != nil || !bytes.Equal(got, want) || dropped.Load() != 2 {
		t.Errorf("%d bytes came out with %d packets dropped (%v), want %d bytes and 2", len(got), dropped.Load(), err, len(want))
	}
}
