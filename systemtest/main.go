// Command systemtest tests the shipped programs in emulated machines: under a
// real Linux kernel with real GPIO lines, under a real systemd, and with the
// power cut. docs/testing.md says what each part proves.
//
//	go run ./systemtest [-full] [-run gpio,systemd,cuts]
//
// It tells each step and how long that took, and ends with one table, which it
// also writes to build/report/test-system.json. It exits with 1 when a check
// failed. A part whose tools are not installed is skipped, but fails where the
// environment has CI=true.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"postern/systemtest/cuts"
	"postern/systemtest/gpio"
	"postern/systemtest/jsonfile"
	"postern/systemtest/machine"
	"postern/systemtest/systemd"
)

// part is one of the tests.
type part struct {
	name string
	// run returns a row for each check. Its error is of what could not be checked.
	run func(context.Context, options) ([]machine.Row, error)
}

type options struct {
	full     bool
	progress io.Writer
	work     string // a folder for the part's own files
}

// parts are all tests, in the order in which they begin.
func parts() []part {
	return []part{
		{"gpio", func(ctx context.Context, o options) ([]machine.Row, error) {
			return gpio.Run(ctx, gpio.Options{Full: o.full, Progress: o.progress, Work: o.work})
		}},
		{"systemd", func(ctx context.Context, o options) ([]machine.Row, error) {
			return systemd.Run(ctx, systemd.Options{Full: o.full, Progress: o.progress, Work: o.work})
		}},
		{"cuts", func(ctx context.Context, o options) ([]machine.Row, error) {
			return cuts.Run(ctx, cuts.Options{Full: o.full, Progress: o.progress, Work: o.work})
		}},
	}
}

func main() {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	full := flag.Bool("full", false, "do more of everything, which takes longer")
	only := flag.String("run", strings.Join(names, ","), "`parts` to run")
	flag.Parse()
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			fmt.Fprintf(os.Stderr, "systemtest: there is no part %q (want some of %s)\n", name, strings.Join(names, ", "))
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, wanted, *full); err != nil {
		fmt.Fprintln(os.Stderr, "systemtest:", err)
		os.Exit(1)
	}
}

// beside is how many parts run at a time: each machine keeps one processor busy,
// and CI has two.
const beside = 2

// run runs the parts and tells what came out.
func run(ctx context.Context, wanted []string, full bool) error {
	root, err := machine.Root(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "postern-systemtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	out := &output{w: os.Stdout}
	reports := make([]report, len(parts()))
	queue := make(chan func(), len(parts()))
	for i, p := range parts() {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		queue <- func() {
			if ctx.Err() != nil {
				return
			}
			progress := out.prefixed(p.name)
			fmt.Fprintln(progress, "begins")
			began := time.Now()
			rows, err := p.run(ctx, options{full: full, progress: progress, work: filepath.Join(work, p.name)})
			reports[i].add(p.name, rows, err, time.Since(began))
		}
	}
	close(queue)
	var wg sync.WaitGroup
	for range beside {
		wg.Go(func() {
			for f := range queue {
				f()
			}
		})
	}
	wg.Wait()
	r := report{Full: full}
	for _, one := range reports {
		r.Parts, r.Rows = append(r.Parts, one.Parts...), append(r.Rows, one.Rows...)
	}
	fmt.Println()
	if err := errors.Join(r.print(os.Stdout), jsonfile.Write(filepath.Join(root, "build", "report", "test-system.json"), r)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	return r.verdict(os.Getenv("CI") == "true")
}
