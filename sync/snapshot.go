package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// While the last fewOut of maxOut chunks come, the next ones are asked for: neither
// end waits for the other.
const (
	maxOut = wire.MaxNeedChunks
	fewOut = maxOut / 2
)

// fetch is what a session knows of the keys that central wants here, and of the
// snapshot that brings them. What has come of it lies in the replica.
type fetch struct {
	desired wire.Desired    // newest heard on this connection; its Epoch is 0 before
	staged  access.Snapshot // being fetched; its ID is zero when none is
	out     map[int]bool    // chunks asked for that have not come
	next    []int           // of these, those to ask for first
	coming  map[int]bool    // chunks that have come and are not stored yet
	ask     backoff         // between questions for a manifest

	manifestAt time.Time // when to ask for a manifest
	chunksAt   time.Time // when to ask again for what is out
	againAt    time.Time // when to try again what failed
}

// begin goes over to another snapshot, or with the zero one to none.
func (f *fetch) begin(m access.Snapshot) {
	f.staged, f.out, f.coming, f.next = m, map[int]bool{}, map[int]bool{}, nil
}

// slowest is the longest pause between tries of what may fail for long.
func slowest(needAfter time.Duration) time.Duration { return 360 * needAfter }

// wanted takes in what central wants this panel's keys to be.
func (s *session) wanted(ctx context.Context, payload []byte) {
	d, err := wire.Decode[wire.Desired](payload)
	if err != nil {
		s.c.bad(string(wire.TopicDesired), err)
		return
	}
	f := &s.fetch
	// What lies below the panel's own is old, or of a server that was restored. One
	// below the last that came need not be: that may have been of the server before
	// its restore, and a panel that has lost its keys is to take the present one.
	at := s.c.o.Replica.Position()
	if (wire.Version{Epoch: at.Epoch, Revision: at.Revision}).Above(wire.Version{Epoch: d.Epoch, Revision: d.Revision}) {
		return
	}
	f.desired = d
	now := time.Now()
	switch p := s.c.o.Replica.Position(); {
	case d.Epoch != p.Epoch:
	case d.Revision > p.Revision:
		// The last change of all may be the one that got lost.
		s.gap.seen(d.Epoch, d.Revision, now.Add(s.c.o.NeedAfter))
	case d.Revision == p.Revision && (d.Digest != p.Digest || d.Count != p.Count):
		s.c.update(func(st *Status) { st.Mismatches++ })
		s.log.Warn("central wants other keys at this revision", "epoch", p.Epoch, "revision", p.Revision,
			"count", p.Count, "count_wanted", d.Count)
		s.reportBy(now)
	}
	s.consider(ctx, now)
}

// consider decides what to do about a snapshot, by what central has said.
func (s *session) consider(ctx context.Context, now time.Time) {
	f, in := &s.fetch, &s.c.install
	if in.running || f.desired.Epoch == 0 {
		return
	}
	if f.desired.Snapshot == nil {
		if !f.staged.ID.IsZero() {
			s.abandon(ctx)
		}
		if p := s.c.o.Replica.Position(); p.Epoch != 0 && f.desired.Epoch > p.Epoch || s.c.o.Replica.PINKeyLost() {
			s.wantManifest(now)
		}
		return
	}
	m := f.desired.Snapshot.Access()
	switch {
	case m.ID == f.staged.ID:
	case m.ID == in.failed && now.Before(in.again):
		f.againAt = in.again
	case !s.c.o.wants(m):
		if !f.staged.ID.IsZero() {
			s.abandon(ctx)
		}
		s.reportBy(now.Add(s.c.o.ReportAfter)) // central may not know where this panel stands
	default:
		s.stage(ctx, m)
	}
}

