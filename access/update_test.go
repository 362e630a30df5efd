package access

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDigestKnownValue(t *testing.T) {
	id := MustParseID("e18574c0-0fde-475c-951f-265f0c2232ea")
	// printf '%s' e18574c00fde475c951f265f0c2232ea000000000000002a | xxd -r -p | sha256sum
	const want = "fe49c7429879f2e7cce203453fcc0a8b1c8cadc6f942c75acf461a36f6d8b92b"
	if got := (Digest{}).Add(id, 42).String(); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// The digest depends on the latest puts alone, not on the way there.
func TestDigestIsOrderFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type put struct {
			id  ID
			rev uint64
		}
		puts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) put {
			var id ID
			id[0] = rapid.Byte().Draw(t, "id")
			return put{id, rapid.Uint64().Draw(t, "revision")}
		}), 0, 20).Draw(t, "puts")
		var d Digest
		latest := map[ID]uint64{}
		for _, p := range puts {
			if old, ok := latest[p.id]; ok {
				d = d.Sub(p.id, old)
			}
			d = d.Add(p.id, p.rev)
			latest[p.id] = p.rev
		}
		var want Digest
		for id, rev := range latest {
			want = want.Add(id, rev)
		}
		if d != want {
			t.Fatalf("got %v, want %v", d, want)
		}
		for id, rev := range latest {
			d = d.Sub(id, rev)
		}
		if d != (Digest{}) {
			t.Fatalf("after taking all out: %v", d)
		}
	})
}

func TestJudge(t *testing.T) {
	level, other := ID{1}, ID{2}
	p := &Policy{
		Codes:  CodePolicy{Enabled: true, Size: 6},
		Levels: []Level{{ID: level, Name: "always", Grants: nil}},
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	off := &Policy{}
	off.Compile()
	for _, tt := range []struct {
		name   string
		claim  Claim
		policy *Policy
		inUse  bool
		want   ErrorType
		opens  bool
	}{
		{"good", Claim{Type: Proximity, Levels: []ID{level}}, p, false, Applied, true},
		{"no levels", Claim{Type: Proximity}, p, false, Applied, true},
		{"fault comes first", Claim{Fault: "x", Type: Code, Levels: []ID{other}}, off, true, InvalidKey, false},
		{"codes off", Claim{Type: Code, CodeSize: 4, Levels: []ID{other}}, off, true, CodeNotEnabled, false},
		{"code size", Claim{Type: Code, CodeSize: 5, Levels: []ID{other}}, p, true, InvalidCodeSize, false},
		{"level", Claim{Type: Code, CodeSize: 6, Levels: []ID{level, other}}, p, false, AccessLevelNotFound, true},
		// The result names the level, but the card belongs to somebody else.
		{"level and in use", Claim{Type: Proximity, Levels: []ID{other}}, p, true, AccessLevelNotFound, false},
		{"in use", Claim{Type: Proximity, Levels: []ID{level}}, p, true, AccessKeyInUse, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge(tt.claim, tt.policy, tt.inUse)
			if got.Error != tt.want || got.Opens != tt.opens {
				t.Errorf("got %+v, want %q, opens %v", got, tt.want, tt.opens)
			}
			if (got.Detail == "") != (got.Error == Applied) {
				t.Errorf("detail %q for %q", got.Detail, got.Error)
			}
		})
	}
}
