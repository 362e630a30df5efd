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
		h := &history{rt: rt, rig: newRig(k), want: map[int]access.ID{}, name: name, level: level(n)}
		h.panel(name, 6, h.level)
		h.p = newFakePanel(h.rig, name)
		h.saved = h.p.clone()
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
		}
		h.finish()
	})
}

type history struct {
	rt *rapid.T
	*rig
	p     *fakePanel
	saved card // an image of the card
	name  string
	level access.ID
	want  map[int]access.ID
	late  []sent // messages of the panel that are still on their way
}

func (h *history) step() {
	switch rapid.SampledFrom([]string{
		"add", "add", "remove", "update", "event", "event", "deliver", "deliver", "deliver", "drop", "up", "up", "up", "dropUp",
		"late", "connect", "reboot", "save", "restore", "central", "time",
	}).Draw(h.rt, "step") {
	case "add", "update":
		n := rapid.IntRange(1, 6).Draw(h.rt, "card")
		h.want[n] = h.addCard(n, h.level)
	case "remove":
		n := rapid.IntRange(1, 6).Draw(h.rt, "card")
		if id, ok := h.want[n]; ok {
			h.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
			delete(h.want, n)
		}
	case "event":
		h.p.happen(granted)
	case "deliver": // what central sent arrives, perhaps only a part, perhaps twice
		for _, m := range h.out {
			switch rapid.IntRange(0, 3).Draw(h.rt, "fate") {
			case 0:
			case 1:
				h.down(m)
				h.down(m)
			default:
				h.down(m)
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
		h.saved = h.p.clone()
	case "restore":
		h.p.card = h.saved.clone()
		h.p.reboot()
		h.p.connect()
	case "central":
		h.restart()
	case "time":
		h.clock.pass(DefaultResend)
		h.tick()
	}
}

func (h *history) down(m sent) {
	if m.topic == wire.TopicAck.Of(h.name) {
		h.p.confirmed(m.payload)
	} else {
		h.p.apply(m.payload)
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
	h.p.reboot()
	h.p.connect()
	for range 20 {
		h.p.settle()
		h.clock.pass(DefaultResend)
		h.tick()
	}
	h.p.settle()
	if h.p.digest != h.head(h.name).digest || h.p.revision != h.head(h.name).revision {
		h.rt.Errorf("panel stands at %d, its log at %d", h.p.revision, h.head(h.name).revision)
	}
	for n, id := range h.want {
		u, ok := h.p.keys[id]
		if !ok || u.Key.Identification.Canonical() != fmt.Sprintf("%013d", n) {
			h.rt.Errorf("key %d is not on the panel", n)
		}
		if s := h.status(id); s.Status != statusApplied {
			h.rt.Errorf("key %d: got %+v, want applied", n, s)
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