// wants reports whether a snapshot brings this panel what it lacks. What would
// take it back is never taken: it may be an old one, replayed.
func (o *Options) wants(m access.Snapshot) bool {
	p := o.Replica.Position()
	switch {
	case m.Epoch != p.Epoch:
		return m.Epoch > p.Epoch
	case m.Revision != p.Revision:
		return m.Revision > p.Revision
	}
	return !at(p, m) || o.Replica.PINKeyLost()
}

// at reports whether a replica has exactly a snapshot's keys.
func at(p access.Position, m access.Snapshot) bool {
	return p == access.Position{Epoch: m.Epoch, Revision: m.Revision, Digest: m.Digest, Count: m.Count}
}

// stage begins to take a snapshot in.
func (s *session) stage(ctx context.Context, m access.Snapshot) {
	f := &s.fetch
	f.begin(m)
	f.manifestAt, f.chunksAt, f.againAt = time.Time{}, time.Time{}, time.Time{}
	s.fetching()
	log := s.log.With("snapshot", m.ID.String(), "epoch", m.Epoch, "revision", m.Revision)
	s.put(ctx, &s.lanes.snapshot, task{begin: func() work {
		return func(ctx context.Context) func() {
			err := s.c.o.Replica.Stage(ctx, m)
			return func() {
				switch {
				case f.staged.ID != m.ID: // another one came meanwhile
				case err == nil:
					log.Info("taking a snapshot in", "keys", m.Count, "bytes", m.Bytes)
					s.window(ctx)
				case errors.Is(err, access.ErrOldEpoch), errors.Is(err, access.ErrStale):
					log.Warn("snapshot refused", "error", err)
					s.dropped()
					s.reportBy(time.Now())
				default:
					log.Error("snapshot can't be taken in", "error", err)
					s.dropped()
					s.failed(m)
				}
			}
		}
	}})
}

// resume goes on, on a new connection, with what an earlier one began, or asks
// for what a panel without keys needs.
func (s *session) resume(ctx context.Context) {
	now := time.Now()
	r := s.c.o.Replica
	switch {
	case r.PINKeyLost():
		s.wantManifest(now)
	case s.gap.have.Epoch == 0:
		s.gap.askOnce(now)
	}
	if s.c.install.running {
		return
	}
	if m, _, ok := r.Staged(); ok {
		s.fetch.begin(m)
		if m.ID == s.c.install.failed && now.Before(s.c.install.again) {
			s.fetch.againAt = s.c.install.again
			return
		}
		s.window(ctx)
	}
	s.fetching()
}

// window asks for the next chunks, or installs what is complete.
func (s *session) window(ctx context.Context) {
	f := &s.fetch
	id := f.staged.ID
	s.putFirst(ctx, &s.lanes.snapshot, task{begin: func() work {
		return func(context.Context) func() {
			m, missing, ok := s.c.o.Replica.Staged()
			return func() {
				switch {
				case f.staged.ID != id:
				case !ok || m.ID != id:
					s.failed(f.staged)
					s.dropped()
				case s.moot():
					s.abandon(ctx)
				case len(missing) == 0:
					s.installStaged(ctx)
				default:
					f.want(missing)
				}
			}
		}
	}})
}

// want has chunks asked for that are not out, as many as may be out.
func (f *fetch) want(missing []int) {
	for _, n := range missing {
		if len(f.out) < maxOut && !f.out[n] {
			f.out[n] = true
			f.next = append(f.next, n)
		}
	}
}

// moot reports whether changes alone have brought the panel to where the staged
// snapshot would.
func (s *session) moot() bool {
	return at(s.c.o.Replica.Position(), s.fetch.staged) && !s.c.o.Replica.PINKeyLost()
}

// chunk stores a piece of the snapshot that was asked for; all others are not
// looked at.
func (s *session) chunk(ctx context.Context, m mqtt.Message, id access.ID, n int) bool {
	f := &s.fetch
	if id != f.staged.ID || !f.out[n] || f.coming[n] {
		return false
	}
	f.coming[n] = true
	s.put(ctx, &s.lanes.snapshot, task{m: m, begin: func() work {
		return func(ctx context.Context) func() {
			err := s.c.o.Replica.StageChunk(ctx, id, n, m.Payload())
			return func() { s.stored(ctx, id, n, err) }
		}
	}})
	return true
}

