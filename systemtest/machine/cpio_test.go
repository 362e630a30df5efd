package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is one entry read back, by the format's description.
type entry struct {
	Name, Data string
	Mode       uint64
}

func readCpio(t *testing.T, b []byte) (all []entry) {
	t.Helper()
	inodes := map[uint64]bool{}
	for {
		if len(b) < 110 || string(b[:6]) != "070701" {
			t.Fatalf("no header at %.20q", b)
		}
		var n [13]uint64
		for i := range n {
			v, err := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			n[i] = v
		}
		size, named := n[6], n[11]
		name := string(b[110 : 110+named-1])
		b = b[(110+named+3)&^3:]
		if name == "TRAILER!!!" {
			return all
		}
		if inodes[n[0]] {
			t.Errorf("%s has the inode %d of another file, so it would be a link to it", name, n[0])
		}
		inodes[n[0]] = true
		all = append(all, entry{Name: name, Data: string(b[:size]), Mode: n[1]})
		b = b[(size+3)&^3:]
	}
}

func TestInitramfs(t *testing.T) {
	host := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(host, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err := Initramfs(&b, map[string]File{
		"/init":              {Path: host, Mode: 0o755},
		"etc/postern/a.toml": {Data: []byte("abc")},
		"/etc/empty":         {},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{Name: "etc", Mode: 0o040755},
		{Name: "etc/empty", Mode: 0o100644},
		{Name: "init", Data: "12345", Mode: 0o100755},
		{Name: "etc/postern", Mode: 0o040755},
		{Name: "etc/postern/a.toml", Data: "abc", Mode: 0o100644},
	}
	if diff := cmp.Diff(want, readCpio(t, b.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInitramfsRefuses(t *testing.T) {
	for _, files := range []map[string]File{
		{"/": {}},
		{"/init": {Path: filepath.Join(t.TempDir(), "none")}},
	} {
		if err := Initramfs(&bytes.Buffer{}, files); err == nil || !strings.HasPrefix(err.Error(), "initramfs: ") {
			t.Errorf("%v: error %v", files, err)
		}
	}
}
