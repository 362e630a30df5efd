package central

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/access"
	"postern/wire"
)

// sent is what the engine published.
type sent struct {
	topic   string
	payload []byte
}

// rig is an engine over a kit, without a broker.
type rig struct {
	*kit
	e      *engine
	out    []sent
	full   bool // the broker takes nothing more
	work   []func(context.Context) func(context.Context) error
	slow   bool    // what is done beside the engine is not done yet
	limits *limits // of the engine; nil are its own
}

func newRig(k *kit) *rig {
	r := &rig{kit: k}
	r.start()
	return r
}

func (r *rig) start() {
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	limits := r.limits
	r.work = nil
	r.e = newEngine(r.store, log, DefaultResend, outlet{
		room: func(bool) bool { return !r.full },
		publish: func(system string, topic wire.Topic, payload []byte) {
			r.out = append(r.out, sent{topic.Of(system), slices.Clone(payload)})
		},
		recall: func(string) {},
		spawn: func(work func(context.Context) func(context.Context) error) {
			r.work = append(r.work, work)
		},
	})
	if limits != nil {
		r.e.limits = *limits
	}
	if err := r.e.refresh(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// beside does what the engine has done beside it.
func (r *rig) beside() {
	r.t.Helper()
	for len(r.work) > 0 && !r.slow {
		work := r.work[0]
		r.work = r.work[1:]
		if err := work(context.Background())(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// restart is central killed and started again: the engine knows nothing.
func (r *rig) restart() {
	r.t.Helper()
	r.out = nil
	r.start()
	if err := r.e.forget(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.beside()
}

// give hands the engine a message of a panel.
func (r *rig) give(system string, topic wire.Topic, v any) {
	r.t.Helper()
	r.giveRaw(system, topic, wire.Encode(v), false)
}

func (r *rig) giveRaw(system string, topic wire.Topic, payload []byte, retained bool) {
	r.t.Helper()
	if err := r.e.handle(context.Background(), message{system: system, topic: topic, payload: payload, retained: retained}); err != nil {
		r.t.Fatal(err)
	}
	r.beside()
}

func (r *rig) tick() {
	r.t.Helper()
	if err := r.e.tick(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.beside()
}

// take gives what was published to a panel's topic since the last time.
func (r *rig) take(system string, topic wire.Topic) [][]byte {
	var out [][]byte
	r.out = slices.DeleteFunc(r.out, func(m sent) bool {
		if m.topic == topic.Of(system) {
			out = append(out, m.payload)
			return true
		}
		return false
	})
	return out
}

// revisions are those sent to a panel since the last time.
func (r *rig) revisions(system string) []uint64 {
	r.t.Helper()
	out := []uint64{}
	for _, payload := range r.take(system, wire.TopicChange) {
		b, err := wire.DecodeChanges(payload)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, u := range b.Updates {
			out = append(out, u.Revision)
		}
	}
	return out
}

// manifests are those sent to a panel since the last time.
func (r *rig) manifests(system string) []wire.Desired {
	r.t.Helper()
	var out []wire.Desired
	for _, payload := range r.take(system, wire.TopicDesired) {
		d, err := wire.Decode[wire.Desired](payload)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// offered is the snapshot in the manifest that was sent last, nil for none.
func (r *rig) offered(system string) *wire.Snapshot {
	r.t.Helper()
	all := r.manifests(system)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1].Snapshot
}

// acks are the rows confirmed since the last time.
func (r *rig) acks(system string) (status, events []wire.Through) {
	r.t.Helper()
	for _, payload := range r.take(system, wire.TopicAck) {
		a, err := wire.Decode[wire.Ack](payload)
		if err != nil {
			r.t.Fatal(err)
		}
		if a.Status != nil {
			status = append(status, *a.Status)
		}
		if a.Events != nil {
			events = append(events, *a.Events)
		}
	}
	return status, events
}

func newBoot() access.ID { return access.MustParseID(uuid.NewString()) }

// statusRow and eventRow are rows of a panel's outboxes.
type statusRow struct {
	seq, epoch uint64
	boot       access.ID
	results    []wire.Result
	snapshot   access.ID // zeros unless it is a snapshot's
	revision   uint64
	part, of   uint64
}

type eventRow struct {
	boot  access.ID
	entry wire.Entry
}

// card is what a panel has on its card, and gets back when that is restored.
type card struct {
	epoch, revision uint64
	keys            map[access.ID]access.Update // the latest put of each key
	digest          access.Digest
	status          []statusRow
	events          []eventRow
	statusSeq       uint64
	eventSeq        uint64
	statusOldest    uint64
	eventOldest     uint64
	staged          *staging
	pinKeyLost      bool
}

// staging is a snapshot that is being fetched.
type staging struct {
	access.Snapshot
	chunks map[int][]byte
	later  []access.Update // taken meanwhile
}

func (s *staging) clone() *staging {
	if s == nil {
		return nil
	}
	c := *s
	c.chunks, c.later = maps.Clone(s.chunks), slices.Clone(s.later)
	return &c
}

func (c card) clone() card {
	c.keys, c.status, c.events, c.staged = maps.Clone(c.keys), slices.Clone(c.status), slices.Clone(c.events), c.staged.clone()
	return c
}

// fakePanel keeps the panel's rules with as little as can be.
type fakePanel struct {
	r      *rig
	system string
	boot   access.ID
	conn   uint64
	card
	fails     map[access.ID]string // keys that fail here, and why
	partSize  int                  // results in a part of a snapshot's
	rotten    bool                 // what it stores turns bad
	quiet     bool                 // it doesn't say at once where it stands
	installed int                  // snapshots
	policy    wire.Version
	modes     wire.Version
	unsigned  bool
	trust     wire.Trust
	wrote     access.ID // under which boot the row that was confirmed last was written, since the start
}

func newFakePanel(r *rig, system string) *fakePanel {
	p := &fakePanel{r: r, system: system, card: card{keys: map[access.ID]access.Update{}, statusOldest: 1, eventOldest: 1}}
	p.reboot()
	return p
}

func (p *fakePanel) reboot() { p.boot, p.conn, p.wrote = newBoot(), 0, access.ID{} }

func (p *fakePanel) state(online bool) wire.State {
	return wire.State{Online: online, BootID: p.boot, ConnSeq: p.conn, Version: "test", Clock: "trusted", TS: p.r.clock.now()}
}

func (p *fakePanel) reported() wire.Reported {
	return wire.Reported{
		BootID: p.boot, ConnSeq: p.conn, Epoch: p.epoch, Revision: p.revision, Digest: p.digest, Count: uint64(len(p.keys)),
		PINKeyLost: p.pinKeyLost, Policy: p.policy, Modes: p.modes, Unsigned: p.unsigned, Statuses: p.statusOldest,
		StatusBoot: p.wrote,
	}
}

// connect is a new connection: the panel says that it is there and where it stands.
func (p *fakePanel) connect() {
	p.conn++
	p.r.give(p.system, wire.TopicState, p.state(true))
	p.r.give(p.system, wire.TopicReported, p.reported())
}

func (p *fakePanel) report() {
	if !p.quiet {
		p.r.give(p.system, wire.TopicReported, p.reported())
	}
}

// apply takes a batch as a panel does: in order, each revision once. It says
// whether anything was to be answered.
func (p *fakePanel) apply(payload []byte) bool {
	b, err := wire.DecodeChanges(payload)
	if err != nil {
		p.r.t.Fatal(err)
	}
	if p.epoch == 0 {
		if b.Updates[0].Revision != 1 {
			return false
		}
		p.epoch = b.Epoch
	}
	if b.Epoch != p.epoch {
		return false
	}
	row := statusRow{epoch: p.epoch, boot: p.boot}
	for _, u := range b.Updates {
		if u.Revision > p.revision+1 {
			break
		}
		if u.Revision == p.revision+1 {
			p.consume(u)
			if s := p.staged; s != nil && s.Epoch == p.epoch && u.Revision > s.Revision {
				s.later = append(s.later, u)
			}
		}
		row.results = append(row.results, p.result(u))
	}
	if len(row.results) == 0 {
		return false
	}
	p.statusSeq++
	row.seq = p.statusSeq
	p.status = append(p.status, row)
	return true
}

// result is what it says of a revision: the latest put has a result of its own.
func (p *fakePanel) result(u access.Update) wire.Result {
	w := wire.Result{Revision: u.Revision, ID: u.ID, Result: wire.ResultApplied, At: p.r.clock.now()}
	if why := p.fails[u.ID]; why != "" && p.keys[u.ID].Revision == u.Revision {
		w.Result, w.ErrorType = wire.ResultFailed, why
	}
	return w
}

// desired takes a manifest, and begins to fetch the snapshot if it lacks it.
func (p *fakePanel) desired(payload []byte) {
	d, err := wire.Decode[wire.Desired](payload)
	if err != nil {
		p.r.t.Fatal(err)
	}
	if d.Snapshot == nil {
		return
	}
	s := d.Snapshot.Access()
	other := s.Revision > p.revision || s.Digest != p.digest
	switch {
	case p.staged != nil && p.staged.ID == s.ID:
	case s.Epoch > p.epoch, s.Epoch == p.epoch && s.Revision >= p.revision && (other || p.pinKeyLost):
		p.staged = &staging{Snapshot: s, chunks: map[int][]byte{}}
	default:
		return
	}
	p.fetch()
}

// fetch asks for what lacks of a snapshot, or takes it when nothing does.
func (p *fakePanel) fetch() {
	if p.staged == nil {
		return
	}
	need := wire.Need{Epoch: p.epoch, HaveRevision: p.revision, Want: wire.WantSnapshot, SnapshotID: p.staged.ID}
	for n := range p.staged.Chunks {
		if p.staged.chunks[n] == nil && len(need.Chunks) < wire.MaxNeedChunks {
			need.Chunks = append(need.Chunks, n)
		}
	}
	if len(need.Chunks) > 0 {
		p.r.give(p.system, wire.TopicNeed, need)
		return
	}
	p.install()
}

func (p *fakePanel) chunk(id access.ID, n int, data []byte) {
	s := p.staged
	if s == nil || s.ID != id || s.chunks[n] != nil {
		return
	}
	s.chunks[n] = slices.Clone(data)
	if len(s.chunks)%wire.MaxNeedChunks == 0 || len(s.chunks) == s.Chunks {
		p.fetch()
	}
}

func (p *fakePanel) install() {
	s := p.staged
	var data []byte
	for n := range s.Chunks {
		if n < s.Chunks-1 && len(s.chunks[n]) != access.ChunkSize {
			p.r.t.Fatalf("chunk %d has %d bytes", n, len(s.chunks[n]))
		}
		data = append(data, s.chunks[n]...)
	}
	if sha256.Sum256(data) != s.SHA256 || int64(len(data)) != s.Bytes {
		p.r.t.Fatal("the snapshot is not what its manifest says")
	}
	p.staged = nil
	p.keys, p.digest, p.epoch, p.revision, p.pinKeyLost = map[access.ID]access.Update{}, access.Digest{}, s.Epoch, s.Revision, false
	row := statusRow{epoch: s.Epoch, boot: p.boot, snapshot: s.ID, revision: s.Revision}
	var failed []wire.Result
	last := access.ID{}
	for line := range bytes.Lines(data) {
		u, err := wire.DecodeSnapshotKey(bytes.TrimSuffix(line, []byte{'\n'}))
		if err != nil || u.Fault != "" || bytes.Compare(u.ID[:], last[:]) <= 0 {
			p.r.t.Fatalf("bad line: %v %s", err, u.Fault)
		}
		last = u.ID
		p.keys[u.ID], p.digest = u, p.digest.Add(u.ID, u.Revision)
		if w := p.result(u); w.Result == wire.ResultFailed {
			failed = append(failed, w)
		}
	}
	if p.digest != s.Digest || uint64(len(p.keys)) != s.Count {
		p.r.t.Fatal("the snapshot's digest is not that of its keys")
	}
	for parts := slices.Collect(slices.Chunk(failed, max(1, p.partSize))); ; {
		row.of, row.part = max(1, uint64(len(parts))), row.part+1
		p.statusSeq++
		row.seq, row.results = p.statusSeq, []wire.Result{}
		if len(parts) > 0 {
			row.results = parts[row.part-1]
		}
		p.status = append(p.status, row)
		if row.part == row.of {
			break
		}
	}
	for _, u := range s.later {
		if u.Revision == p.revision+1 {
			p.consume(u)
		}
	}
	if p.installed++; p.rotten {
		p.digest[0]++
	}
	p.report()
}

func (p *fakePanel) consume(u access.Update) {
	if was, ok := p.keys[u.ID]; ok {
		p.digest = p.digest.Sub(u.ID, was.Revision)
		delete(p.keys, u.ID)
	}
	if u.Op == access.Put {
		p.digest = p.digest.Add(u.ID, u.Revision)
		p.keys[u.ID] = u
	}
	p.revision = u.Revision
}

// statuses are the rows that are not confirmed, as messages.
func (p *fakePanel) statuses() []wire.Statuses {
	var out []wire.Statuses
	for _, row := range p.status {
		out = append(out, wire.Statuses{
			BootID: row.boot, Seq: row.seq, After: row.seq - 1, Oldest: p.statusOldest, Epoch: row.epoch, Results: row.results,
			SnapshotID: row.snapshot, Revision: row.revision, Part: row.part, Of: row.of,
		})
	}
	return out
}

// happen writes an event into the journal.
func (p *fakePanel) happen(e wire.Entry) {
	p.eventSeq++
	e.Seq = p.eventSeq
	if e.Clock == "" {
		e.Clock = "trusted"
	}
	if e.At.IsZero() {
		e.At = p.r.clock.now()
	}
	p.events = append(p.events, eventRow{p.boot, e})
}

// runs are the entries that are not confirmed, as messages of one boot each and
// at most n entries.
func (p *fakePanel) runs(n int) []wire.Events {
	var out []wire.Events
	for _, row := range p.events {
		if k := len(out) - 1; k >= 0 && out[k].BootID == row.boot && len(out[k].Entries) < n {
			out[k].Entries = append(out[k].Entries, row.entry)
			continue
		}
		out = append(out, wire.Events{BootID: row.boot, After: row.entry.Seq - 1, Oldest: p.eventOldest, Entries: []wire.Entry{row.entry}})
	}
	return out
}

// confirmed trims what an ack covers, unless the row is another boot's.
func (p *fakePanel) confirmed(payload []byte) {
	a, err := wire.Decode[wire.Ack](payload)
	if err != nil {
		p.r.t.Fatal(err)
	}
	if a.Status != nil {
		for i, row := range p.status {
			if row.seq == a.Status.Seq && row.boot == a.Status.BootID {
				p.status, p.statusOldest, p.wrote = slices.Clone(p.status[i+1:]), row.seq+1, row.boot
				break
			}
		}
	}
	if a.Events != nil {
		for i, row := range p.events {
			if row.entry.Seq == a.Events.Seq && row.boot == a.Events.BootID {
				p.events, p.eventOldest = slices.Clone(p.events[i+1:]), row.entry.Seq+1
				break
			}
		}
	}
}

// down lets one message that central sent arrive; it says whether anything was new.
func (p *fakePanel) down(m sent) bool {
	system, topic, ok := wire.SplitTopic(m.topic)
	if !ok || system != p.system {
		return false
	}
	payload := m.payload
	if topic.Signed() {
		var err error
		if payload, err = p.trust.Open(system, topic, payload); err != nil {
			p.r.t.Fatal(err)
		}
	}
	id, n, isChunk := topic.Chunk()
	switch {
	case isChunk:
		p.chunk(id, n, payload)
	case topic == wire.TopicChange:
		if !p.apply(payload) {
			return false
		}
		p.report()
	case topic == wire.TopicDesired:
		p.desired(payload)
		return false
	case topic == wire.TopicAck:
		p.confirmed(payload)
	}
	return true
}

// settle lets everything arrive until nothing moves any more.
func (p *fakePanel) settle() {
	for range 100 {
		moved := false
		out := p.r.out
		p.r.out = nil
		for _, m := range out {
			switch system, _, _ := wire.SplitTopic(m.topic); {
			case system != p.system:
				p.r.out = append(p.r.out, m)
			case p.down(m):
				moved = true
			}
		}
		for _, m := range p.statuses() {
			p.r.give(p.system, wire.TopicStatus, m)
		}
		for _, m := range p.runs(3) {
			p.r.give(p.system, wire.TopicEvents, m)
		}
		for _, payload := range p.r.take(p.system, wire.TopicAck) {
			p.confirmed(payload)
			moved = true
		}
		if err := p.r.e.pumpAll(context.Background()); err != nil { // what was sent has landed
			p.r.t.Fatal(err)
		}
		if !moved && !slices.ContainsFunc(p.r.out, func(m sent) bool {
			system, _, _ := wire.SplitTopic(m.topic)
			return system == p.system
		}) {
			return
		}
	}
	panic(fmt.Sprintf("panel %s does not settle: it and its log go on for ever", p.system)) // which a property test makes smaller
}

var granted = wire.Entry{Type: access.GrantedCard, Door: "front", Point: "in", Credential: "0000000000001", KeyType: "proximity"}

const second = time.Second
