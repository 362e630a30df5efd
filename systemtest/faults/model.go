package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"postern/access"
	"postern/systemtest/faults/site"
)

// model says what central's callers have been promised, and so what panel and
// central must come to. It knows nothing of revisions or messages.
//
// Its keys are in groups, each of which one goroutine alone changes: what a key
// comes to depends on its own group only.
type model struct {
	groups []*group
	all    []*modelKey // in the order of their first add, removed ones too
	claims uint64      // claims given so far
	acked  int         // changes that HTTP has confirmed
}

// group is a set of keys that a reader of the low 24 bits can't tell apart.
type group struct {
	low  uint32 // those bits
	keys []*modelKey
}

type modelKey struct {
	id       access.ID
	of       *group
	ident    string // a card's number, or a code
	kind     access.Type
	state    string
	pin      bool
	from, to time.Time
	levels   []string
	claim    uint64 // order in which the keys took their cards
	removed  bool
	puts     int
}

// codeSize is the size of codes on the panel.
const codeSize = 6

// fails says why the panel must fail the key, "" for applied.
func (k *modelKey) fails() access.ErrorType {
	if k.removed {
		return access.Applied
	}
	if k.kind == access.Code {
		if len(k.ident) != codeSize {
			return access.InvalidCodeSize
		}
		return access.Applied
	}
	for _, other := range k.of.keys {
		if other != k && !other.removed && other.kind == access.Proximity && other.claim < k.claim {
			return access.AccessKeyInUse
		}
	}
	return access.Applied
}

// opens reports whether the key opens a door at now.
func (k *modelKey) opens(now time.Time) bool {
	return !k.removed && k.fails() == access.Applied && k.state == "enabled" &&
		(k.from.IsZero() || !now.Before(k.from)) && (k.to.IsZero() || now.Before(k.to))
}

// operation is one change over HTTP. done is called once it was confirmed.
type operation struct {
	remove access.ID // zero: add
	add    site.Key
	card   string // of a new key that has one
	done   func(id access.ID)
}

// Of 100 changes so many add a key, and so many change one; the rest remove one.
const (
	addShare    = 55
	updateShare = 25
)

// next draws the next change of one worker's part of the model. Cards are
// numbered from base on.
func (m *model) next(r *rand.Rand, base uint32) operation {
	var live []*modelKey
	draw := r.IntN(100)
	if draw >= addShare {
		for range 20 { // any that lives will do
			if len(m.all) == 0 {
				break
			}
			if k := m.all[r.IntN(len(m.all))]; !k.removed {
				live = append(live, k)
				break
			}
		}
	}
	switch {
	case len(live) == 0:
		return m.addOne(r, base)
	case draw < addShare+updateShare:
		return m.update(r, live[0])
	}
	k := live[0]
	return operation{remove: k.id, done: func(access.ID) {
		k.removed = true
		m.acked++
	}}
}

func (m *model) addOne(r *rand.Rand, base uint32) operation {
	k := &modelKey{kind: access.Proximity, state: "enabled"}
	switch n := r.IntN(20); {
	case n == 0: // a code of the wrong size
		k.kind, k.ident = access.Code, fmt.Sprintf("%08d", base+uint32(len(m.all)))
	case n == 1:
		k.kind, k.ident = access.Code, fmt.Sprintf("%06d", (base+uint32(len(m.all)))%1_000_000)
	case n < 6 && len(m.groups) > 0: // a card that looks like another one
		k.of = m.groups[r.IntN(len(m.groups))]
	}
	if k.of == nil {
		k.of = &group{low: base + uint32(len(m.groups))}
	}
	if k.kind == access.Proximity {
		k.ident = fmt.Sprintf("%013d", uint64(len(k.of.keys)+1)<<24|uint64(k.of.low))
	}
	m.dress(r, k)
	spec := k.spec()
	spec.Key = &site.Ident{Identification: k.ident, Type: string(k.kind)}
	op := operation{add: spec, done: func(id access.ID) {
		m.claims++
		k.id, k.claim, k.puts = id, m.claims, 1
		m.acked++
		m.all = append(m.all, k)
		if k.kind == access.Proximity && len(k.of.keys) == 0 {
			m.groups = append(m.groups, k.of)
		}
		k.of.keys = append(k.of.keys, k)
	}}
	if k.kind == access.Proximity {
		op.card = k.ident
	}
	return op
}

// dress draws everything that an update may change.
func (m *model) dress(r *rand.Rand, k *modelKey) {
	k.state = []string{"enabled", "enabled", "enabled", "disabled", "blacklisted"}[r.IntN(5)]
	k.levels = [][]string{{site.LevelAll}, {site.LevelMost}, {site.LevelAll, site.LevelMost}}[r.IntN(3)]
	k.pin = k.pin || r.IntN(4) == 0
	k.from = time.Date(2020, 1, 1, 0, 0, r.IntN(86400), 0, time.UTC)
	k.to = time.Date(2099, 1, 1, 0, 0, r.IntN(86400), 0, time.UTC)
	if r.IntN(8) == 0 {
		k.to = time.Date(2021, 1, 1, 0, 0, r.IntN(86400), 0, time.UTC) // over
	}
}

func (m *model) update(r *rand.Rand, k *modelKey) operation {
	next := *k
	m.dress(r, &next)
	spec := next.spec()
	spec.ID = k.id
	return operation{add: spec, done: func(access.ID) {
		next.puts++
		*k = next
		m.acked++
	}}
}

func (k *modelKey) spec() site.Key {
	s := site.Key{ValidFrom: &k.from, ValidTo: &k.to, Levels: k.levels, State: k.state}
	if k.pin {
		s.PIN = "4711"
	}
	return s
}

// live are the keys that are to be on the panel, by id.
func (m *model) live() map[access.ID]*modelKey {
	out := map[access.ID]*modelKey{}
	for _, k := range m.all {
		if !k.removed {
			out[k.id] = k
		}
	}
	return out
}

// sameLevels compares what the panel has with what it should have.
func sameLevels(got, want []string) bool {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	return slices.Equal(got, want)
}
