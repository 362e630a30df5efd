package central

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"postern/wire"
)

// ErrNotFound is a thing that an operator named and the database does not have.
var ErrNotFound = errors.New("not found")

const (
	apiKeyPrefix   = "postern_"
	maxIntegration = 64 // bytes of an integration's name
)

// APIKeySpec is what a new API key is to be.
type APIKeySpec struct {
	Integration string    // made when there is none of that name
	Systems     []string  // the panels that it reaches; empty is all, later ones too
	Expires     time.Time // zero is never
}

// APIKey is an API key as it is listed: the key itself is kept nowhere.
type APIKey struct {
	ID          string    `json:"id"`
	Integration string    `json:"integration"`
	Systems     []string  `json:"systems"` // null is all
	Created     time.Time `json:"created_at"`
	Expires     time.Time `json:"expires_at,omitzero"`
	Revoked     time.Time `json:"revoked_at,omitzero"`
	Secret      string    `json:"key,omitempty"` // only when just created
}

// CreateAPIKey makes an API key. Its Secret is shown this once: the database
// keeps a hash.
func (s *Store) CreateAPIKey(ctx context.Context, spec APIKeySpec) (APIKey, error) {
	if err := checkText(spec.Integration, maxIntegration); err != nil {
		return APIKey{}, fmt.Errorf("integration: %w", err)
	}
	for _, id := range spec.Systems {
		if err := wire.CheckSystemID(id); err != nil {
			return APIKey{}, err
		}
	}
	k := APIKey{
		ID: uuid.NewString(), Integration: spec.Integration, Systems: spec.Systems, Expires: spec.Expires.UTC(),
		Created: s.now().UTC(), Secret: newAPISecret(),
	}
	if !k.Expires.IsZero() && !k.Expires.After(k.Created) {
		return APIKey{}, errors.New("the key would expire before it is made")
	}
	systems, err := json.Marshal(slices.Concat([]string{}, spec.Systems))
	if err != nil {
		return APIKey{}, fmt.Errorf("encode systems: %w", err)
	}
	err = s.update(ctx, func(t *tx) error {
		const integration = "INSERT INTO integrations (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING"
		if err := t.exec(ctx, integration, uuid.NewString(), k.Integration, t.now.UnixMicro()); err != nil {
			return err
		}
		var expires int64
		if !k.Expires.IsZero() {
			expires = k.Expires.UnixMicro()
		}
		const key = `INSERT INTO api_keys (id, integration_id, hash, all_systems, systems, created_at, expires_at, revoked_at)
			SELECT CAST($1 AS TEXT), id, $2, $3, $4, $5, $6, 0 FROM integrations WHERE name = $7`
		return t.exec(ctx, key, k.ID, hashAPIKey(k.Secret), len(k.Systems) == 0, string(systems), k.Created.UnixMicro(), expires, k.Integration)
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("create API key: %w", err)
	}
	return k, nil
}

// hashAPIKey is what is stored of an API key. The key is 256 random bits, so
// that a plain hash can't be guessed backwards.
func hashAPIKey(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

// APIKeys lists every API key, revoked ones too, oldest first.
func (s *Store) APIKeys(ctx context.Context) ([]APIKey, error) {
	const query = `SELECT k.id, i.name, k.all_systems, k.systems, k.created_at, k.expires_at, k.revoked_at
		FROM api_keys k JOIN integrations i ON i.id = k.integration_id ORDER BY k.created_at, k.id`
	return all(ctx, s.read, func(scan func(...any) error) (APIKey, error) {
		var k APIKey
		var everything bool
		var systems string
		var created, expires, revoked int64
		if err := scan(&k.ID, &k.Integration, &everything, &systems, &created, &expires, &revoked); err != nil {
			return k, err
		}
		k.Created, k.Expires, k.Revoked = fromMicros0(created), fromMicros0(expires), fromMicros0(revoked)
		if !everything {
			return k, json.Unmarshal([]byte(systems), &k.Systems)
		}
		return k, nil
	}, query)
}

// RevokeAPIKey makes an API key useless from now on. It gives ErrNotFound for
// an id that is none.
func (s *Store) RevokeAPIKey(ctx context.Context, id string) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.ExecContext(ctx, "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0", t.now.UnixMicro(), id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return fmt.Errorf("API key %.64q that is not revoked yet: %w", id, ErrNotFound)
	})
}

// RotateSpec is how an API key is replaced.
type RotateSpec struct {
	ID      string        // of the key that is replaced
	Overlap time.Duration // how long that one goes on; 0 ends it at once
	Expires time.Time     // of the new one; zero: as long as the old one had, or never
}

