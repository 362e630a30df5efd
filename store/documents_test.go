package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDocuments(t *testing.T) {
	h := newHarness(t)
	read := func(want []byte) {
		t.Helper()
		got, err := ReadDocument(h.o.Dir, "policy")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadDocument: %d bytes, %v, want %d", len(got), err, len(want))
		}
	}
	read(nil)
	for _, data := range [][]byte{[]byte("{}"), bytes.Repeat([]byte("a document"), maxDocument/10), {}, []byte("the last")} {
		if err := WriteDocument(h.o.Dir, "policy", data); err != nil {
			t.Fatal(err)
		}
		read(data)
	}
	path := filepath.Join(h.o.Dir, "policy.doc")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	// It survives what a store does at its start, and damage to it.
	h.stop()
	putFile(t, h.path("keys.db"), []byte("damaged"))
	h.open()
	if len(h.rec.Quarantined) != 1 {
		t.Errorf("recovery %+v", h.rec)
	}
	read([]byte("the last"))

	if err := WriteDocument(h.o.Dir, "policy", make([]byte, maxDocument+1)); err == nil {
		t.Error("a long one was written")
	}
	for _, name := range []string{"", "../policy", "Policy", "a.b", "a/b", strings.Repeat("a", 33)} {
		if err := WriteDocument(h.o.Dir, name, nil); err == nil {
			t.Errorf("%q was written", name)
		}
		if _, err := ReadDocument(h.o.Dir, name); err == nil {
			t.Errorf("%q was read", name)
		}
	}
	read([]byte("the last"))

	whole := readFile(t, path)
	for n := range whole {
		bad := bytes.Clone(whole)
		bad[n] ^= 1
		wantDamagedDocument(t, h.o.Dir, path, bad)
		wantDamagedDocument(t, h.o.Dir, path, whole[:n])
	}
	wantDamagedDocument(t, h.o.Dir, path, bytes.Repeat([]byte("x"), 2*maxDocument))
	// One document is none of another's name.
	putFile(t, path, whole)
	if err := os.Rename(path, filepath.Join(h.o.Dir, "modes.doc")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDocument(h.o.Dir, "modes"); !errors.Is(err, ErrDamaged) {
		t.Errorf("another's: %v", err)
	}
	if err := WriteDocument(filepath.Join(h.o.Dir, "none"), "policy", nil); err == nil {
		t.Error("written where there is nothing")
	}
}

func wantDamagedDocument(t *testing.T, dir, path string, b []byte) {
	t.Helper()
	putFile(t, path, b)
	if data, err := ReadDocument(dir, "policy"); !errors.Is(err, ErrDamaged) || data != nil {
		t.Errorf("%d bytes: %q, %v", len(b), clip(string(data), 20), err)
	}
}
