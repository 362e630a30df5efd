package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/access"
	"postern/wire"
)

// maxPersonName is the most characters of a first or last name.
const maxPersonName = 32

// keySpec names an access key by what it is.
type keySpec struct {
	Identification optional[string] `json:"identification"`
	Type           string           `json:"type"`
}

// UnmarshalJSON refuses unknown members under their whole path.
func (k *keySpec) UnmarshalJSON(data []byte) error {
	type plain keySpec
	return strictMember("key", data, (*plain)(k))
}

type personSpec struct {
	ID        optional[string] `json:"id"`
	FirstName optional[string] `json:"first_name"`
	LastName  optional[string] `json:"last_name"`
}

// UnmarshalJSON refuses unknown members under their whole path.
func (p *personSpec) UnmarshalJSON(data []byte) error {
	type plain personSpec
	return strictMember("person", data, (*plain)(p))
}

type addRequest struct {
	ID        optional[string]     `json:"id"`
	Key       optional[keySpec]    `json:"key"`
	PIN       optional[string]     `json:"pin"`
	ValidFrom optional[string]     `json:"valid_from_date"`
	ValidTo   optional[string]     `json:"valid_to_date"`
	Levels    optional[[]string]   `json:"access_levels"`
	Person    optional[personSpec] `json:"person"`
	State     optional[string]     `json:"state"`
}

// change is an addRequest that was found to make sense by itself.
type change struct {
	id        access.ID // zero: by identification, or a new one
	hasKey    bool
	kind      access.Type
	ident     access.Identification // zero: a code is to be made
	pin       optional[string]
	from, to  optional[time.Time]
	levels    optional[[]access.ID]
	personID  access.ID // zero: a new person
	firstName string    // "": made up
	lastName  string
	state     optional[access.State]
}

// check reads every member, so that what is left to go wrong depends on what
// the database holds.
func (r addRequest) check() (c change, err error) {
	if r.ID.Has() {
		if c.id, err = readID(r.ID.Value, "id"); err != nil {
			return c, err
		}
	}
	if err := c.readKey(r.Key); err != nil {
		return c, err
	}
	if c.id.IsZero() && !c.hasKey {
		return c, badRequest("KeyRequired", "key", "key is required, or id to change a key that is there")
	}
	c.pin = r.PIN
	if r.PIN.Has() {
		if err := access.CheckPIN(r.PIN.Value); err != nil {
			return c, badRequest("InvalidPin", "pin", "pin: %v", err)
		}
	}
	if c.from, err = readDate(r.ValidFrom, "valid_from_date"); err != nil {
		return c, err
	}
	if c.to, err = readDate(r.ValidTo, "valid_to_date"); err != nil {
		return c, err
	}
	if c.levels, err = readLevels(r.Levels); err != nil {
		return c, err
	}
	if err := c.readPerson(r.Person); err != nil {
		return c, err
	}
	c.state = optional[access.State]{Set: r.State.Set, Null: r.State.Null}
	if r.State.Has() {
		if c.state.Value, err = access.ParseState(r.State.Value); err != nil {
			return c, badRequest("InvalidState", "state", "state: unknown (one of enabled, disabled, blacklisted)")
		}
	}
	return c, nil
}

func (c *change) readKey(o optional[keySpec]) (err error) {
	if !o.Has() {
		return nil
	}
	c.hasKey, c.kind = true, access.Type(o.Value.Type)
	c.ident, err = o.Value.parse(true)
	return err
}

// parse reads the identification; the zero one when a code is to be made.
func (k keySpec) parse(generate bool) (access.Identification, error) {
	kind := access.Type(k.Type)
	if kind != access.Proximity && kind != access.Code {
		return access.Identification{}, badRequest("InvalidType", "key.type", "key.type: unknown (one of proximity, code)")
	}
	if !k.Identification.Has() {
		if kind == access.Code && generate {
			return access.Identification{}, nil
		}
		return access.Identification{}, badRequest("InvalidIdentification", "key.identification", "key.identification: is missing")
	}
	id, err := access.ParseIdentification(kind, k.Identification.Value)
	if err != nil {
		return id, badRequest("InvalidIdentification", "key.identification", "key.identification: %v", err)
	}
	return id, nil
}

func (c *change) readPerson(o optional[personSpec]) (err error) {
	p := o.Value
	if p.ID.Has() {
		if c.personID, err = readID(p.ID.Value, "person.id"); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		field string
		from  optional[string]
		to    *string
	}{{"person.first_name", p.FirstName, &c.firstName}, {"person.last_name", p.LastName, &c.lastName}} {
		if !n.from.Has() {
			continue
		}
		if err := checkText(n.from.Value, maxPersonName); err != nil {
			return badRequest("InvalidPerson", n.field, "%s: %v", n.field, err)
		}
		*n.to = n.from.Value
	}
	return nil
}

// readID reads a uuid; the nil one is nobody's.
func readID(text, field string) (access.ID, error) {
	id, err := access.ParseID(text)
	if err == nil && id.IsZero() {
		err = access.ErrID
	}
	if err != nil {
		return id, badRequest("InvalidId", field, "%s: %v", field, err)
	}
	return id, nil
}

func readDate(o optional[string], field string) (optional[time.Time], error) {
	out := optional[time.Time]{Set: o.Set, Null: o.Null}
	if !o.Has() {
		return out, nil
	}
	t, err := wire.ParseTime(o.Value)
	if err != nil || t.IsZero() {
		return out, badRequest("InvalidDate", field, "%s: not a time (want RFC 3339, such as 2020-09-01T14:00:12Z)", field)
	}
	out.Value = t.Truncate(time.Microsecond)
	return out, nil
}

func readLevels(o optional[[]string]) (optional[[]access.ID], error) {
	out := optional[[]access.ID]{Set: o.Set, Null: o.Null}
	if len(o.Value) > access.MaxLevels {
		return out, badRequest("InvalidAccessLevels", "access_levels", "access_levels: more than %d", access.MaxLevels)
	}
	for i, text := range o.Value {
		id, err := access.ParseID(text)
		if err != nil {
			field := fmt.Sprintf("access_levels[%d]", i)
			return out, badRequest("InvalidAccessLevels", field, "%s: %v", field, err)
		}
		if !slices.Contains(out.Value, id) {
			out.Value = append(out.Value, id)
		}
	}
	return out, nil
}

// addKey adds a key or changes one, and appends to the logs of the panels that
// are to know.
func (t *tx) addKey(ctx context.Context, c *caller, ch change) (*key, error) {
	k, err := t.target(ctx, c, ch)
	if err != nil {
		return nil, err
	}
	if k == nil {
		if k, err = t.newKey(ctx, c, ch); err != nil {
			return nil, err
		}
	} else if ch.hasKey {
		if err := t.reidentify(ctx, k, ch); err != nil {
			return nil, err
		}
	}
	if err := t.apply(ctx, c, k, ch); err != nil {
		return nil, err
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
	if k.Type != ch.kind || k.Identification.Canonical() != ch.ident.Canonical() {
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
	if ch.ident.IsZero() {
		k.Type, k.generated = access.Code, true
		k.Identification, err = t.generateCode(ctx, k.integration)
		return err
	}
	if k.Type == ch.kind && k.Identification.Canonical() == ch.ident.Canonical() {
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
