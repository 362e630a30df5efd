package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"postern/access"
)

// While the committers are busy each change gives up with its context, and the
// time and the doors' lookups wait for nothing.
func TestBusyCommitter(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	release, ended := make(chan struct{}), make(chan error, 2)
	busy := make(chan struct{}, 2)
	go func() {
		ended <- h.s.keysC.submit(h.ctx(), func(*keysTx) error { busy <- struct{}{}; <-release; return nil })
	}()
	go func() {
		ended <- h.s.journalC.submit(h.ctx(), func(*journalTx) error { busy <- struct{}{}; <-release; return nil })
	}()
	<-busy
	<-busy
	calls := map[string]func(context.Context) error{
		"SetLockout": func(ctx context.Context) error {
			return h.s.SetLockout(ctx, "point:front", access.Lockout{Failures: 1})
		},
		"Apply": func(ctx context.Context) error {
			_, err := h.s.Apply(ctx, access.Batch{Epoch: 1, Updates: []access.Update{put(2, 2, 12)}})
			return err
		},
		"SetPolicy": func(ctx context.Context) error {
			n, err := h.s.SetPolicy(ctx, mustPolicy(4, levelB), low24)
			if n != 0 {
				t.Errorf("SetPolicy changed %d", n)
			}
			return err
		},
		"Record": func(ctx context.Context) error {
			_, err := h.s.Record(ctx, access.Event{Type: access.PanelStarted})
			return err
		},
		"AckEvents": func(ctx context.Context) error { return h.s.AckEvents(ctx, boot1, 1) },
	}
	for name, call := range calls {
		ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with a deadline: %v", name, err)
		}
		stop()
		ctx, stop = context.WithCancel(t.Context())
		stop()
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	h.wantOpening(em(11), 1)
	if err := h.s.SetLastGood(t.Context(), start); err != nil {
		t.Errorf("SetLastGood: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("the busy one: %v", err)
		}
	}
	// The next change comes after those, which were queued all the same.
	if err := h.s.SetLockout(t.Context(), "point:back", access.Lockout{Failures: 2}); err != nil {
		t.Errorf("SetLockout afterwards: %v", err)
	}
	if l, err := h.s.Lockout("point:front"); err != nil || l.Failures != 1 {
		t.Errorf("the one that was given up: %+v, %v", l, err)
	}
}

// A caller that gives up while the committer is at its policy shares nothing
// with it any more; the race detector sees to that.
func TestPolicyGivenUp(t *testing.T) {
	var giveUp atomic.Pointer[context.CancelFunc]
	h := newHarness(t, func(o *Options) {
		o.Now = func() time.Time { // the committer asks as it begins
			if stop := giveUp.Load(); stop != nil {
				(*stop)()
			}
			return start
		}
	})
	const keys = 200
	var ups []access.Update
	for i := range uint64(keys) {
		ups = append(ups, put(i+1, i+1, 1000+i))
	}
	h.apply(ups...)
	for i := range 10 {
		ctx, stop := context.WithCancel(t.Context())
		giveUp.Store(&stop)
		n, err := h.s.SetPolicy(ctx, mustPolicy(4, []access.ID{levelB, levelA}[i%2]), full)
		if err == nil && n != keys || err != nil && (n != 0 || !errors.Is(err, context.Canceled)) {
			t.Errorf("round %d: %d changed, %v", i, n, err)
		}
		giveUp.Store(nil)
		stop()
	}
	// The next change comes after the last policy, whoever waits for that.
	if err := h.s.SetLockout(t.Context(), "point:back", access.Lockout{Failures: 1}); err != nil {
		t.Error(err)
	}
	h.wantOpening(em(1000), 1)
}
