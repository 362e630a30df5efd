package central

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/access"
)

// The roles of users. Whoever has none may ask for access, and see and end what
// they asked for.
const (
	RoleAdmin    = "ORG_ADMIN" // manages users, sees and revokes every request
	RoleApprover = "approver"  // votes on requests for levels that name the user
	RoleOperator = "operator"  // sees and revokes every request
	RoleAuditor  = "auditor"   // sees every request and user
)

// roleOrder is also that of importance.
func roleOrder() []string { return []string{RoleAdmin, RoleApprover, RoleOperator, RoleAuditor} }

const (
	maxUserName = 64 // characters of a user's name or domain

	// DefaultTokenLife is how long a token is good when nothing else is said.
	DefaultTokenLife = 90 * 24 * time.Hour

	tokenPrefix = "postern_user_"
)

// User is somebody who asks for access or decides about it.
type User struct {
	ID      string    `json:"id"` // uuid
	Name    string    `json:"name"`
	Domain  string    `json:"domain"`
	Roles   []string  `json:"roles"`
	Card    string    `json:"card"` // canonical identification; "" gets a code made for what is granted
	Created time.Time `json:"created_at"`

	person, key string
	removed     bool
}

// Is reports whether the user has one of the roles.
func (u User) Is(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(u.Roles, r) })
}

// UserSpec is what a new user is to be.
type UserSpec struct {
	Name   string   // unique within the domain
	Domain string   // may be empty
	Roles  []string // may be empty
	Card   string   // identification of a proximity key, as the access keys API takes it; may be empty
}

// Token is a user's token as it is listed: the token itself is kept nowhere.
type Token struct {
	ID      string    `json:"id"`
	UserID  string    `json:"user_id"`
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires_at"`
	Revoked time.Time `json:"revoked_at,omitzero"`
	Secret  string    `json:"token,omitempty"` // only when just created
}

// checkRoles gives the roles in their order, each once; none as an empty list.
func checkRoles(roles []string) ([]string, error) {
	out := []string{}
	for _, r := range roleOrder() {
		if slices.Contains(roles, r) {
			out = append(out, r)
		}
	}
	for _, r := range roles {
		if !slices.Contains(out, r) {
			return nil, badRequest("InvalidRole", "roles", "roles: unknown (one of %s)", strings.Join(roleOrder(), ", "))
		}
	}
	return out, nil
}

func parseCard(text string) (access.Identification, error) {
	if text == "" {
		return access.Identification{}, nil
	}
	id, err := access.ParseIdentification(access.Proximity, text)
	if err != nil {
		return id, badRequest("InvalidIdentification", "card", "card: %v", err)
	}
	return id, nil
}

// AddUser makes a user.
func (s *Store) AddUser(ctx context.Context, spec UserSpec) (User, error) {
	u := User{ID: uuid.NewString(), Name: spec.Name, Domain: spec.Domain}
	if err := checkText(u.Name, maxUserName); err != nil {
		return u, badRequest("InvalidName", "name", "name: %v", err)
	}
	if u.Domain != "" {
		if err := checkText(u.Domain, maxUserName); err != nil {
			return u, badRequest("InvalidDomain", "domain", "domain: %v", err)
		}
	}
	var err error
	if u.Roles, err = checkRoles(spec.Roles); err != nil {
		return u, err
	}
	card, err := parseCard(spec.Card)
	if err != nil {
		return u, err
	}
	err = s.update(ctx, func(t *tx) error {
		var n int
		const same = "SELECT COUNT(*) FROM users WHERE name = $1 AND domain = $2 AND removed_at = 0"
		if err := t.QueryRowContext(ctx, same, u.Name, u.Domain).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return problem(409, "UserExists", "name", "there is a user of this name already")
		}
		u.Created = t.now.UTC().Truncate(time.Microsecond)
		const insert = `INSERT INTO users (id, name, domain, roles, card, person_id, key_id, created_at, removed_at)
			VALUES ($1, $2, $3, $4, '', '', '', $5, 0)`
		if err := t.exec(ctx, insert, u.ID, u.Name, u.Domain, strings.Join(u.Roles, ","), u.Created.UnixMicro()); err != nil {
			return err
		}
		about(ctx, "user "+u.ID)
		return t.giveCard(ctx, &u, card)
	})
	if err != nil {
		return u, fmt.Errorf("add user: %w", err)
	}
	return u, nil
}

