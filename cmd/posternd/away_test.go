package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

func TestAwayOverRestarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := access.Clock{State: access.ClockTrusted}
		clock := func() access.Clock { c.Now = time.Now(); return c }
		var heard time.Time
		start := func() (*away, func()) {
			a := newAway(dir, clock, func() time.Time { return heard }, slog.New(slog.DiscardHandler))
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
		heard = time.Now()
		time.Sleep(heardEvery + time.Minute)
		want(a, heardEvery, heardEvery+time.Minute)
		stop()

		heard = time.Time{}
		time.Sleep(48 * time.Hour)
		a, stop = start()
		want(a, 48*time.Hour, 49*time.Hour)
		// Without a clock only what is certain counts, and it grows.
		c.State, c.LastGood = access.ClockUntrusted, time.Now().Add(-24*time.Hour)
		time.Sleep(time.Hour)
		want(a, 24*time.Hour, 26*time.Hour)
		stop()
	})
}
