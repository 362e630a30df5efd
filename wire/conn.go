package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// MaxPacket bounds an MQTT packet: a payload, its topic and the rest.
const MaxPacket = MaxPayload + 1024

// BoundedConn leaves out of what is read each MQTT packet that is longer than
// MaxPacket: the MQTT library would take up to 256 MiB of memory for one. The
// broker counts such a message as not yet acknowledged until the session ends.
type BoundedConn struct {
	net.Conn
	r       *bufio.Reader
	header  []byte // of the packet that comes next, what of it was not handed out
	body    int    // bytes of the packet that were not handed out
	dropped *atomic.Uint64
}

// NewBoundedConn wraps a connection to a broker and counts in dropped what it
// leaves out.
func NewBoundedConn(c net.Conn, dropped *atomic.Uint64) *BoundedConn {
	return &BoundedConn{Conn: c, r: bufio.NewReader(c), dropped: dropped}
}

// Read gives the next bytes of packets that are not too long.
func (c *BoundedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.header) == 0 && c.body == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.header) > 0 {
		n := copy(p, c.header)
		c.header = c.header[n:]
		return n, nil
	}
	n, err := c.r.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

// next reads a packet's fixed header (MQTT 3.1.1, 2.2): a byte of type and
// flags, then the number of bytes that follow in 7-bit groups, four at most.
func (c *BoundedConn) next() error {
	first, err := c.r.ReadByte()
	if err != nil {
		return err
	}
	header, length := []byte{first}, 0
	for shift := 0; ; shift += 7 {
		if shift == 28 {
			return errors.New("broker sent a malformed packet length")
		}
		b, err := c.r.ReadByte()
		if err != nil {
			return fmt.Errorf("read packet length: %w", err)
		}
		header = append(header, b)
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	if length <= MaxPacket {
		c.header, c.body = header, length
		return nil
	}
	c.dropped.Add(1)
	_, err = io.CopyN(io.Discard, c.r, int64(length))
	return err
}
