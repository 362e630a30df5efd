package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
)

// A snapshot's lines come out as the keys that went in.
func TestSnapshotLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want []access.Update
		for i := range rapid.IntRange(1, 5).Draw(t, "n") {
			k := keys().Draw(t, "key")
			pin := rapid.SampledFrom([]string{"", "0042"}).Draw(t, "pin")
			k.HasPIN = pin != ""
			text := EncodeKey(k, pin)
			if rapid.Bool().Draw(t, "spread over lines") {
				text = bytes.ReplaceAll(text, []byte(`,"type"`), []byte(",\r\n \"type\""))
			}
			u := access.Update{Revision: uint64(i) + 1, Op: access.Put, ID: k.ID, Claim: uint64(i) + 7, Key: k, PIN: pin}
			data = AppendSnapshotKey(data, SnapshotKey{Revision: u.Revision, ID: u.ID, Claim: u.Claim, Key: text})
			want = append(want, u)
		}
		var got []access.Update
		for line := range bytes.Lines(data) {
			u, err := DecodeSnapshotKey(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			got = append(got, u)
		}
		if d := cmp.Diff(want, got, sameIdentification); d != "" {
			t.Errorf("keys (-want +got):\n%s", d)
		}
	})
}

// A line is what Encode would make of it.
func TestSnapshotLine(t *testing.T) {
	k := SnapshotKey{Revision: 42, ID: keyA, Claim: 17, Key: exampleKey()}
	if got, want := string(AppendSnapshotKey([]byte("x\n"), k)), "x\n"+string(Encode(k))+"\n"; got != want {
		t.Errorf("line is\n%s, want\n%s", got, want)
	}
}

// What makes a whole snapshot bad, and what only the key.
func TestBadLines(t *testing.T) {
	id := `"id":"` + keyA.String() + `"`
	for _, c := range []struct{ line, err, fault string }{
		{``, "line 1: the JSON text ends too early", ""},
		{`{"revision":1,` + id + `,"claim":1,"key":{`, "line 1: the JSON text ends too early", ""},
		{`{` + id + `,"claim":1,"key":{}}`, "revision: revision or id is missing", ""},
		{`{"revision":1,"claim":1,"key":{}}`, "revision: revision or id is missing", ""},
		{`{"revision":1,` + id + `,` + id + `}`, "id: appears twice", ""},
		{`{"revision":1,` + id + `} {}`, "line 1: text after the JSON object", ""},
		{strings.Repeat(" ", maxLine+1), "16641 bytes, more than 16640", ""},
		{`{"revision":1,` + id + `,"key":{}}`, "", "claim is missing"},
		{`{"revision":1,` + id + `,"claim":1}`, "", "key is missing"},
		{`{"revision":1,` + id + `,"claim":1,"key":{}}`, "", "identification: unknown type (one of proximity, code)"},
		{`{"revision":1,` + id + `,"claim":1,"key":{"pin":"1","pin":"2"}}`, "", "pin: appears twice"},
		{
			`{"revision":1,` + id + `,"claim":1,"key":{"identification":"` + strings.Repeat("1", MaxKey) + `"}}`, "",
			"key has more than 16384 bytes",
		},
	} {
		u, err := DecodeSnapshotKey([]byte(c.line))
		switch {
		case c.err == "" && (err != nil || u.Fault != c.fault || u.ID != keyA || u.Revision != 1):
			t.Errorf("%.100s: got %+v (%v), want the fault %q", c.line, u, err, c.fault)
		case c.err != "" && (err == nil || err.Error() != c.err):
			t.Errorf("%.100s: got %v, want %q", c.line, err, c.err)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	d, err := Decode[Desired](Encode(Desired{Epoch: 3, Revision: 60, Snapshot: SnapshotOf(manifest)}))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Snapshot.Access(); got != manifest {
		t.Errorf("manifest came back as %+v, want %+v", got, manifest)
	}
	empty := access.Snapshot{ID: keyA, Epoch: 1}
	if d, err = Decode[Desired](Encode(Desired{Epoch: 1, Snapshot: SnapshotOf(empty)})); err != nil || d.Snapshot.Access() != empty {
		t.Errorf("a snapshot without keys came back as %+v (%v)", d.Snapshot, err)
	}
}

func TestVersions(t *testing.T) {
	order := []Version{{}, {0, 1}, {1, 0}, {1, 5}, {2, 1}}
	for i, v := range order {
		for j, other := range order {
			if got := v.Above(other); got != (i > j) {
				t.Errorf("%v above %v is %v", v, other, got)
			}
		}
	}
}
