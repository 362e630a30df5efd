package sync

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

// A panel without an epoch says so, gets the log from its start, and answers.
func TestFirstContact(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, func(c *central, m message) {
		switch m.topic {
		case wire.TopicNeed:
			c.send(3, 1, 3)
		case wire.TopicStatus:
			s, _ := wire.Decode[wire.Statuses](m.payload)
			c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Status: &wire.Through{BootID: s.BootID, Seq: s.Seq}}))
		}
	})
	p := startPanel(t, b.addr, newMemory(), nil)
	r := c.at(t, 3, 3)
	if want := p.Position().Digest; r.Digest != want || r.Count != 3 || r.BootID != boot || r.ConnSeq != 1 {
		t.Errorf("report is %+v, want the digest %v, 3 keys and the connection's ids", r, want)
	}
	s := last[wire.State](t, c, wire.TopicState)
	if !s.Online || s.BootID != boot || s.ConnSeq != 1 || s.Version != "1.2.0" || s.Clock != "trusted" || s.TS.IsZero() {
		t.Errorf("state is %+v", s)
	}
	if got := last[wire.Panel](t, c, wire.TopicPanel); len(got.Doors) != 1 {
		t.Errorf("panel is %+v", got)
	}
	if got := all[wire.Need](t, c, wire.TopicNeed)[0]; !cmp.Equal(got, wire.Need{Want: wire.WantDelta}) {
		t.Errorf("first need is %+v, want the log from its start", got)
	}
	until(t, "results and their trimming", func() bool { n, _ := p.held(); return n == 0 })
	results := all[wire.Statuses](t, c, wire.TopicStatus)[0]
	if results.Epoch != 3 || results.Seq != 1 || len(results.Results) != 3 || results.Results[2].ID != keyID(3) {
		t.Errorf("results are %+v", results)
	}
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	until(t, "acknowledgements", func() bool { return b.unacked(system) == 0 })
	st := p.Status()
	if !st.Connected || st.ConnSeq != 1 || st.Applied != 1 || st.LastError != "" || st.Broker != "tcp://"+b.addr {
		t.Errorf("status is %+v", st)
	}
}

func TestDuplicate(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "the link", func() bool { return p.Status().Connected && len(c.messages(wire.TopicNeed)) == 1 })
	c.send(1, 1, 2)
	first := c.at(t, 1, 2)
	c.send(1, 1, 2)
	until(t, "the second answer", func() bool { return len(c.messages(wire.TopicStatus)) == 2 })
	if got := last[wire.Reported](t, c, wire.TopicReported); got != first {
		t.Errorf("report after the duplicate is %+v, want %+v", got, first)
	}
}

// A lost batch is asked for until it comes.
func TestGap(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	c.send(5, 1, 2)
	c.at(t, 5, 2)
	c.send(5, 4, 4)
	until(t, "two more needs", func() bool { return len(c.messages(wire.TopicNeed)) >= 3 })
	if got, want := last[wire.Need](t, c, wire.TopicNeed), (wire.Need{Epoch: 5, HaveRevision: 2, Want: wire.WantDelta}); !cmp.Equal(got, want) {
		t.Errorf("need is %+v, want %+v", got, want)
	}
	if got := p.Position().Revision; got != 2 {
		t.Errorf("the panel is at revision %d, want it unchanged at 2", got)
	}
	c.send(5, 3, 4)
	c.at(t, 5, 4)
	if got := p.Status(); got.Gaps != 1 {
		t.Errorf("%d gaps counted, want 1", got.Gaps)
	}
}

// Another epoch changes nothing, holds up nothing, and gets the position.
func TestOtherEpochs(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	c.send(5, 1, 2)
	c.at(t, 5, 2)
	for i, epoch := range []uint64{4, 6} {
		before := len(c.messages(wire.TopicReported))
		c.send(epoch, 1, 3)
		until(t, "the position again", func() bool { return len(c.messages(wire.TopicReported)) > before })
		if got := last[wire.Reported](t, c, wire.TopicReported); got.Epoch != 5 || got.Revision != 2 {
			t.Errorf("after epoch %d the panel reports %d/%d, want 5/2", epoch, got.Epoch, got.Revision)
		}
		if got := p.Status().WrongEpochs; got != uint64(i+1) {
			t.Errorf("%d wrong epochs counted, want %d", got, i+1)
		}
	}
	c.send(5, 3, 3)
	c.at(t, 5, 3)
	until(t, "acknowledgements", func() bool { return b.unacked(system) == 0 })
}

