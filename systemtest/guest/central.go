//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"postern/access"
	"postern/wire"
)

const (
	// systemID is the panel's, and brokerAddr what it connects to.
	systemID   = "demo-001"
	brokerAddr = "127.0.0.1:1883"
	// level opens the front door always.
	level = "2f0c4d0a-6b1e-4c55-9a52-3f6f0a9d1c01"
	epoch = 1
	// batch is how many changes go into one message, and window how many may be
	// unconfirmed.
	batch  = 100
	window = 900
)

// central is central's side of the protocol for one panel, and its broker.
type central struct {
	server *mochi.Server
	system string
	acks   chan wire.Ack

	mu        sync.Mutex // guards the rest
	sent      uint64     // the last revision that was sent
	confirmed uint64     // the highest that the panel gave a result for
	failed    []wire.Result
	online    time.Time // of the last state that says so
}

func startCentral(system string) (*central, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = wire.MaxPacket
	c := &central{
		server: mochi.New(&mochi.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)}),
		system: system, acks: make(chan wire.Ack, 1024),
	}
	if err := c.server.AddHook(new(allowAll), nil); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if err := c.server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: brokerAddr})); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if err := c.server.Serve(); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	for i, topic := range []wire.Topic{wire.TopicState, wire.TopicStatus, wire.TopicEvents} {
		if err := c.server.Subscribe(topic.Of(system), i+1, c.receive); err != nil {
			return nil, fmt.Errorf("listen to the panel: %w", err)
		}
	}
	go func() {
		for ack := range c.acks {
			_ = c.server.Publish(wire.TopicAck.Of(system), wire.Encode(ack), false, 1)
		}
	}()
	return c, nil
}

// allowAll lets everybody in: nobody else is on this machine.
type allowAll struct{ mochi.HookBase }

func (*allowAll) ID() string { return "allow-all" }

func (*allowAll) Provides(hook byte) bool {
	return hook == mochi.OnConnectAuthenticate || hook == mochi.OnACLCheck
}

func (*allowAll) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// receive takes what the panel says, and has it acknowledged.
func (c *central) receive(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
	_, topic, _ := wire.SplitTopic(p.TopicName)
	switch topic {
	case wire.TopicState:
		s, err := wire.Decode[wire.State](p.Payload)
		if err != nil {
			note("central: undecodable state: %v", err)
			return
		}
		if s.Online {
			c.mu.Lock()
			c.online = s.TS
			c.mu.Unlock()
		}
	case wire.TopicStatus:
		s, err := wire.Decode[wire.Statuses](p.Payload)
		if err != nil {
			note("central: undecodable statuses: %v", err)
			return
		}
		c.results(s.Results)
		c.acks <- wire.Ack{Status: &wire.Through{BootID: s.BootID, Seq: s.Seq}}
	case wire.TopicEvents:
		e, err := wire.Decode[wire.Events](p.Payload)
		if err != nil {
			note("central: undecodable events: %v", err)
			return
		}
		c.acks <- wire.Ack{Events: &wire.Through{BootID: e.BootID, Seq: e.Entries[len(e.Entries)-1].Seq}}
	}
}

func (c *central) results(all []wire.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range all {
		c.confirmed = max(c.confirmed, r.Revision)
		if r.Result != wire.ResultApplied {
			c.failed = append(c.failed, r)
		}
	}
}

// position gives the last revision sent and the last confirmed, and an error when
// a change failed.
func (c *central) position() (sent, confirmed uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) > 0 {
		f := c.failed[0]
		err = fmt.Errorf("%d changes failed, the first is revision %d: %s %s", len(c.failed), f.Revision, f.ErrorType, f.Detail)
	}
	return c.sent, c.confirmed, err
}

// heard waits until the panel has said after a time that it is online. It does so
// once its subscriptions stand; what is sent before reaches nobody, and this
// central sends nothing twice.
func (c *central) heard(after time.Time) error {
	return until(20*time.Second, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.online.Before(after) {
			return fmt.Errorf("the panel has not said since %v that it is online", after.UTC())
		}
		return nil
	})
}

// newKey is a key that opens the front door; n gives it its id, the same each time.
func newKey(n int, kind access.Type, identification string) (access.ID, wire.Key) {
	id := access.ID{0: 0x70, 6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id, wire.Key{Identification: identification, Type: string(kind), AccessLevels: []string{level}}
}

// put sends keys, the first of which has the number n, as one message.
func (c *central) put(n int, kind access.Type, identifications ...string) error {
	m := wire.Changes{Epoch: epoch}
	c.mu.Lock()
	for i, identification := range identifications {
		id, key := newKey(n+i, kind, identification)
		c.sent++
		m.Changes = append(m.Changes, wire.Change{
			Revision: c.sent, Op: wire.OpPut, ID: id, Claim: uint64(n + i + 1), Key: wire.Encode(key),
		})
	}
	c.mu.Unlock()
	return c.server.Publish(wire.TopicChange.Of(c.system), wire.Encode(m), false, 1)
}

// settled waits until all that was sent is confirmed as applied.
func (c *central) settled(limit time.Duration) error {
	return until(limit, func() error {
		sent, confirmed, err := c.position()
		if err == nil && confirmed < sent {
			err = fmt.Errorf("the panel has answered %d of %d changes", confirmed, sent)
		}
		return err
	})
}

const (
	// churnFirst is the number of the first key that churn changes, and churnKeys
	// how many it changes in turn.
	churnFirst = 10_000
	churnKeys  = 10_000
)

// churn sends changes of keys as fast as the panel takes them, until ctx ends.
func (c *central) churn(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; {
		sent, confirmed, err := c.position()
		if err != nil {
			return err
		}
		if sent-confirmed > window-batch {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		var ids []string
		for i := range batch {
			ids = append(ids, fmt.Sprintf("H10302:%d", 1<<34+n%churnKeys+i))
		}
		if err := c.put(churnFirst+n%churnKeys, access.Proximity, ids...); err != nil {
			return err
		}
		n += batch
	}
	return nil
}
