package central

import (
	"context"
	"errors"
	"slices"
	"time"

	"postern/wire"
)

// How long things of a snapshot take.
const (
	frozenIdle  = time.Hour   // without a chunk asked for, after which it is dropped
	againAfter  = time.Hour   // until the next, when the panel was wrong straight after one
	freezeRetry = time.Minute // when one could not be made
	forgotten   = time.Minute // without a chunk asked for, by a panel that is there
	noteEvery   = time.Minute // how often it is noted in the database that chunks are asked for
)

// offer is the snapshot that a panel is to get.
type offer struct {
	waits  bool      // one has to be made
	making bool      // one is being made
	after  time.Time // when making one may be tried
	why    string
	snap   *frozen // ready to be fetched
	chunks []int   // asked for and not yet sent
}

// offer sees to it that a snapshot is ready which the panel can take.
func (e *engine) offer(ctx context.Context, p *replica, why string) error {
	r := *p.report
	// In its own epoch a panel takes none below its revision, unless it began to
	// fetch it when it was not.
	if s := p.want.snap; s != nil {
		if s.Epoch == p.epoch && !e.overtaken(p, s) {
			return nil
		}
		if err := e.dropOffer(ctx, p); err != nil {
			return err
		}
	}
	if p.want.making {
		return nil // the panel is judged again when that is ready
	}
	if !p.want.waits {
		e.log.Warn("panel needs a snapshot", "system", p.system, "reason", why, "reported_epoch", r.Epoch, "reported_revision", r.Revision,
			"log_epoch", p.epoch, "log_revision", p.head)
	}
	p.want.waits, p.want.why = true, why
	e.freezeNext()
	return nil
}

// overtaken reports whether a panel has come past a snapshot, in its epoch,
// which it did not begin to fetch before, or has forgotten that it did: one that
// fetches asks every few seconds.
func (e *engine) overtaken(p *replica, s *frozen) bool {
	if p.report.Epoch != s.Epoch || p.report.Revision <= s.Revision {
		return false
	}
	now := e.now()
	return s.asked.IsZero() || now.Sub(s.asked) >= forgotten && now.Sub(p.came) >= forgotten
}

// freezeNext begins to make the snapshot of one panel that waits for its own,
// when none is being made and there is room for it.
func (e *engine) freezeNext() {
	if e.freezing {
		return
	}
	var bytes int64
	var next *replica
	for _, p := range e.panels {
		if p.want.snap != nil {
			bytes += p.want.snap.Bytes
		}
		if p.want.waits && p.livesOn() && !e.now().Before(p.want.after) {
			next = p
		}
	}
	if next == nil || bytes >= e.limits.frozen {
		return
	}
	// What is sent to the panel from here on is sent after the manifest: else it
	// could come past the snapshot before it knows of it.
	e.freezing, next.want.waits, next.want.making = true, false, true
	e.out.spawn(func(ctx context.Context) func(context.Context) error {
		s, err := e.store.freeze(ctx, next.system)
		return func(ctx context.Context) error { return e.frozen(ctx, next, s, err) }
	})
}

// frozen takes over a snapshot that was made, or could not be.
func (e *engine) frozen(ctx context.Context, p *replica, s *frozen, err error) error {
	e.freezing, p.want.making = false, false
	defer e.freezeNext()
	if err != nil {
		e.log.Error("a snapshot could not be made", "system", p.system, "error", err)
		p.want.waits, p.want.after = true, e.now().Add(freezeRetry)
		return e.pump(ctx, p)
	}
	e.log.Info("snapshot is ready", "system", p.system, "snapshot", s.ID.String(), "reason", p.want.why, "epoch", s.Epoch,
		"revision", s.Revision, "keys", s.Count, "bytes", s.Bytes)
	p.want.snap = s
	p.manifest.now(e.now())
	if err := e.refresh(ctx); err != nil { // it may have begun the log
		return err
	}
	return e.compare(ctx, p)
}

// recover takes over the snapshots that are ready, for panels that have none yet.
func (e *engine) recover(ctx context.Context, fresh []*replica) error {
	if len(fresh) == 0 {
		return nil
	}
	made, err := e.store.frozenAll(ctx)
	if err != nil {
		return err
	}
	for _, s := range made {
		for _, p := range fresh {
			if p.system != s.system {
				continue
			}
			if err := e.dropOffer(ctx, p); err != nil { // of two the newer
				return err
			}
			p.want.snap = s
		}
	}
	return nil
}

// dropOffer forgets the snapshot of a panel, if it has one.
func (e *engine) dropOffer(ctx context.Context, p *replica) error {
	s := p.want.snap
	if s == nil {
		return nil
	}
	p.want.snap, p.want.chunks = nil, nil
	p.manifest.changed(e.now())
	return e.store.dropSnapshot(ctx, s.ID)
}

// stepped is for a panel that is where its log is.
func (e *engine) stepped(ctx context.Context, p *replica, r wire.Reported) error {
	p.inStep, p.want.waits = true, false
	if !p.tookAt.IsZero() {
		p.tookAt = time.Time{}
		if err := e.store.tookSnapshot(ctx, p); err != nil {
			return err
		}
	}
	if s := p.want.snap; s != nil && (s.Epoch != r.Epoch || r.Revision >= s.Revision) {
		if err := e.dropOffer(ctx, p); err != nil {
			return err
		}
	}
	if p.confirmed == p.epoch {
		return nil
	}
	p.confirmed = p.epoch
	return e.store.confirmRemovals(ctx, p.system)
}

