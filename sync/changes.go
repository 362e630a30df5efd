package sync

import (
	"context"
	"errors"
	"time"

	"postern/access"
	"postern/wire"
)

// gap is what is known of revisions that went missing.
type gap struct {
	have  access.Position // where the replica stood at the last look
	to    uint64          // highest revision seen past a gap; 0 is none
	epoch uint64          // of to
	once  bool            // ask once though no gap has been seen
	askAt time.Time       // when to ask; zero is not at all
}

// askOnce asks at t, unless that is due already.
func (g *gap) askOnce(t time.Time) {
	g.once = true
	if g.askAt.IsZero() {
		g.askAt = t
	}
}

// seen takes note of a batch up to last that could not be applied.
func (g *gap) seen(epoch, last uint64, askAt time.Time) {
	if epoch != g.epoch {
		g.to = 0
	}
	g.to, g.epoch = max(g.to, last), epoch
	if g.askAt.IsZero() {
		g.askAt = askAt
	}
}

// moved takes note of where the replica stands now.
func (g *gap) moved(p access.Position, askAt time.Time) {
	if p.Epoch == g.have.Epoch && p.Revision == g.have.Revision {
		return
	}
	if g.have.Epoch == 0 && p.Epoch != 0 {
		g.once = false // what was asked for has come
	}
	g.have = p
	if p.Revision >= g.to || p.Epoch != g.epoch {
		g.to = 0
	}
	if g.askAt = askAt; g.to == 0 && !g.once {
		g.askAt = time.Time{}
	}
}

// change applies a batch. Only what the replica has not committed can be asked
// for again, so that an error here holds up nothing.
func (s *session) change(ctx context.Context, payload []byte) {
	b, err := wire.DecodeChanges(payload)
	if err != nil {
		s.c.bad(string(wire.TopicChange), err)
		return
	}
	first, last := b.Updates[0].Revision, b.Updates[len(b.Updates)-1].Revision
	log := s.log.With("epoch", b.Epoch, "first", first, "last", last)
	p, err := s.c.o.Replica.Apply(ctx, b)
	now := time.Now()
	switch {
	case err == nil:
		s.gap.moved(p, now.Add(s.c.o.NeedAfter))
		s.c.update(func(st *Status) { st.Applied++ })
		s.reportBy(now.Add(s.c.o.ReportAfter))
		log.Debug("changes applied")
	case errors.Is(err, access.ErrGap):
		s.gap.seen(b.Epoch, last, now.Add(s.c.o.NeedAfter))
		s.c.update(func(st *Status) { st.Gaps++ })
		log.Debug("changes before these are missing")
	case errors.Is(err, access.ErrOldEpoch), errors.Is(err, access.ErrNewEpoch):
		s.c.update(func(st *Status) { st.WrongEpochs++ })
		s.reportBy(now.Add(s.c.o.ReportAfter))
		log.Warn("changes of another epoch refused", "error", err)
	case ctx.Err() != nil:
	default:
		s.c.update(func(st *Status) { st.ApplyErrors++ })
		log.Error("changes could not be stored", "error", err)
	}
}

// reportBy has the position reported at t at the latest.
func (s *session) reportBy(t time.Time) {
	if s.reportAt.IsZero() || t.Before(s.reportAt) {
		s.reportAt = t
	}
}

// need asks for the revisions after the replica's own, again and again while a
// gap stands.
func (s *session) need(now time.Time) error {
	g := &s.gap
	if !due(&g.askAt, now) {
		return nil
	}
	g.once = false
	p := s.c.o.Replica.Position()
	if p.Revision < g.to {
		g.askAt = now.Add(s.c.o.NeedAfter)
	}
	s.c.update(func(st *Status) { st.Needs++ })
	s.log.Info("asking for changes", "epoch", p.Epoch, "have_revision", p.Revision)
	return s.publish(wire.TopicNeed, wire.Encode(wire.Need{Epoch: p.Epoch, HaveRevision: p.Revision, Want: wire.WantDelta}))
}