// What can't be read is dropped, counted, journalled and acknowledged, and the
// next message is handled.
func TestBadEnvelopes(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	c.publish(wire.TopicChange, false, []byte(`{"epoch":1,"changes":[{"revision":1,"pin":"7391"}]}`))
	c.publish(wire.TopicChange, false, []byte("\xff"))
	c.publish(wire.TopicAck, false, []byte(`{"status":{}}`))
	c.send(1, 1, 1)
	c.at(t, 1, 1)
	if got := p.Status().BadEnvelopes; got != 3 {
		t.Errorf("%d bad envelopes counted, want 3", got)
	}
	events := p.journal.list()
	want := []string{
		"keys/change: changes[0].id: is missing", "keys/change: line 1: not valid UTF-8", "ack: through: names no row",
	}
	if len(events) != len(want) {
		t.Fatalf("journal is %+v, want %d entries", events, len(want))
	}
	for i, e := range events {
		if e.Type != access.BadEnvelope || e.Detail != want[i] {
			t.Errorf("entry %d is %d %q, want %d %q", i, e.Type, e.Detail, access.BadEnvelope, want[i])
		}
	}
	until(t, "acknowledgements", func() bool { return b.unacked(system) == 0 })
}

// A store that can't take a batch doesn't stall the session; what is sent again
// is taken.
func TestStoreFault(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	m := newMemory()
	m.fail = errDisk
	p := startPanel(t, b.addr, m, nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	c.send(1, 1, 1)
	until(t, "the fault", func() bool { return p.Status().ApplyErrors == 1 })
	until(t, "acknowledgements", func() bool { return b.unacked(system) == 0 })
	m.set(func(m *memory) { m.fail = nil })
	c.send(1, 1, 1)
	c.at(t, 1, 1)
}

// A confirmation for another boot's row trims nothing; the row comes again
// until it is confirmed by its own name.
func TestAckThatDoesNotMatch(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	m := newMemory()
	m.addEvents(3)
	p := startPanel(t, b.addr, m, func(o *Options) { o.ResendAfter = 50 * time.Millisecond })
	until(t, "the events", func() bool { return len(c.messages(wire.TopicEvents)) >= 1 })
	for _, ack := range []wire.Through{{BootID: keyID(1), Seq: 3}, {BootID: boot, Seq: 4}} {
		before := len(c.messages(wire.TopicEvents))
		c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Events: &ack}))
		until(t, "the events again", func() bool { return len(c.messages(wire.TopicEvents)) > before+1 })
		if _, n := p.held(); n != 3 {
			t.Fatalf("%d events held after a confirmation of %v, want all 3", n, ack)
		}
	}
	c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Events: &wire.Through{BootID: boot, Seq: 2}}))
	until(t, "the rest", func() bool {
		e := last[wire.Events](t, c, wire.TopicEvents)
		return len(e.Entries) > 0 && e.Entries[0].Seq == 3 && e.After == 2 && e.Oldest == 3
	})
	c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Events: &wire.Through{BootID: boot, Seq: 3}}))
	until(t, "an empty outbox", func() bool { _, n := p.held(); return n == 0 })
	if got := p.Status().Resends; got < 3 {
		t.Errorf("%d resends counted, want 3 at least", got)
	}
	p.addEvents(1)
	until(t, "a new event", func() bool { return last[wire.Events](t, c, wire.TopicEvents).Entries[0].Seq == 4 })
}

// A confirmation of a row that went long ago says that central has come back:
// what is out is sent again soon, not after the long wait.
func TestNudge(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	m := newMemory()
	m.addEvents(2)
	if err := m.AckEvents(t.Context(), boot, 1); err != nil { // in an earlier session
		t.Fatal(err)
	}
	startPanel(t, b.addr, m, func(o *Options) { o.ResendAfter, o.NudgeAfter = time.Hour, 10*time.Millisecond })
	until(t, "the event", func() bool { return len(c.messages(wire.TopicEvents)) == 1 })
	for n := 2; n < 4; n++ {
		// Central came after the event was sent, and has the one before it.
		c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Events: &wire.Through{BootID: boot, Seq: 1}}))
		until(t, "the event again", func() bool { return len(c.messages(wire.TopicEvents)) == n })
		if e := last[wire.Events](t, c, wire.TopicEvents); e.Entries[0].Seq != 2 {
			t.Errorf("event %d comes again, want 2", e.Entries[0].Seq)
		}
	}
}

// Rows go out in order and within the window, statuses and events apart.
func TestWindow(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	m := newMemory()
	for range 3 * window {
		m.addStatus(access.StatusRow{Epoch: 1, Results: []access.Result{{Revision: 1, ID: keyID(1)}}})
	}
	m.addEvents(1)
	p := startPanel(t, b.addr, m, nil)
	until(t, "a full window", func() bool {
		return len(c.messages(wire.TopicStatus)) == window && len(c.messages(wire.TopicEvents)) == 1
	})
	for through := uint64(1); ; through++ {
		c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Status: &wire.Through{BootID: boot, Seq: through}}))
		n := min(3*window, window+int(through))
		until(t, "the window to move on", func() bool { return len(c.messages(wire.TopicStatus)) == n })
		if n == 3*window {
			break
		}
	}
	for i, s := range all[wire.Statuses](t, c, wire.TopicStatus) {
		if s.Seq != uint64(i+1) || s.After != uint64(i) {
			t.Fatalf("row %d came with seq %d after %d", i+1, s.Seq, s.After)
		}
	}
	if got := p.Status().Resends; got != 0 {
		t.Errorf("%d resends, want none", got)
	}
}

