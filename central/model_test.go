package central

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"postern/access"
	"postern/wire"
)

// TestHistories plays random histories of one panel: lost, doubled and late
// messages, crashes of both ends, power cuts and restored cards. However it
// went, once messages arrive again the panel holds what the latest changes say,
// every result is in, and every event that was on the card at the end is stored
// exactly once.
func TestHistories(t *testing.T) {
	k, n := newKit(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		name := fmt.Sprintf("p%d", n)
		k.secret = k.key(name)
		h := &history{rt: rt, rig: &rig{kit: k}, want: map[int]access.ID{}, name: name, level: level(n)}
		h.limits = &limits{longLog: 8, keepLog: 3, pruneStep: 2, frozen: 1 << 30}
		h.start()
		h.panel(name, 6, h.level)
		h.p = newFakePanel(h.rig, name)
		h.p.fails, h.p.partSize = map[access.ID]string{}, 1
		h.p.quiet, h.saved = true, h.p.clone()
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
		}
		h.finish()
	})
}

type history struct {
	rt *rapid.T
	*rig
	p       *fakePanel
	saved   card // an image of the card
	name    string
	level   access.ID
	want    map[int]access.ID
	removed []access.ID
	late    []sent // messages of the panel that are still on their way
}

func (h *history) step() {
	switch rapid.SampledFrom([]string{
		"add", "add", "remove", "update", "event", "event", "deliver", "deliver", "deliver", "drop", "up", "up", "up", "dropUp",
		"late", "connect", "reboot", "save", "restore", "central", "time", "hour", "damage", "aside", "board", "resync", "blank", "fail",
	}).Draw(h.rt, "step") {
	case "add", "update":
		n := rapid.IntRange(1, 6).Draw(h.rt, "card")
		h.want[n] = h.addCard(n, h.level)
	case "remove":
		n := rapid.IntRange(1, 6).Draw(h.rt, "card")
		if id, ok := h.want[n]; ok {
			h.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
			delete(h.want, n)
			h.removed = append(h.removed, id)
		}
	case "event":
		h.p.happen(granted)
	case "deliver": // what central sent arrives, perhaps only a part, perhaps twice
		for _, m := range h.out {
			switch rapid.IntRange(0, 3).Draw(h.rt, "fate") {
			case 0:
			case 1:
				h.p.down(m)
				h.p.down(m)
			default:
				h.p.down(m)
			}
		}
		h.out = nil
	case "drop":
		h.out = nil
	case "up": // what the panel has to say goes up, or waits on the way
		for _, m := range h.up() {
			if rapid.Bool().Draw(h.rt, "waits") {
				h.late = append(h.late, m)
			} else {
				h.raw(m)
			}
		}
	case "dropUp":
		h.late = nil
	case "late":
		for _, m := range h.late {
			h.raw(m)
		}
		h.late = nil
	case "connect":
		h.p.connect()
	case "reboot":
		h.p.reboot()
		h.p.connect()
	case "save":
		h.p.quiet, h.saved = true, h.p.clone()
	case "restore":
		h.p.card = h.saved.clone()
		h.p.reboot()
		h.p.connect()
	case "central":
		h.restart()
	case "time":
		h.clock.pass(DefaultResend)
		h.tick()
	case "hour":
		h.clock.pass(againAfter)
		h.tick()
	case "damage": // the card loses or makes up something
		if h.p.epoch > 0 {
			h.p.damage()
		}
	case "aside", "board": // the store is put aside; on another board its PINs can't be read
		h.p.card = card{
			keys: map[access.ID]access.Update{}, status: h.p.status, events: h.p.events, statusSeq: h.p.statusSeq, eventSeq: h.p.eventSeq,
			statusOldest: h.p.statusOldest, eventOldest: h.p.eventOldest, pinKeyLost: rapid.Bool().Draw(h.rt, "key"),
		}
		h.p.reboot()
		h.p.connect()
	case "resync":
		if err := h.store.ResyncPanel(h.t.Context(), h.name); err != nil {
			h.t.Fatal(err)
		}
	case "blank": // a new card, or one of before all
		h.p.card = card{keys: map[access.ID]access.Update{}, statusOldest: 1, eventOldest: 1}
		h.p.reboot()
		h.p.connect()
	case "fail": // a key fails there from now on, or no longer
		n := rapid.IntRange(1, 6).Draw(h.rt, "card")
		id, ok := h.want[n]
		u, known := h.p.keys[id]
		if !ok || !known {
			return
		}
		if h.p.fails[id] == "" {
			h.p.fails[id] = "CodeNotEnabled"
		} else {
			delete(h.p.fails, id)
		}
		// The panel judges it again and says so.
		h.p.statusSeq++
		h.p.status = append(h.p.status, statusRow{seq: h.p.statusSeq, epoch: h.p.epoch, boot: h.p.boot, results: []wire.Result{h.p.result(u)}})
	}
}

