package central

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/google/uuid"

	"postern/access"
	"postern/wire"
)

// frozen is a snapshot whose chunks lie in the database, as they were sealed
// when it was made: what a panel fetches does not change while it fetches it,
// however long that takes and whatever restarts meanwhile.
type frozen struct {
	access.Snapshot
	system string
	made   time.Time
	asked  time.Time // last time that a chunk was asked for, zero before the first
	noted  time.Time // asked as it is in the database
}

// The states of a snapshot in the database.
const (
	frozenMaking  = "making"
	frozenReady   = "ready"
	frozenDropped = "dropped"
)

// chunksPerCommit bounds how much of a snapshot is in memory, and how long
// others wait to write.
const chunksPerCommit = 32

func chunkPlace(system string, id access.ID, n int) string {
	return fmt.Sprintf("chunk/%s/%s/%d", system, id, n)
}

func newID() (access.ID, error) { return access.ParseID(uuid.NewString()) }

// freeze makes a snapshot of all keys of a panel, as its log has them at one
// revision. What is appended meanwhile neither waits nor gets in.
func (s *Store) freeze(ctx context.Context, system string) (*frozen, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	if err := s.beginLog(ctx, system); err != nil {
		return nil, fmt.Errorf("begin log: %w", err)
	}
	const begin = `INSERT INTO snapshots (id, system_id, epoch, revision, digest, key_count, bytes, chunks, sha256, state, created_at, asked_at)
		VALUES ($1, $2, 0, 0, $3, 0, 0, 0, $3, $4, $5, 0)`
	err = s.update(ctx, func(t *tx) error {
		return t.exec(ctx, begin, id.String(), system, []byte{}, frozenMaking, t.now.UnixMicro())
	})
	if err != nil {
		return nil, fmt.Errorf("begin snapshot: %w", err)
	}
	f := &frozen{system: system, Snapshot: access.Snapshot{ID: id}}
	if err := s.stable(ctx, func(t *tx) error { return s.fill(ctx, t, f) }); err != nil {
		return nil, errors.Join(err, s.dropSnapshot(context.WithoutCancel(ctx), id))
	}
	const ready = `UPDATE snapshots SET epoch = $1, revision = $2, digest = $3, key_count = $4, bytes = $5, chunks = $6, sha256 = $7,
		state = $8, created_at = $9 WHERE id = $10`
	err = s.update(ctx, func(t *tx) error {
		f.made = t.now
		return t.exec(ctx, ready, int64(f.Epoch), int64(f.Revision), f.Digest[:], int64(f.Count), f.Bytes, f.Chunks, f.SHA256[:],
			frozenReady, t.now.UnixMicro(), id.String())
	})
	if err != nil {
		return nil, fmt.Errorf("finish snapshot: %w", err)
	}
	return f, nil
}

// beginLog gives an empty log one revision that changes nothing: a snapshot's
// results name its revision, which can't be 0.
func (s *Store) beginLog(ctx context.Context, system string) error {
	return s.update(ctx, func(t *tx) error {
		head, err := t.head(ctx, system)
		if err != nil || head.revision > 0 {
			return err
		}
		return errors.Join(t.beginLog(ctx, head), t.saveHead(ctx, head), t.changed(ctx))
	})
}

// beginLog appends the first revision of an empty log: it removes a key that
// never was.
func (t *tx) beginLog(ctx context.Context, head *panelHead) error {
	id, err := newID()
	if err != nil {
		return err
	}
	head.revision = 1
	return t.exec(ctx, insertLogRow, t.rowValues(head, told{op: wire.OpRemove}, id, nil)...)
}

