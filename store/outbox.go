package store

import (
	"context"

	"go.etcd.io/bbolt"

	"postern/access"
)

// NextStatus gives the first row of the status outbox after seq that is not
// confirmed, false when there is none.
func (s *Store) NextStatus(after uint64) (row access.StatusRow, ok bool, err error) {
	if after == ^uint64(0) {
		return row, false, nil
	}
	err = s.keys.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketStatus)
		if err != nil {
			return err
		}
		c := b[0].Cursor()
		acked := s.acked()
		oldest, _ := c.Seek(seqKey(acked + 1))
		k, v := c.Seek(seqKey(max(after, acked) + 1))
		if k == nil {
			return nil
		}
		row, err = decodeStatusRow(k, v)
		row.Oldest = seqOf(oldest)
		ok = err == nil
		return err
	})
	return row, ok, err
}

// LastStatus is the number of the last row of the status outbox, confirmed or not,
// as committed; 0 when there has been none.
func (s *Store) LastStatus() uint64 { return s.status.Load() }

func decodeStatusRow(k, v []byte) (access.StatusRow, error) {
	payload, err := unseal(tagStatus, k, v)
	if err != nil {
		return access.StatusRow{}, err
	}
	row, err := decodeStatus(payload)
	row.Seq = seqOf(k)
	row.After = row.Seq - 1
	return row, err
}

// ackedRows is how many rows at least are trimmed for their own sake.
const ackedRows = 64

// AckStatus takes the rows of the status outbox up to seq as confirmed, if the
// row held under seq was written under boot; any other confirmation is of a store
// that was restored, and is ignored. The rows are not given again from then on,
// and are trimmed with the next change, or once there are many: a commit of their
// own would cost as much as the change that they answer. After a power cut before
// that they are sent once more, which central confirms once more.
func (s *Store) AckStatus(ctx context.Context, boot access.ID, seq uint64) error {
	var rows uint64
	err := s.keys.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketStatus)
		if err != nil {
			return err
		}
		v := b[0].Get(seqKey(seq))
		if v == nil {
			return nil
		}
		row, err := decodeStatusRow(seqKey(seq), v)
		if err != nil || row.BootID != boot {
			return err
		}
		oldest, _ := b[0].Cursor().First()
		rows = seq - seqOf(oldest) + 1
		s.confirm(boot, seq)
		return nil
	})
	if err != nil || rows < ackedRows {
		return err
	}
	return s.keysC.submit(ctx, func(u *keysTx) error { return u.trimStatus() })
}

// confirmed is a row of the status outbox that was.
type confirmed struct {
	boot access.ID
	seq  uint64
}

// Confirmed is the last row of the status outbox that was confirmed since the
// start, and the boot under which it was written; zeros when none was.
func (s *Store) Confirmed() (boot access.ID, seq uint64) {
	if c := s.confirmed.Load(); c != nil {
		return c.boot, c.seq
	}
	return access.ID{}, 0
}

// confirm moves the confirmed end of the outbox on.
func (s *Store) confirm(boot access.ID, seq uint64) {
	c := &confirmed{boot, seq}
	for {
		was := s.confirmed.Load()
		if was != nil && seq <= was.seq || s.confirmed.CompareAndSwap(was, c) {
			return
		}
	}
}

// acked is the number of the row that was confirmed last since the start, 0 when
// none was.
func (s *Store) acked() uint64 {
	_, seq := s.Confirmed()
	return seq
}

// trimStatus removes the confirmed rows.
func (u *keysTx) trimStatus() error {
	through := u.s.acked()
	var keys [][]byte // collected first: a cursor gets lost when its bucket changes
	c := u.status.Cursor()
	for k, _ := c.First(); k != nil && seqOf(k) <= through; k, _ = c.Next() {
		keys = append(keys, seqKey(seqOf(k)))
	}
	for _, k := range keys {
		if err := u.remove(u.status, k); err != nil {
			return err
		}
	}
	return nil
}

// StatusReady has a signal after each commit that added rows to the status
// outbox, and at the start when there are rows; signals that nobody has taken
// are one.
func (s *Store) StatusReady() <-chan struct{} { return s.statusReady }
