package protocol

import (
	"maps"
	"slices"

	"postern/access"
)

// model is what central and the panels should agree on, worked out from what
// people did at central and what each panel's policy is. It knows nothing of
// messages, revisions or crashes.
type model struct {
	keys map[string]modelKey // by id
	told map[string]map[string]claim
	next map[string]uint64 // next claim of a panel
}

type modelKey struct {
	kind   string
	ident  string
	levels []string
}

// claim is when a key took its identification on a panel.
type claim struct {
	ident string
	n     uint64
}

func newModel() *model {
	return &model{keys: map[string]modelKey{}, told: map[string]map[string]claim{}, next: map[string]uint64{}}
}

func (m *model) clone() *model {
	c := &model{keys: maps.Clone(m.keys), told: map[string]map[string]claim{}, next: maps.Clone(m.next)}
	for p, t := range m.told {
		c.told[p] = maps.Clone(t)
	}
	return c
}

// put is a key added or changed at central; owned gives the levels of each panel.
func (m *model) put(id string, k modelKey, owned map[string][]string) {
	m.keys[id] = k
	for p, levels := range owned {
		if m.told[p] == nil {
			m.told[p] = map[string]claim{}
		}
		if len(common(k.levels, levels)) == 0 {
			delete(m.told[p], id)
			continue
		}
		if c, ok := m.told[p][id]; !ok || c.ident != k.ident {
			m.next[p]++
			m.told[p][id] = claim{k.ident, m.next[p]}
		}
	}
}

func (m *model) remove(id string) {
	delete(m.keys, id)
	for _, t := range m.told {
		delete(t, id)
	}
}

// results is what a panel with this policy makes of each key that it is told of.
func (m *model) results(panel string, owned []string, pol *access.Policy) map[string]string {
	out := map[string]string{}
	for id, c := range m.told[panel] {
		out[id] = m.judge(panel, id, c, owned, pol)
	}
	return out
}

func (m *model) judge(panel, id string, c claim, owned []string, pol *access.Policy) string {
	k := m.keys[id]
	if k.kind == "code" {
		if !pol.Codes.Enabled {
			return string(access.CodeNotEnabled)
		}
		if len(k.ident) != pol.Codes.Size {
			return string(access.InvalidCodeSize)
		}
	}
	for _, l := range common(k.levels, owned) {
		if pol.Level(access.MustParseID(l)) == nil {
			return string(access.AccessLevelNotFound)
		}
	}
	for other, oc := range m.told[panel] {
		o := m.keys[other]
		if other != id && o.kind == k.kind && sameAtReader(k, o) && oc.n < c.n {
			return string(access.AccessKeyInUse)
		}
	}
	return "applied"
}

// sameAtReader reports whether the reader can't tell two keys apart: it sends
// the low 24 bits of a card, which are the last six hexadecimal digits.
func sameAtReader(a, b modelKey) bool {
	if a.kind == "code" {
		return a.ident == b.ident
	}
	return a.ident[len(a.ident)-6:] == b.ident[len(b.ident)-6:]
}

func common(a, b []string) []string {
	var out []string
	for _, v := range a {
		if slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}
