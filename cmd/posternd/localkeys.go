package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"postern/access"
	"postern/api"
	"postern/store"
)

// LocalKeys are the keys that are kept at this panel alone.
func (b *backend) LocalKeys(context.Context) ([]api.Key, error) {
	s, err := b.store()
	if err != nil {
		return nil, err
	}
	out := []api.Key{}
	for _, k := range s.LocalKeys() {
		out = append(out, b.key(k))
	}
	return out, nil
}

// AddLocal keeps a key at this panel alone.
func (b *backend) AddLocal(ctx context.Context, k api.NewKey) (api.Key, error) {
	s, err := b.store()
	if err != nil {
		return api.Key{}, err
	}
	up := access.Update{ID: newUUID(), PIN: k.PIN, Key: access.Key{
		Type: access.Proximity, State: access.Enabled, ValidFrom: k.ValidFrom.UTC(), ValidTo: k.ValidTo.UTC(), Levels: k.Levels,
	}}
	if k.Code != "" {
		up.Key.Type = access.Code
	}
	up.Key.ID = up.ID
	if up.Key.Identification, err = access.ParseIdentification(up.Key.Type, cmp.Or(k.Code, k.Identification)); err != nil {
		return api.Key{}, fmt.Errorf("%w: identification: %w", api.ErrInvalid, err)
	}
	if clock := b.p.clock.now(); clock.State != access.ClockUntrusted && !k.ValidTo.IsZero() && !k.ValidTo.After(clock.Now) {
		return api.Key{}, fmt.Errorf("%w: valid_to is over: it is %s here", api.ErrInvalid, clock.Now.In(b.p.config().Location()).Format(time.RFC3339))
	}
	if err := localError(s.AddLocal(ctx, up)); err != nil {
		return api.Key{}, err
	}
	b.changedLocal(ctx, s, "added")
	for _, l := range s.LocalKeys() {
		if l.Key.ID == up.ID {
			return b.key(l), nil
		}
	}
	return api.Key{}, fmt.Errorf("%w: it was removed again at once", api.ErrNotFound)
}

// RemoveLocal removes a key that is kept at this panel alone.
func (b *backend) RemoveLocal(ctx context.Context, id access.ID) error {
	s, err := b.store()
	if err != nil {
		return err
	}
	had, err := s.RemoveLocal(ctx, id)
	if err := localError(err); err != nil {
		return err
	}
	if !had {
		return fmt.Errorf("%w: this panel has no local key %s", api.ErrNotFound, id)
	}
	b.changedLocal(ctx, s, "removed")
	return nil
}

// localError is what the store said, as the API says it.
func localError(err error) error {
	switch {
	case errors.Is(err, store.ErrInvalidKey):
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	case errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrManyLocal), errors.Is(err, store.ErrInstalling), errors.Is(err, store.ErrReadOnly):
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return err
}

// changedLocal journals how many local keys there are by now, before anybody is
// told that it is done. Central, which the journal goes to, is to know no more of
// them.
func (b *backend) changedLocal(ctx context.Context, s *store.Store, what string) {
	n := len(s.LocalKeys())
	b.p.log.Info("local keys changed", "change", what, "local_keys", n)
	err := b.p.ctl.NoteKept(ctx, access.Event{
		Type: access.LocalKeysChanged, Reason: access.ReasonOperator,
		Detail: fmt.Sprintf("a key of this panel alone was %s at the panel; it has %s of its own now", what, count(n, "key")),
	})
	if err != nil {
		b.p.log.Error("change of local keys not journalled yet", "error", err)
	}
	b.p.hub.publish(api.Message{Kind: api.MessageStatus})
}
