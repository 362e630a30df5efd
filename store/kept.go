package store

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"postern/access"
)

// While a snapshot is staged, changes of its epoch above its revision are applied
// as ever and noted: which key, at which revision. They are noted in the
// transaction that applies them, so that no power cut separates the two. When the
// snapshot is installed, the notes say which keys to take from the file in use,
// and which to remove. What a key was put to stands there already, with its PIN
// and code as they are always stored, and needs no second copy.

// maxKept bounds the notes. What is staged meanwhile is given up past them: it
// has been overtaken.
const maxKept = 1 << 20

// keptFor is the row that says for which snapshot changes are noted. The keys of
// the other rows are revisions, which have another length.
var keptFor = []byte("for")

// keeping is the snapshot for which changes are noted; the zero value is none.
type keeping struct {
	id              access.ID
	epoch, revision uint64
}

func (k keeping) of(m access.Snapshot) bool {
	return k == keeping{id: m.ID, epoch: m.Epoch, revision: m.Revision}
}

func readKeeping(tx *bbolt.Tx) (b *bbolt.Bucket, k keeping, err error) {
	if b = tx.Bucket(bucketKept); b == nil {
		return nil, k, nil
	}
	payload, err := unseal(tagKept, keptFor, b.Get(keptFor))
	if err != nil {
		return b, k, err
	}
	d := decoder{b: payload}
	d.u8()
	k = keeping{id: d.id(), epoch: d.uvarint(), revision: d.uvarint()}
	return b, k, d.done("note of what is staged")
}

// mayTake says why a snapshot must not be taken, nil when it may.
func (u *keysTx) mayTake(m access.Snapshot) error {
	switch {
	case m.Epoch < u.st.epoch:
		return fmt.Errorf("%w: it is of epoch %d, the panel of %d", access.ErrOldEpoch, m.Epoch, u.st.epoch)
	case m.Epoch == u.st.epoch && m.Revision < u.st.revision && !u.keeping.of(m):
		return fmt.Errorf("%w: it is of revision %d, the panel at %d", access.ErrStale, m.Revision, u.st.revision)
	}
	return nil
}

// keepFor begins to note changes for a snapshot that may be taken, or goes on.
func (u *keysTx) keepFor(m access.Snapshot) error {
	if u.keeping.of(m) {
		return nil
	}
	if err := u.keepNothing(); err != nil {
		return err
	}
	b, err := u.meta.Tx().CreateBucket(bucketKept)
	if err != nil {
		return err
	}
	b.FillPercent = 1 // notes are only appended
	u.kept, u.keeping = b, keeping{id: m.ID, epoch: m.Epoch, revision: m.Revision}
	row := append([]byte{recordVersion}, m.ID[:]...)
	row = appendUvarints(row, m.Epoch, m.Revision)
	return u.put(b, keptFor, seal(tagKept, keptFor, row))
}

func (u *keysTx) keepNothing() error {
	if u.kept == nil {
		return nil
	}
	u.touched, u.kept, u.keeping = true, nil, keeping{}
	return u.meta.Tx().DeleteBucket(bucketKept)
}

// keep notes a change that is being applied, if what is staged will need it.
func (u *keysTx) keep(revision uint64, id access.ID) error {
	if u.kept == nil || u.st.epoch != u.keeping.epoch || revision <= u.keeping.revision {
		return nil
	}
	if revision-u.keeping.revision > maxKept {
		u.gaveUp = u.keeping.id
		return u.keepNothing()
	}
	key := seqKey(revision)
	u.kept.FillPercent = 1
	return u.put(u.kept, key, seal(tagKept, key, append([]byte{recordVersion}, id[:]...)))
}

// note is a change that was noted, and what the key has been put to by now.
type note struct {
	revision uint64
	id       access.ID
	there    bool // the key is
	row      keyRow
	dec      decision
}

// notes gives at most limit changes noted after a revision, in order.
func notes(tx *bbolt.Tx, after uint64, limit int) (out []note, err error) {
	b := tx.Bucket(bucketKept)
	if b == nil {
		return nil, nil
	}
	c := b.Cursor()
	for k, v := c.Seek(seqKey(after + 1)); k != nil && len(out) < limit; k, v = c.Next() {
		if seqOf(k) == 0 {
			continue // keptFor
		}
		n, err := readNote(k, v)
		if err != nil {
			return nil, err
		}
		n.row, n.dec, n.there, err = readKey(tx, n.id)
		if err != nil {
			return nil, err
		}
		if n.there && n.dec.revision < n.revision {
			return nil, fmt.Errorf("%w: key %s is of revision %d, and was changed at %d", ErrDamaged, n.id, n.dec.revision, n.revision)
		}
		out = append(out, n)
	}
	return out, nil
}

func readNote(k, v []byte) (n note, err error) {
	payload, err := unseal(tagKept, k, v)
	if err != nil {
		return n, err
	}
	d := decoder{b: payload}
	d.u8()
	n = note{revision: seqOf(k), id: d.id()}
	return n, d.done("note of a change")
}

func checkKept(tx *bbolt.Tx) error {
	b, _, err := readKeeping(tx)
	if err != nil || b == nil {
		return err
	}
	return b.ForEach(func(k, v []byte) error {
		if seqOf(k) == 0 {
			return nil
		}
		_, err := readNote(k, v)
		return err
	})
}

// errOvertaken is for a snapshot that lacks changes that the panel has.
var errOvertaken = errors.New("changes that came meanwhile were not noted")
