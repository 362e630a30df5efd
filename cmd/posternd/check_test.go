package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/access"
	"postern/store"
)

// storeOfCodes makes the key store of a stopped panel with n codes of 4 digits.
func storeOfCodes(t *testing.T, dir string, n int) (stop func()) {
	t.Helper()
	level := access.ID{1}
	p := &access.Policy{Codes: access.CodePolicy{Enabled: true, Size: 4}, Levels: []access.Level{{ID: level, Name: "all"}}}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	s, _, err := store.Open(t.Context(), store.Options{
		Dir: dir, DeviceKey: make([]byte, store.DeviceKeySize), BootID: access.ID{9}, Policy: p, Keep: 100, Cap: 1000, Now: time.Now,
		Matchers: []access.Matcher{{Technology: access.EM, Match: access.Full}}, Log: slog.New(slog.DiscardHandler),
		Decode: func([]byte) (access.Update, error) { return access.Update{}, fmt.Errorf("no snapshot here") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	stop = func() {
		cancel()
		<-ended
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	var batch []access.Update
	for i := range n {
		up := access.Update{Op: access.Put, Revision: uint64(i + 1), Claim: uint64(i + 1), ID: access.ID{2, byte(i)}}
		up.Key = access.Key{ID: up.ID, Type: access.Code, State: access.Enabled, Levels: []access.ID{level}}
		if up.Key.Identification, err = access.ParseIdentification(access.Code, fmt.Sprint(7000+i)); err != nil {
			t.Fatal(err)
		}
		batch = append(batch, up)
	}
	if _, err := s.Apply(t.Context(), access.Batch{Epoch: 1, Updates: batch}); err != nil {
		t.Fatal(err)
	}
	return stop
}

func TestCheckWarnsOfCodes(t *testing.T) {
	for _, tt := range []struct {
		codes int
		want  []string
	}{
		{10, nil},
		{11, []string{access.CodeRisk(4, 11)}},
	} {
		cfg := parse(t, small)
		cfg.Panel.DataDir, cfg.Codes.Enabled = t.TempDir(), true
		if got := codeWarnings(cfg); got != nil {
			t.Errorf("without a store: %q", got)
		}
		stop := storeOfCodes(t, cfg.Panel.DataDir, tt.codes)
		if got := codeWarnings(cfg); len(got) != 1 || !strings.Contains(got[0], "the daemon runs") {
			t.Errorf("beside the daemon: %q", got)
		}
		stop()
		if got := codeWarnings(cfg); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%d codes: %q, want %q", tt.codes, got, tt.want)
		}
		if err := os.WriteFile(filepath.Join(cfg.Panel.DataDir, "keys.db"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := codeWarnings(cfg); len(got) != 1 || !strings.HasPrefix(got[0], "codes were not counted") {
			t.Errorf("a damaged store: %q", got)
		}
	}
}
