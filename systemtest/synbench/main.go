// Command synbench measures how fast keys come from central to a panel, and what
// that costs the panel.
//
//	go run ./systemtest/synbench [-keys 100000] [-deltas 10000]
//
// The real programs run as processes over a real Mosquitto with the limits of the
// shipped configuration. Speeds are told as ratios to what bbolt takes for the same
// rows by itself, on the same file system, in the same run: such ratios hold on
// other machines, seconds don't.
//
//   - a snapshot of all keys, from the panel's first request for it until it has
//     reported that it stands there, beside one sorted bbolt transaction with the
//     rows that the panel has then;
//   - single changes, each a message of its own, beside the same rows in bbolt
//     transactions of 100 changes;
//   - a door's decision, from the card's frame to the released strike and from the
//     presented card to it, during both and while nothing else happens;
//   - bytes written for a change alone and in a snapshot. As root the panel's data
//     is on a file system of its own in a file, and the bytes are those that its
//     block device was given: journal, inodes and all. Otherwise they are what
//     /proc says that the process made the kernel write, which leaves out the file
//     system's own;
//   - anonymous memory of posternd after each kind of work and after it all. What a
//     measurement adds is removed again, so that each begins with as many keys.
//
// Each has a goal; one that was missed is told so, and fails nothing. The table
// goes to build/report/bench-sync.json too. Without Mosquitto it is skipped, but
// fails where the environment has CI=true.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"postern/systemtest/faults/site"
	"postern/systemtest/jsonfile"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "synbench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	keys := flag.Int("keys", 100_000, "in the snapshot")
	deltas := flag.Int("deltas", 10_000, "single changes")
	out := flag.String("report", "build/report/bench-sync.json", "`file` that gets the report")
	keep := flag.String("keep", "", "`folder` for the files, which stay, so that central's keys need not be made again; the default is a temporary one")
	bin := flag.String("bin", "", "`folder` of posternd and postern-central; the default builds them")
	flag.Parse()
	if _, err := site.Mosquitto(); site.Missing(err) {
		if os.Getenv("CI") == "true" {
			return err
		}
		fmt.Println("skipped:", err)
		return nil
	}
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "pb"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rep, err := measure(ctx, dir, *bin, *keys, *deltas)
	if err != nil {
		return err
	}
	rep.print(os.Stdout)
	return jsonfile.Write(*out, rep)
}
