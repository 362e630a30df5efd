package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// ErrBusy is the answer while the store is being copied already, or while a
// snapshot is just being put in use.
var ErrBusy = errors.New("the store is busy")

// Put takes one file of a copy: its name, its size in bytes, and what writes it.
type Put func(name string, size int64, write func(io.Writer) error) error

// Copy hands over the files that another panel could go on from: both databases
// as they are at one moment, with every change that was committed before the
// call, and the small files beside them. A snapshot that is arriving is left out.
// Changes go on meanwhile, but one that makes a database's file grow may wait
// until the copy ends: the receiver has to be quick, and ctx to have an end. At
// most one copy is made at a time; a second is ErrBusy.
func (s *Store) Copy(ctx context.Context, put Put) error {
	select {
	case s.copying <- struct{}{}:
		defer func() { <-s.copying }()
	default:
		return ErrBusy
	}
	var stopped error // of ctx or of the receiver: nothing that the file is to blame for
	err := s.keys.view(func(keys *bbolt.Tx) error {
		return s.journal.view(func(journal *bbolt.Tx) error {
			stopped = s.putAll(ctx, put, keys, journal)
			return nil
		})
	})
	if err = errors.Join(err, stopped); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	return nil
}

func (s *Store) putAll(ctx context.Context, put Put, keys, journal *bbolt.Tx) error {
	for _, db := range []struct {
		name string
		tx   *bbolt.Tx
	}{{s.keys.name, keys}, {s.journal.name, journal}} {
		err := put(db.name, db.tx.Size(), func(w io.Writer) error {
			u := &until{ctx: ctx, w: w}
			_, err := db.tx.WriteTo(u)
			return cmp.Or(u.err, err)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", db.name, err)
		}
	}
	names, err := documentNames(s.dir())
	if err != nil {
		return err
	}
	for _, name := range append(names, lastGoodName) {
		data, err := readBounded(filepath.Join(s.dir(), name), maxDocument+64)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = put(name, int64(len(data)), func(w io.Writer) error {
				_, err := (&until{ctx: ctx, w: w}).Write(data)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// documentNames are the files of the documents in a folder.
func documentNames(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range all {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), documentSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// until writes until its context ends. It keeps the error that ended it, which
// bbolt gives as text alone.
type until struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (u *until) Write(b []byte) (n int, err error) {
	if u.err = u.ctx.Err(); u.err == nil {
		n, u.err = u.w.Write(b)
	}
	return n, u.err
}
