package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"postern/access"
)

// model is what a replica is by its rules: a map of latest puts, and a policy.
type model struct {
	epoch, revision uint64
	latest          map[access.ID]access.Update
	policy          *access.Policy
	matchers        []access.Matcher
	told            map[access.ID]access.Result // the last result told of each key
	seq             uint64                      // of the row told last
	crashed         bool                        // since then, so that confirmed rows may come again
	snapshot        *frozen                     // the one installed last
	part            uint64                      // of its results, the last one told
}

// hear takes in what central is told.
func (m *model) hear(t *rapid.T, rows []access.StatusRow) {
	for _, row := range rows {
		if m.crashed && row.Seq <= m.seq {
			continue
		}
		m.crashed = false
		if m.seq++; row.Seq != m.seq {
			t.Fatalf("row %d follows %d", row.Seq, m.seq-1)
		}
		if !row.Snapshot.IsZero() {
			m.hearPart(t, row)
		}
		for _, r := range row.Results {
			m.told[r.ID] = r
		}
	}
}

// hearPart takes in that all keys of a snapshot are applied, but for those that
// this part and the next ones list.
func (m *model) hearPart(t *rapid.T, row access.StatusRow) {
	s := m.snapshot
	if m.part++; s == nil || row.Snapshot != s.ID || row.Epoch != s.Epoch || row.Revision != s.Revision || row.Part != m.part || row.Part > row.Of {
		t.Fatalf("row %+v, want part %d of snapshot %+v", row, m.part, s)
	}
	if row.Part > 1 {
		return
	}
	for _, u := range s.puts {
		m.told[u.ID] = access.Result{Revision: u.Revision, ID: u.ID, At: start}
	}
}

func (m *model) credentials(u access.Update) []access.Credential {
	if u.Fault != "" {
		return nil
	}
	return u.Key.Identification.Credentials(m.matchers)
}

func before(a, b access.Update) bool {
	return a.Claim < b.Claim || a.Claim == b.Claim && bytes.Compare(a.ID[:], b.ID[:]) < 0
}

// judge is the definition, as slow as it is plain.
func (m *model) judge(u access.Update) access.Judgement {
	inUse := false
	for _, other := range m.latest {
		if other.ID == u.ID || !before(other, u) {
			continue
		}
		for _, c := range m.credentials(other) {
			inUse = inUse || slices.Contains(m.credentials(u), c)
		}
	}
	return access.Judge(access.Claim{
		Fault: u.Fault, Type: u.Key.Type, CodeSize: u.Key.Identification.CodeSize(), Levels: u.Key.Levels,
	}, m.policy, inUse)
}

func (m *model) position() access.Position {
	pos := access.Position{Epoch: m.epoch, Revision: m.revision, Count: uint64(len(m.latest))}
	for id, u := range m.latest {
		pos.Digest = pos.Digest.Add(id, u.Revision)
	}
	return pos
}

func (m *model) consume(u access.Update) {
	m.revision = u.Revision
	if u.Op == access.Remove {
		delete(m.latest, u.ID)
		delete(m.told, u.ID)
		return
	}
	m.latest[u.ID] = u
}

// compare holds the store against the model: every key, every credential that
// was ever in play, and what central has been told.
func (m *model) compare(t *rapid.T, h *harness, all map[access.Credential]bool) {
	if got, want := h.s.Position(), m.position(); got != want {
		t.Fatalf("position %+v, want %+v", got, want)
	}
	keys, err := h.s.Keys(access.ID{}, 1000)
	if err != nil || len(keys) != len(m.latest) {
		t.Fatalf("Keys: %d, %v, want %d", len(keys), err, len(m.latest))
	}
	m.hear(t, h.confirm())
	opens := map[access.Credential][]access.ID{}
	for _, k := range keys {
		u := m.latest[k.Key.ID]
		want := m.judge(u)
		if k.Revision != u.Revision || k.Claim != u.Claim || k.Result.Error != want.Error || k.Result.Detail != want.Detail {
			t.Fatalf("key %v: %+v, want revision %d, %+v", u.ID, k, u.Revision, want)
		}
		if told := m.told[u.ID]; told != k.Result {
			t.Fatalf("key %v: told %+v, it is %+v", u.ID, told, k.Result)
		}
		for _, c := range m.credentials(u) {
			all[c] = true
			if want.Opens {
				opens[c] = append(opens[c], u.ID)
			}
		}
	}
	for c := range all {
		if got := h.opening(c); !slices.Equal(got, opens[c]) && len(got)+len(opens[c]) > 0 {
			t.Fatalf("%v (%s) opens with %v, want %v", c, c.Digits(), got, opens[c])
		}
	}
}

func drawUpdate(t *rapid.T, rev uint64) access.Update {
	id := testID(rapid.Uint64Range(1, 6).Draw(t, "id"))
	if rapid.IntRange(0, 4).Draw(t, "op") == 0 {
		return access.Update{Revision: rev, Op: access.Remove, ID: id}
	}
	u := access.Update{Revision: rev, Op: access.Put, ID: id, Claim: rapid.Uint64Range(1, 4).Draw(t, "claim")}
	if rapid.IntRange(0, 7).Draw(t, "faulty") == 0 {
		u.Fault = "can't be a key"
		return u
	}
	u.Key = access.Key{ID: id, Type: access.Proximity, State: access.Enabled}
	text := rapid.SampledFrom([]string{
		"EM:1", "EM:16777217", "EM:2", "MC:1", "EM:1|MC:1", "EM:2|MC:1", "MC:1|EM:16777217", "H10301:1-1", "1234", "12345", "5678",
	}).Draw(t, "identification")
	if len(text) < 6 && text[0] != 'E' && text[0] != 'M' {
		u.Key.Type = access.Code
	}
	u.Key.Identification = ident(u.Key.Type, text)
	u.Key.Levels = rapid.SliceOfN(rapid.SampledFrom([]access.ID{levelA, levelB}), 0, 2).Draw(t, "levels")
	return u
}

