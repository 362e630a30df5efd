package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"postern/access"
)

// Stage begins to take a snapshot, in place of any other that is staged, or goes
// on when this one is. It returns once the manifest is on the disk. A snapshot of
// an epoch below the panel's is access.ErrOldEpoch, one of its epoch below its
// revision access.ErrStale, one that the card has no room for an error that is
// syscall.ENOSPC; what was staged then stays, as it does while a snapshot is being
// installed (ErrInstalling).
//
// From now until it is installed or dropped, changes past the snapshot are noted,
// so that they are in force afterwards too.
func (s *Store) Stage(ctx context.Context, m access.Snapshot) error {
	if err := s.beginStage(ctx, m); err != nil {
		return fmt.Errorf("stage snapshot: %w", err)
	}
	return nil
}

func (s *Store) beginStage(ctx context.Context, m access.Snapshot) error {
	if err := checkManifest(m); err != nil {
		return err
	}
	s.stage.turn.Lock()
	defer s.stage.turn.Unlock()
	if old, _, ok := s.stage.manifest(); ok && old == m {
		return nil
	}
	if err := s.stage.free(); err != nil {
		return err
	}
	if err := enoughRoom(s.dir(), m); err != nil {
		return err
	}
	var refused error
	err := s.keysC.submit(ctx, func(u *keysTx) error {
		if refused = u.mayTake(m); refused != nil {
			return nil
		}
		return u.keepFor(m)
	})
	if err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	if err := s.stage.begin(m, s.secrets); err != nil {
		return errors.Join(err, s.keysC.submit(ctx, (*keysTx).keepNothing))
	}
	return nil
}

// Staged gives the manifest of the snapshot that is staged, and the numbers of at
// most 64 chunks that it lacks, ascending; false when none is. Restarts and power
// cuts leave what is staged, but for the chunks that came last.
func (s *Store) Staged() (m access.Snapshot, missing []int, ok bool) { return s.stage.manifest() }

// StageChunk keeps chunk n of the snapshot that is staged, encrypted under a key
// that is made of the device key. A chunk that is there already changes nothing;
// one of another snapshot is ErrNotStaged, one of another size an error.
func (s *Store) StageChunk(_ context.Context, id access.ID, n int, data []byte) error {
	if err := s.stage.put(id, n, data); err != nil {
		return fmt.Errorf("stage chunk: %w", err)
	}
	return nil
}

// Install replaces the panel's keys by those of the snapshot that is staged, with
// the changes that came since, and gives the position after it. It takes its
// time, and everything else goes on: lookups throughout, changes but for a short
// pause at the end. Lockouts and what the outbox holds stay; the results of the
// snapshot go in behind, in numbered parts that list the failed. After a power cut
// there are the old keys or the new.
//
// A snapshot of which chunks are missing, or turn out to be torn, is
// ErrIncomplete: Staged says which. One that is not what its manifest says is
// ErrBadSnapshot and is dropped, as is one that the panel has meanwhile
// overtaken. After any other error it stays staged.
func (s *Store) Install(ctx context.Context) (access.Position, error) {
	ctx, m, release, err := s.stage.install(ctx)
	if err != nil {
		return s.Position(), fmt.Errorf("install snapshot: %w", err)
	}
	err = s.install(ctx, m)
	release()
	for _, final := range []error{ErrBadSnapshot, errOvertaken, access.ErrOldEpoch, access.ErrStale} {
		if errors.Is(err, final) {
			err = errors.Join(err, s.unstage(ctx, m))
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("install snapshot: %w", err)
	}
	return s.Position(), err
}

// Unstage drops the snapshot that is staged, if any. While it is being installed
// that is ErrInstalling.
func (s *Store) Unstage(ctx context.Context) error {
	s.stage.turn.Lock()
	defer s.stage.turn.Unlock()
	err := s.stage.free()
	m, _, ok := s.stage.manifest()
	if err == nil && ok {
		err = s.unstage(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("drop snapshot: %w", err)
	}
	return nil
}

// unstage drops a snapshot, if it is still the one staged.
func (s *Store) unstage(ctx context.Context, m access.Snapshot) error {
	return s.keysC.submit(context.WithoutCancel(ctx), func(u *keysTx) error {
		u.gaveUp = m.ID
		if !u.keeping.of(m) {
			return nil
		}
		return u.keepNothing()
	})
}

// PINKeyLost reports whether the store came to another device key: its keys were
// put aside, since their PINs and codes can't be compared any more. It stays so
// until a snapshot is installed.
func (s *Store) PINKeyLost() bool { return s.pinLost.Load() }

func (s *Store) dir() string { return filepath.Dir(s.keys.path) }

// staged goes on with the snapshot that was staged, and cleans up after an
// Install that was cut. Nothing of that keeps the store from opening.
func (op *opening) staged() error {
	s := op.s
	if s.keys.cause != nil {
		return nil
	}
	for _, name := range []string{buildName, sortName, stagedName + ".new"} {
		if err := os.Remove(filepath.Join(op.o.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			op.o.Log.Warn("not removed", "file", name, "err", err)
		}
	}
	err := s.stage.load(s.secrets)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		op.o.Log.Warn("snapshot that was arriving dropped", "err", err)
		s.stage.forget(access.ID{})
	}
	kept := false
	m, _, staged := s.stage.manifest()
	err = s.keys.view(func(tx *bbolt.Tx) error { kept = tx.Bucket(bucketKept) != nil; return nil })
	if err != nil || !staged && !kept {
		return err
	}
	err, _ = s.keysC.try([]*job[*keysTx]{{do: func(u *keysTx) error {
		// A new file has no notes: the snapshot was installed, and only not removed.
		there := u.kept == nil && u.st.epoch == m.Epoch && u.st.revision == m.Revision && u.st.digest == m.Digest
		if staged && !there && u.mayTake(m) == nil {
			return u.keepFor(m)
		}
		u.gaveUp = m.ID
		return u.keepNothing()
	}}})
	return err
}
