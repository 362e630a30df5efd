package central

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// mqttPanel is a panel at a real broker that keeps the same rules as fakePanel.
type mqttPanel struct {
	t      *testing.T
	system string
	client mqtt.Client

	mu sync.Mutex // guards p, which paho's goroutine uses too
	p  *fakePanel
	// deaf drops what comes down, as a network may.
	deaf   bool
	answer func(wire.Command) wire.CommandResult // what becomes of commands
}

func dial(t *testing.T, broker, id, user, password string, set func(*mqtt.ClientOptions)) (mqtt.Client, error) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(id).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetProtocolVersion(4).SetOrderMatters(true)
	if set != nil {
		set(o)
	}
	c := mqtt.NewClient(o)
	token := c.Connect()
	token.Wait()
	return c, token.Error()
}

func newMQTTPanel(t *testing.T, k *kit, broker, system string) *mqttPanel {
	m := &mqttPanel{t: t, system: system, p: newFakePanel(&rig{kit: k}, system)}
	m.connect(broker)
	return m
}

func (m *mqttPanel) connect(broker string) {
	m.t.Helper()
	m.mu.Lock()
	m.p.conn++
	will := wire.Encode(m.p.state(false))
	m.mu.Unlock()
	c, err := dial(m.t, broker, m.system, "", "", func(o *mqtt.ClientOptions) {
		o.SetBinaryWill(wire.TopicState.Of(m.system), will, 1, true)
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.client = c
	m.t.Cleanup(func() { c.Disconnect(100) })
	for _, topic := range wire.DownTopics() {
		token := c.Subscribe(topic.Of(m.system), 1, func(_ mqtt.Client, msg mqtt.Message) { m.arrive(msg) })
		if token.Wait(); token.Error() != nil {
			m.t.Fatal(token.Error())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.send(wire.TopicState, m.p.state(true))
	m.send(wire.TopicPanel, announcement(6, level(1)))
	m.send(wire.TopicReported, m.p.reported())
	m.sendRows()
}

func (m *mqttPanel) send(topic wire.Topic, v any) {
	m.client.Publish(topic.Of(m.system), 1, topic.Retained(), wire.Encode(v))
}

func (m *mqttPanel) sendRows() {
	for _, s := range m.p.statuses() {
		m.send(wire.TopicStatus, s)
	}
	for _, e := range m.p.runs(2) {
		m.send(wire.TopicEvents, e)
	}
}

func (m *mqttPanel) arrive(msg mqtt.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		return
	}
	_, topic, _ := wire.SplitTopic(msg.Topic())
	payload := msg.Payload()
	if topic.Signed() {
		var err error
		if payload, err = m.p.trust.Open(m.system, topic, payload); err != nil {
			m.t.Errorf("%s: %v", topic, err)
			return
		}
	}
	switch topic {
	case wire.TopicAck:
		m.p.confirmed(payload)
		return
	case wire.TopicCommand:
		if c, err := wire.Decode[wire.Command](payload); err == nil && m.answer != nil {
			m.send(wire.TopicResult, m.answer(c))
		}
		return
	case wire.TopicChange:
	default:
		return
	}
	if m.p.apply(payload) {
		m.send(wire.TopicReported, m.p.reported())
		m.sendRows()
	}
}

func (m *mqttPanel) with(fn func(p *fakePanel)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(m.p)
}

// until waits for something that goroutines bring about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run starts a link and gives what stops it.
func runLink(t *testing.T, k *kit, o LinkOptions) (*Link, func()) {
	t.Helper()
	o.Log = k.opts.Log
	l := NewLink(k.store, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return l, stop
}

func startBroker(t *testing.T, o BrokerOptions) *Broker {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	b, err := StartBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestLink(t *testing.T) {
	k := newKit(t)
	if err := k.store.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, BrokerOptions{})
	o := LinkOptions{Broker: "tcp://" + b.Addr(), Resend: 200 * time.Millisecond}
	// Central's clock stands still in this kit; resending needs one that runs.
	k.store.now = time.Now
	l, stop := runLink(t, k, o)
	k.api = NewAPI(k.store, APIOptions{Wake: l.Wake, Linked: l.Connected})
	p := newMQTTPanel(t, k, b.Addr(), "p1")
	until(t, "the panel's level is known", func() bool {
		levels, err := k.store.Levels(t.Context())
		return err == nil && len(levels) == 1
	})
	applied := func(id access.ID) func() bool {
		return func() bool { return k.status(id).Status == statusApplied }
	}
	first := k.addCard(1, level(1))
	until(t, "the key is applied", applied(first))
	p.with(func(p *fakePanel) {
		for range 5 {
			p.happen(granted)
		}
	})
	p.with(func(*fakePanel) { p.sendRows() })
	until(t, "the events are confirmed", func() bool {
		left := 1
		p.with(func(f *fakePanel) { left = len(f.events) })
		return left == 0
	})

	// What is lost on the way comes again.
	p.with(func(*fakePanel) { p.deaf = true })
	second := k.addCard(2, level(1))
	until(t, "it was sent in vain", func() bool { return len(l.flights) == 0 && k.status(second).Status == statusPending })
	p.with(func(*fakePanel) { p.deaf = false })
	until(t, "the lost change is applied", applied(second))

	// Central stops, things happen, central starts again.
	stop()
	third := k.addCard(3, level(1))
	p.with(func(f *fakePanel) { f.happen(granted); p.sendRows() })
	if k.status(third).Status != statusPending {
		t.Error("applied without a link")
	}
	l, stop = runLink(t, k, o)
	until(t, "the change of in between is applied", applied(third))

	// The broker is wiped and everybody comes back.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the link is down", func() bool { return !l.Connected() })
	fourth := k.addCard(4, level(1))
	startBroker(t, BrokerOptions{Listen: b.Addr()})
	p.connect(b.Addr())
	until(t, "the change of in between is applied", applied(fourth))

	// A panel that dies leaves its will.
	p.client.Disconnect(0)
	p.with(func(f *fakePanel) { f.conn++ })
	stop()
	if n := k.head("p1").revision; n != 4 {
		t.Errorf("the log has %d revisions, want 4", n)
	}
	if strings.Contains(k.logs.String(), "level=ERROR") {
		t.Errorf("errors in the log:\n%s", k.logs.String())
	}
}

func TestWill(t *testing.T) {
	k := newKit(t)
	if err := k.store.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, BrokerOptions{})
	runLink(t, k, LinkOptions{Broker: "tcp://" + b.Addr()})
	online := func(want bool) func() bool {
		return func() bool {
			panels, err := k.store.Panels(t.Context())
			return err == nil && panels[0].Online == want
		}
	}
	p := newMQTTPanel(t, k, b.Addr(), "p1")
	until(t, "the panel is online", online(true))
	// Another client of the same id: the broker drops the first, whose will follows.
	c, err := dial(t, b.Addr(), "p1", "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(100)
	until(t, "its will has come", online(false))
	_ = p
}

func TestLinkWithoutBroker(t *testing.T) {
	k := newKit(t)
	b := startBroker(t, BrokerOptions{})
	addr := b.Addr()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	l, stop := runLink(t, k, LinkOptions{Broker: "tcp://" + addr})
	until(t, "it has tried", func() bool { return strings.Contains(k.logs.String(), "no link to the broker") })
	startBroker(t, BrokerOptions{Listen: addr})
	until(t, "it is linked", l.Connected)
	stop()
	if l.Connected() {
		t.Error("linked after it was stopped")
	}
}

func TestBrokerGuard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte("# panels\np1:one\n\np2:two:colons\ncentral:all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, BrokerOptions{PasswordFile: file, Central: "central"})
	for name, c := range map[string]struct {
		user, password string
		ok             bool
	}{
		"right":        {"p1", "one", true},
		"with colons":  {"p2", "two:colons", true},
		"wrong":        {"p1", "two", false},
		"unknown user": {"p3", "", false},
		"nobody":       {"", "", false},
	} {
		client, err := dial(t, b.Addr(), "x"+c.user, c.user, c.password, nil)
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
		client.Disconnect(50)
	}
	g := &brokerGuard{users: map[string][32]byte{}, central: "central"}
	for _, c := range []struct {
		user, topic string
		write, ok   bool
	}{
		{"p1", "postern/v1/p1/state", true, true},
		{"p1", "postern/v1/p1/keys/status", true, true},
		{"p1", "postern/v1/p1/keys/change", false, true},
		{"p1", "postern/v1/p1/keys/change", true, false},
		{"p1", "postern/v1/p1/ack", true, false},
		{"p1", "postern/v1/p1/ack", false, true},
		{"p1", "postern/v1/p2/keys/change", false, false},
		{"p1", "postern/v1/p2/state", true, false},
		{"p1", "postern/v1/p1", true, false},
		{"p1", "postern/v1/+/keys/change", false, false},
		{"p1", "#", false, false},
		{"", "postern/v1//state", true, false},
		{"central", "postern/v1/+/state", false, true},
		{"central", "postern/v1/p1/keys/change", true, true},
	} {
		if got := g.allows(c.user, c.topic, c.write); got != c.ok {
			t.Errorf("%q at %s (write %v): got %v, want %v", c.user, c.topic, c.write, got, c.ok)
		}
	}
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"readable": {"p1:one\n", 0o644},
		"no colon": {"p1\n", 0o600},
		"twice":    {"p1:a\np1:b\n", 0o600},
		"bad user": {"p 1:a\n", 0o600},
		"empty":    {"p1:\n", 0o600},
	} {
		file := filepath.Join(t.TempDir(), "passwords")
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if b, err := StartBroker(BrokerOptions{Listen: "127.0.0.1:0", PasswordFile: file}); err == nil {
			_ = b.Close()
			t.Errorf("password file %s: no error", name)
		}
	}
	for _, listen := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0"} {
		if b, err := StartBroker(BrokerOptions{Listen: listen}); err == nil {
			_ = b.Close()
			t.Errorf("open to everybody on %s: no error", listen)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"postern/v1/+/state", "postern/v1/p1/state", true},
		{"postern/v1/+/state", "postern/v1/p1/panel", false},
		{"postern/v1/+/state", "postern/v1/p1/state/x", false},
		{"postern/v1/+/state", "postern/v1/p1", false},
		{"postern/#", "postern/v1/p1/state", true},
		{"postern/#", "postern", true},
		{"#", "postern/v1/p1/state", true},
		{"#", "$SYS/broker/uptime", false},
		{"+/broker/uptime", "$SYS/broker/uptime", false},
		{"$SYS/#", "$SYS/broker/uptime", true},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("%s with %s: got %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

// TestServe runs all of it, as the program does.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	c := DefaultConfig()
	c.Database, c.SecretKeyFile = filepath.Join(dir, "central.db"), filepath.Join(dir, "key")
	c.Listen, c.Broker.Listen = "127.0.0.1:0", "127.0.0.1:0"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &logs{}
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	go func() { done <- Serve(ctx, c, newKitLog(l), func(a Addresses) { ready <- a }) }()
	var at Addresses
	select {
	case at = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	s, err := Open(t.Context(), StoreOptions{Database: c.Database, SecretKeyFile: c.SecretKeyFile})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, err := s.CreateAPIKey(t.Context(), APIKeySpec{Integration: "x"})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+at.HTTP+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key.Secret)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var v json.RawMessage
		_ = json.NewDecoder(res.Body).Decode(&v)
		return res.StatusCode, string(v)
	}
	// A panel that is there before it is known is noticed soon after.
	kit := &kit{t: t, clock: newClock(), store: s, logs: l}
	p := newMQTTPanel(t, kit, at.Broker, "p1")
	until(t, "the stranger was noticed", func() bool { return strings.Contains(l.String(), "unknown panel") })
	if err := s.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	until(t, "the panel is online", func() bool {
		panels, err := s.Panels(t.Context())
		return err == nil && panels[0].Online && panels[0].Name != ""
	})
	status, body := post("/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"access_levels":[%q]}`, level(1)))
	if status != 200 {
		t.Fatalf("add: got %d %s", status, body)
	}
	id := uuids.FindString(body)
	until(t, "the key is applied", func() bool {
		_, body := post("/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id))
		return strings.Contains(body, `"status":"Applied"`)
	})
	p.client.Disconnect(50)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
