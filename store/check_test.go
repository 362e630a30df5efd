package store

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"postern/access"
)

// Two buckets on one page would eat each other at the next change.
func TestPageInUseTwice(t *testing.T) {
	h := newHarness(t)
	h.apply(samplePuts()...)
	h.stop()
	keys := readFile(t, h.path("keys.db"))
	m, err := newestMeta(bytes.NewReader(keys))
	if err != nil {
		t.Fatal(err)
	}
	root := keys[m.root*pageSize:][:pageSize]
	var values [][]byte
	for i := range int(le.Uint16(root[10:])) {
		e, err := parseElement(root, i, true)
		if err != nil {
			t.Fatal(err)
		}
		if le.Uint64(e.value) != 0 {
			values = append(values, e.value)
		}
	}
	if len(values) < 2 {
		t.Fatalf("%d buckets have pages", len(values))
	}
	copy(values[0][:8], values[1][:8])
	if err := checkPages(bytes.NewReader(keys), int64(len(keys))); err == nil || !strings.Contains(err.Error(), "in use twice") {
		t.Errorf("checkPages: %v", err)
	}
}

// A branch key that was lowered hides rows from lookups, though each is there.
func TestLoweredBranchKey(t *testing.T) {
	keys, _ := sampleFiles(t)
	if err := checkPages(bytes.NewReader(keys), int64(len(keys))); err != nil {
		t.Fatal(err)
	}
	m, _ := newestMeta(bytes.NewReader(keys))
	w := pageWalk{r: bytes.NewReader(keys), meta: m, seen: make([]uint64, m.pages/64+1)}
	found := false
	for id := uint64(2); id < m.pages; id++ {
		page, err := w.page(id)
		if err != nil || le.Uint16(page[8:]) != pageBranch {
			continue
		}
		// The bytes of the file, not of the copy that page gave.
		page = keys[id*pageSize:][:pageSize]
		first, _ := parseElement(page, 0, false)
		second, err := parseElement(page, 1, false)
		if err != nil || len(first.key) != len(second.key) {
			t.Fatalf("page %d: %v", id, err)
		}
		copy(second.key, first.key)
		second.key[len(second.key)-1]++
		found = true
	}
	if !found {
		t.Fatal("the sample has no branch page")
	}
	if err := checkPages(bytes.NewReader(keys), int64(len(keys))); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("checkPages: %v", err)
	}
}

// changeKey changes a key in place, with a good checksum.
func changeKey(tx *bbolt.Tx, n uint64, change func(*keyRow, *decision)) error {
	b, id := tx.Bucket(bucketKeys), testID(n)
	r, v, _, err := loadKey(b, id)
	if err != nil {
		return err
	}
	change(&r, &v)
	return b.Put(id[:], sealKey(id, &r, &v))
}

// What was lost or brought back as a whole has good checksums, and is found by
// the counts.
func TestMissingRows(t *testing.T) {
	keys, journal := sampleFiles(t)
	first := func(tx *bbolt.Tx, bucket []byte) error {
		b := tx.Bucket(bucket)
		k, _ := b.Cursor().First()
		return b.Delete(bytes.Clone(k))
	}
	for name, c := range map[string]struct {
		file   string
		change func(*bbolt.Tx) error
		want   string
	}{
		"nothing": {"keys.db", func(*bbolt.Tx) error { return nil }, ""},
		"key":     {"keys.db", func(tx *bbolt.Tx) error { return first(tx, bucketKeys) }, "399 keys"},
		"credential too many": {"keys.db", func(tx *bbolt.Tx) error {
			return changeKey(tx, 1, func(r *keyRow, _ *decision) { r.creds = append(r.creds, em(7).IndexKey()) })
		}, "401 credentials"},
		"older put": {"keys.db", func(tx *bbolt.Tx) error {
			return changeKey(tx, 1, func(_ *keyRow, v *decision) { v.revision-- })
		}, "digest"},
		"status": {"keys.db", func(tx *bbolt.Tx) error { return first(tx, bucketStatus) }, ""}, // as after a confirmation
		"last status": {"keys.db", func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketStatus)
			k := seqKey(9)
			return b.Put(k, seal(tagStatus, k, encodeStatus(access.StatusRow{BootID: boot1})))
		}, "status row"},
		"bucket": {"keys.db", func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketLockout) }, "lockout"},
		"meta":   {"keys.db", func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketMeta) }, "meta"},
		"event":  {"journal.db", func(tx *bbolt.Tx) error { return first(tx, bucketEvents) }, "99 kept"},
		"event too many": {"journal.db", func(tx *bbolt.Tx) error {
			k := seqKey(999)
			return tx.Bucket(bucketEvents).Put(k, seal(tagEvent, k, encodeEvent(access.Event{})))
		}, "the last 999"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, keys, journal)
			path := filepath.Join(dir, c.file)
			db, err := bbolt.Open(path, 0o600, boltOptions(false))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(c.change), db.Close()); err != nil {
				t.Fatal(err)
			}
			err = CheckFile(path)
			if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("CheckFile: %v, want %q", err, c.want)
			}
		})
	}
}
