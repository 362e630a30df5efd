package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The end-to-end tests run the real programs as processes: postern-central,
// posternd with the simulated board, and the postern command. The broker is the
// one inside postern-central, or what POSTERN_TEST_BROKER names; see brokerKind.

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
	if built.Load() {
		if dir, _ := buildOnce(); dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

var built atomic.Bool // whether a test asked for the programs

// programs gives the folder with the three programs, built once.
func programs(t *testing.T) string {
	t.Helper()
	built.Store(true)
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// site is a central server, a broker and one panel.
type site struct {
	t                      *testing.T
	bin                    string
	dir                    string
	http                   string // host:port of central
	kind                   brokerKind
	mqtt                   string // host:port of the broker
	pki                    *pki   // of an encrypted broker
	panelMQTT, centralMQTT string // where the two find it
	natsUsers              string // in the configuration of a NATS server
	natsOwn                string // host:port where it speaks its own protocol
	key                    string // the integration API key
	socket                 string
	broker                 *process // nil with the embedded broker
	central                *process
	panel                  *process
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
	return newSiteOn(t, brokerKind(os.Getenv("POSTERN_TEST_BROKER")), nil)
}

// newSiteOn is newSite on a broker of this kind. Where between is not nil, it
// gives the address that "panel" and "central" connect to for the broker's.
func newSiteOn(t *testing.T, kind brokerKind, between func(who, broker string) string) *site {
	t.Helper()
	kind.require(t)
	dir, err := os.MkdirTemp("", "pe2e") // short: a unix socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, kind: kind, bin: programs(t), dir: dir, http: freeAddr(t), mqtt: freeAddr(t), socket: filepath.Join(dir, "s")}
	if kind == mosquittoTLS {
		s.pki = newPKI(t, filepath.Join(dir, "pki"))
	}
	s.panelMQTT, s.centralMQTT = s.mqtt, s.mqtt
	if between != nil {
		s.panelMQTT, s.centralMQTT = between("panel", s.mqtt), between("central", s.mqtt)
	}
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
` + s.panelLink() + `[api]
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
` + s.centralLink()
	if s.kind == embedded {
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
