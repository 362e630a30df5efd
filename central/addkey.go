package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"postern/access"
)

// addKey adds a key or changes one, and appends to the logs of the panels that
// are to know.
func (t *tx) addKey(ctx context.Context, c *caller, ch change) (*key, error) {
	k, err := t.target(ctx, c, ch)
	if err != nil {
		return nil, err
	}
	var was *key
	if k == nil {
		if k, err = t.newKey(ctx, c, ch); err != nil {
			return nil, err
		}
	} else {
		before := *k
		was = &before
		if ch.hasKey {
			if err := t.reidentify(ctx, k, ch); err != nil {
				return nil, err
			}
		}
	}
	if err := t.apply(ctx, c, k, ch); err != nil {
		return nil, err
	}
	if !ch.judged {
		if err := t.separate(ctx, was, k); err != nil {
			return nil, err
		}
	}
	if err := t.saveKey(ctx, k); err != nil {
		return nil, err
	}
	return k, t.tellAll(ctx, k)
}

// target is the key that a change is about, nil when it makes a new one.
func (t *tx) target(ctx context.Context, c *caller, ch change) (*key, error) {
	if !ch.id.IsZero() {
		k, err := t.ownKey(ctx, c, ch.id)
		if err == nil && !k.removed.IsZero() {
			return nil, notFound("id", "access key")
		}
		return k, err
	}
	if ch.ident.IsZero() {
		return nil, nil
	}
	id, err := t.holder(ctx, c.integration, t.s.parts(ch.ident))
	if err != nil || id == "" {
		return nil, err
	}
	k, err := t.key(ctx, id)
	if err != nil {
		return nil, err
	}
	if k.Type != ch.kind || !sameKey(k.Identification, ch.ident) {
		return nil, inUse()
	}
	return k, nil
}

// ownKey reads a key of the caller's integration, removed ones too.
func (t *tx) ownKey(ctx context.Context, c *caller, id access.ID) (*key, error) {
	k, err := t.key(ctx, id.String())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, notFound("id", "access key")
	case err != nil:
		return nil, err
	case k.integration != c.integration:
		return nil, forbidden("id", "this access key belongs to another integration")
	}
	return k, nil
}

func inUse() *Problem {
	return problem(409, "AccessKeyInUse", "key.identification", "another access key has this identification, or a part of it")
}

func (t *tx) newKey(ctx context.Context, c *caller, ch change) (*key, error) {
	id, err := access.ParseID(uuid.NewString())
	if err != nil {
		return nil, err
	}
	if ch.badPerson != nil {
		return nil, ch.badPerson
	}
	k := &key{integration: c.integration, created: t.now}
	k.ID, k.State = id, access.Enabled
	if err := t.reidentify(ctx, k, ch); err != nil {
		return nil, err
	}
	if k.person, err = t.findPerson(ctx, c, ch); err != nil {
		return nil, err
	}
	k.Person, err = access.ParseID(k.person.id)
	return k, err
}

func (t *tx) findPerson(ctx context.Context, c *caller, ch change) (person, error) {
	if ch.personID.IsZero() {
		p := person{id: uuid.NewString(), first: ch.firstName, last: ch.lastName}
		if p.first == "" {
			p.first = randomName()
		}
		if p.last == "" {
			p.last = randomName()
		}
		return p, t.exec(ctx, "INSERT INTO persons (id, integration_id, first_name, last_name, created_at) VALUES ($1, $2, $3, $4, $5)",
			p.id, c.integration, p.first, p.last, t.now.UnixMicro())
	}
	p := person{id: ch.personID.String()}
	var owner string
	err := t.QueryRowContext(ctx, "SELECT integration_id, first_name, last_name FROM persons WHERE id = $1", p.id).Scan(&owner, &p.first, &p.last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p, notFound("person.id", "person")
	case err == nil && owner != c.integration:
		return p, forbidden("person.id", "this person belongs to another integration")
	}
	return p, err
}

// reidentify gives a key the identification that the change names, or a code
// made for it.
func (t *tx) reidentify(ctx context.Context, k *key, ch change) (err error) {
	switch {
	case ch.keepIdent && k.Type == ch.kind:
		return nil
	case ch.ident.IsZero() && ch.kind != access.Code:
		return noIdentification()
	case ch.ident.IsZero():
		k.Type, k.generated = access.Code, true
		k.Identification, err = t.generateCode(ctx, k.integration)
		return err
	}
	if k.Type == ch.kind && sameKey(k.Identification, ch.ident) {
		return nil
	}
	for _, part := range t.s.parts(ch.ident) {
		holder, err := t.holder(ctx, k.integration, []string{part})
		if err != nil {
			return err
		}
		if holder != "" && holder != k.ID.String() {
			return inUse()
		}
	}
	k.Type, k.Identification, k.generated = ch.kind, ch.ident, false
	return nil
}

// apply takes over the members that the change has.
func (t *tx) apply(ctx context.Context, c *caller, k *key, ch change) error {
	if ch.pin.Set {
		k.pin, k.HasPIN = ch.pin.Value, ch.pin.Has()
	}
	if ch.from.Set {
		k.ValidFrom = ch.from.Value
	}
	if ch.to.Set {
		k.ValidTo = ch.to.Value
	}
	if err := access.CheckWindow(k.ValidFrom, k.ValidTo); err != nil {
		return badRequest("InvalidDate", "valid_to_date", "valid_to_date: %v", err)
	}
	if ch.state.Set {
		k.State = access.Enabled
		if ch.state.Has() {
			k.State = ch.state.Value
		}
	}
	if !ch.levels.Set {
		return nil
	}
	k.Levels = ch.levels.Value
	for _, l := range k.Levels {
		owners, err := t.levelOwners(ctx, l)
		if err != nil {
			return fmt.Errorf("find owners of access level: %w", err)
		}
		if len(owners) == 0 {
			return badRequest("AccessLevelNotFound", "access_levels", "no panel has the access level %s", l)
		}
		if !slices.ContainsFunc(owners, c.sees) {
			return forbidden("access_levels", "the access level %s is on panels outside this API key's scope", l)
		}
	}
	return nil
}
