package sync

import (
	"context"
	"errors"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

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
	g.have = p
	if p.Revision >= g.to || p.Epoch != g.epoch {
		g.to = 0
	}
	if g.askAt = askAt; g.to == 0 && !g.once {
		g.askAt = time.Time{}
	}
}

// maxGroup bounds the revisions that are committed at once.
const maxGroup = 1000

// reportEvery is how many revisions are reported without waiting for more to
// gather: central sends at most 1,000 ahead of the last report, and would pause
// otherwise.
const reportEvery = 250

// change queues a batch for the replica.
func (s *session) change(ctx context.Context, m mqtt.Message, payload []byte) bool {
	b, err := wire.DecodeChanges(payload)
	if err != nil {
		s.c.bad(string(wire.TopicChange), err)
		return false
	}
	s.put(ctx, &s.lanes.changes, task{m: m, about: batch{b, len(m.Payload())}})
	return true
}

// gatherChanges has the batches that continue each other committed at once: one
// flush of the card does for all that has come since the last one.
func (s *session) gatherChanges(waiting []task) (int, work) {
	batches := []batch{waiting[0].about.(batch)}
	total := len(batches[0].Updates)
	for _, t := range waiting[1:] {
		b, ok := t.about.(batch) // always
		last := batches[len(batches)-1]
		total += len(b.Updates)
		if !ok || b.Epoch != last.Epoch || b.first() != last.last()+1 || total > maxGroup {
			break
		}
		batches = append(batches, b)
	}
	return len(batches), func(ctx context.Context) func() {
		outcomes := s.c.o.apply(ctx, batches)
		return func() {
			for _, o := range outcomes {
				s.applied(ctx, o)
			}
		}
	}
}

// outcome is what became of batches that were applied at once.
type outcome struct {
	batch   // all of them as one
	batches int
	pos     access.Position
	err     error
}

// apply commits batches that continue each other, at once or, where the store
// fails, each by itself, so that one that it can't take holds up no other.
func (o *Options) apply(ctx context.Context, batches []batch) []outcome {
	all := batches[0]
	if len(batches) > 1 {
		all.Updates, all.bytes = nil, 0 // new ones: the first batch may be applied by itself yet
		for _, b := range batches {
			all.Updates = append(all.Updates, b.Updates...)
			all.bytes += b.bytes
		}
	}
	pos, err := o.Replica.Apply(ctx, all.Batch)
	out := outcome{all, len(batches), pos, err}
	if err == nil || len(batches) == 1 || ctx.Err() != nil || refusal(err) {
		return []outcome{out}
	}
	var each []outcome
	for _, b := range batches {
		each = append(each, o.apply(ctx, []batch{b})...)
	}
	return each
}

// refusal reports whether the rules, and not the store, kept a batch out.
func refusal(err error) bool {
	return errors.Is(err, access.ErrGap) || errors.Is(err, access.ErrOldEpoch) || errors.Is(err, access.ErrNewEpoch)
}

// applied takes note of what became of a group. Only what the replica has not
// committed can be asked for again, so that an error here holds up nothing.
func (s *session) applied(ctx context.Context, o outcome) {
	log := s.log.With("epoch", o.Epoch, "first", o.first(), "last", o.last())
	now := time.Now()
	switch err := o.err; {
	case err == nil:
		s.moved(ctx, o.pos, now)
		s.c.update(func(st *Status) { st.Applied += uint64(o.batches); st.Commits++ })
		if o.pos.Revision < s.told+reportEvery {
			now = now.Add(s.c.o.ReportAfter)
		}
		s.reportBy(now)
		log.Debug("changes applied")
	case errors.Is(err, access.ErrGap):
		s.gap.seen(o.Epoch, o.last(), now.Add(s.c.o.NeedAfter))
		s.ahead.keep(o.batch)
		s.c.update(func(st *Status) { st.Gaps++ })
		log.Debug("changes before these are missing")
	case refusal(err):
		s.c.update(func(st *Status) { st.WrongEpochs++ })
		s.reportBy(now.Add(s.c.o.ReportAfter))
		if errors.Is(err, access.ErrNewEpoch) {
			s.wantManifest(now)
		}
		log.Warn("changes of another epoch refused", "error", err)
	case ctx.Err() != nil:
	default:
		s.c.update(func(st *Status) { st.ApplyErrors++ })
		log.Error("changes could not be stored", "error", err)
	}
}

// moved takes note of where the replica stands now. What was kept for it goes
// before what waits.
func (s *session) moved(ctx context.Context, p access.Position, now time.Time) {
	s.gap.moved(p, now.Add(s.c.o.NeedAfter))
	var turn []task
	for _, b := range s.ahead.turn(p) {
		turn = append(turn, task{about: b})
	}
	s.putFirst(ctx, &s.lanes.changes, turn...)
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
