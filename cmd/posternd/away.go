package main

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"postern/access"
	"postern/store"
)

const (
	documentHeard = "heard"
	heardEvery    = 10 * time.Minute // how exactly a restart knows when central was heard of
)

// away is how long central has been away. What a restart knows of the time before
// it lies in a document, so that to switch a panel off and on doesn't bring keys
// back that need central.
type away struct {
	dir     string
	clock   func() access.Clock
	heard   func() time.Time // by this start's link; zero is not yet
	started time.Time
	log     *slog.Logger

	mu     sync.Mutex // guards the rest
	before time.Time  // heard of before the start, by the wall clock; zero is never
	lost   bool       // when is not known any more
}

func newAway(dir string, clock func() access.Clock, heard func() time.Time, log *slog.Logger) *away {
	a := &away{dir: dir, clock: clock, heard: heard, started: time.Now(), log: log}
	b, err := store.ReadDocument(dir, documentHeard)
	if err == nil && b != nil {
		err = a.before.UnmarshalText(b)
	}
	if err != nil {
		a.lost = true
		log.Warn("when central was last heard of is not known; it counts as away since long ago", "error", err)
	}
	return a
}

// long is how long ago central was heard of. A panel that never heard of it has
// no keys that could need it, and counts from its start.
func (a *away) long() time.Duration {
	if t := a.heard(); !t.IsZero() {
		return time.Since(t)
	}
	a.mu.Lock()
	before, lost := a.before, a.lost
	a.mu.Unlock()
	if lost {
		return math.MaxInt64
	}
	up := time.Since(a.started)
	if before.IsZero() {
		return up
	}
	c := a.clock()
	if c.State == access.ClockUntrusted {
		// So much is certain.
		return max(c.LastGood.Sub(before), 0) + up
	}
	return max(c.Now.Sub(before), up)
}

// run keeps when central was last heard of, while the clock is to be believed.
func (a *away) run(ctx context.Context) error {
	tick := time.NewTicker(heardEvery)
	defer tick.Stop()
	var kept time.Time
	for {
		if t := a.heard(); !t.IsZero() && t != kept && a.clock().State != access.ClockUntrusted {
			// By the clock as it is now: it may have been set since.
			text, err := a.clock().Now.Add(-time.Since(t)).Round(0).UTC().MarshalText()
			if err == nil {
				err = store.WriteDocument(a.dir, documentHeard, text)
			}
			if err != nil {
				a.log.Warn("keep when central was heard of", "error", err)
			} else {
				kept = t
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
