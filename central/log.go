package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"postern/access"
	"postern/wire"
)

// tellAll appends what a change of the key means to the log of every panel that
// owns one of its levels, or still holds it.
func (t *tx) tellAll(ctx context.Context, k *key) error {
	id := k.ID.String()
	systems, err := all(ctx, t, scanText, `SELECT l.system_id FROM panel_levels l JOIN key_levels k ON k.level_id = l.level_id
			WHERE k.key_id = $1 AND l.owned
		UNION SELECT system_id FROM panel_keys WHERE key_id = $1 AND op = 'put' ORDER BY 1`, id)
	if err != nil {
		return fmt.Errorf("find panels of the key: %w", err)
	}
	for _, system := range systems {
		if err := t.tell(ctx, k, system); err != nil {
			return err
		}
	}
	return nil
}

// told is the latest that a panel was told about a key.
type told struct {
	claim uint64
	ident string
	op    string
	put   uint64 // revision of the put that counts in the digest, 0 for none
}

// tell appends one revision about the key to one panel's log: a put with those
// of its levels that the panel owns, or a remove when there are none left.
func (t *tx) tell(ctx context.Context, k *key, system string) error {
	head, err := t.head(ctx, system)
	if err != nil {
		return err
	}
	last, err := t.told(ctx, system, k.ID)
	if err != nil {
		return fmt.Errorf("read what panel %s was told: %w", system, err)
	}
	view := k.Key
	if view.Levels, err = t.levelsOn(ctx, k, system); err != nil {
		return err
	}
	switch {
	case len(view.Levels) > 0:
		view.Identification = k.formOn(head.codes)
		err = t.put(ctx, head, last, view, k.pin)
	case last.op == wire.OpPut:
		err = t.remove(ctx, head, last, k.ID)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("append to the log of panel %s: %w", system, err)
	}
	return t.changed(ctx)
}

func (t *tx) told(ctx context.Context, system string, id access.ID) (told, error) {
	var l told
	err := t.QueryRowContext(ctx, "SELECT claim, ident, op, put_revision FROM panel_keys WHERE system_id = $1 AND key_id = $2", system, id.String()).
		Scan(&l.claim, &l.ident, &l.op, &l.put)
	if errors.Is(err, sql.ErrNoRows) {
		return told{}, nil
	}
	return l, err
}

