package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"postern/access"
)

const sampleKeys = 400

// sampleFiles makes a store of several pages: key n has card 1000+n, and the
// journal n events of which some are confirmed. It gives the files' content.
func sampleFiles(tb testing.TB) (keys, journal []byte) {
	h := newHarness(tb)
	h.apply(samplePuts()...)
	h.results()
	ctx := context.Background()
	for i := range 6 {
		ev := make([]access.Event, 50)
		for j := range ev {
			ev[j] = access.Event{Type: access.GrantedCard, At: start, Detail: fmt.Sprint("event ", i*50+j+1)}
		}
		if _, err := h.s.Record(ctx, ev...); err != nil {
			tb.Fatal(err)
		}
	}
	if err := h.s.AckEvents(ctx, boot1, 100); err != nil {
		tb.Fatal(err)
	}
	// A last commit to each, which a damaged header may roll back.
	h.apply(put(sampleKeys+1, 1, 1001))
	if _, err := h.s.Record(ctx, access.Event{Type: access.GrantedCard, At: start, Detail: "event 301"}); err != nil {
		tb.Fatal(err)
	}
	h.stop()
	return readFile(tb, h.path("keys.db")), readFile(tb, h.path("journal.db"))
}

func samplePuts() (ups []access.Update) {
	for i := range uint64(sampleKeys) {
		ups = append(ups, put(i+1, i+1, 1000+i+1))
	}
	return ups
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func writeFiles(tb testing.TB, dir string, keys, journal []byte) {
	tb.Helper()
	for name, b := range map[string][]byte{"keys.db": keys, "journal.db": journal} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// openDamaged opens a store on these files and holds it to the one rule: the
// right content, of this commit or the one before, or none.
func openDamaged(t *testing.T, what string, keys, journal []byte) (quarantined int) {
	t.Helper()
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	writeFiles(t, dir, keys, journal)
	s, rec, err := Open(t.Context(), testOptions(t, dir))
	if err != nil {
		t.Fatalf("%s: Open: %v", what, err)
	}
	defer s.Close()
	pos := s.Position()
	empty := pos.Revision == 0
	if !empty && (pos.Count != sampleKeys || pos.Revision != sampleKeys && pos.Revision != sampleKeys+1) {
		t.Errorf("%s: position %+v", what, pos)
	}
	inPlace := !slices.ContainsFunc(rec.Quarantined, func(p string) bool { return strings.HasPrefix(filepath.Base(p), "keys.db") })
	if inPlace == empty {
		t.Errorf("%s: empty %v, put aside %v", what, empty, rec.Quarantined)
	}
	for n := range uint64(sampleKeys) {
		got, err := s.Lookup(em(1000 + n + 1))
		switch {
		case err != nil:
			t.Fatalf("%s: Lookup: %v", what, err)
		case empty && len(got) != 0, !empty && (len(got) != 1 || got[0].ID != testID(n+1)):
			t.Fatalf("%s: card %d opens with %v", what, n, got)
		}
	}
	events, err := s.Recent(0, 1000)
	if err != nil {
		t.Fatalf("%s: Recent: %v", what, err)
	}
	for i, e := range events {
		if e.Detail != fmt.Sprint("event ", e.Seq) || e.BootID != boot1 || i > 0 && events[i-1].Seq <= e.Seq {
			t.Fatalf("%s: event %+v", what, e)
		}
	}
	whole := len(rec.Quarantined) == 0 || len(rec.Quarantined) == 1 && !inPlace
	if whole && len(events) < 200+sampleKept {
		t.Fatalf("%s: %d events", what, len(events))
	}
	if len(rec.Reasons) != len(rec.Quarantined) {
		t.Errorf("%s: reasons %q for %q", what, rec.Reasons, rec.Quarantined)
	}
	return len(rec.Quarantined)
}

// sampleKept is how many confirmed events of the sample are surely there.
const sampleKept = 100

func TestFlippedBytes(t *testing.T) {
	keys, journal := sampleFiles(t)
	r := rand.New(rand.NewPCG(1, 2))
	aside, n := 0, 500
	if testing.Short() {
		n = 50
	}
	for i := range n {
		damaged := [][]byte{bytes.Clone(keys), bytes.Clone(journal)}
		f := damaged[i%2]
		at := r.IntN(len(f))
		if i%5 == 0 { // headers and page heads are where it hurts
			at = at/pageSize*pageSize + r.IntN(96)
		}
		mask := byte(1 << r.IntN(8))
		if i%3 == 0 {
			mask = byte(1 + r.IntN(255))
		}
		f[at] ^= mask
		aside += openDamaged(t, fmt.Sprintf("file %d byte %d mask %#x", i%2, at, mask), damaged[0], damaged[1])
	}
	if aside == 0 {
		t.Error("no damage was ever found")
	}
}

func TestGarbagePages(t *testing.T) {
	keys, journal := sampleFiles(t)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		damaged := [][]byte{bytes.Clone(keys), bytes.Clone(journal)}
		f := damaged[i%2]
		page := f[r.IntN(len(f)/pageSize)*pageSize:][:pageSize]
		switch i % 3 {
		case 0:
			clear(page)
		case 1:
			for j := range page {
				page[j] = byte(r.Uint32())
			}
		default: // another page of the same file, as a lost write leaves
			copy(page, f[r.IntN(len(f)/pageSize)*pageSize:][:pageSize])
		}
		openDamaged(t, fmt.Sprintf("round %d", i), damaged[0], damaged[1])
	}
}

func TestTruncated(t *testing.T) {
	keys, journal := sampleFiles(t)
	for _, n := range []int{0, 1, 16, 100, 4095, 4096, 4097, 8191, 8192, 12288, 16384, 20000, 32768, 40960, 65536} {
		for i, whole := range [][]byte{keys, journal} {
			if n >= len(whole) {
				continue
			}
			damaged := [][]byte{keys, journal}
			damaged[i] = whole[:n]
			if got := openDamaged(t, fmt.Sprintf("file %d cut to %d", i, n), damaged[0], damaged[1]); n <= 8192 && got != 1 {
				t.Errorf("file %d cut to %d: %d put aside", i, n, got)
			}
		}
	}
	if openDamaged(t, "nothing damaged", keys, journal) != 0 {
		t.Error("a good file was put aside")
	}
	if openDamaged(t, "not a database", bytes.Repeat([]byte("not a database. "), 4096), journal) != 1 {
		t.Error("wrong magic passed")
	}
	if openDamaged(t, "files swapped", journal, keys) != 2 {
		t.Error("swapped files passed")
	}
}

// A damaged journal gives its other events, and goes on numbering after them.
func TestSalvage(t *testing.T) {
	keys, journal := sampleFiles(t)
	at := bytes.Index(journal, []byte("event 250"))
	journal[at+8] ^= 1
	dir := t.TempDir()
	writeFiles(t, dir, keys, journal)
	h := newHarness(t, func(o *Options) { o.Dir, o.BootID = dir, boot2 })
	if h.rec.Salvaged < 295 || h.rec.Salvaged > 300 || len(h.rec.Quarantined) != 1 {
		t.Fatalf("recovery %+v", h.rec)
	}
	run, ok, err := h.s.NextEvents(0, 500)
	if err != nil || !ok || run.After != 100 || run.Oldest != 101 || run.BootID != boot1 || len(run.Events) != 149 {
		t.Errorf("first run: after %d, oldest %d, %d events, %v, %v", run.After, run.Oldest, len(run.Events), ok, err)
	}
	run, ok, err = h.s.NextEvents(249, 500)
	if err != nil || !ok || run.After != 250 || len(run.Events) != 51 {
		t.Errorf("after the hole: after %d, %d events, %v, %v", run.After, len(run.Events), ok, err)
	}
	ev, err := h.s.Record(t.Context(), access.Event{Type: access.StoreQuarantined, At: start})
	if err != nil || ev[0].Seq != 302 {
		t.Errorf("Record: %+v, %v", ev, err)
	}
	h.reopen()
	if len(h.rec.Reasons) > 0 {
		t.Errorf("what was salvaged is itself damaged: %v", h.rec.Reasons)
	}
}

func TestQuarantineKeepsThree(t *testing.T) {
	h := newHarness(t)
	for i := range 5 {
		h.stop()
		if err := os.WriteFile(h.path("keys.db"), fmt.Append(nil, "bad ", i), 0o600); err != nil {
			t.Fatal(err)
		}
		// The clock of a panel without a battery goes back at each start.
		h.o.Now = func() time.Time { return start.Add(-time.Duration(i) * 24 * time.Hour) }
		h.open()
		if len(h.rec.Quarantined) != 1 {
			t.Fatalf("recovery %+v", h.rec)
		}
	}
	files, _ := filepath.Glob(h.path("keys.db.bad-*"))
	if len(files) != 3 {
		t.Fatalf("%d files: %v", len(files), files)
	}
	for i, f := range files {
		if got := string(readFile(t, f)); got != fmt.Sprint("bad ", i+2) {
			t.Errorf("%s holds %q", f, got)
		}
	}
}

func TestLockedIsNotDamage(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	s, rec, err := Open(t.Context(), h.o)
	if !errors.Is(err, ErrLocked) || s != nil || len(rec.Quarantined) > 0 {
		t.Errorf("Open of a store in use: %v, %+v", err, rec)
	}
	h.reopen()
	h.wantOpening(em(11), 1)
}

func TestDeviceKeyChanged(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	if _, err := h.s.Record(t.Context(), access.Event{Type: access.PanelStarted}); err != nil {
		t.Fatal(err)
	}
	h.o.DeviceKey = bytes.Repeat([]byte{9}, 32)
	h.reopen()
	if len(h.rec.Quarantined) != 1 || len(h.rec.Reasons) != 1 || !strings.Contains(h.rec.Reasons[0], "device key changed") {
		t.Errorf("recovery %+v", h.rec)
	}
	h.wantOpening(em(11))
	if ev, err := h.s.Recent(0, 9); err != nil || len(ev) != 1 {
		t.Errorf("the journal: %v, %v", ev, err)
	}
}

// spoil breaks the checksum of the first key's record under a running store, as a
// rotting card does.
func (h *harness) spoil() {
	h.tb.Helper()
	var row []byte
	id := testID(1)
	err := h.s.keys.view(func(tx *bbolt.Tx) error {
		row = bytes.Clone(tx.Bucket(bucketKeys).Get(id[:]))
		return nil
	})
	f, e := os.OpenFile(h.path("keys.db"), os.O_RDWR, 0)
	if err = errors.Join(err, e); err != nil {
		h.tb.Fatalf("spoil: %v", err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	found := false
	for at := 0; err == nil; at++ {
		i := bytes.Index(data[at:], row)
		if i < 0 {
			break
		}
		at += i
		found = true
		_, err = f.WriteAt([]byte{row[2] ^ 1}, int64(at+2))
	}
	if err != nil || !found {
		h.tb.Fatalf("spoil: %v, found %v", err, found)
	}
}

// wantDamaged holds that the damage just met was told.
func (h *harness) wantDamaged() {
	h.tb.Helper()
	select {
	case <-h.s.Damaged():
	default:
		h.tb.Errorf("Damaged is not closed")
	}
}

func TestDamageAtRunTime(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Check = func(context.Context, string) error { return nil } })
	h.apply(put(1, 1, 11), put(2, 2, 12))
	h.spoil()
	h.wantOpening(em(12), 2)
	select {
	case <-h.s.Damaged():
		t.Fatal("damage without a read")
	default:
	}
	if keys, err := h.s.Lookup(em(11)); !errors.Is(err, ErrDamaged) || len(keys) > 0 {
		t.Errorf("Lookup: %v, %v", keys, err)
	}
	h.wantDamaged()
	h.wantOpening(em(12), 2) // the rest still opens
	if _, err := h.s.Apply(t.Context(), access.Batch{Epoch: 1, Updates: []access.Update{put(3, 3, 13)}}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Apply to a damaged file: %v", err)
	}
	if _, err := h.s.Record(t.Context(), access.Event{Type: access.PanelStarted}); err != nil {
		t.Errorf("the journal goes on: %v", err)
	}
	h.reopen()
	if len(h.rec.Quarantined) != 1 {
		t.Errorf("the next start did not put it aside: %+v", h.rec)
	}
	h.wantOpening(em(12))
	h.reopen()
	if len(h.rec.Quarantined) != 0 {
		t.Errorf("the marker stayed: %+v", h.rec)
	}
}

// A check that overlooked what the index meets is no reason not to start.
func TestDamageMetAtTheStart(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Check = func(context.Context, string) error { return nil } })
	h.apply(put(1, 1, 11), put(2, 2, 12))
	h.spoil()
	h.reopen()
	if len(h.rec.Quarantined) != 1 {
		t.Errorf("recovery %+v", h.rec)
	}
	h.wantOpening(em(12))
}