// fill reads the keys in order and writes them as chunks. Digest and count of
// what it wrote have to be those of the log.
func (s *Store) fill(ctx context.Context, t *tx, f *frozen) error {
	head, err := t.head(ctx, f.system)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	f.Epoch, f.Revision = head.epoch, head.revision
	// The order is that of the bytes, whatever the database's language.
	query := `SELECT k.key_id, k.put_revision, k.claim, l.payload FROM panel_keys k
		JOIN panel_log l ON l.system_id = k.system_id AND l.epoch = $2 AND l.revision = k.put_revision AND l.key_id = k.key_id
		WHERE k.system_id = $1 AND k.op = 'put' ORDER BY k.key_id` + s.bytewise
	rows, err := t.QueryContext(ctx, query, f.system, int64(f.Epoch))
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	defer rows.Close()
	w := &chunkWriter{s: s, f: f, hash: sha256.New(), buf: make([]byte, 0, access.ChunkSize+wire.MaxKey+512)}
	var text string
	var sealed sql.RawBytes
	for rows.Next() {
		var k wire.SnapshotKey
		if err := rows.Scan(&text, &k.Revision, &k.Claim, &sealed); err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		if k.ID, err = access.ParseID(text); err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		if k.Key, err = s.seal.open(logPlace(f.system, f.Epoch, k.Revision), sealed); err != nil {
			return fmt.Errorf("open revision %d of panel %s: %w", k.Revision, f.system, err)
		}
		f.Digest = f.Digest.Add(k.ID, k.Revision)
		if f.Count++; f.Count > wire.MaxSnapshotKeys {
			return fmt.Errorf("panel %s has more than %d keys", f.system, wire.MaxSnapshotKeys)
		}
		if err := w.add(ctx, k); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if err := w.end(ctx); err != nil {
		return err
	}
	if f.Digest != head.digest || f.Count != head.count {
		return fmt.Errorf("the log of panel %s is damaged: its keys have another digest than its head", f.system)
	}
	return nil
}

// chunkWriter cuts lines into chunks, seals them and writes them some at a time.
type chunkWriter struct {
	s    *Store
	f    *frozen
	buf  []byte   // of the chunk that is being filled
	done [][]byte // sealed, not yet written
	hash hash.Hash
}

func (w *chunkWriter) add(ctx context.Context, k wire.SnapshotKey) error {
	w.buf = wire.AppendSnapshotKey(w.buf, k)
	for len(w.buf) >= access.ChunkSize {
		if err := w.chunk(ctx, access.ChunkSize); err != nil {
			return err
		}
	}
	return nil
}

// chunk takes the first n bytes as one chunk.
func (w *chunkWriter) chunk(ctx context.Context, n int) error {
	data := w.buf[:n]
	_, _ = w.hash.Write(data)
	w.f.Bytes += int64(n)
	if w.f.Bytes > wire.MaxSnapshotBytes {
		return fmt.Errorf("the snapshot of panel %s has more than %d bytes", w.f.system, int64(wire.MaxSnapshotBytes))
	}
	w.done = append(w.done, w.s.seal.seal(chunkPlace(w.f.system, w.f.ID, w.f.Chunks), data))
	w.f.Chunks++
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	if len(w.done) < chunksPerCommit {
		return nil
	}
	return w.flush(ctx)
}

func (w *chunkWriter) flush(ctx context.Context) error {
	if len(w.done) == 0 {
		return nil
	}
	first := w.f.Chunks - len(w.done)
	err := w.s.update(ctx, func(t *tx) error {
		for i, data := range w.done {
			const insert = "INSERT INTO snapshot_chunks (snapshot_id, n, data) VALUES ($1, $2, $3)"
			if err := t.exec(ctx, insert, w.f.ID.String(), first+i, data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write chunks: %w", err)
	}
	w.done = w.done[:0]
	return nil
}

func (w *chunkWriter) end(ctx context.Context) error {
	if len(w.buf) > 0 {
		if err := w.chunk(ctx, len(w.buf)); err != nil {
			return err
		}
	}
	copy(w.f.SHA256[:], w.hash.Sum(nil))
	return w.flush(ctx)
}

// chunk reads one chunk of a snapshot. It gives ErrNotFound when it is gone.
func (s *Store) chunk(ctx context.Context, f *frozen, n int) ([]byte, error) {
	var sealed []byte
	err := s.read.QueryRowContext(ctx, "SELECT data FROM snapshot_chunks WHERE snapshot_id = $1 AND n = $2", f.ID.String(), n).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("chunk %d of snapshot %s: %w", n, f.ID, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read chunk: %w", err)
	}
	data, err := s.seal.open(chunkPlace(f.system, f.ID, n), sealed)
	if err != nil {
		return nil, fmt.Errorf("open chunk %d of snapshot %s: %w", n, f.ID, err)
	}
	return data, nil
}

// frozenAll are the snapshots that are ready, oldest first.
func (s *Store) frozenAll(ctx context.Context) ([]*frozen, error) {
	const query = `SELECT id, system_id, epoch, revision, digest, key_count, bytes, chunks, sha256, created_at, asked_at FROM snapshots
		WHERE state = 'ready' ORDER BY created_at, id`
	return all(ctx, s.read, func(scan func(...any) error) (*frozen, error) {
		f := &frozen{}
		var id string
		var digest, sum []byte
		var made, asked int64
		if err := scan(&id, &f.system, &f.Epoch, &f.Revision, &digest, &f.Count, &f.Bytes, &f.Chunks, &sum, &made, &asked); err != nil {
			return nil, err
		}
		copy(f.Digest[:], digest)
		copy(f.SHA256[:], sum)
		f.made, f.asked = fromMicros0(made), fromMicros0(asked)
		f.noted = f.asked
		var err error
		f.ID, err = access.ParseID(id)
		return f, err
	}, query)
}

// noteAsked keeps when a chunk of a snapshot was last asked for.
func (s *Store) noteAsked(ctx context.Context, f *frozen) error {
	f.noted = f.asked
	_, err := s.write.ExecContext(ctx, "UPDATE snapshots SET asked_at = $1 WHERE id = $2", f.asked.UnixMicro(), f.ID.String())
	return err
}

// dropSnapshot forgets the chunks of a snapshot.
func (s *Store) dropSnapshot(ctx context.Context, id access.ID) error {
	return s.update(ctx, func(t *tx) error {
		return errors.Join(
			t.exec(ctx, "DELETE FROM snapshot_chunks WHERE snapshot_id = $1", id.String()),
			t.exec(ctx, "UPDATE snapshots SET state = $1 WHERE id = $2", frozenDropped, id.String()),
		)
	})
}

// dropUnfinished forgets snapshots that nobody makes any more.
func (s *Store) dropUnfinished(ctx context.Context) error {
	ids, err := all(ctx, s.read, scanText, "SELECT id FROM snapshots WHERE state = $1", frozenMaking)
	for _, text := range ids {
		id, err2 := access.ParseID(text)
		if err = errors.Join(err, err2); err == nil {
			err = s.dropSnapshot(ctx, id)
		}
	}
	return err
}
