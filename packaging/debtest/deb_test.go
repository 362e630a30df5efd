package debtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	older, newer = "1.0.0", "1.1.0"
	epoch        = "SOURCE_DATE_EPOCH=1790000000"
)

// TestFiles builds the packages of all architectures and proves what their files
// promise.
func TestFiles(t *testing.T) {
	need(t)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	build(t, first, older, "amd64,arm64,armhf")

	t.Run("lintian", func(t *testing.T) {
		debs, err := filepath.Glob(filepath.Join(first, "*.deb"))
		if err != nil || len(debs) != 6 {
			t.Fatalf("want 6 packages, have %v, %v", debs, err)
		}
		out := run(t, "lintian", append([]string{"--allow-root", "--no-cfg", "--fail-on", "error,warning"}, debs...)...)
		if strings.TrimSpace(out) != "" {
			t.Errorf("lintian says:\n%s", out)
		}
	})
	t.Run("sums", func(t *testing.T) { checkSums(t, first) })
	t.Run("bill of materials", func(t *testing.T) { checkBills(t, first) })
	t.Run("the same bytes again", func(t *testing.T) {
		// A cache of its own: nothing of the first build comes into the second.
		build(t, second, older, runtime.GOARCH, "GOCACHE="+filepath.Join(dir, "cache"))
		for _, name := range []string{"postern", "postern-central"} {
			file := fmt.Sprintf("%s_%s_%s.deb", name, older, runtime.GOARCH)
			if !bytes.Equal(read(t, filepath.Join(first, file)), read(t, filepath.Join(second, file))) {
				t.Errorf("%s: two builds differ (compare %s and %s with diffoscope)", file, first, second)
			}
		}
	})
}

// build makes packages.
func build(t *testing.T, out, version, arches string, env ...string) {
	t.Helper()
	args := append(append([]string{epoch}, env...), "go", "run", "../build", "-out", out, "-version", version, "-arch", arches)
	run(t, "env", args...)
}

func checkSums(t *testing.T, dir string) {
	lines := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(dir, "SHA256SUMS")))), "\n")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != len(entries)-1 {
		t.Errorf("%d sums for %d files", len(lines), len(entries)-1)
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		if got := sha256.Sum256(read(t, filepath.Join(dir, name))); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: the sum is wrong", name)
		}
	}
}

// checkBills compares what a bill lists with what Go says of the project.
func checkBills(t *testing.T, dir string) {
	var bill struct {
		BOMFormat, SpecVersion string
		Components             []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(read(t, filepath.Join(dir, "postern_"+older+"_arm64.cdx.json")), &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.SpecVersion != "1.5" {
		t.Errorf("format %s %s", bill.BOMFormat, bill.SpecVersion)
	}
	var have []string
	for _, c := range bill.Components {
		have = append(have, c.Name+" "+c.Version)
	}
	linked := run(t, "env", "CGO_ENABLED=0", "GOARCH=arm64", "GOOS=linux", "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "postern/cmd/posternd", "postern/cmd/postern")
	want := append(strings.Split(strings.TrimSpace(linked), "\n"), "std "+runtime.Version())
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	slices.Sort(want)
	slices.Sort(have)
	if want = slices.Compact(want); !slices.Equal(have, want) {
		t.Errorf("components:\n%v\nlinked:\n%v", have, want)
	}
}
