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

// pump sends what the panel lacks, as far as the window reaches.
func (e *engine) pump(ctx context.Context, p *replica) error {
	if !p.ready {
		return nil
	}
	for end := min(p.head, p.base+window); p.sent < end; {
		payload, last, err := e.store.batch(ctx, p.system, p.epoch, p.sent+1, end)
		if err != nil {
			return e.unreadable(p, err)
		}
		if payload == nil {
			return nil
		}
		if !e.publish(wire.TopicChange.Of(p.system), payload) {
			return nil
		}
		if p.sent == p.base {
			p.progress = e.now()
		}
		p.sent = last
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
	now := e.now()
	known := n.Epoch == p.epoch || n.Epoch == 0 && n.HaveRevision == 0
	if !p.ready || !known || n.HaveRevision >= p.sent || now.Sub(p.needed) < needPause {
		return nil
	}
	p.needed, p.progress = now, now
	p.sent = n.HaveRevision
	p.base = n.HaveRevision
	return e.pump(ctx, p)
}

// tick sends again what made no progress, and asks again for results.
func (e *engine) tick(ctx context.Context) error {
	if err := e.refresh(ctx); err != nil {
		return err
	}
	now := e.now()
	for _, p := range e.panels {
		if !p.ready {
			continue
		}
		if p.sent > p.base && now.Sub(p.progress) >= e.resend {
			p.sent, p.progress = p.base, now
		}
		if err := e.pump(ctx, p); err != nil {
			return err
		}
		if err := e.askResults(ctx, p, now); err != nil {
			return err
		}
	}
	return nil
}

// askResults sends again the revisions that the panel has and whose results
// central lacks: the panel answers them without doing anything.
func (e *engine) askResults(ctx context.Context, p *replica, now time.Time) error {
	if !p.ready || p.base == 0 || now.Sub(p.answers) < e.resend {
		return nil
	}
	for from, asked := uint64(1), 0; from <= p.base && asked < window; {
		payload, last, n, err := e.store.unanswered(ctx, p.system, p.epoch, from, p.base, window-asked)
		if err != nil {
			return e.unreadable(p, err)
		}
		if n == 0 || !e.publish(wire.TopicChange.Of(p.system), payload) {
			break
		}
		from, asked = last+1, asked+n
	}
	p.answers = now
	return nil
}
