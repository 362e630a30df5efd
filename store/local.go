package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"postern/access"
)

// A local key is kept at this panel alone, for its installer or for emergencies.
// Its claim is lower than any of central's: it is refused while another key has its
// credential, and afterwards whoever asks for that credential is told AccessKeyInUse.
// It counts neither towards the digest nor towards the count, no result of it goes
// into the outbox, and snapshots and policies leave it as it is.
//
// There are few, so the doors find them in memory (Store.local), and a transaction
// reads them all.

// MaxLocalKeys bounds the local keys of a panel.
const MaxLocalKeys = 32

// Why a local key can't be added or removed.
var (
	ErrInvalidKey = errors.New("this can't be a key of this panel")
	ErrInUse      = errors.New("another key on this panel has this credential")
	ErrManyLocal  = fmt.Errorf("there are %d local keys, and no more may be", MaxLocalKeys)
)

// localKeys are those of a transaction, or of the doors, by id, with what the
// matchers and the policy in force make of them.
type localKeys map[access.ID]*record

// AddLocal keeps a key at this panel alone: a put, whose revision and claim don't
// count. ErrInvalidKey, with the reason, is for a put that can't be a key or that
// this panel could not open for; ErrInUse, ErrManyLocal and ErrInstalling are the
// others. It returns after the commit.
func (s *Store) AddLocal(ctx context.Context, up access.Update) error {
	var refused error
	up.Op, up.Revision, up.Claim = access.Put, 0, 0
	err := s.keysC.submit(ctx, func(u *keysTx) (err error) {
		refused, err = u.addLocal(up)
		return err
	})
	return firstErr(err, refused)
}

// RemoveLocal removes a local key, false when there is none with that id. Whoever
// was told AccessKeyInUse for it is judged again. It returns after the commit.
func (s *Store) RemoveLocal(ctx context.Context, id access.ID) (bool, error) {
	var had bool
	var refused error
	err := s.keysC.submit(ctx, func(u *keysTx) (err error) {
		if had = u.local[id] != nil; !had {
			return nil
		}
		if refused = u.mayChangeLocal(); refused != nil {
			return nil
		}
		return u.removeLocal(id)
	})
	return had, firstErr(err, refused)
}

// LocalKeys gives the local keys by id.
func (s *Store) LocalKeys() []KeyInfo {
	local := *s.local.Load()
	out := make([]KeyInfo, 0, len(local))
	for _, id := range slices.SortedFunc(maps.Keys(local), compareIDs) {
		out = append(out, keyInfo(id, &local[id].row, &local[id].dec))
	}
	return out
}

func (u *keysTx) mayChangeLocal() error {
	if u.s.installing.Load() {
		return ErrInstalling // the build has its own copy
	}
	return nil
}

func (u *keysTx) addLocal(up access.Update) (refused, err error) {
	if refused := u.mayChangeLocal(); refused != nil {
		return refused, nil
	}
	row, dec := u.s.latest(up, u.matchers)
	dec.judge(u.policy, false, u.now)
	switch {
	case dec.err != access.Applied:
		return fmt.Errorf("%w: %s", ErrInvalidKey, dec.detail), nil
	case len(row.creds) == 0:
		return fmt.Errorf("%w: none of its readers can read this card", ErrInvalidKey), nil
	case len(u.local) >= MaxLocalKeys:
		return ErrManyLocal, nil
	case u.local[up.ID] != nil || u.keys.Get(up.ID[:]) != nil:
		return fmt.Errorf("%w: there is a key with this id", ErrInvalidKey), nil
	}
	for _, c := range row.creds {
		owner, err := u.owner(c)
		if err != nil {
			return nil, err
		}
		if u.local.has(c) || !owner.IsZero() {
			return ErrInUse, nil
		}
	}
	b, err := u.meta.Tx().CreateBucketIfNotExists(bucketLocal)
	if err != nil {
		return nil, err
	}
	if u.local == nil {
		u.local = localKeys{}
	}
	l := &record{row, dec}
	u.local[up.ID] = l
	return nil, u.put(b, up.ID[:], seal(tagLocal, up.ID[:], l.encode(recordVersion)))
}

func (u *keysTx) removeLocal(id access.ID) error {
	creds := u.local[id].row.creds
	delete(u.local, id)
	if err := u.remove(u.meta.Tx().Bucket(bucketLocal), id[:]); err != nil {
		return err
	}
	for _, c := range creds {
		owner, err := u.owner(c)
		if err == nil && !owner.IsZero() {
			_, err = u.rejudge(owner)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// has reports whether a local key has a credential.
func (l localKeys) has(cred []byte) bool {
	for _, v := range l {
		if hasPrefix(v.row.creds, cred) {
			return true
		}
	}
	return false
}

// find gives the local keys that open with a credential.
func (l localKeys) find(cred []byte) (out []access.Key) {
	for _, v := range l {
		if v.dec.opens && hasPrefix(v.row.creds, cred) {
			out = append(out, v.dec.key)
		}
	}
	return out
}

// readLocal reads the local keys of a file, as the policy and the matchers have
// them; a file without any has no bucket for them.
func (s *Store) readLocal(tx *bbolt.Tx, p *access.Policy, m []access.Matcher) (localKeys, error) {
	b := tx.Bucket(bucketLocal)
	if b == nil {
		return nil, nil
	}
	out := localKeys{}
	err := eachLocal(b, func(id access.ID, l *record) { out[id] = l })
	if err != nil {
		return nil, err
	}
	s.fitLocal(out, p, m)
	return out, nil
}

// fitLocal brings local keys in line with a policy and matchers.
func (s *Store) fitLocal(local localKeys, p *access.Policy, m []access.Matcher) {
	for _, l := range local {
		if !l.dec.key.Identification.IsZero() {
			l.row.creds = s.secrets.prefixes(l.dec.key.Identification, m)
		}
		l.dec.judge(p, false, l.dec.at)
	}
}

func eachLocal(b *bbolt.Bucket, row func(access.ID, *record)) error {
	return scan(b, tagLocal, func(k, payload []byte) error {
		if len(k) != idSize {
			return fmt.Errorf("%w: a local key's id has %d bytes", ErrDamaged, len(k))
		}
		l, err := decodeRecord(access.ID(k), payload)
		if err == nil {
			row(access.ID(k), &l)
		}
		return err
	})
}

// checkLocal reads the local keys of a file for CheckFile.
func checkLocal(tx *bbolt.Tx) error {
	b := tx.Bucket(bucketLocal)
	if b == nil {
		return nil
	}
	return eachLocal(b, func(access.ID, *record) {})
}

// copyLocal copies the local keys of the file in use into another.
func (s *Store) copyLocal(to *bbolt.Tx) error {
	rows, err := s.rowsAfter(bucketLocal, nil) // all: they are fewer than one read takes
	if err != nil || len(rows) == 0 {
		return err
	}
	b, err := to.CreateBucketIfNotExists(bucketLocal)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := b.Put(r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}
