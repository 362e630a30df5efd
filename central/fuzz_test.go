package central

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"postern/wire"
)

// FuzzHTTP sends bodies to every endpoint: whatever they hold, it is never our
// fault, and what is refused changes nothing.
func FuzzHTTP(f *testing.F) {
	for _, s := range []string{
		sample(f, "add-create.json"), sample(f, "add-update.json"), sample(f, "add-answer-as-printed.json"), `{}`, `{"key":{"type":"code"}}`, `{"continuation_key":"e30"}`,
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
	add(wire.TopicNeed, wire.Need{Epoch: p.epoch, HaveRevision: 1, Want: wire.WantSnapshot})
	add(wire.TopicPolicyStatus, wire.PolicyStatus{Version: wire.Version{Epoch: 1, Revision: 2}, Faults: []wire.PolicyFault{{Path: "a", Message: "b"}}})
	add(wire.TopicResult, wire.CommandResult{ID: level(1), Result: wire.CommandDone, Nonce: "n"})
	lower := p.reported()
	lower.Epoch, lower.PINKeyLost, lower.Unsigned = 1, true, true
	add(wire.TopicReported, lower)
	r.give("p1", wire.TopicReported, lower)
	offered := r.offered("p1")
	add(wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: offered.ID, Chunks: []int{0, 1}})
	add(wire.TopicStatus, wire.Statuses{
		BootID: p.boot, Seq: 1, Oldest: 1, Epoch: offered.Epoch, SnapshotID: offered.ID, Revision: offered.Revision, Part: 1, Of: 1,
		Results: []wire.Result{failedOf(1, level(1))},
	})
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

// FuzzSigningKeys reads signing files: what it takes it takes again when written,
// and an error repeats no key.
func FuzzSigningKeys(f *testing.F) {
	const seed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	f.Add([]byte("# keys\na 2026-03-01T12:00:00Z " + seed + "\n\nb-2 2027-03-01T12:00:00+02:00 " + seed + "\n"))
	f.Add([]byte("a 2026-03-01T12:00:00Z x" + seed))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseSigningKeys(data)
		if err != nil {
			if strings.Contains(err.Error(), seed) {
				t.Error("an error repeats a key")
			}
			return
		}
		file := filepath.Join(t.TempDir(), "signing")
		if err := writeSigningKeys(file, keys); err != nil {
			t.Fatal(err)
		}
		again, err := ReadSigningKeys(file)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("got %v, %v; want %v", again, err, keys)
		}
	})
}

// FuzzPolicy takes documents from operators: what it takes travels as one JSON
// object with its version.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"epoch":4,"revision":9,"levels":[{"id":"x"}]}`))
	f.Add([]byte(` {"revision" : 1} `))
	f.Fuzz(func(t *testing.T, doc []byte) {
		body, err := policyBody(doc)
		if err != nil {
			return
		}
		v := wire.Version{Epoch: 7, Revision: 8}
		out := versioned(v, body)
		if len(out) > MaxDocument+100 {
			t.Errorf("%d bytes", len(out))
		}
		var got wire.Version
		if err := wire.Strict(out, &got, false); err != nil || got != v {
			t.Errorf("%q travels as %q: %+v, %v", doc, out, got, err)
		}
	})
}
