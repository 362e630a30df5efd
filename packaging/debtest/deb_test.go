package debtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	t.Parallel()
	dir := t.TempDir()
	first, second, shipped := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "shipped")
	build(t, ".", first, older, "amd64,arm64,armhf")
	tree := copyTree(t, filepath.Join(dir, "elsewhere/with a longer name"))
	build(t, tree, shipped, older, runtime.GOARCH, "-compression", "xz", "-package", "postern")

	t.Run("lintian", func(t *testing.T) {
		debs, err := filepath.Glob(filepath.Join(first, "*.deb"))
		if err != nil || len(debs) != 6 {
			t.Fatalf("want 6 packages, have %v, %v", debs, err)
		}
		// Those of first are not compressed, to save time; this one is as it ships.
		debs = append(debs, filepath.Join(shipped, fmt.Sprintf("postern_%s_%s.deb", older, runtime.GOARCH)))
		out := run(t, "lintian", append([]string{"--allow-root", "--no-cfg", "--fail-on", "error,warning", "--suppress-tags", "uses-no-compression-for-data-tarball"}, debs...)...)
		if strings.TrimSpace(out) != "" {
			t.Errorf("lintian says:\n%s", out)
		}
	})
	t.Run("sums", func(t *testing.T) { checkSums(t, first) })
	t.Run("bill of materials", func(t *testing.T) { checkBills(t, first) })
	t.Run("the same bytes elsewhere", func(t *testing.T) {
		build(t, tree, second, older, "amd64,arm64,armhf")
		debs, err := filepath.Glob(filepath.Join(first, "*"))
		if err != nil || len(debs) != 2*6+1 {
			t.Fatalf("%d files, %v", len(debs), err)
		}
		for _, deb := range debs {
			same(t, deb, filepath.Join(second, filepath.Base(deb)))
		}
	})
	t.Run("the same bytes compiled again", func(t *testing.T) {
		// A cache of its own: nothing that was compiled before comes into these.
		arches, names := []string{runtime.GOARCH}, "postern"
		if os.Getenv("POSTERN_TEST_DEB") == "full" {
			arches, names = []string{"amd64", "arm64", "armhf"}, "postern,postern-central"
			build(t, tree, shipped, older, strings.Join(arches, ","), "-compression", "xz")
		}
		again := filepath.Join(dir, "again")
		build(t, tree, again, older, strings.Join(arches, ","), "-compression", "xz", "-package", names, "-cache", filepath.Join(dir, "cache"))
		for _, arch := range arches {
			for name := range strings.SplitSeq(names, ",") {
				deb := fmt.Sprintf("%s_%s_%s.deb", name, older, arch)
				same(t, filepath.Join(shipped, deb), filepath.Join(again, deb))
			}
		}
	})
}

// same compares two files.
func same(t *testing.T, a, b string) {
	t.Helper()
	if !bytes.Equal(read(t, a), read(t, b)) {
		t.Errorf("%s and %s differ (see diffoscope)", a, b)
	}
}

// build makes packages from a folder of the project or below it, without
// compressing them unless args say so.
func build(t *testing.T, from, out, version, arches string, args ...string) {
	t.Helper()
	args = append([]string{epoch, "go", "run", "-C", from, "postern/packaging/build", "-out", out, "-version", version, "-arch", arches, "-compression", "none"}, args...)
	run(t, "env", args...)
}

// copyTree copies the project's files, as they are now, and returns the folder.
func copyTree(t *testing.T, to string) string {
	t.Helper()
	for name := range strings.SplitSeq(strings.TrimSuffix(run(t, "git", "-C", "../..", "ls-files", "-z", "-co", "--exclude-standard"), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("../..", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(to, name), data, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
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
