package scenarios

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// perRun is how many scenarios one seed plays, one after the other.
const perRun = 50

// TestScenarios plays scenarios against the model. POSTERN_SCENARIOS says how
// many, POSTERN_SEED replays the run of one seed and tells what it did.
func TestScenarios(t *testing.T) {
	if os.Getenv("POSTERN_SCENARIOS") == "" && os.Getenv("POSTERN_SEED") == "" {
		t.Skip("POSTERN_SCENARIOS says how many; make test-sim sets it. Model and panel do not agree on all of them yet")
	}
	n, first := few, uint64(1)
	if s := os.Getenv("POSTERN_SCENARIOS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	runs := (n + perRun - 1) / perRun
	seed := os.Getenv("POSTERN_SEED")
	if seed != "" {
		first, _ = strconv.ParseUint(seed, 10, 64)
		if os.Getenv("POSTERN_SCENARIOS") == "" {
			runs = 1
		}
	}
	began, seeds := time.Now(), make(chan uint64)
	sum, done := &stats{reasons: map[string]int{}}, 0
	var mu sync.Mutex // guards sum and done
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range seeds {
				if t.Failed() {
					continue
				}
				st := &stats{reasons: map[string]int{}}
				t.Run(fmt.Sprint("seed=", s), func(t *testing.T) { play(t, s, runs > 1, st) })
				mu.Lock()
				sum.add(st)
				if done += perRun; n > 10*few && done%(200*perRun) == 0 {
					fmt.Printf("%d scenarios in %s\n", done, time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for i := range runs {
		seeds <- first + uint64(i)
	}
	close(seeds)
	wg.Wait()
	sum.tell(t, done, time.Since(began))
}

// play plays one run.
func play(t *testing.T, seed uint64, quiet bool, st *stats) {
	dir, err := os.MkdirTemp(scratch(), "scenarios-")
	must(t, err)
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("replay: POSTERN_SEED=%d go test ./systemtest/scenarios", seed)
			}
		}()
		w := newWorld(t, dir, seed, quiet, st)
		defer func() { w.stop() }()
		for range perRun {
			w.scenario()
		}
	})
}

// scratch is where files live that no power cut has to spare.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (s *stats) add(o *stats) {
	s.badges += o.badges
	s.grants += o.grants
	s.denials += o.denials
	s.events += o.events
	s.updates += o.updates
	s.restarts += o.restarts
	s.cuts += o.cuts
	for r, n := range o.reasons {
		s.reasons[r] += n
	}
}

func (s *stats) tell(t *testing.T, n int, took time.Duration) {
	t.Logf("%d scenarios in %s: %d answers, %d granted, %d denied; %d events, %d updates, %d restarts, %d power cuts at a commit",
		n, took.Round(time.Millisecond), s.badges, s.grants, s.denials, s.events, s.updates, s.restarts, s.cuts)
	for _, r := range slices.Sorted(maps.Keys(s.reasons)) {
		t.Logf("%8d %s", s.reasons[r], r)
	}
}
