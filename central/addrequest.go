package central

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

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

// object is a JSON object that is judged when it is needed.
type object []byte

// UnmarshalJSON refuses what is no object.
func (o *object) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	*o = bytes.Clone(data)
	return nil
}

type addRequest struct {
	ID        optional[string]   `json:"id"`
	Key       optional[keySpec]  `json:"key"`
	PIN       optional[string]   `json:"pin"`
	ValidFrom optional[string]   `json:"valid_from_date"`
	ValidTo   optional[string]   `json:"valid_to_date"`
	Levels    optional[[]string] `json:"access_levels"`
	Person    optional[object]   `json:"person"`
	State     optional[string]   `json:"state"`
}

// change is an addRequest that was found to make sense by itself.
type change struct {
	id        access.ID // zero: by identification, or a new one
	hasKey    bool
	kind      access.Type
	ident     access.Identification // zero: keepIdent says
	keepIdent bool                  // it stays as it is if kind does; otherwise a code is to be made
	pin       optional[string]
	from, to  optional[time.Time]
	levels    optional[[]access.ID]
	personID  access.ID // zero: a new person
	firstName string    // "": made up
	lastName  string
	badPerson error // counts for a new key only: an update leaves the person alone
	state     optional[access.State]
	judged    bool // separation of duties was looked at already, or nobody gains by it
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
	c.badPerson = c.readPerson(r.Person)
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
	if c.keepIdent = !c.id.IsZero() && !o.Value.Identification.Set; c.keepIdent {
		return o.Value.checkType()
	}
	c.ident, err = o.Value.parse(true)
	return err
}

func (k keySpec) checkType() error {
	if kind := access.Type(k.Type); kind != access.Proximity && kind != access.Code {
		return badRequest("InvalidType", "key.type", "key.type: unknown (one of proximity, code)")
	}
	return nil
}

func noIdentification() *Problem {
	return badRequest("InvalidIdentification", "key.identification", "key.identification: is missing")
}

// parse reads the identification; the zero one when a code is to be made.
func (k keySpec) parse(generate bool) (access.Identification, error) {
	if err := k.checkType(); err != nil {
		return access.Identification{}, err
	}
	kind := access.Type(k.Type)
	if !k.Identification.Has() {
		if kind == access.Code && generate {
			return access.Identification{}, nil
		}
		return access.Identification{}, noIdentification()
	}
	id, err := access.ParseIdentification(kind, k.Identification.Value)
	if err != nil {
		return id, badRequest("InvalidIdentification", "key.identification", "key.identification: %v", err)
	}
	return id, nil
}

func (c *change) readPerson(o optional[object]) (err error) {
	if !o.Has() {
		return nil
	}
	p, err := decode[personSpec](o.Value)
	if err != nil {
		return within("person", err)
	}
	return c.readNames(p)
}

// readNames takes over what a person is, or is to be.
func (c *change) readNames(p personSpec) (err error) {
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

// timeForm is RFC 3339 to the letter. time.Parse takes a comma, a one-digit hour
// and an offset of a day as well.
var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func readDate(o optional[string], field string) (optional[time.Time], error) {
	out := optional[time.Time]{Set: o.Set, Null: o.Null}
	if !o.Has() {
		return out, nil
	}
	t, err := wire.ParseTime(o.Value)
	if err != nil || t.IsZero() || !timeForm.MatchString(o.Value) {
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
