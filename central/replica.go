package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"postern/access"
	"postern/wire"
)

// replica is one panel as the link sees it. All of it can be learnt again: the
// log's head from the database, the rest from the panel.
type replica struct {
	system string
	epoch  uint64 // of the log
	head   uint64 // newest revision of the log

	online bool
	live   session            // newest that was online
	past   map[access.ID]bool // boots that a later one took the place of
	report *wire.Reported     // newest, counts only when it is of the live session

	ready    bool    // online, in step with the log: may be sent to
	of       session // the session that base and sent are about
	base     uint64  // the panel has confirmed this revision
	sent     uint64  // and was sent up to this one
	progress time.Time
	answers  time.Time // last time that results came in or were asked for
	needed   time.Time
	alarm    string
}

// session is one connection of a panel.
type session struct {
	boot access.ID
	conn uint64
}

// engine brings the panels up to their logs. It belongs to one goroutine.
type engine struct {
	store   *Store
	log     *slog.Logger
	now     func() time.Time
	resend  time.Duration
	publish func(topic string, payload []byte) bool // false when nothing more may be sent now
	recall  func(system string)                     // asks the broker again for what it keeps of a panel

	panels     map[string]*replica
	strangers  map[string]bool
	generation int64
	bad        uint64 // messages that could not be read
}

func newEngine(s *Store, log *slog.Logger, resend time.Duration, publish func(string, []byte) bool, recall func(string)) *engine {
	return &engine{
		store: s, log: log, now: s.now, resend: resend, publish: publish, recall: recall,
		panels: map[string]*replica{}, strangers: map[string]bool{}, generation: -1,
	}
}

// message is what came from the broker.
type message struct {
	system   string
	topic    wire.Topic
	payload  []byte
	retained bool
	ack      func()
}

// errMessage is a message that can't be what it should be.
var errMessage = errors.New("bad message")

// refresh learns of new panels and new revisions, when there are any.
func (e *engine) refresh(ctx context.Context) error {
	g, err := e.store.generation(ctx)
	if err != nil {
		return fmt.Errorf("read generation: %w", err)
	}
	if g == e.generation {
		return nil
	}
	heads, err := e.store.heads(ctx)
	if err != nil {
		return fmt.Errorf("read panels: %w", err)
	}
	for _, h := range heads {
		p := e.panels[h.system]
		if p == nil {
			p = &replica{system: h.system, past: map[access.ID]bool{}}
			e.panels[h.system] = p
			delete(e.strangers, h.system)
			e.recall(h.system) // what it said while it was a stranger was not heard
		}
		other := p.epoch != h.epoch
		p.epoch, p.head = h.epoch, h.revision
		if other {
			if err := e.compare(ctx, p); err != nil {
				return err
			}
		}
	}
	e.generation = g
	return e.pumpAll(ctx)
}

// handle takes one message in. An error is a fault of ours, after which the
// link begins anew; what a panel got wrong is logged and dropped.
func (e *engine) handle(ctx context.Context, m message) error {
	p := e.panels[m.system]
	if p == nil {
		if err := e.refresh(ctx); err != nil {
			return err
		}
		if p = e.panels[m.system]; p == nil {
			e.stranger(m.system)
			return nil
		}
	}
	if len(m.payload) == 0 && m.topic.Retained() {
		return nil // somebody cleared the retained message
	}
	err := e.dispatch(ctx, p, m)
	if errors.Is(err, errMessage) {
		e.bad++
		e.log.Warn("message dropped", "system", m.system, "topic", string(m.topic), "error", err, "dropped", e.bad)
		return nil
	}
	return err
}

func (e *engine) dispatch(ctx context.Context, p *replica, m message) error {
	switch m.topic {
	case wire.TopicState:
		return with(m.payload, func(v wire.State) error { return e.onState(ctx, p, v, m.retained) })
	case wire.TopicPanel:
		return with(m.payload, func(v wire.Panel) error { return e.onPanel(ctx, p, v) })
	case wire.TopicReported:
		return with(m.payload, func(v wire.Reported) error { return e.onReported(ctx, p, v) })
	case wire.TopicNeed:
		return with(m.payload, func(v wire.Need) error { return e.onNeed(ctx, p, v) })
	case wire.TopicStatus:
		return with(m.payload, func(v wire.Statuses) error { return e.onStatuses(ctx, p, v) })
	case wire.TopicEvents:
		return with(m.payload, func(v wire.Events) error { return e.onEvents(ctx, p, v) })
	}
	return nil
}

