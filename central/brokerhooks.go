package central

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"postern/wire"
)

// brokerGuard lets in who has a password, and keeps each panel to its own topics.
type brokerGuard struct {
	mochi.HookBase
	users   map[string][32]byte // nil lets everybody do everything
	central string
}

// ID names the hook.
func (g *brokerGuard) ID() string { return "postern-guard" }

// Provides says that the hook decides on connections and topics.
func (g *brokerGuard) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

// OnConnectAuthenticate compares the password.
func (g *brokerGuard) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	if g.users == nil {
		return true
	}
	want, known := g.users[string(pk.Connect.Username)]
	got := sha256.Sum256(pk.Connect.Password)
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && known
}

// OnACLCheck lets a panel write what goes up and read what goes down, and its
// own retained messages, under its own system id.
func (g *brokerGuard) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	return g.allows(string(cl.Properties.Username), topic, write)
}

func (g *brokerGuard) allows(user, topic string, write bool) bool {
	if g.users == nil || g.central != "" && user == g.central {
		return true
	}
	rest, own := strings.CutPrefix(topic, wire.Prefix+"/"+user+"/")
	if !own || user == "" {
		return false
	}
	up := false
	for _, t := range wire.UpTopics() {
		up = up || rest == string(t)
	}
	return up || !write
}

// retainedHook hands out retained messages for filters with wildcards. The
// broker's own search for them reads, without a lock, what a publish may be
// writing.
type retainedHook struct {
	mochi.HookBase
	server *mochi.Server
}

// ID names the hook.
func (h *retainedHook) ID() string { return "postern-retained" }

// Provides says that the hook sees subscriptions before and after.
func (h *retainedHook) Provides(b byte) bool {
	return b == mochi.OnSubscribe || b == mochi.OnSubscribed
}

// noRetained is the option of MQTT 5 that asks for no retained messages.
const noRetained = 2

// OnSubscribe keeps the broker from searching. MQTT 5 clients, which may ask
// for that themselves, are left alone: neither panels nor central are any.
func (h *retainedHook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if cl.Properties.ProtocolVersion >= 5 {
		return pk
	}
	for i, f := range pk.Filters {
		if strings.ContainsAny(f.Filter, "+#") {
			pk.Filters[i].RetainHandling = noRetained
		}
	}
	return pk
}

// OnSubscribed sends what the broker now doesn't, at QoS 0: in memory, and to a
// client that was there a moment ago, nothing is lost on the way.
func (h *retainedHook) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	if cl.Properties.ProtocolVersion >= 5 {
		return
	}
	for i, f := range pk.Filters {
		if f.RetainHandling != noRetained || i >= len(codes) || codes[i] > packets.CodeGrantedQos2.Code {
			continue
		}
		for topic, kept := range h.server.Topics.Retained.GetAll() {
			if !matches(f.Filter, topic) {
				continue
			}
			out := packets.Packet{
				ProtocolVersion: cl.Properties.ProtocolVersion,
				FixedHeader:     packets.FixedHeader{Type: packets.Publish, Retain: true},
				TopicName:       topic, Payload: kept.Payload, Created: kept.Created, Origin: kept.Origin,
			}
			if cl.WritePacket(out) != nil {
				return // it has gone
			}
		}
	}
}

// matches reports whether a topic is one of a filter's.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && strings.IndexAny(filter, "+#") == 0 {
		return false
	}
	want, have := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, w := range want {
		if w == "#" {
			return true
		}
		if i >= len(have) || w != "+" && w != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}
