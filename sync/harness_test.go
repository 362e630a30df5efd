package sync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"postern/access"
	"postern/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	system   = "gate-1"
	patience = 20 * time.Second // until a test gives up; nothing is asserted about time
)

var boot = access.MustParseID("5c1f2d3e-0a1b-4c2d-8e3f-102030405060")

// until polls for something that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// testBroker is a real one in this process, with an empty store.
type testBroker struct {
	*mochi.Server
	addr string
	once stdsync.Once
}

// rules lets everyone in; what is nil refuses nothing.
type rules struct {
	mochi.HookBase
	may    func(client, topic string, write bool) bool
	ignore func(topic string) bool // publishes are acknowledged and thrown away
	broker *mochi.Server
}

func (h *rules) ID() string { return "rules" }

func (h *rules) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish || b == mochi.OnSubscribe || b == mochi.OnSubscribed
}

// OnSubscribe keeps the broker from searching what it retains for a filter with
// wildcards: it reads without a lock what a publish may be writing. OnSubscribed
// sends it instead.
func (h *rules) OnSubscribe(_ *mochi.Client, pk packets.Packet) packets.Packet {
	for i, f := range pk.Filters {
		if strings.Contains(f.Filter, "+") {
			pk.Filters[i].RetainHandling = 2
		}
	}
	return pk
}

func (h *rules) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	for i, f := range pk.Filters {
		if f.RetainHandling != 2 || codes[i] > packets.CodeGrantedQos2.Code {
			continue
		}
		for topic, kept := range h.broker.Topics.Retained.GetAll() {
			want, have := strings.Split(f.Filter, "/"), strings.Split(topic, "/")
			if slices.EqualFunc(want, have, func(w, t string) bool { return w == "+" || w == t }) {
				_ = cl.WritePacket(packets.Packet{
					ProtocolVersion: cl.Properties.ProtocolVersion, FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: true},
					TopicName: topic, Payload: kept.Payload,
				})
			}
		}
	}
}

func (h *rules) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *rules) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	return h.may == nil || h.may(c.ID, topic, write)
}

func (h *rules) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if h.ignore != nil && h.ignore(pk.TopicName) {
		return pk, packets.CodeSuccessIgnore
	}
	return pk, nil
}

func startBroker(t *testing.T, addr string, r *rules) *testBroker {
	t.Helper()
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumMessageExpiryInterval = 0
	b := &testBroker{Server: mochi.New(&mochi.Options{Capabilities: caps, Logger: slog.New(slog.DiscardHandler)})}
	if r == nil {
		r = &rules{}
	}
	r.broker = b.Server
	if err := b.AddHook(r, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})
	if err := b.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	b.addr = l.Address()
	t.Cleanup(b.stop)
	return b
}

func (b *testBroker) stop() { b.once.Do(func() { _ = b.Close() }) }

// unacked is how many messages the broker waits for the client to acknowledge.
func (b *testBroker) unacked(client string) int {
	if c, ok := b.Clients.Get(client); ok {
		return c.State.Inflight.Len()
	}
	return 0
}

