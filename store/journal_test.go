package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
)

func (h *harness) record(n int) []access.Event {
	h.tb.Helper()
	ev := make([]access.Event, n)
	for i := range ev {
		ev[i] = access.Event{Type: access.GrantedCard, At: start, Mono: time.Second, Clock: access.ClockHoldover}
	}
	out, err := h.s.Record(h.ctx(), ev...)
	if err != nil {
		h.tb.Fatalf("Record: %v", err)
	}
	return out
}

func (h *harness) ackEvents(boot access.ID, seq uint64) {
	h.tb.Helper()
	if err := h.s.AckEvents(h.ctx(), boot, seq); err != nil {
		h.tb.Fatalf("AckEvents: %v", err)
	}
}

func (h *harness) recent() (seqs []uint64, events []access.Event) {
	h.tb.Helper()
	events, err := h.s.Recent(0, 1<<20)
	if err != nil {
		h.tb.Fatalf("Recent: %v", err)
	}
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	return seqs, events
}

// waiting gives the numbers of the unconfirmed events, run after run.
func (h *harness) waiting() (seqs []uint64) {
	h.tb.Helper()
	for after := uint64(0); ; {
		run, ok, err := h.s.NextEvents(after, 7)
		if err != nil {
			h.tb.Fatalf("NextEvents: %v", err)
		}
		if !ok {
			return seqs
		}
		for _, e := range run.Events {
			if e.BootID != run.BootID {
				h.tb.Fatalf("a run of two boots: %+v", run)
			}
			seqs = append(seqs, e.Seq)
		}
		after = seqs[len(seqs)-1]
	}
}

func TestRecord(t *testing.T) {
	h := newHarness(t)
	in := access.Event{
		At: start, Mono: time.Minute, Clock: access.ClockTrusted, Type: access.GrantedCardPIN, Reason: access.ReasonOperator,
		Door: "front", Point: "front-in", Key: testID(1), KeyType: access.Proximity, Credential: "0000000000011", Person: testID(2),
		Detail: strings.Repeat("ü", 150), Seq: 99, BootID: testID(3),
	}
	got, err := h.s.Record(t.Context(), in, access.Event{Type: access.PanelStarted})
	if err != nil || len(got) != 2 || got[0].Seq != 1 || got[1].Seq != 2 || got[0].BootID != boot1 || in.Seq != 99 {
		t.Fatalf("Record: %+v, %v", got, err)
	}
	<-h.s.EventsReady()
	h.reopen()
	<-h.s.EventsReady()
	want := in
	want.Seq, want.BootID, want.Detail = 1, boot1, strings.Repeat("ü", 100)
	_, events := h.recent()
	if diff := cmp.Diff(want, events[1]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if out, err := h.s.Record(t.Context()); out != nil || err != nil {
		t.Errorf("Record of nothing: %v, %v", out, err)
	}
}

func TestRunsAndAcks(t *testing.T) {
	h := newHarness(t)
	h.record(5)
	h.stop()
	h.o.BootID = boot2
	h.open()
	h.record(3)
	type run struct {
		Boot          access.ID
		After, Oldest uint64
		First, Last   uint64
	}
	next := func(after uint64, limit int) run {
		t.Helper()
		r, ok, err := h.s.NextEvents(after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return run{}
		}
		return run{r.BootID, r.After, r.Oldest, r.Events[0].Seq, r.Events[len(r.Events)-1].Seq}
	}
	check := func(after uint64, limit int, want run) {
		t.Helper()
		if got := next(after, limit); got != want {
			t.Errorf("NextEvents(%d, %d) = %+v, want %+v", after, limit, got, want)
		}
	}
	check(0, 3, run{boot1, 0, 1, 1, 3})
	check(3, 10, run{boot1, 3, 1, 4, 5}) // not over the change of boot
	check(5, 10, run{boot2, 5, 1, 6, 8})
	check(8, 10, run{})
	check(^uint64(0), 10, run{})
	check(0, 0, run{boot1, 0, 1, 1, 1})
	h.ackEvents(boot2, 3) // another boot wrote it
	h.ackEvents(boot1, 9)
	h.ackEvents(boot1, 0)
	check(0, 10, run{boot1, 0, 1, 1, 5})
	h.ackEvents(boot1, 4)
	check(0, 10, run{boot1, 4, 5, 5, 5})
	h.ackEvents(boot1, 2) // already confirmed
	check(0, 10, run{boot1, 4, 5, 5, 5})
	h.ackEvents(boot2, 8)
	check(0, 10, run{})
	if seqs, _ := h.recent(); len(seqs) != 8 {
		t.Errorf("confirmed events are gone: %v", seqs)
	}
	for _, c := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{{0, 2, []uint64{8, 7}}, {7, 2, []uint64{6, 5}}, {1, 9, nil}, {100, 1, []uint64{8}}, {0, 0, nil}} {
		ev, err := h.s.Recent(c.before, c.limit)
		var got []uint64
		for _, e := range ev {
			got = append(got, e.Seq)
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("Recent(%d, %d): %v %s", c.before, c.limit, err, diff)
		}
	}
}

func TestKeepTrims(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Keep = 10 })
	h.record(30)
	h.ackEvents(boot1, 25)
	seqs, _ := h.recent()
	if len(seqs) != 15 || seqs[14] != 16 {
		t.Errorf("held: %v", seqs)
	}
	h.o.Keep = 0
	h.reopen()
	h.record(1)
	if seqs, _ := h.recent(); len(seqs) != 6 || seqs[5] != 26 {
		t.Errorf("held with keep 0: %v", seqs)
	}
}

