package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"postern/access"
)

// install builds a keys.db from the snapshot while the one in use goes on, and
// then, with the committer paused, brings it up to date and puts it in use.
func (s *Store) install(ctx context.Context, m access.Snapshot) error {
	var policy *access.Policy
	var matchers []access.Matcher
	var refused error
	s.installing.Store(true)
	defer s.installing.Store(false)
	err := s.keysC.submit(ctx, func(u *keysTx) error {
		policy, matchers = u.policy, u.matchers
		if refused = u.mayTake(m); refused == nil && !u.keeping.of(m) {
			refused = errOvertaken
		}
		return nil
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	b, err := s.newBuild(m, policy, matchers)
	if err != nil {
		return err
	}
	defer b.close()
	err = guard(func() error {
		if err := b.load(ctx); err != nil {
			return err
		}
		if err := b.replay(ctx); err != nil {
			return err
		}
		if err := b.flush(); err != nil {
			return err
		}
		return b.db.Sync() // so that there is little left to sync during the pause
	})
	if err != nil {
		return err
	}
	// Files that are being copied can't be exchanged: wait for that here, not while
	// the committer is paused.
	select {
	case s.copying <- struct{}{}:
		defer func() { <-s.copying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.keysC.pause(ctx, func() error { return b.putInUse(ctx) }); err != nil {
		return err
	}
	// The index of before and what the lines were read into: a small board has better
	// use for that than a heap that would keep it for minutes.
	debug.FreeOSMemory()
	return nil
}

// putInUse is what happens while the committer is paused.
func (b *build) putInUse(ctx context.Context) error {
	if err := b.catchUp(ctx); err != nil {
		return err
	}
	if err := b.copyOver(ctx); err != nil {
		return err
	}
	if err := b.report(ctx); err != nil {
		return err
	}
	st := b.u.st
	if err := b.commit(); err != nil {
		return err
	}
	if err := b.sync(); err != nil {
		return err
	}
	s := b.s
	if err := os.Rename(b.db.Path(), s.keys.path); err != nil {
		return err
	}
	// From here on the new file is the one that the next start finds.
	b.inUse = true
	if err := syncDir(s.dir()); err != nil {
		s.log.Error("a power cut may bring the keys back that were before the snapshot", "err", err)
	}
	s.exchangeKeys(b.db, b.index)
	s.pinLost.Store(false)
	s.published(st)
	signal(s.statusReady)
	s.stage.forget(b.m.ID)
	return nil
}

// catchUp takes up the last notes, and a policy that came meanwhile.
func (b *build) catchUp(ctx context.Context) error {
	s := b.s
	if s.keys.dead.Load() {
		return fmt.Errorf("%s: %w", s.keys.name, ErrDamaged)
	}
	var now keysState
	var keeping keeping
	err := s.keys.view(func(tx *bbolt.Tx) (err error) {
		if now, err = readKeysState(tx); err == nil {
			_, keeping, err = readKeeping(tx)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := b.replay(ctx); err != nil {
		return err
	}
	switch {
	case now.epoch > b.m.Epoch:
		return access.ErrOldEpoch
	case !keeping.of(b.m), now.epoch == b.m.Epoch && now.revision > b.upTo:
		return errOvertaken
	}
	b.u.st.statusSeq = now.statusSeq
	if now.policy == b.u.st.policy && now.matchers == b.u.st.matchers {
		return nil
	}
	b.policy, b.matchers = s.policy, s.matchers
	_, err = b.u.setPolicy(s.policy, s.matchers)
	return b.changed(err)
}

// copyOver copies what no snapshot brings.
func (b *build) copyOver(ctx context.Context) error {
	for _, name := range [][]byte{bucketLockout, bucketStatus, bucketPlaces} {
		for after := []byte(nil); ; {
			rows, err := b.s.rowsAfter(name, after)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1].key
			if _, err := b.tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
			for _, r := range rows {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := b.tx.Bucket(name).Put(r.key, r.value); err != nil {
					return err
				}
				if err := b.put(len(r.key) + len(r.value)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// bucketRow is a row as it is.
type bucketRow struct{ key, value []byte }

// rowsAfter gives some rows of a bucket as they are.
func (s *Store) rowsAfter(name, after []byte) (rows []bucketRow, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(name)
		if b == nil {
			return nil // places and local keys may lack
		}
		c := b.Cursor()
		k, v := c.Seek(after)
		if after != nil && bytes.Equal(k, after) {
			k, v = c.Next()
		}
		for size := 0; k != nil && size < buildTx; k, v = c.Next() {
			rows = append(rows, bucketRow{bytes.Clone(k), bytes.Clone(v)})
			size += len(k) + len(v)
		}
		return nil
	})
	return rows, err
}

// report puts the results into the outbox: in numbered parts those keys of the
// snapshot that failed, then those of the changes that were taken up.
func (b *build) report(ctx context.Context) error {
	n := 0
	failures := func(do func(access.Result) error) error {
		return b.eachOf(ctx, &b.failed, func(id access.ID) error {
			_, v, ok, err := b.u.load(id)
			if err != nil || !ok || v.err == access.Applied || v.revision > b.m.Revision {
				return err
			}
			return do(v.result(id))
		})
	}
	if err := failures(func(access.Result) error { n++; return nil }); err != nil {
		return err
	}
	row := access.StatusRow{Epoch: b.m.Epoch, Snapshot: b.m.ID, Revision: b.m.Revision}
	row.Of = uint64(max(1, (n+access.MaxRowResults-1)/access.MaxRowResults))
	parts := rowWriter{b: b, row: row}
	if err := failures(parts.add); err != nil {
		return err
	}
	if parts.row.Part < row.Of {
		if err := parts.flush(); err != nil {
			return err
		}
	}
	return b.reportNoted(ctx)
}

func (b *build) reportNoted(ctx context.Context) error {
	rows := rowWriter{b: b, row: access.StatusRow{Epoch: b.m.Epoch}}
	for after := b.m.Revision; ctx.Err() == nil; {
		var list []note
		err := b.s.keys.view(func(tx *bbolt.Tx) (err error) {
			list, err = notes(tx, after, notesRead)
			return err
		})
		if err != nil {
			return err
		}
		for _, n := range list {
			after = n.revision
			_, v, ok, err := b.u.load(n.id)
			if err == nil && ok && v.revision == n.revision {
				err = rows.add(v.result(n.id))
			}
			if err != nil {
				return err
			}
		}
		if len(list) == 0 && len(rows.row.Results) > 0 {
			return rows.flush()
		}
		if len(list) == 0 {
			return nil
		}
	}
	return ctx.Err()
}

// rowWriter puts results into rows of the outbox, as full as may be.
type rowWriter struct {
	b   *build
	row access.StatusRow
}

func (w *rowWriter) add(r access.Result) error {
	if w.row.Results = append(w.row.Results, r); len(w.row.Results) < access.MaxRowResults {
		return nil
	}
	return w.flush()
}

func (w *rowWriter) flush() error {
	if w.row.Of > 0 {
		w.row.Part++
	}
	if err := w.b.u.addRow(w.row); err != nil {
		return err
	}
	n := len(w.row.Results)
	w.row.Results = w.row.Results[:0]
	return w.b.put(touchBytes + n*64)
}

// sync makes the build durable, and has its commits do so from now on.
func (b *build) sync() error {
	b.db.NoSync, b.db.NoGrowSync = false, false
	size := int64(0)
	err := b.db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if err != nil {
		return err
	}
	// Its last pages may have been given out and never written.
	info, err := os.Stat(b.db.Path())
	if err == nil && info.Size() < size {
		err = os.Truncate(b.db.Path(), size)
	}
	if err != nil {
		return err
	}
	return b.db.Sync()
}
