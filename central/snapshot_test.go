package central

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"postern/access"
	"postern/wire"
)

// fill puts n keys into a panel's log, each with some levels, and gives their ids.
func (r *rig) fill(system string, n, levels int) []access.ID {
	r.t.Helper()
	var ids []access.ID
	err := r.store.update(r.t.Context(), func(x *tx) error {
		head, err := x.head(r.t.Context(), system)
		if err != nil {
			return err
		}
		for i := range n {
			k := access.Key{
				ID: newBoot(), Type: access.Code, Identification: mustCode(fmt.Sprintf("%06d", i)), State: access.Enabled,
				Levels: []access.ID{level(1)},
			}
			for j := range levels {
				k.Levels = append(k.Levels, level(100+j))
			}
			ids = append(ids, k.ID)
			if err := x.put(r.t.Context(), head, told{}, k, "1234"); err != nil {
				return err
			}
		}
		return x.changed(r.t.Context())
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *rig) info(system string) PanelInfo {
	r.t.Helper()
	panels, err := r.store.Panels(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range panels {
		if p.SystemID == system {
			return p
		}
	}
	r.t.Fatalf("no panel %s", system)
	return PanelInfo{}
}

func (r *rig) count(query string, args ...any) (n int) {
	r.t.Helper()
	if err := r.store.read.QueryRowContext(r.t.Context(), query, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) removeKey(id access.ID) {
	r.t.Helper()
	r.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
}

// inStep wants panel and log to agree.
func (p *fakePanel) inStep() {
	p.r.t.Helper()
	h := p.r.head(p.system)
	if p.epoch != h.epoch || p.revision != h.revision || p.digest != h.digest || uint64(len(p.keys)) != h.count {
		p.r.t.Errorf("panel stands at %d/%d with %d keys, its log at %d/%d with %d", p.epoch, p.revision, len(p.keys), h.epoch, h.revision, h.count)
	}
}

// damage takes a key off the panel behind its back.
func (p *fakePanel) damage() {
	for id, u := range p.keys {
		p.digest = p.digest.Sub(id, u.Revision)
		delete(p.keys, id)
		return
	}
	p.digest[3]++
}

// TestSnapshotRepairs: a panel whose keys are not those of the log gets them all,
// in chunks that it asks for, and its answer counts for keys and removals.
func TestSnapshotRepairs(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		a, b, c := r.addCard(1, level(1)), r.addCard(2, level(1)), r.addCard(3, level(1))
		r.fill("p1", 500, 250)
		r.tick()
		p := newFakePanel(r, "p1")
		p.connect()
		p.settle()
		p.inStep()
		p.damage()
		p.fails, p.partSize = map[access.ID]string{b: "CodeNotEnabled"}, 1
		p.connect()
		s := r.offered("p1")
		if s == nil || s.Of < 70 || s.Count != 503 {
			t.Fatalf("got snapshot %+v, want one of many chunks", s)
		}
		if got := r.info("p1"); got.Snapshot != "offered" || got.Alarm != "" {
			t.Errorf("got %+v, want a snapshot offered and no alarm", got)
		}
		p.staged = &staging{Snapshot: s.Access(), chunks: map[int][]byte{}}
		p.fetch()
		if got := r.info("p1"); got.Snapshot != "under way" {
			t.Errorf("got %+v, want the snapshot under way", got)
		}
		// A removal meanwhile does not wait, and is replayed into what is fetched.
		r.removeKey(c)
		r.tick()
		p.settle()
		p.inStep()
		if p.installed != 1 || p.keys[c].Revision != 0 || p.keys[a].Key.Identification.IsZero() {
			t.Errorf("installed %d times, has the removed key: %v", p.installed, p.keys[c])
		}
		for id, want := range map[access.ID]string{a: statusApplied, b: statusFailed, c: statusApplied} {
			if got := r.status(id); got.Status != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
		if n := r.count("SELECT COUNT(*) FROM panel_log WHERE NOT answered"); n != 0 {
			t.Errorf("%d revisions are not answered", n)
		}
		if n := r.count("SELECT COUNT(*) FROM snapshot_chunks"); n != 0 || r.info("p1").Snapshot != "" {
			t.Errorf("%d chunks are still there", n)
		}
		// Once it has the snapshot it is told so.
		r.clock.pass(changesSettle)
		r.tick()
		if m := r.manifests("p1"); len(m) != 1 || m[0].Snapshot != nil {
			t.Errorf("got manifests %+v, want one without a snapshot", m)
		}
		// A result judged again counts after it as before.
		p.fails = nil
		p.statusSeq++
		p.status = append(p.status, statusRow{seq: p.statusSeq, epoch: p.epoch, boot: p.boot, results: []wire.Result{p.result(p.keys[b])}})
		p.settle()
		if got := r.status(b); got.Status != statusApplied {
			t.Errorf("judged again: got %+v, want applied", got)
		}
	})
}

// TestSnapshotLowerEpoch: a panel in a lower epoch gets a snapshot, and no delta
// before it has that.
func TestSnapshotLowerEpoch(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.epoch, p.revision = r.head("p1").epoch-1, 77
	p.connect()
	r.addCard(2, level(1))
	r.tick()
	if got := r.revisions("p1"); len(got) != 0 {
		t.Errorf("sent revisions %v to a panel of another epoch", got)
	}
	p.settle()
	p.inStep()
	if p.installed != 1 || r.status(id).Status != statusApplied {
		t.Errorf("installed %d times, key is %+v", p.installed, r.status(id))
	}
}

// TestSnapshotOfNothing: an empty log has one too, with a revision that results
// can name.
func TestSnapshotOfNothing(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	p := newFakePanel(r, "p1")
	p.epoch, p.revision = r.head("p1").epoch-1, 5
	p.keys[newBoot()] = access.Update{Revision: 5}
	p.connect()
	p.settle()
	p.inStep()
	if len(p.keys) != 0 || p.revision != 1 || len(p.status) != 0 || r.info("p1").Alarm != "" {
		t.Errorf("got %+v", p.card)
	}
}

// TestSnapshotSurvivesRestart: central is killed while a panel fetches.
func TestSnapshotSurvivesRestart(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		r.fill("p1", 60, 250)
		p := newFakePanel(r, "p1")
		p.epoch = 1
		p.connect()
		m := r.out
		r.out = nil
		for _, m := range m {
			p.down(m)
		}
		chunks := r.out
		r.out = nil
		if len(chunks) < 5 {
			t.Fatalf("got %d chunks, want several", len(chunks))
		}
		for _, m := range chunks[:3] {
			p.down(m)
		}
		id := p.staged.ID
		r.restart()
		p.connect()
		if s := r.offered("p1"); s == nil || s.ID != id {
			t.Fatalf("after the restart got %+v, want snapshot %s", s, id)
		}
		p.fetch()
		if got := len(r.out); got >= len(chunks) {
			t.Errorf("%d chunks were sent again, want only those that lack", got)
		}
		p.settle()
		p.inStep()
	})
}

func TestSnapshotIdle(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.fill("p1", 3, 0)
	p := newFakePanel(r, "p1")
	p.epoch = 1
	p.connect()
	first := r.offered("p1").ID
	// It stays while chunks are asked for now and then, however long it takes.
	for range 5 {
		r.clock.pass(frozenIdle - second)
		r.give("p1", wire.TopicNeed, wire.Need{Epoch: 1, Want: wire.WantSnapshot, SnapshotID: first, Chunks: []int{0}})
		r.tick()
	}
	if n := r.count("SELECT COUNT(*) FROM snapshot_chunks"); n != 1 {
		t.Fatalf("%d chunks, want 1", n)
	}
	r.out = nil
	r.restart() // what was asked for is known after it
	r.clock.pass(frozenIdle - 2*noteEvery)
	r.tick()
	if n := r.count("SELECT COUNT(*) FROM snapshots WHERE state = 'ready'"); n != 1 {
		t.Fatalf("%d snapshots, want 1", n)
	}
	r.clock.pass(2 * noteEvery)
	r.tick()
	if n := r.count("SELECT COUNT(*) FROM snapshot_chunks"); n != 0 {
		t.Errorf("%d chunks an hour later, want none", n)
	}
	// The panel that comes back gets another.
	p.connect()
	if s := r.offered("p1"); s == nil || s.ID == first {
		t.Errorf("got %+v, want another snapshot", s)
	}
	p.connect()
	p.settle()
	p.inStep()
}

// TestSnapshotAgain: a panel that is wrong straight after a snapshot raises an
// alarm and is tried hourly.
func TestSnapshotAgain(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.fill("p1", 3, 0)
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	p.damage()
	p.rotten = true
	p.connect()
	p.settle() // it takes the first, and answers it
	for range 3 {
		p.connect()
		p.settle()
	}
	if got := r.info("p1"); got.Alarm != alarmAgain || p.installed > 2 {
		t.Fatalf("got alarm %q after %d snapshots, want %q after 2 at most", got.Alarm, p.installed, alarmAgain)
	}
	taken := p.installed
	r.restart()
	r.clock.pass(againAfter / 2)
	p.connect()
	r.tick()
	p.settle()
	if p.installed != taken || r.info("p1").Alarm != alarmAgain || r.info("p1").Snapshot != "" {
		t.Errorf("within the hour: %d snapshots, alarm %q", p.installed-taken, r.info("p1").Alarm)
	}
	// Nobody's removal waits for that.
	id := r.addCard(9, level(1))
	r.tick()
	p.settle()
	if p.keys[id].Revision == 0 {
		t.Error("a change was held back")
	}
	r.clock.pass(againAfter)
	r.tick()
	p.settle()
	if p.installed != taken+1 || r.info("p1").Alarm != alarmAgain {
		t.Errorf("after the hour: %d snapshots, alarm %q", p.installed-taken, r.info("p1").Alarm)
	}
	r.clock.pass(againAfter)
	r.tick()
	p.rotten = false
	p.connect()
	p.settle()
	p.inStep()
	if got := r.info("p1"); got.Alarm != "" {
		t.Errorf("in step: got alarm %q", got.Alarm)
	}
	// Much later it is damaged once more: that is no second time.
	p.damage()
	p.connect()
	if r.offered("p1") == nil || r.info("p1").Alarm != "" {
		t.Errorf("damaged again: got %+v", r.info("p1"))
	}
}

// TestDeltasBesideSnapshot: while a snapshot is made nothing goes to its panel,
// and its manifest goes first; then changes go on.
func TestDeltasBesideSnapshot(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	r.slow = true
	p.damage()
	p.connect()
	r.removeKey(id)
	r.clock.pass(changesSettle)
	r.tick()
	if got := r.revisions("p1"); len(got) != 0 {
		t.Errorf("sent revisions %v while the snapshot is made", got)
	}
	r.out = nil
	r.slow = false
	r.full = true
	r.beside()
	r.full = false
	r.addCard(2, level(1))
	r.tick()
	var topics []wire.Topic
	for _, m := range r.out {
		if _, topic, _ := wire.SplitTopic(m.topic); topic == wire.TopicDesired || topic == wire.TopicChange {
			topics = append(topics, topic)
		}
	}
	if len(topics) < 2 || topics[0] != wire.TopicDesired || topics[1] != wire.TopicChange {
		t.Errorf("got %v, want the manifest, then changes", topics)
	}
	p.settle()
	p.inStep()
	if p.installed != 1 {
		t.Errorf("installed %d snapshots, want 1", p.installed)
	}
}

// TestStaleSnapshot: one that its panel has come past is made anew, unless the
// panel has begun to fetch it.
func TestStaleSnapshot(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	p.damage()
	p.connect()
	first := r.offered("p1").ID
	grow := func(n int) {
		r.addCard(n, level(1))
		r.tick()
		for _, b := range r.take("p1", wire.TopicChange) {
			p.apply(b)
		}
		p.report()
	}
	grow(2)
	second := r.offered("p1")
	if second == nil || second.ID == first || second.Revision != 2 {
		t.Fatalf("got %+v, want a new snapshot of revision 2", second)
	}
	r.give("p1", wire.TopicNeed, wire.Need{Epoch: p.epoch, HaveRevision: 2, Want: wire.WantSnapshot, SnapshotID: second.ID, Chunks: []int{0}})
	grow(3)
	if s := r.offered("p1"); s != nil {
		t.Errorf("got %+v although the panel has begun to fetch one", s)
	}
	// It has lost what it had begun, and says so.
	r.clock.pass(second5)
	r.give("p1", wire.TopicNeed, wire.Need{Epoch: p.epoch, HaveRevision: 3, Want: wire.WantSnapshot})
	if s := r.offered("p1"); s == nil || s.ID == second.ID || s.Revision != 3 {
		t.Errorf("got %+v, want a new snapshot of revision 3", s)
	}
	if n := r.count("SELECT COUNT(*) FROM snapshots WHERE state = 'ready'"); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
	// It does not say so, but asks for nothing any more.
	third := r.e.panels["p1"].want.snap.ID
	r.give("p1", wire.TopicNeed, wire.Need{Epoch: p.epoch, HaveRevision: 3, Want: wire.WantSnapshot, SnapshotID: third, Chunks: []int{0}})
	grow(4)
	r.clock.pass(forgotten - time.Second)
	r.tick()
	if s := r.offered("p1"); s == nil || s.ID != third {
		t.Errorf("got %+v before it was time", s)
	}
	p.connect() // it was away, and has time to go on
	r.clock.pass(time.Second)
	r.tick()
	if s := r.offered("p1"); s == nil || s.ID != third {
		t.Errorf("got %+v although the panel has just come", s)
	}
	r.clock.pass(forgotten)
	r.tick()
	if s := r.offered("p1"); s == nil || s.ID == third || s.Revision != 4 {
		t.Errorf("got %+v, want a new snapshot of revision 4", s)
	}
}

// TestOtherEpochSends: what was sent in one epoch says nothing about the next.
func TestOtherEpochSends(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	a := r.addCard(1, level(1))
	r.tick()
	p.settle()
	for n := range 4 { // sent, and lost
		r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"000%d"}`, a, n))
	}
	r.tick()
	r.out = nil
	if err := r.store.ResyncPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	r.tick()
	r.addCard(2, level(1))
	p.settle()
	r.tick()
	p.settle()
	p.inStep()
}

const second5 = 5 * time.Second

// TestLongLog: a panel without keys gets a short log as it is, of a long one a
// snapshot.
func TestLongLog(t *testing.T) {
	for name, c := range map[string]struct {
		keys      int
		installed int
	}{"short": {10, 0}, "long": {11, 1}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(newKit(t))
			r.panel("p1", 6, level(1))
			r.e.limits.longLog = 10
			r.fill("p1", c.keys, 0)
			r.tick()
			p := newFakePanel(r, "p1")
			p.connect()
			p.settle()
			p.inStep()
			if p.installed != c.installed {
				t.Errorf("installed %d snapshots, want %d", p.installed, c.installed)
			}
		})
	}
}

// TestPrune: what every panel has and has answered is forgotten, but for the
// latest puts; a card restored from before that needs a snapshot.
func TestPrune(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.limits = &limits{longLog: 1000, keepLog: 4, pruneStep: 2, frozen: 1 << 30}
		r.start()
		r.panel("p1", 6, level(1))
		p := newFakePanel(r, "p1")
		p.connect()
		id := r.addCard(1, level(1)) // revision 1
		other := r.addCard(2, level(1))
		r.tick()
		p.settle()
		early := p.card.clone()
		change := func(n int) {
			for i := range n {
				r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"%04d"}`, id, i))
				r.tick()
				p.settle()
				r.tick()
			}
		}
		change(4)
		if n := r.count("SELECT COUNT(*) FROM panel_log"); n != 5 {
			// keepLog 4: revisions 2 to 6, as 2 is the latest put of a key anyway.
			t.Errorf("%d revisions are kept, want 5", n)
		}
		change(20)
		h := r.head("p1")
		if h.pruned < h.revision-7 || h.pruned > h.revision-4 {
			t.Errorf("pruned up to %d of %d", h.pruned, h.revision)
		}
		if n := r.count("SELECT COUNT(*) FROM panel_log WHERE key_id = $1", other.String()); n != 1 {
			t.Error("the latest put of a key is gone")
		}
		r.removeKey(other) // below what was pruned: it goes at once
		if n := r.count("SELECT COUNT(*) FROM panel_log WHERE key_id = $1 AND op = 'put'", other.String()); n != 0 {
			t.Error("a superseded put below what was pruned is still there")
		}
		r.tick()
		p.settle()
		if n := r.count("SELECT COUNT(*) FROM results WHERE revision < $1", int64(h.pruned)); n > 1 {
			t.Errorf("%d results of pruned revisions", n)
		}
		late := p.card.clone()
		change(2)
		p.card = late // a short way back: deltas
		p.reboot()
		p.connect()
		p.settle()
		p.inStep()
		if p.installed != 0 {
			t.Error("a snapshot for a short way back")
		}
		early.statusSeq, early.statusOldest = p.statusSeq, p.statusOldest
		p.card = early
		p.reboot()
		p.connect()
		p.settle()
		p.inStep()
		if p.installed != 1 {
			t.Errorf("%d snapshots for a card from before what was pruned, want 1", p.installed)
		}
		// What is not answered stays.
		change(1)
		open := r.head("p1").revision
		if _, err := r.store.write.ExecContext(t.Context(), "UPDATE panel_log SET answered = FALSE WHERE revision = $1", int64(open)); err != nil {
			t.Fatal(err)
		}
		r.e.panels["p1"].answers = r.clock.now().Add(time.Hour) // not asked for
		change(12)
		if got := r.head("p1").pruned; got > open {
			t.Errorf("pruned up to %d past %d, which is not answered", got, open)
		}
	})
}

