package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration of one's own is drawn as the shipped ones are.
func TestWiring(t *testing.T) {
	s := healthy(t)
	dir := t.TempDir()
	s.want(exitDone, filepath.Join(dir, "demo-001.svg"), "wiring", dir, "--config", s.path("panel.toml"))
	shipped := source(t, "../../firmware-config/pins/one-door-rex.txt")
	lines := func(b []byte) string {
		var out []string
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "gpio=") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	if got := source(t, filepath.Join(dir, "demo-001-pins.txt")); lines(got) != lines(shipped) || lines(got) == "" {
		t.Errorf("pins %s, want %s", got, shipped)
	}
	for name, want := range map[string]string{"demo-001.svg": "<svg", "demo-001.md": "demo-001.svg"} {
		if got := source(t, filepath.Join(dir, name)); !bytes.Contains(got, []byte(want)) || bytes.Contains(got, []byte("go run")) {
			t.Errorf("%s: %s", name, got)
		}
	}
	s.want(exitFailed, "no such file", "wiring", filepath.Join(dir, "none"), "--config", s.path("panel.toml"))
	s.file("odd.toml", strings.Replace(s.panel(""), `"GPIO17"`, `"gpio-a:90"`, 1))
	s.want(exitFailed, "is not on a Raspberry Pi's header", "wiring", dir, "--config", s.path("odd.toml"))
	if err := os.WriteFile(s.path("bad.toml"), []byte("[panel]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(exitFailed, "fault", "wiring", dir, "--config", s.path("bad.toml"))
}
