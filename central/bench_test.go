package central

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"postern/access"
	"postern/wire"
)

// benchKit has a panel with n keys.
func benchKit(b *testing.B, n int) *rig {
	b.Helper()
	r := newRig(newKit(b))
	r.panel("p1", 6, level(1))
	err := r.store.update(b.Context(), func(x *tx) error {
		head, err := x.head(b.Context(), "p1")
		if err != nil {
			return err
		}
		for i := range n {
			ident, err := access.ParseIdentification(access.Proximity, fmt.Sprintf("EM:%d", i+1))
			if err != nil {
				return err
			}
			k := access.Key{
				ID: newBoot(), Type: access.Proximity, Identification: ident, State: access.Enabled, Levels: []access.ID{level(1)},
				Person: newBoot(), ValidFrom: time.Unix(1_700_000_000, 0), HasPIN: true,
			}
			if err := x.put(b.Context(), head, told{}, k, "1234"); err != nil {
				return err
			}
		}
		return x.changed(b.Context())
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.e.refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkFreeze makes a snapshot of 100,000 keys, of which it reads the
// chunks; beside it stands what writing down as many lines takes at least.
func BenchmarkFreeze(b *testing.B) {
	const keys = 100_000
	r := benchKit(b, keys)
	b.Run("freeze", func(b *testing.B) {
		for range b.N {
			f, err := r.store.freeze(b.Context(), "p1")
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(f.Bytes)
			b.StopTimer()
			if err := r.store.dropSnapshot(b.Context(), f.ID); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
	})
	b.Run("chunks", func(b *testing.B) {
		f, err := r.store.freeze(b.Context(), "p1")
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(f.Bytes)
		b.ResetTimer()
		for range b.N {
			for n := range f.Chunks {
				if _, err := r.store.chunk(b.Context(), f, n); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("lines", func(b *testing.B) {
		k := wire.SnapshotKey{Revision: 77, ID: newBoot(), Claim: 77, Key: wire.EncodeKey(access.Key{Levels: []access.ID{level(1)}, Person: newBoot()}, "1234")}
		for range b.N {
			var buf []byte
			for range keys {
				buf = wire.AppendSnapshotKey(buf[:0], k)
			}
		}
	})
}

// BenchmarkDeltas brings a panel 10,000 revisions as it confirms them at once.
func BenchmarkDeltas(b *testing.B) {
	const keys = 10_000
	r := benchKit(b, keys)
	r.limits = &limits{longLog: 1 << 40, keepLog: 1 << 40, pruneStep: 1, frozen: 1}
	messages := 0
	for range b.N {
		b.StopTimer()
		r.restart()
		r.e.limits = *r.limits
		boot, epoch := newBoot(), r.head("p1").epoch
		r.give("p1", wire.TopicState, wire.State{Online: true, BootID: boot, ConnSeq: 1})
		b.StartTimer()
		report := wire.Reported{BootID: boot, ConnSeq: 1, Epoch: epoch}
		for report.Revision < keys {
			digest, count, _, err := r.store.logAt(b.Context(), "p1", epoch, report.Revision)
			if err != nil {
				b.Fatal(err)
			}
			report.Digest, report.Count = digest, count
			r.give("p1", wire.TopicReported, report)
			for _, m := range r.take("p1", wire.TopicChange) {
				var c struct {
					Changes []struct{ Revision uint64 } `json:"changes"`
				}
				if err := json.Unmarshal(m, &c); err != nil {
					b.Fatal(err)
				}
				report.Revision = c.Changes[len(c.Changes)-1].Revision
				messages++
			}
		}
	}
	b.ReportMetric(float64(messages)/float64(b.N), "messages/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/revision")
}

// BenchmarkSnapshotResults counts the results of 100,000 keys.
func BenchmarkSnapshotResults(b *testing.B) {
	const keys = 100_000
	r := benchKit(b, keys)
	f, err := r.store.freeze(b.Context(), "p1")
	if err != nil {
		b.Fatal(err)
	}
	boot := newBoot()
	for i := range b.N {
		b.StopTimer()
		for _, query := range []string{"UPDATE panel_keys SET result = ''", "UPDATE panel_log SET answered = FALSE"} {
			if _, err := r.store.write.ExecContext(b.Context(), query); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		_, took, err := r.store.takeStatuses(context.Background(), "p1", wire.Statuses{
			BootID: boot, Seq: uint64(i) + 1, After: uint64(i), Oldest: 1, Epoch: f.Epoch, SnapshotID: f.ID, Revision: f.Revision, Part: 1, Of: 1,
		})
		if err != nil || !took {
			b.Fatal(took, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
}

// BenchmarkResync opens a new epoch for a panel of 100,000 keys.
func BenchmarkResync(b *testing.B) {
	const keys = 100_000
	r := benchKit(b, keys)
	b.ResetTimer()
	for range b.N {
		if err := r.store.ResyncPanel(b.Context(), "p1"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
}