func drawPolicy(t *rapid.T) (*access.Policy, []access.Matcher) {
	var ids []access.ID
	for _, l := range []access.ID{levelA, levelB} {
		if rapid.Bool().Draw(t, "level") {
			ids = append(ids, l)
		}
	}
	var m []access.Matcher
	for _, v := range []access.Matcher{
		{Technology: access.EM, Match: access.Full},
		{Technology: access.EM, Match: access.Low24},
		{Technology: access.MC, Match: access.Low24},
		{Match: access.Number},
	} {
		if rapid.Bool().Draw(t, "matcher") {
			m = append(m, v)
		}
	}
	return mustPolicy(rapid.SampledFrom([]int{0, 4, 5}).Draw(t, "size"), ids...), m
}

// Whatever the history, the store is what the latest puts and the policy say.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := testOptions(t, t.TempDir())
		m := &model{latest: map[access.ID]access.Update{}, told: map[access.ID]access.Result{}}
		m.policy, m.matchers = drawPolicy(rt)
		o.Policy, o.Matchers = m.policy, m.matchers
		h := &harness{tb: rt, o: o}
		h.open()
		defer h.stop()
		var log []access.Update
		all := map[access.Credential]bool{}
		apply := func(b access.Batch, want error) {
			if _, err := h.s.Apply(t.Context(), b); !errors.Is(err, want) || want == nil && err != nil {
				rt.Fatalf("Apply: %v, want %v", err, want)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"batch": func(rt *rapid.T) {
				b := access.Batch{Epoch: 1}
				for range rapid.IntRange(1, 5).Draw(rt, "size") {
					u := drawUpdate(rt, uint64(len(log)+1))
					log = append(log, u)
					b.Updates = append(b.Updates, u)
				}
				var want error
				gap := rapid.IntRange(0, 4).Draw(rt, "gap") == 0
				if gap { // one is lost on the way, at the end
					u := drawUpdate(rt, uint64(len(log)+2))
					b.Updates, want = append(b.Updates, u), access.ErrGap
				}
				apply(b, want)
				m.epoch = 1
				for _, u := range log[m.revision:] {
					m.consume(u)
				}
			},
			"again": func(rt *rapid.T) {
				if len(log) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(log)-1).Draw(rt, "from")
				part := slices.Clone(log[i:rapid.IntRange(i+1, len(log)).Draw(rt, "to")])
				apply(access.Batch{Epoch: 1, Updates: part}, nil)
				// A removed key's answers are nothing to hold a result against.
				rows := h.confirm()
				m.seq += uint64(len(rows))
				var answers []access.Result
				for _, row := range rows {
					answers = append(answers, row.Results...)
				}
				for _, r := range answers {
					u, ok := m.latest[r.ID]
					if ok && u.Revision == r.Revision {
						m.told[r.ID] = r
					} else if r.Error != access.Applied {
						rt.Fatalf("answered %+v for a revision that is not its key's latest", r)
					}
				}
			},
			"policy": func(rt *rapid.T) {
				m.policy, m.matchers = drawPolicy(rt)
				if _, err := h.s.SetPolicy(t.Context(), m.policy, m.matchers); err != nil {
					rt.Fatalf("SetPolicy: %v", err)
				}
				h.o.Policy, h.o.Matchers = m.policy, m.matchers
			},
			"reopen": func(rt *rapid.T) {
				if rapid.Bool().Draw(rt, "other policy") {
					m.policy, m.matchers = drawPolicy(rt)
					h.o.Policy, h.o.Matchers = m.policy, m.matchers
				}
				h.reopen()
				if len(h.rec.Reasons) > 0 {
					rt.Fatalf("recovered from %v", h.rec.Reasons)
				}
			},
			"": func(rt *rapid.T) { m.compare(rt, h, all) },
		})
		// The same puts in any other order, under new revisions, end the same.
		ids := slices.Collect(maps.Keys(m.latest))
		want := map[string][]access.ID{}
		for c := range all {
			want[fmt.Sprint(c, c.Digits())] = h.opening(c)
		}
		o.Dir, o.Policy, o.Matchers = t.TempDir(), m.policy, m.matchers
		g := &harness{tb: rt, o: o}
		g.open()
		defer g.stop()
		slices.SortFunc(ids, func(a, b access.ID) int { return bytes.Compare(b[:], a[:]) })
		for i, id := range rapid.Permutation(ids).Draw(rt, "order") {
			u := m.latest[id]
			u.Revision = uint64(i + 1)
			g.apply(u)
		}
		for c := range all {
			if got := g.opening(c); !slices.Equal(got, want[fmt.Sprint(c, c.Digits())]) {
				rt.Fatalf("%v opens with %v in another order", c, got)
			}
		}
	})
}
