package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"postern/access"
	"postern/wire"
)

// ResyncPanel says that central's state counts, for a panel that has seen more
// than central knows: it opens an epoch above both, in which every key of the
// panel has a fresh revision, and ends the alarm. The panel gets a snapshot, and
// policy and door modes anew. It gives ErrNotFound for an unknown panel.
func (s *Store) ResyncPanel(ctx context.Context, systemID string) error {
	err := s.update(ctx, func(t *tx) error {
		head, err := t.head(ctx, systemID)
		if err != nil {
			return err
		}
		var seen, policy, modes uint64
		const reported = "SELECT reported_epoch, reported_policy_epoch, reported_modes_epoch FROM panels WHERE system_id = $1"
		if err := t.QueryRowContext(ctx, reported, systemID).Scan(&seen, &policy, &modes); err != nil {
			return err
		}
		old := head.epoch
		head.epoch = max(head.epoch, seen, policy, modes)
		if head.epoch >= math.MaxInt64-1 {
			return errors.New("the panel's epoch leaves no room above it")
		}
		head.epoch++
		if err := t.renumber(ctx, head, old); err != nil {
			return err
		}
		const open = "UPDATE panels SET epoch = $1, pruned = 0, alarm = '', alarm_at = 0, snapshot_taken_at = 0 WHERE system_id = $2"
		if err := errors.Join(t.exec(ctx, open, int64(head.epoch), systemID), t.saveHead(ctx, head)); err != nil {
			return err
		}
		for kind := range documentKinds {
			if err := t.lift(ctx, systemID, documentKind(kind), head.epoch); err != nil {
				return err
			}
		}
		return t.changed(ctx)
	})
	if err != nil {
		return fmt.Errorf("resync panel: %w", err)
	}
	return nil
}

const readLogRow = "SELECT payload FROM panel_log WHERE system_id = $1 AND epoch = $2 AND revision = $3 AND key_id = $4"

// renumber makes the log of a new epoch out of the latest puts of an old one, in
// the order of their claims, which stay as they are.
func (t *tx) renumber(ctx context.Context, head *panelHead, old uint64) error {
	type put struct {
		id         string
		claim, was uint64
		ident      string
	}
	puts, err := all(ctx, t, func(scan func(...any) error) (p put, err error) {
		err = scan(&p.id, &p.claim, &p.ident, &p.was)
		return p, err
	}, "SELECT key_id, claim, ident, put_revision FROM panel_keys WHERE system_id = $1 AND op = 'put' ORDER BY claim, put_revision", head.system)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	head.revision, head.count, head.digest, head.pruned = 0, 0, access.Digest{}, 0
	// Nobody else writes meanwhile, so each key costs as little as can be: SQLite
	// would spend most of the time on reading the statements.
	var read, row, latest *sql.Stmt
	for query, stmt := range map[string]**sql.Stmt{readLogRow: &read, insertLogRow: &row, upsertLatest: &latest} {
		if *stmt, err = t.PrepareContext(ctx, query); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	for _, p := range puts {
		id, err := access.ParseID(p.id)
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		var sealed []byte
		if err := read.QueryRowContext(ctx, head.system, int64(old), int64(p.was), p.id).Scan(&sealed); err != nil {
			return fmt.Errorf("read revision %d: %w", p.was, err)
		}
		payload, err := t.s.seal.open(logPlace(head.system, old, p.was), sealed)
		if err != nil {
			return fmt.Errorf("open revision %d: %w", p.was, err)
		}
		head.revision++
		head.count++
		head.digest = head.digest.Add(id, head.revision)
		next := told{claim: p.claim, ident: p.ident, op: wire.OpPut, put: head.revision}
		payload = t.s.seal.seal(logPlace(head.system, head.epoch, head.revision), payload)
		if _, err := row.ExecContext(ctx, t.rowValues(head, next, id, payload)...); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if _, err := latest.ExecContext(ctx, latestValues(head, next, id)...); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	if head.revision == 0 { // or a panel without keys would never come into the epoch
		if err := t.beginLog(ctx, head); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	// What was removed lies before the new log: the panel confirms it by being in
	// step with it.
	const removed = "UPDATE panel_keys SET revision = 0, put_revision = 0 WHERE system_id = $1 AND op <> 'put'"
	return errors.Join(
		t.exec(ctx, removed, head.system),
		t.exec(ctx, "DELETE FROM panel_log WHERE system_id = $1 AND epoch <> $2", head.system, int64(head.epoch)),
	)
}
