package scenarios

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
)

// perRun is how many scenarios one seed plays, one after the other.
const perRun = 50

// TestScenarios plays scenarios against the model. POSTERN_SCENARIOS says how
// many, POSTERN_SEED which run is the first. A seed alone replays its run, and
// tells what it did.
func TestScenarios(t *testing.T) {
	if s := os.Getenv(shareVar); s != "" {
		playShare(t, s)
		return
	}
	n, first := number64(t, "POSTERN_SCENARIOS", few), number64(t, "POSTERN_SEED", 1)
	if os.Getenv("POSTERN_SCENARIOS") == "" && os.Getenv("POSTERN_SEED") != "" {
		// One processor: which goroutine is next is then no matter of the machine.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		st := newStats()
		play(t, scratch(), first, false, st)
		st.Scenarios = perRun
		t.Log(st)
		return
	}
	playShared(t, first, (n+perRun-1)/perRun)
}

func number64(t *testing.T, name string, or uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return or
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestReplays plays a seed again, which must do the same to the last event: else
// a failure could not be looked into.
func TestReplays(t *testing.T) {
	if raced {
		t.Skip("the race detector has goroutines take turns at random")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	first, again := newStats(), newStats()
	if play(t, scratch(), 1, false, first) != play(t, scratch(), 1, false, again) {
		t.Errorf("seed 1 did other things when it was played again: %s and %s", first.line(), again.line())
	}
}

// play plays one run, and gives the hash of its trail where it keeps one.
func play(t *testing.T, root string, seed uint64, quiet bool, st *stats) (did string) {
	dir, err := os.MkdirTemp(root, "postern-scenarios-")
	must(t, err)
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("replay: POSTERN_SEED=%d go test -v ./systemtest/scenarios", seed)
			}
		}()
		w := newWorld(t, dir, seed, quiet, st)
		defer func() { w.stop() }()
		for range perRun {
			w.scenario()
		}
		did = fmt.Sprintf("%x", w.whole.Sum(nil))
	})
	return did
}

// scratch is where files live that no power cut has to spare.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func name(seed uint64) string { return fmt.Sprint("seed=", seed) }
