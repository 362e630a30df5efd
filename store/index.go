package store

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"postern/access"
)

// index tells which keys have a credential. It lies in memory and is made of the
// keys when their file is opened: on the card it would double what a change
// writes, and could disagree with them.
//
// What it gives are hints. A key is among them from before the commit that gives
// it the credential until after the one that takes it away, and a transaction
// that was given up leaves some behind. Whoever asks reads the keys and sees for
// himself; that none is left out is what the index is for.
type index struct {
	seed maphash.Seed

	mu    sync.RWMutex
	one   map[uint64]claimed  // of credentials that one key has
	many  map[uint64]*holders // of those that several have
	codes map[entry]struct{}
	added [256]uint32 // how often a key was added, by a part of the credential's hash
}

// holders are the keys that have one credential. Those that came since somebody
// asked are put in order when the next one does: there may be very many.
type holders struct {
	list  []claimed // in order, each once; never changed, but replaced
	fresh []claimed
}

func (h *holders) settle() {
	all := slices.Concat(h.list, h.fresh)
	slices.SortFunc(all, claimed.compare)
	h.list, h.fresh = slices.Compact(all), nil
}

// claimed is a key that has a credential, by a claim.
type claimed struct {
	claim uint64
	id    access.ID
}

// compare orders the keys that have one credential: it belongs to the first.
func (c claimed) compare(d claimed) int {
	return cmp.Or(cmp.Compare(c.claim, d.claim), compareIDs(c.id, d.id))
}

func compareIDs(a, b access.ID) int { return bytes.Compare(a[:], b[:]) }

// entry is a key under one of its credentials. Two credentials of one key may by
// chance be the same entry, once in 2^64 pairs; of different keys it makes no
// difference.
type entry struct {
	cred uint64
	claimed
	code bool
}

// newIndex makes room for a number of credentials.
func newIndex(creds int) *index {
	return &index{
		seed: maphash.MakeSeed(), one: make(map[uint64]claimed, creds), many: map[uint64]*holders{}, codes: map[entry]struct{}{},
	}
}

// readIndex makes the index of a file of keys.
func (s *Store) readIndex(tx *bbolt.Tx, st keysState) error {
	b, err := buckets(tx, bucketKeys)
	if err != nil {
		return err
	}
	x := newIndex(int(min(st.creds, maxRoom)))
	err = eachRecord(b[0], func(id access.ID, r *keyRow, _ *decision) {
		for _, c := range r.creds {
			x.add(x.entry(c, claimed{r.claim, id}))
		}
	})
	s.index.Store(x)
	return err
}

func (x *index) entry(cred []byte, c claimed) entry {
	return entry{maphash.Bytes(x.seed, cred), c, bytes.HasPrefix(cred, []byte{codePrefix})}
}

// find gives the keys that may have a credential, in order. The caller must not
// change them.
func (x *index) find(cred []byte) []claimed {
	list, _ := x.look(cred)
	return list
}

// look is find for whoever reads the keys in another transaction than the one that
// changes them: while the mark is what it was, no key has come to the credential.
func (x *index) look(cred []byte) (list []claimed, mark uint32) {
	hash := maphash.Bytes(x.seed, cred)
	for {
		list = nil
		x.mu.RLock()
		mark = x.added[hash%uint64(len(x.added))]
		c, single := x.one[hash]
		h, fresh := x.many[hash], false
		if h != nil {
			list, fresh = h.list, len(h.fresh) > 0
		}
		x.mu.RUnlock()
		switch {
		case single:
			return []claimed{c}, mark
		case !fresh:
			return list, mark
		}
		x.mu.Lock()
		h.settle() // of holders that are no longer in use, to no effect
		x.mu.Unlock()
	}
}

// add has a key found by a credential, and says whether others may have it too;
// alone is the one that had it alone until now.
func (x *index) add(e entry) (alone claimed, shared bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.code {
		x.codes[e] = struct{}{}
	}
	h := x.many[e.cred]
	c, single := x.one[e.cred]
	if single && c == e.claimed {
		return claimed{}, false
	}
	x.added[e.cred%uint64(len(x.added))]++
	switch {
	case single:
		delete(x.one, e.cred)
		x.many[e.cred] = &holders{fresh: []claimed{c, e.claimed}}
		return c, true
	case h != nil:
		h.fresh = append(h.fresh, e.claimed)
		return claimed{}, true
	}
	x.one[e.cred] = e.claimed
	return claimed{}, false
}

// forget has keys no more found by credentials.
func (x *index) forget(gone map[entry]struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	creds := map[uint64]bool{} // seen to
	for e := range gone {
		delete(x.codes, e)
		if x.one[e.cred] == e.claimed {
			delete(x.one, e.cred)
		}
		h := x.many[e.cred]
		if h == nil || creds[e.cred] {
			continue
		}
		creds[e.cred] = true
		h.settle()
		left := slices.DeleteFunc(slices.Clone(h.list), func(c claimed) bool {
			_, is := gone[entry{e.cred, c, e.code}]
			return is
		})
		if len(left) > 1 {
			h.list = left
			continue
		}
		delete(x.many, e.cred)
		if len(left) == 1 {
			x.one[e.cred] = left[0]
		}
	}
}

// withCodes gives the keys that may have a code.
func (x *index) withCodes() []access.ID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]access.ID, 0, len(x.codes))
	for e := range x.codes {
		out = append(out, e.id)
	}
	slices.SortFunc(out, compareIDs)
	return slices.Compact(out)
}
