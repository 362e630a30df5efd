package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Addresses are where a server can be reached.
type Addresses struct {
	HTTP   string // host:port
	Broker string // host:port of the embedded broker, "" without one
}

const (
	purgeEvery   = time.Hour
	shutdownTime = 10 * time.Second
)

// Serve runs central until ctx ends: database, embedded broker if any, HTTP API
// and link. It calls ready, if not nil, once it answers requests. The
// configuration must be valid.
func Serve(ctx context.Context, c Config, log *slog.Logger, ready func(Addresses)) (err error) {
	link, err := c.MQTT.link(log.With("part", "link"))
	if err != nil {
		return err
	}
	if c.SigningKeyFile != "" {
		faulty := func(err error) {
			log.Error("the signing file can't be read; the keys read last go on", "part", "link", "error", err)
		}
		if link.Signer, err = NewSigner(c.SigningKeyFile, faulty); err != nil {
			return err
		}
	}
	store, err := Open(ctx, StoreOptions{Database: c.Database, SecretKeyFile: c.SecretKeyFile, Log: log.With("part", "store")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var at Addresses
	if c.Broker.Listen != "" {
		b, err := StartBroker(BrokerOptions{Listen: c.Broker.Listen, PasswordFile: c.Broker.PasswordFile, Central: c.MQTT.Username, Log: log})
		if err != nil {
			return err
		}
		defer b.Close()
		at.Broker = b.Addr()
		if link.Broker == "" {
			link.Broker = "tcp://" + at.Broker
		}
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	at.HTTP = listener.Addr().String()
	link.Log = log.With("part", "link")
	l := NewLink(store, link)
	api := NewAPI(store, APIOptions{Log: log.With("part", "http"), RateLimit: c.RateLimit, Wake: l.Wake, Linked: l.Connected})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.Run(ctx) })
	g.Go(func() error { return store.runPurge(ctx) })
	g.Go(func() error { return serveHTTP(ctx, listener, api, log) })
	log.Info("serving", "http", at.HTTP, "broker", at.Broker)
	if ready != nil {
		ready(at) // connections are taken from when it listened
	}
	return g.Wait()
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.With("part", "http").Handler(), slog.LevelDebug),
	}
	var served error
	done := make(chan struct{})
	go func() {
		defer close(done)
		served = s.Serve(l)
	}()
	select {
	case <-done:
		return fmt.Errorf("serve HTTP: %w", served)
	case <-ctx.Done():
	}
	defer func() { <-done }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close() // those that would not end
	}
	return nil
}

// runPurge forgets what is due, now and then.
func (s *Store) runPurge(ctx context.Context) error {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		if err := s.purge(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("old rows are still there", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