func TestCapDropsTheOldest(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Cap = 10 })
	drops := func() (out []string) {
		_, events := h.recent()
		for _, e := range events {
			if e.Type == access.EventsDropped {
				out = append(out, fmt.Sprint(e.Seq, ": ", e.Detail))
				if !e.At.Equal(start) || e.Clock != access.ClockHoldover {
					t.Errorf("its times: %+v", e)
				}
			}
		}
		return out
	}
	want := func(texts ...string) {
		t.Helper()
		if diff := cmp.Diff(texts, drops()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if seqs, _ := h.recent(); len(seqs) != 10 {
			t.Errorf("%d held: %v", len(seqs), seqs)
		}
	}
	h.record(10)
	want()
	h.record(1) // 11, and 12 says that 1 and 2 are gone
	want("12: 2 dropped, the oldest first")
	h.record(3)
	want("12: 5 dropped, the oldest first") // while it goes on, one event
	run, _, err := h.s.NextEvents(0, 100)
	if err != nil || run.After != 5 || run.Oldest != 6 {
		t.Errorf("run %+v, %v", run, err)
	}
	h.record(1) // 12 was handed out and stays as it is
	want("17: 2 dropped, the oldest first", "12: 5 dropped, the oldest first")
	h.record(20) // both are among the oldest by now
	if d := drops(); len(d) != 1 {
		t.Errorf("%v", d)
	}
	h.ackEvents(boot1, h.record(1)[0].Seq)
	h.reopen()
	if err := func() error { h.stop(); defer h.open(); return CheckFile(h.path("journal.db")) }(); err != nil {
		t.Error(err)
	}
}

func TestCapLowered(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Keep = 0 })
	h.record(30)
	h.o.Cap = 10
	h.reopen()
	h.ackEvents(boot1, 1)
	seqs, events := h.recent()
	if len(seqs) != 10 || events[0].Type != access.EventsDropped || events[0].Clock != access.ClockUntrusted || !events[0].At.Equal(start) {
		t.Errorf("held %v, the last %+v", seqs, events[0])
	}
}

// While nothing is handed out, what one event counts and what is held is all that
// was ever recorded, however much is dropped.
func TestDropsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := testOptions(t, t.TempDir())
		o.Cap, o.Keep = rapid.IntRange(2, 12).Draw(rt, "cap"), 1
		h := &harness{tb: rt, o: o}
		h.open()
		defer h.stop()
		recorded := 0
		for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
			n := rapid.IntRange(1, 20).Draw(rt, "n")
			h.record(n)
			recorded += n
			_, events := h.recent()
			held, dropped := 0, 0
			for i, e := range events {
				if e.Type != access.EventsDropped {
					held++
				} else if _, err := fmt.Sscanf(e.Detail, "%d dropped", &dropped); err != nil {
					rt.Fatal(err)
				}
				if i > 0 && events[i-1].Seq != e.Seq+1 {
					rt.Fatalf("a gap between %d and %d", e.Seq, events[i-1].Seq)
				}
			}
			f, err := h.s.Figures()
			if err != nil || f.Events != uint64(len(events)) || f.Dropped != uint64(dropped) || f.Oldest != events[len(events)-1].Seq {
				rt.Fatalf("figures %+v, %v; %d events, %d dropped", f, err, len(events), dropped)
			}
			if len(events) > o.Cap || held+dropped != recorded {
				rt.Fatalf("%d held and %d dropped of %d, cap %d", held, dropped, recorded, o.Cap)
			}
		}
	})
}

