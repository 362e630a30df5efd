package store

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"postern/access"
)

// Lookup gives the keys with this credential that count at the doors, none when
// nobody has it. Levels are as stored, also those that the policy doesn't have;
// a code's Identification is zero. On an error the caller denies.
func (s *Store) Lookup(c access.Credential) (keys []access.Key, err error) {
	prefix := s.secrets.prefix(c)
	if prefix == nil {
		return nil, nil
	}
	s.exchange.RLock()
	defer s.exchange.RUnlock()
	x := s.index.Load()
	for {
		holders, mark := x.look(prefix)
		if keys, err = s.opening(prefix, holders); err != nil {
			return nil, err
		}
		// The index is read before the keys: one that got the credential since, while
		// another lost it, is found the next time.
		if _, now := x.look(prefix); now == mark {
			return append(keys, s.local.Load().find(prefix)...), nil
		}
	}
}

// opening gives the key that a credential belongs to, if that opens.
func (s *Store) opening(cred []byte, holders []claimed) (keys []access.Key, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		for _, c := range holders {
			r, v, ok, err := readKey(tx, c.id)
			if err != nil {
				return err
			}
			if ok && r.claim == c.claim && hasPrefix(r.creds, cred) {
				if v.opens {
					keys = append(keys, v.key)
				}
				return nil
			}
		}
		return nil
	})
	return keys, err
}

// PINMatches compares a PIN as typed with the one that k has in the store. It
// takes the same time whatever was typed, down to its branches, and for a key
// without one.
func (s *Store) PINMatches(k access.Key, pin string) (bool, error) {
	want := make([]byte, macSize)
	have := 0
	if l := (*s.local.Load())[k.ID]; l != nil && l.dec.pin != nil {
		have = 1
		copy(want, l.dec.pin)
	}
	err := s.keys.view(func(tx *bbolt.Tx) error {
		_, v, ok, err := readKey(tx, k.ID)
		if ok && v.pin != nil {
			have = 1
			copy(want, v.pin)
		}
		return err
	})
	same := subtle.ConstantTimeCompare(s.secrets.pin(k.ID, pin), want)
	if err != nil {
		return false, err
	}
	return same&have == 1, nil
}

func readKey(tx *bbolt.Tx, id access.ID) (r keyRow, v decision, ok bool, err error) {
	b, err := buckets(tx, bucketKeys)
	if err != nil {
		return r, v, false, err
	}
	return loadKey(b[0], id)
}

// KeyInfo is a key for people: its latest put and what became of it. Of a put
// that can't be a key there is the id alone.
type KeyInfo struct {
	Key             access.Key // Identification is zero for a code
	Revision, Claim uint64
	Result          access.Result
}

func keyInfo(id access.ID, r *keyRow, v *decision) KeyInfo {
	return KeyInfo{Key: v.key, Revision: v.revision, Claim: r.claim, Result: v.result(id)}
}

// Key gives a key by its id, false when the panel has no such key.
func (s *Store) Key(id access.ID) (info KeyInfo, ok bool, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		var r keyRow
		var v decision
		r, v, ok, err = readKey(tx, id)
		if ok {
			info = keyInfo(id, &r, &v)
		}
		return err
	})
	return info, ok, err
}

// Keys gives at most limit keys in the order of their ids, from the first after
// the given one; the zero ID starts at the beginning.
func (s *Store) Keys(after access.ID, limit int) (out []KeyInfo, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketKeys)
		if err != nil {
			return err
		}
		c := b[0].Cursor()
		k, _ := c.Seek(after[:])
		if bytes.Equal(k, after[:]) {
			k, _ = c.Next()
		}
		for ; k != nil && len(out) < limit; k, _ = c.Next() {
			id := access.ID(k)
			r, v, _, err := loadKey(b[0], id)
			if err != nil {
				return err
			}
			out = append(out, keyInfo(id, &r, &v))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Lockout gives the count of wrong entries of a subject, "key:<uuid>" or
// "point:<id>"; the zero Lockout when there is none.
func (s *Store) Lockout(subject string) (l access.Lockout, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketLockout)
		if err != nil {
			return err
		}
		v := b[0].Get([]byte(subject))
		if v == nil {
			return nil
		}
		payload, err := unseal(tagLockout, []byte(subject), v)
		if err != nil {
			return err
		}
		l, err = decodeLockout(payload)
		return err
	})
	return l, err
}

// SetLockout keeps the count of wrong entries of a subject, as SetLockouts does.
func (s *Store) SetLockout(ctx context.Context, subject string, l access.Lockout) error {
	return s.SetLockouts(ctx, map[string]access.Lockout{subject: l})
}

// SetLockouts keeps the counts of wrong entries of subjects, all of them or none,
// and forgets those that are zero. It returns after the commit, so that pulling the
// plug buys nobody another guess.
func (s *Store) SetLockouts(ctx context.Context, all map[string]access.Lockout) error {
	for subject := range all {
		if subject == "" || len(subject) > maxSubject {
			return fmt.Errorf("lockout: a subject has 1 to %d bytes", maxSubject)
		}
	}
	all = maps.Clone(all)
	return s.keysC.submit(ctx, func(u *keysTx) error {
		for _, subject := range slices.Sorted(maps.Keys(all)) {
			if err := u.setLockout([]byte(subject), all[subject]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (u *keysTx) setLockout(subject []byte, l access.Lockout) error {
	switch {
	case !l.IsZero():
		return u.put(u.lockout, subject, seal(tagLockout, subject, encodeLockout(l)))
	case u.lockout.Get(subject) != nil:
		return u.remove(u.lockout, subject)
	}
	return nil
}
