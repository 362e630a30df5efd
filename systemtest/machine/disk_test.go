package machine

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func debugfs(t *testing.T, image, command string) string {
	t.Helper()
	out, err := exec.Command("debugfs", "-R", command, image).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDisk(t *testing.T) {
	if err := Need(DiskTools()...); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	if err := os.MkdirAll(filepath.Join(from, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "etc/a"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	image, copied := filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img")
	if err := MakeDisk(t.Context(), image, 16, from); err != nil {
		t.Fatal(err)
	}
	if err := CopyDisk(t.Context(), image, copied); err != nil {
		t.Fatal(err)
	}
	files := map[string]File{"/etc/a": {Data: []byte("new"), Mode: 0o600}, "/usr/bin/x": {Path: filepath.Join(from, "etc/a"), Mode: 0o755}}
	if err := WriteDisk(t.Context(), copied, files, map[string]string{"/etc/wants/x": "/usr/bin/x"}); err != nil {
		t.Fatal(err)
	}
	if err := CheckDisk(t.Context(), copied); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct{ image, command, want string }{
		{copied, "cat /etc/a", "new"},
		{copied, "cat /usr/bin/x", "old"},
		{copied, "stat /etc/a", "Mode:  0600"},
		{copied, "stat /usr/bin/x", "Mode:  0755"},
		{copied, "stat /usr/bin/x", "User:     0   Group:     0"},
		{copied, "stat /etc/wants/x", "Fast link dest: \"/usr/bin/x\""},
		{image, "cat /etc/a", "old"},
	} {
		if got := debugfs(t, tt.image, tt.command); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.want)
		}
	}
	if err := WriteDisk(t.Context(), copied, map[string]File{"/etc/big": {Data: bytes.Repeat([]byte("x"), 32<<20)}}, nil); err == nil {
		t.Error("a file that is larger than the disk was written")
	}
}

func TestPlainName(t *testing.T) {
	for name, want := range map[string]bool{"/etc/a-b_c.d": true, "etc/a": false, "/etc/../a": false, "/a b": false, "/a\nrm /b": false, "": false} {
		if got := plainName(name) == nil; got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
