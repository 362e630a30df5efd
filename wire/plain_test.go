package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
)

// A space before the text keeps it from being read as plain, and changes
// nothing else.
func unplain(text []byte) []byte { return append([]byte{' '}, text...) }

var (
	exampleLine = bytes.TrimSpace(AppendSnapshotKey(nil, SnapshotKey{Revision: 42, ID: keyA, Claim: 17, Key: exampleKey()}))
	exampleBad  = [][]byte{
		[]byte(`{}`), []byte(`{"revision":1}`), []byte(`{"revision":01,"id":"` + keyA.String() + `"}`),
		[]byte(`{"revision":18446744073709551615,"id":"` + keyA.String() + `","claim":18446744073709551616,"key":{}}`),
		[]byte(`{"revision":1,"id":"","claim":1,"key":{}}`), []byte(`{"revision":1,"id":null,"claim":1,"key":{"pin":null}}`),
		[]byte(`{"revision":1,"id":"` + keyA.String() + `","claim":1,"key":{"type":"code","identification":"1234","access_levels":null}}`),
		[]byte(`{"revision":1,"id":"` + keyA.String() + `","claim":1,"key":{"type":"code","identification":"1234","identification":"1"}}`),
		[]byte(`{"revision":1,"id":"` + keyA.String() + `","claim":1,"key":{"type":"code","identification":"\u0031234"}}`),
		[]byte(`{"revision":1,"id":"` + keyA.String() + `","claim":1,"key":{"type":"code","identification":"1234","extra":[{}]}}`),
		[]byte(`{"revision":1,"id":"` + keyA.String() + `","claim":1,"claim":1,"key":{}}`),
	}
)

func sameKey(t interface{ Fatalf(string, ...any) }, data []byte) {
	got, gotPIN, gotErr := DecodeKey(keyA, data)
	want, wantPIN, wantErr := DecodeKey(keyA, unplain(data))
	if !sameError(gotErr, wantErr) || gotPIN != wantPIN || !cmp.Equal(got, want, sameIdentification) {
		t.Fatalf("key %q\nis read as    %+v (%v),\nstrictly as   %+v (%v)", data, got, gotErr, want, wantErr)
	}
}

func sameLine(t interface{ Fatalf(string, ...any) }, data []byte) {
	got, gotErr := DecodeSnapshotKey(data)
	want, wantErr := DecodeSnapshotKey(unplain(data))
	if !sameError(gotErr, wantErr) || !cmp.Equal(got, want, sameIdentification) {
		t.Fatalf("line %q\nis read as    %+v (%v),\nstrictly as   %+v (%v)", data, got, gotErr, want, wantErr)
	}
}

func sameChanges(t interface{ Fatalf(string, ...any) }, data []byte) {
	got, gotErr := DecodeChanges(data)
	want, wantErr := DecodeChanges(unplain(data))
	if !sameError(gotErr, wantErr) || !cmp.Equal(got, want, sameIdentification) {
		t.Fatalf("batch %q\nis read as    %+v (%v),\nstrictly as   %+v (%v)", data, got, gotErr, want, wantErr)
	}
}

// sameError compares all but the place of a syntax error: the space moves it.
func sameError(a, b error) bool {
	var synA, synB *SyntaxError
	if errors.As(a, &synA) && errors.As(b, &synB) {
		return synA.Reason == synB.Reason
	}
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// mangle is text with a few bytes changed, in ways that matter to JSON.
func mangle(t *rapid.T, text []byte) []byte {
	out := bytes.Clone(text)
	for range rapid.IntRange(0, 3).Draw(t, "edits") {
		at := rapid.IntRange(0, len(out)).Draw(t, "at")
		put := rapid.SampledFrom([]string{
			"", `"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, ` `, "0", "9", "-", ".", "e", "\n", "\x00", "\x7f", "é", "\xff", "K", `\u0061`, "null",
			`"x":1,`, `"pin":"1234",`, `"claim":1,`, `{}`, `"",`,
		}).Draw(t, "put")
		drop := rapid.IntRange(0, min(2, len(out)-at)).Draw(t, "drop")
		out = append(out[:at:at], append([]byte(put), out[at+drop:]...)...)
	}
	return out
}

// The short way through a message gives what the strict one gives, its errors
// too, whatever is wrong with the text.
func TestPlainIsStrict(t *testing.T) {
	for _, text := range exampleBad {
		sameLine(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "key")
		pin := rapid.SampledFrom([]string{"", "1234", "12"}).Draw(t, "pin")
		data := EncodeKey(k, pin)
		sameKey(t, mangle(t, data))
		sameLine(t, mangle(t, bytes.TrimSpace(AppendSnapshotKey(nil, SnapshotKey{
			Revision: rapid.Uint64().Draw(t, "revision"), ID: k.ID, Claim: rapid.Uint64().Draw(t, "claim"), Key: data,
		}))))
		sameChanges(t, mangle(t, Encode(Changes{Epoch: 3, Changes: []Change{
			{Revision: 7, Op: OpPut, ID: k.ID, Claim: 1, Key: data}, {Revision: 8, Op: OpRemove, ID: k.ID},
		}})))
	})
}

// What central writes takes the short way.
func TestPlainIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "key")
		data := EncodeKey(k, "1234")
		if _, ok := plainKey(data); !ok {
			t.Fatalf("key %s is not plain", data)
		}
		line := AppendSnapshotKey(nil, SnapshotKey{Revision: 1 << 60, ID: k.ID, Claim: 1, Key: data})
		if _, _, ok := plainLine(bytes.TrimSpace(line)); !ok {
			t.Fatalf("line %s is not plain", line)
		}
		batch := Encode(Changes{Epoch: 3, Changes: []Change{{Revision: 7, Op: OpPut, ID: k.ID, Claim: 1, Key: data}, {Revision: 8, Op: OpRemove, ID: k.ID}}})
		if _, ok := plainChanges(batch); !ok {
			t.Fatalf("batch %s is not plain", batch)
		}
		if _, ok := plainSigned(Sign(exampleSigner(), "2026-09", "gate-1", TopicChange, batch)); !ok {
			t.Fatal("a signed message is not plain")
		}
	})
}

func TestParseID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(mangle(t, []byte(ids().Draw(t, "id").String())))
		got, err := parseID(text)
		want, wantErr := access.ParseID(text)
		if got != want || !sameError(err, wantErr) {
			t.Fatalf("%q is %v (%v), want %v (%v)", text, got, err, want, wantErr)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add(exampleKey())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 && len(data) < MaxKey { // nothing at all is a fault of its own
			sameKey(t, data)
		}
	})
}

func FuzzDecodeSnapshotKey(f *testing.F) {
	f.Add(exampleLine)
	for _, text := range exampleBad {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < maxLine {
			sameLine(t, data)
		}
		u, err := DecodeSnapshotKey(data)
		if err == nil && (u.Op != access.Put || u.ID.IsZero() || u.Revision == 0 || u.Fault == "" && u.Claim == 0) {
			t.Fatalf("%q was taken as %+v", data, u)
		}
	})
}

func FuzzPlainChanges(f *testing.F) {
	seed(f, "keys-change*.json")
	f.Add([]byte(change(string(exampleKey()))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < MaxPayload {
			sameChanges(t, data)
		}
	})
}
