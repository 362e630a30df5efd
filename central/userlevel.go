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

const (
	maxApprovers  = 100 // of one level
	maxExclusions = 1000
	maxPolicyName = 128 // characters
)

// LevelRule is who decides about requests for an access level.
type LevelRule struct {
	LevelID       access.ID `json:"level_id"`
	Approvers     []string  `json:"approvers"`      // ids of users; none: the level takes no requests
	RequiredVotes int       `json:"required_votes"` // acceptances that grant a request
}

// SetApprovers names who votes on requests for a level, and how many have to
// accept. Without approvers the level takes no requests. Pending requests keep
// the votes that they were made with, but only present approvers' votes count.
func (s *Store) SetApprovers(ctx context.Context, rule LevelRule) error {
	users := slices.Compact(slices.Sorted(slices.Values(rule.Approvers)))
	switch {
	case len(users) > maxApprovers:
		return badRequest("InvalidApprovers", "approvers", "approvers: more than %d", maxApprovers)
	case len(users) == 0 && rule.RequiredVotes != 0, len(users) > 0 && (rule.RequiredVotes < 1 || rule.RequiredVotes > len(users)):
		return badRequest("InvalidRequiredVotes", "required_votes", "required_votes: want 1 to the number of approvers (%d)", len(users))
	}
	id := rule.LevelID.String()
	err := s.update(ctx, func(t *tx) error {
		owners, err := t.levelOwners(ctx, rule.LevelID)
		if err != nil {
			return err
		}
		if len(owners) == 0 && len(users) > 0 {
			return notFound("level_id", "access level on any panel")
		}
		for _, user := range users {
			u, err := t.user(ctx, user)
			if _, ok := errors.AsType[*Problem](err); ok {
				return badRequest("InvalidApprovers", "approvers", "approvers: there is no user %.64q", user)
			}
			if err != nil {
				return err
			}
			if !u.Is(RoleApprover, RoleAdmin) {
				return badRequest("InvalidApprovers", "approvers", "approvers: the user %s is neither approver nor ORG_ADMIN", u.ID)
			}
		}
		if err := t.exec(ctx, "DELETE FROM level_approvers WHERE level_id = $1", id); err != nil {
			return err
		}
		if len(users) == 0 {
			return t.exec(ctx, "DELETE FROM level_rules WHERE level_id = $1", id)
		}
		const set = "INSERT INTO level_rules (level_id, required_votes) VALUES ($1, $2) ON CONFLICT (level_id) DO UPDATE SET required_votes = excluded.required_votes"
		if err := t.exec(ctx, set, id, rule.RequiredVotes); err != nil {
			return err
		}
		for _, user := range users {
			if err := t.exec(ctx, "INSERT INTO level_approvers (level_id, user_id) VALUES ($1, $2)", id, user); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set approvers: %w", err)
	}
	return nil
}

// Approvers gives who decides about requests for a level.
func (s *Store) Approvers(ctx context.Context, level access.ID) (rule LevelRule, err error) {
	err = s.view(ctx, func(t *tx) error {
		rule, err = t.rule(ctx, level)
		return err
	})
	return rule, err
}

// rule reads a level's rule with those of its approvers who may vote now.
func (t *tx) rule(ctx context.Context, level access.ID) (LevelRule, error) {
	r := LevelRule{LevelID: level, Approvers: []string{}}
	err := t.QueryRowContext(ctx, "SELECT required_votes FROM level_rules WHERE level_id = $1", level.String()).Scan(&r.RequiredVotes)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read rule of access level: %w", err)
	}
	users, err := all(ctx, t, scanUser, `SELECT `+userColumns+` FROM users WHERE removed_at = 0
		AND id IN (SELECT user_id FROM level_approvers WHERE level_id = $1) ORDER BY name, domain, id`, level.String())
	if err != nil {
		return r, fmt.Errorf("read approvers: %w", err)
	}
	for _, u := range users {
		if u.Is(RoleApprover, RoleAdmin) {
			r.Approvers = append(r.Approvers, u.ID)
		}
	}
	return r, nil
}

// Exclusion is two access levels that no person may hold at once.
type Exclusion struct {
	ID    string    `json:"id"` // uuid
	Name  string    `json:"name"`
	Left  access.ID `json:"left"`
	Right access.ID `json:"right"`
}

// AddExclusion names two levels that no person may hold at once, be it by
// requests or by access keys; "" makes the name of theirs. Whoever holds both
// already keeps them.
func (s *Store) AddExclusion(ctx context.Context, a, b access.ID, name string) (Exclusion, error) {
	x := Exclusion{ID: uuid.NewString(), Name: name, Left: a, Right: b}
	if b.String() < a.String() {
		x.Left, x.Right = b, a
	}
	if a == b {
		return x, badRequest("InvalidExclusion", "right", "right: two different levels are needed")
	}
	if name != "" {
		if err := checkText(name, maxPolicyName); err != nil {
			return x, badRequest("InvalidName", "name", "name: %v", err)
		}
	}
	err := s.update(ctx, func(t *tx) error {
		var names [2]string
		for i, l := range []access.ID{x.Left, x.Right} {
			var err error
			if names[i], err = t.levelName(ctx, l); err != nil {
				return err
			}
		}
		if x.Name == "" {
			x.Name = names[0] + " / " + names[1]
		}
		var n int
		if err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM exclusions").Scan(&n); err != nil {
			return err
		}
		if n >= maxExclusions {
			return problem(409, "TooManyExclusions", "", "there are %d already", n)
		}
		const insert = `INSERT INTO exclusions (id, name, left_level, right_level, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (left_level, right_level) DO NOTHING`
		r, err := t.ExecContext(ctx, insert, x.ID, x.Name, x.Left.String(), x.Right.String(), t.now.UnixMicro())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, problem(409, "ExclusionExists", "", "these two levels exclude each other already"))
		}
		return nil
	})
	if err != nil {
		return x, fmt.Errorf("add exclusion: %w", err)
	}
	return x, nil
}

