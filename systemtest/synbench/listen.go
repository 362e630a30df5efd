package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/systemtest/faults/site"
	"postern/wire"
)

// listener hears at the broker what panel and central say, and when.
type listener struct {
	client mqtt.Client

	mu       sync.Mutex // guards the rest
	asked    time.Time  // first chunks asked for since reset
	changed  time.Time  // first change sent since reset
	messages int        // with changes since reset
	at       wire.Reported
	reported chan struct{}            // has one in it after a report
	also     func(wire.Topic, []byte) // hears every message too; may be nil
}

func listen(broker string) (*listener, error) {
	l := &listener{reported: make(chan struct{}, 1)}
	l.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("synbench").
		SetAutoReconnect(true).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetOrderMatters(true).SetWriteTimeout(10 * time.Second).
		SetOnConnectHandler(func(c mqtt.Client) { c.SubscribeMultiple(heard(), l.take) }))
	t := l.client.Connect()
	if !t.WaitTimeout(20 * time.Second) {
		return nil, errors.New("the broker does not answer")
	}
	return l, t.Error()
}

// heard is what is listened to. Chunks would cost as much as the panel's own way
// to them.
func heard() map[string]byte {
	all := map[string]byte{}
	for _, t := range []wire.Topic{wire.TopicNeed, wire.TopicChange, wire.TopicReported, wire.TopicStatus, wire.TopicEvents} {
		all[t.Of(site.SystemID)] = 1
	}
	return all
}

func (l *listener) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.changed, l.messages = time.Time{}, time.Time{}, 0
}

func (l *listener) take(_ mqtt.Client, m mqtt.Message) {
	now := time.Now()
	_, topic, ok := wire.SplitTopic(m.Topic())
	if !ok {
		return
	}
	l.mu.Lock()
	also := l.also
	defer l.mu.Unlock()
	switch topic {
	case wire.TopicNeed:
		if n, err := wire.Decode[wire.Need](m.Payload()); err == nil && len(n.Chunks) > 0 && l.asked.IsZero() {
			l.asked = now
		}
	case wire.TopicChange:
		l.messages++
		if l.changed.IsZero() {
			l.changed = now
		}
	case wire.TopicReported:
		if r, err := wire.Decode[wire.Reported](m.Payload()); err == nil {
			l.at = r
			select {
			case l.reported <- struct{}{}:
			default:
			}
		}
	}
	if also != nil {
		also(topic, m.Payload())
	}
}

// hear has f called with every message.
func (l *listener) hear(f func(wire.Topic, []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.also = f
}

func (l *listener) position() wire.Reported {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// until waits until the panel has reported a position, and gives when.
func (l *listener) until(ctx context.Context, what string, ok func(wire.Reported) bool) (time.Time, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if ok(l.position()) {
			return time.Now(), nil
		}
		select {
		case <-l.reported:
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-limit.C:
			p := l.position()
			return time.Time{}, fmt.Errorf("%s: not within %s; the panel reports %d/%d", what, patience, p.Epoch, p.Revision)
		}
	}
}

// patience bounds every wait.
const patience = 5 * time.Minute