// TestRestoredCard: a card from a while ago in the same epoch gets what follows,
// and no snapshot.
func TestRestoredCard(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	r.addCard(1, level(1))
	r.tick()
	p.settle()
	old := p.card.clone()
	r.addCard(2, level(1))
	r.tick()
	p.settle()
	p.card = old
	p.reboot()
	r.out = nil
	p.connect()
	if s := r.offered("p1"); s != nil {
		t.Errorf("offers %+v to a card that deltas bring up to date", s)
	}
	if got := r.revisions("p1"); !slices.Equal(got, []uint64{2}) {
		t.Errorf("got revisions %v, want 2", got)
	}
}

// TestDeviceKey: a panel on another board gets its keys again, although it may
// say that it has them.
func TestDeviceKey(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	p.pinKeyLost = true
	p.connect()
	if got := r.info("p1"); !got.PINKeyLost || len(got.Warnings) != 1 {
		t.Errorf("got %+v, want a warning", got)
	}
	p.settle()
	p.inStep()
	if p.pinKeyLost || p.installed != 1 || r.info("p1").PINKeyLost {
		t.Errorf("installed %d snapshots, still lost: %v", p.installed, p.pinKeyLost)
	}
}

// TestSnapshotParts: the results of a snapshot count when all are there, and
// only for a snapshot of the present log that was made here.
func TestSnapshotParts(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		a, b := r.addCard(1, level(1)), r.addCard(2, level(1))
		p := newFakePanel(r, "p1")
		p.epoch = 1
		p.connect()
		s := r.offered("p1")
		boot, seq := newBoot(), uint64(0)
		give := func(change func(*wire.Statuses)) {
			t.Helper()
			seq++
			m := wire.Statuses{
				BootID: boot, Seq: seq, After: seq - 1, Oldest: 1, Epoch: s.Epoch, SnapshotID: s.ID, Revision: s.Revision, Part: 1, Of: 2,
				Results: []wire.Result{},
			}
			change(&m)
			r.give("p1", wire.TopicStatus, m)
			if status, _ := r.acks("p1"); len(status) != 1 || status[0].Seq != seq {
				t.Errorf("row %d: confirmed %v", seq, status)
			}
		}
		pending := func(what string) {
			t.Helper()
			if got := r.status(a).Status; got != statusPending {
				t.Errorf("%s: got %s, want pending", what, got)
			}
		}
		give(func(m *wire.Statuses) { m.Of = 1; m.SnapshotID = newBoot() })
		pending("another snapshot")
		give(func(m *wire.Statuses) { m.Of = 1; m.Epoch-- })
		pending("another epoch")
		give(func(m *wire.Statuses) { m.Of = 1; m.Revision++ })
		pending("another revision")
		give(func(m *wire.Statuses) { m.Of = 4 })
		pending("more parts than keys")
		give(func(m *wire.Statuses) { m.Part = 2; m.Results = []wire.Result{failedOf(1, a)} })
		pending("the last part alone")
		give(func(*wire.Statuses) {}) // it begins: the part before was of another time
		pending("the first part alone")
		give(func(m *wire.Statuses) {
			m.Part = 2
			m.Results = []wire.Result{failedOf(2, b), failedOf(2, a), failedOf(9, a)}
		})
		if got := r.status(a).Status; got != statusApplied {
			t.Errorf("all parts: got %s, want applied", got)
		}
		if got := r.status(b); got.Status != statusFailed || got.Failed[0].ErrorType != "InvalidKey" {
			t.Errorf("all parts: got %+v, want failed", got)
		}
		if n := r.count("SELECT COUNT(*) FROM snapshot_parts"); n != 0 {
			t.Errorf("%d parts are still there", n)
		}
	})
}

