package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

// The main job through NATS server's MQTT.
func TestNATSKeyOpensDoor(t *testing.T) {
	s := newSiteOn(t, nats, nil)
	roundTrip(s)
}

// The broker goes away and comes back; what happened meanwhile is made up for.
func TestNATSRestart(t *testing.T) {
	s := newSiteOn(t, nats, nil)
	s.wantStatus(s.addCard(card).ID, "Applied")
	s.restartBroker()
	s.wantStatus(s.addCard("EM:77").ID, "Applied")
	s.badge("front", "0000000000077", 102)
	s.wantEvents(1, 102)
}

// What NATS can't do must be nothing that Postern uses: a shared subscription
// hears nothing there.
func TestNATSSharedSubscription(t *testing.T) {
	s := &site{t: t, kind: nats, dir: t.TempDir(), mqtt: freeAddr(t)}
	nats.require(t)
	s.startBroker()
	defer s.broker.end(t, syscall.SIGTERM)
	connect := func(id string) (mqtt.Client, chan string) {
		heard := make(chan string, 100)
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID(id).SetProtocolVersion(4).
			SetConnectTimeout(patience).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }))
		s.token("connect", c.Connect())
		t.Cleanup(func() { c.Disconnect(0) })
		return c, heard
	}
	sharing, shared := connect("sharing")
	plain, heard := connect("plain")
	topic := wire.TopicEvents.Of(panelA)
	// It may be refused or confirmed; what counts is whether anything comes.
	sharing.Subscribe("$share/g/postern/v1/+/events", 1, nil).WaitTimeout(patience)
	s.token("subscribe", plain.Subscribe(wire.TopicEvents.Of("+"), 1, nil))
	s.token("publish", plain.Publish(topic, 1, false, "one"))
	s.token("subscribe again", sharing.Subscribe("fence", 1, nil))
	s.token("publish fence", plain.Publish("fence", 1, false, "fence"))
	select {
	case got := <-heard:
		if got != "one" {
			t.Errorf("heard %q", got)
		}
	case <-time.After(patience):
		t.Error("a plain subscription hears nothing")
	}
	select {
	case got := <-shared:
		if got != "fence" {
			t.Errorf("a shared subscription heard %q: docs/brokers.md says that it hears nothing", got)
		}
	case <-time.After(patience):
		t.Error("the fence is not heard")
	}
	for _, topic := range append(wire.UpTopics(), wire.DownTopics()...) {
		if strings.Contains(string(topic), "$share") {
			t.Errorf("%s is a shared subscription", topic)
		}
	}
}

