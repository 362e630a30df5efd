package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the way of one end to the broker, through a proxy that spoils it.
type link struct {
	who   string
	proxy *toxiproxy.Proxy

	mu     sync.Mutex     // guards counts
	counts map[string]int // of each kind of fault
}

func newLink(server *toxiproxy.ApiServer, who, broker string) (*link, error) {
	l := &link{who: who, counts: map[string]int{}}
	l.proxy = toxiproxy.NewProxy(server, who, "127.0.0.1:0", broker)
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("proxy for %s: %w", who, err)
	}
	return l, nil
}

func newProxyServer() *toxiproxy.ApiServer {
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
}

// toxic is one thing that spoils a direction of a link.
type toxic struct {
	Name       string           `json:"name"`
	Type       string           `json:"type"`
	Stream     string           `json:"stream"` // upstream or downstream
	Toxicity   float32          `json:"toxicity"`
	Attributes map[string]int64 `json:"attributes"`
}

// faultKind is one way to spoil a link.
type faultKind struct {
	name string
	do   func(ctx context.Context, l *link, r *rand.Rand) error
}

// faultKinds are drawn from in turn, so that each comes as often as the others.
var faultKinds = []faultKind{
	{"cut", func(ctx context.Context, l *link, r *rand.Rand) error {
		l.proxy.Stop()
		wait(ctx, between(r, 100*time.Millisecond, 4*time.Second))
		return l.proxy.Start()
	}},
	{"slow", func(ctx context.Context, l *link, r *rand.Rand) error {
		delay := r.Int64N(900) + 100
		return l.spoil(ctx, between(r, time.Second, 6*time.Second), toxic{Type: "latency", Attributes: map[string]int64{
			"latency": delay, "jitter": delay / 2,
		}}, "upstream", "downstream")
	}},
	{"narrow", func(ctx context.Context, l *link, r *rand.Rand) error {
		return l.spoil(ctx, between(r, time.Second, 6*time.Second), toxic{Type: "bandwidth", Attributes: map[string]int64{
			"rate": r.Int64N(28) + 4, // KB/s
		}}, "upstream", "downstream")
	}},
	// The connection stays open, and nothing comes through in one direction or in
	// either: what is sent then is lost, and the end that waits has to notice.
	{"half open", func(ctx context.Context, l *link, r *rand.Rand) error {
		ways := [][]string{{"upstream"}, {"downstream"}, {"upstream", "downstream"}}[r.IntN(3)]
		return l.spoil(ctx, between(r, 2*time.Second, 14*time.Second), toxic{Type: "timeout", Attributes: map[string]int64{"timeout": 0}}, ways...)
	}},
	{"reset", func(ctx context.Context, l *link, r *rand.Rand) error {
		return l.spoil(ctx, between(r, 200*time.Millisecond, 2*time.Second), toxic{Type: "reset_peer", Attributes: map[string]int64{
			"timeout": r.Int64N(300),
		}}, "upstream", "downstream")
	}},
}

// spoil has a toxic work for a while.
func (l *link) spoil(ctx context.Context, long time.Duration, t toxic, ways ...string) error {
	t.Toxicity = 1
	for _, way := range ways {
		t.Name, t.Stream = t.Type+"-"+way, way
		text, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return fmt.Errorf("spoil %s: %w", l.who, err)
		}
	}
	wait(ctx, long)
	for _, way := range ways {
		if err := l.proxy.Toxics.RemoveToxic(context.WithoutCancel(ctx), t.Type+"-"+way); err != nil {
			return fmt.Errorf("mend %s: %w", l.who, err)
		}
	}
	return nil
}

// suffer has the link suffer faults one after the other, at random moments,
// beginning with one kind of them.
func (l *link) suffer(ctx context.Context, r *rand.Rand, first, faults int, over time.Duration) error {
	start := time.Now()
	for i, at := range moments(r, faults, over) {
		if err := sleepUntil(ctx, start.Add(at)); err != nil {
			return err
		}
		kind := faultKinds[(first+i)%len(faultKinds)]
		if err := kind.do(ctx, l, r); err != nil {
			return err
		}
		l.mu.Lock()
		l.counts[kind.name]++
		l.mu.Unlock()
	}
	return nil
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// wait waits, or less where ctx ends.
func wait(ctx context.Context, d time.Duration) {
	_ = sleepUntil(ctx, time.Now().Add(d))
}
