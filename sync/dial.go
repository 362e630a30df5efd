package sync

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"postern/wire"
)

// maxPacket bounds an MQTT packet.
const maxPacket = wire.MaxPacket

// open gives the way to the broker, nil when the client of the options needs
// none.
func (c *Client) open(ctx context.Context) (net.Conn, error) {
	if c.o.NewClient != nil {
		return nil, nil
	}
	raw, err := dial(ctx, c.broker, c.o.TLS, c.o.ConnectTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return wire.NewBoundedConn(raw, &c.oversize), nil
}

// dial opens the way to the broker, TCP and TLS, and gives up when ctx is done.
func dial(ctx context.Context, b broker, settings func() (*tls.Config, error), timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	plain := &net.Dialer{}
	if !b.tls {
		return plain.DialContext(ctx, "tcp", b.host)
	}
	var cfg *tls.Config
	if settings != nil {
		var err error
		if cfg, err = settings(); err != nil {
			return nil, err
		}
	}
	return (&tls.Dialer{NetDialer: plain, Config: cfg}).DialContext(ctx, "tcp", b.host)
}
