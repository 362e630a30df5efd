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
	HTTP    string // host:port
	Broker  string // host:port of the embedded broker, "" without one
	Metrics string // host:port of /metrics, "" when they are off
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
	metrics, metricsListener, err := c.metrics(store, l.Connected)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	api := NewAPI(store, APIOptions{
		Log: log.With("part", "http"), RateLimit: c.RateLimit, Wake: l.Wake, Linked: l.Connected, Pending: c.pending(), Metrics: metrics, Site: c.Site,
	})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.Run(ctx) })
	g.Go(func() error { return store.runPurge(ctx) })
	g.Go(func() error { return store.runRequests(ctx, l.Wake) })
	g.Go(func() error { return serveHTTP(ctx, listener, api, defaultTimes(), log) })
	if metrics != nil {
		at.Metrics = metricsListener.Addr().String()
		g.Go(func() error { return serveHTTP(ctx, metricsListener, metrics, defaultTimes(), log) })
	}
	log.Info("serving", "http", at.HTTP, "broker", at.Broker, "metrics", at.Metrics)
	if ready != nil {
		ready(at) // connections are taken from when it listened
	}
	return g.Wait()
}

// metrics makes the metrics and their listener, if they are on.
func (c Config) metrics(s *Store, linked func() bool) (*Metrics, net.Listener, error) {
	if c.MetricsListen == "" {
		return nil, nil, nil
	}
	l, err := net.Listen("tcp", c.MetricsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return NewMetrics(s, linked), l, nil
}

// httpTimes bound how long a slow client holds a connection.
type httpTimes struct {
	header, read, write, idle time.Duration
}

func defaultTimes() httpTimes {
	return httpTimes{header: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: time.Minute}
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, o httpTimes, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: o.header, ReadTimeout: o.read, WriteTimeout: o.write, IdleTimeout: o.idle,
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
