package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/access"
	"postern/store"
)

// centralOnly reports whether an entry of the journal is for central alone. Who
// makes somebody type a PIN under duress may look at this panel next.
func centralOnly(t access.EventType) bool { return t == access.Duress }

// localJournal is the journal as it is shown at the panel: without the entries that
// are for central alone, and with numbers that have no gaps where they were. A
// number is lower than that of the store by the hidden entries up to it. Those that
// were trimmed from the journal before the start no longer count, long after
// anybody could have compared.
type localJournal struct {
	ready chan struct{} // closed once hidden is complete

	mu     sync.Mutex // guards hidden
	hidden []uint64   // their numbers in the store, ascending
}

func newLocalJournal() *localJournal { return &localJournal{ready: make(chan struct{})} }

// atOnce is how many entries are read at a time: at least as many as are committed
// together, so that a hidden one of those that were not told yet is not missed.
const atOnce = 256

// load finds what is hidden in a journal; after it did, it is not to be called
// again.
func (j *localJournal) load(ctx context.Context, s *store.Store) error {
	for before := uint64(0); ; {
		ev, err := s.Recent(before, atOnce)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		j.saw(ev...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(ev) < atOnce {
			close(j.ready)
			return nil
		}
		before = ev[len(ev)-1].Seq
	}
}

// saw takes up entries of the journal, in any order and as often as may be.
func (j *localJournal) saw(ev ...access.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range ev {
		if !centralOnly(e.Type) {
			continue
		}
		if i, found := slices.BinarySearch(j.hidden, e.Seq); !found {
			j.hidden = slices.Insert(j.hidden, i, e.Seq)
		}
	}
}

// hiddenFrom is how many entries are hidden from a number of the store on.
func (j *localJournal) hiddenFrom(seq uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, _ := slices.BinarySearch(j.hidden, seq)
	return uint64(len(j.hidden) - i)
}

// wait waits until the numbers are right.
func (j *localJournal) wait(ctx context.Context) error {
	select {
	case <-j.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *localJournal) isReady() bool {
	select {
	case <-j.ready:
		return true
	default:
		return false
	}
}

// shown is the number under which an entry of the store is shown; of a hidden one,
// that of the entry before it.
func (j *localJournal) shown(seq uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, found := slices.BinarySearch(j.hidden, seq)
	if found {
		i++
	}
	return seq - uint64(i)
}

// stored is the number in the store of the entry that is shown under another.
func (j *localJournal) stored(shown uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq := shown
	for _, h := range j.hidden {
		if h > seq {
			break
		}
		seq++
	}
	return seq
}

// recent gives entries as store.Recent does, by the numbers of those shown.
func (j *localJournal) recent(ctx context.Context, s *store.Store, before uint64, limit int) ([]access.Event, error) {
	if err := j.wait(ctx); err != nil {
		return nil, err
	}
	var out []access.Event
	if before > 0 {
		before = j.stored(before)
	}
	for len(out) < limit {
		page := atOnce
		if before > 0 {
			page = min(limit, atOnce)
		}
		ev, err := s.Recent(before, page)
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		j.saw(ev...)
		for _, e := range ev {
			before = e.Seq
			if !centralOnly(e.Type) && len(out) < limit {
				e.Seq = j.shown(e.Seq)
				out = append(out, e)
			}
		}
		if len(ev) < page {
			break
		}
	}
	return out, nil
}

// state gives the number of the newest entry, and how many central has not
// confirmed; zero while it is not known.
func (j *localJournal) state(s *store.Store) (last, unconfirmed uint64) {
	if !j.isReady() {
		return 0, 0
	}
	ev, err := s.Recent(0, atOnce)
	if err != nil || len(ev) == 0 {
		return 0, 0
	}
	j.saw(ev...)
	last = j.shown(ev[0].Seq)
	if run, ok, err := s.NextEvents(0, 1); err == nil && ok {
		unconfirmed = last - j.shown(run.Oldest-1)
	}
	return last, unconfirmed
}

// numberJournal finds out how the journal is to be numbered for those at the panel.
// A journal that can't be read now shows nothing, and is tried again.
func (p *panel) numberJournal(ctx context.Context, s *store.Store) error {
	for {
		err := p.hub.journal.load(ctx, s)
		if err == nil {
			p.hub.numbered()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		p.log.Error("journal not shown; trying again", "error", err, "after", tryAgain)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tryAgain):
		}
	}
}