// levelsOn are the levels of a live key that a panel owns, in the key's order.
func (t *tx) levelsOn(ctx context.Context, k *key, system string) ([]access.ID, error) {
	if !k.removed.IsZero() || len(k.Levels) == 0 {
		return nil, nil
	}
	owned, err := all(ctx, t, scanText, `SELECT l.level_id FROM key_levels k JOIN panel_levels l ON l.level_id = k.level_id
		WHERE k.key_id = $1 AND l.system_id = $2 AND l.owned ORDER BY k.place`, k.ID.String(), system)
	if err != nil {
		return nil, fmt.Errorf("find levels on panel %s: %w", system, err)
	}
	out := make([]access.ID, 0, len(owned))
	for _, text := range owned {
		id, err := access.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("read access level: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}

func (t *tx) put(ctx context.Context, head *panelHead, last told, view access.Key, pin string) error {
	next := told{claim: last.claim, ident: t.s.identHash(view.Identification), op: wire.OpPut}
	if last.op != wire.OpPut || last.ident != next.ident {
		next.claim = head.nextClaim
		head.nextClaim++
	}
	if err := t.retire(ctx, head, view.ID, last); err != nil {
		return err
	}
	head.revision++
	head.digest = head.digest.Add(view.ID, head.revision)
	head.count++
	next.put = head.revision
	payload := t.s.seal.seal(logPlace(head.system, head.epoch, head.revision), wire.EncodeKey(view, pin))
	return t.appendLog(ctx, head, next, view.ID, payload)
}

func (t *tx) remove(ctx context.Context, head *panelHead, last told, id access.ID) error {
	if err := t.retire(ctx, head, id, last); err != nil {
		return err
	}
	head.revision++
	return t.appendLog(ctx, head, told{claim: last.claim, ident: last.ident, op: wire.OpRemove}, id, nil)
}

// retire takes the latest put of a key out of the digest, and forgets its
// content: nobody is to get it any more.
func (t *tx) retire(ctx context.Context, h *panelHead, id access.ID, last told) error {
	if last.put == 0 {
		return nil
	}
	h.digest = h.digest.Sub(id, last.put)
	h.count--
	if last.put < h.pruned {
		const prune = "DELETE FROM panel_log WHERE system_id = $1 AND epoch = $2 AND revision = $3 AND key_id = $4"
		return t.exec(ctx, prune, h.system, int64(h.epoch), int64(last.put), id.String())
	}
	const forget = "UPDATE panel_log SET payload = NULL WHERE system_id = $1 AND epoch = $2 AND revision = $3 AND key_id = $4"
	return t.exec(ctx, forget, h.system, int64(h.epoch), int64(last.put), id.String())
}

func logPlace(system string, epoch, revision uint64) string {
	return fmt.Sprintf("log/%s/%d/%d", system, epoch, revision)
}

const insertLogRow = `INSERT INTO panel_log (system_id, epoch, revision, op, key_id, claim, payload, digest, key_count, answered, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, $10)`

func (t *tx) rowValues(h *panelHead, l told, id access.ID, payload []byte) []any {
	return []any{
		h.system, int64(h.epoch), int64(h.revision), l.op, id.String(), int64(l.claim), payload,
		h.digest[:], int64(h.count), t.now.UnixMicro(),
	}
}

func (t *tx) appendLog(ctx context.Context, h *panelHead, l told, id access.ID, payload []byte) error {
	if err := t.exec(ctx, insertLogRow, t.rowValues(h, l, id, payload)...); err != nil {
		return err
	}
	if err := t.exec(ctx, upsertLatest, latestValues(h, l, id)...); err != nil {
		return err
	}
	return t.saveHead(ctx, h)
}

// upsertLatest notes that the head's revision is the latest about a key.
const upsertLatest = `INSERT INTO panel_keys (system_id, key_id, claim, ident, op, revision, put_revision, result, error_type, detail, applied_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', '', 0)
	ON CONFLICT (system_id, key_id) DO UPDATE SET claim = excluded.claim, ident = excluded.ident, op = excluded.op,
		revision = excluded.revision, put_revision = excluded.put_revision, result = '', error_type = '', detail = '', applied_at = 0`

func latestValues(h *panelHead, l told, id access.ID) []any {
	return []any{h.system, id.String(), int64(l.claim), l.ident, l.op, int64(h.revision), int64(l.put)}
}

// logRow is one revision as it goes to a panel. Claim and payload of a put are
// those of its key's latest put, which was the revision sealedAt.
type logRow struct {
	revision, claim uint64
	op, id          string
	payload         []byte // nil for a remove, and for a put whose key has left the panel
	sealedAt        uint64
}

func scanLogRow(scan func(...any) error) (logRow, error) {
	var r logRow
	err := scan(&r.revision, &r.op, &r.id, &r.claim, &r.sealedAt, &r.payload)
	return r, err
}

// logColumns reads revisions in the form in which they are sent. A panel that
// takes the log late, or all of it anew, must not open for a moment, or for as
// long as its link is gone, to what was revoked further on in the log. So a put
// that a later revision of its key follows is sent with
//   - content and claim of the key's latest put, when that is the latest of it:
//     a panel that has the key already goes on knowing it, and a credential is
//     never under a claim that was made for another;
//   - nothing, when a remove is: a panel consumes that as a put that can't be a
//     key, which opens nothing and claims no credential. It needs no secret of
//     the removed key, not even its code.
//
// The digest is of ids and revisions alone and stays what it was, and a result
// counts for its own revision only. All is read in one statement, so that what
// is appended meanwhile does not come in between.
const logColumns = `SELECT l.revision, l.op, l.key_id, COALESCE(p.claim, l.claim), COALESCE(p.revision, 0), p.payload
	FROM panel_log l
	LEFT JOIN panel_keys k ON l.op = 'put' AND k.system_id = l.system_id AND k.key_id = l.key_id AND k.op = 'put'
	LEFT JOIN panel_log p ON p.system_id = k.system_id AND p.epoch = l.epoch AND p.revision = k.revision AND p.key_id = l.key_id
	WHERE l.system_id = $1 AND l.epoch = $2 `

// rowsPerRead bounds how much of a log is read at once.
const rowsPerRead = 1000

// batch is some revisions as one message.
type batch struct {
	payload []byte
	last    uint64 // its last revision
}

// batches encodes the revisions from..to of a panel's log, without a gap, as
// many as are read at once.
func (s *Store) batches(ctx context.Context, system string, epoch, from, to uint64) ([]batch, error) {
	rows, err := all(ctx, s.read, scanLogRow, logColumns+"AND l.revision >= $3 AND l.revision <= $4 ORDER BY l.revision LIMIT $5",
		system, int64(epoch), int64(from), int64(to), rowsPerRead)
	if err != nil {
		return nil, fmt.Errorf("read log of panel %s: %w", system, err)
	}
	if len(rows) == 0 || rows[0].revision != from {
		return nil, nil // pruned, or another epoch's by now
	}
	rows = firstRun(rows)
	var out []batch
	for len(rows) > 0 {
		payload, last, err := s.encodeBatch(system, epoch, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, batch{payload, last})
		rows = rows[last-rows[0].revision+1:]
	}
	return out, nil
}

// firstRun is what of the rows comes before the first gap.
func firstRun(rows []logRow) []logRow {
	for i := range rows {
		if i > 0 && rows[i].revision != rows[i-1].revision+1 {
			return rows[:i]
		}
	}
	return rows
}

// unanswered encodes the first run of at most n revisions, in from..to, whose
// results central lacks, and says which is the last and how many they are.
func (s *Store) unanswered(ctx context.Context, system string, epoch, from, to uint64, n int) (payload []byte, last uint64, count int, err error) {
	rows, err := all(ctx, s.read, scanLogRow, logColumns+"AND NOT l.answered AND l.revision >= $3 AND l.revision <= $4 ORDER BY l.revision LIMIT $5",
		system, int64(epoch), int64(from), int64(to), n)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read log of panel %s: %w", system, err)
	}
	rows = firstRun(rows)
	payload, last, err = s.encodeBatch(system, epoch, rows)
	if err != nil || payload == nil {
		return nil, 0, 0, err
	}
	return payload, last, int(last-rows[0].revision) + 1, nil
}

// batchSlack is room in a batch for its envelope, and in a change for all but
// its key.
const (
	batchSlack  = 256
	changeSlack = 192
)

func (s *Store) encodeBatch(system string, epoch uint64, rows []logRow) (payload []byte, last uint64, err error) {
	c := wire.Changes{Epoch: epoch}
	size := batchSlack
	for _, r := range rows {
		id, err := access.ParseID(r.id)
		if err != nil {
			return nil, 0, fmt.Errorf("read log of panel %s: %w", system, err)
		}
		m := wire.Change{Revision: r.revision, Op: r.op, ID: id}
		if r.op == wire.OpPut {
			m.Claim = r.claim
		}
		if r.payload != nil {
			if m.Key, err = s.seal.open(logPlace(system, epoch, r.sealedAt), r.payload); err != nil {
				return nil, 0, fmt.Errorf("open revision %d of panel %s: %w", r.sealedAt, system, err)
			}
		}
		size += changeSlack + len(m.Key)
		if size > wire.MaxBatch && len(c.Changes) > 0 {
			break
		}
		c.Changes = append(c.Changes, m)
		last = r.revision
	}
	if len(c.Changes) == 0 {
		return nil, 0, nil
	}
	return wire.Encode(c), last, nil
}

// logAt gives digest and count of a panel's log as they were at a revision, and
// false when the log does not reach it.
func (s *Store) logAt(ctx context.Context, system string, epoch, revision uint64) (d access.Digest, count uint64, ok bool, err error) {
	if revision == 0 {
		return d, 0, true, nil
	}
	var digest []byte
	err = s.read.QueryRowContext(ctx, "SELECT digest, key_count FROM panel_log WHERE system_id = $1 AND epoch = $2 AND revision = $3",
		system, int64(epoch), int64(revision)).Scan(&digest, &count)
	if errors.Is(err, sql.ErrNoRows) {
		return d, 0, false, nil
	}
	copy(d[:], digest)
	return d, count, err == nil, err
}
