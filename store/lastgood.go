package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lastGoodName is the file of the last good time, and the key of its checksum.
const lastGoodName = "last-good"

// maxLastGood bounds what is read of it.
const maxLastGood = 64

// lastGood is the last time that is known to have passed. It lies in a file of
// its own, which a damaged database doesn't take along: a panel without it would
// believe a clock that went back, just when its keys come anew. There is one copy
// and no choice of the later, since a clock set right may lower it.
type lastGood struct {
	path string
	at   atomic.Pointer[time.Time]

	mu      sync.Mutex // guards the file and stopped
	stopped bool
}

func newLastGood(dir string) *lastGood {
	l := &lastGood{path: filepath.Join(dir, lastGoodName)}
	l.at.Store(&time.Time{})
	return l
}

// load reads the file; the time is zero when there is none or it can't be read.
func (l *lastGood) load() error {
	b, err := readBounded(l.path, maxLastGood)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := decodeLastGood(b)
	l.at.Store(&t)
	return err
}

func (l *lastGood) set(ctx context.Context, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return ErrStopped
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := writeFile(l.path, encodeLastGood(t))
	if errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", lastGoodName, err)
	}
	l.at.Store(&t)
	return nil
}

// stop refuses what comes later: the files may be another process's by then.
func (l *lastGood) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

func encodeLastGood(t time.Time) []byte {
	return seal(tagLastGood, []byte(lastGoodName), appendTime([]byte{recordVersion}, t))
}

func decodeLastGood(b []byte) (time.Time, error) {
	payload, err := unseal(tagLastGood, []byte(lastGoodName), b)
	if err != nil {
		return time.Time{}, err
	}
	d := decoder{b: payload}
	d.bytes(1)
	t := d.time()
	if err := d.done("last good time"); err != nil {
		return time.Time{}, err
	}
	return t, nil
}

// readBounded reads at most so many bytes of a file.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// LastGood is the last time that is known to have passed, zero when none is. It
// is valid as soon as the store is open.
func (s *Store) LastGood() time.Time { return *s.lastGood.at.Load() }

// SetLastGood keeps a time that is known to have passed, also one before the
// last. It returns when that is on the disk, and waits for no other change. It
// outlives damage to either database.
func (s *Store) SetLastGood(ctx context.Context, t time.Time) error {
	return s.lastGood.set(ctx, t.Round(0).UTC())
}
