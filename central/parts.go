package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"postern/wire"
)

// snapshotPart takes one of the numbered rows in which a panel answers a
// snapshot, and counts them when all are there. They are of a snapshot that was
// made here, of the present log, or they don't count. It reports whether the
// panel has taken a snapshot of ours.
func (t *tx) snapshotPart(ctx context.Context, system string, m wire.Statuses) (ours bool, err error) {
	var known int
	const query = `SELECT COUNT(*) FROM snapshots s JOIN panels p ON p.system_id = s.system_id AND p.epoch = s.epoch
		WHERE s.id = $1 AND s.system_id = $2 AND s.epoch = $3 AND s.revision = $4 AND s.state <> 'making' AND $5 <= s.key_count + 1`
	err = t.QueryRowContext(ctx, query, m.SnapshotID.String(), system, int64(m.Epoch), int64(m.Revision), int64(m.Of)).Scan(&known)
	if err != nil || known == 0 {
		return false, err
	}
	if m.Part == 1 { // it begins: what came before is of another time that it was taken
		if err := t.exec(ctx, "DELETE FROM snapshot_parts WHERE snapshot_id = $1", m.SnapshotID.String()); err != nil {
			return true, err
		}
	}
	results, err := json.Marshal(m.Results)
	if err != nil {
		return true, fmt.Errorf("encode results: %w", err)
	}
	const keep = `INSERT INTO snapshot_parts (snapshot_id, part, parts, results) VALUES ($1, $2, $3, $4)
		ON CONFLICT (snapshot_id, part) DO UPDATE SET parts = excluded.parts, results = excluded.results`
	if err := t.exec(ctx, keep, m.SnapshotID.String(), int64(m.Part), int64(m.Of), string(results)); err != nil {
		return true, err
	}
	var have uint64
	err = t.QueryRowContext(ctx, "SELECT COUNT(*) FROM snapshot_parts WHERE snapshot_id = $1 AND parts = $2", m.SnapshotID.String(), int64(m.Of)).Scan(&have)
	if err != nil || have < m.Of {
		return true, err
	}
	return true, t.snapshotResults(ctx, system, m)
}

// snapshotResults counts the parts: every key whose latest put the snapshot has
// is applied, but for those listed as failed; every key that was removed before
// it is gone from the panel.
func (t *tx) snapshotResults(ctx context.Context, system string, m wire.Statuses) error {
	id, upTo := m.SnapshotID.String(), int64(m.Revision)
	parts, err := all(ctx, t, scanText, "SELECT results FROM snapshot_parts WHERE snapshot_id = $1 ORDER BY part", id)
	if err != nil {
		return err
	}
	const (
		put = `UPDATE panel_keys SET result = 'applied', error_type = '', detail = '', applied_at = $1
			WHERE system_id = $2 AND op = 'put' AND revision <= $3 AND result <> 'applied'`
		gone = `DELETE FROM panel_keys WHERE system_id = $1 AND op = 'remove' AND revision <= $2
			AND EXISTS (SELECT 1 FROM keys WHERE id = panel_keys.key_id AND removed_at = 0)`
		removed = `UPDATE panel_keys SET result = 'applied', error_type = '', detail = '', applied_at = $1
			WHERE system_id = $2 AND op = 'remove' AND revision <= $3 AND result <> 'applied'`
		answered = `UPDATE panel_log SET answered = TRUE WHERE system_id = $1 AND epoch = $2 AND revision <= $3 AND NOT answered`
	)
	err = errors.Join(
		t.exec(ctx, put, t.now.UnixMicro(), system, upTo),
		t.exec(ctx, gone, system, upTo),
		t.exec(ctx, removed, t.now.UnixMicro(), system, upTo),
		t.exec(ctx, answered, system, int64(m.Epoch), upTo),
	)
	if err != nil {
		return err
	}
	for _, text := range parts {
		var failed []wire.Result
		if err := json.Unmarshal([]byte(text), &failed); err != nil {
			return fmt.Errorf("read part of results: %w", err)
		}
		for _, r := range failed {
			if r.Revision > m.Revision {
				continue
			}
			if err := t.result(ctx, system, m.Epoch, r); err != nil {
				return fmt.Errorf("store result: %w", err)
			}
		}
	}
	return t.exec(ctx, "DELETE FROM snapshot_parts WHERE snapshot_id = $1", id)
}

// confirmRemovals is for a panel that is in step with a log that begins after
// keys were removed: it has none of them.
func (s *Store) confirmRemovals(ctx context.Context, system string) error {
	return s.update(ctx, func(t *tx) error {
		const (
			gone = `DELETE FROM panel_keys WHERE system_id = $1 AND op = 'remove' AND revision = 0
				AND EXISTS (SELECT 1 FROM keys WHERE id = panel_keys.key_id AND removed_at = 0)`
			removed = `UPDATE panel_keys SET result = 'applied', error_type = '', detail = '', applied_at = $1
				WHERE system_id = $2 AND op = 'remove' AND revision = 0 AND result <> 'applied'`
		)
		return errors.Join(t.exec(ctx, gone, system), t.exec(ctx, removed, t.now.UnixMicro(), system))
	})
}

// tookSnapshot keeps when a panel took a snapshot, or with the zero time that it
// was in step after that.
func (s *Store) tookSnapshot(ctx context.Context, r *replica) error {
	var at int64
	if !r.tookAt.IsZero() {
		at = r.tookAt.UnixMicro()
	}
	_, err := s.write.ExecContext(ctx, "UPDATE panels SET snapshot_taken_at = $1 WHERE system_id = $2", at, r.system)
	return err
}
