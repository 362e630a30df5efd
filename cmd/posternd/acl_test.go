package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// The shipped Mosquitto configuration under every topic, both ways, as everybody
// who could try. Mosquitto confirms what it throws away and subscriptions that
// hear nothing, so that only what arrives counts.

const (
	panelA, panelB = "site-001", "site-002"
	centralCN      = "postern-central"
)

// aclBroker is Mosquitto as shipped.
type aclBroker struct {
	t    *testing.T
	addr string
	pki  *pki
}

func newACLBroker(t *testing.T) *aclBroker {
	t.Helper()
	mosquittoTLS.require(t)
	dir := t.TempDir()
	b := &aclBroker{t: t, addr: freeAddr(t), pki: newPKI(t, filepath.Join(dir, "pki"))}
	for _, cn := range []string{panelA, panelB, centralCN, "+", "#"} {
		b.pki.issue(cn)
	}
	p := startMosquittoTLS(t, b.pki, dir, b.addr)
	t.Cleanup(func() { p.end(t, syscall.SIGTERM) })
	b.until("the broker listens", func() error { return listens(b.addr) })
	return b
}

func (b *aclBroker) until(what string, ok func() error) {
	b.t.Helper()
	(&site{t: b.t}).eventually(what, ok)
}

// ear is a client and what it has heard.
type ear struct {
	mqtt.Client
	lost chan error

	mu    sync.Mutex // guards heard
	heard map[string]int
}

func (b *aclBroker) options(cn, clientID string) (*mqtt.ClientOptions, *ear) {
	o, e := b.plainOptions(clientID)
	o.Servers = nil
	o.AddBroker("ssl://" + b.addr).SetTLSConfig(b.pki.client(cn))
	return o, e
}

func (b *aclBroker) plainOptions(clientID string) (*mqtt.ClientOptions, *ear) {
	e := &ear{heard: map[string]int{}, lost: make(chan error, 1)}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + b.addr).SetClientID(clientID).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(patience).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.heard[m.Topic()+" "+string(m.Payload())]++
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { e.lost <- err })
	return o, e
}

// connect lets somebody in.
func (b *aclBroker) connect(cn, clientID string) *ear {
	b.t.Helper()
	o, e := b.options(cn, clientID)
	e.Client = mqtt.NewClient(o)
	b.done("connect as "+cn, e.Connect())
	b.t.Cleanup(func() { e.Disconnect(0) })
	return e
}

func (b *aclBroker) done(what string, token mqtt.Token) {
	b.t.Helper()
	if !token.WaitTimeout(patience) {
		b.t.Fatalf("%s: no answer", what)
	}
	if err := token.Error(); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *aclBroker) subscribe(e *ear, filters ...string) {
	b.t.Helper()
	for _, f := range filters {
		b.done("subscribe to "+f, e.Subscribe(f, 1, nil))
	}
}

func (b *aclBroker) publish(e *ear, topic, text string, retained bool) {
	b.t.Helper()
	b.done("publish to "+topic, e.Publish(topic, 1, retained, text))
}

// drained waits until e has heard everything that the broker had for it: it
// hears one more message, which central sends last.
func (b *aclBroker) drained(e *ear, central *ear, topic, fence string) {
	b.t.Helper()
	b.publish(central, topic, fence, false)
	b.until("the last message", func() error {
		if e.count(topic+" "+fence) == 0 {
			return errors.New("not heard")
		}
		return nil
	})
}

func (e *ear) count(s string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[s]
}

// withText gives the topics of the messages that had this text, sorted.
func (e *ear) withText(text string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, m := range slices.Sorted(maps.Keys(e.heard)) {
		if topic, got, _ := strings.Cut(m, " "); got == text {
			out = append(out, topic)
		}
	}
	return out
}

// topicsOf are all topics of one panel, each in a form that can be published to.
func topicsOf(system string) (up, down []string) {
	for _, t := range wire.UpTopics() {
		up = append(up, t.Of(system))
	}
	for _, t := range wire.DownTopics() {
		if strings.Contains(string(t), "+") {
			t = wire.ChunkTopic(access.MustParseID(levelAlways), 3)
		}
		down = append(down, t.Of(system))
	}
	return up, down
}

func allTopics() []string {
	var all []string
	for _, system := range []string{panelA, panelB} {
		up, down := topicsOf(system)
		all = slices.Concat(all, up, down)
	}
	return all
}

// mayPublish are the topics that a certificate's owner may publish to, and mayHear
// those that it may hear.
func mayPublish(cn string) []string {
	switch cn {
	case centralCN:
		return allTopics()
	case panelA, panelB:
		up, _ := topicsOf(cn)
		return up
	}
	return nil
}

func mayHear(cn string) []string {
	switch cn {
	case centralCN:
		return allTopics()
	case panelA, panelB:
		_, down := topicsOf(cn)
		return append(down, wire.TopicState.Of(cn))
	}
	return nil
}

