package main

import (
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/systemtest/faults/site"
	"postern/wire"
)

// observer listens at the broker and counts what was sent how often. It misses
// what passes while it is not connected, so that its counts are the least.
type observer struct {
	client mqtt.Client

	mu sync.Mutex // guards the rest
	traffic
	revisions map[uint64]bool
	events    map[eventID]bool
	statuses  map[eventID]bool
}

// traffic is what an observer saw.
type traffic struct {
	ChangeMessages int `json:"change_messages"`
	Changes        int `json:"changes"`
	ChangesAgain   int `json:"changes_again"`
	StatusRows     int `json:"status_rows"`
	StatusesAgain  int `json:"status_rows_again"`
	Events         int `json:"events"`
	EventsAgain    int `json:"events_again"`
	Acks           int `json:"acks"`
	Needs          int `json:"needs"`
	Connections    int `json:"panel_connections"`
}

func observe(broker string) *observer {
	o := &observer{revisions: map[uint64]bool{}, events: map[eventID]bool{}, statuses: map[eventID]bool{}}
	o.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("observer").
		SetAutoReconnect(true).SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
		SetMaxReconnectInterval(100 * time.Millisecond).SetOrderMatters(true).
		SetOnConnectHandler(func(c mqtt.Client) { c.Subscribe(wire.Prefix+"/"+site.SystemID+"/#", 0, o.take) }))
	o.client.Connect()
	return o
}

func (o *observer) close() { o.client.Disconnect(100) }

func (o *observer) seen() traffic {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.traffic
}

func (o *observer) take(_ mqtt.Client, m mqtt.Message) {
	system, topic, ok := wire.SplitTopic(m.Topic())
	if !ok || m.Retained() {
		return
	}
	payload := m.Payload()
	if topic.Signed() {
		var err error
		if payload, err = (wire.Trust{}).Open(system, topic, payload); err != nil {
			return
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch topic {
	case wire.TopicChange:
		if b, err := wire.DecodeChanges(payload); err == nil {
			o.change(b)
		}
	case wire.TopicStatus:
		if s, err := wire.Decode[wire.Statuses](payload); err == nil {
			o.StatusRows++
			o.StatusesAgain += again(o.statuses, eventID{s.BootID, s.Seq})
		}
	case wire.TopicEvents:
		if e, err := wire.Decode[wire.Events](payload); err == nil {
			for _, entry := range e.Entries {
				o.Events++
				o.EventsAgain += again(o.events, eventID{e.BootID, entry.Seq})
			}
		}
	case wire.TopicAck:
		o.Acks++
	case wire.TopicNeed:
		o.Needs++
	case wire.TopicState:
		if s, err := wire.Decode[wire.State](payload); err == nil && s.Online {
			o.Connections++
		}
	}
}

func (o *observer) change(b access.Batch) {
	o.ChangeMessages++
	for _, u := range b.Updates {
		o.Changes++
		o.ChangesAgain += again(o.revisions, u.Revision)
	}
}

// again notes an identity, and gives 1 where it was there before.
func again[K comparable](seen map[K]bool, k K) int {
	if seen[k] {
		return 1
	}
	seen[k] = true
	return 0
}
