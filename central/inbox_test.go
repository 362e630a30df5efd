package central

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"postern/wire"
)

// TestInboxShares: a panel that floods fills its own share and leaves the rest
// to the others.
func TestInboxShares(t *testing.T) {
	for name, c := range map[string]struct{ bytes, fit int }{
		"many":  {0, maxWaiting / shares},
		"large": {wire.MaxPayload, maxWaitingBytes / shares / wire.MaxPayload},
	} {
		t.Run(name, func(t *testing.T) {
			b := newInbox()
			payload := make([]byte, c.bytes)
			put := func(system string) room { return b.put(message{system: system, payload: payload}) }
			for i := range c.fit {
				if got := put("flood"); got != roomTaken {
					t.Fatalf("message %d: got %d, want it taken", i, got)
				}
			}
			if a, b := put("flood"), put("flood"); a != roomFirst || b != roomShare {
				t.Errorf("beyond the share: got %d and %d, want %d and %d", a, b, roomFirst, roomShare)
			}
			if got := put("other"); got != roomTaken {
				t.Errorf("another panel's: got %d, want it taken", got)
			}
			// When all of the flood's are out it is known that some were refused.
			for i := range c.fit {
				m, refused, ok := b.next()
				want := 0
				if i == c.fit-1 {
					want = 2
				}
				if !ok || m.system != "flood" || refused != want {
					t.Fatalf("message %d: got %q, %d refused, want %d", i, m.system, refused, want)
				}
			}
			if got := put("flood"); got != roomTaken {
				t.Errorf("after it was emptied: got %d", got)
			}
			for range 2 {
				if _, refused, ok := b.next(); !ok || refused != 0 {
					t.Errorf("got %d refused, want none", refused)
				}
			}
			if _, _, ok := b.next(); ok || len(b.of) != 0 || b.waiting != (share{}) {
				t.Errorf("an empty inbox holds %v of %v", b.waiting, b.of)
			}
			for i := range shares {
				for range c.fit {
					put(fmt.Sprint(i))
				}
			}
			if got := put("last"); got != roomNone {
				t.Errorf("a full inbox: got %d, want %d", got, roomNone)
			}
		})
	}
}

// TestMissed: what the broker keeps of a panel whose messages were dropped is
// asked for again.
func TestMissed(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6)
	var recalled []string
	if err := r.e.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.e.out.recall = func(system string) { recalled = append(recalled, system) }
	r.e.missed("stranger", 1)
	r.e.missed("p1", 3)
	if fmt.Sprint(recalled) != "[p1]" {
		t.Errorf("recalled %v, want p1", recalled)
	}
}

type allowAll struct{ mochi.HookBase }

func (*allowAll) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*allowAll) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

// looseBroker is a broker that hands out packets of any length.
func looseBroker(t *testing.T) string {
	t.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(&allowAll{}, nil); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddListener(listeners.NewNet("tcp", l)); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// TestOversize: what is too long is left out before it takes memory, and before
// the broker stops sending for it, a new session begins.
func TestOversize(t *testing.T) {
	k := newKit(t)
	if err := k.store.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	addr := looseBroker(t)
	l, _ := runLink(t, k, LinkOptions{Broker: "tcp://" + addr})
	until(t, "it is linked", l.Connected)
	c, err := dial(t, addr, "x", "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(100) })
	long := make([]byte, wire.MaxPacket+1)
	send := func(n int) {
		t.Helper()
		for range n {
			waitFor(t, c.Publish(wire.TopicState.Of("p1"), 1, false, long))
		}
	}
	logged := func(text string) func() bool { return func() bool { return strings.Contains(k.logs.String(), text) } }
	send(1)
	p := newMQTTPanel(t, k, addr, "p1")
	until(t, "what follows is read", func() bool {
		panels, err := k.store.Panels(t.Context())
		return err == nil && panels[0].Online
	})
	until(t, "it is logged", logged("too long and left out"))
	if strings.Contains(k.logs.String(), "no link to the broker") {
		t.Error("one long message ended the session")
	}
	send(maxOversize)
	until(t, "a new session begins", logged("messages were too long\""))
	until(t, "it is linked again", l.Connected)
	p.client.Disconnect(100)
}

func waitFor(t *testing.T, token mqtt.Token) {
	t.Helper()
	if token.Wait(); token.Error() != nil {
		t.Fatal(token.Error())
	}
}
