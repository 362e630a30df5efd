package store

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/access"
)

func genID(t *rapid.T) access.ID {
	return access.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
}

func genTime(t *rapid.T) time.Time {
	if rapid.IntRange(0, 4).Draw(t, "zero") == 0 {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
}

func genText(t *rapid.T, n int) string { return rapid.StringN(0, n/4, n).Draw(t, "text") }

func genError(t *rapid.T) access.ErrorType {
	return rapid.SampledFrom(append(access.ErrorTypes(), access.Applied)).Draw(t, "error")
}

func genOutcome(t *rapid.T) outcome {
	return outcome{
		revision: rapid.Uint64().Draw(t, "revision"), fault: genText(t, maxDetail), err: genError(t), detail: genText(t, maxDetail), at: genTime(t),
	}
}

func genDecision(t *rapid.T) decision {
	v := decision{outcome: genOutcome(t), opens: rapid.Bool().Draw(t, "opens"), key: access.Key{
		ID: testID(1), Type: access.Proximity, State: access.Disabled, Options: access.Options(rapid.Byte().Draw(t, "options")),
		ValidFrom: genTime(t), ValidTo: genTime(t), Person: genID(t), Levels: rapid.SliceOfN(rapid.Custom(genID), 0, 256).Draw(t, "levels"),
	}}
	if len(v.key.Levels) == 0 {
		v.key.Levels = nil
	}
	if rapid.Bool().Draw(t, "code") {
		v.key.Type, v.codeSize = access.Code, rapid.IntRange(1, 16).Draw(t, "size")
	} else {
		v.key.Identification = ident(access.Proximity, rapid.SampledFrom([]string{"EM:1", "MC:9|MD:7", "H10301:1-2", "FOO_9:18446744073709551615-18446744073709551615"}).Draw(t, "ident"))
	}
	if rapid.Bool().Draw(t, "pin") {
		v.key.HasPIN, v.pin = true, rapid.SliceOfN(rapid.Byte(), macSize, macSize).Draw(t, "mac")
	}
	return v
}

// kind is one kind of record, made at random and read again.
type kind struct {
	tag    byte
	make   func(*rapid.T) (want any, payload []byte)
	decode func([]byte) (any, error)
}

var records = map[string]kind{
	"key": {tagKey, func(t *rapid.T) (any, []byte) {
		r := keyRow{
			claim: rapid.Uint64().Draw(t, "claim"),
			creds: rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, maxPrefix), 0, maxCreds).Draw(t, "creds"),
		}
		if len(r.creds) == 0 {
			r.creds, r.outcome = nil, genOutcome(t)
		}
		return r, r.encode()
	}, func(b []byte) (any, error) { return decodeKeyRow(b) }},
	"whole key": {tagKey, func(t *rapid.T) (any, []byte) {
		r := record{keyRow{claim: 7, creds: [][]byte{{1, 2}, {3}}}, genDecision(t)}
		if rapid.Bool().Draw(t, "fault") {
			r.row.creds, r.row.outcome = nil, r.dec.outcome
			r.dec = decision{outcome: r.dec.outcome, key: access.Key{ID: testID(1)}}
		}
		return r, r.encode(wholeVersion)
	}, func(b []byte) (any, error) { return decodeRecord(testID(1), b) }},
	"credential": {tagCred, func(t *rapid.T) (any, []byte) {
		v := genDecision(t)
		return v, v.encode()
	}, func(b []byte) (any, error) { return decodeDecision(testID(1), b) }},
	"status": {tagStatus, func(t *rapid.T) (any, []byte) {
		row := access.StatusRow{BootID: genID(t), Epoch: rapid.Uint64().Draw(t, "epoch")}
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			row.Results = append(row.Results, access.Result{
				Revision: rapid.Uint64().Draw(t, "rev"), ID: genID(t), Error: genError(t), Detail: genText(t, maxDetail), At: genTime(t),
			})
		}
		return row, encodeStatus(row)
	}, func(b []byte) (any, error) { return decodeStatus(b) }},
	"lockout": {tagLockout, func(t *rapid.T) (any, []byte) {
		l := access.Lockout{Failures: rapid.Int().Draw(t, "failures"), Level: rapid.Int().Draw(t, "level"), Last: genTime(t), Until: genTime(t)}
		return l, encodeLockout(l)
	}, func(b []byte) (any, error) { return decodeLockout(b) }},
	"place": {tagPlace, func(t *rapid.T) (any, []byte) {
		p := access.Place{Area: genText(t, maxArea), At: genTime(t)}
		return p, encodePlace(p)
	}, func(b []byte) (any, error) { return decodePlace(b) }},
	"event": {tagEvent, func(t *rapid.T) (any, []byte) {
		e := access.Event{
			Seq: 9, BootID: genID(t), At: genTime(t), Mono: time.Duration(rapid.Int64().Draw(t, "mono")), Clock: access.ClockHoldover,
			Type: access.EventType(rapid.Uint16().Draw(t, "type")), Reason: access.Reason(genText(t, maxText)), Door: genText(t, maxText),
			Point: genText(t, maxText), Key: genID(t), KeyType: access.Type(genText(t, maxText)), Credential: genText(t, maxText),
			Person: genID(t), Detail: genText(t, maxDetail), Why: genText(t, access.MaxWhy),
		}
		return e, encodeEvent(e)
	}, func(b []byte) (any, error) { return decodeEvent(9, b) }},
	"keys state": {tagMeta, func(t *rapid.T) (any, []byte) {
		s := keysState{
			epoch: rapid.Uint64().Draw(t, "epoch"), revision: 2, count: 3, creds: 4, statusSeq: 5,
			device: hash16{1}, matchers: hash16{2}, policy: hash16{3}, digest: access.Digest{}.Add(genID(t), 1),
		}
		return s, s.encode()
	}, func(b []byte) (any, error) { var s keysState; err := s.decode(b); return s, err }},
	"journal state": {tagMeta, func(t *rapid.T) (any, []byte) {
		s := journalState{rapid.Uint64().Draw(t, "last"), 2, 3, 4, 5, 6}
		return s, s.encode()
	}, func(b []byte) (any, error) { var s journalState; err := s.decode(b); return s, err }},
}

