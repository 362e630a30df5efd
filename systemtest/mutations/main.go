// Command mutations puts faults into the decision core and the rules between central
// and a panel, one at a time, and checks that the tests notice: a flipped comparison,
// a missing rule, an instant too late.
//
//	go run ./systemtest/mutations [-run REGEXP] [-j 2] [-scenarios 2000]
//
// Each fault is a patch in systemtest/mutations/faults, named for what it does. It
// is applied to a copy of the tree in a temporary folder; then the tests of access
// and controller run and, when these notice nothing, the scenarios, or the tests that
// the patch names in its first line. A fault that survives, that no longer applies or
// that does not build is a failure, and the command then exits with 1. What came out
// is also in build/report/test-mutations.json. It needs patch(1).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/systemtest/jsonfile"
)

const faults = "systemtest/mutations/faults"

func main() {
	run := flag.String("run", "", "only faults whose name matches")
	jobs := flag.Int("j", 2, "faults at a time")
	scenarios := flag.Int("scenarios", 2000, "scenarios to play")
	out := flag.String("report", "build/report/test-mutations.json", "`file` that gets the report")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := check(ctx, *run, *jobs, *scenarios)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
	if err := jsonfile.Write(*out, results); err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
	if !table(os.Stdout, results) {
		os.Exit(1)
	}
}

// check runs the tests against every fault whose name matches.
func check(ctx context.Context, match string, jobs, scenarios int) ([]result, error) {
	names, err := list(match)
	if err != nil {
		return nil, err
	}
	jobs = min(max(jobs, 1), len(names))
	results := make([]result, len(names))
	next := make(chan int, len(names))
	for i := range names {
		next <- i
	}
	close(next)
	g, ctx := errgroup.WithContext(ctx)
	for n := range jobs {
		g.Go(func() error { return work(ctx, names, results, next, scenarios, n == 0) })
	}
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
	all = slices.DeleteFunc(all, func(path string) bool { return !wanted.MatchString(name(path)) })
	if len(all) == 0 {
		return nil, errors.New("no such faults; run this in the folder of the project")
	}
	return all, nil
}

// name is a fault's, by its patch.
func name(path string) string { return strings.TrimSuffix(filepath.Base(path), ".patch") }

// work checks faults in a copy of the tree of its own. The first also checks that
// without any the tests notice nothing: such a test would catch every one.
func work(ctx context.Context, names []string, results []result, next <-chan int, scenarios int, first bool) error {
	t, err := newTree(scenarios)
	if err != nil {
		return fmt.Errorf("copy tree: %w", err)
	}
	defer t.remove()
	if first {
		if r := t.judge(ctx, "controller", core); r.End != survived {
			return errors.Join(ctx.Err(), fmt.Errorf("without a fault: %s %s", r.End, r.By))
		}
	}
	for i := range next {
		began := time.Now()
		r, err := t.try(ctx, names[i])
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		r.Fault, r.Seconds = name(names[i]), time.Since(began).Round(100*time.Millisecond).Seconds()
		results[i] = r
		fmt.Fprintf(os.Stderr, "%-14s %s (%.1f s)\n", r.End, r.Fault, r.Seconds)
	}
	return nil
}
