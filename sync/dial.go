package sync

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"postern/wire"
)

// maxPacket bounds an MQTT packet: a payload, its topic and the rest.
const maxPacket = wire.MaxPayload + 1024

// dial opens the way to the broker, TCP and TLS, and gives up when ctx is done.
func dial(ctx context.Context, b broker, cfg *tls.Config, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	plain := &net.Dialer{}
	if !b.tls {
		return plain.DialContext(ctx, "tcp", b.host)
	}
	return (&tls.Dialer{NetDialer: plain, Config: cfg}).DialContext(ctx, "tcp", b.host)
}

// boundedConn leaves out of what is read each MQTT packet that is longer than
// maxPacket: the MQTT library would take up to 256 MiB of memory for one. The
// broker counts such a message as not yet acknowledged until the session ends.
type boundedConn struct {
	net.Conn
	r       *bufio.Reader
	header  []byte // of the packet that comes next, what of it was not handed out
	body    int    // bytes of the packet that were not handed out
	dropped *atomic.Uint64
}

func newBoundedConn(c net.Conn, dropped *atomic.Uint64) *boundedConn {
	return &boundedConn{Conn: c, r: bufio.NewReader(c), dropped: dropped}
}

// Read gives the next bytes of packets that are not too long.
func (c *boundedConn) Read(p []byte) (int, error) {
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
func (c *boundedConn) next() error {
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
	if length <= maxPacket {
		c.header, c.body = header, length
		return nil
	}
	c.dropped.Add(1)
	_, err = io.CopyN(io.Discard, c.r, int64(length))
	return err
}
