package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var bothFiles = []string{"keys.db", "journal.db"}

func putFile(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// A quarantine that is cut at any step is finished by the next start: the file
// is put aside once and told of, the journal's events are saved once, and the
// start after that finds nothing to do. Steps are those that
// TestQuarantineSteps sees.
func TestQuarantineCut(t *testing.T) {
	keys, journal := sampleFiles(t)
	damaged := map[string][]byte{"keys.db": keys, "journal.db": journal}
	ref := newHarness(t, func(o *Options) { o.Dir = damagedDir(t, damaged) })
	wantEvents := ref.waiting()
	if len(wantEvents) != 201 {
		t.Fatalf("%d events wait", len(wantEvents))
	}
	ref.stop()
	const aside = ".bad-0004-20260301T120000Z"
	steps := []struct {
		name string
		make func(path string)
	}{
		{"marked", func(path string) {
			putFile(t, path, damaged[filepath.Base(path)])
			putFile(t, marker(path), []byte("bad checksum"))
		}},
		{"put aside", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
			putFile(t, marker(path), []byte("bad checksum"))
		}},
		{"marker gone", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
		}},
		{"oldest gone", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
			dropOldest(t, path)
		}},
		{"torn new file", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
			dropOldest(t, path)
			putFile(t, path+".new", make([]byte, pageSize+100))
		}},
		{"new file in place", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
			dropOldest(t, path)
			putFile(t, path, readFile(t, ref.path(filepath.Base(path))))
		}},
		{"torn note", func(path string) {
			putFile(t, path+aside, damaged[filepath.Base(path)])
			dropOldest(t, path)
			putFile(t, path, readFile(t, ref.path(filepath.Base(path))))
			putFile(t, replaced(path)+".new", []byte("0"))
		}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range bothFiles {
				path := filepath.Join(dir, name)
				for i := range 3 {
					putFile(t, fmt.Sprintf("%s.bad-%04d-20260201T120000Z", path, i+1), []byte("older"))
				}
				putFile(t, replaced(path), []byte("0003"))
				step.make(path)
			}
			h := newHarness(t, func(o *Options) { o.Dir = dir })
			want := []string{filepath.Join(dir, "keys.db"+aside), filepath.Join(dir, "journal.db"+aside)}
			if d := cmp.Diff(want, h.rec.Quarantined); d != "" {
				t.Errorf("first start put aside (-want +got):\n%s", d)
			}
			if len(h.rec.Reasons) != 2 || !strings.HasPrefix(h.rec.Reasons[0], "keys.db: ") || !strings.HasPrefix(h.rec.Reasons[1], "journal.db: ") {
				t.Errorf("reasons %q", h.rec.Reasons)
			}
			for _, name := range bothFiles {
				if marked, err := exists(marker(h.path(name))); marked || err != nil {
					t.Errorf("the marker of %s stayed: %v, %v", name, marked, err)
				}
			}
			for i := range 2 {
				if got := h.waiting(); !slices.Equal(got, wantEvents) {
					t.Errorf("%d starts later %d events wait, want %d", i, len(got), len(wantEvents))
				}
				for _, name := range bothFiles {
					files, _ := filepath.Glob(filepath.Join(dir, name+".bad-*"))
					if len(files) > keepAside || !slices.Contains(files, filepath.Join(dir, name+aside)) {
						t.Errorf("put aside are %v", files)
					}
				}
				h.reopen()
				if len(h.rec.Quarantined)+len(h.rec.Reasons)+h.rec.Salvaged > 0 {
					t.Errorf("start %d: recovery %+v", i+2, h.rec)
				}
			}
		})
	}
}

func dropOldest(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path + ".bad-0001-20260201T120000Z"); err != nil {
		t.Fatal(err)
	}
}

// damagedDir holds files that were marked as damaged.
func damagedDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		putFile(t, filepath.Join(dir, name), b)
		putFile(t, marker(filepath.Join(dir, name)), []byte("bad checksum"))
	}
	return dir
}

// The reason that was marked is the one told by the start that goes on.
func TestQuarantineCutTellsReason(t *testing.T) {
	dir := t.TempDir()
	putFile(t, filepath.Join(dir, "keys.db.bad-0001-20260301T120000Z"), []byte("bad"))
	putFile(t, filepath.Join(dir, "keys.db.damaged"), []byte("bad checksum"))
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	if len(h.rec.Reasons) != 1 || !strings.Contains(h.rec.Reasons[0], "bad checksum") {
		t.Errorf("recovery %+v", h.rec)
	}
}

// A file that somebody removed is made anew: what was put aside and replaced
// before is not news, nor is a marker that is left of it damage to the new one.
func TestFileRemovedByHand(t *testing.T) {
	_, journal := sampleFiles(t)
	h := newHarness(t, func(o *Options) { o.Dir = damagedDir(t, map[string][]byte{"journal.db": journal}) })
	if len(h.rec.Quarantined) != 1 || h.rec.Salvaged == 0 {
		t.Fatalf("recovery %+v", h.rec)
	}
	h.stop()
	for _, name := range bothFiles {
		if err := os.Remove(h.path(name)); err != nil {
			t.Fatal(err)
		}
		putFile(t, marker(h.path(name)), []byte("bad checksum"))
	}
	for i := range 2 {
		h.open()
		if len(h.rec.Quarantined)+len(h.rec.Reasons)+h.rec.Salvaged > 0 || len(h.waiting()) > 0 {
			t.Errorf("start %d: recovery %+v", i+1, h.rec)
		}
		h.stop()
	}
}

// Numbers go on after the highest that was ever given, also when what was put
// aside is gone: a new one never passes for one that was replaced.
func TestQuarantineNumbers(t *testing.T) {
	for name, note := range map[string]string{"good note": "0007", "no note": "", "bad note": "-7x", "huge note": "99999999999999999999999"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if note != "" {
				putFile(t, filepath.Join(dir, "keys.db.replaced"), []byte(note))
			}
			putFile(t, filepath.Join(dir, "keys.db"), []byte("bad"))
			h := newHarness(t, func(o *Options) { o.Dir = dir })
			want := "keys.db.bad-0001-20260301T120000Z"
			if name == "good note" {
				want = "keys.db.bad-0008-20260301T120000Z"
			}
			if len(h.rec.Quarantined) != 1 || filepath.Base(h.rec.Quarantined[0]) != want {
				t.Errorf("put aside %v, want %s", h.rec.Quarantined, want)
			}
			h.reopen()
			if len(h.rec.Quarantined) > 0 {
				t.Errorf("the next start tells it again: %+v", h.rec)
			}
		})
	}
}
