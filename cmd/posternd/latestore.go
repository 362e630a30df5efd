package main

import (
	"context"
	"errors"
	"sync"

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

	mu sync.Mutex // guards s
	s  *store.Store
}

func newLateStore() *lateStore { return &lateStore{ready: make(chan struct{})} }

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

func (l *lateStore) SetLockout(ctx context.Context, subject string, lo access.Lockout) error {
	if s := l.get(); s != nil {
		return s.SetLockout(ctx, subject, lo)
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
		return s.SetPlace(ctx, who, at)
	}
	return errOpening
}

func (l *lateStore) Record(ctx context.Context, ev ...access.Event) ([]access.Event, error) {
	select {
	case <-l.ready:
		return l.get().Record(ctx, ev...)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