// RotateAPIKey makes an API key in place of another, of the same integration and
// for the same systems, and lets the other end after the overlap, in one step. It
// gives ErrNotFound for an id that is none, or of a key that has ended already.
func (s *Store) RotateAPIKey(ctx context.Context, spec RotateSpec) (APIKey, error) {
	var k APIKey
	if spec.Overlap < 0 {
		return k, errors.New("the overlap is negative")
	}
	err := s.update(ctx, func(t *tx) error {
		const query = `SELECT k.integration_id, i.name, k.all_systems, k.systems, k.created_at, k.expires_at
			FROM api_keys k JOIN integrations i ON i.id = k.integration_id
			WHERE k.id = $1 AND k.revoked_at = 0 AND (k.expires_at = 0 OR k.expires_at > $2)`
		var integration, systems string
		var everything bool
		var created, expires int64
		err := t.QueryRowContext(ctx, query, spec.ID, t.now.UnixMicro()).Scan(&integration, &k.Integration, &everything, &systems, &created, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("API key %.64q that has not ended yet: %w", spec.ID, ErrNotFound)
		}
		if err != nil {
			return err
		}
		if !everything {
			if err := json.Unmarshal([]byte(systems), &k.Systems); err != nil {
				return fmt.Errorf("read scope of API key: %w", err)
			}
		}
		k.ID, k.Created, k.Secret, k.Expires = uuid.NewString(), t.now.UTC().Truncate(time.Microsecond), newAPISecret(), spec.Expires.UTC()
		if spec.Expires.IsZero() {
			k.Expires = time.Time{}
			if expires != 0 {
				k.Expires = k.Created.Add(time.Duration(expires-created) * time.Microsecond)
			}
		}
		if !k.Expires.IsZero() && !k.Expires.After(k.Created) {
			return errors.New("the key would expire before it is made")
		}
		const insert = `INSERT INTO api_keys (id, integration_id, hash, all_systems, systems, created_at, expires_at, revoked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`
		if err := t.exec(ctx, insert, k.ID, integration, hashAPIKey(k.Secret), everything, systems, k.Created.UnixMicro(), micros0(k.Expires)); err != nil {
			return err
		}
		detail(ctx, "API key %s in place of %s", k.ID, spec.ID)
		if spec.Overlap == 0 {
			return t.exec(ctx, "UPDATE api_keys SET revoked_at = $1 WHERE id = $2", t.now.UnixMicro(), spec.ID)
		}
		end := t.now.Add(spec.Overlap).UnixMicro()
		if expires != 0 {
			end = min(end, expires)
		}
		return t.exec(ctx, "UPDATE api_keys SET expires_at = $1 WHERE id = $2", end, spec.ID)
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("rotate API key: %w", err)
	}
	return k, nil
}

// newAPISecret is a new API key.
func newAPISecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return apiKeyPrefix + base64.RawURLEncoding.EncodeToString(random)
}

// caller is who sent a request, as far as its API key says.
type caller struct {
	keyID       string
	integration string // id
	name        string
	everything  bool
	systems     []string
}

func (c caller) sees(system string) bool {
	return c.everything || slices.Contains(c.systems, system)
}

// authenticate finds the caller of an API key; nil when the key is unknown,
// revoked or expired.
func (s *Store) authenticate(ctx context.Context, key string) (*caller, error) {
	if !strings.HasPrefix(key, apiKeyPrefix) || len(key) > 128 {
		return nil, nil
	}
	// The lookup is by hash: its timing tells nothing about a key.
	hash := hashAPIKey(key)
	const query = `SELECT k.id, k.hash, k.integration_id, i.name, k.all_systems, k.systems, k.expires_at, k.revoked_at
		FROM api_keys k JOIN integrations i ON i.id = k.integration_id WHERE k.hash = $1`
	var c caller
	var stored, systems string
	var expires, revoked int64
	err := s.read.QueryRowContext(ctx, query, hash).
		Scan(&c.keyID, &stored, &c.integration, &c.name, &c.everything, &systems, &expires, &revoked)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up API key: %w", err)
	case subtle.ConstantTimeCompare([]byte(stored), []byte(hash)) != 1:
		return nil, nil
	case revoked != 0 || expires != 0 && s.now().UnixMicro() >= expires:
		return nil, nil
	}
	if err := json.Unmarshal([]byte(systems), &c.systems); err != nil {
		return nil, fmt.Errorf("read scope of API key: %w", err)
	}
	return &c, nil
}

// checkText says what is wrong with a short text from outside. Control
// characters would garble lists and logs, and PostgreSQL takes no NUL.
func checkText(s string, most int) error {
	n := utf8.RuneCountInString(s)
	switch {
	case n == 0:
		return errors.New("is empty")
	case n > most:
		return fmt.Errorf("has more than %d characters", most)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("has a control character")
	}
	return nil
}

// clean makes a panel's text fit to be stored and shown.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