// giveCard makes a card the user's, in place of the one before; the zero one is
// none.
func (t *tx) giveCard(ctx context.Context, u *User, card access.Identification) error {
	if err := t.exec(ctx, "DELETE FROM user_cards WHERE user_id = $1", u.ID); err != nil {
		return err
	}
	u.Card = ""
	if !card.IsZero() {
		u.Card = card.Canonical()
		for _, part := range t.s.parts(card) {
			r, err := t.ExecContext(ctx, "INSERT INTO user_cards (part, user_id) VALUES ($1, $2) ON CONFLICT (part) DO NOTHING", part, u.ID)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, problem(409, "CardInUse", "card", "another user has this card, or a part of it"))
			}
		}
	}
	return t.exec(ctx, "UPDATE users SET card = $1 WHERE id = $2", u.Card, u.ID)
}

const userColumns = "id, name, domain, roles, card, person_id, key_id, created_at, removed_at"

func scanUser(scan func(...any) error) (User, error) {
	var u User
	var roles string
	var created, removed int64
	err := scan(&u.ID, &u.Name, &u.Domain, &roles, &u.Card, &u.person, &u.key, &created, &removed)
	u.Created, u.removed, u.Roles = fromMicros0(created), removed != 0, []string{}
	if roles != "" {
		u.Roles = strings.Split(roles, ",")
	}
	return u, err
}

// Users lists the users by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	return all(ctx, s.read, scanUser, "SELECT "+userColumns+" FROM users WHERE removed_at = 0 ORDER BY name, domain")
}

