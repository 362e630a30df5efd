package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postern/api"
)

// A backup of a running panel, made while keys and events come in, passes the check
// and has every change that was reported and every entry that was shown before it
// began.
func TestEndToEndBackup(t *testing.T) {
	s := newSite(t)
	s.write("pass", "a long passphrase\n")
	file := filepath.Join(s.dir, "backup")
	backup := func() {
		s.do("backup", file, "--config", filepath.Join(s.dir, "panel.toml"), "--passphrase-file", filepath.Join(s.dir, "pass"))
	}
	first := s.addCard(card)
	s.wantStatus(first.ID, "Applied")

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_ = s.post("/v1/accesskeys/add", fmt.Sprintf(`{"key":{"identification":"EM:%d","type":"proximity"},"access_levels":[%q]}`, 500_000+n, levelAlways), 200, nil)
		}
	})
	load.Go(func() {
		for ctx.Err() == nil {
			s.cli("sim", "badge", "--reader", "gate", "--identification", card)
		}
	})
	position := func() (st api.Status) {
		if err := json.Unmarshal([]byte(s.do("status")), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	s.eventually("load", func() error {
		if st := position(); st.Keys.Revision < 20 || st.Journal.Last < 20 {
			return fmt.Errorf("at revision %d, event %d", st.Keys.Revision, st.Journal.Last)
		}
		return nil
	})
	last := s.addCard("EM:123456789")
	s.wantStatus(last.ID, "Applied")
	before := position()
	backup()
	after := position()
	stop()
	load.Wait()
	if after.Keys.Revision == before.Keys.Revision || after.Journal.Last == before.Journal.Last {
		t.Errorf("nothing changed beside the backup: %+v, %+v", before.Keys, after.Keys)
	}

	s.central.end(t, syscall.SIGTERM) // or it would bring everything back
	s.panel.end(t, syscall.SIGTERM)
	for _, name := range []string{"keys.db", "journal.db"} {
		if err := os.Remove(filepath.Join(s.dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	s.do("restore", file, "--force", "--config", filepath.Join(s.dir, "panel.toml"), "--passphrase-file", filepath.Join(s.dir, "pass"))
	for _, name := range []string{"keys.db", "journal.db"} {
		if out, err := exec.Command(filepath.Join(s.bin, "posternd"), "check-store", filepath.Join(s.dir, "data", name)).CombinedOutput(); err != nil {
			t.Errorf("check of %s: %v: %s", name, err, out)
		}
	}
	s.startPanel()
	got := position()
	if got.Keys.Revision < before.Keys.Revision || got.Keys.Epoch != before.Keys.Epoch || got.Keys.Revision > after.Keys.Revision {
		t.Errorf("restored at %+v, want from %+v to %+v", got.Keys, before.Keys, after.Keys)
	}
	if got.Journal.Last < before.Journal.Last {
		t.Errorf("restored journal ends at %d, %d was shown before", got.Journal.Last, before.Journal.Last)
	}
	for _, p := range got.Problems {
		if strings.Contains(p.What, "damaged") {
			t.Errorf("the restored panel says %q", p.What)
		}
	}
	s.do("keys", "show", first.ID)
	s.do("keys", "show", last.ID)
	s.do("sim", "badge", "--reader", "front", "--identification", "EM:123456789")
	s.eventually("the restored key opens", func() error {
		if types := s.localEvents(); types[len(types)-1] != 102 {
			return fmt.Errorf("last events %v", types[max(0, len(types)-3):])
		}
		return nil
	})
}

// While one backup is taken another is refused, in words.
func TestBackupIsAlone(t *testing.T) {
	p := newPanel(parse(t, small), slog.New(slog.DiscardHandler))
	b := &backend{p: p}
	if err := b.CopyStore(t.Context(), nil); !errors.Is(err, api.ErrRefused) {
		t.Errorf("before the store is open: %v", err)
	}
	p.late.set(openJournal(t, t.TempDir(), 1))
	files := 0
	err := b.CopyStore(t.Context(), func(_ string, _ int64, write func(io.Writer) error) error {
		files++
		if err := b.CopyStore(t.Context(), nil); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "another backup") {
			t.Errorf("a second one: %v", err)
		}
		return write(io.Discard)
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}

// To others than root and the daemon's user the store is not given, though they may
// open the socket.
func TestEndToEndBackupIsForRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	s := newSite(t)
	if err := errors.Join(os.Chmod(s.dir, 0o755), os.Chmod(s.socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]string{0: "200", 65534: "403"} {
		cmd := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", s.socket, "http://panel/v1/store")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("user %d: %v, got %q, want %s", uid, err, out, want)
		}
	}
}