func failedOf(revision uint64, id access.ID) wire.Result {
	return wire.Result{Revision: revision, ID: id, Result: wire.ResultFailed, ErrorType: "InvalidKey"}
}

// TestManifest: it goes out on each state, and some time after changes.
func TestManifest(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	r.give("p1", wire.TopicState, wire.State{Online: true, BootID: p.boot, ConnSeq: 1})
	if got := r.manifests("p1"); got != nil {
		t.Errorf("got %+v before the panel said where it stands", got)
	}
	p.connect()
	h := r.head("p1")
	if got := r.manifests("p1"); len(got) != 1 || got[0] != (wire.Desired{Epoch: h.epoch, Revision: 1, Digest: h.digest, Count: 1}) {
		t.Errorf("on state: got %+v", got)
	}
	r.give("p1", wire.TopicState, p.state(true))
	if got := r.manifests("p1"); len(got) != 1 {
		t.Errorf("on the same state again: got %d, want 1", len(got))
	}
	r.addCard(2, level(1))
	r.tick()
	r.clock.pass(changesSettle - second)
	r.addCard(3, level(1))
	r.tick()
	if got := r.manifests("p1"); got != nil {
		t.Errorf("while changes come: got %+v", got)
	}
	r.clock.pass(second)
	r.tick()
	if got := r.manifests("p1"); len(got) != 1 || got[0].Revision != 3 {
		t.Errorf("after changes: got %+v, want one of revision 3", got)
	}
	r.clock.pass(time.Hour)
	r.tick()
	if got := r.manifests("p1"); got != nil {
		t.Errorf("without a change: got %+v", got)
	}
	// A panel in alarm is told nothing.
	m := p.reported()
	m.Epoch = h.epoch + 1
	r.give("p1", wire.TopicReported, m)
	r.give("p1", wire.TopicState, p.state(true))
	if got := r.manifests("p1"); got != nil {
		t.Errorf("in alarm: got %+v", got)
	}
}

