package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"postern/access"
	"postern/systemtest/faults/site"
	"postern/wire"
)

// hand is central's part done by hand: single changes, each a signed message of
// its own, at most a window ahead of what the panel has reported.
type hand struct {
	l       *listener
	private ed25519.PrivateKey
}

const handKID = "synbench"

// newHand makes a signing key; trust is how a panel takes it.
func newHand() (h *hand, trust string, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	return &hand{private: private}, handKID + ":" + base64.StdEncoding.EncodeToString(public), nil
}

func (h *hand) publish(t wire.Topic, payload []byte) {
	h.l.client.Publish(t.Of(site.SystemID), 1, false, h.sign(t, payload))
}

func (h *hand) sign(t wire.Topic, payload []byte) []byte {
	return wire.Sign(h.private, handKID, site.SystemID, t, payload)
}

// acknowledge answers results and events as central does.
func (h *hand) acknowledge(t wire.Topic, payload []byte) {
	var a wire.Ack
	switch t {
	case wire.TopicStatus:
		if s, err := wire.Decode[wire.Statuses](payload); err == nil {
			a.Status = &wire.Through{BootID: s.BootID, Seq: s.Seq}
		}
	case wire.TopicEvents:
		if e, err := wire.Decode[wire.Events](payload); err == nil {
			a.Events = &wire.Through{BootID: e.BootID, Seq: e.Entries[len(e.Entries)-1].Seq}
		}
	}
	if a.Status != nil || a.Events != nil {
		h.publish(wire.TopicAck, wire.Encode(a))
	}
}

// window is how far changes are sent ahead of what the panel has reported. Each
// is a message of its own, which Mosquitto drops past the end of its queue.
const window = 500

// put sends n single changes, each of a new key, and gives the keys and how long it
// took from the first until the panel has reported the last.
func (h *hand) put(ctx context.Context, n, firstCard int) (keys []access.ID, took time.Duration, err error) {
	level, err := access.ParseID(site.LevelAll)
	if err != nil {
		return nil, 0, err
	}
	for range n {
		keys = append(keys, access.ID(uuid.New()))
	}
	took, err = h.send(ctx, n, func(i int) (wire.Change, error) {
		k, err := newKey(keys[i], level, firstCard+i)
		return wire.Change{Op: wire.OpPut, ID: k.ID, Claim: uint64(1_000_000_000 + i), Key: wire.EncodeKey(k, pin(firstCard+i))}, err
	})
	return keys, took, err
}

// remove sends single changes that remove keys.
func (h *hand) remove(ctx context.Context, keys []access.ID) error {
	_, err := h.send(ctx, len(keys), func(i int) (wire.Change, error) {
		return wire.Change{Op: wire.OpRemove, ID: keys[i]}, nil
	})
	return err
}

// send sends single changes, and gives how long it took from the first until the
// panel has reported the last.
func (h *hand) send(ctx context.Context, n int, change func(i int) (wire.Change, error)) (time.Duration, error) {
	from := h.l.position()
	messages := make([][]byte, n)
	for i := range messages {
		c, err := change(i)
		if err != nil {
			return 0, err
		}
		c.Revision = from.Revision + uint64(i) + 1
		payload := wire.Encode(wire.Changes{Epoch: from.Epoch, Changes: []wire.Change{c}})
		if len(payload) > wire.MaxPayload {
			return 0, fmt.Errorf("a change of %d bytes", len(payload))
		}
		messages[i] = h.sign(wire.TopicChange, payload)
	}
	var lacks atomic.Uint64 // revision after which the panel lacks some, when it says so
	h.l.hear(func(t wire.Topic, payload []byte) {
		if n, err := wire.Decode[wire.Need](payload); t == wire.TopicNeed && err == nil && n.Want == wire.WantDelta {
			lacks.Store(n.HaveRevision)
		}
		h.acknowledge(t, payload)
	})
	defer h.l.hear(nil)
	start, head := time.Now(), from.Revision+uint64(n)
	for next := from.Revision + 1; ; {
		if back := lacks.Swap(0); back >= from.Revision && back < next {
			next = back + 1
		}
		at := h.l.position().Revision
		if at == head {
			return time.Since(start), nil
		}
		if next <= head && next <= at+window {
			h.l.client.Publish(wire.TopicChange.Of(site.SystemID), 1, false, messages[next-from.Revision-1])
			next++
			continue
		}
		if time.Since(start) > patience {
			return 0, fmt.Errorf("not within %s: the panel is at %d of %d", patience, at, head)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-h.l.reported:
		case <-time.After(time.Second): // or it lacks some
		}
	}
}

func newKey(id, level access.ID, card int) (access.Key, error) {
	ident, err := access.ParseIdentification(access.Proximity, cardOf(card))
	return access.Key{
		ID: id, Type: access.Proximity, Identification: ident, State: access.Enabled, Levels: []access.ID{level},
		ValidFrom: validFrom, ValidTo: validTo, Person: id,
	}, err
}

// What all keys of the measurements are like: a window, and a PIN for every other.
var (
	validFrom = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validTo   = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

func pin(card int) string {
	if card%2 == 0 {
		return fmt.Sprintf("%04d", card%10_000)
	}
	return ""
}
