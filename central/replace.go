package central

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/access"
)

// ReplaceSpec is a card that was lost and the one that takes its place.
type ReplaceSpec struct {
	Integration string
	Old, New    string // identifications as the access keys API takes them
	Type        string // of both: proximity, or code
	// Remove has the old key removed. Otherwise it stays, blacklisted, with its
	// levels: a panel that sees it says so.
	Remove bool
}

// ReplaceKey gives a new card the rights of a lost one in one step: levels,
// window, PIN and person. It gives the id of the new key. It gives ErrNotFound
// for an unknown integration, and a *Problem for what can't be done.
func (s *Store) ReplaceKey(ctx context.Context, spec ReplaceSpec) (access.ID, error) {
	c, err := s.importer(ctx, spec.Integration)
	if err != nil {
		return access.ID{}, err
	}
	named := func(text string) (change, error) {
		k := keySpec{Identification: optional[string]{Set: true, Value: text}, Type: spec.Type}
		return addRequest{Key: optional[keySpec]{Set: true, Value: k}}.check()
	}
	lost, err := named(spec.Old)
	if err != nil {
		return access.ID{}, fmt.Errorf("old key: %w", err)
	}
	next, err := named(spec.New)
	if err != nil {
		return access.ID{}, fmt.Errorf("new key: %w", err)
	}
	var id access.ID
	err = s.update(ctx, func(t *tx) error {
		id, err = t.replaceKey(ctx, c, lost, next, spec.Remove)
		return err
	})
	if err != nil {
		return access.ID{}, fmt.Errorf("replace key: %w", err)
	}
	return id, nil
}

func (t *tx) replaceKey(ctx context.Context, c *caller, lost, next change, remove bool) (access.ID, error) {
	old, err := t.target(ctx, c, lost)
	if err != nil {
		return access.ID{}, err
	}
	if old == nil {
		return access.ID{}, notFound("key", "access key")
	}
	if is, err := t.target(ctx, c, next); err != nil || is != nil {
		return access.ID{}, errors.Join(err, inUse())
	}
	next.pin = optional[string]{Set: true, Null: old.pin == "", Value: old.pin}
	next.from = optional[time.Time]{Set: true, Value: old.ValidFrom}
	next.to = optional[time.Time]{Set: true, Value: old.ValidTo}
	next.levels = optional[[]access.ID]{Set: true, Value: old.Levels}
	next.state = optional[access.State]{Set: true, Value: old.State}
	next.personID = old.Person
	next.judged = true // the person has it all already
	if remove {
		if err := t.removeKey(ctx, c, old.ID, access.Identification{}); err != nil {
			return access.ID{}, err
		}
	} else {
		barred := change{id: old.ID, state: optional[access.State]{Set: true, Value: access.Blacklisted}}
		if _, err := t.addKey(ctx, c, barred); err != nil {
			return access.ID{}, err
		}
	}
	k, err := t.addKey(ctx, c, next)
	if err != nil {
		return access.ID{}, err
	}
	about(ctx, "access key "+k.ID.String())
	detail(ctx, "in place of %s", old.ID)
	return k.ID, nil
}

// AdoptSpec is a key to be made of a card that a reader has just read and that
// nobody knows.
type AdoptSpec struct {
	Integration string
	SystemID    string
	Point       string        // id of the access point
	Within      time.Duration // how long ago it may have been read; 0 is DefaultAdopt
	Levels      []string      // ids or names
	FirstName   string        // "" is made up, as the last name
	LastName    string
}

// DefaultAdopt is how long a read may be ago, without more being said: the card
// is to be in the hand of whoever adopts it.
const DefaultAdopt = 10 * time.Minute

// Adopted is a key that was made of a read.
type Adopted struct {
	ID             access.ID `json:"id"`
	Identification string    `json:"identification"`
	Read           time.Time `json:"read_at"`
}

// AdoptKey makes a key of the last unknown card that was read at an access point.
// It gives ErrNotFound for an unknown integration, and a *Problem for what can't
// be done. Codes are never in events, so that they can't be adopted.
func (s *Store) AdoptKey(ctx context.Context, spec AdoptSpec) (Adopted, error) {
	var out Adopted
	c, err := s.importer(ctx, spec.Integration)
	if err != nil {
		return out, err
	}
	names, err := s.levelNames(ctx)
	if err != nil {
		return out, err
	}
	var levels []string
	for _, name := range spec.Levels {
		ids, err := importLevels(name, names)
		if err != nil {
			return out, err
		}
		levels = append(levels, ids.Value...)
	}
	if spec.Within <= 0 {
		spec.Within = DefaultAdopt
	}
	err = s.update(ctx, func(t *tx) error {
		var credential string
		var at int64
		const last = `SELECT credential, received_at FROM events WHERE system_id = $1 AND access_point = $2 AND event_type = $3
			AND credential <> '' AND key_type <> $4 AND received_at >= $5 ORDER BY sequence_id DESC LIMIT 1`
		rows, err := all(ctx, t, func(scan func(...any) error) (struct{}, error) {
			err := scan(&credential, &at)
			return struct{}{}, err
		}, last, spec.SystemID, spec.Point, int(access.DeniedUnknown), string(access.Code), t.now.Add(-spec.Within).UnixMicro())
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return notFound("access_point", fmt.Sprintf("read of an unknown card at %.64s of panel %.64s in the last %s", spec.Point, spec.SystemID, spec.Within))
		}
		k := keySpec{Identification: optional[string]{Set: true, Value: credential}, Type: string(access.Proximity)}
		if _, err := k.parse(false); err != nil {
			return badRequest("InvalidIdentification", "", "the reader gives only a part of the card's number (%s): key in the number that is printed on it", credential)
		}
		ch, err := addRequest{Key: optional[keySpec]{Set: true, Value: k}, Levels: optional[[]string]{Set: true, Value: levels}}.check()
		if err != nil {
			return err
		}
		name := func(v string) optional[string] { return optional[string]{Set: v != "", Value: v} }
		if err := ch.readNames(personSpec{FirstName: name(spec.FirstName), LastName: name(spec.LastName)}); err != nil {
			return err
		}
		if is, err := t.target(ctx, c, ch); err != nil || is != nil {
			return errors.Join(err, inUse())
		}
		made, err := t.addKey(ctx, c, ch)
		if err != nil {
			return err
		}
		about(ctx, "access key "+made.ID.String())
		out = Adopted{made.ID, made.Identification.Canonical(), fromMicros0(at)}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("adopt key: %w", err)
	}
	return out, nil
}
