package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// aLaterProgram gives the state of a database the version 99, and gives it back.
func aLaterProgram(t *testing.T, path string) (undo func()) {
	t.Helper()
	var was []byte
	put := func(value func(old []byte) []byte) {
		t.Helper()
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("meta"))
			return b.Put([]byte("state"), value(bytes.Clone(b.Get([]byte("state")))))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(func(old []byte) []byte {
		was = old
		value := bytes.Clone(old[:len(old)-4])
		value[0] = 99
		return binary.BigEndian.AppendUint32(value, crc32.Checksum(append([]byte("mstate"), value...), crc32.MakeTable(crc32.Castagnoli)))
	})
	return func() { put(func([]byte) []byte { return was }) }
}

// A panel on a store of a later version opens nothing and wipes nothing, lets
// people out, and says what to do. What happened meanwhile is kept.
func TestEndToEndNewerStore(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 102)
	s.wantEvents(1, 102)
	s.panel.end(t, syscall.SIGTERM)
	files := []string{filepath.Join(s.dir, "data/keys.db"), filepath.Join(s.dir, "data/journal.db")}
	undo := aLaterProgram(t, files[1])
	if err := os.WriteFile(filepath.Join(s.dir, "data", writtenByName), []byte("9.8.7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var were [][]byte
	for _, f := range files {
		were = append(were, readFile(t, f))
	}
	s.panel = startProcess(t, filepath.Join(s.dir, "panel.log"), filepath.Join(s.bin, "posternd"), "run", "--config", filepath.Join(s.dir, "panel.toml"))
	s.eventually("the panel says what is wrong", func() error {
		out, _ := s.cli("doctor", "--config", filepath.Join(s.dir, "panel.toml"))
		for _, part := range []string{`"store-newer"`, files[1], "has format 99, this program knows up to 2", "Install posternd 9.8.7 again, or a later one"} {
			if !strings.Contains(out, part) {
				return fmt.Errorf("%q is not in %s", part, out)
			}
		}
		return nil
	})
	s.do("sim", "badge", "--reader", "front", "--identification", card)
	s.eventually("the card is read", func() error {
		if log := string(readFile(t, filepath.Join(s.dir, "panel.log"))); !strings.Contains(log, "look credential up") {
			return errors.New("it is not")
		}
		return nil
	})
	if s.released("front") {
		t.Error("a card opens on a store that nobody can read")
	}
	s.do("sim", "rex", "front")
	s.do("sim", "input", "fire", "on") // lab has fire_release
	for _, door := range []string{"front", "lab"} {
		s.eventually("exit button and fire release the doors", func() error {
			if !s.released(door) {
				return fmt.Errorf("not %s", door)
			}
			return nil
		})
	}
	s.panel.end(t, syscall.SIGTERM)
	for i, f := range files {
		if !bytes.Equal(readFile(t, f), were[i]) {
			t.Errorf("%s has changed", f)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(s.dir, "data/*.bad-*")); len(aside) > 0 {
		t.Errorf("put aside: %v", aside)
	}
	undo()
	s.startPanel()
	s.badge("front", card, 102)
	s.wantStatus(a.ID, "Applied")
}

func TestWrittenBy(t *testing.T) {
	dir := t.TempDir()
	if got := writtenBy(dir); got != "" {
		t.Errorf("nobody has written there: %q", got)
	}
	if err := noteWrittenBy(dir); err != nil || writtenBy(dir) != buildVersion() {
		t.Errorf("%v, %q, want %q", err, writtenBy(dir), buildVersion())
	}
	for _, odd := range []string{strings.Repeat("1", maxWrittenBy+1), "1.0\x1b[31m", "1.0 then run this", "1.\n2"} {
		if err := os.WriteFile(filepath.Join(dir, writtenByName), []byte(odd), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := writtenBy(dir); got != "" {
			t.Errorf("%q is shown as %q", odd, got)
		}
	}
	if err := noteWrittenBy(filepath.Join(dir, "none")); err == nil {
		t.Error("a file in a folder that is not there")
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
