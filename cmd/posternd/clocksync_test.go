package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTimesyncSynced(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "synchronized")
	if timesyncSynced(path, now) {
		t.Error("synchronised without the file")
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		touched time.Duration
		want    bool
	}{
		{-time.Minute, true},
		{-timesyncFor + time.Second, true},
		{-timesyncFor, false},
		{-30 * 24 * time.Hour, false},
		{time.Minute, true}, // the clock was put back a little since
		{timesyncFor, false},
	} {
		if err := os.Chtimes(path, time.Time{}, now.Add(test.touched)); err != nil {
			t.Fatal(err)
		}
		if got := timesyncSynced(path, now); got != test.want {
			t.Errorf("touched %v: synchronised %v, want %v", test.touched, got, test.want)
		}
	}
}
