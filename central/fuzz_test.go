package central

import (
	"net/http"
	"strings"
	"testing"

	"postern/wire"
)

// FuzzHTTP sends bodies to every endpoint: whatever they hold, it is never our
// fault, and what is refused changes nothing.
func FuzzHTTP(f *testing.F) {
	for _, s := range []string{
		sampleCreate, sampleUpdate, sampleMalformed, `{}`, `{"key":{"type":"code"}}`, `{"continuation_key":"e30"}`,
		`{"id":"` + level(1).String() + `","systems":["p1"],"limit":3}`, `{"key":{"identification":"EM:1|MC:2","type":"proximity"},"person":{"first_name":"x"}}`,
		`{"id":null,"pin":null,"state":"blacklisted","access_levels":null}`,
	} {
		f.Add(uint8(0), s, "")
		f.Add(uint8(1), s, "token")
		f.Add(uint8(2), s, "\x00")
		f.Add(uint8(4), s, "")
	}
	k := newKit(f)
	k.panel("p1", 6, level(1), sampleLevel)
	paths := []string{"/v1/accesskeys/add", "/v1/accesskeys/remove", "/v1/accesskeys/status", "/v1/accesslevels/list", "/v1/events/list"}
	f.Fuzz(func(t *testing.T, path uint8, body, token string) {
		k.t = t
		k.logs.b.Reset()
		before := k.dump()
		r := k.send(k.secret, paths[int(path)%len(paths)], body, "Idempotency-Key", token)
		switch {
		case r.status >= 500:
			t.Fatalf("got %d %s\n%s", r.status, r.body, k.logs)
		case r.status >= 400:
			r.code(t)
			if k.dump() != before {
				t.Fatal("a refused request changed the database")
			}
		case r.status == http.StatusOK && !strings.HasPrefix(r.body, "{"):
			t.Fatalf("got %s", r.body)
		}
	})
}

// FuzzLink gives the link payloads under every topic.
func FuzzLink(f *testing.F) {
	k := newKit(f)
	k.panel("p1", 6, level(1))
	r := newRig(k)
	k.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	r.tick()
	p.happen(granted)
	p.apply(r.take("p1", wire.TopicChange)[0])
	up := wire.UpTopics()
	add := func(topic wire.Topic, v any) {
		for i, t := range up {
			if t == topic {
				f.Add(uint8(i), wire.Encode(v), false)
			}
		}
	}
	add(wire.TopicState, p.state(true))
	add(wire.TopicPanel, announcement(6, level(1), level(2)))
	add(wire.TopicReported, p.reported())
	add(wire.TopicNeed, wire.Need{Epoch: p.epoch, Want: wire.WantDelta})
	add(wire.TopicStatus, p.statuses()[0])
	add(wire.TopicEvents, p.runs(5)[0])
	f.Add(uint8(0), []byte(`{"boot_id":"`+level(1).String()+`","conn_seq":18446744073709551615,"online":true}`), true)
	f.Add(uint8(5), []byte(`{"boot_id":"`+level(1).String()+`","after":0,"oldest":1,"entries":[{"seq":1,"type":301,"detail":"\u0000","at":"9999-12-31T23:59:59Z"}]}`), true)
	f.Fuzz(func(t *testing.T, topic uint8, payload []byte, retained bool) {
		k.t = t
		r.out = nil
		r.giveRaw("p1", up[int(topic)%len(up)], payload, retained)
		r.tick()
		r.log("p1")
	})
}
