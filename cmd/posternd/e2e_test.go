package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The end-to-end tests run the real programs as processes: postern-central,
// posternd with the simulated board, and the postern command. The broker is the
// one inside postern-central, or a real Mosquitto with
// POSTERN_TEST_BROKER=mosquitto (make test-broker).

// patience bounds every wait; nothing is asserted about how long things take.
const patience = 60 * time.Second

const (
	levelAlways = "ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b"
	levelOffice = "a5129f41-ed44-4f3b-95a2-bec53dd3e1e3"
)

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "postern-bin-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "postern/cmd/...")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build programs: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := buildOnce(); dir != "" && built {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

var built bool // whether a test asked for the programs

// programs gives the folder with the three programs, built once.
func programs(t *testing.T) string {
	t.Helper()
	built = true
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// site is a central server, a broker and one panel.
type site struct {
	t       *testing.T
	bin     string
	dir     string
	http    string // host:port of central
	mqtt    string // host:port of the broker
	key     string // the integration API key
	socket  string
	broker  *process // Mosquitto, nil with the embedded broker
	central *process
	panel   *process
}

// process is a program that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

func startProcess(t *testing.T, log, name string, args ...string) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, done: make(chan struct{}), log: log}
	go func() { _ = cmd.Wait(); close(p.done) }()
	return p
}

func (p *process) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s does not end on %v", p.cmd.Path, sig)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newSite brings a whole site up.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "pe2e") // short: a unix socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, bin: programs(t), dir: dir, http: freeAddr(t), mqtt: freeAddr(t), socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		s.panel.end(t, syscall.SIGTERM)
		s.central.end(t, syscall.SIGTERM)
		s.broker.end(t, syscall.SIGTERM)
		if t.Failed() || os.Getenv("POSTERN_TEST_LOGS") != "" {
			for _, f := range []string{"panel.log", "central.log", "broker.log"} {
				b, _ := os.ReadFile(filepath.Join(dir, f))
				t.Logf("%s:\n%s", f, tail(string(b), 40))
			}
		}
		s.noSecretsInLogs()
		os.RemoveAll(dir)
	})
	s.write("panel.toml", s.panelConfig())
	s.write("central.toml", s.centralConfig())
	s.admin("panels", "add", "site-001")
	var created struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(s.admin("keys", "create", "--integration", "test", "--json"), &created); err != nil || created.Key == "" {
		t.Fatalf("keys create: %v, %q", err, created.Key)
	}
	s.key = created.Key
	s.startBroker()
	s.startCentral()
	s.startPanel()
	s.eventually("central knows the levels", func() error {
		var got struct{ Levels []struct{ ID string } }
		if err := s.post("/v1/accesslevels/list", `{}`, 200, &got); err != nil {
			return err
		}
		if len(got.Levels) != 2 {
			return fmt.Errorf("%d levels", len(got.Levels))
		}
		return nil
	})
	return s
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (s *site) mosquitto() bool { return os.Getenv("POSTERN_TEST_BROKER") == "mosquitto" }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) panelConfig() string {
	return `[panel]
system_id = "site-001"
data_dir = "` + s.dir + `/data"
[mqtt]
broker = "tcp://` + s.mqtt + `"
[api]
socket = "` + s.socket + `"
[clock]
source = "system"
[board]
driver = "simulated"
[codes]
enabled = true
size = 6
[[reader]]
id = "front"
technology = "EM"
formats = ["raw40"]
keypad = "4bit"
tamper = "t1"
[[reader]]
id = "lab"
technology = "EM"
formats = ["raw40"]
keypad = "8bit"
[[reader]]
id = "gate"
technology = "EM"
match = "low24"
formats = ["H10301"]
[[door]]
id = "front"
lock = "strike"
on_panel_dead = "locked"
contact = "c1"
rex = "r1"
[[door]]
id = "lab"
lock = "strike"
on_panel_dead = "locked"
fire_release = true
[[input]]
id = "fire"
kind = "fire"
line = "i1"
[[output]]
id = "bell"
line = "o1"
[[access_point]]
id = "front"
door = "front"
reader = "front"
mode = "card_or_code"
[[access_point]]
id = "lab"
door = "lab"
reader = "lab"
mode = "card_and_pin"
[[access_point]]
id = "gate"
door = "front"
reader = "gate"
mode = "card"
[[schedule]]
id = "office"
intervals = [{ days = ["mon", "tue", "wed", "thu", "fri"], from = "08:00", to = "17:00" }]
[[access_level]]
id = "` + levelAlways + `"
name = "always"
grants = [{ access_points = ["front", "lab", "gate"], schedule = "always" }]
[[access_level]]
id = "` + levelOffice + `"
name = "office hours"
grants = [{ access_points = ["front"], schedule = "office" }]
`
}