func with[T any](payload []byte, fn func(T) error) error {
	v, err := wire.Decode[T](payload)
	if err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return fn(v)
}

// fits checks numbers that a panel may make as large as it likes against what
// the database holds.
func fits(numbers ...uint64) error {
	for _, n := range numbers {
		if n >= math.MaxInt64 {
			return fmt.Errorf("%w: a number is too large", errMessage)
		}
	}
	return nil
}

// maxStrangers bounds how many unknown panels are remembered as logged.
const maxStrangers = 1000

func (e *engine) stranger(system string) {
	if e.strangers[system] || len(e.strangers) >= maxStrangers {
		return
	}
	e.strangers[system] = true
	e.log.Warn("unknown panel ignored; postern-central panels add makes it known", "system", system)
}

// missed is for when messages of a panel were dropped unread: rows it sends
// again by itself, what it has the broker keep is asked for.
func (e *engine) missed(system string, n int) {
	if e.panels[system] == nil {
		return
	}
	e.log.Warn("messages of a panel were dropped", "system", system, "count", n)
	e.recall(system)
}

// forget is for when the broker is lost: who is online is learnt anew.
func (e *engine) forget(ctx context.Context) error {
	for _, p := range e.panels {
		p.online, p.ready, p.report, p.of = false, false, nil, session{}
	}
	return e.store.allOffline(ctx)
}

func (e *engine) onState(ctx context.Context, p *replica, st wire.State, retained bool) error {
	if err := fits(st.ConnSeq); err != nil {
		return err
	}
	s := session{st.BootID, st.ConnSeq}
	switch {
	case !st.Online:
		// A will, or a clean goodbye. One of an earlier connection comes late.
		if !p.online || s != p.live {
			return nil
		}
		p.online, p.ready = false, false
		e.log.Info("panel offline", "system", p.system)
		return e.store.saveState(ctx, p.system, st)
	case s.boot == p.live.boot && s.conn < p.live.conn, retained && p.past[s.boot]:
		return nil // a broker hands out what it kept
	}
	if !retained && s.boot != p.live.boot && !p.live.boot.IsZero() {
		// Boots are random: one that has been followed by another never returns.
		if len(p.past) > 64 {
			clear(p.past)
		}
		p.past[p.live.boot] = true
		delete(p.past, s.boot)
	}
	if !p.online || s != p.live {
		e.log.Info("panel online", "system", p.system, "version", clean(st.Version), "clock", clean(st.Clock))
	}
	came := !p.online || s != p.live
	p.online, p.live = true, s
	if err := e.store.saveState(ctx, p.system, st); err != nil {
		return err
	}
	if came {
		if err := e.standsAt(ctx, p); err != nil {
			return err
		}
	}
	return e.compare(ctx, p)
}

// standsAt tells a panel that has come online which rows were taken last. It
// may have sent later ones to a broker that had nobody to hand them to, and
// sends those again soon, not after its long wait.
func (e *engine) standsAt(ctx context.Context, p *replica) error {
	ack, err := e.store.cursors(ctx, p.system)
	if err != nil {
		return fmt.Errorf("read cursors: %w", err)
	}
	if ack.Status != nil || ack.Events != nil {
		e.publish(wire.TopicAck.Of(p.system), wire.Encode(ack))
	}
	return nil
}

func (e *engine) onPanel(ctx context.Context, p *replica, v wire.Panel) error {
	if err := fits(v.PolicyRevision); err != nil {
		return err
	}
	foreign, err := e.store.announce(ctx, p.system, v)
	if err != nil {
		return err
	}
	for _, id := range foreign {
		e.log.Warn("panel announces an access level that another panel owns; postern-central levels share gives it to both",
			"system", p.system, "level", id.String())
	}
	return e.refresh(ctx)
}

