package central

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

func upTo(from, to uint64) []uint64 {
	out := []uint64{}
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

func TestSendsFromReported(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	for n := range 3 {
		r.addCard(n+1, level(1))
	}
	p := newFakePanel(r, "p1")
	p.connect()
	if got := len(r.take("p1", wire.TopicChange)); got != 1 {
		t.Fatalf("three small changes went out in %d batches, want 1", got)
	}
	p.report()
	if got := r.revisions("p1"); len(got) != 0 {
		t.Errorf("revisions %v were sent again before their time", got)
	}
	p.connect()
	if got := r.revisions("p1"); !slices.Equal(got, upTo(1, 3)) {
		t.Errorf("new connection: got revisions %v, want 1 to 3", got)
	}
	p.connect()
	p.settle()
	if p.revision != 3 || p.reported().Digest != r.head("p1").digest {
		t.Errorf("panel stands at %d, want 3 with the log's digest", p.revision)
	}
	// What HTTP writes goes out when the link is woken.
	r.addCard(4, level(1))
	if err := r.e.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.revisions("p1"); !slices.Equal(got, []uint64{4}) {
		t.Errorf("after a change: got revisions %v, want 4", got)
	}
}

// TestStateRules has the messages of one panel in the orders in which a broker
// may hand them out.
func TestStateRules(t *testing.T) {
	b1, b2 := newBoot(), newBoot()
	state := func(online bool, boot access.ID, conn uint64) wire.State {
		return wire.State{Online: online, BootID: boot, ConnSeq: conn}
	}
	report := func(boot access.ID, conn uint64) wire.Reported { return wire.Reported{BootID: boot, ConnSeq: conn} }
	retained := func(v any) any { return []any{v} }
	for name, c := range map[string]struct {
		messages []any
		sends    bool
	}{
		"state, reported":                  {[]any{state(true, b1, 1), report(b1, 1)}, true},
		"reported, state":                  {[]any{retained(report(b1, 1)), retained(state(true, b1, 1))}, true},
		"state alone":                      {[]any{state(true, b1, 1)}, false},
		"reported of an earlier boot":      {[]any{retained(report(b1, 1)), state(true, b2, 1)}, false},
		"reported of an earlier connect":   {[]any{retained(report(b1, 1)), state(true, b1, 2)}, false},
		"reported after an older reported": {[]any{state(true, b1, 2), report(b1, 2), retained(report(b1, 1))}, true},
		"will of this connection":          {[]any{state(true, b1, 1), state(false, b1, 1), report(b1, 1)}, false},
		"late will of an earlier one":      {[]any{state(true, b1, 2), state(false, b1, 1), report(b1, 2)}, true},
		"will of another boot":             {[]any{state(true, b2, 1), state(false, b1, 9), report(b2, 1)}, true},
		"old state of this boot":           {[]any{state(true, b1, 2), retained(state(true, b1, 1)), report(b1, 2)}, true},
		"old state of an earlier boot":     {[]any{state(true, b1, 5), state(true, b2, 1), retained(state(true, b1, 5)), report(b2, 1)}, true},
		"stale state, then the real one":   {[]any{retained(state(true, b1, 5)), retained(report(b1, 5)), state(true, b2, 1), report(b2, 1)}, true},
		"cleared":                          {[]any{state(true, b1, 1), nil, report(b1, 1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(newKit(t))
			r.panel("p1", 6, level(1))
			r.addCard(1, level(1))
			for _, m := range c.messages {
				r.out = nil // only what the last message causes, or leaves true
				v, kept := m.([]any)
				if kept {
					m = v[0]
				}
				topic := wire.TopicState
				if _, ok := m.(wire.Reported); ok {
					topic = wire.TopicReported
				}
				payload := []byte{}
				if m != nil {
					payload = wire.Encode(m)
				}
				r.giveRaw("p1", topic, payload, kept)
			}
			r.clock.pass(DefaultResend)
			r.tick()
			if got := len(r.revisions("p1")) > 0; got != c.sends {
				t.Errorf("sends: got %v, want %v", got, c.sends)
			}
		})
	}
}

func TestResend(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	for n := range 4 {
		r.addCard(n+1, level(1))
	}
	p := newFakePanel(r, "p1")
	p.connect()
	batch := r.take("p1", wire.TopicChange)[0]
	r.clock.pass(DefaultResend - second)
	if r.tick(); len(r.revisions("p1")) != 0 {
		t.Error("sent again before 30 s had passed")
	}
	r.clock.pass(second)
	if r.tick(); len(r.revisions("p1")) != 4 {
		t.Error("not sent again after 30 s without progress")
	}
	// Progress begins the time anew.
	r.clock.pass(DefaultResend - second)
	p.apply(batch)
	p.revision = 2 // as if it had taken two of them
	p.digest = access.Digest{}
	for id, u := range p.keys {
		if u.Revision > 2 {
			delete(p.keys, id)
		} else {
			p.digest = p.digest.Add(id, u.Revision)
		}
	}
	p.report()
	r.give("p1", wire.TopicStatus, p.statuses()[0]) // or it would be asked for its results
	r.clock.pass(2 * second)
	if r.tick(); len(r.revisions("p1")) != 0 {
		t.Error("sent again although the panel made progress")
	}
	r.clock.pass(DefaultResend)
	if r.tick(); !slices.Equal(r.revisions("p1"), upTo(3, 4)) {
		t.Error("not sent again from where the panel stands")
	}
	// A panel that has gone is sent nothing.
	r.give("p1", wire.TopicState, p.state(false))
	r.clock.pass(2 * DefaultResend)
	if r.tick(); len(r.revisions("p1")) != 0 {
		t.Error("sent to a panel that is offline")
	}
}

func TestNeed(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	for n := range 5 {
		r.addCard(n+1, level(1))
	}
	p := newFakePanel(r, "p1")
	p.connect()
	r.revisions("p1")
	epoch := r.head("p1").epoch
	for _, c := range []struct {
		name string
		need wire.Need
		want []uint64
	}{
		{"from the start", wire.Need{Want: wire.WantDelta}, upTo(1, 5)},
		{"too soon again", wire.Need{Want: wire.WantDelta}, nil},
		{"from the middle", wire.Need{Epoch: epoch, HaveRevision: 3, Want: wire.WantDelta}, upTo(4, 5)},
		{"it has everything", wire.Need{Epoch: epoch, HaveRevision: 5, Want: wire.WantDelta}, nil},
		{"more than there is", wire.Need{Epoch: epoch, HaveRevision: 9, Want: wire.WantDelta}, nil},
		{"another epoch", wire.Need{Epoch: epoch + 1, HaveRevision: 3, Want: wire.WantDelta}, nil},
		{"a snapshot", wire.Need{Epoch: epoch, HaveRevision: 3, Want: wire.WantSnapshot}, nil},
	} {
		if c.name != "too soon again" {
			r.clock.pass(needPause)
		}
		r.give("p1", wire.TopicNeed, c.need)
		if got := r.revisions("p1"); !slices.Equal(got, c.want) {
			t.Errorf("%s: got revisions %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	const keys = window + 300
	err := r.store.update(t.Context(), func(x *tx) error {
		head, err := x.head(t.Context(), "p1")
		if err != nil {
			return err
		}
		for n := range keys {
			key := access.Key{ID: level(n + 1000), Type: access.Code, Identification: mustCode(fmt.Sprint(n)), State: access.Enabled, Levels: []access.ID{level(1)}}
			if err := x.put(t.Context(), head, told{}, key, ""); err != nil {
				return err
			}
		}
		return x.changed(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	r.log("p1") // every batch fits into a message
	p := newFakePanel(r, "p1")
	p.connect()
	batches := r.take("p1", wire.TopicChange)
	for _, b := range batches {
		p.apply(b)
	}
	if p.revision != window {
		t.Fatalf("a panel that has confirmed nothing was sent %d revisions, want %d", p.revision, window)
	}
	// What the broker has no room for goes out later.
	r.full = true
	p.report()
	r.full = false
	if got := r.revisions("p1"); len(got) != 0 {
		t.Fatalf("sent %v while the broker took nothing", got)
	}
	if err := r.e.pumpAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.settle()
	if p.revision != keys {
		t.Errorf("panel stands at %d, want %d", p.revision, keys)
	}
}

func TestAlarms(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.Reported)
		alarm  string
		offers bool // a snapshot
		sends  bool // what follows where it says that it stands
	}{
		"in step":            {func(*wire.Reported) {}, "", false, true},
		"lower epoch":        {func(r *wire.Reported) { r.Epoch-- }, "", true, false},
		"higher epoch":       {func(r *wire.Reported) { r.Epoch++ }, alarmNewEpoch, false, false},
		"ahead":              {func(r *wire.Reported) { r.Revision += 9 }, alarmAhead, false, false},
		"other digest":       {func(r *wire.Reported) { r.Digest[7]++ }, "", true, true},
		"other count":        {func(r *wire.Reported) { r.Count++ }, "", true, true},
		"another device key": {func(r *wire.Reported) { r.PINKeyLost = true }, "", true, true},
		"store put aside": {func(r *wire.Reported) {
			r.Epoch, r.Revision, r.Count, r.Digest = 0, 0, 0, access.Digest{}
		}, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(newKit(t))
			r.panel("p1", 6, level(1))
			r.addCard(1, level(1))
			p := newFakePanel(r, "p1")
			p.connect()
			p.settle()
			r.addCard(2, level(1))
			p.conn++
			r.give("p1", wire.TopicState, p.state(true))
			r.out = nil
			m := p.reported()
			c.change(&m)
			r.give("p1", wire.TopicReported, m)
			r.tick()
			offered := r.offered("p1")
			if (offered != nil) != c.offers {
				t.Errorf("offers a snapshot: got %+v, want %v", offered, c.offers)
			}
			if h := r.head("p1"); c.offers && (offered.Epoch != h.epoch || offered.Revision != 2 || offered.Digest != h.digest || offered.Count != 2) {
				t.Errorf("got snapshot %+v, want the log's head", offered)
			}
			if got := len(r.revisions("p1")) > 0; got != c.sends {
				t.Errorf("sends: got %v with alarm %q", got, c.alarm)
			}
			panels, err := r.store.Panels(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if panels[0].Alarm != c.alarm || panels[0].AlarmSince.IsZero() != (c.alarm == "") || (panels[0].Snapshot == "offered") != c.offers {
				t.Errorf("got %+v, want alarm %q", panels[0], c.alarm)
			}
			p.connect() // now it stands where it should
			after := ""
			if c.alarm == alarmAhead || c.alarm == alarmNewEpoch {
				after = c.alarm // only an operator can say which history counts
			}
			if panels, err = r.store.Panels(t.Context()); err != nil || panels[0].Alarm != after {
				t.Errorf("alarm after the panel is in step: got %q, %v; want %q", panels[0].Alarm, err, after)
			}
		})
	}
}

func TestResultsCount(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	epoch := r.head("p1").epoch
	boot := newBoot()
	at := r.clock.now()
	seq := uint64(0)
	give := func(epoch, revision uint64, id access.ID, result, errorType string) {
		t.Helper()
		seq++
		r.give("p1", wire.TopicStatus, wire.Statuses{BootID: boot, Seq: seq, After: seq - 1, Oldest: 1, Epoch: epoch, Results: []wire.Result{
			{Revision: revision, ID: id, Result: result, ErrorType: errorType, At: at},
		}})
		if status, _ := r.acks("p1"); !slices.Equal(status, []wire.Through{{BootID: boot, Seq: seq}}) {
			t.Errorf("row %d: confirmed %v, want it confirmed", seq, status)
		}
	}
	for _, c := range []struct {
		name            string
		epoch, revision uint64
		id              access.ID
	}{
		{"another epoch", epoch - 1, 1, id},
		{"a later epoch", epoch + 1, 1, id},
		{"another key", epoch, 1, newBoot()},
		{"a revision that is not there", epoch, 2, id},
	} {
		if give(c.epoch, c.revision, c.id, wire.ResultApplied, ""); r.status(id).Status != statusPending {
			t.Errorf("%s: the result counted", c.name)
		}
	}
	var answered int
	if err := r.store.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM panel_log WHERE answered").Scan(&answered); err != nil || answered != 0 {
		t.Errorf("%d revisions are taken for answered (%v), want none", answered, err)
	}
	give(epoch, 1, id, wire.ResultFailed, "CodeNotEnabled")
	if s := r.status(id); s.Status != statusFailed || s.Failed[0] != (failedSystem{"p1", "CodeNotEnabled"}) {
		t.Errorf("got %+v, want p1 failed", s)
	}
	// A changed result of the same revision counts too.
	give(epoch, 1, id, wire.ResultApplied, "")
	if s := r.status(id); s.Status != statusApplied || s.Applied[0] != (appliedSystem{"p1", "2026-03-01T12:00:00Z"}) {
		t.Errorf("got %+v, want p1 applied", s)
	}
	// A result of a change that was followed by another says nothing about it.
	r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"1234"}`, id))
	give(epoch, 1, id, wire.ResultFailed, "AccessKeyInUse")
	if s := r.status(id); s.Status != statusPending {
		t.Errorf("got %+v, want pending", s)
	}
	// Nor does one of an epoch that the log has left, though its rows are there.
	if _, err := r.store.write.ExecContext(t.Context(), "UPDATE panels SET epoch = epoch + 1"); err != nil {
		t.Fatal(err)
	}
	give(epoch, 2, id, wire.ResultApplied, "")
	if s := r.status(id); s.Status != statusPending {
		t.Errorf("got %+v, want pending", s)
	}
}

// TestRuns has the rows of both streams as panels send them after losses,
// restarts and restored cards.
func TestRuns(t *testing.T) {
	b1, b2 := newBoot(), newBoot()
	none := wire.Through{}
	type row struct {
		boot                    access.ID
		after, from, to, oldest uint64
		ack                     bool
		instead                 wire.Through // confirmed in its place
	}
	for name, c := range map[string]struct {
		rows   []row
		lost   uint64
		events int
	}{
		"in order":                 {[]row{{b1, 0, 1, 2, 1, true, none}, {b1, 2, 3, 4, 3, true, none}}, 0, 4},
		"twice":                    {[]row{{b1, 0, 1, 2, 1, true, none}, {b1, 0, 1, 2, 1, true, none}}, 0, 2},
		"a part twice":             {[]row{{b1, 0, 1, 2, 1, true, none}, {b1, 1, 2, 4, 1, true, none}}, 0, 4},
		"a gap":                    {[]row{{b1, 0, 1, 2, 1, true, none}, {b1, 3, 4, 4, 1, false, none}, {b1, 2, 3, 4, 1, true, none}}, 0, 4},
		"restarted panel":          {[]row{{b1, 0, 1, 2, 1, true, none}, {b2, 2, 3, 3, 3, true, none}}, 0, 3},
		"first contact, old panel": {[]row{{b1, 16, 17, 18, 15, false, none}, {b1, 14, 15, 18, 15, true, none}}, 0, 4},
		"journal was full":         {[]row{{b1, 0, 1, 2, 1, true, none}, {b1, 9, 10, 11, 10, true, none}}, 7, 4},
		"restored card": {[]row{
			{b1, 0, 1, 9, 1, true, none},
			{b2, 5, 6, 6, 4, false, none}, // rows 4 and 5 of b1 are still held
			{b1, 3, 4, 5, 4, true, none},  // central has them
			{b2, 5, 6, 6, 6, true, none},
			{b2, 6, 7, 8, 7, true, none},
		}, 0, 12},
		"restarted before the confirmation came": {[]row{
			{b1, 0, 1, 2, 1, true, none},
			{b2, 2, 3, 3, 1, false, wire.Through{BootID: b1, Seq: 2}},
			{b2, 2, 3, 3, 3, true, none},
		}, 0, 3},
		"restored card that has come as far": {[]row{
			{b1, 0, 1, 2, 1, true, none},
			{b2, 2, 3, 3, 1, false, wire.Through{BootID: b1, Seq: 2}}, // no row of the panel's: it holds 1 and 2 of b2
			{b2, 0, 1, 2, 1, true, none},
			{b2, 2, 3, 3, 1, true, none},
		}, 0, 5},
		"card changed and changed back": {[]row{
			{b1, 3, 4, 5, 4, true, none},
			{b2, 0, 1, 2, 1, true, none},
			{b1, 3, 4, 6, 4, false, wire.Through{BootID: b1, Seq: 5}},
			{b1, 5, 6, 6, 6, true, none},
		}, 3, 5},
		"the same with as many rows on the other": {[]row{
			{b1, 1, 2, 3, 2, true, none},
			{b2, 0, 1, 3, 1, true, none},
			{b1, 1, 2, 4, 2, false, wire.Through{BootID: b1, Seq: 3}},
			{b1, 3, 4, 4, 4, true, none},
		}, 0, 6},
		"back in a boot": {[]row{{b1, 9, 10, 12, 10, true, none}, {b1, 4, 5, 6, 5, true, none}, {b1, 4, 5, 6, 5, true, none}, {b1, 12, 13, 13, 13, true, none}}, 0, 6},
		"back in a boot, and on from there": {[]row{
			{b1, 9, 10, 12, 10, true, none},
			{b1, 7, 8, 11, 8, false, wire.Through{BootID: b1, Seq: 9}},
			{b1, 9, 10, 11, 10, true, none},
			{b2, 11, 12, 12, 12, true, none},
		}, 0, 6},
		"numbers of long ago":   {[]row{{b1, 0, 1, 3, 1, true, none}, {b2, 3, 4, 5, 4, true, none}, {b1, 2, 3, 3, 3, true, none}, {b2, 5, 6, 6, 6, true, none}}, 0, 6},
		"duplicate of elsewhen": {[]row{{b1, 0, 1, 3, 1, true, none}, {b1, 0, 1, 1, 1, true, none}, {b1, 3, 4, 4, 4, true, none}}, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, k *kit) {
				r := newRig(k)
				r.panel("p1", 6)
				for i, w := range c.rows {
					m := wire.Events{BootID: w.boot, After: w.after, Oldest: w.oldest}
					for seq := w.from; seq <= w.to; seq++ {
						m.Entries = append(m.Entries, wire.Entry{Seq: seq, At: r.clock.now(), Clock: "trusted", Type: access.DoorForced})
					}
					r.give("p1", wire.TopicEvents, m)
					want := []wire.Through(nil)
					if w.ack {
						want = []wire.Through{{BootID: w.boot, Seq: w.to}}
					} else if w.instead != none {
						want = []wire.Through{w.instead}
					}
					if _, got := r.acks("p1"); !slices.Equal(got, want) {
						t.Errorf("run %d: confirmed %v, want %v", i, got, want)
					}
				}
				var events, last int
				const query = "SELECT COUNT(*), MAX(sequence_id) FROM events"
				if err := k.store.read.QueryRowContext(t.Context(), query).Scan(&events, &last); err != nil || events != c.events || last != c.events {
					t.Errorf("stored %d events up to sequence id %d (%v), want %d", events, last, err, c.events)
				}
				panels, err := k.store.Panels(t.Context())
				if err != nil || panels[0].LostEvents != c.lost {
					t.Errorf("lost %d (%v), want %d", panels[0].LostEvents, err, c.lost)
				}
			})
		})
	}
}

func TestStatusRuns(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	boot := newBoot()
	give := func(seq, after, oldest uint64) []wire.Through {
		r.give("p1", wire.TopicStatus, wire.Statuses{
			BootID: boot, Seq: seq, After: after, Oldest: oldest, Epoch: r.head("p1").epoch,
			Results: []wire.Result{{Revision: 1, ID: id, Result: wire.ResultApplied, At: r.clock.now()}},
		})
		status, _ := r.acks("p1")
		return status
	}
	if got := give(5, 4, 3); got != nil || r.status(id).Status != statusPending {
		t.Errorf("a row with others before it was taken: %v", got)
	}
	if got := give(5, 4, 5); len(got) != 1 || r.status(id).Status != statusApplied {
		t.Errorf("the oldest row was not taken: %v", got)
	}
	before := r.dump()
	if got := give(5, 4, 5); len(got) != 1 || r.dump() != before {
		t.Errorf("a row twice: confirmed %v, want it confirmed and nothing changed", got)
	}
	if got := give(7, 6, 6); got != nil {
		t.Errorf("a row after a gap was confirmed: %v", got)
	}
	// A row that a database of before had confirmed, and the panel's card has again.
	before = r.dump()
	if got := give(4, 3, 4); len(got) != 1 || got[0].Seq != 4 || r.dump() != before {
		t.Errorf("a row of before: confirmed %v, want it confirmed and nothing changed", got)
	}
}

// A card that was put back has lost rows that central has; what was said in them
// may be true no more, and is asked for again.
func TestAsksAfterARestoredCard(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	first, second := r.addCard(1, level(1)), r.addCard(2, level(1))
	b1, b2, epoch := newBoot(), newBoot(), r.head("p1").epoch
	give := func(boot access.ID, seq, oldest uint64, results ...wire.Result) {
		t.Helper()
		r.give("p1", wire.TopicStatus, wire.Statuses{BootID: boot, Seq: seq, After: seq - 1, Oldest: oldest, Epoch: epoch, Results: results})
		if got, _ := r.acks("p1"); len(got) != 1 || got[0] != (wire.Through{BootID: boot, Seq: seq}) {
			t.Fatalf("row %d: confirmed %v", seq, got)
		}
	}
	asked := func() int {
		t.Helper()
		_, _, n, err := r.store.unanswered(t.Context(), "p1", epoch, 1, 2, 10)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	applied := func(rev uint64, id access.ID) wire.Result {
		return wire.Result{Revision: rev, ID: id, Result: wire.ResultApplied, At: r.clock.now()}
	}
	give(b1, 1, 1, applied(1, first), applied(2, second))
	give(b1, 2, 2, wire.Result{Revision: 1, ID: first, Result: wire.ResultFailed, ErrorType: string(access.AccessLevelNotFound), At: r.clock.now()})
	give(b2, 3, 3, applied(2, second))
	if n := asked(); n != 0 {
		t.Fatalf("after a start anew %d results are asked for", n)
	}
	// The card is put back to where it had written row 1 alone.
	give(newBoot(), 2, 2, applied(2, second))
	if n := asked(); n != 1 {
		t.Errorf("after a card was put back %d results are asked for, want that of the first key", n)
	}
}

func TestAsksForResults(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	var ids []access.ID
	for n := range 5 {
		ids = append(ids, r.addCard(n+1, level(1)))
	}
	p := newFakePanel(r, "p1")
	p.connect()
	p.settle()
	// Central is restored to a state that lacks some results.
	for _, rev := range []int{1, 2, 4} {
		if _, err := r.store.write.ExecContext(t.Context(), "UPDATE panel_log SET answered = FALSE WHERE revision = $1", rev); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.write.ExecContext(t.Context(), "UPDATE panel_keys SET result = '' WHERE revision = $1", rev); err != nil {
			t.Fatal(err)
		}
	}
	if r.status(ids[3]).Status != statusPending {
		t.Fatal("the result is still there")
	}
	r.clock.pass(DefaultResend)
	r.tick()
	if got := len(r.take("p1", wire.TopicAck)); got != 0 {
		t.Errorf("%d acks for nothing", got)
	}
	p.settle()
	for n, id := range ids {
		if s := r.status(id); s.Status != statusApplied {
			t.Errorf("key %d: got %+v, want applied", n+1, s)
		}
	}
	r.clock.pass(DefaultResend)
	if r.tick(); len(r.revisions("p1")) != 0 {
		t.Error("asks again although it lacks nothing")
	}
}

func TestStrangers(t *testing.T) {
	r := newRig(newKit(t))
	p := newFakePanel(r, "new-1")
	p.connect()
	p.connect()
	if n := strings.Count(r.logs.String(), "unknown panel ignored"); n != 1 {
		t.Errorf("an unknown panel was logged %d times, want once", n)
	}
	// Another process makes it known while this one runs.
	s, err := Open(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.AddPanel(t.Context(), "new-1"); err != nil {
		t.Fatal(err)
	}
	p.connect()
	if panels, err := r.store.Panels(t.Context()); err != nil || !panels[0].Online {
		t.Errorf("got %+v, %v; want it online", panels, err)
	}
}

func TestLevelOwnership(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	id := r.addCard(1, level(1))
	if err := r.store.AddPanel(t.Context(), "p2"); err != nil {
		t.Fatal(err)
	}
	r.give("p2", wire.TopicPanel, announcement(6, level(1), level(2)))
	if len(r.log("p2")) != 0 {
		t.Fatal("a panel that announces another's level was told of its keys")
	}
	if !strings.Contains(r.logs.String(), "another panel owns") {
		t.Error("the foreign level was not logged")
	}
	r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"access_levels":[%q,%q]}`, id, level(2), level(1)))
	if got := r.lastPut("p1").key.Levels; !slices.Equal(got, []access.ID{level(1)}) {
		t.Errorf("p1 was told of levels %v, want its own", got)
	}
	if got := r.lastPut("p2").key.Levels; !slices.Equal(got, []access.ID{level(2)}) {
		t.Errorf("p2 was told of levels %v, want its own", got)
	}
	if err := r.store.ShareLevel(t.Context(), level(1), "p2"); err != nil {
		t.Fatal(err)
	}
	if got := r.lastPut("p2").key.Levels; !slices.Equal(got, []access.ID{level(2), level(1)}) {
		t.Errorf("p2 was told of levels %v, want both once shared", got)
	}
	for _, bad := range []struct {
		level  access.ID
		system string
	}{{level(9), "p2"}, {level(1), "p9"}} {
		if err := r.store.ShareLevel(t.Context(), bad.level, bad.system); err == nil {
			t.Errorf("sharing %s with %s: no error", bad.level, bad.system)
		}
	}
	// A panel that announces less keeps what it has.
	before := len(r.log("p2"))
	r.give("p2", wire.TopicPanel, announcement(6))
	levels, err := r.store.Levels(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range levels {
		if l.SystemID == "p2" && (!l.Owned || l.Announced) {
			t.Errorf("got %+v, want it owned and marked as not announced", l)
		}
	}
	if len(r.log("p2")) != before {
		t.Error("a shorter announcement changed the panel's log")
	}
}

// TestMovesAndClaims follows one key over two panels.
func TestMovesAndClaims(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		r.panel("p2", 6, level(2))
		p1, p2 := newFakePanel(r, "p1"), newFakePanel(r, "p2")
		p1.connect()
		p2.connect()
		update := func(id access.ID, body string) {
			t.Helper()
			r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,%s}`, id, body))
			r.tick()
		}
		settle := func() { p1.settle(); p2.settle() }
		other := r.addCard(1, level(1))
		id := r.addCard(2, level(1))
		r.tick()
		settle()
		if s := r.status(id); s.Status != statusApplied || len(s.Applied) != 1 {
			t.Fatalf("got %+v, want applied on p1", s)
		}
		if c := r.lastPut("p1").Claim; c != 2 {
			t.Errorf("claim of the second key: got %d, want 2", c)
		}
		update(id, `"pin":"4711"`)
		if c := r.lastPut("p1").Claim; c != 2 {
			t.Errorf("claim after an update: got %d, want it kept", c)
		}
		update(id, `"key":{"identification":"EM:3","type":"proximity"}`)
		if c := r.lastPut("p1").Claim; c != 3 {
			t.Errorf("claim after another identification: got %d, want the next", c)
		}
		settle()
		update(id, fmt.Sprintf(`"access_levels":[%q]`, level(2)))
		p2.settle()
		if s := r.status(id); s.Status != statusPartiallyApplied || len(s.Pending) != 1 || s.Pending[0].SystemID != "p1" {
			t.Errorf("got %+v, want the removal on p1 pending", s)
		}
		settle()
		if s := r.status(id); s.Status != statusApplied || len(s.Applied) != 1 || s.Applied[0].SystemID != "p2" {
			t.Errorf("got %+v, want p2 alone once p1 has removed it", s)
		}
		if _, still := p1.keys[id]; still || len(p1.keys) != 1 || p1.keys[other].Revision == 0 {
			t.Errorf("p1 holds %v, want the other key alone", p1.keys)
		}
		update(id, fmt.Sprintf(`"access_levels":[%q,%q]`, level(1), level(2)))
		if c := r.lastPut("p1").Claim; c != 4 {
			t.Errorf("claim after it came back: got %d, want the next", c)
		}
		settle()
		r.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
		r.tick()
		p1.settle()
		if s := r.status(id); s.Status != statusPartiallyApplied {
			t.Errorf("got %+v, want the removal applied on p1, pending on p2", s)
		}
		settle()
		if s := r.status(id); s.Status != statusApplied || len(s.Applied) != 2 {
			t.Errorf("got %+v, want the removal applied on both", s)
		}
		for _, p := range []*fakePanel{p1, p2} {
			if h := r.head(p.system); h.digest != p.digest || h.count != uint64(len(p.keys)) || h.revision != p.revision {
				t.Errorf("%s: log and panel differ", p.system)
			}
		}
	})
}

func TestOverall(t *testing.T) {
	for _, c := range []struct {
		applied, pending, failed int
		want                     string
	}{
		{0, 0, 0, "NotApplied"},
		{0, 0, 1, "Failed"},
		{3, 2, 1, "Failed"},
		{2, 0, 0, "Applied"},
		{2, 1, 0, "PartiallyApplied"},
		{0, 1, 0, "Pending"},
	} {
		if got := overall(c.applied, c.pending, c.failed); got != c.want {
			t.Errorf("%d applied, %d pending, %d failed: got %s, want %s", c.applied, c.pending, c.failed, got, c.want)
		}
	}
}

// TestAppliedAt: a panel's clock may be wrong.
func TestAppliedAt(t *testing.T) {
	k := newKit(t)
	made := k.clock.now().UnixMicro()
	k.clock.pass(60 * second)
	now := k.clock.now()
	x := &tx{s: k.store, now: now}
	for name, c := range map[string]struct{ at, want int64 }{
		"after the change": {made + 5, made + 5},
		"in the past":      {made - 5, now.UnixMicro()},
		"in the future":    {now.UnixMicro() + 5, now.UnixMicro()},
	} {
		if got := x.believe(fromMicros0(c.at), made); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestRestartMidway(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	for n := range 5 {
		r.addCard(n+1, level(1))
	}
	p := newFakePanel(r, "p1")
	p.connect()
	p.apply(r.take("p1", wire.TopicChange)[0])
	p.happen(granted)
	r.restart()
	if len(r.out) != 0 {
		t.Error("central sends before it knows who is there")
	}
	// The broker still has what the panel published, or a panel that notices
	// publishes it again.
	r.giveRaw("p1", wire.TopicReported, wire.Encode(p.reported()), true)
	r.giveRaw("p1", wire.TopicState, wire.Encode(p.state(true)), true)
	p.settle()
	want := []int{5, 0, 0}
	if got := []int{int(p.revision), len(p.status), len(p.events)}; !cmp.Equal(got, want) {
		t.Errorf("revision, statuses and events left: got %v, want %v", got, want)
	}
	panels, err := r.store.Panels(context.Background())
	if err != nil || !panels[0].Online || panels[0].ReportedRevision != 5 {
		t.Errorf("got %+v, %v; want it online at 5", panels, err)
	}
}

// TestStandsAt: a panel that comes online is told which rows were taken last.
func TestStandsAt(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	if status, events := r.acks("p1"); status != nil || events != nil {
		t.Errorf("first contact: confirmed %v and %v, want nothing", status, events)
	}
	r.tick()
	p.happen(granted)
	p.settle()
	want := wire.Through{BootID: p.boot, Seq: 1}
	p.reboot()
	p.connect()
	status, events := r.acks("p1")
	if !slices.Equal(status, []wire.Through{want}) || !slices.Equal(events, []wire.Through{want}) {
		t.Errorf("came online: confirmed %v and %v, want %v of both", status, events, want)
	}
	r.give("p1", wire.TopicState, p.state(true))
	// Each state is answered, so that the panel hears that somebody is there.
	if status, events := r.acks("p1"); !slices.Equal(status, []wire.Through{want}) || !slices.Equal(events, []wire.Through{want}) {
		t.Errorf("the same state again: confirmed %v and %v, want %v of both", status, events, want)
	}
}

// TestRestoredAmongResults: a database that is restored from a backup lacks the
// results that were confirmed since, though its log is not behind.
func TestRestoredAmongResults(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	p := newFakePanel(r, "p1")
	id := r.addCard(1, level(1))
	p.connect()
	p.settle()
	if got := r.result("p1", id); got != wire.ResultApplied {
		t.Fatalf("result %q", got)
	}
	// The key was judged anew, and a server that is no more confirmed that.
	p.fails = map[access.ID]string{id: "AccessLevelNotFound"}
	p.statusSeq += 3
	p.statusOldest = p.statusSeq + 1
	r.learns(p, id)
}

// TestRestoredAfterARestoredCard: a panel's card was put back, its rows got the
// numbers that others had had, and were confirmed by a server that was then
// restored from a backup of before: numbers alone don't show that results lack.
func TestRestoredAfterARestoredCard(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		p := newFakePanel(r, "p1")
		id := r.addCard(1, level(1))
		p.connect()
		p.settle()
		p.fails = map[access.ID]string{id: "AccessLevelNotFound"}
		p.reboot()
		p.connect()
		if got := r.revisions("p1"); len(got) > 0 || r.result("p1", id) != wire.ResultApplied {
			t.Fatalf("after a start anew %v are asked for, the result is %q", got, r.result("p1", id))
		}
		p.wrote = p.boot // of the row that has the number of the last one here
		r.learns(p, id)
	})
}

// learns restarts central, which then has to ask for a result that it lacks, and for
// nothing any more once it has it.
func (r *rig) learns(p *fakePanel, id access.ID) {
	r.t.Helper()
	r.restart()
	p.connect()
	for range 3 {
		r.clock.pass(DefaultResend)
		r.tick()
		p.settle()
	}
	if got := r.result(p.system, id); got != wire.ResultFailed {
		r.t.Errorf("result %q, want the one that the panel has", got)
	}
	r.take(p.system, wire.TopicChange)
	p.report()
	r.clock.pass(2 * DefaultResend)
	r.tick()
	if got := r.revisions(p.system); len(got) > 0 {
		r.t.Errorf("asked again for %v though nothing lacks", got)
	}
}

func (r *rig) result(system string, id access.ID) (result string) {
	r.t.Helper()
	if err := r.store.read.QueryRow("SELECT result FROM panel_keys WHERE system_id = $1 AND key_id = $2", system, id.String()).Scan(&result); err != nil {
		r.t.Fatal(err)
	}
	return result
}
