package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
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
	digest access.Digest
	count  uint64
	pruned uint64 // revisions of the log below it may be missing

	online bool
	came   time.Time          // when it was heard of in the live session first
	live   session            // newest that was online
	past   map[access.ID]bool // boots that a later one took the place of
	report *wire.Reported     // newest, counts only when it is of the live session

	ready    bool    // online, in step with the log: may be sent to
	of       session // the session that base and sent are about,
	in       uint64  // and the epoch
	base     uint64  // the panel has confirmed this revision
	sent     uint64  // and was sent up to this one
	progress time.Time
	answers  time.Time // last time that results came in or were asked for
	needed   time.Time
	alarm    string
	pending  wire.Ack // to be sent

	inStep    bool      // the newest report of the live session is what the log says
	confirmed uint64    // epoch in which removals before the log were confirmed
	want      offer     // the snapshot that it gets
	tookAt    time.Time // when it took one, zero once it was in step after that
	manifest  manifest
	documents [documentKinds]document
	commands  map[access.ID]*command // under way, by the id of the message
}

// livesOn reports whether the panel is there and has said where it stands.
func (p *replica) livesOn() bool {
	return p.online && p.report != nil && session{p.report.BootID, p.report.ConnSeq} == p.live
}

// session is one connection of a panel.
type session struct {
	boot access.ID
	conn uint64
}

// engine brings the panels up to their logs. It belongs to one goroutine.
type engine struct {
	store  *Store
	log    *slog.Logger
	now    func() time.Time
	resend time.Duration
	out    outlet
	limits limits

	panels     map[string]*replica
	strangers  map[string]bool
	generation int64
	bad        uint64 // messages that could not be read
	freezing   bool   // a snapshot is being made
}

// outlet is what the engine needs of the link.
type outlet struct {
	// room reports whether one more message may be sent now; bulk is one of many
	// that can wait.
	room    func(bulk bool) bool
	publish func(system string, t wire.Topic, payload []byte)
	// recall asks the broker again for what it keeps of a panel.
	recall func(system string)
	// spawn runs work beside the engine, and what it gives in the engine's goroutine.
	spawn func(work func(context.Context) func(context.Context) error)
}

// limits are what tests make smaller.
type limits struct {
	longLog   uint64 // a panel without an epoch gets no log that is longer
	keepLog   uint64 // so many revisions below what a panel has are kept
	pruneStep uint64 // and so many at least are forgotten at once
	frozen    int64  // bytes of all snapshots
}

func defaultLimits() limits {
	return limits{longLog: 5_000, keepLog: 5_000, pruneStep: 1_000, frozen: 4 << 30}
}

