package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"postern/access"
)

// copyInto copies a store's files into a new folder.
func copyInto(t *testing.T, s *Store) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := s.Copy(t.Context(), func(name string, size int64, write func(io.Writer) error) error {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if int64(b.Len()) != size {
			t.Errorf("%s: %d bytes, announced were %d", name, b.Len(), size)
		}
		return os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A copy made beside changes passes the check, and holds all that was committed
// before it began; of both files, and of the small ones.
func TestCopyBesideChanges(t *testing.T) {
	h := newHarness(t)
	if err := h.s.SetLastGood(t.Context(), h.o.Now()); err != nil {
		t.Fatal(err)
	}
	if err := WriteDocument(h.o.Dir, "policy", []byte("a policy")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = h.s.Record(ctx, access.Event{Type: access.GrantedCard, Door: "front"})
		}
	})
	wg.Go(func() {
		for rev := uint64(1); ctx.Err() == nil; rev++ {
			_, _ = h.s.Apply(ctx, access.Batch{Epoch: 1, Updates: []access.Update{put(rev, rev%50, rev%50)}})
		}
	})
	for range 20 {
		done, err := h.s.Record(t.Context(), access.Event{Type: access.DeniedUnknown, Door: "front"})
		if err != nil {
			t.Fatal(err)
		}
		pos := h.s.Position()
		dir := copyInto(t, h.s)
		for _, name := range []string{"keys.db", "journal.db"} {
			if err := CheckFile(filepath.Join(dir, name)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		o := h.o
		o.Dir = dir
		s, rec, err := Open(t.Context(), o)
		if err != nil || len(rec.Quarantined) > 0 {
			t.Fatalf("open the copy: %v, %+v", err, rec)
		}
		if got := s.Position(); pos.Epoch != 0 && got.Epoch != pos.Epoch || got.Revision < pos.Revision {
			t.Errorf("the copy is at %+v; before it began the store was at %+v", got, pos)
		}
		ev, err := s.Recent(done[0].Seq+1, 1)
		if err != nil || len(ev) != 1 || ev[0].Seq != done[0].Seq || ev[0].Type != access.DeniedUnknown {
			t.Errorf("event %d is %+v, %v in the copy", done[0].Seq, ev, err)
		}
		if !s.LastGood().Equal(h.s.LastGood()) {
			t.Errorf("last good time %v in the copy, want %v", s.LastGood(), h.s.LastGood())
		}
		if doc, err := ReadDocument(dir, "policy"); err != nil || string(doc) != "a policy" {
			t.Errorf("policy %q, %v", doc, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
}

// One copy at a time; one that is given up leaves the store as it was.
func TestCopyIsGivenUp(t *testing.T) {
	h := newHarness(t)
	h.record(3)
	ctx, cancel := context.WithCancel(t.Context())
	err := h.s.Copy(ctx, func(_ string, _ int64, write func(io.Writer) error) error {
		if err := h.s.Copy(t.Context(), nil); !errors.Is(err, ErrBusy) {
			t.Errorf("a second copy: %v", err)
		}
		cancel()
		return write(io.Discard)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	full := errors.New("the card is full")
	if err := h.s.Copy(t.Context(), func(string, int64, func(io.Writer) error) error { return full }); !errors.Is(err, full) {
		t.Errorf("a receiver that fails: %v", err)
	}
	select {
	case <-h.s.Damaged():
		t.Error("a copy that was given up counts as damage")
	default:
	}
	h.record(1)
	copyInto(t, h.s)
}
