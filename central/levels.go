package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"postern/access"
	"postern/wire"
)

// LevelInfo is an access level on a panel, as operators see it. A level lies on
// the panel that announced it first; another that announces it gets no keys of
// it until an operator shares it.
type LevelInfo struct {
	ID        access.ID `json:"id"`
	Name      string    `json:"name"`
	SystemID  string    `json:"system_id"`
	Owned     bool      `json:"owned"`     // the panel is told of keys that have it
	Announced bool      `json:"announced"` // the panel's newest announcement has it
}

// Levels lists every access level of every panel.
func (s *Store) Levels(ctx context.Context) ([]LevelInfo, error) {
	return all(ctx, s.read, func(scan func(...any) error) (LevelInfo, error) {
		var l LevelInfo
		var id string
		if err := scan(&id, &l.Name, &l.SystemID, &l.Owned, &l.Announced); err != nil {
			return l, err
		}
		var err error
		l.ID, err = access.ParseID(id)
		return l, err
	}, "SELECT level_id, name, system_id, owned, announced FROM panel_levels ORDER BY system_id, name, level_id")
}

// ShareLevel lets a panel that announced a level of another panel have it too,
// and tells it of the keys that have the level. It gives ErrNotFound when the
// panel never announced the level.
func (s *Store) ShareLevel(ctx context.Context, level access.ID, systemID string) error {
	if err := s.update(ctx, func(t *tx) error { return t.shareLevel(ctx, level, systemID) }); err != nil {
		return fmt.Errorf("share level: %w", err)
	}
	return nil
}

func (t *tx) shareLevel(ctx context.Context, level access.ID, system string) error {
	const share = "UPDATE panel_levels SET owned = TRUE WHERE level_id = $1 AND system_id = $2 AND NOT owned"
	r, err := t.ExecContext(ctx, share, level.String(), system)
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err != nil {
		return err
	}
	if n > 0 {
		return t.retell(ctx, system, level)
	}
	var known int
	err = t.QueryRowContext(ctx, "SELECT COUNT(*) FROM panel_levels WHERE level_id = $1 AND system_id = $2", level.String(), system).Scan(&known)
	if err != nil || known > 0 {
		return err // owned already
	}
	return fmt.Errorf("level %s announced by panel %.64q: %w", level, system, ErrNotFound)
}

// DropLevel takes a level from a panel: keys lose it there, and those that had
// no other leave the panel. Keys keep it on other panels that have it. It gives
// ErrNotFound when the panel does not have the level.
func (s *Store) DropLevel(ctx context.Context, level access.ID, systemID string) error {
	if err := s.update(ctx, func(t *tx) error { return t.dropLevel(ctx, level, systemID) }); err != nil {
		return fmt.Errorf("drop level: %w", err)
	}
	return nil
}

// MoveLevel gives a level that one panel has to another that announced it, and
// tells both of the keys that have it. It gives ErrNotFound when the one does
// not have it or the other never announced it.
func (s *Store) MoveLevel(ctx context.Context, level access.ID, from, to string) error {
	if from == to {
		return fmt.Errorf("move level: from %s to itself", from)
	}
	err := s.update(ctx, func(t *tx) error {
		if err := t.shareLevel(ctx, level, to); err != nil {
			return err
		}
		return t.dropLevel(ctx, level, from)
	})
	if err != nil {
		return fmt.Errorf("move level: %w", err)
	}
	return nil
}

func (t *tx) dropLevel(ctx context.Context, level access.ID, system string) error {
	const drop = "UPDATE panel_levels SET owned = FALSE WHERE level_id = $1 AND system_id = $2 AND owned"
	r, err := t.ExecContext(ctx, drop, level.String(), system)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("level %s on panel %.64q: %w", level, system, ErrNotFound))
	}
	return t.retell(ctx, system, level)
}