// NATS server's permissions as docs/brokers.md has them: a panel says and hears
// what is its own, and no more.
func TestNATSPermissions(t *testing.T) {
	nats.require(t)
	s := &site{t: t, kind: nats, dir: t.TempDir(), mqtt: freeAddr(t)}
	s.natsUsers = "authorization { users: [\n" +
		natsUser(centralCN, []string{wire.Prefix + "/>"}, []string{wire.Prefix + "/>"}) +
		natsUser(panelA, mayPublish(panelA), chunksOf(mayHear(panelA))) +
		natsUser(panelB, mayPublish(panelB), chunksOf(mayHear(panelB))) + "] }\n"
	s.startBroker()
	defer s.broker.end(t, syscall.SIGTERM)
	b := &aclBroker{t: t, addr: s.mqtt}
	connect := func(user string) *ear {
		o, e := b.plainOptions(user)
		o.SetUsername(user).SetPassword("password of " + user)
		e.Client = mqtt.NewClient(o)
		b.done("connect as "+user, e.Connect())
		t.Cleanup(func() { e.Disconnect(0) })
		return e
	}
	central := connect(centralCN)
	for _, topic := range wire.UpTopics() {
		b.subscribe(central, topic.Of("+")) // as central does
	}
	tried := 0
	panel := connect(panelA)
	hears := mayHear(panelA)
	for _, f := range append(allTopics(), "#", "postern/v1/#", "postern/v1/+/ack", "$MQTT/sub/#") {
		token, ok := panel.Subscribe(f, 1, nil).(*mqtt.SubscribeToken)
		if !ok || !token.WaitTimeout(patience) {
			t.Fatalf("subscribe to %s: no answer", f)
		}
		tried++
		if refused := token.Result()[f] > 2; refused == slices.Contains(hears, f) {
			t.Errorf("subscription to %s: refused %v", f, refused)
		}
	}
	for _, topic := range allTopics() {
		b.publish(panel, topic, "from A", false)
		b.publish(central, topic, "from central", false)
		tried += 2
	}
	b.drained(panel, central, wire.TopicAck.Of(panelA), "fence")
	b.drained(central, central, wire.TopicState.Of(panelA), "fence")
	for _, tt := range []struct {
		who  string
		got  []string
		want []string
	}{
		{"central", central.withText("from A"), mayPublish(panelA)},
		{"the panel", panel.withText("from central"), hears},
		{"the panel, of itself,", panel.withText("from A"), []string{wire.TopicState.Of(panelA)}},
	} {
		slices.Sort(tt.want)
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s heard\n%s\nwant\n%s", tt.who, strings.Join(tt.got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	t.Logf("NATS permissions: %d tries", tried)
	// With NATS's own protocol a panel could hear everybody's deliveries.
	c, err := net.Dial("tcp", s.natsOwn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"user\":%q,\"pass\":%q}\r\nSUB $MQTT.sub.> 1\r\nPING\r\n", panelA, "password of "+panelA); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(io.LimitReader(c, 64<<10)) // it hangs up
	if !strings.Contains(string(answer), "-ERR 'Authorization Violation'") || strings.Contains(string(answer), "PONG") {
		t.Errorf("a panel's user with NATS's own protocol is told %s", answer)
	}
	longest := strings.Repeat("x", wire.MaxPayload)
	b.publish(central, wire.TopicChange.Of(panelA), longest, false)
	b.until("the longest message", func() error {
		if panel.count(wire.TopicChange.Of(panelA)+" "+longest) != 1 {
			return errorf("not heard")
		}
		return nil
	})
}

// chunksOf has every chunk of every snapshot in place of one.
func chunksOf(topics []string) []string {
	for i, topic := range topics {
		if head, _, ok := strings.Cut(topic, "/keys/snapshot/"); ok {
			topics[i] = head + "/keys/snapshot/*/*"
		}
	}
	return topics
}

// natsUser is one user's line. Subjects are topics with dots; what comes with QoS
// 1 is delivered through $MQTT.sub.
func natsUser(name string, publish, subscribe []string) string {
	subjects := func(topics []string) string {
		var out []string
		for _, topic := range topics {
			out = append(out, strconv.Quote(strings.ReplaceAll(topic, "/", ".")))
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	return fmt.Sprintf("  { user: %q, password: %q, allowed_connection_types: [\"MQTT\"], permissions: { publish: %s, subscribe: %s } }\n",
		name, "password of "+name, subjects(publish), subjects(append(subscribe, "$MQTT/sub/>")))
}

// Who connects under a client id ends the session that has it, whoever that is:
// users of NATS are not bound to client ids, as panels are with Mosquitto as
// shipped. Doors go on, and the panel comes back.
func TestNATSClientIDIsAnybodys(t *testing.T) {
	nats.require(t)
	s := &site{t: t, kind: nats, dir: t.TempDir(), mqtt: freeAddr(t)}
	s.natsUsers = `authorization { users: [
  { user: "site-001", password: "a" }, { user: "site-002", password: "b" }
] }
`
	s.startBroker()
	defer s.broker.end(t, syscall.SIGTERM)
	lost := make(chan error, 1)
	connect := func(user, password string) {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID("postern-site-001").
			SetUsername(user).SetPassword(password).SetProtocolVersion(4).SetConnectTimeout(patience).SetAutoReconnect(false).
			SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }))
		s.token("connect", c.Connect())
		t.Cleanup(func() { c.Disconnect(0) })
	}
	connect("site-001", "a")
	connect("site-002", "b")
	select {
	case err := <-lost:
		t.Log("as it is:", err)
	case <-time.After(patience):
		t.Error("the session stays: docs/brokers.md says that it is taken over")
	}
}

func (s *site) token(what string, token mqtt.Token) {
	s.t.Helper()
	if !token.WaitTimeout(patience) {
		s.t.Fatalf("%s: no answer", what)
	}
	if err := token.Error(); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}