// proxy is a way to the broker that can be cut, and that can go silent.
type proxy struct {
	l      net.Listener
	to     string
	mu     stdsync.Mutex
	conns  map[net.Conn]bool // guarded by mu
	silent atomic.Bool       // bytes vanish on connections, old and new
	wg     stdsync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: to, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = near.Close()
				continue
			}
			p.mu.Lock()
			p.conns[near], p.conns[far] = true, true
			p.mu.Unlock()
			p.wg.Go(func() { p.copy(near, far) })
			p.wg.Go(func() { p.copy(far, near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.silent.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut breaks every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// memory is a Replica that obeys the rules.
type memory struct {
	mu        stdsync.Mutex // guards all below
	boot      access.ID
	pos       access.Position
	puts      map[access.ID]uint64
	statuses  []access.StatusRow
	seq       uint64
	events    []access.Event
	eventSeq  uint64
	fail      error
	block     chan struct{} // Apply waits for it when not nil
	status    chan struct{}
	event     chan struct{}
	poison    uint64 // a revision that the store can't take
	ackedBoot access.ID
	ackedSeq  uint64
	applies   [][2]uint64 // first and last revision of each call of Apply

	staged    access.Snapshot
	chunks    map[int][]byte
	dropped   []access.ID // snapshots that were unstaged, or replaced
	tries     int         // calls of Stage
	stages    int         // of them taken
	stageErr  error
	chunkErr  error
	chunkHold chan struct{} // StageChunk waits for it when not nil
	hold      chan struct{} // Install waits for it when not nil
	installs  int           // calls of Install
	failOnce  error         // of the next Install
	lostKey   bool
}

func newMemory() *memory {
	return &memory{boot: boot, puts: map[access.ID]uint64{}, status: make(chan struct{}, 1), event: make(chan struct{}, 1)}
}

func (m *memory) Apply(ctx context.Context, b access.Batch) (access.Position, error) {
	m.mu.Lock()
	block := m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return access.Position{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first := b.Updates[0].Revision
	m.applies = append(m.applies, [2]uint64{first, b.Updates[len(b.Updates)-1].Revision})
	switch {
	case m.poison != 0 && first <= m.poison && b.Updates[len(b.Updates)-1].Revision >= m.poison:
		return m.pos, errDisk
	case m.fail != nil:
		return m.pos, m.fail
	case m.pos.Epoch == 0 && first == 1:
		m.pos.Epoch = b.Epoch
	case m.pos.Epoch == 0 || b.Epoch == m.pos.Epoch && first > m.pos.Revision+1:
		return m.pos, access.ErrGap
	case b.Epoch < m.pos.Epoch:
		return m.pos, access.ErrOldEpoch
	case b.Epoch > m.pos.Epoch:
		return m.pos, access.ErrNewEpoch
	}
	row := access.StatusRow{Epoch: b.Epoch}
	for _, u := range b.Updates {
		r := access.Result{Revision: u.Revision, ID: u.ID, At: time.Unix(1600000000, 0).UTC()}
		if u.Fault != "" {
			r.Error, r.Detail = access.InvalidKey, u.Fault
		}
		row.Results = append(row.Results, r)
		if u.Revision <= m.pos.Revision {
			continue
		}
		if old, ok := m.puts[u.ID]; ok {
			m.pos.Digest = m.pos.Digest.Sub(u.ID, old)
			delete(m.puts, u.ID)
		}
		if u.Op == access.Put {
			m.puts[u.ID] = u.Revision
			m.pos.Digest = m.pos.Digest.Add(u.ID, u.Revision)
		}
		m.pos.Revision, m.pos.Count = u.Revision, uint64(len(m.puts))
	}
	m.addStatus(row)
	return m.pos, nil
}

func (m *memory) Stage(_ context.Context, s access.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	switch {
	case m.stageErr != nil:
		return m.stageErr
	case s.Epoch < m.pos.Epoch:
		return access.ErrOldEpoch
	case s.Epoch == m.pos.Epoch && s.Revision < m.pos.Revision:
		return access.ErrStale
	}
	m.stages++
	if s.ID == m.staged.ID {
		return nil
	}
	m.unstage()
	m.staged, m.chunks = s, map[int][]byte{}
	return nil
}

func (m *memory) unstage() {
	if !m.staged.ID.IsZero() {
		m.dropped = append(m.dropped, m.staged.ID)
	}
	m.staged, m.chunks = access.Snapshot{}, nil
}

func (m *memory) Unstage(context.Context) error {
	m.set((*memory).unstage)
	return nil
}

func (m *memory) Staged() (s access.Snapshot, missing []int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := 0; n < m.staged.Chunks && len(missing) < wire.MaxNeedChunks; n++ {
		if m.chunks[n] == nil {
			missing = append(missing, n)
		}
	}
	return m.staged, missing, !m.staged.ID.IsZero()
}

func (m *memory) StageChunk(ctx context.Context, id access.ID, n int, data []byte) error {
	m.mu.Lock()
	hold := m.chunkHold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	want := min(access.ChunkSize, m.staged.Bytes-int64(n)*access.ChunkSize)
	switch {
	case m.chunkErr != nil:
		return m.chunkErr
	case id != m.staged.ID || int64(len(data)) != want:
		return errors.New("not a chunk of what is staged")
	}
	m.chunks[n] = slices.Clone(data)
	return nil
}

func (m *memory) Install(ctx context.Context) (access.Position, error) {
	m.mu.Lock()
	hold := m.hold
	m.installs++
	m.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return access.Position{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failOnce; err != nil {
		m.failOnce = nil
		return m.pos, err
	}
	s := m.staged
	var data []byte
	for n := range s.Chunks {
		data = append(data, m.chunks[n]...)
	}
	m.unstage()
	m.dropped = nil
	if sha256.Sum256(data) != s.SHA256 {
		return m.pos, errHash
	}
	// What was applied since the snapshot is replayed; here only its revision matters.
	revision := s.Revision
	if m.pos.Epoch == s.Epoch {
		revision = max(revision, m.pos.Revision)
	}
	m.pos = access.Position{Epoch: s.Epoch, Revision: revision, Digest: s.Digest, Count: s.Count}
	m.lostKey = false
	m.addStatus(access.StatusRow{Epoch: s.Epoch, Snapshot: s.ID, Revision: s.Revision, Part: 1, Of: 1})
	return m.pos, nil
}

func (m *memory) PINKeyLost() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lostKey
}

func (m *memory) addStatus(row access.StatusRow) {
	m.seq++
	row.BootID, row.Seq, row.After = m.boot, m.seq, m.seq-1
	m.statuses = append(m.statuses, row)
	signal(m.status)
}

func (m *memory) addEvents(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.eventSeq++
		m.events = append(m.events, access.Event{
			Seq: m.eventSeq, BootID: m.boot, At: time.Unix(1600000000, 0).UTC(), Clock: access.ClockTrusted,
			Type: access.GrantedCard, Door: "front", Detail: fmt.Sprint("entry ", m.eventSeq),
		})
	}
	signal(m.event)
}

func (m *memory) Position() access.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pos
}

func (m *memory) LastStatus() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq
}

func (m *memory) NextStatus(after uint64) (access.StatusRow, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range m.statuses {
		if row.Seq > after {
			row.Oldest = m.statuses[0].Seq
			return row, true, nil
		}
	}
	return access.StatusRow{}, false, nil
}

func (m *memory) Confirmed() (access.ID, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ackedBoot, m.ackedSeq
}

func (m *memory) AckStatus(_ context.Context, boot access.ID, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.statuses, func(r access.StatusRow) bool { return r.Seq == seq && r.BootID == boot }) {
		m.statuses = slices.DeleteFunc(m.statuses, func(r access.StatusRow) bool { return r.Seq <= seq })
		m.ackedBoot, m.ackedSeq = boot, seq
	}
	return nil
}

