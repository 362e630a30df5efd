package api_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/api"
	"postern/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a panel that is served as posternd serves it.
type daemon struct {
	*apitest.Panel
	hands  apitest.Hands
	server *api.Server
	socket string
	client *api.Client
}

// start serves a panel on a unix socket until the test ends.
func start(t *testing.T, simulated bool) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "api") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := apitest.New()
	d := &daemon{Panel: p, hands: apitest.Hands{Panel: p}, socket: filepath.Join(dir, "s")}
	var sim api.Simulator
	if simulated {
		sim = d.hands
	}
	log := slog.New(slog.DiscardHandler)
	d.server = api.NewServer(p, sim, log)
	ln, err := api.ListenSocket(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- d.server.Run(ctx) }()
	go func() { done <- api.Serve(ctx, ln, d.server.Socket(), log) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		_ = os.RemoveAll(dir)
	})
	d.client = api.NewClient(d.socket)
	until(t, "Run watches", func() bool { return p.Watchers() > 0 })
	return d
}

// http is a plain client over the socket.
func (d *daemon) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socket)
		},
	}}
}

// page serves the panel's page on loopback until the test ends.
func (d *daemon) page(t *testing.T) *httptest.Server {
	t.Helper()
	ts := httptest.NewServer(d.server.Page())
	ts.Client().Transport.(*http.Transport).DisableKeepAlives = true
	t.Cleanup(ts.Close)
	return ts
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
