package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"postern/access"
)

// Options is what a store is opened with.
type Options struct {
	// Dir holds keys.db, journal.db, what was put aside of them, a snapshot that is
	// arriving, and the last good time; it is made when absent.
	Dir string
	// DeviceKey is the panel's secret, DeviceKeySize bytes, from LoadDeviceKey. It
	// must not lie in Dir's backups: it keeps codes and PINs secret.
	DeviceKey []byte
	// BootID is random for each start of the daemon; rows keep it.
	BootID access.ID
	// Policy, compiled, and the Matchers of the panel's readers judge the keys.
	Policy   *access.Policy
	Matchers []access.Matcher
	// Keep is how many confirmed events stay for people, Cap how many unconfirmed
	// ones are held before the oldest are dropped.
	Keep, Cap int
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
	// Check is CheckFile of one path in a child process, nil to run it in this
	// one. An error that is ErrUnchecked means that the child could not be run, one
	// that is ErrNewer that the file is of a later program, ErrLocked that another
	// process has it; any other puts the file aside.
	Check func(ctx context.Context, path string) error
	// Decode reads one line of a snapshot, without its newline: the put of a key.
	// A key that can't be one is an Update with a Fault; an error, which must hold
	// no secret, makes the snapshot bad. It may be called from several goroutines.
	Decode func(line []byte) (access.Update, error)
	// Log gets damage as it is met; slog.Default when nil.
	Log *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.Dir == "":
		return errors.New("the directory is missing")
	case len(o.DeviceKey) != DeviceKeySize:
		return fmt.Errorf("the device key has %d bytes, want %d", len(o.DeviceKey), DeviceKeySize)
	case o.BootID.IsZero():
		return errors.New("the boot id is missing")
	case o.Policy == nil:
		return errors.New("the policy is missing")
	case o.Keep < 0 || o.Cap < 2:
		return errBounds
	case o.Decode == nil:
		return errors.New("the decoder of snapshots is missing")
	}
	return nil
}

// Recovery is what Open had to do besides opening.
type Recovery struct {
	Quarantined []string // paths under which damaged files now lie, those too that a start put aside that was cut
	Reasons     []string // for people: why, those of Quarantined first and in its order, then what else is not as it should be
	Salvaged    int      // events read from a damaged journal
	ReadOnly    bool     // nothing can be changed; lookups work if there was a file
}

// Store is the panel's memory. Its methods may be called from any goroutine.
type Store struct {
	now       func() time.Time
	boot      access.ID
	secrets   secrets
	keep, cap int
	decode    func(line []byte) (access.Update, error)
	log       *slog.Logger
	damaged   *alarm

	keys, journal *file
	keysC         *committer[*keysTx]
	journalC      *committer[*journalTx]

	// In force; touched by the committer of keys alone, and by Open before it.
	policy   *access.Policy
	matchers []access.Matcher

	// The file of keys and the index of it are exchanged together; whoever needs both
	// to match holds exchange meanwhile.
	exchange sync.RWMutex
	index    atomic.Pointer[index]

	pos        atomic.Pointer[access.Position]
	status     atomic.Uint64             // number of the last status row
	confirmed  atomic.Pointer[confirmed] // and the one that was confirmed last since the start
	pinLost    atomic.Bool
	stage      *stage
	local      atomic.Pointer[localKeys]
	codes      atomic.Pointer[codesAt]
	installing atomic.Bool   // a snapshot is being built, with a copy of the local keys
	handed     atomic.Uint64 // highest event that NextEvents gave
	dropped    atomic.Uint64 // events, since the start
	lastGood   *lastGood
	copying    chan struct{} // held while the files are copied, or exchanged

	statusReady, eventsReady chan struct{}
}

// Open opens the store, or makes it. Damaged files are put aside and replaced by
// empty ones, events saved as far as they can be read, and Recovery says so; so
// is a keys.db that another device key made. Keys that were judged under another
// policy or other matchers are judged again. On a read-only file system
// the store can be read, and every change is an error that is ErrReadOnly.
//
// Errors are what the store can't help: a file that another process has open
// (ErrLocked), missing permissions, a full disk, and a file that a later program
// has written (ErrNewer), which leaves every file as it is.
func Open(ctx context.Context, o Options) (*Store, Recovery, error) {
	if err := o.validate(); err != nil {
		return nil, Recovery{}, fmt.Errorf("open store: %w", err)
	}
	s := newStore(&o)
	op := opening{o: &o, s: s}
	if err := op.open(ctx); err != nil {
		err = errors.Join(err, s.Close())
		return nil, op.rec, fmt.Errorf("open store: %w", err)
	}
	return s, op.rec, nil
}

