package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/systemtest/jsonfile"
)

// Runs are played by as many processes as there are processors, each on one
// processor: a panel's goroutines hand one another so little at a time that on
// several they would mostly wake each other up.

// shareVar names the variable that makes a test a share of another's runs.
const shareVar = "POSTERN_SCENARIOS_SHARE"

// share is the part of the runs that one process plays: every Step-th seed, from
// First on, up to End.
type share struct{ First, Step, End uint64 }

// enough is how many runs of a share may fail before it ends.
const enough = 3

// every is how many runs a share plays between two reports.
const every = 20

// playShare plays a share in this process and reports to file 3. When standard input ends, the one who asked is gone.
func playShare(t *testing.T, text string) {
	var s share
	must(t, json.Unmarshal([]byte(text), &s))
	root, err := os.MkdirTemp(scratch(), "postern-scenarios-")
	must(t, err)
	defer os.RemoveAll(root)
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, os.Interrupt, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		quit <- os.Interrupt
	}()
	go func() {
		<-quit
		_ = os.RemoveAll(root)
		os.Exit(1)
	}()
	report := json.NewEncoder(os.NewFile(3, "report"))
	st, failures := newStats(), 0
	for seed := s.First; seed < s.End && failures < enough; seed += s.Step {
		if !t.Run(name(seed), func(t *testing.T) { play(t, root, seed, true, st) }) {
			st.Failed = append(st.Failed, seed)
			failures++
		}
		st.Scenarios += perRun
		if (seed-s.First)/s.Step%every == every-1 || len(st.Failed) > 0 {
			must(t, report.Encode(st))
			st = newStats()
		}
	}
	must(t, report.Encode(st))
}

// playShared has runs played, and tells how it goes.
func playShared(t *testing.T, first, runs uint64) {
	began, n := time.Now(), uint64(min(runtime.GOMAXPROCS(0), int(runs)))
	sum, told := newStats(), began
	var mu sync.Mutex // guards sum and told
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			out, err := ask(t, share{first + i, n, first + runs}, func(st *stats) {
				mu.Lock()
				defer mu.Unlock()
				sum.add(st)
				for _, seed := range st.Failed {
					fmt.Printf("replay: POSTERN_SEED=%d go test -v ./systemtest/scenarios\n", seed)
				}
				if testing.Verbose() && time.Since(told) > 10*time.Second {
					told = time.Now()
					fmt.Printf("%8s %s\n", time.Since(began).Round(time.Second), sum.line())
				}
			})
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	t.Logf("in %s\n%s", time.Since(began).Round(time.Millisecond), sum)
	if path := os.Getenv("POSTERN_REPORT"); path != "" {
		must(t, jsonfile.Write(path, sum))
	}
	if !t.Failed() && sum.Scenarios != int(runs*perRun) {
		t.Errorf("%d scenarios were played of %d", sum.Scenarios, runs*perRun)
	}
}

// ask has another process of this test play a share; it gives what that printed.
func ask(t *testing.T, s share, tell func(*stats)) (out []byte, err error) {
	text, err := json.Marshal(s)
	must(t, err)
	reports, theirs, err := os.Pipe()
	must(t, err)
	defer reports.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestScenarios$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), shareVar+"="+string(text), "GOMAXPROCS=1", "GOGC=400")
	cmd.ExtraFiles = []*os.File{theirs}
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	heard := make(chan error, 1)
	go func() {
		for d := json.NewDecoder(reports); ; {
			st := newStats()
			if err := d.Decode(st); err != nil {
				heard <- err
				return
			}
			tell(st)
		}
	}()
	out, err = cmd.CombinedOutput()
	theirs.Close()
	if end := <-heard; !errors.Is(end, io.EOF) {
		err = errors.Join(err, end)
	}
	return out, err
}