func (m *memory) NextEvents(after uint64, limit int) (access.EventRun, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var run access.EventRun
	for _, e := range m.events {
		if e.Seq <= after {
			continue
		}
		if len(run.Events) == limit || len(run.Events) > 0 && e.BootID != run.BootID {
			break
		}
		if len(run.Events) == 0 {
			run.BootID, run.After, run.Oldest = e.BootID, e.Seq-1, m.events[0].Seq
		}
		run.Events = append(run.Events, e)
	}
	return run, len(run.Events) > 0, nil
}

func (m *memory) AckEvents(_ context.Context, boot access.ID, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.events, func(e access.Event) bool { return e.Seq == seq && e.BootID == boot }) {
		m.events = slices.DeleteFunc(m.events, func(e access.Event) bool { return e.Seq <= seq })
	}
	return nil
}

func (m *memory) StatusReady() <-chan struct{} { return m.status }
func (m *memory) EventsReady() <-chan struct{} { return m.event }

func (m *memory) held() (statuses, events int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.statuses), len(m.events)
}

func (m *memory) set(f func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// journal keeps what the client reports.
type journal struct {
	mu     stdsync.Mutex
	events []access.Event // guarded by mu
}

func (j *journal) add(e access.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) list() []access.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

// panel is a client at work.
type panel struct {
	*Client
	*memory
	journal journal
	stop    func() // ends Run and waits for it
}

// startPanel runs a client with short intervals; change may set others.
func startPanel(t *testing.T, addr string, m *memory, change func(*Options)) *panel {
	t.Helper()
	p := &panel{memory: m}
	o := Options{
		SystemID: system, Broker: "tcp://" + addr, BootID: m.boot, Version: "1.2.0", Replica: m, Journal: p.journal.add,
		Clock: func() string { return "trusted" },
		Panel: func() wire.Panel {
			return wire.Panel{
				Doors: []wire.Named{{ID: "front", Name: "Front"}}, AccessPoints: []wire.Point{}, AccessLevels: []wire.PanelLevel{},
			}
		},
		ResendAfter: time.Minute, NeedAfter: 50 * time.Millisecond, LoopbackAfter: time.Minute, ReportAfter: 5 * time.Millisecond,
		StateAfter: 5 * time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond, ConnectTimeout: 2 * time.Second,
		WriteTimeout: 500 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Client = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	p.stop = stdsync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(p.stop)
	return p
}

// message is one that central received.
type message struct {
	topic    wire.Topic
	payload  []byte
	retained bool
}

// central is scripted: it keeps what the panel says, and does what act does,
// in a goroutine of its own.
type central struct {
	mq  paho.Client
	mu  stdsync.Mutex
	got []message // guarded by mu
}

func startCentral(t *testing.T, addr string, act func(c *central, m message)) *central {
	t.Helper()
	c := &central{}
	work := make(chan message, 10_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range work {
			if act != nil {
				act(c, m)
			}
		}
	}()
	ready := make(chan struct{})
	o := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("central").SetProtocolVersion(4).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(2 * time.Second)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		id, topic, ok := wire.SplitTopic(m.Topic())
		if !ok || id != system {
			t.Errorf("message on topic %s", m.Topic())
			return
		}
		msg := message{topic, m.Payload(), m.Retained()}
		c.mu.Lock()
		c.got = append(c.got, msg)
		c.mu.Unlock()
		<-ready
		work <- msg
	})
	until(t, "central's connection", func() bool {
		c.mq = paho.NewClient(o)
		token := c.mq.Connect()
		token.Wait()
		return token.Error() == nil
	})
	close(ready)
	filters := map[string]byte{}
	for _, topic := range wire.UpTopics() {
		filters[topic.Of("+")] = 1
	}
	if token := c.mq.SubscribeMultiple(filters, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("central's subscription: %v", token.Error())
	}
	// The broker hands out what it kept after its answer; the answer to another
	// message says that it is done.
	if token := c.mq.Publish("test/barrier", 1, false, "x"); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("central's barrier: %v", token.Error())
	}
	t.Cleanup(func() {
		c.mq.Disconnect(500)
		close(work)
		<-done
	})
	return c
}

