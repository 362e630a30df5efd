package sync

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	stdsync "sync"
	"testing"
	"testing/synctest"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// ether takes the place of the MQTT library and the broker, in virtual time. It
// keeps what the panel says and hands the panel's own state back to it.
type ether struct {
	mu      stdsync.Mutex // guards all below
	o       *paho.ClientOptions
	up      bool
	said    []message
	states  int // handed back
	acked   int
	refuses bool // connections
}

type token struct{ err error }

func (t token) Wait() bool                     { return true }
func (t token) WaitTimeout(time.Duration) bool { return true }
func (t token) Error() error                   { return t.err }

func (t token) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// wireless is one connection's client.
type wireless struct {
	paho.Client
	e *ether
	o *paho.ClientOptions
}

func (e *ether) newClient(o *paho.ClientOptions) paho.Client { return &wireless{e: e, o: o} }

func (w *wireless) Connect() paho.Token {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if w.e.refuses {
		return token{errors.New("connection refused")}
	}
	w.e.o, w.e.up = w.o, true
	return token{}
}

func (w *wireless) IsConnectionOpen() bool {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	return w.e.up && w.e.o == w.o
}

func (w *wireless) Disconnect(uint) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if w.e.o == w.o {
		w.e.up = false
	}
}

func (w *wireless) SubscribeMultiple(map[string]byte, paho.MessageHandler) paho.Token { return token{} }

func (w *wireless) Publish(topic string, _ byte, retained bool, payload any) paho.Token {
	_, t, _ := wire.SplitTopic(topic)
	data := payload.([]byte)
	w.e.mu.Lock()
	w.e.said = append(w.e.said, message{t, data, retained})
	if t == wire.TopicState {
		w.e.states++
	}
	w.e.mu.Unlock()
	if t == wire.TopicState {
		w.o.DefaultPublishHandler(nil, &parcel{e: w.e, topic: topic, payload: data})
	}
	return token{}
}

// parcel is a message to the panel.
type parcel struct {
	paho.Message
	e        *ether
	topic    string
	payload  []byte
	retained bool
}

func (p *parcel) Topic() string   { return p.topic }
func (p *parcel) Payload() []byte { return p.payload }
func (p *parcel) Retained() bool  { return p.retained }

func (p *parcel) Ack() {
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	p.e.acked++
}

// station is a panel in virtual time, with central played by the test.
type station struct {
	*Client
	ether   *ether
	t       *testing.T
	m       *memory
	site    *fakeSite
	journal journal
	told    int
}

// inVirtualTime runs a test with a panel that is connected. Time stands still
// while anything is left to do.
func inVirtualTime(t *testing.T, change func(*Options, *memory), test func(s *station)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &station{t: t, m: newMemory(), site: &fakeSite{}, ether: &ether{}}
		o := Options{
			SystemID: system, Broker: "tcp://nowhere", BootID: boot, Version: "1.2.0", Replica: s.m, Site: s.site, Journal: s.journal.add,
			Clock: func() string { return "trusted" }, Panel: func() wire.Panel { return wire.Panel{} }, NewClient: s.ether.newClient,
		}
		if change != nil {
			change(&o, s.m)
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Client = c
		ctx, cancel := context.WithCancel(t.Context())
		var wg stdsync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		synctest.Wait()
		test(s)
		s.m.free()
		cancel()
		wg.Wait()
	})
}

// free lets go of what a test has held up.
func (m *memory) free() {
	m.set(func(m *memory) {
		for _, c := range []*chan struct{}{&m.block, &m.chunkHold, &m.hold} {
			if *c != nil {
				close(*c)
				*c = nil
			}
		}
	})
}

// tell sends the panel a message, and waits until it has made of it what it can.
func (s *station) tell(topic wire.Topic, payload []byte) {
	s.send(topic, payload, false)
	synctest.Wait()
}

func (s *station) send(topic wire.Topic, payload []byte, retained bool) {
	s.ether.mu.Lock()
	o := s.ether.o
	s.told++
	s.ether.mu.Unlock()
	o.DefaultPublishHandler(nil, &parcel{e: s.ether, topic: topic.Of(system), payload: payload, retained: retained})
}

