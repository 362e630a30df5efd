package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// tree is a copy of the project, and of what its tests leave behind.
type tree struct {
	root, dir string
	env       []string
}

func newTree(scenarios int) (*tree, error) {
	root, err := os.MkdirTemp("", "postern-mutations-")
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, dir: filepath.Join(root, "postern")}
	temp := filepath.Join(root, "tmp")
	// With -trimpath the copies share what they built.
	t.env = append(os.Environ(), "TMPDIR="+temp, "GOFLAGS=-trimpath", fmt.Sprint("POSTERN_SCENARIOS=", scenarios))
	if err := errors.Join(os.Mkdir(temp, 0o755), copyTree(t.dir, ".")); err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

func (t *tree) remove() { _ = os.RemoveAll(t.root) }

// try applies one fault, runs the tests, and takes it out again.
func (t *tree) try(ctx context.Context, patch string) (result, error) {
	text, err := os.ReadFile(patch)
	if err != nil {
		return result{}, err
	}
	file, ok := target(string(text))
	if !ok {
		return result{End: noPatch}, nil
	}
	path := filepath.Join(t.dir, file)
	was, err := os.ReadFile(path)
	if err != nil {
		return result{}, err
	}
	if _, err := t.run(ctx, text, "patch", "-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"); err != nil {
		return result{End: noPatch}, errors.Join(ctx.Err(), os.WriteFile(path, was, 0o644))
	}
	r := t.judge(ctx, filepath.Dir(file), suites(file, string(text)))
	return r, errors.Join(ctx.Err(), os.WriteFile(path, was, 0o644))
}

// suite is the tests of one package, and how they are run.
type suite struct {
	pkg  string
	args []string
}

// core are the tests of the decision core, the quick ones first.
var core = []suite{
	{"./access", []string{"-failfast", "-timeout=5m", "-rapid.shrinktime=1s", "-rapid.nofailfile"}},
	{"./controller", []string{"-failfast", "-timeout=5m"}},
	{"./systemtest/scenarios", []string{"-timeout=20m"}},
}

// suites are what has to notice a fault, one after the other until one does. The
// patch of one outside the core begins with a line that names the package, and
// perhaps which of its tests to run.
func suites(file, patch string) []suite {
	line, ok := strings.CutPrefix(patch, "Tests: ")
	switch {
	case ok:
		line, _, _ = strings.Cut(line, "\n")
		pkg, run, _ := strings.Cut(line, " ")
		return []suite{{pkg, []string{"-failfast", "-timeout=3m", "-run=" + run}}}
	case strings.HasPrefix(file, "controller/"):
		return core[1:]
	}
	return core
}

// judge builds the package that may have a fault and runs tests.
func (t *tree) judge(ctx context.Context, pkg string, suites []suite) result {
	if _, err := t.run(ctx, nil, "go", "build", "./"+pkg); err != nil {
		return result{End: noBuild}
	}
	for _, s := range suites {
		args := append([]string{"go", "test", "-vet=off", s.pkg}, s.args...)
		if out, err := t.run(ctx, nil, args...); err != nil {
			return result{End: caught, By: s.pkg[2:] + " " + failing(out)}
		}
	}
	return result{End: survived}
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// failing names the test that failed first.
func failing(out []byte) string {
	switch m := failed.FindSubmatch(out); {
	case m != nil:
		return string(m[1])
	case bytes.Contains(out, []byte("panic: ")):
		return "panic"
	}
	return "its tests do not run"
}

// run runs a command in the tree and gives what it printed.
func (t *tree) run(ctx context.Context, in []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = t.dir, t.env, bytes.NewReader(in)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

// target is the one file that a patch changes.
func target(patch string) (string, bool) {
	file := ""
	for line := range strings.Lines(patch) {
		if name, ok := strings.CutPrefix(line, "+++ b/"); ok {
			if file != "" {
				return "", false
			}
			file = strings.TrimSpace(name)
		}
	}
	return file, file != ""
}

// copyTree copies what the tests need.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != from && (name == "build" || name == "bin" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), data, 0o644)
	})
}
