package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"postern/access"
)

// Bounds of opening.
const (
	compactPages = 256 // a smaller file is not worth compacting
	compactTx    = 1 << 20
	lockWait     = time.Second
)

// opening is the state of one Open.
type opening struct {
	o   *Options
	s   *Store
	rec Recovery
}

// spec is what differs between the two files.
type spec struct {
	name string
	suit func(*bbolt.Tx) error                         // nil error: it is this panel's
	fill func(db *bbolt.DB, aside string) (int, error) // makes it of an empty file, from what was put aside
}

func (op *opening) open(ctx context.Context) error {
	if err := os.MkdirAll(op.o.Dir, 0o700); err != nil {
		return err
	}
	keys, journal := spec{"keys.db", op.suitKeys, op.fillKeys}, spec{"journal.db", suitJournal, op.fillJournal}
	found, err := op.lookAtAll(ctx, keys.name, journal.name)
	if err != nil {
		return err
	}
	if op.s.keys, err = op.file(keys, found[keys.name]); err != nil {
		return fmt.Errorf("keys.db: %w", err)
	}
	if op.s.journal, err = op.file(journal, found[journal.name]); err != nil {
		return fmt.Errorf("journal.db: %w", err)
	}
	if err := op.s.lastGood.load(); err != nil {
		op.rec.Reasons = append(op.rec.Reasons, lastGoodName+": "+err.Error())
	}
	if err := op.s.start(&op.rec); err != nil {
		return err
	}
	return op.staged()
}

// look is what was found of a database before any was touched.
type look struct {
	there  bool
	reason error // its damage
}

// lookAtAll inspects everything first. A file that is newer, or that can't be
// opened now, so leaves all the others as they are too.
func (op *opening) lookAtAll(ctx context.Context, names ...string) (map[string]look, error) {
	if err := newerSmall(op.o.Dir); err != nil {
		return nil, err
	}
	found := map[string]look{}
	for _, name := range names {
		path := filepath.Join(op.o.Dir, name)
		there, err := exists(path)
		var reason error
		if err == nil && there {
			reason, err = op.inspect(ctx, path)
		}
		if errors.Is(err, ErrNewer) {
			return nil, newerFile(path, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[name] = look{there, reason}
	}
	return found, nil
}

// file opens one database, whatever state it is in.
func (op *opening) file(sp spec, found look) (*file, error) {
	f := &file{name: sp.name, path: filepath.Join(op.o.Dir, sp.name), log: op.o.Log, damaged: op.s.damaged}
	if !found.there {
		return f, op.replace(f, sp, nil)
	}
	reason, err := found.reason, error(nil)
	if reason == nil {
		reason, err = op.use(f, sp)
		if err != nil {
			return f, err
		}
		if reason == nil {
			return f, op.settle(f)
		}
	}
	err = putAside(f.path, op.o.Now())
	if errors.Is(err, syscall.EROFS) {
		op.rec.Reasons = append(op.rec.Reasons, sp.name+": "+reason.Error())
		op.cannotWrite(f, reason)
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("put aside: %w", err)
	}
	return f, op.replace(f, sp, reason)
}

// cannotWrite makes f a file that is not there and that nothing can put there.
func (op *opening) cannotWrite(f *file, why error) {
	f.cause = fmt.Errorf("%s: %w, and there is nothing to read: %w", f.name, ErrReadOnly, why)
	op.rec.ReadOnly = true
}

// make creates a file, from what can be saved of the one put aside, and opens it.
func (op *opening) make(f *file, sp spec, aside string) error {
	saved := 0
	err := create(f.path, func(db *bbolt.DB) (err error) {
		saved, err = sp.fill(db, aside)
		return err
	})
	if errors.Is(err, syscall.EROFS) {
		op.rec.Reasons = append(op.rec.Reasons, sp.name+": is missing, and the file system is read-only")
		op.cannotWrite(f, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	op.rec.Salvaged += saved
	reason, err := op.use(f, sp)
	return firstErr(err, reason)
}

// inspect checks a file before it is opened. A reason is damage; an error is
// anything that says nothing about the content.
func (op *opening) inspect(ctx context.Context, path string) (reason, err error) {
	if err := probeLock(path); err != nil {
		return nil, err
	}
	err = ErrUnchecked
	if op.o.Check != nil {
		err = op.o.Check(ctx, path)
	}
	if errors.Is(err, ErrUnchecked) && ctx.Err() == nil {
		err = CheckFile(path)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrNewer):
		return nil, err // damaged or not: the program that knows its form sees to it
	case errors.Is(err, ErrLocked) || err != nil && probeLock(path) != nil:
		return nil, ErrLocked
	}
	if text, err := os.ReadFile(marker(path)); err == nil {
		return fmt.Errorf("damage met when it was last in use: %s", clip(string(text), 2*maxDetail)), nil
	}
	return err, nil
}

// probeLock reports whether another process has the file open, ErrLocked, or
// whether it can't be opened at all.
func probeLock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if time.Now().After(deadline) {
			return ErrLocked
		}
	}
}

// use opens a file that was found whole, read-only if it must, and compacts it.
func (op *opening) use(f *file, sp spec) (reason, err error) {
	db, err := openDB(f.path, false)
	if errors.Is(err, syscall.EROFS) {
		f.cause = fmt.Errorf("%s: %w: %w", f.name, ErrReadOnly, err)
		op.rec.ReadOnly = true
		op.rec.Reasons = append(op.rec.Reasons, sp.name+": the file system is read-only")
		db, err = openDB(f.path, true)
	}
	if errors.Is(err, ErrDamaged) {
		return err, nil
	}
	if err != nil {
		return nil, err
	}
	f.db.Store(db)
	reason = guard(func() error { return db.View(sp.suit) })
	if errors.Is(reason, ErrNewer) { // the check that Open was given overlooked it
		f.db.Store(nil)
		return nil, errors.Join(newerFile(f.path, reason), db.Close())
	}
	if reason != nil {
		f.db.Store(nil)
		return reason, db.Close()
	}
	if f.cause != nil {
		return nil, nil
	}
	return nil, op.compact(f)
}

func openDB(path string, readOnly bool) (db *bbolt.DB, err error) {
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, boltOptions(readOnly))
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		err = ErrLocked
	case errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, err
}

