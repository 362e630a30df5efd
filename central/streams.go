package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"postern/access"
	"postern/wire"
)

// A panel sends two streams of numbered rows, statuses and events, and keeps
// each row until it is confirmed. Sequence numbers only grow within a boot; a
// restored card goes back to old numbers, but never under an old boot.
//
// Central takes unbroken runs only, so that a confirmation never covers a row
// that it does not have. The cursor is the row that was taken last.
const (
	streamStatus = "status"
	streamEvents = "events"
)

// run is rows from..to of one boot; after is the row before the first, oldest
// the first that the panel still holds.
type run struct {
	boot             access.ID
	after, from, to  uint64
	oldest           uint64
	system, streamOf string
}

// verdict is what is to be done with a run.
type verdict struct {
	take bool          // store the rows from skip on
	skip uint64        // this many of them are stored already
	late uint64        // store only so many, and move no cursor
	ack  *wire.Through // confirm this row; nil is none
	lost uint64        // this many rows before it are lost
	back bool          // another start's rows had these numbers: the card was restored
}

// judge decides on a run, and when it takes it moves the cursor on and notes
// what was lost before it.
func (t *tx) judge(ctx context.Context, r run) (verdict, error) {
	v, err := t.verdict(ctx, r)
	if err != nil || !v.take || v.late > 0 {
		return v, err
	}
	if err := t.moveCursor(ctx, r, v.skip); err != nil {
		return v, fmt.Errorf("move cursor: %w", err)
	}
	if v.back && r.streamOf == streamStatus {
		// Keys may have been judged in rows that the card does not have any more.
		t.s.log.Warn("a panel's card was restored; asking for its results again", "system", r.system)
		if err := t.askAgain(ctx, r.system); err != nil {
			return v, err
		}
	}
	if v.lost > 0 {
		const insert = `INSERT INTO losses (system_id, stream, boot_id, from_seq, to_seq, noticed_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (system_id, stream, boot_id, from_seq) DO NOTHING`
		err = t.exec(ctx, insert, r.system, r.streamOf, r.boot.String(), int64(r.oldest-v.lost), int64(r.oldest-1), t.now.UnixMicro())
		t.s.log.Warn("rows of a panel were lost", "system", r.system, "stream", r.streamOf, "count", v.lost, "before", r.oldest)
		if err == nil && r.streamOf == streamStatus {
			err = t.askAgain(ctx, r.system)
		}
	}
	return v, err
}

// askAgain has the results of a panel's keys asked for again: some were in rows
// that are lost, as after a restore of this database from a backup, and a key
// may have been judged anew in them.
func (t *tx) askAgain(ctx context.Context, system string) error {
	return t.exec(ctx, `UPDATE panel_log SET answered = FALSE WHERE system_id = $1 AND epoch = (SELECT epoch FROM panels WHERE system_id = $1)
		AND EXISTS (SELECT 1 FROM panel_keys k WHERE k.system_id = $1 AND k.key_id = panel_log.key_id AND k.op = 'put' AND k.revision = panel_log.revision)`, system)
}

// lacksStatuses finds out whether a panel was confirmed rows which this database
// does not have: it reports its oldest unconfirmed row and, where it knows it, the
// start that wrote the one before. If so, its results are asked for again, unless
// some are being asked for already.
func (t *tx) lacksStatuses(ctx context.Context, system string, r wire.Reported) error {
	const behind = `SELECT COUNT(*) FROM panels WHERE system_id = $1
		AND (status_seq < $2 OR $3 <> '' AND NOT EXISTS (SELECT 1 FROM panel_boots b WHERE b.system_id = $1 AND b.stream = 'status' AND b.boot_id = $3))
		AND EXISTS (SELECT 1 FROM panel_keys k WHERE k.system_id = $1 AND k.op = 'put')
		AND NOT EXISTS (SELECT 1 FROM panel_log l WHERE l.system_id = $1 AND l.epoch = panels.epoch AND l.revision <= panels.reported_revision AND NOT l.answered)`
	if r.Statuses < 2 {
		return nil
	}
	boot := ""
	if !r.StatusBoot.IsZero() {
		boot = r.StatusBoot.String()
	}
	var n int
	if err := t.QueryRowContext(ctx, behind, system, int64(r.Statuses-1), boot).Scan(&n); err != nil || n == 0 {
		return err
	}
	t.s.log.Warn("a panel was confirmed results that are not in this database; asking again", "system", system)
	return t.askAgain(ctx, system)
}

