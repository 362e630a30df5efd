package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/access"
)

// Changes is a batch of revisions of one epoch, ascending without a gap.
type Changes struct {
	Epoch   uint64   `json:"epoch"`
	Changes []Change `json:"changes"`
}

// Change is one revision: it puts or removes one key.
type Change struct {
	Revision uint64          `json:"revision"`
	Op       string          `json:"op"` // "put" or "remove"
	ID       access.ID       `json:"id"`
	Claim    uint64          `json:"claim,omitempty"`
	Key      json.RawMessage `json:"key,omitempty"` // a Key
}

// The operations of a Change.
const (
	OpPut    = "put"
	OpRemove = "remove"
)

// Limits on changes.
const (
	MaxKey     = 16 << 10 // bytes of one key
	maxChanges = 4096
)

// Key is an access key as it travels. PIN and a code's Identification are in
// clear here and nowhere after.
type Key struct {
	Identification string   `json:"identification"`
	Type           string   `json:"type"`
	State          string   `json:"state,omitempty"` // enabled when empty
	PIN            *string  `json:"pin,omitempty"`
	ValidFrom      string   `json:"valid_from_date,omitempty"` // RFC 3339
	ValidTo        string   `json:"valid_to_date,omitempty"`
	AccessLevels   []string `json:"access_levels"`
	PersonID       string   `json:"person_id,omitempty"`
	Options        []string `json:"options,omitempty"`
}

// EncodeKey is a key with its PIN ("" for none) as it travels.
func EncodeKey(k access.Key, pin string) json.RawMessage {
	w := Key{
		Identification: k.Identification.Canonical(), Type: string(k.Type), State: k.State.String(),
		AccessLevels: []string{}, Options: k.Options.Names(),
	}
	if pin != "" {
		w.PIN = &pin
	}
	if !k.ValidFrom.IsZero() {
		w.ValidFrom = k.ValidFrom.UTC().Format(time.RFC3339Nano)
	}
	if !k.ValidTo.IsZero() {
		w.ValidTo = k.ValidTo.UTC().Format(time.RFC3339Nano)
	}
	for _, l := range k.Levels {
		w.AccessLevels = append(w.AccessLevels, l.String())
	}
	if !k.Person.IsZero() {
		w.PersonID = k.Person.String()
	}
	return Encode(w)
}

// DecodeChanges reads a batch. A member whose revision, id or op can't be read
// makes the whole batch an error; a key that can't be one, or an unknown op, is
// an Update with a Fault, so that it is consumed and answered.
func DecodeChanges(payload []byte) (access.Batch, error) {
	if len(payload) > MaxPayload {
		return access.Batch{}, tooLong(len(payload))
	}
	c, ok := plainChanges(payload)
	if !ok {
		c = Changes{}
		if err := strict(payload, &c, false, "changes.key"); err != nil {
			return access.Batch{}, err
		}
	}
	if c.Epoch == 0 {
		return access.Batch{}, &FieldError{"epoch", "is missing"}
	}
	if len(c.Changes) == 0 || len(c.Changes) > maxChanges {
		return access.Batch{}, &FieldError{"changes", fmt.Sprintf("want 1 to %d of them", maxChanges)}
	}
	b := access.Batch{Epoch: c.Epoch}
	for i, m := range c.Changes {
		switch {
		case m.Revision == 0:
			return access.Batch{}, &FieldError{fmt.Sprintf("changes[%d].revision", i), "is missing"}
		case m.ID.IsZero():
			return access.Batch{}, &FieldError{fmt.Sprintf("changes[%d].id", i), "is missing"}
		case m.Op == "":
			return access.Batch{}, &FieldError{fmt.Sprintf("changes[%d].op", i), "is missing"}
		case i > 0 && m.Revision != c.Changes[i-1].Revision+1:
			return access.Batch{}, &FieldError{fmt.Sprintf("changes[%d].revision", i), "does not follow the one before it"}
		}
		b.Updates = append(b.Updates, m.update())
	}
	return b, nil
}

