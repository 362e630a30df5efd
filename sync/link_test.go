package sync

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"postern/wire"
)

// A broker that is down at the start is waited for, and one that comes back
// with nothing is told everything again.
func TestBrokerRestart(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	addr := b.addr
	b.stop()
	m := newMemory()
	// The panel may be back before central, so that its rows reach nobody at first.
	p := startPanel(t, addr, m, func(o *Options) { o.ResendAfter = 100 * time.Millisecond })
	until(t, "a failed attempt", func() bool { return p.Status().LastError != "" })
	if p.Status().Connected {
		t.Fatal("connected to nothing")
	}

	b = startBroker(t, addr, nil)
	c := startCentral(t, addr, nil)
	until(t, "a report", func() bool { return len(c.messages(wire.TopicReported)) > 0 })
	c.send(1, 1, 2)
	c.at(t, 1, 2)
	until(t, "the results", func() bool { return len(c.messages(wire.TopicStatus)) > 0 })
	before := last[wire.State](t, c, wire.TopicState)
	b.stop()
	until(t, "the loss", func() bool { return !p.Status().Connected })
	m.addEvents(5)

	startBroker(t, addr, nil)
	c = startCentral(t, addr, nil)
	r := c.at(t, 1, 2)
	until(t, "the announcement", func() bool { return len(c.messages(wire.TopicPanel)) > 0 && len(c.messages(wire.TopicState)) > 0 })
	s := last[wire.State](t, c, wire.TopicState)
	if !s.Online || s.BootID != before.BootID || s.ConnSeq <= before.ConnSeq || r.ConnSeq != s.ConnSeq {
		t.Errorf("state is %+v and report %+v, want both of a connection after %d", s, r, before.ConnSeq)
	}
	until(t, "unconfirmed rows", func() bool { return len(c.messages(wire.TopicStatus)) > 0 && len(c.messages(wire.TopicEvents)) > 0 })
	if e := last[wire.Events](t, c, wire.TopicEvents); len(e.Entries) != 5 || e.Entries[0].Seq != 1 {
		t.Errorf("events are %+v, want the 5 written meanwhile", e)
	}
	if n := len(c.messages(wire.TopicNeed)); n != 0 {
		t.Errorf("a panel without a gap asked %d times", n)
	}
}

// The last will of an earlier connection that comes late is put right.
func TestLateWill(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	for i, wrong := range []wire.State{
		{BootID: boot, ConnSeq: 1},                   // this connection's own
		{BootID: keyID(9), ConnSeq: 7},               // an earlier start's
		{BootID: keyID(8), ConnSeq: 1, Online: true}, // another panel's
	} {
		c.publish(wire.TopicState, true, wire.Encode(wrong))
		until(t, "the correction", func() bool {
			s := last[wire.State](t, c, wire.TopicState)
			return len(c.messages(wire.TopicState)) == 3+2*i && s.Online && s.BootID == boot && s.ConnSeq == 1
		})
		pk, ok := b.Topics.Retained.Get(wire.TopicState.Of(system))
		s, err := wire.Decode[wire.State](pk.Payload)
		if !ok || err != nil || !s.Online || s.BootID != boot {
			t.Fatalf("the broker keeps %+v (%v), want the panel's own", s, err)
		}
	}
	// What the panel said last shows that nothing else was under way.
	p.PanelChanged()
	until(t, "the panel again", func() bool { return len(c.messages(wire.TopicPanel)) == 2 })
	if n := len(c.messages(wire.TopicState)); n != 7 || p.Status().StatesRepeated != 3 {
		t.Errorf("%d states and %d corrections, want 7 and 3", n, p.Status().StatesRepeated)
	}
}

// A state of the past that the broker hands out on connecting is no reason to
// speak twice.
func TestOldRetainedState(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	c.publish(wire.TopicState, true, wire.Encode(wire.State{BootID: keyID(1), ConnSeq: 3}))
	until(t, "the old state", func() bool { _, ok := b.Topics.Retained.Get(wire.TopicState.Of(system)); return ok })
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	if got := p.Status().StatesRepeated; got != 0 {
		t.Errorf("the state was repeated %d times", got)
	}
}

// When the connection breaks, the broker says so in the panel's name, and the
// next connection has the next number.
func TestWill(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	x := startProxy(t, b.addr)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, x.addr(), newMemory(), nil)
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	x.cut()
	var will, next wire.State
	until(t, "the will and the next connection", func() bool {
		for _, s := range all[wire.State](t, c, wire.TopicState) {
			switch {
			case !s.Online:
				will = s
			case s.ConnSeq > 1:
				next = s
			}
		}
		return will.ConnSeq != 0 && next.ConnSeq != 0
	})
	if will.BootID != boot || will.ConnSeq != 1 {
		t.Errorf("the will has %v/%d, want %v/1", will.BootID, will.ConnSeq, boot)
	}
	if next.BootID != boot || next.ConnSeq != 2 {
		t.Errorf("the next connection is %v/%d, want %v/2", next.BootID, next.ConnSeq, boot)
	}
}