// create makes a database under another name and renames it when it is whole: a
// torn creation is a file that bbolt can't open.
func create(path string, fill func(*bbolt.DB) error) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openDB(tmp, false)
	if err != nil {
		return err
	}
	db.NoSync = true // finishFile syncs it whole
	err = fill(db)
	return finishFile(db, tmp, path, err)
}

// finishFile closes a new database and puts it in its place, unless it failed.
func finishFile(db *bbolt.DB, tmp, path string, err error) error {
	if err == nil {
		err = db.Sync()
	}
	if e := db.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = moveFile(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// compact rewrites a file of which more pages are free than in use. Being short
// of room for that is no reason not to start.
func (op *opening) compact(f *file) error {
	pages, free, err := freePages(f.db.Load())
	if err != nil || pages < compactPages || free <= pages/2 {
		return err
	}
	tmp := f.path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dst, err := openDB(tmp, false)
	if err == nil {
		if err = bbolt.Compact(dst, f.db.Load(), compactTx); err == nil {
			err = dst.Sync()
		}
		err = errors.Join(err, dst.Close())
	}
	if err != nil {
		os.Remove(tmp)
		op.o.Log.Warn("store not compacted", "file", f.name, "err", err)
		return nil
	}
	if err := f.db.Swap(nil).Close(); err != nil {
		return err
	}
	if err := moveFile(tmp, f.path); err != nil {
		return err
	}
	db, err := openDB(f.path, false)
	if err == nil {
		f.db.Store(db)
	}
	return err
}

func freePages(db *bbolt.DB) (pages, free int, err error) {
	tx, err := db.Begin(true)
	if err != nil {
		return 0, 0, err
	}
	pages = int(tx.Size() / pageSize)
	if err := tx.Rollback(); err != nil { // counts the free pages
		return 0, 0, err
	}
	st := db.Stats()
	return pages, st.FreePageN + st.PendingPageN, nil
}

func (op *opening) suitKeys(tx *bbolt.Tx) error {
	st, err := readKeysState(tx)
	if err != nil {
		return err
	}
	if st.device != op.s.secrets.check() {
		return errors.New("device key changed")
	}
	if _, err = buckets(tx, bucketStatus, bucketLockout); err != nil {
		return err
	}
	return op.s.readIndex(tx, st)
}

func suitJournal(tx *bbolt.Tx) error {
	if _, err := readJournalState(tx); err != nil {
		return err
	}
	_, err := buckets(tx, bucketEvents)
	return err
}

func makeBuckets(tx *bbolt.Tx, names ...[]byte) ([]*bbolt.Bucket, error) {
	out := make([]*bbolt.Bucket, len(names))
	for i, n := range names {
		var err error
		if out[i], err = tx.CreateBucket(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fillKeys makes an empty keys.db. Nothing is saved from a damaged one: central
// has it all, and half a set of keys opens doors to those whose removal was lost.
func (op *opening) fillKeys(db *bbolt.DB, aside string) (int, error) {
	return 0, db.Update(func(tx *bbolt.Tx) error {
		meta, err := op.s.makeKeys(tx, op.s.policy, op.s.matchers)
		if err != nil || aside == "" || !otherDevice(aside, op.s.secrets.check()) {
			return err
		}
		return meta.Put(metaLost, seal(tagMeta, metaLost, []byte{recordVersion}))
	})
}

// makeKeys makes the buckets of a keys.db without a key, and its state.
func (s *Store) makeKeys(tx *bbolt.Tx, p *access.Policy, m []access.Matcher) (meta *bbolt.Bucket, err error) {
	b, err := makeBuckets(tx, bucketMeta, bucketKeys, bucketStatus, bucketLockout)
	if err != nil {
		return nil, err
	}
	st := keysState{device: s.secrets.check(), matchers: hashMatchers(m), policy: hashPolicy(p)}
	return b[0], writeMeta(b[0], st.encode())
}

// otherDevice reports whether a keys.db that was put aside is whole and another
// device key's.
func otherDevice(path string, check hash16) (other bool) {
	if checkStructure(path) != nil {
		return false
	}
	db, err := openDB(path, true)
	if err != nil {
		return false
	}
	_ = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			st, err := readKeysState(tx)
			other = err == nil && st.device != check
			return err
		})
	})
	_ = guard(db.Close)
	return other
}

// fillJournal makes a journal with the events of a damaged one that can be read,
// as many as fit.
func (op *opening) fillJournal(db *bbolt.DB, aside string) (int, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := makeBuckets(tx, bucketMeta, bucketEvents)
		return err
	})
	if err != nil {
		return 0, err
	}
	var st journalState
	if aside != "" {
		if st, err = op.saveEvents(db, aside); err != nil {
			return 0, err
		}
	}
	return int(st.waiting + st.kept), db.Update(func(tx *bbolt.Tx) error { return writeMeta(tx.Bucket(bucketMeta), st.encode()) })
}

// saveEvents puts into a new journal what can be read of a damaged one. What
// can't is lost; it must not keep the daemon from starting.
func (op *opening) saveEvents(db *bbolt.DB, aside string) (st journalState, err error) {
	f, err := os.Open(aside)
	if err != nil {
		op.o.Log.Warn("journal not salvaged", "err", err)
		return st, nil
	}
	defer f.Close()
	saved, err := salvage(f, op.o.Keep+op.o.Cap)
	if err != nil {
		op.o.Log.Warn("journal not salvaged", "err", err)
	}
	st.last, st.confirmed = saved.last, min(saved.confirmed, saved.last)
	st.kept, st.waiting, err = saved.copyTo(db, f, st.confirmed)
	return st, err
}
