package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"postern/api"
	"postern/systemtest/faults/site"
)

// doors of the panel; the last one has a reader that is not used here.
const doors = 48

// A door is used again when its strike, which is 1 s, is surely at rest.
const doorRest = 1500 * time.Millisecond

// trial presents valid cards at all doors in turn and takes the times. It stamps
// by the panel's clock and its own, which are the same machine's.
type trial struct {
	site *site.Site
	keys int // cards 1 … keys are valid

	mu      sync.Mutex // guards the rest
	waiting map[string]*sample
	done    []sample
	missed  int
}

// sample is one card at one door.
type sample struct {
	presented, read, released time.Time
}

// latencies of some samples: Decision is from the frame, as the reader gave it, to
// the released strike; Card is from before the card was presented, so with the way
// through the socket and the simulated lines.
type latencies struct {
	Samples     int     `json:"samples"`
	Missed      int     `json:"missed"`
	DecisionP50 float64 `json:"decision_p50_ms"`
	DecisionP99 float64 `json:"decision_p99_ms"`
	CardP50     float64 `json:"card_p50_ms"`
	CardP99     float64 `json:"card_p99_ms"`
}

func (t *trial) message(m api.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case m.Read != nil && m.Read.Kind == api.ReadCard:
		if s := t.waiting[m.Read.Reader]; s != nil && s.read.IsZero() {
			s.read = m.Read.At
		}
	case m.Door != nil && m.Door.Released:
		reader := "reader" + m.Door.ID[len("door"):]
		if s := t.waiting[reader]; s != nil && !s.read.IsZero() {
			s.released = m.At
			t.done = append(t.done, *s)
			delete(t.waiting, reader)
		}
	}
}

// during presents cards while work goes on.
func (t *trial) during(ctx context.Context, work func(context.Context) error) (latencies, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	messages, err := t.site.Local.Watch(ctx)
	if err != nil {
		return latencies{}, fmt.Errorf("watch the panel: %w", err)
	}
	t.mu.Lock()
	t.waiting, t.done, t.missed = map[string]*sample{}, nil, 0
	t.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			t.message(m)
		}
	})
	wg.Go(func() { t.present(ctx) })
	err = work(ctx)
	end()
	wg.Wait()
	return t.latencies(), err
}

func (t *trial) present(ctx context.Context) {
	ticker := time.NewTicker(doorRest / (doors - 1))
	defer ticker.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i = (i + 1) % (doors - 1) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		reader := fmt.Sprintf("reader%d", i)
		t.mu.Lock()
		if t.waiting[reader] != nil {
			t.missed++
		}
		t.waiting[reader] = &sample{presented: time.Now()}
		t.mu.Unlock()
		wg.Go(func() { _, _ = t.site.Local.Badge(ctx, reader, cardOf(rand.IntN(t.keys)+1), "") }) // it is missed, which shows
	}
}

// cardOf is the card of the n-th key.
func cardOf(n int) string { return fmt.Sprintf("%013d", n) }

func (t *trial) latencies() latencies {
	t.mu.Lock()
	defer t.mu.Unlock()
	var decision, card []time.Duration
	for _, s := range t.done {
		decision, card = append(decision, s.released.Sub(s.read)), append(card, s.released.Sub(s.presented))
	}
	return latencies{
		Samples: len(t.done), Missed: t.missed,
		DecisionP50: quantile(decision, 0.5), DecisionP99: quantile(decision, 0.99),
		CardP50: quantile(card, 0.5), CardP99: quantile(card, 0.99),
	}
}

// quantile in ms, 0 of nothing.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	d := all[min(len(all)-1, int(q*float64(len(all))))]
	return float64(d.Microseconds()) / 1000
}
