package central

import (
	"context"
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
	e    *engine
	out  []sent
	full bool // the broker takes nothing more
}

func newRig(k *kit) *rig {
	r := &rig{kit: k}
	r.start()
	return r
}

func (r *rig) start() {
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	r.e = newEngine(r.store, log, DefaultResend, func(topic string, payload []byte) bool {
		if r.full {
			return false
		}
		r.out = append(r.out, sent{topic, slices.Clone(payload)})
		return true
	}, func(string) {})
	if err := r.e.refresh(context.Background()); err != nil {
		r.t.Fatal(err)
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
}

func (r *rig) tick() {
	r.t.Helper()
	if err := r.e.tick(context.Background()); err != nil {
		r.t.Fatal(err)
	}
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
}

func (c card) clone() card {
	c.keys, c.status, c.events = maps.Clone(c.keys), slices.Clone(c.status), slices.Clone(c.events)
	return c
}

// fakePanel keeps the panel's rules with as little as can be.
type fakePanel struct {
	r      *rig
	system string
	boot   access.ID
	conn   uint64
	card
}

func newFakePanel(r *rig, system string) *fakePanel {
	p := &fakePanel{r: r, system: system, card: card{keys: map[access.ID]access.Update{}, statusOldest: 1, eventOldest: 1}}
	p.reboot()
	return p
}

func (p *fakePanel) reboot() { p.boot, p.conn = newBoot(), 0 }

func (p *fakePanel) state(online bool) wire.State {
	return wire.State{Online: online, BootID: p.boot, ConnSeq: p.conn, Version: "test", Clock: "trusted", TS: p.r.clock.now()}
}

func (p *fakePanel) reported() wire.Reported {
	return wire.Reported{
		BootID: p.boot, ConnSeq: p.conn, Epoch: p.epoch, Revision: p.revision, Digest: p.digest, Count: uint64(len(p.keys)),
	}
}

// connect is a new connection: the panel says that it is there and where it stands.
func (p *fakePanel) connect() {
	p.conn++
	p.r.give(p.system, wire.TopicState, p.state(true))
	p.report()
}

func (p *fakePanel) report() { p.r.give(p.system, wire.TopicReported, p.reported()) }

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
		}
		row.results = append(row.results, wire.Result{Revision: u.Revision, ID: u.ID, Result: wire.ResultApplied, At: p.r.clock.now()})
	}
	if len(row.results) == 0 {
		return false
	}
	p.statusSeq++
	row.seq = p.statusSeq
	p.status = append(p.status, row)
	return true
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
				p.status, p.statusOldest = slices.Clone(p.status[i+1:]), row.seq+1
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

// settle lets everything arrive until nothing moves any more.
func (p *fakePanel) settle() {
	for range 100 {
		moved := false
		for _, payload := range p.r.take(p.system, wire.TopicChange) {
			if p.apply(payload) {
				moved = true
			}
		}
		if moved {
			p.report()
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
		if !moved {
			return
		}
	}
	p.r.t.Fatal(fmt.Errorf("panel %s does not settle", p.system))
}

var granted = wire.Entry{Type: access.GrantedCard, Door: "front", Point: "in", Credential: "0000000000001", KeyType: "proximity"}

const second = time.Second