// TestFreezing: one snapshot is made at a time, while there is room, and one
// that can't be made is tried again.
func TestFreezing(t *testing.T) {
	r := newRig(newKit(t))
	r.slow = true
	panels := map[string]*fakePanel{}
	for _, name := range []string{"p1", "p2", "p3"} {
		r.panel(name, 6, level(1))
		if err := r.store.update(t.Context(), func(x *tx) error { return x.shareLevel(t.Context(), level(1), name) }); err != nil {
			t.Fatal(err)
		}
	}
	r.addCard(1, level(1))
	for _, name := range []string{"p1", "p2", "p3"} {
		panels[name] = newFakePanel(r, name)
		panels[name].epoch = 1
		panels[name].connect()
	}
	if len(r.work) != 1 {
		t.Fatalf("%d snapshots are made at once, want 1", len(r.work))
	}
	ready := func() int { return r.count("SELECT COUNT(*) FROM snapshots WHERE state = 'ready'") }
	r.e.limits.frozen = 1
	r.slow = false
	r.beside()
	r.clock.pass(time.Minute)
	r.tick()
	if n := ready(); n != 1 {
		t.Errorf("%d snapshots are ready, want 1 as there is room for no more", n)
	}
	r.e.limits.frozen = 1 << 30
	r.tick()
	if n := ready(); n != 3 {
		t.Errorf("%d snapshots are ready, want 3", n)
	}
	for _, p := range panels {
		p.settle()
		p.inStep()
	}
	// A log that does not fit its head makes no snapshot.
	if _, err := r.store.write.ExecContext(t.Context(), "DELETE FROM panel_log WHERE system_id = 'p1'"); err != nil {
		t.Fatal(err)
	}
	panels["p1"].epoch = 1
	panels["p1"].connect()
	panels["p2"].epoch = 1
	panels["p2"].connect()
	if n := ready(); n != 1 || r.info("p2").Snapshot == "" {
		t.Errorf("%d snapshots are ready, want that of p2 alone", n)
	}
	if n := r.count("SELECT COUNT(*) FROM snapshots WHERE state = 'making'"); n != 0 {
		t.Errorf("%d snapshots were begun and not dropped", n)
	}
	// A chunk that is gone, or was touched, makes it be made again.
	for _, query := range []string{"DELETE FROM snapshot_chunks", "UPDATE snapshot_chunks SET data = data || data"} {
		panels["p2"].connect()
		was := r.offered("p2").ID
		if _, err := r.store.write.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		r.give("p2", wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: was, Chunks: []int{0}})
		if s := r.offered("p2"); s == nil || s.ID == was {
			t.Errorf("%s: got %+v, want another snapshot", query, s)
		}
	}
	panels["p2"].connect()
	s := r.offered("p2")
	r.take("p2", wire.ChunkTopic(s.ID, 0))
	r.give("p2", wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: s.ID, Chunks: []int{1}})
	if len(r.out) != 0 && r.take("p2", wire.ChunkTopic(s.ID, 1)) != nil {
		t.Error("a chunk that is not there was sent")
	}
}

