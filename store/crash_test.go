package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/access"
)

// crashDir is set for the child, which is this test binary run again.
const crashDir = "POSTERN_STORE_CRASH_DIR"

// crashChild applies and records without end, and prints each number once its
// commit has been acknowledged.
func crashChild() {
	o := Options{
		Dir: os.Getenv(crashDir), DeviceKey: deviceKey, BootID: testID(uint64(os.Getpid())),
		Policy: mustPolicy(4, levelA), Matchers: full, Keep: 50, Cap: 1 << 20, Decode: decodeLine,
	}
	s, rec, err := Open(context.Background(), o)
	if err != nil || len(rec.Reasons) > 0 {
		fmt.Println("fail", err, rec.Reasons)
		os.Exit(1)
	}
	go func() { _ = s.Run(context.Background()) }()
	fmt.Println("ready")
	done := make(chan string)
	go func() {
		for {
			rev := s.Position().Revision + 1
			b := access.Batch{Epoch: 1}
			for range 1 + rev%3 {
				b.Updates = append(b.Updates, put(rev, 1+rev%500, rev))
				rev++
			}
			pos, err := s.Apply(context.Background(), b)
			done <- fmt.Sprintln("revision", pos.Revision, err)
		}
	}()
	go func() {
		for {
			ev, err := s.Record(context.Background(), access.Event{Type: access.GrantedCard}, access.Event{Type: access.AccessTaken})
			if err != nil {
				done <- fmt.Sprintln("event", 0, err)
				continue
			}
			done <- fmt.Sprintln("event", ev[1].Seq, err)
		}
	}()
	for line := range done {
		os.Stdout.WriteString(line)
	}
}

// Whatever was acknowledged before a kill is there after it, and once.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts ten processes")
	}
	h := &harness{tb: t, o: testOptions(t, t.TempDir())}
	h.o.Cap = 1 << 20
	var revision, event uint64
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 10 {
		rev, ev := killedChild(t, h.o.Dir, 20+r.IntN(150))
		revision, event = max(revision, rev), max(event, ev)
		h.open()
		if len(h.rec.Reasons) > 0 {
			t.Fatalf("round %d: recovery %+v", round, h.rec)
		}
		pos := h.s.Position()
		if pos.Revision < revision {
			t.Errorf("round %d: revision %d, %d was acknowledged", round, pos.Revision, revision)
		}
		keys, err := h.s.Keys(access.ID{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var digest access.Digest
		for _, k := range keys {
			digest = digest.Add(k.Key.ID, k.Revision)
			h.wantOpening(em(k.Revision), 1+k.Revision%500)
		}
		if digest != pos.Digest {
			t.Errorf("round %d: the keys don't make the digest", round)
		}
		told := map[uint64]bool{}
		for _, row := range h.statuses() {
			for _, res := range row.Results {
				if told[res.Revision] {
					t.Errorf("round %d: revision %d is told twice", round, res.Revision)
				}
				told[res.Revision] = true
			}
		}
		if uint64(len(told)) != pos.Revision {
			t.Errorf("round %d: %d results for %d revisions", round, len(told), pos.Revision)
		}
		seqs := h.waiting()
		if uint64(len(seqs)) < event || seqs[0] != 1 || seqs[len(seqs)-1] != uint64(len(seqs)) {
			t.Errorf("round %d: %d events, %d were acknowledged", round, len(seqs), event)
		}
		h.stop()
	}
	if revision == 0 || event == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// killedChild runs a child, kills it after so many acknowledgements, and gives
// the highest numbers that it had printed by then.
func killedChild(t *testing.T, dir string, lines int) (revision, event uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	sc := bufio.NewScanner(out)
	for n := 0; sc.Scan(); n++ {
		if n == lines {
			_ = cmd.Process.Signal(syscall.SIGKILL)
		}
		line := sc.Text()
		var what, text string
		var number uint64
		if _, err := fmt.Sscan(line, &what, &number, &text); err != nil {
			if line != "ready" && n < lines {
				t.Fatalf("child: %s", line)
			}
			continue
		}
		if !strings.Contains(text, "<nil>") {
			t.Errorf("child: %s", line)
		}
		if what == "revision" {
			revision = max(revision, number)
		} else {
			event = max(event, number)
		}
	}
	_ = cmd.Wait()
	return revision, event
}
