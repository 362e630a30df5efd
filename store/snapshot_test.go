package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"postern/access"
)

var snapID = testID(0x5a)

func TestInstall(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11), put(2, 2, 12), put(3, 3, 13))
	if err := h.s.SetLockout(t.Context(), "key:x", access.Lockout{Failures: 2}); err != nil {
		t.Fatal(err)
	}
	var puts []access.Update
	for i := range uint64(2000) {
		puts = append(puts, put(10+i, 100+i, 1000+i))
	}
	puts = append(puts, put(4, 1, 11), put(5, 2, 1000, claim(1)), put(6, 4, 14, levels(unknown)), put(7, 5, 0, fault("no key")))
	s := freeze(snapID, 1, 5000, puts)
	pos := h.install(s)
	want := access.Position{Epoch: 1, Revision: 5000, Digest: s.Digest, Count: s.Count}
	if pos != want || h.s.Position() != want {
		t.Errorf("position %+v, want %+v", pos, want)
	}
	if _, _, err := Open(t.Context(), h.o); !errors.Is(err, ErrLocked) {
		t.Errorf("Open of a store in use: %v", err)
	}
	for range 2 {
		h.wantOpening(em(11), 1)
		h.wantOpening(em(12))
		h.wantOpening(em(1000), 2)
		h.wantOpening(em(1001), 101)
		h.wantOpening(em(14), 4)
		if l, err := h.s.Lockout("key:x"); err != nil || l.Failures != 2 {
			t.Errorf("lockout %+v, %v", l, err)
		}
		h.reopen()
		if len(h.rec.Reasons) > 0 {
			t.Fatalf("recovery %+v", h.rec)
		}
	}
	rows := h.statuses()
	if len(rows) != 2 || rows[1].Snapshot != snapID || rows[1].Revision != 5000 || rows[1].Part != 1 || rows[1].Of != 1 {
		t.Fatalf("rows %+v", rows)
	}
	failed := []brief{{6, 4, access.AccessLevelNotFound}, {7, 5, access.InvalidKey}, {10, 100, access.AccessKeyInUse}}
	if diff := cmp.Diff(failed, briefs(rows[1].Results)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.apply(put(5001, 2, 99))
	h.wantOpening(em(1000), 100)
}

// within has do run once, in the middle of the next Install.
func (h *harness) within(do func()) {
	var once atomic.Bool
	var lines atomic.Int64
	h.o.Decode = func(b []byte) (access.Update, error) {
		if lines.Add(1) == 500 && !once.Swap(true) {
			do()
		}
		return decodeLine(b)
	}
	h.reopen()
}

// Changes that come while a snapshot is staged and built are in force after it,
// whatever they do to keys of the snapshot, and are told.
func TestChangesMeanwhile(t *testing.T) {
	h := newHarness(t)
	h.within(func() {
		h.apply(put(2003, 4000, 1600, claim(0), pin("4711")), remove(2004, 3), put(2005, 5, 1001, claim(9999)))
	})
	s := bigger(2000)
	for i := range uint64(2000) {
		h.apply(put(i+1, i+1, 9000+i)) // what the panel had is another thing
	}
	h.results()
	h.stage(s)
	h.apply(remove(2001, 501), put(2002, 7, 1700, claim(9999)))
	h.reopen()
	pos, err := h.s.Install(t.Context())
	if err != nil || pos.Revision != 2005 || pos.Count != 1999 {
		t.Fatalf("Install: %+v, %v", pos, err)
	}
	for range 2 {
		h.wantOpening(em(1500))       // its key was removed
		h.wantOpening(em(1002))       // so was this one's, during the installation
		h.wantOpening(em(1006))       // its key has another card now,
		h.wantOpening(em(1700), 701)  // which belongs to another
		h.wantOpening(em(1600), 4000) // a lower claim took it
		h.wantOpening(em(1001), 2)
		h.wantOpening(em(1003), 4)
		h.wantOpening(em(9010))
		keys, err := h.s.Lookup(em(1600))
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		if same, err := h.s.PINMatches(keys[0], "4711"); !same || err != nil {
			t.Errorf("its PIN: %v, %v", same, err)
		}
		h.reopen()
		if len(h.rec.Reasons) > 0 {
			t.Fatalf("recovery %+v", h.rec)
		}
	}
	rows := h.statuses()
	if len(rows) < 2 || rows[len(rows)-2].Snapshot != snapID || rows[len(rows)-1].Snapshot != (access.ID{}) {
		t.Fatalf("rows %+v", rows)
	}
	if diff := cmp.Diff([]brief{{601, 601, access.AccessKeyInUse}}, briefs(rows[len(rows)-2].Results)); diff != "" {
		t.Errorf("of the snapshot (-want +got)\n%s", diff)
	}
	later := []brief{{2002, 7, access.AccessKeyInUse}, {2003, 4000, access.Applied}, {2005, 5, access.AccessKeyInUse}}
	if diff := cmp.Diff(later, briefs(rows[len(rows)-1].Results)); diff != "" {
		t.Errorf("of the changes (-want +got)\n%s", diff)
	}
	h.wantFiles(t)
	h.apply(remove(2006, 4000))
	h.wantOpening(em(1600), 601)
}

