package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"postern/access"
)

// benchSnapshot has n keys with scattered ids and cards.
func benchSnapshot(n uint64) *frozen {
	puts := make([]access.Update, n)
	for i := range puts {
		k := uint64(i) + 1
		puts[i] = put(k, k, k, pin("1234"))
		puts[i].ID, puts[i].Key.Identification = scattered(k), ident(access.Proximity, fmt.Sprintf("EM:%d", cardOf(k)))
	}
	return freeze(snapID, 1, n, puts)
}

func pin(digits string) func(*access.Update) { return func(u *access.Update) { u.PIN = digits } }

// BenchmarkInstall measures how long a snapshot takes from its first chunk until
// the store has it, beside a plain load of the same rows, sorted, in one
// transaction.
func BenchmarkInstall(b *testing.B) {
	s := benchSnapshot(benchKeys)
	plainTime, staged, installed := time.Duration(0), time.Duration(0), time.Duration(0)
	n, size := 0, int64(0)
	for b.Loop() {
		h := newHarness(b)
		t0 := time.Now()
		h.stage(s)
		t1 := time.Now()
		if _, err := h.s.Install(b.Context()); err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		rows := allRows(b, h.s.keys.db.Load())
		t3 := time.Now()
		plainLoad(b, filepath.Join(h.o.Dir, "plain.db"), rows)
		plainTime += time.Since(t3)
		staged, installed = staged+t1.Sub(t0), installed+t2.Sub(t1)
		size = int64(len(readFile(b, h.path("keys.db")))) + s.Bytes
		n++
		h.stop()
	}
	b.ReportMetric(float64(staged.Milliseconds())/float64(n), "stage-ms")
	b.ReportMetric(float64(installed.Milliseconds())/float64(n), "install-ms")
	b.ReportMetric(float64(plainTime.Milliseconds())/float64(n), "plain-ms")
	b.ReportMetric(float64(staged+installed)/float64(plainTime), "x-plain")
	b.ReportMetric(float64(size)/benchKeys, "B-on-disk/key")
}

type benchRow struct{ bucket, key, value []byte }

func allRows(b *testing.B, db *bbolt.DB) (rows []benchRow) {
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketKeys).ForEach(func(k, v []byte) error {
			rows = append(rows, benchRow{bucketKeys, bytes.Clone(k), bytes.Clone(v)})
			return nil
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

func plainLoad(b *testing.B, path string, rows []benchRow) {
	db, err := bbolt.Open(path, 0o600, boltOptions(false))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		made := map[string]*bbolt.Bucket{}
		for _, r := range rows {
			t := made[string(r.bucket)]
			if t == nil {
				t, _ = tx.CreateBucket(r.bucket)
				t.FillPercent = fillSorted
				made[string(r.bucket)] = t
			}
			if err := t.Put(r.key, r.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkInstallMemory says what stays and what is needed at most, without the
// pages of files that the system maps.
func BenchmarkInstallMemory(b *testing.B) {
	for _, n := range []uint64{benchKeys, 10 * benchKeys} {
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			if n > benchKeys && testing.Short() {
				b.Skip("takes a minute")
			}
			for b.Loop() {
				h := newHarness(b)
				h.stage(benchSnapshot(n))
				debug.FreeOSMemory()
				base := anonymous(b)
				most, done, ended := base, make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					for {
						select {
						case <-done:
							return
						case <-time.After(5 * time.Millisecond):
							most = max(most, anonymous(b))
						}
					}
				}()
				t0 := time.Now()
				if _, err := h.s.Install(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(t0).Milliseconds()), "install-ms")
				close(done)
				<-ended
				b.ReportMetric(float64(most-base)/1e6, "MB-peak")
				debug.FreeOSMemory()
				b.ReportMetric(float64(anonymous(b))/1e6, "MB-all")
				b.ReportMetric(float64(max(0, anonymous(b)-base))/1e6, "MB-after")
				h.stop()
			}
		})
	}
}

// anonymous is the process's anonymous memory, in bytes.
func anonymous(b *testing.B) (n int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc here")
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n * 1024
}

// queueAll queues changes one by one, and waits for each once a number of them
// are under way.
func queueAll(b *testing.B, h *harness, ups []access.Update) {
	waits := make(chan func(context.Context) (access.Position, error), 1000)
	go func() {
		defer close(waits)
		for _, u := range ups {
			waits <- h.s.Queue(access.Batch{Epoch: 1, Updates: []access.Update{u}})
		}
	}()
	for wait := range waits {
		if _, err := wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// rowsOf are the rows of each change's key, in the order of the changes.
func rowsOf(b *testing.B, h *harness, ups []access.Update) (rows []benchRow) {
	err := h.s.keys.view(func(tx *bbolt.Tx) error {
		for _, u := range ups {
			rows = append(rows, benchRow{bucketKeys, u.ID[:], bytes.Clone(tx.Bucket(bucketKeys).Get(u.ID[:]))})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// BenchmarkDeltas measures single changes that a caller queues one by one, beside
// the same rows put into a database by hand, a hundred changes in a commit.
func BenchmarkDeltas(b *testing.B) {
	const changes = 10_000
	single, hundreds := time.Duration(0), time.Duration(0)
	for b.Loop() {
		h := newHarness(b)
		ups := make([]access.Update, changes)
		for i := range ups {
			n := uint64(i) + 1
			ups[i] = put(n, n, cardOf(n))
			ups[i].ID = scattered(n)
		}
		t0 := time.Now()
		queueAll(b, h, ups)
		single += time.Since(t0)
		rows := rowsOf(b, h, ups)
		db, err := bbolt.Open(filepath.Join(h.o.Dir, "plain.db"), 0o600, boltOptions(false))
		if err == nil {
			err = db.Update(func(tx *bbolt.Tx) error {
				_, err := makeBuckets(tx, bucketKeys)
				return err
			})
		}
		if err != nil {
			b.Fatal(err)
		}
		t0 = time.Now()
		for part := range slices.Chunk(rows, 100) {
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, r := range part {
					if err := tx.Bucket(r.bucket).Put(r.key, r.value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		hundreds += time.Since(t0)
		db.Close()
		h.stop()
	}
	b.ReportMetric(float64(single)/float64(hundreds), "x-hundreds")
}