func (t *tx) verdict(ctx context.Context, r run) (verdict, error) {
	first, last, err := t.span(ctx, r)
	if err != nil {
		return verdict{}, fmt.Errorf("read span of boot: %w", err)
	}
	v := verdict{take: true, ack: &wire.Through{BootID: r.boot, Seq: r.to}}
	after := r.after
	if last > 0 && r.from <= last {
		switch {
		case r.from < first:
			// Rows from before what is known of their boot: this database was restored
			// from a backup, and the panel's card too, or the power went before it had
			// trimmed what the database had confirmed before. What they say of keys was
			// asked for again when they were found missing; events are taken, each once.
			n := min(r.to, first-1) - r.from + 1
			return verdict{take: r.streamOf == streamEvents, late: n, ack: &wire.Through{BootID: r.boot, Seq: r.from + n - 1}}, nil
		case r.to <= last:
			return verdict{ack: v.ack}, nil // a duplicate: its confirmation was lost
		}
		v.skip, after = last-r.from+1, last
	}
	boot, seq, err := t.cursor(ctx, r)
	if err != nil {
		return verdict{}, fmt.Errorf("read cursor: %w", err)
	}
	v.back = v.skip == 0 && !boot.IsZero() && boot != r.boot && r.from <= seq
	switch follows := boot == r.boot && seq == after; {
	case follows:
	case v.skip > 0:
		// Rows of another boot came in between, as when a card was changed and
		// changed back. What is here is confirmed, and the rest comes alone.
		return verdict{ack: &wire.Through{BootID: r.boot, Seq: after}}, nil
	case after+1 <= r.oldest: // the panel holds nothing before it
		if !boot.IsZero() && seq+1 < r.oldest {
			v.lost = r.oldest - seq - 1
		}
	case seq == after:
		// The row before it has the number of the cursor, and lies under another
		// boot. It is the same row unless the card was restored in between: only
		// the panel can tell, and it trims what it has of the cursor's row.
		return verdict{ack: &wire.Through{BootID: boot, Seq: seq}}, nil
	default:
		return verdict{}, nil // the panel has more before it
	}
	return v, nil
}

// span is what was taken under the run's boot, zeros when nothing was.
func (t *tx) span(ctx context.Context, r run) (first, last uint64, err error) {
	err = t.QueryRowContext(ctx, "SELECT first_seq, last_seq FROM panel_boots WHERE system_id = $1 AND stream = $2 AND boot_id = $3",
		r.system, r.streamOf, r.boot.String()).Scan(&first, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	return first, last, err
}

// cursor is the row that was taken last, the zero one before the first.
func (t *tx) cursor(ctx context.Context, r run) (boot access.ID, seq uint64, err error) {
	query := "SELECT status_boot, status_seq FROM panels WHERE system_id = $1"
	if r.streamOf == streamEvents {
		query = "SELECT events_boot, events_seq FROM panels WHERE system_id = $1"
	}
	var text string
	if err = t.QueryRowContext(ctx, query, r.system).Scan(&text, &seq); err != nil || text == "" {
		return boot, seq, err
	}
	boot, err = access.ParseID(text)
	return boot, seq, err
}

// cursors are the rows of a panel that were taken last, as a confirmation.
func (s *Store) cursors(ctx context.Context, system string) (wire.Ack, error) {
	var ack wire.Ack
	err := s.view(ctx, func(t *tx) error {
		for _, c := range []struct {
			stream string
			to     **wire.Through
		}{{streamStatus, &ack.Status}, {streamEvents, &ack.Events}} {
			boot, seq, err := t.cursor(ctx, run{system: system, streamOf: c.stream})
			if err != nil {
				return err
			}
			if seq > 0 {
				*c.to = &wire.Through{BootID: boot, Seq: seq}
			}
		}
		return nil
	})
	return ack, err
}

func (t *tx) moveCursor(ctx context.Context, r run, skip uint64) error {
	const span = `INSERT INTO panel_boots (system_id, stream, boot_id, first_seq, last_seq) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (system_id, stream, boot_id) DO UPDATE SET last_seq = excluded.last_seq`
	if err := t.exec(ctx, span, r.system, r.streamOf, r.boot.String(), int64(r.from+skip), int64(r.to)); err != nil {
		return err
	}
	query := "UPDATE panels SET status_boot = $1, status_seq = $2 WHERE system_id = $3"
	if r.streamOf == streamEvents {
		query = "UPDATE panels SET events_boot = $1, events_seq = $2 WHERE system_id = $3"
	}
	return t.exec(ctx, query, r.boot.String(), int64(r.to), r.system)
}
