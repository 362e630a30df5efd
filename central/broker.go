package central

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"postern/wire"
)

// BrokerOptions say where the embedded broker listens and who may use it.
type BrokerOptions struct {
	Listen       string       // host:port; port 0 takes a free one
	PasswordFile string       // lines of user:password; "" lets everybody in, on loopback only
	Central      string       // the user that may do everything; all others are panels
	Log          *slog.Logger // nil discards
}

// Broker is a small MQTT broker in memory, for sites that run none. It keeps
// nothing over a restart, and nothing needs it to.
type Broker struct {
	server   *mochi.Server
	listener net.Listener
	closing  sync.Once
}

// StartBroker listens and serves until Close.
func StartBroker(o BrokerOptions) (*Broker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	guard := &brokerGuard{central: o.Central}
	if o.PasswordFile == "" {
		if !isLoopback(o.Listen) {
			return nil, fmt.Errorf("start broker: %s can be reached from outside, and no password file is set", o.Listen)
		}
	} else {
		var err error
		if guard.users, err = readPasswords(o.PasswordFile); err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
	}
	c := mochi.NewDefaultServerCapabilities()
	c.MaximumMessageExpiryInterval = 0 // otherwise it deletes retained messages after a day
	c.MaximumPacketSize = wire.MaxPacket
	c.MaximumSessionExpiryInterval = 0
	// Its own messages are about every connection; ours say what matters.
	s := mochi.New(&mochi.Options{Capabilities: c, Logger: slog.New(atLeast{o.Log.With("part", "broker").Handler(), slog.LevelWarn})})
	if err := errors.Join(s.AddHook(guard, nil), s.AddHook(&retainedHook{server: s}, nil)); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if err := errors.Join(s.AddListener(listeners.NewNet("tcp", l)), s.Serve()); err != nil {
		return nil, errors.Join(fmt.Errorf("start broker: %w", err), s.Close(), l.Close())
	}
	return &Broker{server: s, listener: l}, nil
}

// Addr is the host:port that the broker listens on.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Close ends all connections. It may be called again.
func (b *Broker) Close() (err error) {
	b.closing.Do(func() { err = b.server.Close() })
	return err
}

func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readPasswords reads lines of user:password, keeping hashes only.
func readPasswords(path string) (map[string][32]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open password file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat password file: %w", err)
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("password file %s may be read or written by others: run chmod 600 %s", path, path)
	}
	users := map[string][32]byte{}
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok || wire.CheckSystemID(user) != nil || password == "" {
			return nil, fmt.Errorf("password file %s:%d: want user:password, where the user is a panel's system id", path, n)
		}
		if _, twice := users[user]; twice {
			return nil, fmt.Errorf("password file %s:%d: this user is there twice", path, n)
		}
		users[user] = sha256.Sum256([]byte(password))
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read password file: %w", err)
	}
	return users, nil
}

// atLeast is a log handler that drops what is below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether the level is high enough for both.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