// TestFrozenUnheard: a snapshot that is ready as the link is lost is found when
// there is another, and no second one is made; fetching goes on over links.
func TestFrozenUnheard(t *testing.T) {
	r := newRig(newKit(t))
	r.slow = true
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.epoch = 1
	p.connect()
	if len(r.work) != 1 {
		t.Fatalf("%d snapshots are made, want 1", len(r.work))
	}
	r.work[0](t.Context()) // what it gives is never done: the session has ended
	r.work, r.slow, r.out = nil, false, nil
	ready := func() (n int) { return r.count("SELECT COUNT(*) FROM snapshots WHERE state = 'ready'") }
	if n := ready(); n != 1 {
		t.Fatalf("%d snapshots are ready, want 1", n)
	}
	var id access.ID
	for range 2 {
		if err := r.e.forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.connect()
		s := r.offered("p1")
		if s == nil || ready() != 1 || !id.IsZero() && s.ID != id {
			t.Fatalf("offered %+v of %d that are ready, want the one that was made", s, ready())
		}
		id = s.ID
	}
	p.connect()
	p.settle()
	p.inStep()
	if n := ready(); n != 0 {
		t.Errorf("%d snapshots are ready after all", n)
	}
}

// TestChunksWait: chunks go out as far as there is room, in order, and what was asked
// for before is not forgotten for what is asked for now.
func TestChunksWait(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.fill("p1", 60, 250)
	p := newFakePanel(r, "p1")
	p.epoch = 1
	p.connect()
	s := r.offered("p1")
	room := 0
	r.e.out.room = func(bulk bool) bool {
		if bulk {
			room--
		}
		return !bulk || room >= 0
	}
	got := func() (chunks []int) {
		for _, m := range r.out {
			_, topic, _ := wire.SplitTopic(m.topic)
			if _, n, ok := topic.Chunk(); ok {
				chunks = append(chunks, n)
			}
		}
		r.out = nil
		return chunks
	}
	r.give("p1", wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: s.ID, Chunks: []int{0, 2, 3}})
	if got := got(); got != nil {
		t.Errorf("got chunks %v without room", got)
	}
	one := func(want ...int) {
		t.Helper()
		room = 1
		if err := r.e.pumpAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := got(); !slices.Equal(got, want) {
			t.Errorf("got chunks %v, want %v", got, want)
		}
	}
	one(0)
	r.give("p1", wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: s.ID, Chunks: []int{1, 3, 4}})
	for n := range 4 {
		one(n + 1)
	}
	one()
}

