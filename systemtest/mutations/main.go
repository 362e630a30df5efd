// Command mutations puts faults into the decision core, one at a time, and checks
// that the tests notice: a flipped comparison, a missing rule, an instant too late.
//
//	go run ./systemtest/mutations [-run REGEXP] [-j 2] [-scenarios 3000]
//
// Each fault is a patch in systemtest/mutations/faults, named for what it does. It
// is applied to a copy of the tree in a temporary folder; then the tests of access
// and controller run and, when these notice nothing, the scenarios. A fault that
// survives, that no longer applies or that does not build is a failure, and the
// command then exits with 1. It needs patch(1).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const faults = "systemtest/mutations/faults"

// The ends of a fault.
const (
	caught    = "caught"
	survived  = "survived"
	noPatch   = "does not apply"
	noBuild   = "does not build"
	unchecked = "not checked"
)

// result is what became of one fault.
type result struct {
	name, end, by string
	took          time.Duration
}

func main() {
	run := flag.String("run", "", "only faults whose name matches")
	jobs := flag.Int("j", 2, "faults at a time")
	scenarios := flag.Int("scenarios", 3000, "scenarios to play")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := check(ctx, *run, *jobs, *scenarios)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
	if !table(os.Stdout, results) {
		os.Exit(1)
	}
}

// check runs the tests against every fault that match names.
func check(ctx context.Context, match string, jobs, scenarios int) ([]result, error) {
	names, err := list(match)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(names))
	next := make(chan int)
	g, ctx := errgroup.WithContext(ctx)
	for range max(jobs, 1) {
		g.Go(func() error { return work(ctx, names, results, next, scenarios) })
	}
	g.Go(func() error {
		defer close(next)
		for i := range names {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return results, g.Wait()
}

// list gives the patches whose name matches.
func list(match string) ([]string, error) {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	all, err := filepath.Glob(filepath.Join(faults, "*.patch"))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(path string) bool { return !wanted.MatchString(filepath.Base(path)) })
	if len(all) == 0 {
		return nil, errors.New("no such faults; run this in the folder of the project")
	}
	return all, nil
}

// work checks faults in a copy of the tree of its own.
func work(ctx context.Context, names []string, results []result, next <-chan int, scenarios int) error {
	dir, err := os.MkdirTemp("", "postern-mutations-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir, "."); err != nil {
		return fmt.Errorf("copy tree: %w", err)
	}
	// A test that fails without a fault would catch every one.
	if end, by := judge(ctx, dir, min(scenarios, 500)); end != survived {
		return errors.Join(ctx.Err(), fmt.Errorf("without a fault: %s %s", end, by))
	}
	for i := range next {
		began := time.Now()
		r, err := try(ctx, dir, names[i], scenarios)
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		r.name, r.took = strings.TrimSuffix(filepath.Base(names[i]), ".patch"), time.Since(began)
		results[i] = r
		fmt.Fprintf(os.Stderr, "%-14s %s (%s)\n", r.end, r.name, r.took.Round(time.Second))
	}
	return nil
}

// try applies one fault, runs the tests, and takes it out again.
func try(ctx context.Context, dir, name string, scenarios int) (result, error) {
	patch, err := os.ReadFile(name)
	if err != nil {
		return result{}, err
	}
	file, ok := target(string(patch))
	if !ok {
		return result{end: noPatch}, nil
	}
	path := filepath.Join(dir, file)
	was, err := os.ReadFile(path)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = os.WriteFile(path, was, 0o644) }()
	if err := patchWith(ctx, dir, string(patch)); err != nil {
		return result{end: noPatch}, ctx.Err()
	}
	end, by := judge(ctx, dir, scenarios)
	return result{end: end, by: by}, ctx.Err()
}

// judge builds the tree and runs its tests.
func judge(ctx context.Context, dir string, scenarios int) (end, by string) {
	if goTool(ctx, dir, scenarios, "build", "./access", "./controller") != nil {
		return noBuild, ""
	}
	if goTool(ctx, dir, scenarios, "test", "-count=1", "-timeout=5m", "./access", "./controller") != nil {
		return caught, "tests"
	}
	if goTool(ctx, dir, scenarios, "test", "-count=1", "-timeout=20m", "./systemtest/scenarios") != nil {
		return caught, "scenarios"
	}
	return survived, ""
}

// target is the one file that a patch changes.
func target(patch string) (string, bool) {
	for line := range strings.Lines(patch) {
		if name, ok := strings.CutPrefix(line, "+++ b/"); ok {
			return strings.TrimSpace(name), true
		}
	}
	return "", false
}

func patchWith(ctx context.Context, dir, patch string) error {
	cmd := exec.CommandContext(ctx, "patch", "-p1", "--batch", "--forward", "--silent", "--no-backup-if-mismatch", "--reject-file=-")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(patch)
	return cmd.Run()
}

func goTool(ctx context.Context, dir string, scenarios int, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), fmt.Sprint("POSTERN_SCENARIOS=", scenarios))
	return cmd.Run()
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

// table tells what became of each fault, and reports whether all were caught.
func table(w io.Writer, results []result) bool {
	count := map[string]int{}
	for _, r := range results {
		end := r.end
		if end == "" {
			end = unchecked
		}
		count[end]++
		fmt.Fprintf(w, "%-45s %-15s %s\n", r.name, end, r.by)
	}
	fmt.Fprintf(w, "%d faults: %d caught, %d survived, %d do not apply, %d do not build\n",
		len(results), count[caught], count[survived], count[noPatch], count[noBuild])
	return count[caught] == len(results)
}