// A link that has gone silent without breaking is found by keepalive.
func TestHalfOpen(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	x := startProxy(t, b.addr)
	p := startPanel(t, x.addr(), newMemory(), func(o *Options) {
		o.KeepAlive, o.PingTimeout, o.ConnectTimeout = time.Second, 200*time.Millisecond, 300*time.Millisecond
	})
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	x.silent.Store(true)
	until(t, "the loss", func() bool { return !p.Status().Connected })
	x.silent.Store(false)
	until(t, "a new connection", func() bool { st := p.Status(); return st.LoopbackSeen && st.ConnSeq > 1 })
}

// Over TLS the broker's certificate has to be one that the panel trusts.
func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, "127.0.0.1:0", nil)
	if err := b.AddListener(listeners.NewNet("tls", l)); err != nil {
		t.Fatal(err)
	}
	go b.Listeners.Serve("tls", b.EstablishConnection)
	addr := l.Addr().String()

	over := func(roots *x509.CertPool) func(*Options) {
		return func(o *Options) {
			o.Broker, o.TLS = "ssl://"+addr, func() (*tls.Config, error) { return &tls.Config{RootCAs: roots}, nil }
		}
	}
	stranger := startPanel(t, addr, newMemory(), over(x509.NewCertPool()))
	until(t, "a refusal", func() bool { return strings.Contains(stranger.Status().LastError, "certificate") })
	stranger.stop()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	p := startPanel(t, addr, newMemory(), over(roots))
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
}

// On a clean stop the panel itself says that it is offline.
func TestCleanStop(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0", nil)
	c := startCentral(t, b.addr, nil)
	p := startPanel(t, b.addr, newMemory(), nil)
	until(t, "own state back", func() bool { return p.Status().LoopbackSeen })
	select {
	case <-p.Changed():
	default:
		t.Error("the link came up and nobody was told")
	}
	p.stop()
	until(t, "the goodbye", func() bool {
		return len(c.messages(wire.TopicState)) > 1 && !last[wire.State](t, c, wire.TopicState).Online
	})
	if s := last[wire.State](t, c, wire.TopicState); s.BootID != boot || s.ConnSeq != 1 {
		t.Errorf("goodbye of %v/%d", s.BootID, s.ConnSeq)
	}
	until(t, "the end of the session", func() bool { _, ok := b.Clients.Get(system); return !ok })
	if n := len(c.messages(wire.TopicState)); n != 2 {
		t.Errorf("%d states, want one hello and one goodbye (no will)", n)
	}
	if p.Status().Connected {
		t.Error("still connected after Run")
	}
}

// Through broken connections, every event reaches central's store once and in
// order, and leaves the panel's.
func TestEventsOnce(t *testing.T) {
	const total = 3000
	b := startBroker(t, "127.0.0.1:0", nil)
	x := startProxy(t, b.addr)
	var mu stdsync.Mutex
	var stored []string // guarded by mu
	startCentral(t, b.addr, func(c *central, m message) {
		if m.topic != wire.TopicEvents {
			return
		}
		e, err := wire.Decode[wire.Events](m.payload)
		if err != nil {
			t.Errorf("events can't be read: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if e.After > uint64(len(stored)) {
			return // not unbroken: neither stored nor confirmed
		}
		for _, v := range e.Entries {
			if v.Seq == uint64(len(stored))+1 {
				stored = append(stored, v.Detail)
			}
		}
		c.publish(wire.TopicAck, false, wire.Encode(wire.Ack{Events: &wire.Through{BootID: e.BootID, Seq: uint64(len(stored))}}))
	})
	m := newMemory()
	p := startPanel(t, x.addr(), m, func(o *Options) { o.ResendAfter = 100 * time.Millisecond })
	for n := 0; n < total; {
		some := min(1+rand.IntN(200), total-n)
		m.addEvents(some)
		n += some
		if rand.IntN(4) == 0 {
			until(t, "a connection", func() bool { return p.Status().Connected })
			x.cut()
		}
	}
	until(t, "an empty outbox", func() bool { _, n := m.held(); return n == 0 })
	mu.Lock()
	defer mu.Unlock()
	if len(stored) != total {
		t.Fatalf("central has %d events, want %d", len(stored), total)
	}
	for i, s := range stored {
		if want := fmt.Sprint("entry ", i+1); s != want {
			t.Fatalf("event %d is %q, want %q", i+1, s, want)
		}
	}
}