// tookSnapshot notes that a panel has taken a snapshot, which counts until it is
// in step: should it be wrong then, another would hardly help.
func (e *engine) tookSnapshot(ctx context.Context, p *replica, m wire.Statuses) error {
	if p.inStep && p.report.Revision >= m.Revision {
		return nil
	}
	p.tookAt = e.now()
	return e.store.tookSnapshot(ctx, p)
}

// again reports whether a panel that lacks a snapshot has to wait, as it was
// given one just now. Once it has waited it is tried anew; the alarm stands
// until it is in step.
func (e *engine) again(p *replica, v judgement) bool {
	if v.lacks == "" || v.lacks == lacksLog {
		return false
	}
	return !p.tookAt.IsZero() && e.now().Sub(p.tookAt) < againAfter
}

// onNeedSnapshot answers a panel that asks for a snapshot, or for parts of it.
func (e *engine) onNeedSnapshot(ctx context.Context, p *replica, n wire.Need) error {
	now := e.now()
	s := p.want.snap
	if !p.livesOn() || p.alarm == alarmAhead || p.alarm == alarmNewEpoch {
		return nil
	}
	if s != nil && n.SnapshotID == s.ID && len(n.Chunks) > 0 {
		return e.askedFor(ctx, p, n.Chunks)
	}
	if now.Sub(p.needed) < needPause {
		return nil
	}
	p.needed = now
	stale := s != nil && n.SnapshotID.IsZero() && n.Epoch == s.Epoch && n.HaveRevision > s.Revision
	if stale {
		if err := e.dropOffer(ctx, p); err != nil {
			return err
		}
		return e.compare(ctx, p)
	}
	p.manifest.now(now) // says which there is, if any
	return e.pump(ctx, p)
}

func (e *engine) askedFor(ctx context.Context, p *replica, chunks []int) error {
	s := p.want.snap
	if chunks[len(chunks)-1] >= s.Chunks {
		return errors.Join(errMessage, &wire.FieldError{Field: "chunks", Reason: "are not all there are"})
	}
	s.asked = e.now()
	// A panel asks for the next ones while the last are on their way to it.
	if p.want.chunks = append(p.want.chunks, chunks...); len(p.want.chunks) > 2*wire.MaxNeedChunks {
		p.want.chunks = chunks
	}
	slices.Sort(p.want.chunks)
	p.want.chunks = slices.Compact(p.want.chunks)
	if s.asked.Sub(s.noted) >= noteEvery {
		if err := e.store.noteAsked(ctx, s); err != nil {
			return err
		}
	}
	return e.pumpChunks(ctx, p)
}

// chunksPerTurn bounds what one panel gets before the next has its turn.
const chunksPerTurn = 8

// pumpChunks sends chunks that were asked for, as far as there is room.
func (e *engine) pumpChunks(ctx context.Context, p *replica) error {
	for range chunksPerTurn {
		s := p.want.snap
		if s == nil || len(p.want.chunks) == 0 || !p.livesOn() || !e.out.room(true) {
			return nil
		}
		n := p.want.chunks[0]
		data, err := e.store.chunk(ctx, s, n)
		if errors.Is(err, ErrNotFound) || errors.Is(err, errSealed) {
			e.log.Error("a snapshot can't be read and is made again", "system", p.system, "error", err)
			if err := e.dropOffer(ctx, p); err != nil {
				return err
			}
			return e.compare(ctx, p)
		}
		if err != nil {
			return err
		}
		e.out.publish(p.system, wire.ChunkTopic(s.ID, n), data)
		p.want.chunks = p.want.chunks[1:]
	}
	return nil
}

// tendOffer drops a snapshot that nobody fetches, and has what waits tried.
func (e *engine) tendOffer(ctx context.Context, p *replica, now time.Time) error {
	if s := p.want.snap; s != nil && now.Sub(s.made) >= frozenIdle && now.Sub(s.asked) >= frozenIdle {
		e.log.Warn("snapshot dropped, as the panel fetches none of it", "system", p.system, "snapshot", s.ID.String())
		if err := e.dropOffer(ctx, p); err != nil {
			return err
		}
		return e.compare(ctx, p)
	}
	if s := p.want.snap; s != nil && p.livesOn() && !p.inStep && e.overtaken(p, s) {
		return e.compare(ctx, p)
	}
	if p.alarm == alarmAgain && !p.tookAt.IsZero() && now.Sub(p.tookAt) >= againAfter {
		p.tookAt = time.Time{}
		if err := e.store.tookSnapshot(ctx, p); err != nil {
			return err
		}
		return e.compare(ctx, p)
	}
	return nil
}

// manifest is what a panel is told of where its keys should be.
type manifest struct {
	due    time.Time // when it is to be sent, zero for not at all
	urgent bool      // before anything else
}

// changesSettle is how long changes are awaited before the manifest says them:
// the changes themselves go out at once.
const changesSettle = 5 * time.Second

func (m *manifest) changed(now time.Time) {
	if m.due.IsZero() {
		m.due = now.Add(changesSettle)
	}
}

func (m *manifest) now(now time.Time) { m.due, m.urgent = now, true }

// flushManifest sends the manifest when it is due; false says that nothing else
// may go before it.
func (e *engine) flushManifest(p *replica) bool {
	m := &p.manifest
	if m.due.IsZero() || e.now().Before(m.due) {
		return true
	}
	if !e.out.room(false) {
		return !m.urgent
	}
	d := wire.Desired{Epoch: p.epoch, Revision: p.head, Digest: p.digest, Count: p.count}
	if s := p.want.snap; s != nil && s.Epoch == p.epoch {
		d.Snapshot = wire.SnapshotOf(s.Snapshot)
	}
	e.out.publish(p.system, wire.TopicDesired, wire.Encode(d))
	p.manifest = manifest{}
	return true
}