// Changes don't cease while a snapshot is installed, and none is lost.
func TestFlood(t *testing.T) {
	h := newHarness(t)
	for round := range uint64(4) {
		revision := h.s.Position().Revision
		s := bigger(max(revision, 2000))
		s.Epoch, s.ID = 1+round, testID(50+round)
		h.stage(s)
		if round > 0 { // into the epoch of the next
			pos, err := h.s.Install(t.Context())
			if err != nil || pos.Epoch != s.Epoch {
				t.Fatalf("Install: %+v, %v", pos, err)
			}
			s.ID = testID(60 + round)
			h.stage(s)
		} else {
			for rev := range s.Revision {
				h.apply(put(rev+1, rev+1, 1000+rev))
			}
		}
		done, last := make(chan struct{}), make(chan uint64)
		go func() {
			rev := s.Revision
			for {
				select {
				case <-done:
					last <- rev
					return
				default:
				}
				rev++
				b := access.Batch{Epoch: s.Epoch, Updates: []access.Update{put(rev, 5000+rev, 50_000+rev)}}
				if pos, err := h.s.Apply(t.Context(), b); err != nil || pos.Revision != rev {
					t.Errorf("Apply of %d: %+v, %v", rev, pos, err)
				}
			}
		}()
		if _, err := h.s.Install(t.Context()); err != nil {
			t.Errorf("Install: %v", err)
		}
		close(done)
		rev := <-last
		if pos := h.s.Position(); pos.Revision != rev || pos.Count != 2000+rev-s.Revision {
			t.Errorf("position %+v, the last revision was %d", pos, rev)
		}
		for r := s.Revision + 1; r <= rev; r++ {
			h.wantOpening(em(50_000+r), 5000+r)
		}
		t.Log(rev-s.Revision, "changes meanwhile")
	}
}

// A policy that comes while a snapshot is built judges its keys.
func TestPolicyMeanwhile(t *testing.T) {
	h := newHarness(t)
	h.within(func() {
		if _, err := h.s.SetPolicy(context.Background(), mustPolicy(4, levelB), low24); err != nil {
			t.Error(err)
		}
	})
	h.install(bigger(2000))
	h.wantOpening(em(1500))
	h.wantOpening(emLow(1500), 501)
	rows := h.statuses()
	n := 0
	for i, row := range rows {
		n += len(row.Results)
		if row.Part != uint64(i+1) || row.Of != 4 || len(row.Results) > access.MaxRowResults {
			t.Errorf("row %d: part %d of %d, %d results", i, row.Part, row.Of, len(row.Results))
		}
		for _, r := range row.Results {
			if r.Error != access.AccessLevelNotFound {
				t.Fatalf("result %+v", r)
			}
		}
	}
	if n != 2000 {
		t.Errorf("%d failures told", n)
	}
	h.o.Policy, h.o.Matchers = mustPolicy(4, levelB), low24
	h.reopen()
	h.wantOpening(emLow(1500), 501)
	if more := h.statuses(); len(more) != len(rows) || len(h.rec.Reasons) > 0 {
		t.Errorf("after a start: %d rows, recovery %+v", len(more), h.rec)
	}
}