func (h *history) up() []sent {
	out := []sent{{wire.TopicReported.Of(h.name), wire.Encode(h.p.reported())}}
	for _, m := range h.p.statuses() {
		out = append(out, sent{wire.TopicStatus.Of(h.name), wire.Encode(m)})
	}
	for _, m := range h.p.runs(2) {
		out = append(out, sent{wire.TopicEvents.Of(h.name), wire.Encode(m)})
	}
	return out
}

func (h *history) raw(m sent) {
	system, topic, ok := wire.SplitTopic(m.topic)
	if !ok {
		h.t.Fatal(m.topic)
	}
	h.giveRaw(system, topic, m.payload, false)
}

func (h *history) finish() {
	h.late, h.out = nil, nil
	held := slices.Clone(h.p.events)
	h.p.quiet = false
	h.p.reboot()
	h.p.connect()
	for range 20 {
		h.p.settle()
		h.clock.pass(DefaultResend)
		h.tick()
	}
	if h.info(h.name).Alarm == alarmAgain { // by chance it was damaged straight after a snapshot
		h.clock.pass(againAfter)
		h.tick()
		for range 3 {
			h.p.settle()
			h.clock.pass(DefaultResend)
			h.tick()
		}
	}
	h.p.settle()
	if alarm := h.info(h.name).Alarm; alarm != "" {
		h.rt.Errorf("there is an alarm: %s", alarm)
	}
	if h.p.digest != h.head(h.name).digest || h.p.revision != h.head(h.name).revision {
		h.rt.Errorf("panel stands at %d, its log at %d", h.p.revision, h.head(h.name).revision)
	}
	for n, id := range h.want {
		u, ok := h.p.keys[id]
		if !ok || u.Key.Identification.Canonical() != fmt.Sprintf("%013d", n) {
			h.rt.Errorf("key %d is not on the panel", n)
		}
		want := statusApplied
		if h.p.fails[id] != "" {
			want = statusFailed
		}
		if s := h.status(id); s.Status != want {
			h.rt.Errorf("key %d: got %+v, want %s", n, s, want)
		}
	}
	for _, id := range h.removed {
		if s := h.status(id); s.Status != statusApplied && s.Status != statusNotApplied {
			h.rt.Errorf("removed key: got %+v, want applied", s)
		}
	}
	if len(h.p.keys) != len(h.want) {
		h.rt.Errorf("the panel has %d keys, want %d", len(h.p.keys), len(h.want))
	}
	if len(h.p.events) != 0 || len(h.p.status) != 0 {
		h.rt.Errorf("%d events and %d results are still not confirmed", len(h.p.events), len(h.p.status))
	}
	for _, e := range held {
		var n int
		err := h.store.read.QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM events WHERE boot_id = $1 AND seq = $2", e.boot.String(), int64(e.entry.Seq)).Scan(&n)
		if err != nil || n != 1 {
			h.rt.Errorf("event %s %d is stored %d times (%v), want once", e.boot, e.entry.Seq, n, err)
		}
	}
}
