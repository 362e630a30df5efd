package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"postern/access"
)

const benchKeys = 100_000

// benchStore holds benchKeys keys, each with the card of its number.
func benchStore(b *testing.B) *harness {
	b.Helper()
	h := newHarness(b, func(o *Options) { o.Cap = 1 << 20 })
	for i := uint64(0); i < benchKeys; i += 1000 {
		var ups []access.Update
		for j := range uint64(1000) {
			n := i + j + 1
			u := put(n, n, n)
			// Ids and numbers come in no order, as in life.
			u.ID, u.Key.Identification = scattered(n), ident(access.Proximity, fmt.Sprintf("EM:%d", cardOf(n)))
			ups = append(ups, u)
		}
		h.apply(ups...)
		h.results()
	}
	return h
}

func cardOf(n uint64) uint64 { return n * 0x9E3779B97F4A7C15 >> 24 }

func scattered(n uint64) access.ID {
	id := testID(n)
	for i := range 8 {
		id[i] = byte(n * 0x9E3779B97F4A7C15 >> (8 * i))
	}
	return id
}

// BenchmarkLookup measures lookups side by side with those of a map, in turns, so
// that the ratio means something on any machine.
func BenchmarkLookup(b *testing.B) {
	h := benchStore(b)
	m := map[access.Credential]access.Key{}
	for n := range uint64(benchKeys) {
		c := em(cardOf(n + 1))
		keys, err := h.s.Lookup(c)
		if err != nil || len(keys) != 1 {
			b.Fatalf("Lookup: %v, %v", keys, err)
		}
		m[c] = keys[0]
	}
	r := rand.New(rand.NewPCG(1, 1))
	var store, plain []time.Duration
	var sink access.Key
	for b.Loop() {
		c := em(cardOf(1 + r.Uint64N(benchKeys)))
		t0 := time.Now()
		sink = m[c]
		t1 := time.Now()
		keys, err := h.s.Lookup(c)
		t2 := time.Now()
		if err != nil || len(keys) != 1 || keys[0].ID != sink.ID {
			b.Fatal(keys, err)
		}
		plain, store = append(plain, t1.Sub(t0)), append(store, t2.Sub(t1))
	}
	slices.Sort(plain)
	slices.Sort(store)
	at := func(d []time.Duration, p float64) float64 { return float64(d[int(p*float64(len(d)-1))].Nanoseconds()) }
	b.ReportMetric(at(store, 0.5), "p50-ns")
	b.ReportMetric(at(store, 0.99), "p99-ns")
	b.ReportMetric(at(store, 0.5)/at(plain, 0.5), "p50-x-map")
	b.ReportMetric(at(store, 0.99)/at(plain, 0.99), "p99-x-map")
}

// allocated is how many bytes of pages the commits of a file have written; each
// commit writes a header besides.
func allocated(f *file) int64 {
	st := f.db.Load().Stats()
	return st.TxStats.GetPageAlloc()
}

func BenchmarkCommit(b *testing.B) {
	h := benchStore(b)
	rev := h.s.Position().Revision
	change := func(card uint64) access.Update {
		rev++
		n := 1 + rev*7919%benchKeys
		if card == 0 {
			card = cardOf(n)
		}
		u := put(rev, n, n)
		u.ID, u.Key.Identification = scattered(n), ident(access.Proximity, fmt.Sprintf("EM:%d", card))
		u.Key.State = access.Disabled
		return u
	}
	measure := func(name string, size int, newCard bool) {
		b.Run(name, func(b *testing.B) {
			pages, n := int64(0), 0
			for b.Loop() {
				var ups []access.Update
				for range size {
					card := uint64(0)
					if newCard {
						card = cardOf(rev + 1)
					}
					ups = append(ups, change(card))
				}
				before := allocated(h.s.keys)
				h.apply(ups...)
				pages += allocated(h.s.keys) - before
				n++
				h.results() // central confirms what it is told
			}
			b.ReportMetric(float64(pages+int64(n*pageSize))/float64(n*size)/1000, "KB/change")
		})
	}
	measure("same-card", 1, false)
	measure("other-card", 1, true)
	measure("thousand", 1000, false)
}

func BenchmarkRecord(b *testing.B) {
	h := newHarness(b, func(o *Options) { o.Cap = 1 << 20 })
	for _, size := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("events=", size), func(b *testing.B) {
			ev := make([]access.Event, size)
			for i := range ev {
				ev[i] = access.Event{
					At: start, Clock: access.ClockTrusted, Type: access.GrantedCard, Door: "front", Point: "front-in",
					Key: testID(1), KeyType: access.Proximity, Credential: "0001234567890", Person: testID(2),
				}
			}
			before := allocated(h.s.journal)
			n := 0
			for b.Loop() {
				if _, err := h.s.Record(b.Context(), ev...); err != nil {
					b.Fatal(err)
				}
				n++
			}
			pages := allocated(h.s.journal) - before
			b.ReportMetric(float64(pages+int64(n*pageSize))/float64(n*size)/1000, "KB/event")
		})
	}
}

func BenchmarkCheckFile(b *testing.B) {
	h := benchStore(b)
	h.stop()
	for b.Loop() {
		if err := CheckFile(h.path("keys.db")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(readFile(b, h.path("keys.db"))))/benchKeys, "B/key")
}

func BenchmarkSetPolicy(b *testing.B) {
	h := benchStore(b)
	for name, m := range map[string][]access.Matcher{"levels": full, "matchers": append(low24, full...)} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				p, readers := mustPolicy(4, levelA), full
				if i%2 == 0 {
					readers = m
					if name == "levels" {
						p = mustPolicy(4)
					}
				}
				if _, err := h.s.SetPolicy(b.Context(), p, readers); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				h.results()
				b.StartTimer()
			}
		})
	}
}