// User finds a user by id, name, or domain\name. It gives ErrNotFound when there
// is none, and an error when there are several of the name.
func (s *Store) User(ctx context.Context, who string) (User, error) {
	users, err := s.Users(ctx)
	if err != nil {
		return User{}, fmt.Errorf("read users: %w", err)
	}
	var found []User
	for _, u := range users {
		if u.ID == who {
			return u, nil
		}
		if u.Name == who || u.Domain != "" && u.Domain+`\`+u.Name == who {
			found = append(found, u)
		}
	}
	switch len(found) {
	case 0:
		return User{}, fmt.Errorf("user %.64q: %w", who, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return User{}, fmt.Errorf("there are %d users of the name %.64q: name one by its id, or as DOMAIN\\NAME", len(found), who)
}

// user reads a living user.
func (t *tx) user(ctx context.Context, id string) (User, error) {
	u, err := scanUser(t.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE id = $1", id).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && u.removed {
		return u, notFound("id", "user")
	}
	return u, err
}

// UserChange is what of a user is to be otherwise; nil leaves it.
type UserChange struct {
	Roles *[]string
	Card  *string // "" takes the card away
}

// ChangeUser changes a user. Another card takes over at once what was granted.
func (s *Store) ChangeUser(ctx context.Context, id string, ch UserChange) (u User, err error) {
	err = s.update(ctx, func(t *tx) error {
		if u, err = t.user(ctx, id); err != nil {
			return err
		}
		if ch.Roles != nil {
			if u.Roles, err = checkRoles(*ch.Roles); err != nil {
				return err
			}
			if err := t.exec(ctx, "UPDATE users SET roles = $1 WHERE id = $2", strings.Join(u.Roles, ","), id); err != nil {
				return err
			}
		}
		if ch.Card != nil {
			card, err := parseCard(*ch.Card)
			if err != nil {
				return err
			}
			if err := t.giveCard(ctx, &u, card); err != nil {
				return err
			}
			if err := t.provision(ctx, id); err != nil {
				return err
			}
		}
		about(ctx, "user "+id)
		detail(ctx, "roles %s", strings.Join(u.Roles, ","))
		return nil
	})
	if err != nil {
		return u, fmt.Errorf("change user: %w", err)
	}
	return u, nil
}

// RemoveUser takes away a user's tokens, card and rights to vote, and ends what
// they asked for or were granted. What they did stays on record.
func (s *Store) RemoveUser(ctx context.Context, id string) error {
	err := s.update(ctx, func(t *tx) error {
		if _, err := t.user(ctx, id); err != nil {
			return err
		}
		if err := t.lapseOf(ctx, id); err != nil {
			return err
		}
		open, err := t.requests(ctx, "WHERE r.user_id = $1 AND r.state IN ('pending', 'granted')", id)
		if err != nil {
			return err
		}
		for _, r := range open {
			if err := t.end(ctx, r, stateRevoked, "", "the user was removed"); err != nil {
				return err
			}
		}
		if err := t.provision(ctx, id); err != nil {
			return err
		}
		about(ctx, "user "+id)
		return errors.Join(
			t.exec(ctx, "DELETE FROM user_cards WHERE user_id = $1", id),
			t.exec(ctx, "DELETE FROM level_approvers WHERE user_id = $1", id),
			t.exec(ctx, "UPDATE user_tokens SET revoked_at = $1 WHERE user_id = $2 AND revoked_at = 0", t.now.UnixMicro(), id),
			t.exec(ctx, "UPDATE users SET removed_at = $1, roles = '', card = '' WHERE id = $2", t.now.UnixMicro(), id),
		)
	})
	if err != nil {
		return fmt.Errorf("remove user: %w", err)
	}
	return nil
}

// maxTokens is how many good tokens a user may have at once.
const maxTokens = 20

// CreateToken makes a token of a user; the zero time is DefaultTokenLife. Its
// Secret is shown this once: the database keeps a hash.
func (s *Store) CreateToken(ctx context.Context, userID string, expires time.Time) (Token, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	k := Token{ID: uuid.NewString(), UserID: userID, Secret: tokenPrefix + base64.RawURLEncoding.EncodeToString(random)}
	err := s.update(ctx, func(t *tx) error {
		if _, err := t.user(ctx, userID); err != nil {
			return err
		}
		k.Created = t.now.UTC().Truncate(time.Microsecond)
		k.Expires = expires.UTC().Truncate(time.Microsecond)
		if expires.IsZero() {
			k.Expires = k.Created.Add(DefaultTokenLife)
		}
		if !k.Expires.After(k.Created) {
			return badRequest("InvalidDate", "expires_at", "expires_at: the token would expire before it is made")
		}
		const old = "DELETE FROM user_tokens WHERE user_id = $1 AND expires_at <= $2"
		if err := t.exec(ctx, old, userID, t.now.Add(-keepRequests).UnixMicro()); err != nil {
			return err
		}
		var n int
		const good = "SELECT COUNT(*) FROM user_tokens WHERE user_id = $1 AND revoked_at = 0 AND expires_at > $2"
		if err := t.QueryRowContext(ctx, good, userID, t.now.UnixMicro()).Scan(&n); err != nil {
			return err
		}
		if n >= maxTokens {
			return problem(409, "TooManyTokens", "", "the user has %d tokens: revoke one first", n)
		}
		return t.exec(ctx, "INSERT INTO user_tokens (id, user_id, hash, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, 0)",
			k.ID, userID, hashAPIKey(k.Secret), k.Created.UnixMicro(), k.Expires.UnixMicro())
	})
	if err != nil {
		return Token{}, fmt.Errorf("create token: %w", err)
	}
	return k, nil
}

// Tokens lists the tokens of a user, revoked ones too, oldest first.
func (s *Store) Tokens(ctx context.Context, userID string) ([]Token, error) {
	return all(ctx, s.read, func(scan func(...any) error) (Token, error) {
		var k Token
		var created, expires, revoked int64
		err := scan(&k.ID, &k.UserID, &created, &expires, &revoked)
		k.Created, k.Expires, k.Revoked = fromMicros0(created), fromMicros0(expires), fromMicros0(revoked)
		return k, err
	}, "SELECT id, user_id, created_at, expires_at, revoked_at FROM user_tokens WHERE user_id = $1 ORDER BY created_at, id", userID)
}

// RevokeToken makes a token of a user useless from now on.
func (s *Store) RevokeToken(ctx context.Context, userID, id string) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.ExecContext(ctx, "UPDATE user_tokens SET revoked_at = $1 WHERE id = $2 AND user_id = $3 AND revoked_at = 0",
			t.now.UnixMicro(), id, userID)
		if err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return notFound("token", "token that is not revoked yet")
	})
}
