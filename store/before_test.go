package store

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"postern/access"
)

// A store of the version before, which knew no snapshots, opens with all it has,
// and takes one.
func TestStoreOfBefore(t *testing.T) {
	h := &harness{tb: t, o: testOptions(t, t.TempDir())}
	copyDir(t, "testdata/before", h.o.Dir)
	h.open()
	defer h.stop()
	if len(h.rec.Reasons) > 0 || h.s.Position().Revision != 5 || h.s.Position().Count != 5 || h.s.PINKeyLost() {
		t.Fatalf("recovery %+v, position %+v", h.rec, h.s.Position())
	}
	h.wantOpening(em(11), 1)
	h.wantOpening(access.CodeCredential("1234"), 3)
	if same, err := h.s.PINMatches(access.Key{ID: testID(4)}, "4711"); !same || err != nil {
		t.Errorf("PIN: %v, %v", same, err)
	}
	if l, err := h.s.Lockout("key:x"); err != nil || l.Failures != 2 {
		t.Errorf("lockout %+v, %v", l, err)
	}
	if seqs, _ := h.recent(); len(seqs) != 2 || !h.s.LastGood().Equal(start) {
		t.Errorf("events %v, last good time %v", seqs, h.s.LastGood())
	}
	rows := h.statuses()
	told := []brief{{1, 1, ""}, {2, 2, access.AccessKeyInUse}, {3, 3, ""}, {4, 4, ""}, {5, 5, access.InvalidKey}}
	if diff := cmp.Diff(told, briefs(rows[0].Results)); len(rows) != 1 || diff != "" {
		t.Errorf("%d rows (-want +got)\n%s", len(rows), diff)
	}
	h.wantWhole(5)
	h.install(bigger(2000))
	h.wantOpening(em(1500), 501)
	if after := h.statuses(); len(after) != 2 || !cmp.Equal(after[0].Results, rows[0].Results) || after[1].Snapshot != snapID {
		t.Errorf("rows %+v", after)
	}
}

// wantWhole holds that the keys are in the form of today.
func (h *harness) wantWhole(keys int) {
	h.tb.Helper()
	err := h.s.keys.view(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketCreds) != nil {
			h.tb.Errorf("the bucket of before is there")
		}
		return tx.Bucket(bucketKeys).ForEach(func(_, v []byte) error {
			if keys--; v[0] != wholeVersion {
				h.tb.Errorf("a key of version %d", v[0])
			}
			return nil
		})
	})
	if err != nil || keys != 0 {
		h.tb.Errorf("%v, %d keys are missing", err, keys)
	}
}

// A file of before of which some keys are in the form of today, as when there was
// no room for all.
func TestStoreOfBeforeInPart(t *testing.T) {
	h := &harness{tb: t, o: testOptions(t, t.TempDir())}
	copyDir(t, "testdata/before", h.o.Dir)
	db, err := bbolt.Open(h.path("keys.db"), 0o600, boltOptions(false))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return changeKey(tx, 2, func(*keyRow, *decision) {}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Fatal(err)
	}
	h.open()
	defer h.stop()
	h.wantOpening(em(11), 1)
	h.wantOpening(access.CodeCredential("1234"), 3)
	h.wantWhole(5)
	h.apply(remove(6, 1)) // 2 has the same card
	h.wantOpening(em(11), 2)
}

func TestStatusRowVersions(t *testing.T) {
	row := access.StatusRow{BootID: boot1, Epoch: 3, Results: []access.Result{
		{Revision: 4, ID: testID(1), Error: access.InvalidKey, Detail: "no key", At: start},
	}}
	snapshot := row
	snapshot.Snapshot, snapshot.Revision, snapshot.Part, snapshot.Of = snapID, 300, 2, 1<<40
	for version, row := range map[byte]access.StatusRow{recordVersion: row, snapshotVersion: snapshot} {
		b := encodeStatus(row)
		if b[0] != version {
			t.Errorf("version %d, want %d", b[0], version)
		}
		got, err := decodeStatus(b)
		if diff := cmp.Diff(row, got); err != nil || diff != "" {
			t.Errorf("version %d: %v (-want +got)\n%s", version, err, diff)
		}
		for n := 1; n < len(b); n++ {
			if _, err := decodeStatus(b[:n]); err == nil {
				t.Errorf("version %d: %d bytes of %d are a row", version, n, len(b))
			}
		}
	}
	if newest(tagKey) != wholeVersion || newest(tagLocal) != recordVersion || newest(tagStatus) != snapshotVersion {
		t.Error("an unknown version passes")
	}
}

// What a snapshot and a lone change write, in pages and in the files beside.
func TestBytesWritten(t *testing.T) {
	h := newHarness(t)
	const keys = 40_000
	s := benchSnapshot(keys)
	h.install(s)
	written := s.Bytes + allocated(h.s.keys) // staged, built
	t.Logf("%d bytes a key in a snapshot: %d staged, %d built", written/keys, s.Bytes/keys, allocated(h.s.keys)/keys)
	if written > 400*keys {
		t.Errorf("%d bytes a key in a snapshot", written/keys)
	}
	h.results()
	rev := uint64(keys)
	lone := func(name string, most int64, card func(n uint64) uint64, first uint64) {
		const changes = 50
		each := int64(pageSize) // the header
		for i := range uint64(changes) {
			rev++
			n := first + i*719%keys
			u := put(rev, n, card(n))
			u.ID, u.Key.State = scattered(n), access.Disabled
			before := allocated(h.s.keys)
			h.apply(u)
			each += (allocated(h.s.keys) - before) / changes
			h.results()
		}
		t.Logf("%d bytes in a lone change, %s", each, name)
		if each > most {
			t.Errorf("%d bytes in a lone change, %s, at most %d", each, name, most)
		}
	}
	const most = 6 * pageSize
	lone("same card", most, cardOf, 1)
	lone("another card", most, func(n uint64) uint64 { return cardOf(keys + n) }, 1)
	lone("a new key", most, func(n uint64) uint64 { return cardOf(2*keys + n) }, keys+1)
	again := s.Snapshot
	again.ID, again.Revision = testID(6), rev
	if err := h.s.Stage(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	lone("noted for a snapshot", most, func(n uint64) uint64 { return cardOf(keys + n) }, 1)
}