func newEngine(s *Store, log *slog.Logger, resend time.Duration, out outlet) *engine {
	return &engine{
		store: s, log: log, now: s.now, resend: resend, out: out, limits: defaultLimits(),
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
	var fresh, others []*replica
	for _, h := range heads {
		p := e.panels[h.system]
		if p == nil {
			p = &replica{system: h.system, past: map[access.ID]bool{}, alarm: h.alarm, tookAt: h.tookAt, commands: map[access.ID]*command{}}
			e.panels[h.system] = p
			delete(e.strangers, h.system)
			e.out.recall(h.system) // what it said while it was a stranger was not heard
			fresh = append(fresh, p)
		}
		if p.epoch != h.epoch {
			p.tookAt, p.alarm = h.tookAt, h.alarm // as an operator left them
			others = append(others, p)
		}
		if p.epoch != h.epoch || p.head != h.revision {
			p.manifest.changed(e.now())
		}
		p.epoch, p.head, p.digest, p.count, p.pruned = h.epoch, h.revision, h.digest, h.count, h.pruned
		for kind, v := range h.newest {
			p.documents[kind].want(v)
		}
	}
	e.generation = g
	if err := e.recover(ctx, fresh); err != nil {
		return err
	}
	for _, p := range others {
		if err := e.compare(ctx, p); err != nil {
			return err
		}
	}
	if err := e.takeOrders(ctx); err != nil {
		return err
	}
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
	case wire.TopicPolicyStatus:
		return with(m.payload, func(v wire.PolicyStatus) error { return e.onPolicyStatus(ctx, p, v) })
	case wire.TopicResult:
		return with(m.payload, func(v wire.CommandResult) error { return e.onCommandResult(ctx, p, v) })
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
	e.out.recall(system)
}

// forget is for when the broker is lost: who is online is learnt anew.
func (e *engine) forget(ctx context.Context) error {
	for _, p := range e.panels {
		p.online, p.ready, p.inStep, p.report, p.of = false, false, false, nil, session{}
		p.want = offer{after: p.want.after, why: p.want.why}
		clear(p.commands)
	}
	e.freezing = false
	// One may have become ready just as the link was lost, and nobody was told.
	ready := e.recover(ctx, slices.Collect(maps.Values(e.panels)))
	return errors.Join(ready, e.store.allOffline(ctx), e.store.dropUnfinished(ctx), e.store.dropCommands(ctx))
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
		p.online, p.ready, p.inStep = false, false, false
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
		p.came = e.now()
	}
	// Each state is answered: a panel that hears nothing takes central for away.
	if err := e.standsAt(ctx, p); err != nil {
		return err
	}
	// The broker may have lost what it kept for the panel.
	p.manifest.now(e.now())
	for kind := range p.documents {
		p.documents[kind].again()
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
	p.pending = ack
	e.flushAck(p)
	return nil
}

// flushAck sends the confirmations that are due. Each covers those before it.
func (e *engine) flushAck(p *replica) {
	if (p.pending == wire.Ack{}) || !e.out.room(false) {
		return
	}
	e.out.publish(p.system, wire.TopicAck, wire.Encode(p.pending))
	p.pending = wire.Ack{}
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
	if err := fits(r.ConnSeq, r.Epoch, r.Revision, r.Count, r.Policy.Epoch, r.Policy.Revision, r.Modes.Epoch, r.Modes.Revision); err != nil {
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
	p.ready, p.inStep = false, false
	if !p.livesOn() {
		return nil
	}
	r := *p.report
	v, err := e.judge(ctx, p, r)
	if err != nil {
		return err
	}
	wait := e.again(p, v)
	if wait || v.lacks != "" && p.alarm == alarmAgain {
		v.alarm = alarmAgain
	}
	alarm, err := e.store.saveReported(ctx, p.system, p.epoch, r, v.alarm)
	if errors.Is(err, errOtherEpoch) {
		e.generation = -1 // what was judged is of the log before
		return e.refresh(ctx)
	}
	if err != nil {
		return fmt.Errorf("store reported position: %w", err)
	}
	if alarm != p.alarm && alarm != "" {
		e.log.Error("panel is out of step", "system", p.system, "alarm", alarm,
			"reported_epoch", r.Epoch, "reported_revision", r.Revision, "log_epoch", p.epoch, "log_revision", p.head)
	}
	p.alarm = alarm
	switch {
	case alarm == alarmAhead || alarm == alarmNewEpoch:
		return e.pump(ctx, p) // no keys
	case wait && p.want.snap != nil: // or the panel would fetch it over and over
		err = e.dropOffer(ctx, p)
		p.manifest.now(e.now())
	case v.lacks != "" && !wait:
		err = e.offer(ctx, p, v.lacks)
	case v.lacks == "" && r.Epoch == p.epoch:
		err = e.stepped(ctx, p, r)
	}
	if err != nil {
		return err
	}
	// Without an epoch it may begin with the first revision; in its own epoch it
	// gets what follows even while a snapshot is under way: nobody's removal waits
	// for that.
	if r.Revision >= p.pruned && (r.Epoch == p.epoch || r.Epoch == 0 && v.lacks == "") {
		e.position(p, r)
	}
	return e.pump(ctx, p)
}

// The alarms of a panel that can't be brought into step.
const (
	alarmNewEpoch = "the panel is in a higher epoch than its log: was central restored from a backup? (postern-central panels resync)"
	alarmAhead    = "the panel is ahead of its log: was central restored from a backup? (postern-central panels resync)"
	alarmAgain    = "the panel's keys were wrong again straight after a snapshot: is its storage failing? (tried hourly)"
)

// Why a panel gets a snapshot.
const (
	lacksPINKey = "its device key was changed"
	lacksLog    = "it has no keys, and the log is long"
	lacksEpoch  = "it is in a lower epoch"
	lacksPruned = "the log no longer begins where it stands"
	lacksDigest = "its keys are not those of the log"
)

// judgement is what a report comes to: an alarm, a snapshot that the panel
// lacks, or nothing.
type judgement struct{ alarm, lacks string }

func (e *engine) judge(ctx context.Context, p *replica, r wire.Reported) (judgement, error) {
	switch {
	case r.Epoch > p.epoch:
		return judgement{alarm: alarmNewEpoch}, nil
	case r.Epoch == p.epoch && r.Revision > p.head:
		return judgement{alarm: alarmAhead}, nil
	case r.PINKeyLost:
		return judgement{lacks: lacksPINKey}, nil
	case r.Epoch == 0 && (p.head > e.limits.longLog || p.pruned > 0):
		return judgement{lacks: lacksLog}, nil
	case r.Epoch == 0:
		return judgement{}, nil // a new panel, or one that put a damaged store aside
	case r.Epoch < p.epoch:
		return judgement{lacks: lacksEpoch}, nil
	case r.Revision < p.pruned:
		return judgement{lacks: lacksPruned}, nil
	}
	digest, count, ok, err := e.store.logAt(ctx, p.system, r.Epoch, r.Revision)
	if err != nil {
		return judgement{}, fmt.Errorf("read digest: %w", err)
	}
	if !ok || digest != r.Digest || count != r.Count {
		return judgement{lacks: lacksDigest}, nil
	}
	return judgement{}, nil
}

// position takes over where the panel stands; a new session begins from there.
func (e *engine) position(p *replica, r wire.Reported) {
	now, base := e.now(), r.Revision
	switch {
	case p.of != p.live || p.in != p.epoch || base < p.base:
		p.of, p.in, p.sent, p.answers = p.live, p.epoch, base, now
		p.progress = now
	case base > p.base:
		p.progress = now
	}
	p.base, p.sent, p.ready = base, max(p.sent, base), true
}

func (e *engine) onStatuses(ctx context.Context, p *replica, m wire.Statuses) error {
	if err := fits(m.Seq, m.After, m.Oldest, m.Epoch, m.Revision, m.Part, m.Of); err != nil {
		return err
	}
	for _, r := range m.Results {
		if err := fits(r.Revision); err != nil {
			return err
		}
	}
	ack, took, err := e.store.takeStatuses(ctx, p.system, m)
	if err != nil {
		return fmt.Errorf("take results: %w", err)
	}
	if took {
		if err := e.tookSnapshot(ctx, p, m); err != nil {
			return err
		}
	}
	if ack != nil {
		p.answers = e.now()
		p.pending.Status = ack
		e.flushAck(p)
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
		p.pending.Events = ack
		e.flushAck(p)
	}
	return nil
}
