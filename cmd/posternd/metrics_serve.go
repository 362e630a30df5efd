package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of what is asked for metrics. A stranger who connects and says nothing
// costs a socket for a while, and others of his kind are turned away.
const (
	scrapeRead  = 5 * time.Second
	scrapeWrite = 10 * time.Second
	scrapes     = 2 // at once
	scrapers    = 8 // connections at once
)

// ServeHTTP answers GET /metrics and nothing else.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(scrapeRead)) // a recorder in a test has none
	_ = c.SetWriteDeadline(time.Now().Add(scrapeWrite))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.URL.Path != "/metrics":
		http.Error(w, "the figures are at /metrics", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
	default:
		// What can be told is told, also while the store can't be read.
		o := promhttp.HandlerOpts{MaxRequestsInFlight: scrapes, ErrorHandling: promhttp.ContinueOnError, ErrorLog: m.log}
		promhttp.HandlerFor(m.registry, o).ServeHTTP(w, r)
	}
}

// keepMetrics serves the metrics where the configuration says, and elsewhere when
// a reload says so. An address that can't be had is told and tried again: no door
// waits for it.
func (p *panel) keepMetrics(ctx context.Context) error {
	for ctx.Err() == nil {
		addr, moved := p.metricsAddr()
		p.apiFault(apiMetrics, nil)
		turn, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer end()
			select {
			case <-moved:
			case <-turn.Done():
			}
		})
		if addr == "" {
			<-turn.Done()
		} else if err := p.serve(turn, apiMetrics, p.metrics, func() (net.Listener, error) { return listenMetrics(addr) }); err != nil {
			p.log.Error("metrics end", "error", err)
		}
		end()
		wg.Wait()
	}
	return nil
}

// metricsAddr is where the metrics are wanted, "" for nowhere, and a channel that
// is closed when that is no longer so.
func (p *panel) metricsAddr() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Metrics.Listen, p.metricsMoved
}

func listenMetrics(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return &fewAtOnce{Listener: l, room: make(chan struct{}, scrapers)}, nil
}

// fewAtOnce closes the connections that are too many.
type fewAtOnce struct {
	net.Listener
	room chan struct{}
}

// Accept gives the next connection that there is room for.
func (l *fewAtOnce) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &oneOfFew{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			_ = c.Close()
		}
	}
}

type oneOfFew struct {
	net.Conn
	leave func()
}

// Close closes the connection and makes room.
func (c *oneOfFew) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