// The journal against its rules: numbers without end, in order, each event held
// until it is confirmed.
func TestJournalModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := testOptions(t, t.TempDir())
		o.Keep, o.Cap = 5, 1000
		h := &harness{tb: rt, o: o}
		h.open()
		defer h.stop()
		var last, confirmed uint64
		boots := map[uint64]access.ID{}
		rt.Repeat(map[string]func(*rapid.T){
			"record": func(rt *rapid.T) {
				for _, e := range h.record(rapid.IntRange(1, 5).Draw(rt, "n")) {
					if last++; e.Seq != last {
						rt.Fatalf("seq %d, want %d", e.Seq, last)
					}
					boots[last] = h.o.BootID
				}
			},
			"ack": func(rt *rapid.T) {
				seq := rapid.Uint64Range(0, last+1).Draw(rt, "seq")
				boot := rapid.SampledFrom([]access.ID{boot1, boot2}).Draw(rt, "boot")
				h.ackEvents(boot, seq)
				if boots[seq] == boot {
					confirmed = max(confirmed, seq)
				}
			},
			"reopen": func(rt *rapid.T) {
				h.o.BootID = rapid.SampledFrom([]access.ID{boot1, boot2}).Draw(rt, "boot")
				h.reopen()
				if len(h.rec.Reasons) > 0 {
					rt.Fatalf("recovery %+v", h.rec)
				}
			},
			"": func(rt *rapid.T) {
				got := h.waiting()
				if uint64(len(got)) != last-confirmed || len(got) > 0 && got[0] != confirmed+1 {
					rt.Fatalf("waiting %v, want %d to %d", got, confirmed+1, last)
				}
				seqs, _ := h.recent()
				if kept := uint64(len(seqs)) - uint64(len(got)); kept != min(confirmed, 5) {
					rt.Fatalf("%d confirmed ones held of %d", kept, confirmed)
				}
			},
		})
	})
}

func TestTogether(t *testing.T) {
	h := newHarness(t)
	var wg sync.WaitGroup
	const n = 40
	seqs := make([][]uint64, 4)
	for g := range seqs {
		wg.Go(func() {
			for range n {
				for _, e := range h.record(2) {
					seqs[g] = append(seqs[g], e.Seq)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range uint64(n) {
			h.apply(put(i+1, i+1, i))
		}
	})
	wg.Go(func() {
		for i := range n {
			p := mustPolicy(4, levelA)
			if i%2 == 0 {
				p = mustPolicy(5, levelA, levelB)
			}
			if _, err := h.s.SetPolicy(t.Context(), p, full); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range n {
			if err := h.s.SetLockout(t.Context(), fmt.Sprint("key:", i), access.Lockout{Failures: 1}); err != nil {
				t.Error(err)
			}
			if err := h.s.SetLastGood(t.Context(), start); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range uint64(10 * n) {
			h.opening(em(i % n))
			if _, err := h.s.PINMatches(access.Key{ID: testID(i % n)}, "1234"); err != nil {
				t.Error(err)
			}
			h.s.Position()
			h.s.LastGood()
			h.waiting()
			if row, ok, err := h.s.NextStatus(0); err != nil {
				t.Error(err)
			} else if ok {
				if err := h.s.AckStatus(t.Context(), row.BootID, row.Seq); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	seen := map[uint64]bool{}
	for _, list := range seqs {
		for _, s := range list {
			if seen[s] {
				t.Errorf("seq %d twice", s)
			}
			seen[s] = true
		}
	}
	if len(seen) != 4*n*2 {
		t.Errorf("%d events", len(seen))
	}
	if pos := h.s.Position(); pos.Revision != n || pos.Count != n {
		t.Errorf("position %+v", pos)
	}
}
