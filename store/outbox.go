package store

import (
	"context"

	"go.etcd.io/bbolt"

	"postern/access"
)

// NextStatus gives the first row of the status outbox after seq, false when
// there is none.
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
		oldest, _ := c.First()
		k, v := c.Seek(seqKey(after + 1))
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

// AckStatus trims the rows of the status outbox up to seq, if the row held under
// seq was written under boot; any other confirmation is of a store that was
// restored, and is ignored. It returns after the commit.
func (s *Store) AckStatus(ctx context.Context, boot access.ID, seq uint64) error {
	return s.keysC.submit(ctx, func(u *keysTx) error { return u.ackStatus(boot, seq) })
}

func (u *keysTx) ackStatus(boot access.ID, seq uint64) error {
	v := u.status.Get(seqKey(seq))
	if v == nil {
		return nil
	}
	row, err := decodeStatusRow(seqKey(seq), v)
	if err != nil || row.BootID != boot {
		return err
	}
	var keys [][]byte // collected first: a cursor gets lost when its bucket changes
	c := u.status.Cursor()
	for k, _ := c.First(); k != nil && seqOf(k) <= seq; k, _ = c.Next() {
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
