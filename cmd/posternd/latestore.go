package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"postern/access"
	"postern/store"
)

// errOpening is the store's answer before it is open.
var errOpening = errors.New("the key store is not open yet")

// lateStore stands before a store that is still being opened: a large or damaged
// one takes seconds, and exit buttons must not wait for it. Until it is open
// nothing is known, so nothing is granted; events wait.
type lateStore struct {
	ready chan struct{} // closed when s is set
	timed timing

	mu sync.Mutex // guards s
	s  *store.Store
}

// timing is told how long a change of a file of the store took.
type timing func(file string, took time.Duration)

func newLateStore() *lateStore {
	return &lateStore{ready: make(chan struct{}), timed: func(string, time.Duration) {}}
}

// since tells how long a change took, unless it failed.
func (t timing) since(file string, began time.Time, err error) {
	if err == nil {
		t(file, time.Since(began))
	}
}

// timedStore is a store whose batches of changes are timed.
type timedStore struct {
	*store.Store
	timed timing
}

// Apply commits a batch.
func (s timedStore) Apply(ctx context.Context, b access.Batch) (access.Position, error) {
	began := time.Now()
	pos, err := s.Store.Apply(ctx, b)
	s.timed.since(fileKeys, began, err)
	return pos, err
}

func (l *lateStore) set(s *store.Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s = s
	close(l.ready)
}

// get gives the store, nil while it is not open.
func (l *lateStore) get() *store.Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s
}

func (l *lateStore) Lookup(c access.Credential) ([]access.Key, error) {
	if s := l.get(); s != nil {
		return s.Lookup(c)
	}
	return nil, errOpening
}

func (l *lateStore) PINMatches(k access.Key, pin string) (bool, error) {
	if s := l.get(); s != nil {
		return s.PINMatches(k, pin)
	}
	return false, errOpening
}

func (l *lateStore) Lockout(subject string) (access.Lockout, error) {
	if s := l.get(); s != nil {
		return s.Lockout(subject)
	}
	return access.Lockout{}, errOpening
}

func (l *lateStore) SetLockouts(ctx context.Context, all map[string]access.Lockout) error {
	if s := l.get(); s != nil {
		began := time.Now()
		err := s.SetLockouts(ctx, all)
		l.timed.since(fileKeys, began, err)
		return err
	}
	return errOpening
}

func (l *lateStore) Places() (map[access.ID]access.Place, error) {
	if s := l.get(); s != nil {
		return s.Places()
	}
	return nil, errOpening
}

func (l *lateStore) SetPlace(ctx context.Context, who access.ID, at access.Place) error {
	if s := l.get(); s != nil {
		began := time.Now()
		err := s.SetPlace(ctx, who, at)
		l.timed.since(fileKeys, began, err)
		return err
	}
	return errOpening
}

func (l *lateStore) Record(ctx context.Context, ev ...access.Event) ([]access.Event, error) {
	select {
	case <-l.ready:
		began := time.Now()
		done, err := l.get().Record(ctx, ev...)
		// What is for central alone is not to be counted here either.
		if !slices.ContainsFunc(ev, func(e access.Event) bool { return !centralOnly(e.Type) }) {
			return done, err
		}
		l.timed.since(fileJournal, began, err)
		return done, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
