// Command faults proves that nothing is lost between central and a panel, and
// nothing done twice, whatever is killed or cut.
//
//	go run ./systemtest/faults [-short] [-seed N] [-run kept,wiped]
//
// The real programs run as processes on one machine: Mosquitto, postern-central,
// and posternd with simulated readers and doors. Thousands of changes go in over
// central's HTTP API and thousands of cards are presented, while panel, central
// and broker are killed with SIGKILL at random moments and started again at once,
// and the links between them are cut, slowed, reset and left half open. Then the
// faults end, and everything has to come into step by itself: the digests of both
// ends, every key and its status, and every event that the panel ever committed,
// once at central.
//
// What is right is said by a small model of the keys (model.go) that knows only
// what HTTP has confirmed, by the panel's own journal, and by a witness that
// listened to the panel's commits while they happened.
//
// A second round deletes what the broker has stored whenever it is killed.
//
// It ends with one table, written to build/report/test-faults.json too, and exits
// with 1 when a check failed. The seed decides what is done and when; how the
// processes interleave is up to the machine. Without Mosquitto it is skipped, but
// fails where the environment has CI=true.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"postern/systemtest/faults/site"
	"postern/systemtest/jsonfile"
)

// plan is how much is done in a round, and in which time.
type plan struct {
	Changes int           `json:"changes"`
	Events  int           `json:"events"` // cards presented whose decision was committed
	Kills   int           `json:"kills"`  // of each of the three
	Cuts    int           `json:"cuts"`   // faults of each of the two links
	Load    time.Duration `json:"-"`      // over which all of it is spread
}

var (
	fullPlan  = plan{Changes: 10_000, Events: 10_000, Kills: 50, Cuts: 24, Load: 8 * time.Minute}
	shortPlan = plan{Changes: 500, Events: 500, Kills: 5, Cuts: 3, Load: 15 * time.Second}
)

// round is one pass through a plan.
type round struct {
	name string
	wipe bool // what the broker has stored goes at each of its kills
}

var rounds = []round{{"kept", false}, {"wiped", true}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	short := flag.Bool("short", false, "the form for CI: little of everything")
	seed := flag.Uint64("seed", 0, "decides what is done and when; 0 takes one from the clock")
	only := flag.String("run", "kept,wiped", "`rounds` to run")
	out := flag.String("report", "build/report/test-faults.json", "`file` that gets the report")
	keep := flag.String("keep", "", "`folder` for the files, which stay; the default is a temporary one")
	bin := flag.String("bin", "", "`folder` of posternd and postern-central; the default builds them")
	minutes := flag.Float64("minutes", 0, "over which the load of a round is spread, for slow machines")
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the proxies' words

	p := fullPlan
	if *short {
		p = shortPlan
	}
	if *minutes > 0 {
		p.Load = time.Duration(*minutes * float64(time.Minute))
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	if _, err := site.Mosquitto(); site.Missing(err) {
		if os.Getenv("CI") == "true" {
			return err
		}
		fmt.Println("skipped:", err)
		return nil
	}
	rep := report{Short: *short, Seed: *seed, Plan: p, LoadSeconds: p.Load.Seconds()}
	for _, r := range rounds {
		if !slices.Contains(strings.Split(*only, ","), r.name) {
			continue
		}
		dir, done, err := workDir(*keep, r.name)
		if err != nil {
			return err
		}
		fmt.Printf("round %q: %d changes, %d events, %d kills of each process, %d faults of each link, in %s; seed %d\n",
			r.name, p.Changes, p.Events, p.Kills, p.Cuts, p.Load, *seed)
		res, err := play(ctx, r, p, *seed, dir, *bin)
		done(err == nil && len(res.Faults) == 0)
		if err != nil {
			return fmt.Errorf("round %q: %w", r.name, err)
		}
		rep.Rounds = append(rep.Rounds, res)
	}
	rep.print(os.Stdout)
	if err := jsonfile.Write(*out, rep); err != nil {
		return err
	}
	return rep.verdict()
}

// workDir makes a folder; done removes it when all went well.
func workDir(keep, name string) (dir string, done func(ok bool), err error) {
	if keep != "" {
		dir = filepath.Join(keep, name)
		return dir, func(bool) {}, os.MkdirAll(dir, 0o755)
	}
	dir, err = os.MkdirTemp("", "pf") // short: the path of a unix socket is bounded
	return dir, func(ok bool) {
		if ok {
			os.RemoveAll(dir)
			return
		}
		fmt.Println("the files of the round are in", dir)
	}, err
}