func (c *central) publish(topic wire.Topic, retained bool, payload []byte) {
	c.mq.Publish(topic.Of(system), 1, retained, payload)
}

// send publishes changes first…last of an epoch, each a put of a key of its own.
func (c *central) send(epoch, first, last uint64) {
	c.publish(wire.TopicChange, false, changesOf(epoch, first, last))
}

func changesOf(epoch, first, last uint64) []byte {
	b := wire.Changes{Epoch: epoch}
	for r := first; r <= last; r++ {
		b.Changes = append(b.Changes, wire.Change{
			Revision: r, Op: wire.OpPut, ID: keyID(r), Claim: r,
			Key: wire.Encode(wire.Key{Identification: fmt.Sprintf("%013d", r), Type: "proximity", AccessLevels: []string{}}),
		})
	}
	return wire.Encode(b)
}

func keyID(r uint64) access.ID {
	return access.MustParseID(fmt.Sprintf("e18574c0-0fde-475c-951f-%012x", r))
}

func (c *central) messages(topic wire.Topic) []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.got), func(m message) bool { return m.topic != topic })
}

// all decodes what came on a topic.
func all[T any](t *testing.T, c *central, topic wire.Topic) []T {
	t.Helper()
	var out []T
	for _, m := range c.messages(topic) {
		v, err := wire.Decode[T](m.payload)
		if err != nil {
			t.Fatalf("%s can't be read: %v\n%s", topic, err, m.payload)
		}
		out = append(out, v)
	}
	return out
}

// last is the newest of a topic, the zero value before the first.
func last[T any](t *testing.T, c *central, topic wire.Topic) T {
	t.Helper()
	list := all[T](t, c, topic)
	if len(list) == 0 {
		var zero T
		return zero
	}
	return list[len(list)-1]
}

// at waits until the panel has reported a position.
func (c *central) at(t *testing.T, epoch, revision uint64) wire.Reported {
	t.Helper()
	var r wire.Reported
	until(t, fmt.Sprintf("report of epoch %d, revision %d", epoch, revision), func() bool {
		r = last[wire.Reported](t, c, wire.TopicReported)
		return r.Epoch == epoch && r.Revision == revision
	})
	return r
}

var (
	errDisk = errors.New("no space left on device")
	errHash = errors.New("the snapshot is not what its manifest says")
)