func (s *session) stored(ctx context.Context, id access.ID, n int, err error) {
	f := &s.fetch
	if f.staged.ID != id {
		return
	}
	delete(f.coming, n)
	if err != nil {
		s.c.update(func(st *Status) { st.ChunkErrors++ })
		s.log.Error("chunk of a snapshot could not be stored", "snapshot", id.String(), "chunk", n, "error", err)
		return // asked for again when the others have come or nothing comes
	}
	delete(f.out, n)
	f.chunksAt = time.Now().Add(s.c.o.NeedAfter)
	switch len(f.out) {
	case 0:
		f.chunksAt = time.Time{}
		s.window(ctx)
	case fewOut:
		s.window(ctx)
	}
}

// needChunks asks for the next chunks, and again for those that have not come.
func (s *session) needChunks(now time.Time) error {
	f := &s.fetch
	ask := f.next
	if due(&f.chunksAt, now) {
		ask = slices.Sorted(maps.Keys(f.out))
	}
	if len(ask) == 0 {
		return nil
	}
	f.next, f.chunksAt = nil, now.Add(s.c.o.NeedAfter)
	return s.askSnapshot(wire.Need{SnapshotID: f.staged.ID, Chunks: ask})
}

// wantManifest has the panel ask for the present snapshot, unless one is offered
// soon.
func (s *session) wantManifest(now time.Time) {
	if f := &s.fetch; f.manifestAt.IsZero() && f.staged.ID.IsZero() && !s.c.install.running {
		f.manifestAt = now.Add(s.c.o.NeedAfter)
	}
}

// needSnapshot asks for a manifest, ever more rarely until one comes.
func (s *session) needSnapshot(now time.Time) error {
	f := &s.fetch
	if !due(&f.manifestAt, now) {
		return nil
	}
	if p := s.c.o.Replica.Position(); f.desired.Snapshot != nil && !s.c.o.wants(f.desired.Snapshot.Access()) && p.Epoch >= f.desired.Epoch {
		return nil // it has come
	}
	f.manifestAt = now.Add(f.ask.next())
	return s.askSnapshot(wire.Need{})
}

func (s *session) askSnapshot(n wire.Need) error {
	p := s.c.o.Replica.Position()
	n.Want, n.Epoch, n.HaveRevision = wire.WantSnapshot, p.Epoch, p.Revision
	s.c.update(func(st *Status) { st.Needs++ })
	s.log.Info("asking for a snapshot", "epoch", p.Epoch, "have_revision", p.Revision, "chunks", len(n.Chunks))
	return s.publish(wire.TopicNeed, wire.Encode(n))
}

// abandon drops what is staged: central wants it no more, or the panel has come
// there without it.
func (s *session) abandon(ctx context.Context) {
	s.log.Info("snapshot no longer needed", "snapshot", s.fetch.staged.ID.String())
	s.dropped()
	s.reportBy(time.Now().Add(s.c.o.ReportAfter))
	s.put(ctx, &s.lanes.snapshot, task{begin: func() work {
		return func(ctx context.Context) func() {
			err := s.c.o.Replica.Unstage(ctx)
			return func() {
				if err != nil {
					s.log.Error("snapshot can't be dropped", "error", err)
				}
			}
		}
	}})
}

// dropped takes note that nothing is staged any more.
func (s *session) dropped() {
	f := &s.fetch
	f.begin(access.Snapshot{})
	f.chunksAt = time.Time{}
	s.fetching()
}

func (s *session) fetching() {
	on := !s.fetch.staged.ID.IsZero()
	s.c.update(func(st *Status) { st.Fetching, st.Installing = on, s.c.install.running })
	signal(s.c.changed)
}