// pass lets time go by.
func (s *station) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// cut breaks the connection; the panel is back after pass.
func (s *station) cut() {
	s.ether.mu.Lock()
	o := s.ether.o
	s.ether.up = false
	s.ether.mu.Unlock()
	o.OnConnectionLost(nil, errors.New("cut"))
	synctest.Wait()
}

// reconnect cuts the connection and waits for the next one.
func (s *station) reconnect() {
	s.t.Helper()
	seq := s.Status().ConnSeq
	s.cut()
	for range 120 {
		if s.pass(500 * time.Millisecond); s.Status().Connected {
			break
		}
	}
	if st := s.Status(); !st.Connected || st.ConnSeq != seq+1 {
		s.t.Fatalf("not back on a new connection: %+v", st)
	}
}

func (s *station) heardOn(topic wire.Topic) []message {
	s.ether.mu.Lock()
	defer s.ether.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.ether.said), func(m message) bool { return m.topic != topic })
}

// forget leaves out of what was said all that came before.
func (s *station) forget() {
	s.ether.mu.Lock()
	defer s.ether.mu.Unlock()
	s.ether.said = nil
}

// unackedNow is how many of the messages told were not acknowledged.
func (s *station) unackedNow() int {
	s.ether.mu.Lock()
	defer s.ether.mu.Unlock()
	return s.told + s.ether.states - s.ether.acked
}

// heard decodes all that the panel said on a topic.
func heard[T any](s *station, topic wire.Topic) []T {
	s.t.Helper()
	out := []T{}
	for _, m := range s.heardOn(topic) {
		v, err := wire.Decode[T](m.payload)
		if err != nil {
			s.t.Fatalf("central can't read %s: %v\n%s", topic, err, m.payload)
		}
		if m.retained != topic.Retained() {
			s.t.Errorf("%s was sent with retained %v", topic, m.retained)
		}
		out = append(out, v)
	}
	return out
}

func (s *station) needs() []wire.Need { s.t.Helper(); return heard[wire.Need](s, wire.TopicNeed) }

func (s *station) reports() []wire.Reported {
	s.t.Helper()
	return heard[wire.Reported](s, wire.TopicReported)
}

// position is the last that the panel reported.
func (s *station) reportedNow() wire.Reported {
	s.t.Helper()
	r := s.reports()
	if len(r) == 0 {
		s.t.Fatal("nothing was reported")
	}
	return r[len(r)-1]
}

// fakeSite is a Site that does as it is told.
type fakeSite struct {
	mu       stdsync.Mutex // guards all below
	status   wire.PolicyStatus
	has      bool
	policies []string
	orders   []wire.DoorModes
	policy   wire.Version
	modes    wire.Version
	fail     error
	done     []string        // commands
	ends     []time.Duration // left of each command's time
	hold     chan struct{}   // Policy waits for it when not nil
}

func (f *fakeSite) Policy(_ context.Context, doc []byte) wire.PolicyStatus {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policies = append(f.policies, string(doc))
	f.status.Epoch, f.status.Revision, f.has = 3, f.status.Revision+1, true
	f.policy = f.status.Version
	return f.status
}

func (f *fakeSite) PolicyStatus() (wire.PolicyStatus, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.has
}

func (f *fakeSite) Modes(_ context.Context, m wire.DoorModes) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, m)
	if f.fail == nil {
		f.modes = m.Version
	}
	return f.fail
}

func (f *fakeSite) Versions() (policy, modes wire.Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.policy, f.modes
}

func (f *fakeSite) Command(ctx context.Context, name, target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	end, _ := ctx.Deadline()
	f.done, f.ends = append(f.done, fmt.Sprint(name, " ", target)), append(f.ends, time.Until(end))
	return f.fail
}

func (f *fakeSite) set(change func(*fakeSite)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// stand puts a replica at a position without a change.
func stand(epoch, revision uint64) func(*memory) {
	return func(m *memory) { m.pos = access.Position{Epoch: epoch, Revision: revision} }
}

func signingKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