// PanelChanged announces the panel again, and the state when the clock's
// changed.
func TestPanelChanged(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	clock, name := make(chan string, 2), make(chan string, 2)
	latest := func(ch chan string, v string) func() string {
		return func() string {
			select {
			case v = <-ch:
			default:
			}
			return v
		}
	}
	now, title := latest(clock, "untrusted"), latest(name, "old")
	p := startPanel(t, b.addr, newMemory(), func(o *Options) {
		o.Clock, o.Panel = now, func() wire.Panel { return wire.Panel{Name: title()} }
	})
	until(t, "the announcement", func() bool { return last[wire.Panel](t, c, wire.TopicPanel).Name == "old" })
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	name <- "new"
	p.PanelChanged()
	until(t, "the new name", func() bool { return last[wire.Panel](t, c, wire.TopicPanel).Name == "new" })
	if n := len(c.messages(wire.TopicState)); n != 1 {
		t.Errorf("the state came %d times, want once", n)
	}
	clock <- "trusted"
	p.PanelChanged()
	until(t, "the new clock", func() bool { return last[wire.State](t, c, wire.TopicState).Clock == "trusted" })
}

// A broker that doesn't let the panel hear itself is found out, whether it says
// so or not; the panel reports all the same.
func TestLoopbackMissed(t *testing.T) {
	mine := wire.TopicState.Of(system)
	for name, c := range map[string]struct {
		r       rules
		refused uint64
	}{
		"reads refused": {rules{may: func(client, topic string, write bool) bool {
			return write || client != system || topic != mine
		}}, 1},
		"writes ignored": {rules{ignore: func(topic string) bool { return topic == mine }}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, "127.0.0.1:0", &c.r)
			central := startCentral(t, b.addr, nil)
			m := newMemory()
			m.addEvents(1)
			p := startPanel(t, b.addr, m, func(o *Options) { o.LoopbackAfter, o.RetryMax = 30*time.Millisecond, time.Hour })
			until(t, "the miss", func() bool { return p.Status().LoopbacksMissed == 1 })
			st := p.Status()
			if !st.Connected || st.LoopbackSeen || !strings.Contains(st.LastError, "did not come back") || st.Refused != c.refused {
				t.Errorf("status is %+v", st)
			}
			until(t, "the event", func() bool { return len(central.messages(wire.TopicEvents)) == 1 })
		})
	}
}

// A packet that is too long is left out before it takes memory, and what
// follows it is read.
func TestOversize(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	c.publish(wire.TopicChange, false, make([]byte, maxPacket+1))
	c.send(1, 1, 1)
	c.at(t, 1, 1)
	if st := p.Status(); st.Dropped != 1 || st.ConnSeq != 1 {
		t.Errorf("%d dropped on connection %d, want 1 on connection 1", st.Dropped, st.ConnSeq)
	}
}

// While the store is stuck the queue fills up to its bounds; what found no room
// is asked for.
func TestQueueFull(t *testing.T) {
	const total = 200
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, func(c *central, m message) {
		if n, err := wire.Decode[wire.Need](m.payload); m.topic == wire.TopicNeed && err == nil && len(c.messages(wire.TopicNeed)) > 1 {
			for r := n.HaveRevision + 1; r <= total; r++ {
				c.send(1, r, r)
			}
		}
	})
	m := newMemory()
	m.block = make(chan struct{})
	p := startPanel(t, b.addr, m, nil)
	until(t, "the first need", func() bool { return len(c.messages(wire.TopicNeed)) == 1 })
	padding := []byte(`{"x":"` + strings.Repeat("x", 100<<10) + `",`)
	for r := uint64(1); r <= total; r++ {
		c.publish(wire.TopicChange, false, append(slices.Clip(padding), changesOf(1, r, r)[1:]...))
	}
	fit := maxQueuedLen / len(padding)
	until(t, "a full queue", func() bool { return p.Status().Dropped >= uint64(total-fit) })
	if !p.Status().Connected {
		t.Error("the link was lost")
	}
	m.set(func(m *memory) { close(m.block); m.block = nil })
	c.at(t, 1, total)
	if p.Status().Needs < 2 {
		t.Error("nothing was asked for")
	}
	until(t, "acknowledgements", func() bool { return b.unacked(system) == 0 })
}
