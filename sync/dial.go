package sync

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"postern/wire"
)

// maxPacket bounds an MQTT packet.
const maxPacket = wire.MaxPacket

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

// newBoundedConn bounds what is read from the broker before it takes memory.
func newBoundedConn(c net.Conn, dropped *atomic.Uint64) *wire.BoundedConn {
	return wire.NewBoundedConn(c, dropped)
}
