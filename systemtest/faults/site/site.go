package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"postern/api"
)

// SystemID is the panel's.
const SystemID = "site-001"

// The panel's access levels: the first opens always, the second too, so that
// changing between them changes no decision.
const (
	LevelAll  = "ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b"
	LevelMost = "a5129f41-ed44-4f3b-95a2-bec53dd3e1e3"
)

// Options say what a site is like.
type Options struct {
	Dir      string // for its files; a unix socket is in it, so that its path must be short
	Bin      string // folder of the programs; "" has them built
	Doors    int    // each with one reader, door0 and reader0 on; the last reader knows the low 24 bits of a card alone
	PanelDir string // for the panel's data, "" is in Dir
	LogLevel string // of the panel and central, "" is info
	Trust    string // another key that the panel trusts, as trust.keys takes it; "" for none
	// Limits has the broker take the limits of the shipped configuration, and keep
	// nothing over a restart; otherwise it has its own, and keeps what it can.
	Limits bool
	// Between gives the host:port at which "panel" and "central" find the broker's;
	// nil is the broker itself.
	Between func(who, broker string) (string, error)
}

// Site is a broker, central and one panel.
type Site struct {
	o              Options
	bin            string
	Broker         *Process
	CentralProcess *Process
	Panel          *Process
	Central        *Client     // central's HTTP API
	Local          *api.Client // the panel's
	MQTT           string      // host:port of the broker
}

// missingError is of a program that is not installed.
type missingError struct{ program string }

func (e missingError) Error() string {
	return e.program + " is not installed (apt package " + e.program + ")"
}

// Missing reports whether an error is of a program that is not installed.
func Missing(err error) bool {
	_, ok := errors.AsType[missingError](err)
	return ok
}

// Mosquitto finds the broker's program, also where a user's PATH has no sbin.
func Mosquitto() (string, error) {
	for _, n := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if path, err := exec.LookPath(n); err == nil {
			return path, nil
		}
	}
	return "", missingError{"mosquitto"}
}

// New builds the programs, unless they are given, and writes their configuration;
// nothing runs yet.
func New(ctx context.Context, o Options) (*Site, error) {
	mosquitto, err := Mosquitto()
	if err != nil {
		return nil, err
	}
	s := &Site{o: o, bin: o.Bin}
	if s.o.PanelDir == "" {
		s.o.PanelDir = s.file("data")
	}
	if s.o.LogLevel == "" {
		s.o.LogLevel = "info"
	}
	if err := os.MkdirAll(s.file("mosquitto"), 0o700); err != nil {
		return nil, err
	}
	if s.bin == "" {
		s.bin = s.file("bin")
		if err := build(ctx, s.bin); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	s.MQTT = addr[1]
	s.Broker = newProcess("broker", mosquitto, s.file("broker.log"), "-c", s.file("mosquitto.conf"))
	s.CentralProcess = newProcess("central", filepath.Join(s.bin, "postern-central"), s.file("central.log"), "serve", "--config", s.file("central.toml"))
	s.Panel = newProcess("panel", filepath.Join(s.bin, "posternd"), s.file("panel.log"), "run", "--log-level", s.o.LogLevel, "--config", s.file("panel.toml"))
	s.Local = api.NewClient(s.file("s"))
	if err := s.configure(addr[0]); err != nil {
		return nil, err
	}
	var created struct{ Key string }
	if err := s.admin(ctx, &created, "keys", "create", "--integration", "test"); err != nil {
		return nil, err
	}
	s.Central = newClient(addr[0], created.Key)
	if p, err := s.PanelInfo(ctx); err == nil && p.SystemID == SystemID {
		return s, nil // the folder was used before
	}
	return s, s.admin(ctx, nil, "panels", "add", SystemID)
}

func build(ctx context.Context, bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+"/", "postern/cmd/posternd", "postern/cmd/postern-central")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all are held together, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

func (s *Site) file(name string) string { return filepath.Join(s.o.Dir, name) }

// Dir is where the site's files are, PanelDir where the panel's data.
func (s *Site) Dir() string { return s.o.Dir }

// PanelDir is where the panel's data is.
func (s *Site) PanelDir() string { return s.o.PanelDir }

// WipeBroker deletes what the broker has stored; the broker must not run.
func (s *Site) WipeBroker() error {
	err := os.Remove(s.file("mosquitto/mosquitto.db"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// admin runs postern-central beside the server and decodes what it says.
func (s *Site) admin(ctx context.Context, v any, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "postern-central"), append(args, "--json", "--config", s.file("central.toml"))...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("postern-central %v: %w\n%s", args, err, errs.String())
	}
	if v == nil || len(out) == 0 {
		return nil
	}
	return json.Unmarshal(out, v)
}

// PanelInfo is what postern-central panels list says of the panel.
type PanelInfo struct {
	SystemID         string `json:"system_id"`
	Online           bool
	Epoch            uint64
	Revision         uint64
	ReportedEpoch    uint64 `json:"reported_epoch"`
	ReportedRevision uint64 `json:"reported_revision"`
	Keys             uint64
	Alarm            string
	Snapshot         string
	LostEvents       uint64 `json:"lost_events"`
	Unsigned         bool
}

// Resync has central open a new epoch for the panel, which brings it a snapshot.
func (s *Site) Resync(ctx context.Context) error {
	return s.admin(ctx, nil, "panels", "resync", SystemID)
}

// PanelInfo asks central about the panel.
func (s *Site) PanelInfo(ctx context.Context) (p PanelInfo, err error) {
	return p, s.admin(ctx, &p, "panels", "list")
}

// startTime bounds how long each part may take until it answers.
const startTime = 2 * time.Minute

// Start starts everything and waits until central knows the panel's levels.
func (s *Site) Start(ctx context.Context) error {
	if err := errors.Join(s.Broker.Start(), s.CentralProcess.Start(), s.Panel.Start()); err != nil {
		return err
	}
	return Eventually(ctx, "central knows the panel's levels", startTime, 100*time.Millisecond, func() error {
		n, err := s.Central.Levels(ctx)
		if err == nil && n != 2 {
			err = fmt.Errorf("%d levels", n)
		}
		return err
	})
}

// WaitLocal waits until the panel answers and its store is open.
func (s *Site) WaitLocal(ctx context.Context) error {
	return Eventually(ctx, "the panel answers", startTime, 50*time.Millisecond, func() error {
		_, err := s.Local.Events(ctx, 0, 1)
		return err
	})
}

// Close stops everything.
func (s *Site) Close() {
	for _, p := range []*Process{s.Panel, s.CentralProcess, s.Broker} {
		p.Stop()
	}
}