func (s *site) centralConfig() string {
	text := `listen = "` + s.http + `"
database = "` + s.dir + `/central.db"
secret_key_file = "` + s.dir + `/secret.key"
[mqtt]
broker = "tcp://` + s.mqtt + `"
`
	if !s.mosquitto() {
		text += "[broker]\nlisten = \"" + s.mqtt + "\"\n"
	}
	return text
}

func (s *site) admin(args ...string) []byte {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "postern-central"), append([]string{"--config", filepath.Join(s.dir, "central.toml")}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("postern-central %v: %v\n%s", args, err, errs.String())
	}
	return out
}

func (s *site) startBroker() {
	if !s.mosquitto() {
		return
	}
	s.t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		s.t.Fatal("POSTERN_TEST_BROKER=mosquitto, and Mosquitto is not installed (apt package mosquitto)")
	}
	host, port, _ := net.SplitHostPort(s.mqtt)
	s.write("mosquitto.conf", fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence false\n", port, host))
	s.broker = startProcess(s.t, filepath.Join(s.dir, "broker.log"), path, "-c", filepath.Join(s.dir, "mosquitto.conf"))
	s.eventually("Mosquitto listens", func() error {
		c, err := net.Dial("tcp", s.mqtt)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (s *site) startCentral() {
	s.t.Helper()
	s.central = startProcess(s.t, filepath.Join(s.dir, "central.log"), filepath.Join(s.bin, "postern-central"),
		"serve", "--config", filepath.Join(s.dir, "central.toml"))
	s.eventually("central answers", func() error {
		resp, err := http.Get("http://" + s.http + "/healthz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

func (s *site) startPanel() {
	s.t.Helper()
	s.panel = startProcess(s.t, filepath.Join(s.dir, "panel.log"), filepath.Join(s.bin, "posternd"),
		"run", "--log-level", "debug", "--config", filepath.Join(s.dir, "panel.toml"))
	s.eventually("the panel answers", func() error {
		_, code := s.cli("status")
		if code != 0 {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	})
	s.eventually("the store is open", func() error {
		if out, code := s.cli("keys", "list"); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
}

// cli runs the postern command with --json and gives its output and exit code.
func (s *site) cli(args ...string) (string, int) {
	cmd := exec.Command(filepath.Join(s.bin, "postern"), append([]string{"--socket", s.socket, "--json"}, args...)...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}

func (s *site) do(args ...string) string {
	s.t.Helper()
	out, code := s.cli(args...)
	if code != 0 {
		s.t.Fatalf("postern %v: exit code %d: %s", args, code, out)
	}
	return out
}

func (s *site) eventually(what string, ok func() error) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	var err error
	for time.Now().Before(deadline) {
		if err = ok(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("%s: %v", what, err)
}

// post sends a request and decodes the answer into v, which may be nil.
func (s *site) post(path, body string, want int, v any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %s: %s", path, resp.Status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// added is what central answers to an add.
type added struct {
	ID  string
	Key struct{ Identification, Type string }
}

func (s *site) add(body string) added {
	s.t.Helper()
	var a added
	if err := s.post("/v1/accesskeys/add", body, 200, &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *site) addCard(identification string) added {
	s.t.Helper()
	return s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"access_levels":[%q]}`, identification, levelAlways))
}

func (s *site) remove(id string) {
	s.t.Helper()
	if err := s.post("/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id), 204, nil); err != nil {
		s.t.Fatal(err)
	}
}

type status struct {
	Status  string
	Applied []struct {
		SystemID string `json:"system_id"`
	} `json:"systems_where_applied"`
	Failed []struct {
		SystemID  string `json:"system_id"`
		ErrorType string `json:"error_type"`
	} `json:"systems_where_failed"`
}

// wantStatus waits until the latest change of a key has come to a status.
func (s *site) wantStatus(id, want string) status {
	s.t.Helper()
	var st status
	s.eventually("status of "+id, func() error {
		if err := s.post("/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id), 200, &st); err != nil {
			return err
		}
		if st.Status != want {
			return fmt.Errorf("status %s, want %s", st.Status, want)
		}
		return nil
	})
	return st
}

// event is an event as central lists it.
type event struct {
	Sequence uint64 `json:"sequence_id"`
	Type     int
	KeyID    string `json:"key_id"`
	Door     string `json:"door_name"`
	Reason   string
}

// events gives every event of central's list, oldest first.
func (s *site) events() ([]event, error) {
	var all []event
	next := ""
	for {
		body := `{"include_system":false}`
		if next != "" {
			body = fmt.Sprintf(`{"continuation_key":%q}`, next)
		}
		var page struct {
			Events  []event
			HasMore bool   `json:"has_more"`
			Next    string `json:"continuation_key"`
		}
		if err := s.post("/v1/events/list", body, 200, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if !page.HasMore {
			return all, nil
		}
		next = page.Next
	}
}

// wantEvents waits until central's list has n access events in all, and checks
// the type of the last.
func (s *site) wantEvents(n, lastType int) []event {
	s.t.Helper()
	var got []event
	s.eventually(fmt.Sprintf("%d events", n), func() error {
		var err error
		if got, err = s.events(); err != nil {
			return err
		}
		if len(got) < n {
			return fmt.Errorf("%d events: %+v", len(got), got)
		}
		return nil
	})
	if len(got) != n || got[n-1].Type != lastType {
		s.t.Fatalf("events %+v, want %d with type %d last", got, n, lastType)
	}
	return got
}

// localEvents gives the panel's own journal of access events, oldest first, as
// the command prints it.
func (s *site) localEvents() []int {
	s.t.Helper()
	var types []int
	for line := range strings.Lines(s.do("events", "--limit", "1000")) {
		var e struct{ Type int }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("event %q: %v", line, err)
		}
		if e.Type < 300 {
			types = append(types, e.Type)
		}
	}
	return types
}

// badge presents a card and waits until the panel has journalled one more event.
func (s *site) badge(reader, identification string, wantType int) {
	s.t.Helper()
	before := len(s.localEvents())
	s.do("sim", "badge", "--reader", reader, "--identification", identification)
	s.wantLocal(before+1, wantType)
}

func (s *site) wantLocal(n, lastType int) {
	s.t.Helper()
	var got []int
	s.eventually("the panel's journal", func() error {
		if got = s.localEvents(); len(got) < n {
			return fmt.Errorf("%d events %v, want %d", len(got), got, n)
		}
		return nil
	})
	if len(got) != n || got[n-1] != lastType {
		s.t.Fatalf("the panel's events %v, want %d with type %d last", got, n, lastType)
	}
}

func (s *site) released(door string) bool {
	s.t.Helper()
	for line := range strings.Lines(s.do("doors")) {
		var d struct {
			ID       string
			Released bool
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			s.t.Fatalf("door %q: %v", line, err)
		}
		if d.ID == door {
			return d.Released
		}
	}
	s.t.Fatalf("no door %s", door)
	return false
}

// noSecretsInLogs looks for what the tests planted.
func (s *site) noSecretsInLogs() {
	for _, f := range []string{"panel.log", "central.log"} {
		b, _ := os.ReadFile(filepath.Join(s.dir, f))
		for _, secret := range []string{"482915", `"7301"`, "=7301", s.key} {
			if secret != "" && bytes.Contains(b, []byte(secret)) {
				s.t.Errorf("%s holds the secret %q", f, secret)
			}
		}
	}
}
