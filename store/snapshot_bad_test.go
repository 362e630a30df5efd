package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"postern/access"
)

// bigger is a snapshot of a few chunks.
func bigger(revision uint64) *frozen {
	var puts []access.Update
	for i := range uint64(2000) {
		puts = append(puts, put(i+1, i+1, 1000+i))
	}
	return freeze(snapID, 1, revision, puts)
}

func swapLines(s *frozen) {
	lines := bytes.SplitAfter(s.data, []byte("\n"))
	lines[5], lines[6] = lines[6], lines[5]
	s.data = bytes.Join(lines, nil)
}

// A snapshot that is not what its manifest says changes nothing, and goes.
func TestBadSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*frozen)
		want   string
	}{
		"hash":           {func(s *frozen) { s.seal(); s.SHA256[3] ^= 1 }, "hash"},
		"a digit":        {func(s *frozen) { s.data[bytes.Index(s.data, []byte("1500"))] = '2' }, "hash"},
		"digest":         {func(s *frozen) { s.Digest[0] ^= 1 }, "digest"},
		"count":          {func(s *frozen) { s.Count++ }, "2000 keys"},
		"one key more":   {func(s *frozen) { s.Count-- }, "more than 1999"},
		"bad line":       {func(s *frozen) { s.data = append(s.data, "x\n"...); s.Count++; s.seal() }, "line 2001: want nine fields"},
		"empty line":     {func(s *frozen) { s.data = append(s.data, '\n'); s.Count++; s.seal() }, "line 2001"},
		"no end":         {func(s *frozen) { s.data = s.data[:len(s.data)-1]; s.seal() }, "no end"},
		"order":          {func(s *frozen) { swapLines(s); s.seal() }, "line 7: ids are not ascending"},
		"twice":          {func(s *frozen) { twice(s); s.seal() }, "line 2: ids are not ascending"},
		"revision":       {func(s *frozen) { s.Revision = 1999 }, "revision 2000"},
		"revision zero":  {func(s *frozen) { s.data[0] = '0'; s.seal() }, "revision 0"},
		"endless line":   {func(s *frozen) { s.data = bytes.Repeat([]byte("x"), 3*access.ChunkSize); s.seal() }, "longer than"},
		"line too long":  {func(s *frozen) { s.data = append(s.data, strings.Repeat("x", maxLine+1)+"\n"...); s.seal() }, "longer than"},
		"nothing at all": {func(s *frozen) { s.data = nil; s.seal() }, "0 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.apply(put(1, 1, 11))
			s := bigger(2000)
			c.change(s)
			h.stage(s)
			before := h.s.Position()
			pos, err := h.s.Install(t.Context())
			if !errors.Is(err, ErrBadSnapshot) || !strings.Contains(err.Error(), c.want) || pos != before {
				t.Errorf("Install: %+v, %v, want %q", pos, err, c.want)
			}
			if _, _, ok := h.s.Staged(); ok {
				t.Error("it is still staged")
			}
			h.wantOpening(em(11), 1)
			h.wantOpening(em(1500))
			if rows := h.statuses(); len(rows) != 1 {
				t.Errorf("rows %+v", rows)
			}
			h.wantFiles(t)
			h.install(bigger(2000))
			h.wantOpening(em(1500), 501)
		})
	}
}

func twice(s *frozen) {
	line, rest, _ := bytes.Cut(s.data, []byte("\n"))
	s.data = bytes.Join([][]byte{line, line, rest}, []byte("\n"))
	s.Count++
}