// levelName is the name under which a panel that owns the level announced it.
func (t *tx) levelName(ctx context.Context, level access.ID) (string, error) {
	names, err := all(ctx, t, scanText, "SELECT name FROM panel_levels WHERE level_id = $1 AND owned ORDER BY system_id LIMIT 1", level.String())
	if err != nil {
		return "", fmt.Errorf("read name of access level: %w", err)
	}
	if len(names) == 0 {
		return "", notFound("level_id", "access level on any panel")
	}
	return names[0], nil
}

// Exclusions lists the pairs of levels that no person may hold at once.
func (s *Store) Exclusions(ctx context.Context) ([]Exclusion, error) {
	return all(ctx, s.read, scanExclusion, "SELECT id, name, left_level, right_level FROM exclusions ORDER BY name, id")
}

func scanExclusion(scan func(...any) error) (x Exclusion, err error) {
	var left, right string
	if err := scan(&x.ID, &x.Name, &left, &right); err != nil {
		return x, err
	}
	if x.Left, err = access.ParseID(left); err != nil {
		return x, err
	}
	x.Right, err = access.ParseID(right)
	return x, err
}

// RemoveExclusion lets two levels be held by one person again.
func (s *Store) RemoveExclusion(ctx context.Context, a, b access.ID) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.ExecContext(ctx, "DELETE FROM exclusions WHERE left_level = $1 AND right_level = $2 OR left_level = $2 AND right_level = $1",
			a.String(), b.String())
		if err != nil {
			return fmt.Errorf("remove exclusion: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return notFound("right", "pair of access levels that exclude each other")
	})
}

// holds are the levels that a user has, or will have by what was granted: by
// requests other than one, and by access keys of the user's card or person.
func (t *tx) holds(ctx context.Context, u User, except string) ([]string, error) {
	levels, err := all(ctx, t, scanText, `SELECT DISTINCT level_id FROM access_requests
		WHERE user_id = $1 AND id <> $2 AND state = 'granted' AND expires_at > $3`, u.ID, except, t.now.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("read what the user was granted: %w", err)
	}
	byKey, err := all(ctx, t, scanText, `SELECT DISTINCT l.level_id FROM keys k JOIN key_levels l ON l.key_id = k.id
		WHERE k.id <> $2 AND k.removed_at = 0 AND k.state <> 'blacklisted' AND (k.valid_to IS NULL OR k.valid_to > $3)
			AND (k.person_id = $4 OR k.id IN (SELECT p.key_id FROM user_cards c JOIN key_parts p ON p.part = c.part WHERE c.user_id = $1))`,
		u.ID, u.key, t.now.UnixMicro(), u.person)
	if err != nil {
		return nil, fmt.Errorf("read what the user's card has: %w", err)
	}
	return append(levels, byKey...), nil
}

// broken are the pairs that a user would break by holding the level as well.
func (t *tx) broken(ctx context.Context, u User, level access.ID, except string) ([]Exclusion, error) {
	pairs, err := all(ctx, t, scanExclusion, `SELECT id, name, left_level, right_level FROM exclusions
		WHERE left_level = $1 OR right_level = $1 ORDER BY name, id`, level.String())
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	held, err := t.holds(ctx, u, except)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pairs, func(x Exclusion) bool {
		other := x.Left
		if other == level {
			other = x.Right
		}
		return !slices.Contains(held, other.String())
	}), nil
}
