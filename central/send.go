package central

import (
	"context"
	"errors"
	"time"

	"postern/wire"
)

// needPause is how often a panel may ask for what it lacks.
const needPause = time.Second

// window is the most revisions that are sent to a panel ahead of what it has
// reported.
const window = 1000

// pump sends what the panel lacks and what is due. Whether it may be sent keys
// is a matter of its log's alarm; policy, door modes and commands have versions
// and nonces of their own, and a lockdown must not wait for an operator.
func (e *engine) pump(ctx context.Context, p *replica) error {
	e.flushAck(p)
	if !p.online {
		return nil
	}
	e.flushCommands(p)
	if !p.livesOn() {
		return nil
	}
	if err := e.flushDocuments(ctx, p); err != nil {
		return e.unreadable(p, err)
	}
	if p.alarm == alarmAhead || p.alarm == alarmNewEpoch || !e.flushManifest(p) || p.want.making {
		return nil
	}
	if err := e.pumpChanges(ctx, p); err != nil {
		return e.unreadable(p, err)
	}
	return e.pumpChunks(ctx, p)
}

// pumpChanges sends what the panel lacks of its log, as far as the window reaches.
func (e *engine) pumpChanges(ctx context.Context, p *replica) error {
	for p.ready && e.out.room(false) {
		end := min(p.head, p.base+window)
		if p.sent >= end {
			return nil
		}
		batches, err := e.store.batches(ctx, p.system, p.epoch, p.sent+1, end)
		if err != nil || len(batches) == 0 {
			return err
		}
		for _, b := range batches {
			if !e.out.room(false) {
				return nil
			}
			e.out.publish(p.system, wire.TopicChange, b.payload)
			if p.sent == p.base {
				p.progress = e.now()
			}
			p.sent = b.last
		}
	}
	return nil
}

func (e *engine) pumpAll(ctx context.Context) error {
	for _, p := range e.panels {
		if err := e.pump(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// unreadable stops sending to one panel whose log can't be opened, and lets the
// others go on.
func (e *engine) unreadable(p *replica, err error) error {
	if !errors.Is(err, errSealed) {
		return err
	}
	p.ready = false
	e.log.Error("the log of a panel can't be read", "system", p.system, "error", err)
	return nil
}

func (e *engine) onNeed(ctx context.Context, p *replica, n wire.Need) error {
	if err := fits(n.Epoch, n.HaveRevision); err != nil {
		return err
	}
	if n.Want == wire.WantSnapshot {
		return e.onNeedSnapshot(ctx, p, n)
	}
	now := e.now()
	known := n.Epoch == p.epoch || n.Epoch == 0 && n.HaveRevision == 0
	if !p.ready || !known || n.HaveRevision >= p.sent || n.HaveRevision < p.pruned || now.Sub(p.needed) < needPause {
		return nil
	}
	p.needed, p.progress = now, now
	p.sent = n.HaveRevision
	p.base = n.HaveRevision
	return e.pump(ctx, p)
}

// tick sends again what made no progress, asks again for results, and sees to
// what waits for a time.
func (e *engine) tick(ctx context.Context) error {
	if err := e.refresh(ctx); err != nil {
		return err
	}
	now := e.now()
	for _, p := range e.panels {
		if err := errors.Join(e.tendOffer(ctx, p, now), e.tendCommands(ctx, p, now)); err != nil {
			return err
		}
		if p.ready && p.sent > p.base && now.Sub(p.progress) >= e.resend {
			p.sent, p.progress = p.base, now
		}
		if err := e.pump(ctx, p); err != nil {
			return err
		}
		if err := e.askResults(ctx, p, now); err != nil {
			return err
		}
		if err := e.prune(ctx, p); err != nil {
			return err
		}
	}
	e.freezeNext()
	return nil
}

// askResults sends again the revisions that the panel has and whose results
// central lacks: the panel answers them without doing anything.
func (e *engine) askResults(ctx context.Context, p *replica, now time.Time) error {
	if !p.ready || p.base == 0 || now.Sub(p.answers) < e.resend {
		return nil
	}
	for from, asked := uint64(1), 0; from <= p.base && asked < window && e.out.room(false); {
		payload, last, n, err := e.store.unanswered(ctx, p.system, p.epoch, from, p.base, window-asked)
		if err != nil {
			return e.unreadable(p, err)
		}
		if n == 0 {
			break
		}
		e.out.publish(p.system, wire.TopicChange, payload)
		from, asked = last+1, asked+n
	}
	p.answers = now
	return nil
}

// prune forgets what of a log neither this panel nor a snapshot will need: a
// panel whose card is restored from longer ago gets a snapshot.
func (e *engine) prune(ctx context.Context, p *replica) error {
	have := p.base
	if !p.ready || !p.inStep || have != p.report.Revision || have < p.pruned+e.limits.keepLog+e.limits.pruneStep {
		return nil
	}
	pruned, err := e.store.prune(ctx, p.system, p.epoch, have-e.limits.keepLog)
	if err == nil {
		p.pruned = pruned
	}
	return err
}
