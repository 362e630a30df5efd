package store

import (
	"encoding/binary"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"postern/access"
)

// In the files of before, a key's record said by which credentials it is found, and
// what a door needs to know stood under each of them in a bucket of its own,
// ordered (credential, claim, key).

// loadSplit reads a key of before, of whose record this is the payload.
func loadSplit(tx *bbolt.Tx, id access.ID, payload []byte) (rec record, err error) {
	r, err := decodeKeyRow(payload)
	if err != nil {
		return rec, err
	}
	rec.row, rec.dec = r, r.bare(id)
	if len(r.creds) == 0 {
		return rec, nil
	}
	b, err := buckets(tx, bucketCreds)
	if err != nil {
		return rec, err
	}
	k := slices.Concat(r.creds[0], binary.BigEndian.AppendUint64(nil, r.claim), id[:])
	if payload, err = unseal(tagCred, k, b[0].Get(k)); err == nil {
		rec.dec, err = decodeDecision(id, payload)
	}
	return rec, err
}

// uniteAtOnce is how many keys one transaction brings into the form of today.
const uniteAtOnce = 4096

// unite brings the keys from an id on into the form of today, a part of them at a
// time, and gives where to go on. With the last it removes what they came from.
func (u *keysTx) unite(from []byte) (next []byte, err error) {
	ids, next := u.idsFrom(from, uniteAtOnce)
	for _, id := range ids {
		r, v, _, err := u.load(id)
		if err == nil {
			err = u.save(id, &r, &v)
		}
		if err != nil {
			return nil, err
		}
	}
	if next != nil {
		return next, nil
	}
	u.touched = true
	return nil, u.meta.Tx().DeleteBucket(bucketCreds)
}

// uniteAtStart brings a file of before into the form of today. Being unable to
// write is no reason not to start: the keys are read in either form.
func (s *Store) uniteAtStart() error {
	split := false
	if s.keys.cause != nil {
		return nil
	}
	err := s.keys.view(func(tx *bbolt.Tx) error { split = tx.Bucket(bucketCreds) != nil; return nil })
	if err != nil || !split {
		return err
	}
	for next := []byte{0}; next != nil && err == nil; {
		err, _ = s.keysC.try([]*job[*keysTx]{{do: func(u *keysTx) (err error) {
			next, err = u.unite(next)
			return err
		}}})
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		s.log.Warn("keys.db stays in the form of before", "err", err)
		return nil
	}
	return err
}
