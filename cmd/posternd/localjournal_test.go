package main

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/access"
	"postern/api"
	"postern/store"
	"postern/wire"
)

// openJournal is a running store in a folder.
func openJournal(t *testing.T, dir string, boot byte) *store.Store {
	t.Helper()
	policy := &access.Policy{}
	if f := policy.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	s, _, err := store.Open(t.Context(), store.Options{
		Dir: dir, DeviceKey: make([]byte, store.DeviceKeySize), BootID: access.ID{boot}, Policy: policy,
		Keep: 5000, Cap: 5000, Log: slog.New(slog.DiscardHandler), Decode: wire.DecodeSnapshotKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done; _ = s.Close() })
	return s
}

// What is for central alone leaves no trace at the panel: not in the list, not in
// what is watched, not in the numbers, and not after a restart.
func TestDuressIsNotShown(t *testing.T) {
	dir := t.TempDir()
	var shown []api.Event
	total := 0
	var last uint64
	for boot := range byte(2) {
		t.Run(fmt.Sprint("start ", boot+1), func(t *testing.T) {
			s := openJournal(t, dir, boot+1)
			h := newHub(func(string) string { return "" }, nil)
			messages := h.watch(t.Context())
			commit := func(types ...access.EventType) {
				t.Helper()
				var ev []access.Event
				for _, typ := range types {
					ev = append(ev, access.Event{Type: typ, Door: "front"})
				}
				done, err := s.Record(t.Context(), ev...)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range done {
					total++
					last = e.Seq
					h.Recorded(e)
				}
			}
			// Some before the numbers are known, as at a start.
			commit(access.PanelStarted, access.GrantedCardPIN, access.Duress, access.AccessTaken)
			if err := h.journal.load(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			h.numbered()
			commit(access.Duress, access.GrantedCardPIN)
			commit(access.Duress)
			commit(access.GrantedCardPIN, access.Duress)

			var told []api.Event
			for len(told) < 5 {
				m := <-messages
				if m.Event == nil || m.Event.Type == access.Duress || m.Lost > 0 {
					t.Fatalf("watched %+v", m)
				}
				told = append(told, *m.Event)
			}
			select {
			case m := <-messages:
				t.Errorf("watched %+v too", m)
			default:
			}
			shown = append(shown, told...)
			for _, limit := range []int{1, 2, 3, 100} {
				before, n := uint64(0), len(shown)
				for n > 0 {
					ev, err := h.journal.recent(t.Context(), s, before, limit)
					if err != nil || len(ev) == 0 {
						t.Fatalf("recent before %d: %v, %v", before, ev, err)
					}
					for _, e := range ev {
						n--
						if n < 0 || e.Type != shown[n].Type || e.Seq != uint64(n+1) || e.Seq != shown[n].Seq {
							t.Fatalf("listed %d by %d: %+v, want %+v with number %d", n, limit, e, shown[n], n+1)
						}
					}
					before = ev[len(ev)-1].Seq
				}
			}
			n, unconfirmed := h.journal.state(s)
			if n != uint64(len(shown)) || unconfirmed != n {
				t.Errorf("the newest is %d, %d unconfirmed, want %d", n, unconfirmed, len(shown))
			}
			run, _, err := s.NextEvents(0, 100)
			if err != nil || boot == 0 && len(run.Events) != total || last != uint64(total) {
				t.Errorf("central gets %d events of %d, %v", len(run.Events), total, err)
			}
		})
	}
}

// The numbers that are shown have no gap, and lead back to the entry.
func TestLocalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newLocalJournal()
		hidden := rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "hidden")
		for _, i := range rapid.Permutation(seqs(len(hidden))).Draw(t, "order") {
			if hidden[i] {
				j.saw(access.Event{Seq: uint64(i + 1), Type: access.Duress})
			}
		}
		n := uint64(0)
		for i, h := range hidden {
			seq := uint64(i + 1)
			if !h {
				n++
				if got := j.stored(n); got != seq {
					t.Fatalf("number %d is entry %d, want %d", n, got, seq)
				}
			}
			if got := j.shown(seq); got != n {
				t.Fatalf("entry %d is shown as %d, want %d", seq, got, n)
			}
		}
	})
}

func seqs(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

func TestLocalJournalWaits(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := newLocalJournal().recent(ctx, nil, 0, 1); err == nil {
		t.Error("a journal whose numbers are not known is shown")
	}
}

// What is committed and not told yet is numbered right all the same.
func TestLocalNumbersOfTheNewest(t *testing.T) {
	s := openJournal(t, t.TempDir(), 1)
	j := newLocalJournal()
	if err := j.load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(t.Context(), access.Event{Type: access.Duress}, access.Event{Type: access.GrantedCardPIN}); err != nil {
		t.Fatal(err)
	}
	ev, err := j.recent(t.Context(), s, 0, 1)
	if err != nil || len(ev) != 1 || ev[0].Seq != 1 {
		t.Errorf("listed %+v, %v, want number 1", ev, err)
	}
	if last, _ := j.state(s); last != 1 {
		t.Errorf("the newest is %d, want 1", last)
	}
}