// What can't be done while a snapshot is installed says so, and does no harm.
func TestBusyInstalling(t *testing.T) {
	h := newHarness(t)
	other := bigger(3000)
	other.ID = testID(0x77)
	h.within(func() {
		for name, err := range map[string]error{
			"Stage of another": h.s.Stage(t.Context(), other.Snapshot),
			"Unstage":          h.s.Unstage(t.Context()),
		} {
			if !errors.Is(err, ErrInstalling) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := h.s.Install(t.Context()); !errors.Is(err, ErrInstalling) {
			t.Errorf("Install twice: %v", err)
		}
		if err := h.s.Stage(t.Context(), bigger(2000).Snapshot); err != nil {
			t.Errorf("Stage of this one: %v", err)
		}
		if err := h.s.StageChunk(t.Context(), snapID, 0, bigger(2000).chunk(0)); err != nil {
			t.Errorf("StageChunk: %v", err)
		}
	})
	h.install(bigger(2000))
	h.wantOpening(em(1500), 501)
}

// An Install that is called off, or whose store stops, leaves all as it was.
func TestInstallCalledOff(t *testing.T) {
	h := newHarness(t)
	ctx, stop := context.WithCancel(t.Context())
	h.within(stop)
	s := bigger(2000)
	h.apply(put(1, 1, 11))
	h.stage(s)
	if _, err := h.s.Install(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Install: %v", err)
	}
	h.wantOpening(em(11), 1)
	h.wantFiles(t, stagedName)
	var stopping func()
	h.within(func() { stopping() })
	stopping = h.stopping
	if _, err := h.s.Install(t.Context()); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrStopped) {
		t.Errorf("Install of a store that stops: %v", err)
	}
	h.stop()
	h.wantFiles(t, stagedName)
	h.o.Decode = decodeLine
	h.open()
	h.wantOpening(em(11), 1)
	if _, err := h.s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantOpening(em(1500), 501)
}

