package central

import (
	"context"
	"errors"
	"fmt"
)

// prune forgets the revisions of a panel's log below one that the panel has
// reached, but for the latest put of each key, which snapshots need. What is not
// answered yet stays, and all that follows it. It gives from where on the log is
// whole.
func (s *Store) prune(ctx context.Context, system string, epoch, below uint64) (pruned uint64, err error) {
	err = s.update(ctx, func(t *tx) error {
		head, err := t.head(ctx, system)
		if err != nil {
			return err
		}
		pruned = head.pruned
		var open int64
		const unanswered = `SELECT COALESCE(MIN(revision), 0) FROM panel_log WHERE system_id = $1 AND epoch = $2 AND NOT answered`
		if err := t.QueryRowContext(ctx, unanswered, system, int64(epoch)).Scan(&open); err != nil {
			return err
		}
		if open > 0 {
			below = min(below, uint64(open))
		}
		if head.epoch != epoch || below <= pruned {
			return nil
		}
		const (
			drop = `DELETE FROM panel_log WHERE system_id = $1 AND epoch = $2 AND revision >= $3 AND revision < $4 AND NOT EXISTS (
				SELECT 1 FROM panel_keys k WHERE k.system_id = $1 AND k.key_id = panel_log.key_id AND k.op = 'put' AND k.revision = panel_log.revision)`
			results = `DELETE FROM results WHERE system_id = $1 AND (epoch < $2 OR epoch = $2 AND revision >= $3 AND revision < $4 AND NOT EXISTS (
				SELECT 1 FROM panel_log l WHERE l.system_id = $1 AND l.epoch = $2 AND l.revision = results.revision))`
			mark = "UPDATE panels SET pruned = $1 WHERE system_id = $2"
		)
		from := int64(pruned)
		pruned = below
		return errors.Join(
			t.exec(ctx, drop, system, int64(epoch), from, int64(below)),
			t.exec(ctx, results, system, int64(epoch), from, int64(below)),
			t.exec(ctx, mark, int64(below), system),
		)
	})
	if err != nil {
		return 0, fmt.Errorf("prune log of panel %s: %w", system, err)
	}
	return pruned, nil
}
