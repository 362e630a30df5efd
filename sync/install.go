package sync

import (
	"context"
	stdsync "sync"
	"time"

	"postern/access"
)

// install is the work of putting a snapshot in place, which outlives sessions.
type install struct {
	work    stdsync.WaitGroup
	running bool
	failed  access.ID // snapshot that could not be installed or staged
	pause   backoff   // before it is tried again
	again   time.Time // when that is
}

// installation is how it ended.
type installation struct {
	m   access.Snapshot
	pos access.Position
	err error
}

// installStaged puts the snapshot in the place of the keys, beside this loop and
// the sessions after it: doors, events and changes go on.
func (s *session) installStaged(ctx context.Context) {
	c, m := s.c, s.fetch.staged
	c.install.running = true
	s.dropped()
	s.log.Info("installing a snapshot", "snapshot", m.ID.String(), "keys", m.Count)
	c.install.work.Go(func() {
		pos, err := c.o.Replica.Install(ctx)
		c.installed <- installation{m, pos, err}
	})
}

// installed goes on after an installation, maybe one that an earlier session
// began.
func (s *session) installed(ctx context.Context, r installation) {
	in, now := &s.c.install, time.Now()
	in.running = false
	s.fetching()
	log := s.log.With("snapshot", r.m.ID.String(), "epoch", r.m.Epoch, "revision", r.m.Revision)
	if r.err != nil {
		log.Error("snapshot could not be installed", "error", r.err)
		s.c.update(func(st *Status) { st.SnapshotErrors++ })
		s.failed(r.m)
		return
	}
	in.failed, in.again = access.ID{}, time.Time{}
	in.pause.reset()
	s.fetch.ask.reset()
	s.fetch.manifestAt = time.Time{}
	s.c.update(func(st *Status) { st.Snapshots++ })
	s.moved(ctx, r.pos, now)
	s.reportBy(now)
	log.Info("snapshot installed", "at", r.pos.Revision)
	s.consider(ctx, now)
}

// failed puts off the next try with a snapshot: each costs the card its size.
func (s *session) failed(m access.Snapshot) {
	in := &s.c.install
	if in.failed != m.ID {
		in.pause.reset()
	}
	in.failed, in.again = m.ID, time.Now().Add(in.pause.next())
	s.fetch.againAt = in.again
}

// checkFetch tries again what failed.
func (s *session) checkFetch(ctx context.Context, now time.Time) {
	if !due(&s.fetch.againAt, now) || s.c.install.running {
		return
	}
	s.c.install.again = time.Time{}
	if m, _, ok := s.c.o.Replica.Staged(); ok {
		s.fetch.begin(m)
		s.fetching()
		s.window(ctx)
		return
	}
	s.consider(ctx, now)
}