// TestResync: after an operator says so, central's state is the panel's, in an
// epoch above both.
func TestResync(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		p := newFakePanel(r, "p1")
		p.connect()
		a, b, gone := r.addCard(1, level(1)), r.addCard(2, level(1)), r.addCard(3, level(1))
		r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"1111"}`, a))
		r.tick()
		p.settle()
		claims := map[access.ID]uint64{a: p.keys[a].Claim, b: p.keys[b].Claim}
		if _, err := r.store.ApplyPolicy(t.Context(), "p1", []byte(`{"access_levels":[]}`)); err != nil {
			t.Fatal(err)
		}
		// The panel has seen more than central, which was restored.
		p.epoch += 7
		p.policy = wire.Version{Epoch: p.epoch + 1, Revision: 4}
		p.connect()
		if got := r.info("p1"); got.Alarm != alarmNewEpoch || len(got.Warnings) != 1 {
			t.Fatalf("got %+v, want an alarm and a word about the policy", got)
		}
		r.removeKey(gone)
		if err := r.store.ResyncPanel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		h := r.head("p1")
		if h.epoch != p.policy.Epoch+1 || h.revision != 2 || h.count != 2 || r.info("p1").Alarm != "" {
			t.Errorf("got head %+v and alarm %q, want an epoch above all with 2 revisions", h, r.info("p1").Alarm)
		}
		if got := r.status(a).Status; got != statusPending {
			t.Errorf("got %s, want pending", got)
		}
		r.tick()
		if got := r.revisions("p1"); len(got) != 0 {
			t.Errorf("sent revisions %v of another epoch", got)
		}
		p.settle()
		p.inStep()
		if p.installed != 1 || p.keys[gone].Revision != 0 || p.keys[a].PIN != "1111" {
			t.Errorf("installed %d snapshots; keys are %+v", p.installed, p.keys)
		}
		for id, claim := range claims {
			if p.keys[id].Claim != claim {
				t.Errorf("claim %d became %d", claim, p.keys[id].Claim)
			}
		}
		for _, id := range []access.ID{a, b, gone} {
			if got := r.status(id).Status; got != statusApplied {
				t.Errorf("got %s, want applied", got)
			}
		}
		policies := r.take("p1", wire.TopicPolicy)
		if got := r.info("p1"); !got.Policy.Above(p.policy) || got.Policy.Epoch != h.epoch || len(policies) == 0 && false {
			t.Errorf("the policy has version %+v, want one above %+v", got.Policy, p.policy)
		}
		// Claims go on growing.
		c := r.addCard(4, level(1))
		r.tick()
		p.settle()
		if p.keys[c].Claim <= max(claims[a], claims[b]) {
			t.Errorf("a later key has claim %d, those before %v", p.keys[c].Claim, claims)
		}
		if err := r.store.ResyncPanel(t.Context(), "nobody"); err == nil {
			t.Error("resync of an unknown panel: no error")
		}
	})
}

// TestResyncRemovals: a panel that begins anew in the new epoch is told nothing
// of what was removed before, and confirms it by being in step.
func TestResyncRemovals(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1), level(2))
	r.panel("p2", 6, level(3))
	p := newFakePanel(r, "p1")
	p.connect()
	gone, left := r.addCard(1, level(1)), r.addCard(2, level(1))
	r.addCard(3, level(1))
	r.tick()
	p.settle()
	r.removeKey(gone)
	r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"access_levels":[%q]}`, left, level(3)))
	if err := r.store.ResyncPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	p.card = card{keys: map[access.ID]access.Update{}, statusSeq: p.statusSeq, statusOldest: p.statusOldest, eventOldest: 1}
	p.reboot()
	p.connect()
	if got := r.status(gone).Status; got != statusPending {
		t.Errorf("got %s before the panel is in step, want pending", got)
	}
	r.tick()
	p.settle()
	p.inStep()
	if p.installed != 0 {
		t.Error("a short log came as a snapshot")
	}
	if got := r.status(gone); got.Status != statusApplied || len(got.Applied) != 1 {
		t.Errorf("got %+v, want the removal applied", got)
	}
	if got := r.status(left); len(got.Pending) != 1 || got.Pending[0].SystemID != "p2" {
		t.Errorf("got %+v, want it on p2 alone", got)
	}
}