// wantFiles holds that nothing lies about but the store.
func (h *harness) wantFiles(t *testing.T, more ...string) {
	t.Helper()
	entries, err := os.ReadDir(h.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{"journal.db", "keys.db"}, more...)
	for _, e := range entries {
		found := false
		for _, w := range want {
			found = found || e.Name() == w
		}
		if !found {
			t.Errorf("%s lies about", e.Name())
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %v", len(entries), want)
	}
}

func TestStageRefuses(t *testing.T) {
	h := newHarness(t)
	h.install(freeze(snapID, 3, 10, []access.Update{put(4, 1, 11)}))
	good := freeze(testID(7), 3, 10, []access.Update{put(4, 1, 11)})
	for name, c := range map[string]struct {
		change func(*access.Snapshot)
		want   error
	}{
		"old epoch":    {func(m *access.Snapshot) { m.Epoch = 2 }, access.ErrOldEpoch},
		"stale":        {func(m *access.Snapshot) { m.Revision = 9 }, access.ErrStale},
		"no id":        {func(m *access.Snapshot) { m.ID = access.ID{} }, nil},
		"no epoch":     {func(m *access.Snapshot) { m.Epoch = 0 }, nil},
		"many keys":    {func(m *access.Snapshot) { m.Count = maxSnapshotKeys + 1 }, nil},
		"many bytes":   {func(m *access.Snapshot) { m.Bytes = maxSnapshotBytes + 1 }, nil},
		"few bytes":    {func(m *access.Snapshot) { m.Bytes = -1 }, nil},
		"chunks":       {func(m *access.Snapshot) { m.Chunks++ }, nil},
		"chunks below": {func(m *access.Snapshot) { m.Chunks = -1 }, nil},
	} {
		m := good.Snapshot
		c.change(&m)
		if err := h.s.Stage(t.Context(), m); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, ok := h.s.Staged(); ok {
		t.Error("something is staged")
	}
	if _, err := h.s.Install(t.Context()); !errors.Is(err, ErrNotStaged) {
		t.Errorf("Install of nothing: %v", err)
	}
	h.stage(good)
	bad := good.Snapshot
	bad.ID, bad.Revision = testID(8), 1
	if err := h.s.Stage(t.Context(), bad); !errors.Is(err, access.ErrStale) {
		t.Errorf("stale beside another: %v", err)
	}
	if m, _, ok := h.s.Staged(); !ok || m != good.Snapshot {
		t.Errorf("what was staged is gone: %+v", m)
	}
	if err := h.s.Unstage(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantFiles(t)
	if err := h.s.Unstage(t.Context()); err != nil {
		t.Errorf("Unstage of nothing: %v", err)
	}
}

func TestStageChunks(t *testing.T) {
	h := newHarness(t)
	s := bigger(2000)
	s.widen(2000) // 70 chunks
	if s.Chunks <= maxMissing {
		t.Fatalf("%d chunks", s.Chunks)
	}
	if err := h.s.StageChunk(t.Context(), snapID, 0, s.chunk(0)); !errors.Is(err, ErrNotStaged) {
		t.Errorf("a chunk of nothing: %v", err)
	}
	h.stageOver(t, s)
	missing := func(first, n int) {
		t.Helper()
		_, got, ok := h.s.Staged()
		if !ok || len(got) != n || n > 0 && got[0] != first {
			t.Errorf("missing %v, want %d from %d", got, n, first)
		}
	}
	missing(0, maxMissing)
	for name, c := range map[string]struct {
		id   access.ID
		n    int
		data []byte
	}{
		"another": {testID(3), 0, s.chunk(0)},
		"short":   {snapID, 0, s.chunk(0)[1:]},
		"long":    {snapID, 0, append([]byte{0}, s.chunk(0)...)},
		"empty":   {snapID, 0, nil},
		"below":   {snapID, -1, s.chunk(0)},
		"beyond":  {snapID, s.Chunks, s.chunk(0)},
		"last":    {snapID, s.Chunks - 1, s.chunk(0)},
	} {
		if err := h.s.StageChunk(t.Context(), c.id, c.n, c.data); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	missing(0, maxMissing)
	for range 2 { // a chunk may come twice
		if err := h.s.StageChunk(t.Context(), snapID, 0, s.chunk(0)); err != nil {
			t.Fatal(err)
		}
	}
	missing(1, maxMissing)
	h.stageChunks(s, s.Chunks-3)
	if _, err := h.s.Install(t.Context()); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Install: %v", err)
	}
	h.reopen()
	missing(s.Chunks-2, 2)
	h.wantFiles(t, stagedName)

	// What lies there tells nothing, and opens for this snapshot and chunk alone.
	h.stop()
	b := readFile(t, h.path(stagedName))
	if bytes.Contains(b, []byte("proximity")) || bytes.Contains(b, []byte("xxxxxxxx")) {
		t.Error("it is not encrypted")
	}
	copy(b[slot(3):slot(4)], b[slot(4):slot(5)])
	b[slot(6)+100] ^= 1
	if err := os.WriteFile(h.path(stagedName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.stage(s)
	for _, torn := range []int{3, 6} {
		if _, err := h.s.Install(t.Context()); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("Install: %v", err)
		}
		missing(torn, 1)
		h.stage(s)
	}
	if _, err := h.s.Install(t.Context()); err != nil {
		t.Errorf("Install: %v", err)
	}
	h.wantFiles(t)
	h.wantOpening(em(1500), 501)
}

// stageOver stages a snapshot in place of another.
func (h *harness) stageOver(t *testing.T, s *frozen) {
	t.Helper()
	old := bigger(1999)
	old.ID = testID(9)
	h.stage(old)
	if err := h.s.Stage(context.Background(), s.Snapshot); err != nil { // in place of the old one
		t.Fatal(err)
	}
	if info, err := os.Stat(h.path(stagedName)); err != nil || info.Size() != stageHead || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info, err)
	}
}

// What was staged under another device key, or is damaged, is dropped at the start.
func TestStagedDropped(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*harness, []byte) []byte
	}{
		"device key": {func(h *harness, b []byte) []byte { h.o.DeviceKey = bytes.Repeat([]byte{9}, 32); return b }},
		"manifest":   {func(_ *harness, b []byte) []byte { b[20] ^= 1; return b }},
		"cut off":    {func(_ *harness, b []byte) []byte { return b[:100] }},
		"empty":      {func(_ *harness, _ []byte) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.apply(put(1, 1, 11))
			h.stage(bigger(2000))
			h.stop()
			if err := os.WriteFile(h.path(stagedName), c.change(h, readFile(t, h.path(stagedName))), 0o600); err != nil {
				t.Fatal(err)
			}
			h.open()
			if m, _, ok := h.s.Staged(); ok {
				t.Errorf("staged: %+v", m)
			}
			if _, err := os.Stat(h.path(stagedName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file: %v", err)
			}
			if name != "device key" && len(h.rec.Reasons) > 0 {
				t.Errorf("recovery %+v", h.rec)
			}
			h.install(bigger(2000))
		})
	}
}
