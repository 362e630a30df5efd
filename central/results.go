package central

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postern/access"
	"postern/wire"
)

// takeStatuses stores a row of results together with the cursor, and gives the
// row to confirm, nil for none. Results count only when epoch, revision and id are
// those of the log, and the log is the one that the panel has followed; a row
// whose results don't count is confirmed all the same. It also says whether the
// row answers a snapshot that the panel has taken.
func (s *Store) takeStatuses(ctx context.Context, system string, m wire.Statuses) (ack *wire.Through, took bool, err error) {
	err = s.update(ctx, func(t *tx) error {
		r := run{boot: m.BootID, after: m.After, from: m.Seq, to: m.Seq, oldest: m.Oldest, system: system, streamOf: streamStatus}
		v, err := t.judge(ctx, r)
		ack = v.ack
		if err != nil || !v.take {
			return err
		}
		if alarm, err := t.standing(ctx, system); err != nil || alarm != "" {
			return err
		}
		if !m.SnapshotID.IsZero() {
			if took, err = t.snapshotPart(ctx, system, m); err != nil {
				return fmt.Errorf("store part of a snapshot's results: %w", err)
			}
			return nil
		}
		if err := t.results(ctx, system, m.Epoch, m.Results); err != nil {
			return fmt.Errorf("store results: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return ack, took, nil
}

// What a result changes.
const (
	answerLog = `UPDATE panel_log SET answered = TRUE WHERE system_id = $1 AND epoch = $2 AND revision = $3 AND key_id = $4
		AND epoch = (SELECT epoch FROM panels WHERE system_id = $1) RETURNING op, created_at`
	keepResult = `INSERT INTO results (system_id, epoch, revision, key_id, result, error_type, detail, panel_time, received_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (system_id, epoch, revision) DO UPDATE SET result = excluded.result, error_type = excluded.error_type,
			detail = excluded.detail, panel_time = excluded.panel_time, received_at = excluded.received_at`
	latestResult = `UPDATE panel_keys SET result = $1, error_type = $2, detail = $3, applied_at = $4
		WHERE system_id = $5 AND key_id = $6 AND revision = $7`
)

func (t *tx) results(ctx context.Context, system string, epoch uint64, results []wire.Result) error {
	if len(results) > 1 {
		if err := t.prepare(ctx, answerLog, keepResult, latestResult); err != nil {
			return err
		}
	}
	for _, r := range results {
		if err := t.result(ctx, system, epoch, r); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) result(ctx context.Context, system string, epoch uint64, r wire.Result) error {
	rows, err := all(ctx, t, func(scan func(...any) error) (row struct {
		op      string
		created int64
	}, err error,
	) {
		err = scan(&row.op, &row.created)
		return row, err
	}, answerLog, system, int64(epoch), int64(r.Revision), r.ID.String())
	if err != nil || len(rows) == 0 {
		return err // nothing: the result is of another history
	}
	detail, errorType := clean(r.Detail), clean(r.ErrorType)
	err = t.exec(ctx, keepResult, system, int64(epoch), int64(r.Revision), r.ID.String(), r.Result, errorType, detail,
		r.At.UnixMicro(), t.now.UnixMicro())
	if err != nil {
		return err
	}
	if rows[0].op == wire.OpRemove && r.Result == wire.ResultApplied {
		// A living key that has left a panel is none of that panel's any more.
		const gone = `DELETE FROM panel_keys WHERE system_id = $1 AND key_id = $2 AND revision = $3
			AND EXISTS (SELECT 1 FROM keys WHERE id = $2 AND removed_at = 0)`
		if err := t.exec(ctx, gone, system, r.ID.String(), int64(r.Revision)); err != nil {
			return err
		}
	}
	return t.exec(ctx, latestResult, r.Result, errorType, detail, t.believe(r.At, rows[0].created), system, r.ID.String(), int64(r.Revision))
}

// believe is when a change was applied: the panel's word, unless that is before
// the change was made or in the future, as a clock without a battery has it.
func (t *tx) believe(at time.Time, created int64) int64 {
	if n := at.UnixMicro(); n >= created && n <= t.now.UnixMicro() {
		return n
	}
	return t.now.UnixMicro()
}

// takeEvents stores a run of journal entries with the cursor, each entry once,
// and gives the row to confirm, nil for none.
func (s *Store) takeEvents(ctx context.Context, system string, m wire.Events) (ack *wire.Through, err error) {
	err = s.update(ctx, func(t *tx) error {
		last := len(m.Entries) - 1
		r := run{
			boot: m.BootID, after: m.After, from: m.Entries[0].Seq, to: m.Entries[last].Seq, oldest: m.Oldest,
			system: system, streamOf: streamEvents,
		}
		v, err := t.judge(ctx, r)
		ack = v.ack
		if err != nil || !v.take {
			return err
		}
		entries := m.Entries[v.skip:]
		if v.late > 0 {
			if entries, err = t.unknown(ctx, system, m.BootID, entries[:v.late]); err != nil {
				return fmt.Errorf("read events: %w", err)
			}
		}
		if err := t.insertEvents(ctx, system, m.BootID, entries); err != nil {
			return fmt.Errorf("store events: %w", err)
		}
		if v.late > 0 {
			return nil
		}
		return t.eventsThrough(ctx, system, m.Entries[last])
	})
	if err != nil {
		return nil, err
	}
	return ack, nil
}

// unknown leaves out the entries that are here already.
func (t *tx) unknown(ctx context.Context, system string, boot access.ID, entries []wire.Entry) ([]wire.Entry, error) {
	const query = "SELECT seq FROM events WHERE system_id = $1 AND boot_id = $2 AND seq >= $3 AND seq <= $4"
	known, err := all(ctx, t, func(scan func(...any) error) (seq uint64, err error) {
		err = scan(&seq)
		return seq, err
	}, query, system, boot.String(), int64(entries[0].Seq), int64(entries[len(entries)-1].Seq))
	return slices.DeleteFunc(slices.Clone(entries), func(e wire.Entry) bool { return slices.Contains(known, e.Seq) }), err
}

func (t *tx) insertEvents(ctx context.Context, system string, boot access.ID, entries []wire.Entry) error {
	var seq int64
	err := t.QueryRowContext(ctx, "UPDATE counters SET value = value + $1 WHERE name = 'event_sequence' RETURNING value", len(entries)).Scan(&seq)
	if err != nil {
		return err
	}
	seq -= int64(len(entries))
	keys := map[access.ID]eventKey{}
	for _, e := range entries {
		k, err := t.eventKey(ctx, keys, e)
		if err != nil {
			return err
		}
		seq++
		const insert = `INSERT INTO events (sequence_id, system_id, boot_id, seq, event_time, mono_ms, clock, event_type, category, reason,
				door, access_point, key_id, key_type, identification, credential, person_id, owner_id, detail, received_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
			ON CONFLICT (system_id, boot_id, seq) DO NOTHING`
		err = t.exec(ctx, insert, seq, system, boot.String(), int64(e.Seq), e.At.UnixMicro(), e.Mono, clean(e.Clock), int64(e.Type),
			e.Type.Category(), clean(e.Reason), clean(e.Door), clean(e.Point), idText(e.KeyID), k.kind, k.identification,
			clean(e.Credential), k.person, k.owner, clean(e.Detail), t.now.UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}

// eventKey is what an event says about a key, as things were when it arrived.
type eventKey struct {
	kind, identification, person, owner string
}

func (t *tx) eventKey(ctx context.Context, seen map[access.ID]eventKey, e wire.Entry) (eventKey, error) {
	fallback := eventKey{kind: clean(e.KeyType), person: idText(e.PersonID)}
	if e.KeyType != string(access.Code) {
		fallback.identification = clean(e.Credential)
	}
	if e.KeyID.IsZero() {
		return fallback, nil
	}
	if k, ok := seen[e.KeyID]; ok {
		return k, nil
	}
	known, err := all(ctx, t, func(scan func(...any) error) (k eventKey, err error) {
		err = scan(&k.kind, &k.identification, &k.person, &k.owner)
		return k, err
	}, "SELECT key_type, identification, person_id, integration_id FROM keys WHERE id = $1", e.KeyID.String())
	if err != nil {
		return eventKey{}, err
	}
	if len(known) == 0 {
		return fallback, nil // a key that only the panel knows
	}
	seen[e.KeyID] = known[0]
	return known[0], nil
}

func idText(id access.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// eventsThrough moves on the time up to which a panel's events are here. A
// clock that is not trusted moves nothing.
func (t *tx) eventsThrough(ctx context.Context, system string, e wire.Entry) error {
	clock, err := access.ParseClockState(e.Clock)
	if err != nil || clock == access.ClockUntrusted {
		return nil
	}
	through := min(e.At.UnixMicro(), t.now.UnixMicro())
	return t.exec(ctx, "UPDATE panels SET events_through = $1 WHERE system_id = $2 AND events_through < $1", through, system)
}
