// Command crash tries every state that a power cut can leave a panel's data
// directory in.
//
// It runs a program that uses package store as posternd does, under strace, and
// has from that every write, flush, new name and acknowledgement in their order.
// It replays them on a model of a disk (see node) and stops before each flush:
// what is not flushed there may be on the disk or not, in any order, torn at a
// sector or anywhere else, or be rubbish. Each state is written to a directory,
// opened with store.Open, and held against what had been acknowledged when the
// power went: no change and no event lost, no batch in part, no key open that was
// removed, position and digest right, nothing put aside, and the panel goes on.
//
// Controls show that the tests can fail: the same recording with a card that
// lies about its flushes, and with directories that are never flushed, must
// show faults. The store can do nothing about either; that it then neither
// panics nor hangs is still asked of it.
//
//	go run ./systemtest/crash [-full]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"

	"postern/systemtest/jsonfile"
	"postern/systemtest/machine"
)

func main() {
	full := flag.Bool("full", false, "more steps, more random states")
	seed := flag.Uint64("seed", 1, "of what is recorded and of the random states")
	path := flag.String("report", "build/report/test-crash.json", "file for the rows")
	recorded := flag.Int("recorded", -1, "run the program of this scenario, to be recorded")
	flag.Parse()
	z := size{steps: 60, depth: 1, seed: *seed}
	if *full {
		z.steps, z.depth = 200, 4
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *recorded >= 0 {
		exit(runRecorded(ctx, scenarios(z)[*recorded], flag.Arg(0)))
	}
	if _, err := exec.LookPath("strace"); err != nil {
		skip()
		return
	}
	rows, err := run(ctx, z, os.Stdout)
	exit(errors.Join(err, finish(rows, *path, os.Stdout)))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// skip says why nothing was tried. In CI, which installs strace, that is an
// error.
func skip() {
	const why = "strace is not installed (apt package strace), which records what is written"
	if os.Getenv("CI") == "true" {
		exit(errors.New(why))
	}
	fmt.Println("test-crash skipped:", why)
}

// runRecorded is the program under strace.
func runRecorded(ctx context.Context, s scenario, dir string) error {
	return s.run(ctx, dir, func(lane string, n int) {
		fmt.Printf("ack %s %d\n", lane, n) // one write
	})
}

// finish prints the rows, writes them to a file, and tells whether all are as
// they must be.
func finish(rows []machine.Row, path string, out io.Writer) error {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	failed := 0
	for _, r := range rows {
		word := "ok"
		if !r.OK {
			word = "FAILED"
			failed++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f s\t%s\n", r.Check, r.Result, word, r.Took.Seconds(), r.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := jsonfile.Write(path, rows); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(rows))
	}
	return nil
}

// scratch is a directory in memory where there is one: thousands of stores are
// opened, and their flushes are not what is tested.
func scratch() (string, error) {
	dir, err := os.MkdirTemp("/dev/shm", "postern-crash")
	if err != nil {
		dir, err = os.MkdirTemp("", "postern-crash")
	}
	return dir, err
}

// run records and judges all scenarios, and the controls.
func run(ctx context.Context, z size, out io.Writer) (rows []machine.Row, err error) {
	dir, err := scratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for i, s := range scenarios(z) {
		began := time.Now()
		rec, err := newRecording(ctx, s, i, z, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return rows, fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "%s: %d calls recorded (%.1f s)\n", s.name, len(rec.calls), time.Since(began).Seconds())
		t, err := rec.tryAll(ctx, z, 1, honest)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, t.row(s.name))
		if i > 0 {
			continue
		}
		for _, c := range controls {
			t, err := rec.tryAll(ctx, z, ofControls, c.flush)
			if err != nil {
				return rows, fmt.Errorf("control, %s: %w", c.name, err)
			}
			rows = append(rows, t.controlRow(c.name))
		}
	}
	return rows, nil
}

// honest is a disk that keeps its promise.
func honest(_ *disk, n *node, m mark) { n.flush(m) }

// ofControls is of how many states of a control one is tried: that faults are
// found is soon clear.
const ofControls = 4

// controls are disks that break it.
var controls = []struct {
	name  string
	flush func(*disk, *node, mark)
}{
	{"a card that lies about flushes", (*disk).lie},
	{"directories never flushed", func(_ *disk, n *node, m mark) {
		if !n.isDir() {
			n.flush(m)
		}
	}},
}
