//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"postern/systemtest/cuts/history"
	"postern/wire"
)

const (
	brokerAddr = "127.0.0.1:1883"
	// ahead is how many revisions may be sent that are not answered; again is
	// after how long without an answer they are sent again.
	ahead = 60
	again = 3 * time.Second
	// patience is how long posternd may take to report, on a busy host.
	patience = 5 * time.Minute
)

// central is central's side of the protocol for one panel, and its broker.
type central struct {
	server *mochi.Server
	acks   chan wire.Ack

	mu       sync.Mutex // guards the rest
	reported *wire.Reported
	have     uint64    // the highest revision that the panel has answered
	moved    time.Time // when it last rose, or was sent again from
}

func startCentral() (*central, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = wire.MaxPacket
	c := &central{
		server: mochi.New(&mochi.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)}),
		acks:   make(chan wire.Ack, 1024),
	}
	err := errors.Join(
		c.server.AddHook(new(allowAll), nil),
		c.server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: brokerAddr})),
		c.server.Serve(),
	)
	for i, topic := range []wire.Topic{wire.TopicReported, wire.TopicStatus, wire.TopicEvents} {
		err = errors.Join(err, c.server.Subscribe(topic.Of(history.SystemID), i+1, c.receive))
	}
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	// Not from receive, which is the broker's own goroutine.
	go func() {
		for ack := range c.acks {
			_ = c.server.Publish(wire.TopicAck.Of(history.SystemID), wire.Encode(ack), false, 1)
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

// receive tells the host what the panel has acknowledged, and then confirms it to
// the panel: of what is confirmed the panel keeps less.
func (c *central) receive(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
	_, topic, _ := wire.SplitTopic(p.TopicName)
	var err error
	switch topic {
	case wire.TopicReported:
		err = c.onReported(p.Payload)
	case wire.TopicStatus:
		err = c.onStatus(p.Payload)
	case wire.TopicEvents:
		err = c.onEvents(p.Payload)
	}
	if err != nil {
		say(history.LineFatal, fmt.Sprintf("what the panel sent on %s: %v", topic, err))
	}
}

func (c *central) onReported(payload []byte) error {
	r, err := wire.Decode[wire.Reported](payload)
	if err != nil {
		return err
	}
	say(history.LineReported, r.Revision)
	c.mu.Lock()
	c.reported = &r
	c.mu.Unlock()
	c.upTo(r.Revision)
	return nil
}

func (c *central) onStatus(payload []byte) error {
	s, err := wire.Decode[wire.Statuses](payload)
	if err != nil {
		return err
	}
	failed := 0
	for i, r := range s.Results {
		if r.Result != wire.ResultApplied {
			failed++
		}
		if r.Revision != s.Results[0].Revision+uint64(i) {
			return fmt.Errorf("result %d is of revision %d, after %d", i, r.Revision, s.Results[0].Revision)
		}
	}
	last := s.Results[len(s.Results)-1].Revision
	say(history.LineResults, s.Results[0].Revision, last, failed)
	c.upTo(last)
	c.acks <- wire.Ack{Status: &wire.Through{BootID: s.BootID, Seq: s.Seq}}
	return nil
}

func (c *central) onEvents(payload []byte) error {
	m, err := wire.Decode[wire.Events](payload)
	if err != nil {
		return err
	}
	for _, e := range m.Entries {
		say(history.LineEvent, e.Seq, history.Event(m.BootID, e.Seq, e.Type, e.At.UnixNano(), e.Door, e.Point, e.KeyID, e.Credential, e.Detail))
	}
	c.acks <- wire.Ack{Events: &wire.Through{BootID: m.BootID, Seq: m.Entries[len(m.Entries)-1].Seq}}
	return nil
}

func (c *central) upTo(revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision > c.have {
		c.have, c.moved = revision, time.Now()
	}
}

// waitReport waits until the panel has said where it is.
func (c *central) waitReport(ctx context.Context, died <-chan error) error {
	for end := time.Now().Add(patience); ; {
		c.mu.Lock()
		there := c.reported != nil
		c.mu.Unlock()
		if there {
			return nil
		}
		select {
		case err := <-died:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("the panel reported nothing within %v", patience)
		}
	}
}

// send sends changes as fast as the panel answers them, in batches of all sizes,
// until ctx ends.
func (c *central) send(ctx context.Context) {
	sent := uint64(0)
	for ctx.Err() == nil {
		c.mu.Lock()
		have := c.have
		if lost := sent > have && time.Since(c.moved) > again; lost || sent < have {
			sent, c.moved = have, time.Now()
		}
		c.mu.Unlock()
		if sent-have > ahead {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		m := wire.Changes{Epoch: history.Epoch}
		for range 1 + rand.IntN(history.MaxBatch) {
			sent++
			m.Changes = append(m.Changes, history.Change(sent))
		}
		if err := c.server.Publish(wire.TopicChange.Of(history.SystemID), wire.Encode(m), false, 1); err != nil {
			say(history.LineFatal, err)
			return
		}
	}
}
