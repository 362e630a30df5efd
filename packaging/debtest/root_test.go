package debtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern/systemtest/machine"
)

// recipe names what the root is made of: one that was made otherwise is made anew.
const (
	suite  = "bookworm"
	recipe = suite + "-deb-1"
)

// need skips the test where it is not asked for, and where a tool is missing;
// with CI=true that is a failure.
func need(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_TEST_DEB") == "" {
		t.Skip("set POSTERN_TEST_DEB=1, or run make test-deb")
	}
	tools := [][2]string{
		{"dpkg-deb", "dpkg"}, {"lintian", "lintian"}, {"mmdebstrap", "mmdebstrap"}, {"tar", "tar"}, {"chroot", "coreutils"},
	}
	err := machine.Need(tools...)
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("installing packages in a root of its own takes root")
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// root is a Debian of the test's own.
type root struct {
	t   *testing.T
	dir string
}

// newRoot unpacks a minimal Debian with systemd, which is made once.
func newRoot(t *testing.T) *root {
	t.Helper()
	cache, err := machine.Cache()
	if err != nil {
		t.Fatal(err)
	}
	tarball := filepath.Join(cache, "root-"+recipe+".tar")
	if _, err := os.Stat(tarball); err != nil {
		mirror := os.Getenv("POSTERN_DEBIAN_MIRROR")
		if mirror == "" {
			mirror = "http://deb.debian.org"
		}
		scratch := strings.TrimSuffix(tarball, ".tar") + ".new.tar"
		run(t, "mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd,udev", suite, scratch,
			fmt.Sprintf("deb %s/debian %s main", strings.TrimSuffix(mirror, "/"), suite))
		if err := os.Rename(scratch, tarball); err != nil {
			t.Fatal(err)
		}
	}
	r := &root{t: t, dir: filepath.Join(t.TempDir(), "root")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "-xpf", tarball, "-C", r.dir, "--numeric-owner")
	return r
}

func (r *root) path(path string) string { return filepath.Join(r.dir, path) }

// try runs a program in the root and returns all that it said.
func (r *root) try(name string, args ...string) (string, error) {
	r.t.Helper()
	cmd := exec.Command("chroot", append([]string{r.dir, name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// in is try for what must not fail.
func (r *root) in(name string, args ...string) string {
	r.t.Helper()
	out, err := r.try(name, args...)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (r *root) exists(path string) bool {
	_, err := os.Lstat(r.path(path))
	return err == nil
}

func (r *root) read(path string) string { return string(read(r.t, r.path(path))) }

func (r *root) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(path), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// run runs a program and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}
