package central

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

// maxOversize is how many packets that were too long end a session. The broker
// waits for their acknowledgement, and commonly stops sending at 20 of them.
const maxOversize = 10

// dialBroker opens the way to the broker, and bounds what comes in before the
// MQTT client takes memory for it.
func dialBroker(ctx context.Context, uri *url.URL, o mqtt.ClientOptions, settings func() (*tls.Config, error), oversize *atomic.Uint64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	var cfg *tls.Config // nil is the system's authorities
	if settings != nil && oneOf(uri.Scheme, "ssl", "mqtts", "wss") {
		var err error
		if cfg, err = settings(); err != nil {
			return nil, err
		}
	}
	var conn net.Conn
	var err error
	switch uri.Scheme {
	case "ws", "wss":
		at := *uri
		at.User = nil // the library refuses it
		conn, err = mqtt.NewWebsocket(at.String(), cfg, o.ConnectTimeout, o.HTTPHeaders, o.WebsocketOptions)
	case "ssl", "mqtts":
		conn, err = (&tls.Dialer{NetDialer: o.Dialer, Config: cfg}).DialContext(ctx, "tcp", uri.Host)
	case "tcp", "mqtt":
		conn, err = o.Dialer.DialContext(ctx, "tcp", uri.Host)
	default:
		err = fmt.Errorf("broker scheme %.16q is unknown (one of tcp, ssl, ws, wss)", uri.Scheme)
	}
	if err != nil {
		return nil, err
	}
	return wire.NewBoundedConn(conn, oversize), nil
}

// checkOversize logs packets that were left out since the last time, and gives
// an error when the session can't go on.
func (l *Link) checkOversize(oversize *atomic.Uint64, seen *uint64) error {
	n := oversize.Load()
	if n == *seen {
		return nil
	}
	*seen = n
	l.o.Log.Warn("messages were too long and left out", "in_this_session", n, "bytes_at_most", wire.MaxPacket)
	if n >= maxOversize {
		return fmt.Errorf("%d messages were too long", n)
	}
	return nil
}
