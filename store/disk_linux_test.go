package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postern/access"
)

// tmpfs mounts a small file system, where the test may.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("can't mount, and CI has to: %v", err)
		}
		t.Skipf("can't mount a file system to fill (root may): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := tmpfs(t, "8m")
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	h.apply(put(1, 1, 11))
	if err := h.s.SetLastGood(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	h.stop()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	h.open()
	if !h.rec.ReadOnly || len(h.rec.Quarantined) > 0 {
		t.Errorf("recovery %+v", h.rec)
	}
	h.wantOpening(em(11), 1)
	_, err := h.s.Apply(t.Context(), access.Batch{Epoch: 1, Updates: []access.Update{put(2, 2, 12)}})
	if !errors.Is(err, ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := h.s.Record(t.Context(), access.Event{Type: access.PanelStarted}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Record: %v", err)
	}
	if err := h.s.SetLastGood(t.Context(), start.Add(time.Hour)); !errors.Is(err, ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("SetLastGood: %v", err)
	}
	if got := h.s.LastGood(); !got.Equal(start) {
		t.Errorf("LastGood: %v", got)
	}
	h.stop()

	// Damaged, and nowhere to put it: all denied, and it says why.
	remount(0)
	if err := os.Truncate(filepath.Join(dir, "keys.db"), 5000); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	h.open()
	if !h.rec.ReadOnly || len(h.rec.Reasons) == 0 {
		t.Errorf("recovery %+v", h.rec)
	}
	if keys, err := h.s.Lookup(em(11)); !errors.Is(err, ErrReadOnly) || len(keys) > 0 {
		t.Errorf("Lookup: %v, %v", keys, err)
	}
	h.stop()

	// A quarantine that was cut waits until it can go on.
	remount(0)
	for _, name := range []string{"keys.db", "journal.db"} {
		if err := os.Rename(h.path(name), h.path(name+".bad-0001-20260301T120000Z")); err != nil {
			t.Fatal(err)
		}
		putFile(t, marker(h.path(name)), []byte("bad checksum"))
	}
	remount(syscall.MS_RDONLY)
	h.open()
	if !h.rec.ReadOnly || len(h.rec.Quarantined) > 0 || len(h.rec.Reasons) < 2 {
		t.Errorf("recovery %+v", h.rec)
	}
	h.stop()
	remount(0)
	h.open()
	if h.rec.ReadOnly || len(h.rec.Quarantined) != 2 {
		t.Errorf("recovery %+v", h.rec)
	}
}

func TestNoRoomForSnapshot(t *testing.T) {
	dir := tmpfs(t, "18m")
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	m := bigger(2000).Snapshot
	m.Bytes = 4 << 20
	m.Chunks = int(m.Bytes / access.ChunkSize)
	if err := h.s.Stage(t.Context(), m); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Stage: %v", err)
	}
	h.install(bigger(2000))
	h.wantOpening(em(1500), 501)
}

func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, "1m")
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	h.apply(put(1, 1, 11))
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	f.Close()
	ups := make([]access.Update, 500)
	for i := range ups {
		ups[i] = put(uint64(i+2), uint64(i+2), uint64(i+100))
	}
	b := access.Batch{Epoch: 1, Updates: ups}
	if pos, err := h.s.Apply(t.Context(), b); !errors.Is(err, syscall.ENOSPC) || pos.Revision != 1 {
		t.Fatalf("Apply on a full disk: %+v, %v", pos, err)
	}
	h.wantOpening(em(11), 1)
	h.wantOpening(em(100))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if pos, err := h.s.Apply(t.Context(), b); err != nil || pos.Revision != 501 {
		t.Errorf("Apply when there is room again: %+v, %v", pos, err)
	}
	h.wantOpening(em(100), 2)
	h.reopen()
	h.wantOpening(em(599), 501)
	if len(h.rec.Reasons) > 0 {
		t.Errorf("recovery %+v", h.rec)
	}
}

// A file of before is read as it is where it can't be changed.
func TestStoreOfBeforeReadOnly(t *testing.T) {
	dir := tmpfs(t, "8m")
	copyDir(t, "testdata/before", dir)
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	if !h.rec.ReadOnly || len(h.rec.Quarantined) > 0 {
		t.Errorf("recovery %+v", h.rec)
	}
	h.wantOpening(em(11), 1)
	h.wantOpening(access.CodeCredential("1234"), 3)
	if same, err := h.s.PINMatches(access.Key{ID: testID(4)}, "4711"); !same || err != nil {
		t.Errorf("PIN: %v, %v", same, err)
	}
}