func TestDamageMetByACommit(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Check = func(context.Context, string) error { return nil } })
	h.apply(put(1, 1, 11))
	h.spoil()
	b := access.Batch{Epoch: 1, Updates: []access.Update{put(2, 2, 11, claim(0))}}
	if _, err := h.s.Apply(t.Context(), b); !errors.Is(err, ErrDamaged) {
		t.Errorf("Apply: %v", err)
	}
	h.wantDamaged()
	if pos := h.s.Position(); pos.Revision != 1 {
		t.Errorf("half of it was done: %+v", pos)
	}
}

// A fault in mapped memory, as a file that shrinks under bbolt gives, is an error.
func TestFaultIsAnError(t *testing.T) {
	keys, journal := sampleFiles(t)
	dir := t.TempDir()
	writeFiles(t, dir, keys, journal)
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	if err := os.Truncate(h.path("keys.db"), 2*pageSize); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for n := range uint64(sampleKeys) {
		if _, err := h.s.Lookup(em(1000 + n + 1)); errors.Is(err, ErrDamaged) {
			failed++
		}
	}
	if failed != sampleKeys {
		t.Errorf("%d of %d lookups failed", failed, sampleKeys)
	}
	h.wantDamaged()
}

func TestCheckOption(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	var asked []string
	h.o.Check = func(_ context.Context, path string) error {
		asked = append(asked, filepath.Base(path))
		return fmt.Errorf("fork: %w", ErrUnchecked)
	}
	h.reopen()
	if !slices.Equal(asked, []string{"keys.db", "journal.db"}) || len(h.rec.Reasons) > 0 {
		t.Errorf("asked for %v, recovery %+v", asked, h.rec)
	}
	h.wantOpening(em(11), 1)
	h.o.Check = func(_ context.Context, path string) error {
		if strings.HasSuffix(path, "keys.db") {
			return errors.New("killed: took too long")
		}
		return nil
	}
	h.reopen()
	if len(h.rec.Quarantined) != 1 || !strings.Contains(h.rec.Reasons[0], "took too long") {
		t.Errorf("recovery %+v", h.rec)
	}
	h.stop()
	ctx, stop := context.WithCancel(t.Context())
	h.o.Check = func(ctx context.Context, _ string) error { stop(); return ctx.Err() }
	if _, rec, err := Open(ctx, h.o); !errors.Is(err, context.Canceled) || len(rec.Quarantined) > 0 {
		t.Errorf("a start that was called off: %v, %+v", err, rec)
	}
}

func TestCompact(t *testing.T) {
	h := newHarness(t)
	const n = 5000
	for i := uint64(0); i < n; i += 1000 {
		var ups []access.Update
		for j := range uint64(1000) {
			ups = append(ups, put(i+j+1, i+j+1, i+j))
		}
		h.apply(ups...)
	}
	h.results()
	var ups []access.Update
	for i := range uint64(n - 10) {
		ups = append(ups, remove(n+i+1, i+1))
	}
	h.apply(ups...)
	h.results()
	pos := h.s.Position()
	was := len(readFile(t, h.path("keys.db")))
	h.reopen()
	if is := len(readFile(t, h.path("keys.db"))); is > was/4 {
		t.Errorf("%d bytes, %d before", is, was)
	}
	if h.s.Position() != pos {
		t.Errorf("position %+v, was %+v", h.s.Position(), pos)
	}
	h.wantOpening(em(n-1), n)
	h.apply(put(2*n-9, 1, 1))
	h.reopen()
	h.wantOpening(em(1), 1)
}
