package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
)

func ids() *rapid.Generator[access.ID] {
	return rapid.Custom(func(t *rapid.T) access.ID {
		var id access.ID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		id[0] |= 1 // never zero
		return id
	})
}

func keys() *rapid.Generator[access.Key] {
	return rapid.Custom(func(t *rapid.T) access.Key {
		k := access.Key{
			ID: ids().Draw(t, "key"), Type: rapid.SampledFrom([]access.Type{access.Proximity, access.Code}).Draw(t, "type"),
			State:   rapid.SampledFrom([]access.State{access.Enabled, access.Disabled, access.Blacklisted}).Draw(t, "state"),
			Levels:  rapid.SliceOfNDistinct(ids(), 0, 8, rapid.ID).Draw(t, "levels"),
			Options: access.Options(rapid.IntRange(0, 31).Draw(t, "options")),
		}
		text := rapid.StringMatching(`[0-9]{1,16}`).Draw(t, "code")
		if k.Type == access.Proximity {
			text = rapid.OneOf(
				rapid.StringMatching(`EM:[0-9]{1,12}`), rapid.StringMatching(`0x[0-9a-f]{14}`), rapid.StringMatching(`0[0-9]{9}`),
				rapid.StringMatching(`H10301:1?[0-9]{1,2}-[0-5]?[0-9]{1,4}`), rapid.StringMatching(`site:[0-9]{1,9}-[0-9]{1,9}`),
				rapid.StringMatching(`EM:[0-9]{1,12}\|MC:[0-9]{1,9}`),
			).Draw(t, "card")
		}
		var err error
		if k.Identification, err = access.ParseIdentification(k.Type, text); err != nil {
			t.Fatalf("%s is no identification: %v", text, err)
		}
		if rapid.Bool().Draw(t, "has person") {
			k.Person = ids().Draw(t, "person")
		}
		from := rapid.Int64Range(0, 4e9).Draw(t, "from")
		if rapid.Bool().Draw(t, "has from") {
			k.ValidFrom = time.Unix(from, rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		}
		if rapid.Bool().Draw(t, "has to") {
			k.ValidTo = time.Unix(from+rapid.Int64Range(1, 1e9).Draw(t, "length"), 999_999_999).UTC()
		}
		return k
	})
}

// What central encodes, the panel decodes to the same key.
func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := keys().Draw(t, "key")
		pin := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[0-9]{4}`)).Draw(t, "pin")
		want.HasPIN = pin != ""
		got, gotPIN, err := DecodeKey(want.ID, EncodeKey(want, pin))
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if d := cmp.Diff(want, got, sameIdentification); d != "" {
			t.Errorf("key (-want +got):\n%s", d)
		}
		if gotPIN != pin {
			t.Errorf("the PIN came back as another")
		}
	})
}

// A batch as central writes it comes out with the same revisions and no fault.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<60).Draw(t, "first")
		c := Changes{Epoch: rapid.Uint64Range(1, 1<<60).Draw(t, "epoch")}
		for i := range rapid.IntRange(1, 5).Draw(t, "n") {
			m := Change{Revision: first + uint64(i), Op: OpRemove, ID: ids().Draw(t, "id")}
			if rapid.Bool().Draw(t, "put") {
				k := keys().Draw(t, "key")
				m.Op, m.ID, m.Claim, m.Key = OpPut, k.ID, uint64(i)+1, EncodeKey(k, "")
			}
			c.Changes = append(c.Changes, m)
		}
		b, err := DecodeChanges(Encode(c))
		if err != nil {
			t.Fatal(err)
		}
		if b.Epoch != c.Epoch || len(b.Updates) != len(c.Changes) {
			t.Fatalf("got epoch %d with %d updates, want %d with %d", b.Epoch, len(b.Updates), c.Epoch, len(c.Changes))
		}
		for i, u := range b.Updates {
			m := c.Changes[i]
			put := m.Op == OpPut
			if u.Fault != "" || u.Revision != m.Revision || u.ID != m.ID || u.Claim != m.Claim || (u.Op == access.Put) != put {
				t.Errorf("change %+v came out as %+v", m, u)
			}
		}
	})
}

func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, p := range patterns {
		files, err := filepath.Glob("../testdata/wire/" + p)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no seeds (%v)", p, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Add([]byte(`{"epoch":1,"changes":[{"key":{"pin":1,"pin":2}}]}`))
}

// What Strict takes is valid JSON of one object whose members have names that
// stand for nothing else.
func FuzzStrict(f *testing.F) {
	seed(f, "*.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		var v map[string]any
		if err := Strict(data, &v, false); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("invalid JSON was taken: %q", data)
		}
		for name := range v {
			for other := range v {
				if name != other && strings.EqualFold(name, other) {
					t.Fatalf("both %q and %q were taken", name, other)
				}
			}
		}
	})
}

func FuzzDecodeChanges(f *testing.F) {
	seed(f, "keys-change*.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeChanges(data)
		if err != nil {
			return
		}
		if b.Epoch == 0 || len(b.Updates) == 0 {
			t.Fatalf("an empty batch was taken: %q", data)
		}
		for i, u := range b.Updates {
			switch {
			case u.Revision != b.Updates[0].Revision+uint64(i) || u.Revision == 0 || u.ID.IsZero():
				t.Fatalf("update %d is revision %d of %v", i, u.Revision, u.ID)
			case u.Op != access.Put && u.Op != access.Remove:
				t.Fatalf("update %d has op %d", i, u.Op)
			case u.Op == access.Put && u.Fault == "" && (u.Key.ID != u.ID || u.Key.Identification.IsZero() || u.Claim == 0):
				t.Fatalf("update %d has neither a key nor a fault", i)
			case u.Op == access.Put && u.Fault == "":
				again, pin, err := DecodeKey(u.ID, EncodeKey(u.Key, u.PIN))
				if err != nil || pin != u.PIN || !cmp.Equal(again, u.Key, sameIdentification) {
					t.Fatalf("update %d does not survive a round trip: %v", i, err)
				}
			}
		}
	})
}

// fuzzDecode: what is taken is written and read again as the same.
func fuzzDecode[T any](f *testing.F, pattern string) {
	seed(f, pattern)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode[T](data)
		if err != nil {
			return
		}
		text := Encode(v)
		if len(text) > MaxPayload {
			return // escaping made it longer than what may travel
		}
		again, err := Decode[T](text)
		if err != nil {
			t.Fatalf("%s was taken, its encoding not: %v", fmt.Sprintf("%.200q", data), err)
		}
		if d := cmp.Diff(string(text), string(Encode(again))); d != "" {
			t.Fatalf("encodings differ:\n%s", d)
		}
	})
}

func FuzzState(f *testing.F)    { fuzzDecode[State](f, "state*.json") }
func FuzzPanel(f *testing.F)    { fuzzDecode[Panel](f, "panel*.json") }
func FuzzReported(f *testing.F) { fuzzDecode[Reported](f, "reported*.json") }
func FuzzNeed(f *testing.F)     { fuzzDecode[Need](f, "keys-need*.json") }
func FuzzStatuses(f *testing.F) { fuzzDecode[Statuses](f, "keys-status*.json") }
func FuzzEvents(f *testing.F)   { fuzzDecode[Events](f, "events*.json") }
func FuzzAck(f *testing.F)      { fuzzDecode[Ack](f, "ack*.json") }

func FuzzDesired(f *testing.F)       { fuzzDecode[Desired](f, "keys-desired*.json") }
func FuzzDoorModes(f *testing.F)     { fuzzDecode[DoorModes](f, "doors-mode*.json") }
func FuzzCommand(f *testing.F)       { fuzzDecode[Command](f, "command*.json") }
func FuzzCommandResult(f *testing.F) { fuzzDecode[CommandResult](f, "command-result*.json") }
func FuzzPolicyStatus(f *testing.F)  { fuzzDecode[PolicyStatus](f, "policy-status*.json") }

func FuzzSplitTopic(f *testing.F) {
	for _, t := range append(UpTopics(), DownTopics()...) {
		f.Add(t.Of("gate-1"))
		f.Add(t.Of("+"))
	}
	f.Add("postern/v1/")
	f.Add(ChunkTopic(keyA, 12).Of("gate-1"))
	f.Fuzz(func(t *testing.T, topic string) {
		id, sub, ok := SplitTopic(topic)
		if snapshot, n, isChunk := sub.Chunk(); isChunk && (n < 0 || ChunkTopic(snapshot, n) != sub) {
			t.Fatalf("%q is chunk %d of %v", sub, n, snapshot)
		}
		if !ok {
			return
		}
		if CheckSystemID(id) != nil || sub.Of(id) != topic {
			t.Fatalf("%q was split into %q and %q", topic, id, sub)
		}
	})
}
