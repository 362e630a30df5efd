package central

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// bubbleClient is an MQTT client without a broker: what is published is kept,
// and everything arrives at once.
type bubbleClient struct {
	mqtt.Client
	o *mqtt.ClientOptions

	mu  sync.Mutex // guards out
	out []sent
}

func (c *bubbleClient) Connect() mqtt.Token {
	c.o.OnConnect(c)
	return &mqtt.DummyToken{}
}

func (c *bubbleClient) Disconnect(uint) {}

func (c *bubbleClient) SubscribeMultiple(map[string]byte, mqtt.MessageHandler) mqtt.Token {
	return &mqtt.DummyToken{}
}

func (c *bubbleClient) Unsubscribe(...string) mqtt.Token { return &mqtt.DummyToken{} }

func (c *bubbleClient) Publish(topic string, _ byte, _ bool, payload any) mqtt.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, _ := payload.([]byte)
	c.out = append(c.out, sent{topic, text})
	return &mqtt.DummyToken{}
}

func (c *bubbleClient) take(topic wire.Topic) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.out {
		if m.topic == topic.Of("p1") {
			n++
		}
	}
	c.out = nil
	return n
}

type bubbleMessage struct {
	mqtt.Message
	topic   string
	payload []byte
}

func (m bubbleMessage) Topic() string   { return m.topic }
func (m bubbleMessage) Payload() []byte { return m.payload }
func (m bubbleMessage) Retained() bool  { return false }
func (m bubbleMessage) Ack()            {}

// TestLinkInVirtualTime runs the link, store and all, where time passes only
// when nobody has anything to do.
func TestLinkInVirtualTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), StoreOptions{Database: filepath.Join(dir, "c.db"), SecretKeyFile: filepath.Join(dir, "key")})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.AddPanel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		var client *bubbleClient
		l := NewLink(s, LinkOptions{Broker: "tcp://nowhere:1", Log: slog.New(slog.DiscardHandler), NewClient: func(o *mqtt.ClientOptions) mqtt.Client {
			client = &bubbleClient{o: o}
			return client
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		if !l.Connected() {
			t.Fatal("not linked")
		}
		boot := newBoot()
		give := func(topic wire.Topic, v any) {
			client.o.DefaultPublishHandler(client, bubbleMessage{topic: topic.Of("p1"), payload: wire.Encode(v)})
			time.Sleep(time.Millisecond)
		}
		give(wire.TopicState, wire.State{Online: true, BootID: boot, ConnSeq: 1})
		give(wire.TopicPanel, announcement(6, level(1)))
		give(wire.TopicReported, wire.Reported{BootID: boot, ConnSeq: 1})
		if client.take(wire.TopicDesired) != 1 {
			t.Error("no manifest on state")
		}
		err = s.update(t.Context(), func(x *tx) error {
			head, err := x.head(t.Context(), "p1")
			if err != nil {
				return err
			}
			k := access.Key{ID: newBoot(), Type: access.Code, Identification: mustCode("1234"), State: access.Enabled, Levels: []access.ID{level(1)}}
			if err := x.put(t.Context(), head, told{}, k, ""); err != nil {
				return err
			}
			return x.changed(t.Context())
		})
		if err != nil {
			t.Fatal(err)
		}
		l.Wake()
		time.Sleep(time.Millisecond)
		if n := client.take(wire.TopicChange); n != 1 {
			t.Errorf("%d batches after a change, want 1", n)
		}
		time.Sleep(DefaultResend - 2*time.Second)
		if n := client.take(wire.TopicChange); n != 0 {
			t.Errorf("%d batches before it was time", n)
		}
		time.Sleep(4 * time.Second)
		if n := client.take(wire.TopicChange); n != 1 {
			t.Errorf("%d batches after it was time, want 1", n)
		}
		// A snapshot is made beside the loop.
		give(wire.TopicState, wire.State{Online: true, BootID: boot, ConnSeq: 2})
		give(wire.TopicReported, wire.Reported{BootID: boot, ConnSeq: 2, Epoch: 1, Revision: 9})
		time.Sleep(time.Second)
		panels, err := s.Panels(t.Context())
		if err != nil || panels[0].Snapshot != "offered" {
			t.Errorf("got %+v, %v; want a snapshot offered", panels, err)
		}
		// So does a command's caller wait.
		out, err := s.Command(t.Context(), "p1", wire.CommandForgive, "")
		if err != nil || out.Result != CommandExpired {
			t.Errorf("got %+v, %v; want it expired", out, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