func (e *engine) onReported(ctx context.Context, p *replica, r wire.Reported) error {
	if err := fits(r.ConnSeq, r.Epoch, r.Revision, r.Count); err != nil {
		return err
	}
	if p.report != nil && r.BootID == p.report.BootID && r.ConnSeq < p.report.ConnSeq {
		return nil
	}
	p.report = &r
	return e.compare(ctx, p)
}

// compare holds where a panel says that it stands against its log.
func (e *engine) compare(ctx context.Context, p *replica) error {
	p.ready = false
	r := p.report
	if !p.online || r == nil || (session{r.BootID, r.ConnSeq}) != p.live {
		return nil
	}
	alarm, err := e.judge(ctx, p, *r)
	if err != nil {
		return err
	}
	if alarm, err = e.store.saveReported(ctx, p.system, *r, alarm); err != nil {
		return fmt.Errorf("store reported position: %w", err)
	}
	if alarm != p.alarm && alarm != "" {
		e.log.Error("panel is out of step and is sent nothing", "system", p.system, "alarm", alarm,
			"reported_epoch", r.Epoch, "reported_revision", r.Revision, "log_epoch", p.epoch, "log_revision", p.head)
	}
	if p.alarm = alarm; alarm != "" {
		return nil
	}
	e.position(p, *r)
	return e.pump(ctx, p)
}

// The alarms of a panel that is out of step.
const (
	alarmNewEpoch = "the panel is in a higher epoch than its log: was central restored from a backup?"
	alarmAhead    = "the panel is ahead of its log: was central restored from a backup?"
	alarmOldEpoch = "the panel is in a lower epoch than its log and needs a snapshot"
	alarmDigest   = "the panel's keys are not those of its log, and it needs a snapshot"
)

func (e *engine) judge(ctx context.Context, p *replica, r wire.Reported) (alarm string, err error) {
	switch {
	case r.Epoch == 0:
		return "", nil // a new panel, or one that put a damaged store aside
	case r.Epoch > p.epoch:
		return alarmNewEpoch, nil
	case r.Epoch < p.epoch:
		return alarmOldEpoch, nil
	}
	digest, count, ok, err := e.store.logAt(ctx, p.system, r.Epoch, r.Revision)
	switch {
	case err != nil:
		return "", fmt.Errorf("read digest: %w", err)
	case !ok:
		return alarmAhead, nil
	case digest != r.Digest || count != r.Count:
		return alarmDigest, nil
	}
	return "", nil
}

// position takes over where the panel stands; a new session begins from there.
func (e *engine) position(p *replica, r wire.Reported) {
	now, base := e.now(), r.Revision
	switch {
	case p.of != p.live || base < p.base:
		p.of, p.sent, p.answers = p.live, base, now
		p.progress = now
	case base > p.base:
		p.progress = now
	}
	p.base, p.sent, p.ready = base, max(p.sent, base), true
}

func (e *engine) onStatuses(ctx context.Context, p *replica, m wire.Statuses) error {
	if err := fits(m.Seq, m.After, m.Oldest, m.Epoch); err != nil {
		return err
	}
	for _, r := range m.Results {
		if err := fits(r.Revision); err != nil {
			return err
		}
	}
	ack, err := e.store.takeStatuses(ctx, p.system, m)
	if err != nil {
		return fmt.Errorf("take results: %w", err)
	}
	if ack != nil {
		p.answers = e.now()
		e.publish(wire.TopicAck.Of(p.system), wire.Encode(wire.Ack{Status: ack}))
	}
	return nil
}

func (e *engine) onEvents(ctx context.Context, p *replica, m wire.Events) error {
	last := m.Entries[len(m.Entries)-1].Seq
	if err := fits(last, m.After, m.Oldest); err != nil {
		return err
	}
	ack, err := e.store.takeEvents(ctx, p.system, m)
	if err != nil {
		return fmt.Errorf("take events: %w", err)
	}
	if ack != nil {
		e.publish(wire.TopicAck.Of(p.system), wire.Encode(wire.Ack{Events: ack}))
	}
	return nil
}