func newStore(o *Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{
		now: o.Now, boot: o.BootID, secrets: newSecrets(slices.Clone(o.DeviceKey)), keep: o.Keep, cap: o.Cap,
		decode: o.Decode, log: o.Log,
		damaged: &alarm{c: make(chan struct{})},
		policy:  o.Policy, matchers: slices.Clone(o.Matchers),
		lastGood:    newLastGood(o.Dir),
		stage:       &stage{path: filepath.Join(o.Dir, stagedName)},
		copying:     make(chan struct{}, 1),
		statusReady: make(chan struct{}, 1), eventsReady: make(chan struct{}, 1),
	}
	s.published(keysState{})
	s.local.Store(&localKeys{})
	s.index.Store(newIndex(0))
	return s
}

// exchangeKeys puts another file of keys in use, and the index of it.
func (s *Store) exchangeKeys(db *bbolt.DB, x *index) {
	s.exchange.Lock()
	old := s.keys.db.Swap(db)
	s.index.Store(x)
	s.exchange.Unlock()
	s.keys.retire(old)
}

// published makes a committed state visible to Position.
func (s *Store) published(st keysState) {
	pos := st.position()
	s.pos.Store(&pos)
	s.status.Store(st.statusSeq)
}

// Run commits changes until ctx ends, and then what was queued; changes after
// that are ErrStopped. It is to be called once.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.journalC.run(ctx) })
	s.keysC.run(ctx)
	// What was confirmed last need not be sent again after the next start.
	if s.acked() > 0 {
		_, _ = s.keysC.try([]*job[*keysTx]{{do: (*keysTx).trimStatus}})
	}
	wg.Wait()
	s.stage.stop()
	s.lastGood.stop()
	return nil
}

// Close closes the files. Run must have ended; what is still queued is not
// committed.
func (s *Store) Close() error {
	s.stage.stop()
	s.lastGood.stop()
	var errs []error
	for _, f := range []*file{s.keys, s.journal} {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	return errors.Join(errs...)
}

// Damaged is closed when a read or a commit has met damage. The file that it was
// in takes no more changes, and is put aside at the next start.
func (s *Store) Damaged() <-chan struct{} { return s.damaged.c }

// start readies a store whose files are open.
func (s *Store) start(rec *Recovery) error {
	s.keysC = newCommitter(s.keys, s.beginKeys)
	s.journalC = newCommitter(s.journal, s.beginJournal)
	var st keysState
	if s.keys.db.Load() != nil {
		err := s.keys.view(func(tx *bbolt.Tx) (err error) {
			st, err = readKeysState(tx)
			if err == nil {
				var local localKeys
				local, err = s.readLocal(tx, s.policy, s.matchers)
				s.local.Store(&local)
			}
			s.pinLost.Store(err == nil && tx.Bucket(bucketMeta).Get(metaLost) != nil)
			if k, _ := tx.Bucket(bucketStatus).Cursor().First(); k != nil {
				signal(s.statusReady)
			}
			return err
		})
		if err != nil {
			return err
		}
		s.published(st)
	}
	if s.journal.db.Load() != nil {
		err := s.journal.view(func(tx *bbolt.Tx) error {
			st, err := readJournalState(tx)
			if st.waiting > 0 {
				signal(s.eventsReady)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.uniteAtStart(); err != nil {
		return err
	}
	return s.judgeAtStart(st, rec)
}

// judgeAtStart brings the keys in line with the policy and matchers given to
// Open. A store that can't be written keeps its older judgements.
func (s *Store) judgeAtStart(st keysState, rec *Recovery) error {
	policy, matchers := s.policy, s.matchers
	if st.matchers == hashMatchers(matchers) && st.policy == hashPolicy(policy) {
		return nil
	}
	if s.keys.cause != nil {
		rec.Reasons = append(rec.Reasons, "keys.db: judged under another policy, and can't be changed")
		return nil
	}
	err, _ := s.keysC.try([]*job[*keysTx]{{do: func(u *keysTx) error {
		_, err := u.setPolicy(policy, matchers)
		return err
	}}})
	return err
}

func exists(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a file", path)
	}
	return true, nil
}