func (m Change) update() access.Update {
	switch m.Op {
	case OpRemove:
		return access.Update{Revision: m.Revision, ID: m.ID, Claim: m.Claim, Op: access.Remove}
	case OpPut:
		return put(m.Revision, m.ID, m.Claim, func() (access.Key, string, error) { return DecodeKey(m.ID, m.Key) })
	}
	return access.Update{
		Revision: m.Revision, ID: m.ID, Claim: m.Claim, Op: access.Put, Fault: "unknown op (want put or remove)",
	}
}

// put is one put, with the key that read gives or the fault that it has.
func put(revision uint64, id access.ID, claim uint64, read func() (access.Key, string, error)) access.Update {
	u := access.Update{Revision: revision, ID: id, Claim: claim, Op: access.Put}
	if claim == 0 {
		u.Fault = "claim is missing"
		return u
	}
	key, pin, err := read()
	if err != nil {
		u.Fault = err.Error()
		return u
	}
	u.Key, u.PIN = key, pin
	return u
}

// DecodeKey reads a key as it travels. Its error names the member and never
// repeats a secret.
func DecodeKey(id access.ID, data []byte) (access.Key, string, error) {
	switch {
	case len(data) == 0:
		return access.Key{}, "", errors.New("key is missing")
	case len(data) > MaxKey:
		return access.Key{}, "", fmt.Errorf("key has more than %d bytes", MaxKey)
	}
	w, ok := plainKey(data)
	if !ok {
		w = Key{}
		if err := Strict(data, &w, false); err != nil {
			return access.Key{}, "", err
		}
	}
	return w.access(id)
}

// access judges a key that could be read.
func (w Key) access(id access.ID) (access.Key, string, error) {
	k := access.Key{ID: id, Type: access.Type(w.Type), State: access.Enabled}
	var err error
	if k.Identification, err = access.ParseIdentification(k.Type, w.Identification); err != nil {
		return access.Key{}, "", &FieldError{"identification", err.Error()}
	}
	if w.State != "" {
		if k.State, err = access.ParseState(w.State); err != nil {
			return access.Key{}, "", &FieldError{"state", err.Error()}
		}
	}
	if k.ValidFrom, err = parseTime(w.ValidFrom); err != nil {
		return access.Key{}, "", &FieldError{"valid_from_date", err.Error()}
	}
	if k.ValidTo, err = parseTime(w.ValidTo); err != nil {
		return access.Key{}, "", &FieldError{"valid_to_date", err.Error()}
	}
	if err := access.CheckWindow(k.ValidFrom, k.ValidTo); err != nil {
		return access.Key{}, "", &FieldError{"valid_to_date", err.Error()}
	}
	if k.Levels, err = parseLevels(w.AccessLevels); err != nil {
		return access.Key{}, "", err
	}
	if w.PersonID != "" {
		if k.Person, err = parseID(w.PersonID); err != nil {
			return access.Key{}, "", &FieldError{"person_id", err.Error()}
		}
	}
	if k.Options, err = access.ParseOptions(w.Options); err != nil {
		return access.Key{}, "", &FieldError{"options", err.Error()}
	}
	pin := ""
	if w.PIN != nil {
		if err := access.CheckPIN(*w.PIN); err != nil {
			return access.Key{}, "", &FieldError{"pin", err.Error()}
		}
		pin, k.HasPIN = *w.PIN, true
	}
	return k, pin, nil
}

func parseLevels(texts []string) ([]access.ID, error) {
	if len(texts) > access.MaxLevels {
		return nil, &FieldError{"access_levels", fmt.Sprintf("more than %d", access.MaxLevels)}
	}
	levels := make([]access.ID, 0, len(texts))
	for i, s := range texts {
		id, err := parseID(s)
		if err != nil {
			return nil, &FieldError{fmt.Sprintf("access_levels[%d]", i), err.Error()}
		}
		if !slices.Contains(levels, id) { // few: a map would cost more
			levels = append(levels, id)
		}
	}
	return levels, nil
}

// Windows lie within these years, so that every store and clock can hold them.
const (
	minYear = 1970
	maxYear = 9999
)

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UTC().Year() < minYear || t.UTC().Year() > maxYear {
		return time.Time{}, errors.New("not a time (want RFC 3339, such as 2020-09-01T14:00:12Z)")
	}
	return t.UTC(), nil
}

// ParseTime reads a time as it travels: RFC 3339, years 1970 to 9999; "" is the
// zero time.
func ParseTime(s string) (time.Time, error) { return parseTime(s) }
