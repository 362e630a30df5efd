package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"postern/access"
	"postern/api"
	"postern/api/apitest"
)

// leaks is the tests, with what they leave running.
type leaks struct{ *testing.M }

func (l leaks) Run() int {
	code := l.M.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	time.Local = time.UTC // what the golden lines are in
	testscript.Main(leaks{m}, map[string]func(){"postern": main})
}

// daemon is a panel behind a unix socket, as posternd has it.
type daemon struct {
	*apitest.Panel
	socket string
	stop   func()
}

func startDaemon(simulated bool) (*daemon, error) {
	dir, err := os.MkdirTemp("", "cli") // a test's own folder is too long for a socket
	if err != nil {
		return nil, err
	}
	d := &daemon{Panel: apitest.New(), socket: filepath.Join(dir, "s")}
	var sim api.Simulator
	if simulated {
		sim = apitest.Hands{Panel: d.Panel}
	}
	ln, err := api.ListenSocket(d.socket)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = api.Serve(ctx, ln, api.NewServer(d.Panel, sim, log).Socket(), log)
	}()
	d.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		_ = os.RemoveAll(dir)
	})
	return d, nil
}

type daemonKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			d, err := startDaemon(true)
			if err != nil {
				return err
			}
			env.Defer(d.stop)
			env.Values[daemonKey{}] = d
			env.Setenv("POSTERN_SOCKET", d.socket)
			env.Setenv("SOCKET", d.socket)
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"panel": panelCommand, "code": codeCommand},
	})
}

// panelCommand changes the panel: problem, disconnect, name, lockdown, forced,
// troubled, ordered, refused, wired, event, fail, stop; `panel did TEXT` checks what it did.
func panelCommand(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(daemonKey{}).(*daemon)
	change := func(f func(*api.Status)) { d.Change(f) }
	switch args[0] {
	case "problem":
		change(func(st *api.Status) { st.Problems = append(st.Problems, api.Problem{What: args[1], Do: args[2]}) })
	case "disconnect":
		change(func(st *api.Status) {
			st.Link = api.Link{Broker: "ssl://central.example:8883", LastError: "no route to host"}
			st.Journal.Unconfirmed, st.Keys.ReadOnly = 1, true
		})
	case "name":
		change(func(st *api.Status) { st.Name = args[1] + "\x1b[31m" })
	case "lockdown":
		change(func(st *api.Status) { st.Doors[1].Mode = "LockedDown" })
	case "forced":
		change(func(st *api.Status) { st.Doors[1].Alarm, st.Doors[1].Open = "DoorForcedOpen", true })
	case "troubled":
		change(func(st *api.Status) {
			st.Doors[0].Physical, st.Doors[0].REXStuck = "Fault", true
			st.Doors[1].Fire = true
		})
	case "ordered":
		change(func(st *api.Status) {
			st.Doors[0].Mode, st.Doors[0].ModeBy, st.Doors[0].ModeUntil = "LockedDown", "central", apitest.Start.Add(8*time.Hour+30*time.Minute)
			st.Doors[1].Mode, st.Doors[1].ModeBy, st.Doors[1].ModeUntil, st.Doors[1].FirstCard = "Locked", "", time.Time{}, "awaited"
		})
	case "refused":
		d.RefusePolicy(api.PolicyRefused{Epoch: 1, Revision: 8, Faults: []api.PolicyFault{
			{Path: "access_levels[0].grants[0].schedule", Message: `there is no schedule "night"`},
		}})
	case "wired":
		d.Wire()
	case "event":
		d.Append(api.Event{Type: access.Denied, Reason: "WrongPIN", Door: "lab", Credential: "0001234567890"})
	case "fail":
		d.Fail(fmt.Errorf("disk on fire"))
	case "stop":
		d.stop()
	case "did":
		if slices.Contains(d.Done(), args[1]) == neg {
			ts.Fatalf("did %q: want %t; did %q", args[1], !neg, d.Done())
		}
	default:
		ts.Fatalf("unknown panel command %q", args[0])
	}
}