// retell tells a panel anew of every live key that has the level.
func (t *tx) retell(ctx context.Context, system string, level access.ID) error {
	ids, err := all(ctx, t, scanText, `SELECT l.key_id FROM key_levels l JOIN keys k ON k.id = l.key_id
		WHERE l.level_id = $1 AND k.removed_at = 0 ORDER BY l.key_id`, level.String())
	if err != nil {
		return err
	}
	for _, id := range ids {
		k, err := t.key(ctx, id)
		if err != nil {
			return err
		}
		if err := t.tell(ctx, k, system); err != nil {
			return err
		}
	}
	return nil
}

// announce takes over what a panel says that it is. It reports the levels that
// it is not given because another panel owns them.
func (s *Store) announce(ctx context.Context, system string, p wire.Panel) (foreign []access.ID, err error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode announcement: %w", err)
	}
	var known string
	const same = "SELECT announcement FROM panels WHERE system_id = $1"
	if err := s.read.QueryRowContext(ctx, same, system).Scan(&known); err != nil {
		return nil, fmt.Errorf("read announcement: %w", err)
	}
	if known == string(text) {
		return nil, nil // as on most connects
	}
	err = s.update(ctx, func(t *tx) error {
		var old string
		if err := t.QueryRowContext(ctx, same, system).Scan(&old); err != nil {
			return err
		}
		if err := t.exec(ctx, "UPDATE panels SET announcement = $1 WHERE system_id = $2", string(text), system); err != nil {
			return err
		}
		if foreign, err = t.announceLevels(ctx, system, p.AccessLevels); err != nil {
			return err
		}
		if announced(old).Codes != p.Codes {
			return t.retellCodes(ctx, system)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store announcement: %w", err)
	}
	return foreign, nil
}

func (t *tx) announceLevels(ctx context.Context, system string, levels []wire.PanelLevel) (foreign []access.ID, err error) {
	// What is missing now is only marked: a panel that fell back to its first
	// policy must not empty itself.
	if err := t.exec(ctx, "UPDATE panel_levels SET announced = FALSE WHERE system_id = $1", system); err != nil {
		return nil, err
	}
	for _, l := range levels {
		const upsert = `INSERT INTO panel_levels (level_id, system_id, name, owned, announced, first_at)
			VALUES ($1, $2, $3, NOT EXISTS (SELECT 1 FROM panel_levels o WHERE o.level_id = $1), TRUE, $4)
			ON CONFLICT (level_id, system_id) DO UPDATE SET name = excluded.name, announced = TRUE
			RETURNING owned`
		var owned bool
		if err := t.QueryRowContext(ctx, upsert, l.ID.String(), system, clean(l.Name), t.now.UnixMicro()).Scan(&owned); err != nil {
			return nil, err
		}
		if !owned {
			foreign = append(foreign, l.ID)
		}
	}
	return foreign, nil
}

// retellCodes tells a panel anew of generated codes whose form there depends on
// the panel's code size, which has changed.
func (t *tx) retellCodes(ctx context.Context, system string) error {
	ids, err := all(ctx, t, scanText, `SELECT p.key_id FROM panel_keys p JOIN keys k ON k.id = p.key_id
		WHERE p.system_id = $1 AND p.op = 'put' AND k.code_generated AND k.removed_at = 0 ORDER BY p.claim`, system)
	if err != nil {
		return err
	}
	head, err := t.head(ctx, system)
	if err != nil {
		return err
	}
	for _, id := range ids {
		k, err := t.key(ctx, id)
		if err != nil {
			return err
		}
		var was string
		err = t.QueryRowContext(ctx, "SELECT ident FROM panel_keys WHERE system_id = $1 AND key_id = $2", system, id).Scan(&was)
		if err != nil {
			return err
		}
		if was == t.s.identHash(k.formOn(head.codes)) {
			continue
		}
		if err := t.tell(ctx, k, system); err != nil {
			return err
		}
	}
	return nil
}

// levelOwners gives the panels that own a level; none when it was never heard of.
func (t *tx) levelOwners(ctx context.Context, level access.ID) ([]string, error) {
	return all(ctx, t, scanText, "SELECT system_id FROM panel_levels WHERE level_id = $1 AND owned ORDER BY system_id", level.String())
}