var aclIdentities = []string{panelA, panelB, centralCN, "+", "#"}

func TestACLPublish(t *testing.T) {
	b := newACLBroker(t)
	central := b.connect(centralCN, "observer")
	b.subscribe(central, "#")
	tried, leaks := 0, 0
	for _, cn := range aclIdentities {
		e := central // who is one session, whatever it calls itself
		if cn != centralCN {
			e = b.connect(cn, "whatever")
		}
		text := "as " + cn
		for _, retained := range []bool{false, true} {
			for _, topic := range allTopics() {
				b.publish(e, topic, text, retained)
				tried++
			}
		}
		for _, topic := range []string{"postern/v1/" + cn, "postern/v2/" + cn + "/state", "$SYS/broker/version", cn, "elsewhere"} {
			if cn == centralCN || strings.ContainsAny(topic, "+#") {
				continue
			}
			b.publish(e, topic, text, false)
			tried++
		}
		b.drained(central, central, wire.TopicAck.Of(panelA), "fence "+cn)
		want := mayPublish(cn)
		slices.Sort(want)
		if got := central.withText(text); !slices.Equal(got, want) {
			leaks++
			t.Errorf("%s published to\n%s\nwant\n%s", cn, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	t.Logf("publish: %d topics of 2 panels as %d identities, retained and not: %d tries, %d leaks", len(allTopics()), len(aclIdentities), tried, leaks)
}

func TestACLSubscribe(t *testing.T) {
	b := newACLBroker(t)
	central := b.connect(centralCN, "central")
	for _, topic := range allTopics() {
		b.publish(central, topic, "retained", true)
	}
	filters := append(allTopics(), "#", "+/#", "postern/#", "postern/v1/#", "postern/v1/+/state", "postern/v1/+/keys/change",
		"postern/v1/+/keys/snapshot/+/+", "$SYS/#", "$share/g/postern/v1/#", "$share/g/#")
	tried, leaks := 0, 0
	for _, cn := range []string{panelA, panelB, "+", "#"} {
		// One at a time, so that nothing is heard through a wider one alone.
		for _, f := range filters {
			e := b.connect(cn, "whatever")
			// Those that can't be a topic's are refused by the library or the broker.
			if token := e.Subscribe(f, 1, nil); !token.WaitTimeout(patience) {
				t.Fatalf("subscribe to %s: no answer", f)
			}
			live := "live " + f
			for _, topic := range allTopics() {
				b.publish(central, topic, live, false)
			}
			// The broker's answer to a subscription comes after all that it had before.
			b.subscribe(e, "fence")
			tried++
			allowed := mayHear(cn)
			for _, text := range []string{"retained", live} {
				for _, topic := range e.withText(text) {
					if !slices.Contains(allowed, topic) {
						leaks++
						t.Errorf("%s, subscribed to %s, heard %s on %s", cn, f, text, topic)
					}
				}
			}
			// What came before the answer may not have been handed on yet.
			both := func() bool { return e.count(f+" retained") == 1 && e.count(f+" "+live) == 1 }
			for end := time.Now().Add(patience); slices.Contains(allowed, f) && !both() && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if slices.Contains(allowed, f) && !both() {
				t.Errorf("%s does not hear its own %s", cn, f)
			}
			e.mu.Lock()
			for m := range e.heard {
				if strings.HasPrefix(m, "$SYS") {
					leaks++
					t.Errorf("%s heard %s", cn, m)
				}
			}
			e.mu.Unlock()
			e.Disconnect(0)
		}
	}
	// Central hears all of it.
	b.subscribe(central, "postern/v1/#")
	for _, topic := range allTopics() {
		b.publish(central, topic, "to central", false)
	}
	b.drained(central, central, wire.TopicAck.Of(panelA), "fence")
	if got := central.withText("to central"); len(got) != len(allTopics()) {
		t.Errorf("central heard %d topics, want %d", len(got), len(allTopics()))
	}
	t.Logf("subscribe: %d filters as 4 identities, each against %d topics retained and live: %d tries, %d leaks", len(filters), len(allTopics()), tried*2*len(allTopics()), leaks)
}

// A last will is a message that the broker sends in somebody's name.
func TestACLWill(t *testing.T) {
	b := newACLBroker(t)
	central := b.connect(centralCN, "central")
	b.subscribe(central, "#")
	tried := 0
	for _, cn := range []string{panelA, "+", "#"} {
		for _, topic := range allTopics() {
			tried++
			o, e := b.options(cn, "whatever")
			var raw net.Conn
			o.SetBinaryWill(topic, []byte("will of "+cn), 1, false)
			dial := &net.Dialer{}
			o.SetCustomOpenConnectionFn(tlsDial(dial, b.addr, b.pki.client(cn), &raw))
			e.Client = mqtt.NewClient(o)
			token := e.Connect()
			if !token.WaitTimeout(patience) {
				t.Fatal("connect: no answer")
			}
			if raw != nil {
				raw.Close() // without goodbye: the will is due
			}
		}
		b.connect(cn, "last") // takes over from the one before, whose will is due by then
		want := mayPublish(cn)
		slices.Sort(want)
		b.until("the wills of "+cn, func() error {
			if got := central.withText("will of " + cn); len(got) < len(want) {
				return fmt.Errorf("%d of %d", len(got), len(want))
			}
			return nil
		})
		b.drained(central, central, wire.TopicAck.Of(panelA), "fence "+cn)
		if got := central.withText("will of " + cn); !slices.Equal(got, want) {
			t.Errorf("wills of %s were heard on\n%s\nwant\n%s", cn, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	t.Logf("wills: %d topics as 3 identities: %d tries", len(allTopics()), tried)
}

// Without a certificate of the authority nobody gets in.
func TestACLStrangers(t *testing.T) {
	b := newACLBroker(t)
	other := newPKI(t, filepath.Join(t.TempDir(), "other"))
	other.issue(centralCN)
	b.pki.issue("expired", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.Add(-time.Hour), c.NotBefore })
	b.pki.issue("nameless", func(c *x509.Certificate) { c.Subject.CommonName = "" })
	foreign := other.client(centralCN)
	foreign.RootCAs = b.pki.client("").RootCAs
	central := b.connect(centralCN, "central")
	b.subscribe(central, "#")
	for _, who := range []string{"nobody", "another authority", "expired", "nameless", "without TLS"} {
		o, e := b.options("", who)
		switch who {
		case "nobody":
			o.SetUsername(centralCN).SetPassword("x")
		case "another authority":
			o.SetTLSConfig(foreign)
		case "expired", "nameless":
			o.SetTLSConfig(b.pki.client(who))
		case "without TLS":
			o.Servers = nil
			o.AddBroker("tcp://" + b.addr)
		}
		e.Client = mqtt.NewClient(o)
		token := e.Connect()
		if !token.WaitTimeout(patience) {
			t.Fatalf("%s: no answer", who)
		}
		if token.Error() == nil {
			t.Errorf("%s gets in", who)
			for _, topic := range allTopics() {
				b.publish(e, topic, "stranger", false)
			}
			e.Disconnect(0)
		}
	}
	b.drained(central, central, wire.TopicAck.Of(panelA), "fence")
	if got := central.withText("stranger"); len(got) > 0 {
		t.Errorf("strangers were heard on %v", got)
	}
}

// Whose session it is says the certificate, not the client id.
func TestACLStolenCertificateTakesNoSession(t *testing.T) {
	b := newACLBroker(t)
	central := b.connect(centralCN, "postern-central")
	victim := b.connect(panelA, "postern-"+panelA)
	ack := wire.TopicAck.Of(panelA)
	b.subscribe(victim, ack)
	for _, id := range []string{"postern-" + panelA, panelA, "postern-central", centralCN, "", "\x00"} {
		o, thief := b.options(panelB, id)
		thief.Client = mqtt.NewClient(o)
		token := thief.Connect()
		if !token.WaitTimeout(patience) {
			t.Fatalf("connect as %q: no answer", id)
		}
		in := token.Error() == nil
		if in {
			b.subscribe(thief, ack)
		}
		// Both are still there, and the thief hears nothing.
		b.drained(victim, central, ack, "for A, beside "+id)
		if in {
			b.subscribe(thief, "fence")
			if got := thief.count(ack + " for A, beside " + id); got != 0 {
				t.Errorf("client id %q hears the panel's messages", id)
			}
		}
		thief.Disconnect(0)
	}
	select {
	case err := <-victim.lost:
		t.Errorf("the panel's session was ended: %v", err)
	case err := <-central.lost:
		t.Errorf("central's session was ended: %v", err)
	default:
	}
	// The same certificate again is the same panel: that one takes over.
	b.connect(panelA, "anything")
	select {
	case err := <-victim.lost:
		t.Log("as it should:", err)
	case <-time.After(patience):
		t.Error("two clients are one panel at the same time")
	}
}

// The longest message passes, a longer one ends its sender's connection.
func TestACLPacketSize(t *testing.T) {
	b := newACLBroker(t)
	central := b.connect(centralCN, "central")
	panel := b.connect(panelA, "panel")
	b.subscribe(panel, wire.TopicChange.Of(panelA))
	longest := strings.Repeat("x", wire.MaxPayload)
	b.publish(central, wire.TopicChange.Of(panelA), longest, false)
	b.until("the longest message", func() error {
		if panel.count(wire.TopicChange.Of(panelA)+" "+longest) != 1 {
			return errors.New("not heard")
		}
		return nil
	})
	central.Publish(wire.TopicChange.Of(panelA), 1, false, strings.Repeat("x", wire.MaxPacket+1))
	select {
	case err := <-central.lost:
		t.Log("as it should:", err)
	case <-time.After(patience):
		t.Error("a longer one is taken")
	}
}
