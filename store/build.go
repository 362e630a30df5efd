package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"postern/access"
)

// The names that a snapshot is built under.
const (
	buildName = "snapshot.build"
	sortName  = "snapshot.sort" // of programs of before
)

// Bounds of building.
const (
	buildTx    = 1 << 20  // bytes of rows in one transaction
	touchBytes = 4 * 1024 // what a change in no order counts for
	maxIDs     = 1 << 16  // keys remembered one by one
	notesRead  = 256      // notes read at a time
	fillSorted = 0.9      // of pages that are filled in order
	maxRoom    = 1 << 20  // credentials that the index has room for from the start
)

// ErrBadSnapshot is a snapshot that is not what its manifest says, or of which a
// line can't be read. It is dropped.
var ErrBadSnapshot = errors.New("the snapshot is bad")

// build is a keys.db in the making: the keys of a snapshot, and what was noted
// since. Nothing of it is synced until it is whole, and until then it has another
// name. Transactions are there to bound memory.
//
// Keys come ordered by id, which fills the tree; the index fills beside it. Keys
// of which it has several for one credential are judged again when it is whole.
type build struct {
	s        *Store
	m        access.Snapshot
	policy   *access.Policy
	matchers []access.Matcher

	db    *bbolt.DB
	index *index
	tx    *bbolt.Tx
	u     *keysTx
	bytes int // put in this transaction

	last    access.ID
	line    int
	contend idSet  // may have a credential that another key has
	failed  idSet  // may have failed; the others have not
	upTo    uint64 // the revision of the last note taken up
	inUse   bool
}

// idSet is a number of keys, or all when it would be too many to remember.
type idSet struct {
	ids []access.ID
	all bool
}

func (s *idSet) add(id access.ID) {
	switch {
	case s.all || len(s.ids) > 0 && s.ids[len(s.ids)-1] == id:
	case len(s.ids) == maxIDs:
		s.ids, s.all = nil, true
	default:
		s.ids = append(s.ids, id)
	}
}

func (s *Store) newBuild(m access.Snapshot, p *access.Policy, matchers []access.Matcher) (*build, error) {
	dir := filepath.Dir(s.keys.path)
	path := filepath.Join(dir, buildName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := openDB(path, false)
	if err != nil {
		return nil, err
	}
	db.NoSync, db.NoGrowSync = true, true
	b := &build{
		s: s, m: m, policy: p, matchers: matchers, db: db, upTo: m.Revision, index: newIndex(int(min(m.Count, maxRoom))),
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := s.makeKeys(tx, p, matchers); err != nil {
			return err
		}
		return s.copyLocal(tx)
	})
	if err == nil {
		err = b.begin()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close gives the build up, unless it is in use by now.
func (b *build) close() {
	if b.inUse {
		return
	}
	if b.tx != nil {
		_ = guard(b.tx.Rollback)
	}
	path := b.db.Path()
	_ = guard(b.db.Close)
	_ = os.Remove(path) // one that stays goes at the next start
}

func (b *build) begin() error {
	tx, err := b.db.Begin(true)
	if err != nil {
		return err
	}
	b.tx, b.bytes = tx, 0
	if b.u, err = b.s.keysTx(tx, b.index, b.policy, b.matchers); err != nil {
		return err
	}
	b.u.keys.FillPercent = fillSorted
	return nil
}

func (b *build) commit() error {
	if err := writeMeta(b.u.meta, b.u.st.encode()); err != nil {
		return err
	}
	tx := b.tx
	b.tx = nil
	if err := tx.Commit(); err != nil {
		return err
	}
	b.index.forget(b.u.gone)
	return nil
}

// flush goes on in another transaction.
func (b *build) flush() error {
	if err := b.commit(); err != nil {
		return err
	}
	return b.begin()
}

// put counts what was put, and goes on in another transaction when that is much.
func (b *build) put(n int) error {
	if b.bytes += n; b.bytes < buildTx {
		return nil
	}
	return b.flush()
}

// load builds tree and index from the chunks, and holds them against the manifest.
func (b *build) load(ctx context.Context) error {
	if err := b.readLines(ctx); err != nil {
		return err
	}
	st := &b.u.st
	if st.count != b.m.Count || st.digest != b.m.Digest {
		return fmt.Errorf("%w: it has %d keys with digest %.8s, its manifest says %d with %.8s",
			ErrBadSnapshot, st.count, st.digest, b.m.Count, b.m.Digest)
	}
	st.epoch, st.revision = b.m.Epoch, b.m.Revision
	return b.eachOf(ctx, &b.contend, func(id access.ID) error {
		_, err := b.u.rejudge(id)
		return b.changed(err)
	})
}

// changed remembers whose judgement a change has changed.
func (b *build) changed(err error) error {
	if err != nil {
		return err
	}
	for _, r := range b.u.results {
		b.failed.add(r.ID)
	}
	b.u.results = b.u.results[:0]
	return b.put(touchBytes)
}

// eachOf calls do for the keys of a set, which may end the transaction.
func (b *build) eachOf(ctx context.Context, s *idSet, do func(access.ID) error) error {
	if !s.all {
		slices.SortFunc(s.ids, compareIDs)
		s.ids = slices.Compact(s.ids)
		return each(ctx, s.ids, do)
	}
	for from := []byte{0}; from != nil; {
		var ids []access.ID
		ids, from = b.u.idsFrom(from, rejudgeChunk)
		if err := each(ctx, ids, do); err != nil {
			return err
		}
	}
	return nil
}

func each(ctx context.Context, ids []access.ID, do func(access.ID) error) error {
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(id); err != nil {
			return err
		}
	}
	return nil
}

// replay takes up what was noted since; it reads the file in use a little at a
// time, whose commits wait for those who read.
func (b *build) replay(ctx context.Context) error {
	for ctx.Err() == nil {
		var list []note
		err := b.s.keys.view(func(tx *bbolt.Tx) (err error) {
			list, err = notes(tx, b.upTo, notesRead)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, n := range list {
			if n.revision != b.upTo+1 {
				return fmt.Errorf("%w: after revision %d", errOvertaken, b.upTo)
			}
			b.upTo = n.revision
			if err := b.changed(b.follow(n)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// follow does what was done to the file in use.
func (b *build) follow(n note) error {
	switch {
	case !n.there:
		return b.u.consume(n.revision, n.id, nil, nil)
	case n.dec.revision > n.revision: // the key was put again, which comes later
		b.u.st.revision = n.revision
		return nil
	}
	row := keyRow{claim: n.row.claim, creds: b.u.credsNow(&n.row, &n.dec)}
	return b.u.consume(n.revision, n.id, &row, &n.dec)
}
