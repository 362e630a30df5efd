package store

import (
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"postern/access"
)

// bigJournal makes a journal of so many events.
func bigJournal(t *testing.T, path string, events, confirmed uint64) {
	t.Helper()
	event := encodeEvent(access.Event{Type: access.GrantedCard, At: start, BootID: boot1})
	err := create(path, func(db *bbolt.DB) error {
		for from := uint64(1); from <= events; from += 20_000 {
			err := db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(bucketEvents)
				if err != nil {
					return err
				}
				b.FillPercent = 1
				for seq := from; seq < min(from+20_000, events+1); seq++ {
					key := seqKey(seq)
					if err := b.Put(key, seal(tagEvent, key, append([]byte{}, event...))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(bucketMeta)
			if err != nil {
				return err
			}
			st := journalState{last: events, confirmed: confirmed, waiting: events - confirmed, kept: confirmed}
			return writeMeta(b, st.encode())
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSalvageOfManyEvents: of a damaged journal with very many events (a million with
// POSTERN_TEST_SALVAGE=1), salvage holds no more than where the newest are, and
// saves those.
func TestSalvageOfManyEvents(t *testing.T) {
	events := uint64(200_000)
	if os.Getenv("POSTERN_TEST_SALVAGE") != "" { // the race detector takes minutes for it
		events = 1_000_000
	}
	h := newHarness(t)
	h.stop()
	bigJournal(t, h.path("journal.db"), events, events-600)
	f, err := os.OpenFile(h.path("journal.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Without its headers nothing leads to anything.
	if _, err := f.WriteAt(make([]byte, 2*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	most := h.o.Keep + h.o.Cap
	s, err := salvage(f, most)
	if err != nil {
		t.Fatal(err)
	}
	if bound := 2 * (most + most/4 + saveAtOnce); len(s.rows) != most || cap(s.rows) > bound {
		t.Errorf("%d rows with room for %d, want %d with at most %d", len(s.rows), cap(s.rows), most, bound)
	}
	h.open()
	if h.rec.Salvaged != most || len(h.rec.Quarantined) != 1 {
		t.Errorf("recovery %+v, want %d events saved", h.rec, most)
	}
	seqs, _ := h.recent()
	if seqs[0] != events || len(h.waiting()) != 600 {
		t.Errorf("the newest is %d of %d, %d wait", seqs[0], len(seqs), len(h.waiting()))
	}
	h.reopen()
	if len(h.rec.Reasons) > 0 {
		t.Errorf("what was salvaged is itself damaged: %v", h.rec.Reasons)
	}
}
