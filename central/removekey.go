package central

import (
	"context"
	"fmt"
	"time"

	"postern/access"
)

// keepRemoved is how long after its removal a key's status is answered.
const keepRemoved = 30 * 24 * time.Hour

// keepCommands is how long it is known what became of a command.
const keepCommands = 24 * time.Hour

type removeRequest struct {
	ID  optional[string]  `json:"id"`
	Key optional[keySpec] `json:"key"`
}

func (r removeRequest) check() (id access.ID, ident access.Identification, err error) {
	if !r.ID.Has() && !r.Key.Has() {
		return id, ident, badRequest("KeyRequired", "id", "id or key is required")
	}
	if r.ID.Has() {
		if id, err = readID(r.ID.Value, "id"); err != nil {
			return id, ident, err
		}
	}
	if r.Key.Has() { // beside an id it says which key that is to be
		ident, err = r.Key.Value.parse(r.ID.Has())
	}
	return id, ident, err
}

// removeKey removes a key from every panel that holds it, and forgets its
// secrets. To remove one that is removed already changes nothing.
func (t *tx) removeKey(ctx context.Context, c *caller, id access.ID, ident access.Identification) error {
	if id.IsZero() {
		text, err := t.holder(ctx, c.integration, t.s.parts(ident))
		if err != nil {
			return err
		}
		if text == "" {
			return notFound("key", "access key")
		}
		if id, err = access.ParseID(text); err != nil {
			return err
		}
	}
	k, err := t.ownKey(ctx, c, id)
	if err != nil {
		return err
	}
	if !k.removed.IsZero() {
		if t.now.Sub(k.removed) >= keepRemoved {
			return notFound("id", "access key")
		}
		return nil
	}
	if !ident.IsZero() && !sameKey(k.Identification, ident) {
		return notFound("key", "access key") // it only shares a part
	}
	about(ctx, "access key "+k.ID.String())
	k.removed = t.now
	if err := t.tellAll(ctx, k); err != nil {
		return err
	}
	const mark = `UPDATE keys SET removed_at = $1, updated_at = $1, code_sealed = NULL, pin_sealed = NULL WHERE id = $2`
	if err := t.exec(ctx, mark, t.now.UnixMicro(), id.String()); err != nil {
		return fmt.Errorf("mark key as removed: %w", err)
	}
	return t.dropKeyRows(ctx, id.String())
}

// purge forgets keys that were removed long ago and old answers to repeated
// requests.
func (s *Store) purge(ctx context.Context) error {
	return s.update(ctx, func(t *tx) error {
		old := t.now.Add(-keepRemoved).UnixMicro()
		const told = `DELETE FROM panel_keys WHERE key_id IN (SELECT id FROM keys WHERE removed_at > 0 AND removed_at <= $1)`
		if err := t.exec(ctx, told, old); err != nil {
			return fmt.Errorf("purge removed keys: %w", err)
		}
		if err := t.exec(ctx, "DELETE FROM keys WHERE removed_at > 0 AND removed_at <= $1", old); err != nil {
			return fmt.Errorf("purge removed keys: %w", err)
		}
		if err := t.exec(ctx, "DELETE FROM idempotency WHERE created_at <= $1", t.now.Add(-keepAnswers).UnixMicro()); err != nil {
			return fmt.Errorf("purge kept answers: %w", err)
		}
		if err := t.exec(ctx, "DELETE FROM commands WHERE created_at <= $1", t.now.Add(-keepCommands).UnixMicro()); err != nil {
			return fmt.Errorf("purge commands: %w", err)
		}
		// By now nobody answers a snapshot of then.
		const parts = `DELETE FROM snapshot_parts WHERE snapshot_id IN (SELECT id FROM snapshots WHERE state = 'dropped' AND created_at <= $1)`
		if err := t.exec(ctx, parts, old); err != nil {
			return fmt.Errorf("purge snapshots: %w", err)
		}
		if err := t.exec(ctx, "DELETE FROM snapshots WHERE state = 'dropped' AND created_at <= $1", old); err != nil {
			return fmt.Errorf("purge snapshots: %w", err)
		}
		return nil
	})
}