// Doors read on while a snapshot is installed: no lookup fails, and each sees
// the keys of before or after.
func TestLookupsMeanwhile(t *testing.T) {
	h := newHarness(t)
	var puts []access.Update
	for i := range uint64(500) {
		u := put(i+1, i+1, 1000+i, claim(7))
		h.apply(u)
		puts = append(puts, u)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for n := uint64(reader); ; n++ {
				select {
				case <-done:
					return
				default:
				}
				i := n % 500
				keys, err := h.s.Lookup(em(1000 + i))
				if err != nil || len(keys) != 1 || keys[0].ID != testID(i+1) && keys[0].ID != testID(5000+i) {
					t.Errorf("card %d: %v, %v", i, keys, err)
					return
				}
				if _, err := h.s.PINMatches(keys[0], "1234"); err != nil {
					t.Error(err)
				}
				if l, err := h.s.Keys(access.ID{}, 600); err != nil || len(l) != 500 || l[0].Key.ID != testID(1) && l[0].Key.ID != testID(5000) {
					t.Errorf("%d keys, %v", len(l), err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for n := 1; ; n = n%3 + 1 {
			select {
			case <-done:
				return
			default:
			}
			if err := h.s.SetLockout(t.Context(), "point:front", access.Lockout{Failures: n}); err != nil {
				t.Error(err)
			}
			if l, err := h.s.Lockout("point:front"); err != nil || l.Failures != n {
				t.Errorf("lockout %+v, want %d, %v", l, n, err)
			}
		}
	})
	for round := range uint64(6) {
		next := slices.Clone(puts)
		if round%2 == 0 {
			for i := range next {
				next[i].ID = testID(5000 + uint64(i))
				next[i].Key.ID = next[i].ID
			}
		}
		h.install(freeze(testID(100+round), 1, 500+round, next))
	}
	close(done)
	wg.Wait()
}

// Whoever reads while files are exchanged reads one of them.
func TestExchange(t *testing.T) {
	o := testOptions(t, t.TempDir())
	f := &file{name: "a.db", log: o.Log, damaged: &alarm{c: make(chan struct{})}}
	open := func(n int) *bbolt.DB {
		db, err := openDB(filepath.Join(o.Dir, fmt.Sprint(n, ".db")), false)
		if err != nil {
			t.Fatal(err)
		}
		db.NoSync = true
		return db
	}
	f.db.Store(open(0))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := f.view(func(tx *bbolt.Tx) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 400 {
		f.retire(f.db.Swap(open(1 + n%2)))
	}
	close(done)
	wg.Wait()
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// A start after a crash at any step of an Install finds the old keys or the new,
// goes on with the snapshot that was staged or is done with it, and cleans up.
func TestCrashInstalling(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	s := bigger(2000)
	var images []string
	image := func() {
		dir := t.TempDir()
		copyDir(t, h.o.Dir, dir)
		images = append(images, dir)
	}
	var on atomic.Bool
	var mu sync.Mutex // guards images, and n
	n := 0
	h.o.Decode = func(b []byte) (access.Update, error) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%400 == 0 {
			image()
		}
		return decodeLine(b)
	}
	h.o.Now = func() time.Time { // each transaction asks, those of the pause too
		mu.Lock()
		defer mu.Unlock()
		if on.Load() {
			image()
		}
		return start
	}
	h.reopen()
	h.stage(s)
	h.apply(put(2, 1, 12))
	for i := range uint64(1998) {
		h.apply(put(i+3, 9, 13))
	}
	h.apply(put(2001, 9, 14))
	staged := readFile(t, h.path(stagedName))
	on.Store(true)
	if _, err := h.s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	on.Store(false)
	image()
	// The file was renamed, and the snapshot is still there.
	image()
	if err := os.WriteFile(filepath.Join(images[len(images)-1], stagedName), staged, 0o600); err != nil {
		t.Fatal(err)
	}
	h.stop()
	if len(images) < 8 {
		t.Fatalf("%d images", len(images))
	}
	for i, dir := range images {
		o := testOptions(t, dir)
		g := &harness{tb: t, o: o}
		g.open()
		if len(g.rec.Reasons) > 0 {
			t.Errorf("image %d: recovery %+v", i, g.rec)
		}
		g.wantOpening(em(14), 9)
		if _, _, ok := g.s.Staged(); ok {
			g.wantFiles(t, stagedName)
			g.wantOpening(em(1500))
			if _, err := g.s.Install(t.Context()); err != nil {
				t.Errorf("image %d: %v", i, err)
			}
		} else if i < len(images)-2 {
			t.Errorf("image %d: nothing is staged", i)
		}
		g.wantFiles(t)
		g.wantOpening(em(1500), 501)
		g.wantOpening(em(14), 9)
		if pos := g.s.Position(); pos.Revision != 2001 || pos.Count != 2000 {
			t.Errorf("image %d: %+v", i, pos)
		}
		g.stop()
	}
}

// An empty snapshot takes every key, and its one row of results is empty.
func TestInstallNothing(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	h.results()
	h.install(freeze(snapID, 2, 1, nil))
	h.wantOpening(em(11))
	rows := h.statuses()
	if len(rows) != 1 || rows[0].Snapshot != snapID || rows[0].Of != 1 || len(rows[0].Results) != 0 || rows[0].Seq != 2 {
		t.Errorf("rows %+v", rows)
	}
	if _, err := h.s.Apply(t.Context(), access.Batch{Epoch: 1, Updates: []access.Update{put(2, 1, 11)}}); !errors.Is(err, access.ErrOldEpoch) {
		t.Errorf("Apply of the old epoch: %v", err)
	}
	if _, err := h.s.Apply(t.Context(), access.Batch{Epoch: 2, Updates: []access.Update{put(2, 1, 11)}}); err != nil {
		t.Error(err)
	}
	h.wantOpening(em(11), 1)
}

// All keys with one card: those who come too late are judged and listed, also
// when they are too many to remember.
func TestOneCredential(t *testing.T) {
	h := newHarness(t)
	puts := make([]access.Update, maxIDs+10)
	for i := range puts {
		puts[i] = put(uint64(i+1), uint64(i+1), 7, claim(uint64(len(puts)-i)))
	}
	h.install(freeze(snapID, 1, uint64(len(puts)), puts))
	h.wantOpening(em(7), uint64(len(puts)))
	n, rows := 0, h.statuses()
	for _, row := range rows {
		n += len(row.Results)
	}
	if n != len(puts)-1 || rows[0].Of != uint64(len(rows)) {
		t.Errorf("%d results in %d rows of %d", n, len(rows), rows[0].Of)
	}
	h.stop()
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Error(err)
	}
}

// A store that came to another device key says so until a snapshot is installed.
func TestPINKeyLost(t *testing.T) {
	h := newHarness(t)
	want := func(lost bool) {
		t.Helper()
		if h.s.PINKeyLost() != lost {
			t.Errorf("PINKeyLost: %v", !lost)
		}
	}
	h.apply(put(1, 1, 11))
	want(false)
	h.o.DeviceKey = bytes.Repeat([]byte{9}, 32)
	h.reopen()
	want(true)
	h.reopen()
	want(true)
	h.apply(put(1, 1, 11))
	want(true)
	h.install(bigger(2000))
	want(false)
	h.reopen()
	want(false)

	// The start that puts the keys aside is cut.
	h.stop()
	if err := os.Rename(h.path("keys.db"), h.path("keys.db.bad-0002-20260301T120000Z")); err != nil {
		t.Fatal(err)
	}
	h.o.DeviceKey = bytes.Repeat([]byte{8}, 32)
	h.open()
	want(true)

	// Damage is no other key.
	h.stop()
	putFile(t, h.path("keys.db"), bytes.Repeat([]byte("bad "), 4096))
	h.open()
	want(false)
}

// What is staged is given up when too much was noted for it.
func TestNotesAreBounded(t *testing.T) {
	h := newHarness(t)
	h.stage(freeze(snapID, 1, 1, nil))
	h.apply(put(1, 1, 11), put(2, 1, 12))
	err := h.s.keysC.submit(t.Context(), func(u *keysTx) error {
		u.st.revision += maxKept - 1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.apply(put(maxKept+2, 1, 13))
	if m, _, ok := h.s.Staged(); ok {
		t.Errorf("staged: %+v", m)
	}
	h.wantFiles(t)
	_ = h.s.keys.view(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketKept) != nil {
			t.Error("the notes are still there")
		}
		return nil
	})
}

// Batches are applied in the order in which they are queued.
func TestQueue(t *testing.T) {
	h := newHarness(t)
	var waits []func(context.Context) (access.Position, error)
	for i := range uint64(300) {
		waits = append(waits, h.s.Queue(access.Batch{Epoch: 1, Updates: []access.Update{put(i+1, i+1, 1000+i)}}))
	}
	waits = append(waits, h.s.Queue(access.Batch{Epoch: 1, Updates: []access.Update{put(400, 1, 1)}}))
	for i, wait := range waits {
		pos, err := wait(t.Context())
		if i < 300 && (err != nil || pos.Revision != uint64(i+1)) || i == 300 && !errors.Is(err, access.ErrGap) {
			t.Errorf("batch %d: %+v, %v", i, pos, err)
		}
	}
	if rows := h.statuses(); len(rows) > 100 {
		t.Errorf("%d commits", len(rows))
	}
	s := h.s
	h.stop()
	if _, err := s.Queue(access.Batch{Epoch: 1, Updates: []access.Update{put(301, 1, 1)}})(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("a store that has stopped: %v", err)
	}
}
