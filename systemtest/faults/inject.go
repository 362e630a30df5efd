package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/systemtest/faults/site"
)

// moments draws when n things happen within a time, ascending.
func moments(r *rand.Rand, n int, over time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(r.Int64N(int64(over)))
	}
	slices.Sort(out)
	return out
}

// kill kills a process at random moments, starting it again each time. between
// runs while it is dead, and may be nil.
func kill(ctx context.Context, p *site.Process, r *rand.Rand, n int, over time.Duration, between func() error) error {
	start := time.Now()
	for _, at := range moments(r, n, over) {
		if err := sleepUntil(ctx, start.Add(at)); err != nil {
			return err
		}
		if err := p.Kill(between); err != nil {
			return err
		}
	}
	return nil
}

// harness is all that a round runs with.
type harness struct {
	site     *site.Site
	links    []*link
	models   []*model
	witness  *witness
	observer *observer
	plan     plan
	random   func() *rand.Rand // a stream of its own for each goroutine
}

// storm does all the changes, presents all the cards, and spoils everything
// meanwhile. It returns when the last change was confirmed, the last card's
// decision committed, and every fault is over.
func (h *harness) storm(ctx context.Context, wipe bool) error {
	g, ctx := errgroup.WithContext(ctx)
	known := &cards{}
	over := h.plan.Load
	for i, m := range h.models {
		n, r := share(h.plan.Changes, len(h.models), i), h.random()
		g.Go(func() error { return change(ctx, h.site.Central, m, known, r, i, n, over) })
	}
	for i := 1; i < doors; i++ { // the first is for the end
		b, r := &badger{reader: i, known: known}, h.random()
		if i == doors-1 {
			b.known = nil // it can't tell some of them apart
		}
		g.Go(func() error { return b.run(ctx, h.site, h.witness, r, doors-1, h.plan.Events, over) })
	}
	var wiped func() error
	if wipe {
		wiped = h.site.WipeBroker
	}
	for _, v := range []struct {
		p       *site.Process
		between func() error
	}{{h.site.Panel, nil}, {h.site.CentralProcess, nil}, {h.site.Broker, wiped}} {
		r := h.random()
		g.Go(func() error { return kill(ctx, v.p, r, h.plan.Kills, over, v.between) })
	}
	for i, l := range h.links {
		r := h.random()
		g.Go(func() error { return l.suffer(ctx, r, i*len(faultKinds)/len(h.links)+i, h.plan.Cuts, over) })
	}
	return g.Wait()
}

// share is the i-th of n nearly equal shares.
func share(total, n, i int) int { return total*(i+1)/n - total*i/n }