func TestRecordsRoundTrip(t *testing.T) {
	for name, r := range records {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want, payload := r.make(t)
				key := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "key")
				value := seal(r.tag, key, bytes.Clone(payload))
				opened, err := unseal(r.tag, key, value)
				if err != nil {
					t.Fatal(err)
				}
				got, err := r.decode(opened)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got %+v\nwant %+v", got, want)
				}
				// No flipped bit, of key or value, passes.
				bit := rapid.IntRange(0, 8*(len(key)+len(value))-1).Draw(t, "bit")
				if at := bit / 8; at < len(key) {
					key[at] ^= 1 << (bit % 8)
				} else {
					value[at-len(key)] ^= 1 << (bit % 8)
				}
				if _, err := unseal(r.tag, key, value); err == nil {
					t.Fatalf("bit %d flipped and not found", bit)
				}
				// Nor does a record in the wrong bucket, or one cut short.
				if _, err := r.decode(payload[:len(payload)-1]); err == nil {
					t.Fatal("a payload that is cut short is taken")
				}
			})
		})
	}
	if _, err := unseal(tagKey, []byte("k"), seal(tagCred, []byte("k"), []byte{recordVersion, 1})); err == nil {
		t.Error("a record of another bucket is taken")
	}
}

func FuzzDecode(f *testing.F) {
	for i, p := range [][]byte{
		(&keyRow{creds: [][]byte{{1, 2}}}).encode(),
		(&decision{key: access.Key{Identification: ident(access.Proximity, "EM:1"), Levels: []access.ID{levelA}}}).encode(),
		(&record{keyRow{creds: [][]byte{{1, 2}}}, decision{key: access.Key{Identification: ident(access.Proximity, "EM:1")}}}).encode(wholeVersion),
		encodeStatus(access.StatusRow{Results: []access.Result{{Revision: 1}}}),
		encodeLockout(access.Lockout{Failures: 1}),
		encodeEvent(access.Event{Type: access.Granted}),
		encodeEvent(access.Event{Type: access.Granted, Why: "because"}),
		(&keysState{}).encode(),
		(&journalState{}).encode(),
	} {
		f.Add(byte(i), p)
	}
	f.Fuzz(func(t *testing.T, _ byte, payload []byte) {
		for name, r := range records {
			if _, err := r.decode(payload); err == nil && len(payload) > 1<<20 {
				t.Errorf("%s: %d bytes are taken", name, len(payload))
			}
		}
	})
}

// FuzzPages gives the structure check and the salvage arbitrary pages.
func FuzzPages(f *testing.F) {
	f.Add(make([]byte, 4*pageSize))
	h := newHarness(f)
	h.record(3)
	h.stop()
	f.Add(readFile(f, h.path("journal.db")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = checkPages(bytes.NewReader(b), int64(len(b)))
		s := salvaged{most: 10}
		for i := 0; len(b) >= pageSize; i, b = i+1, b[pageSize:] {
			s.leaf(uint32(i), b[:pageSize])
			for _, r := range s.rows {
				if e, ok := r.element(b[:pageSize]); r.page == uint32(i) && (!ok || goodEvent(e) != r.seq) {
					t.Errorf("row %+v is not found again", r)
				}
			}
		}
	})
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aäb", 2, "a"}, {"€", 2, ""}, {"", 0, ""}} {
		if got := clip(c.s, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}
