package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The last good time outlives both files, and is there before Run.
func TestLastGoodSurvivesQuarantine(t *testing.T) {
	h := newHarness(t)
	for _, at := range []time.Time{start, start.Add(-time.Hour)} { // the second is lower, and wins
		if err := h.s.SetLastGood(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if got := h.s.LastGood(); !got.Equal(at) {
			t.Errorf("LastGood %v, want %v", got, at)
		}
		h.stop()
		for _, name := range bothFiles {
			putFile(t, h.path(name), []byte("bad"))
		}
		s, rec, err := Open(t.Context(), h.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.LastGood(); !got.Equal(at) || len(rec.Quarantined) != 2 || len(rec.Reasons) != 2 {
			t.Errorf("LastGood %v, want %v; recovery %+v", got, at, rec)
		}
		h.run(s, rec)
	}
}

// A damaged last good time is told, no reason not to start, and replaced by the
// next one.
func TestLastGoodDamaged(t *testing.T) {
	h := newHarness(t)
	if err := h.s.SetLastGood(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	h.stop()
	good := readFile(t, h.path("last-good"))
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if at, err := decodeLastGood(bad); !errors.Is(err, ErrDamaged) || !at.IsZero() {
			t.Errorf("byte %d: %v, %v", i, at, err)
		}
		if at, err := decodeLastGood(good[:i]); !errors.Is(err, ErrDamaged) || !at.IsZero() {
			t.Errorf("cut to %d: %v, %v", i, at, err)
		}
	}
	for name, bad := range map[string][]byte{"empty": {}, "torn": good[:5], "long": make([]byte, 1<<20)} {
		putFile(t, h.path("last-good"), bad)
		h.open()
		if got := h.s.LastGood(); !got.IsZero() || len(h.rec.Reasons) != 1 || len(h.rec.Quarantined) > 0 {
			t.Errorf("%s: LastGood %v, recovery %+v", name, got, h.rec)
		}
		if err := h.s.SetLastGood(t.Context(), start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		h.reopen()
		if got := h.s.LastGood(); !got.Equal(start) || len(h.rec.Reasons) > 0 {
			t.Errorf("%s, set again: LastGood %v, recovery %+v", name, got, h.rec)
		}
		h.stop()
	}
	// What a power cut leaves of the next one.
	putFile(t, h.path("last-good.new"), []byte{1})
	h.open()
	if got := h.s.LastGood(); !got.Equal(start) || len(h.rec.Reasons) > 0 {
		t.Errorf("after a cut: LastGood %v, recovery %+v", got, h.rec)
	}
}

func TestLastGoodRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := genTime(t)
		if got, err := decodeLastGood(encodeLastGood(at)); err != nil || !got.Equal(at) {
			t.Fatalf("%v, %v, want %v", got, err, at)
		}
	})
}

func TestSetLastGoodRefuses(t *testing.T) {
	h := newHarness(t)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := h.s.SetLastGood(ended, start); !errors.Is(err, context.Canceled) || !h.s.LastGood().IsZero() {
		t.Errorf("with an ended context: %v, LastGood %v", err, h.s.LastGood())
	}
	s := h.s
	h.stop()
	if err := s.SetLastGood(t.Context(), start); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := os.Stat(filepath.Join(h.o.Dir, "last-good")); !os.IsNotExist(err) {
		t.Errorf("it was written all the same: %v", err)
	}
}