// codeCommand runs a program and checks its exit code: code 2 postern …
func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, e := fmt.Sscanf(err.Error(), "exit status %d", &got); e != nil {
			ts.Fatalf("%v: %v", args[1:], err)
		}
	}
	if got != want || neg {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

// session runs the command in this process, so that its output can be read as
// it comes.
type session struct {
	t      *testing.T
	lines  chan string
	cancel context.CancelFunc
	code   chan int
	errs   *strings.Builder
}

func startSession(t *testing.T, d *daemon, args ...string) *session {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{t: t, lines: make(chan string, 100), cancel: cancel, code: make(chan int, 1), errs: new(strings.Builder)}
	before := d.Watchers()
	go func() {
		s.code <- execute(ctx, append([]string{"--socket", d.socket}, args...), lineWriter(s.lines), s.errs)
	}()
	for end := time.Now().Add(10 * time.Second); d.Watchers() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never watches")
		}
	}
	return s
}

type lineWriter chan<- string

func (w lineWriter) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		w <- strings.TrimSuffix(line, "\n")
	}
	return len(b), nil
}

func (s *session) expect(want string) {
	s.t.Helper()
	select {
	case got := <-s.lines:
		if got != want {
			s.t.Errorf("got  %q\nwant %q", got, want)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("%q never came", want)
	}
}

func (s *session) end(want int) {
	s.t.Helper()
	if got := <-s.code; got != want {
		s.t.Errorf("exit code %d, want %d; stderr: %s", got, want, s.errs)
	}
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	d, err := startDaemon(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	return d
}

func TestWatch(t *testing.T) {
	d := newDaemon(t)
	s := startSession(t, d, "watch")
	hands := apitest.Hands{Panel: d.Panel}
	if _, err := hands.Badge(t.Context(), "front", "0000000000005", ""); err != nil {
		t.Fatal(err)
	}
	s.expect("09:30:00.001  read   front         card, 40 bits: 0000 0000 0000 0000 0000 0000 0000 0000 0000 0101")
	s.expect("                                   raw40 5, identification 0000000000005")
	s.expect("09:30:00.001  event  front         unknown key, 0000000000005")
	if err := hands.Keys(t.Context(), "lab", "7"); err != nil {
		t.Fatal(err)
	}
	s.expect("09:30:00.002  read   lab           a key was pressed")
	if err := d.Unlock(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	s.expect("09:30:00.002  door   front         unlocked")
	s.cancel() // Ctrl-C
	s.end(exitDone)
}

func TestWatchWhenTheDaemonStops(t *testing.T) {
	d := newDaemon(t)
	s := startSession(t, d, "watch", "--json")
	d.Append(api.Event{Type: access.DoorForced, Door: "lab"})
	s.expect(`{"kind":"event","at":"2026-03-02T09:30:00Z","event":{"seq":3,"boot_id":"b0070000-0000-4000-8000-000000000001","at":"2026-03-02T09:30:00Z","clock":"trusted","type":301,"text":"door forced","category":"system","door":"lab"}}`)
	d.stop()
	s.end(exitUnreachable)
	want := fmt.Sprintf("postern: the daemon can't be reached: it ended the stream (socket %s); see the daemon's state with systemctl status posternd\n", d.socket)
	if got := s.errs.String(); got != want {
		t.Errorf("stderr: got %q\nwant %q", got, want)
	}
}

func TestFollow(t *testing.T) {
	d := newDaemon(t)
	s := startSession(t, d, "events", "--follow", "--limit", "1")
	s.expect("       2  2026-03-02 09:29:00  front         access granted by card, 0001234567890")
	for range 3 {
		d.Append(api.Event{Type: access.DoorForced, Door: "lab"})
	}
	for seq := 3; seq <= 5; seq++ {
		s.expect(fmt.Sprintf("%8d  2026-03-02 09:30:00  lab           door forced", seq))
	}
	s.cancel()
	s.end(exitDone)
}

func TestFollowFillsWhatWasLost(t *testing.T) {
	var out strings.Builder
	o := &options{out: &out}
	events := []api.Event{{Seq: 9, Text: "i"}, {Seq: 8, Text: "h"}, {Seq: 7, Text: "g"}}
	last, err := o.printEvents(events, 7)
	if err != nil || last != 9 {
		t.Fatalf("got %d, %v, want 9", last, err)
	}
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("printed %d events, want the 2 that are new:\n%s", got, &out)
	}
}