// TestResyncOfNothing: the last key was removed, and the panel begins anew.
func TestResyncOfNothing(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	r.removeKey(id)
	if err := r.store.ResyncPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	r.tick()
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	p.inStep()
	if got := r.status(id); got.Status != statusApplied {
		t.Errorf("got %+v, want the removal applied", got)
	}
}

// TestResyncWhileReporting: what the panel says between an operator's resync and
// the link's noticing raises no alarm in the new epoch.
func TestResyncWhileReporting(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.epoch = r.head("p1").epoch + 1
	p.connect()
	if err := r.store.ResyncPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	p.report()
	r.tick()
	p.settle()
	p.inStep()
	if got := r.info("p1").Alarm; got != "" {
		t.Errorf("got alarm %q", got)
	}
}

// TestMigrateFilled brings a database of the version before up to date.
func TestMigrateFilled(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		id := r.addCard(1, level(1))
		p := newFakePanel(r, "p1")
		p.connect()
		p.settle()
		r.down(t, 2)
		if _, err := k.store.write.ExecContext(t.Context(), "UPDATE panels SET alarm = 'the panel is in a lower epoch than its log and needs a snapshot', alarm_at = 5"); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), k.opts)
		if err != nil {
			t.Fatal(err)
		}
		_ = k.store.Close() // the kit closes the other
		k.store, k.api = s, NewAPI(s, APIOptions{RateLimit: 1_000_000})
		if got := r.info("p1"); got.Alarm != "" || !got.AlarmSince.IsZero() {
			t.Errorf("got %+v, want the alarm gone", got)
		}
		r.restart()
		p.damage()
		p.connect()
		p.settle()
		p.inStep()
		if got := r.status(id).Status; got != statusApplied || p.installed != 1 {
			t.Errorf("got %s after %d snapshots", got, p.installed)
		}
	})
}
