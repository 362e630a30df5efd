package store

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"postern/access"
)

// maxRun bounds the events of one run.
const maxRun = 500

// journalTx is one write transaction of journal.db.
type journalTx struct {
	s      *Store
	events *bbolt.Bucket
	meta   *bbolt.Bucket

	st, was journalState
	latest  access.Event // the last one recorded here
	added   bool
	dropped uint64
}

func (s *Store) beginJournal(tx *bbolt.Tx) (*journalTx, error) {
	st, err := readJournalState(tx)
	if err != nil {
		return nil, err
	}
	b, err := buckets(tx, bucketEvents, bucketMeta)
	if err != nil {
		return nil, err
	}
	b[0].FillPercent = 1 // rows are only appended
	return &journalTx{s: s, events: b[0], meta: b[1], st: st, was: st}, nil
}

func (u *journalTx) finish() (bool, error) {
	if err := u.trim(); err != nil {
		return false, err
	}
	if err := u.drop(); err != nil {
		return false, err
	}
	if u.st == u.was {
		return false, nil
	}
	return true, writeMeta(u.meta, u.st.encode())
}

func (u *journalTx) committed() {
	u.s.dropped.Add(u.dropped)
	if u.added {
		signal(u.s.eventsReady)
	}
}

// Record puts events into the journal under this start's boot id, in order, and
// gives them with their sequence numbers after the fsynced commit. Events that
// queue up together share a commit. Texts that are too long are cut.
func (s *Store) Record(ctx context.Context, ev ...access.Event) ([]access.Event, error) {
	if len(ev) == 0 {
		return nil, nil
	}
	var out []access.Event
	in := slices.Clone(ev)
	err := s.journalC.submit(ctx, func(u *journalTx) error {
		done := slices.Clone(in)
		for i := range done {
			if err := u.record(&done[i]); err != nil {
				return err
			}
		}
		out = done
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (u *journalTx) record(e *access.Event) error {
	u.st.last++
	u.st.waiting++
	e.Seq, e.BootID = u.st.last, u.s.boot
	u.latest, u.added = *e, true
	return u.put(*e)
}

func (u *journalTx) put(e access.Event) error {
	key := seqKey(e.Seq)
	return u.events.Put(key, seal(tagEvent, key, encodeEvent(e)))
}

func decodeEventRow(k, v []byte) (access.Event, error) {
	payload, err := unseal(tagEvent, k, v)
	if err != nil {
		return access.Event{}, err
	}
	return decodeEvent(seqOf(k), payload)
}

// NextEvents gives a run of at most limit unconfirmed events after seq, of one
// boot and without a gap; false when there is none. After is one less than the
// first event's number, so that what was lost shows as a gap.
func (s *Store) NextEvents(after uint64, limit int) (run access.EventRun, ok bool, err error) {
	limit = min(max(limit, 1), maxRun)
	err = s.journal.view(func(tx *bbolt.Tx) error {
		st, err := readJournalState(tx)
		if err != nil {
			return err
		}
		b, err := buckets(tx, bucketEvents)
		if err != nil {
			return err
		}
		if max(after, st.confirmed) >= st.last {
			return nil
		}
		c := b[0].Cursor()
		k, _ := c.Seek(seqKey(st.confirmed + 1))
		run.Oldest = seqOf(k)
		for k, v := c.Seek(seqKey(max(after, st.confirmed) + 1)); k != nil && len(run.Events) < limit; k, v = c.Next() {
			e, err := decodeEventRow(k, v)
			if err != nil {
				return err
			}
			if n := len(run.Events); n > 0 && (e.BootID != run.BootID || e.Seq != run.Events[n-1].Seq+1) {
				break
			}
			run.BootID = e.BootID
			run.Events = append(run.Events, e)
		}
		return nil
	})
	if err != nil || len(run.Events) == 0 {
		return access.EventRun{}, false, err
	}
	run.After = run.Events[0].Seq - 1
	atLeast(&s.handed, run.Events[len(run.Events)-1].Seq)
	return run, true, nil
}

// AckEvents confirms the events up to seq, if the event held under seq was
// written under boot and is not confirmed yet; anything else is ignored.
// Confirmed events stay for people, as many as Options.Keep. It returns after
// the commit.
func (s *Store) AckEvents(ctx context.Context, boot access.ID, seq uint64) error {
	return s.journalC.submit(ctx, func(u *journalTx) error { return u.ack(boot, seq) })
}

func (u *journalTx) ack(boot access.ID, seq uint64) error {
	v := u.events.Get(seqKey(seq))
	if v == nil || seq <= u.st.confirmed {
		return nil
	}
	e, err := decodeEventRow(seqKey(seq), v)
	if err != nil || e.BootID != boot {
		return err
	}
	c := u.events.Cursor()
	for k, _ := c.Seek(seqKey(u.st.confirmed + 1)); k != nil && seqOf(k) <= seq; k, _ = c.Next() {
		u.st.waiting--
		u.st.kept++
	}
	u.st.confirmed = seq
	return nil
}

// EventsReady has a signal after each commit that added events, and at the start
// when there are unconfirmed ones; signals that nobody has taken are one.
func (s *Store) EventsReady() <-chan struct{} { return s.eventsReady }

// Recent gives at most limit events before seq, confirmed or not, newest first;
// before 0 starts with the newest.
func (s *Store) Recent(before uint64, limit int) (out []access.Event, err error) {
	err = s.journal.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketEvents)
		if err != nil {
			return err
		}
		c := b[0].Cursor()
		k, v := c.Last()
		if before != 0 {
			if k, _ = c.Seek(seqKey(before)); k != nil {
				k, v = c.Prev()
			} else {
				k, v = c.Last()
			}
		}
		for ; k != nil && len(out) < limit; k, v = c.Prev() {
			e, err := decodeEventRow(k, v)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Figures are how much the store holds.
type Figures struct {
	Events   uint64 // in the journal, confirmed or not
	Oldest   uint64 // number of the oldest of them, 0 when there is none
	Dropped  uint64 // events that were given up since the start, as there were too many
	Statuses uint64 // rows of the status outbox
}

// Figures counts what the store holds.
func (s *Store) Figures() (f Figures, err error) {
	f.Dropped = s.dropped.Load()
	err = s.journal.view(func(tx *bbolt.Tx) error {
		st, err := readJournalState(tx)
		if err != nil {
			return err
		}
		b, err := buckets(tx, bucketEvents)
		if err != nil {
			return err
		}
		f.Events = st.waiting + st.kept
		if k, _ := b[0].Cursor().First(); k != nil {
			f.Oldest = seqOf(k)
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	err = s.keys.view(func(tx *bbolt.Tx) error {
		b, err := buckets(tx, bucketStatus)
		if err != nil {
			return err
		}
		c := b[0].Cursor()
		if k, _ := c.First(); k != nil {
			last, _ := c.Last()
			f.Statuses = seqOf(last) - seqOf(k) + 1 // their numbers have no gap
		}
		return nil
	})
	return f, err
}

// errBounds is for Options that no journal can be kept by.
var errBounds = errors.New("journal: keep must not be negative, and cap at least 2")
