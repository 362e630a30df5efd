package store

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Errors that callers may tell apart.
var (
	// ErrDamaged is content that is not what was written. The caller denies.
	ErrDamaged = errors.New("stored data is damaged")
	// ErrLocked is a file that another process has open. It is no damage.
	ErrLocked = errors.New("in use by another process")
	// ErrReadOnly is a change to a store on a read-only file system.
	ErrReadOnly = errors.New("the store is read-only")
	// ErrStopped is a change after Run has ended.
	ErrStopped = errors.New("the store has stopped")
	// ErrUnchecked is for Options.Check: the check could not be run, which says
	// nothing about the file. Open then checks in its own process.
	ErrUnchecked = errors.New("the check could not be run")
)

// guard turns a panic, or a fault in mapped memory, into an error that is
// ErrDamaged: both are what bbolt does with a damaged page.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return do()
}

// file is one of the two databases.
type file struct {
	name    string // for people
	path    string
	db      atomic.Pointer[bbolt.DB] // nil when there is nothing to read; changes when a snapshot is installed
	cause   error                    // why it can't be changed, nil when it can
	log     *slog.Logger
	damaged *alarm
	dead    atomic.Bool // damage was met: nothing more is written
}

// alarm is the channel that Damaged gives, closed once.
type alarm struct {
	once sync.Once
	c    chan struct{}
}

// view runs a read transaction. Damage is reported and comes back as an error.
func (f *file) view(do func(*bbolt.Tx) error) error {
	for {
		db := f.db.Load()
		if db == nil {
			return f.cause
		}
		err := guard(func() error { return db.View(do) })
		switch {
		case err == nil || f.db.Load() == db:
			return f.watch(err)
		case !errors.Is(err, berrors.ErrDatabaseNotOpen):
			return fmt.Errorf("%s: %w", f.name, err) // of a file that is out of use
		}
		// It was exchanged before the transaction began.
	}
}

// retire closes a database that is out of use, once the transactions that read it
// have ended.
func (f *file) retire(old *bbolt.DB) {
	if err := guard(old.Close); err != nil {
		f.log.Warn("file that is out of use not closed", "file", f.name, "err", err)
	}
}

// watch passes an error on, with the file's name, and sees to it that damage has
// its consequences: no further writes, a marker for the next start, the alarm.
func (f *file) watch(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", f.name, err)
	if !errors.Is(err, ErrDamaged) || f.dead.Swap(true) {
		return err
	}
	f.log.Error("store is damaged", "file", f.name, "err", err)
	if e := writeFile(marker(f.path), []byte(err.Error())); e != nil {
		f.log.Warn("damage could not be marked", "file", f.name, "err", e)
	}
	f.damaged.once.Do(func() { close(f.damaged.c) })
	return err
}

func marker(path string) string { return path + ".damaged" }

func (f *file) close() error {
	db := f.db.Load()
	if db == nil {
		return nil
	}
	if err := guard(db.Close); err != nil {
		return fmt.Errorf("close %s: %w", f.name, err)
	}
	return nil
}
