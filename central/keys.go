package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/access"
)

// key is an access key as central holds it. Its PIN and its code are in clear
// here, and nowhere else but in the message to a panel.
type key struct {
	access.Key
	integration string
	pin         string
	generated   bool // its code was made here
	created     time.Time
	removed     time.Time
	person      person
}

type person struct {
	id, first, last string
}

const keyColumns = `k.id, k.integration_id, k.key_type, k.identification, k.code_sealed, k.code_generated, k.pin_sealed, k.state,
	k.valid_from, k.valid_to, k.created_at, k.removed_at, p.id, p.first_name, p.last_name`

// key reads one key by its id, removed ones too; sql.ErrNoRows when there is none.
func (t *tx) key(ctx context.Context, id string) (*key, error) {
	k, err := scanKey(t.s.seal, t.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM keys k JOIN persons p ON p.id = k.person_id WHERE k.id = $1", id).Scan)
	if err != nil {
		return nil, err
	}
	levels, err := all(ctx, t, scanText, "SELECT level_id FROM key_levels WHERE key_id = $1 ORDER BY place", id)
	if err != nil {
		return nil, fmt.Errorf("read access levels: %w", err)
	}
	for _, l := range levels {
		level, err := access.ParseID(l)
		if err != nil {
			return nil, fmt.Errorf("read access levels: %w", err)
		}
		k.Levels = append(k.Levels, level)
	}
	return k, nil
}

func scanKey(seal *sealer, scan func(...any) error) (*key, error) {
	var k key
	var id, kind, text, state string
	var code, pin []byte
	var from, to sql.NullInt64
	var created, removed int64
	err := scan(&id, &k.integration, &kind, &text, &code, &k.generated, &pin, &state, &from, &to, &created, &removed,
		&k.person.id, &k.person.first, &k.person.last)
	if err != nil {
		return nil, err
	}
	if k.ID, err = access.ParseID(id); err != nil {
		return nil, err
	}
	if k.State, err = access.ParseState(state); err != nil {
		return nil, err
	}
	if k.Person, err = access.ParseID(k.person.id); err != nil {
		return nil, err
	}
	k.Type = access.Type(kind)
	k.ValidFrom, k.ValidTo = fromMicros(from), fromMicros(to)
	k.created, k.removed = fromMicros0(created), fromMicros0(removed)
	if !k.removed.IsZero() {
		return &k, nil // its secrets are gone
	}
	if code != nil {
		clear, err := seal.open("code/"+id, code)
		if err != nil {
			return nil, fmt.Errorf("open code of key %s: %w", id, err)
		}
		text = string(clear)
	}
	if k.Identification, err = access.ParseIdentification(k.Type, text); err != nil {
		return nil, fmt.Errorf("read identification of key %s: %w", id, err)
	}
	if pin != nil {
		clear, err := seal.open("pin/"+id, pin)
		if err != nil {
			return nil, fmt.Errorf("open PIN of key %s: %w", id, err)
		}
		k.pin, k.HasPIN = string(clear), true
	}
	return &k, nil
}

// saveKey writes a key with its levels, parts and code forms.
func (t *tx) saveKey(ctx context.Context, k *key) error {
	id := k.ID.String()
	text, code, pin := k.Identification.Canonical(), []byte(nil), []byte(nil)
	if k.Type == access.Code {
		text, code = "", t.s.seal.seal("code/"+id, []byte(text))
	}
	if k.pin != "" {
		pin = t.s.seal.seal("pin/"+id, []byte(k.pin))
	}
	const upsert = `INSERT INTO keys (id, integration_id, key_type, identification, code_sealed, code_generated, pin_sealed, state,
			valid_from, valid_to, person_id, created_at, updated_at, removed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)
		ON CONFLICT (id) DO UPDATE SET key_type = excluded.key_type, identification = excluded.identification,
			code_sealed = excluded.code_sealed, code_generated = excluded.code_generated, pin_sealed = excluded.pin_sealed,
			state = excluded.state, valid_from = excluded.valid_from, valid_to = excluded.valid_to, updated_at = excluded.updated_at`
	err := t.exec(ctx, upsert, id, k.integration, string(k.Type), text, code, k.generated, pin, k.State.String(),
		micros(k.ValidFrom), micros(k.ValidTo), k.person.id, k.created.UnixMicro(), t.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := t.dropKeyRows(ctx, id); err != nil {
		return err
	}
	for i, l := range k.Levels {
		if err := t.exec(ctx, "INSERT INTO key_levels (key_id, level_id, place) VALUES ($1, $2, $3)", id, l.String(), i); err != nil {
			return fmt.Errorf("write access levels: %w", err)
		}
	}
	for _, part := range t.s.parts(k.Identification) {
		if err := t.exec(ctx, "INSERT INTO key_parts (integration_id, part, key_id) VALUES ($1, $2, $3)", k.integration, part, id); err != nil {
			return fmt.Errorf("write parts: %w", err)
		}
	}
	for _, form := range t.s.codeForms(k) {
		if err := t.exec(ctx, "INSERT INTO code_forms (form, key_id) VALUES ($1, $2)", form, id); err != nil {
			return fmt.Errorf("write code forms: %w", err)
		}
	}
	return nil
}

func (t *tx) dropKeyRows(ctx context.Context, id string) error {
	for _, table := range []string{"key_levels", "key_parts", "code_forms"} {
		if err := t.exec(ctx, "DELETE FROM "+table+" WHERE key_id = $1", id); err != nil {
			return fmt.Errorf("clear %s: %w", table, err)
		}
	}
	return nil
}

// parts are what no other key of the integration may have: each number on the
// card, or the keyed hash of the code.
func (s *Store) parts(id access.Identification) []string {
	if id.IsCode() {
		return []string{"code/" + s.seal.hash("code", id.Canonical())}
	}
	return strings.Split(id.Canonical(), "|")
}

// sameKey reports whether two identifications are one: a composite key is the
// same whichever of its parts comes first.
func sameKey(a, b access.Identification) bool {
	if a.IsCode() != b.IsCode() {
		return false
	}
	x, y := strings.Split(a.Canonical(), "|"), strings.Split(b.Canonical(), "|")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// holder gives the id of the integration's live key that has one of the parts,
// "" when none has.
func (t *tx) holder(ctx context.Context, integration string, parts []string) (string, error) {
	for _, part := range parts {
		var id string
		err := t.QueryRowContext(ctx, "SELECT key_id FROM key_parts WHERE integration_id = $1 AND part = $2", integration, part).Scan(&id)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return id, err
		}
	}
	return "", nil
}
