package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

func TestAwayOverRestarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards c and heard
		c := access.Clock{State: access.ClockTrusted}
		var heard time.Time
		clock := func() access.Clock {
			mu.Lock()
			defer mu.Unlock()
			c.Now = time.Now()
			return c
		}
		set := func(change func()) {
			mu.Lock()
			defer mu.Unlock()
			change()
		}
		start := func() (*away, func()) {
			a := newAway(dir, clock, func() time.Time { mu.Lock(); defer mu.Unlock(); return heard }, slog.New(slog.DiscardHandler))
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = a.run(ctx) }()
			return a, func() { stop(); <-done }
		}
		want := func(a *away, least, most time.Duration) {
			t.Helper()
			if got := a.long(); got < least || got > most {
				t.Errorf("away for %v, want %v to %v", got, least, most)
			}
		}
		a, stop := start()
		time.Sleep(time.Hour)
		want(a, time.Hour, time.Hour) // never heard of
		set(func() { heard = time.Now() })
		time.Sleep(heardEvery + time.Minute)
		want(a, heardEvery, heardEvery+time.Minute)
		stop()

		set(func() { heard = time.Time{} })
		time.Sleep(48 * time.Hour)
		a, stop = start()
		want(a, 48*time.Hour, 49*time.Hour)
		// Without a clock only what is certain counts, and it grows.
		set(func() { c.State, c.LastGood = access.ClockUntrusted, time.Now().Add(-24*time.Hour) })
		time.Sleep(time.Hour)
		want(a, 24*time.Hour, 26*time.Hour)
		stop()
	})
}
