package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"postern/api"
)

// site is a demo's programs and files.
type site struct {
	bin    programs
	dir    string
	addr   demoOptions
	http   *http.Client
	apiKey string

	central, panel *process // nil until started
	died           chan *process
}

func newSite(bin programs, dir string, addr demoOptions) *site {
	return &site{
		bin: bin, dir: dir, addr: addr, died: make(chan *process, 2),
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// start brings the site up, and returns when all of it is ready.
func (s *site) start(ctx context.Context) error {
	steps := []func(context.Context) error{
		func(context.Context) error { return s.writeFiles() },
		s.addPanel, s.makeAPIKey, s.startCentral, s.startPanel, s.awaitLevels,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// admin runs one of postern-central's administrative commands.
func (s *site) admin(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.bin.central, append([]string{"--config", s.file("central.toml")}, args...)...)
	cmd.SysProcAttr = childAttr()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := onThread(cmd.Output)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("postern-central %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
}

// addPanel makes the panel known to central; a kept folder knows it already.
func (s *site) addPanel(ctx context.Context) error {
	out, err := s.admin(ctx, "panels", "list", "--json")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(out) {
		var panel struct {
			SystemID string `json:"system_id"`
		}
		if err := json.Unmarshal(line, &panel); err != nil {
			return fmt.Errorf("read central's panels: %w", err)
		}
		if panel.SystemID == demoSystem {
			return nil
		}
	}
	_, err = s.admin(ctx, "panels", "add", demoSystem)
	return err
}

// makeAPIKey makes an API key, or takes that of a kept folder: central tells a
// key only once.
func (s *site) makeAPIKey(ctx context.Context) error {
	b, err := os.ReadFile(s.file("api-key"))
	if err == nil {
		s.apiKey = strings.TrimSpace(string(b))
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read API key: %w", err)
	}
	out, err := s.admin(ctx, "keys", "create", "--integration", "demo", "--json")
	if err != nil {
		return err
	}
	var key struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(out, &key); err != nil || key.Key == "" {
		return errors.New("postern-central keys create gave no key")
	}
	s.apiKey = key.Key
	if err := os.WriteFile(s.file("api-key"), []byte(key.Key+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep API key: %w", err)
	}
	return nil
}

func (s *site) startCentral(ctx context.Context) (err error) {
	s.central, err = startProcess(s.died, s.file("central.log"), s.bin.central, "serve", "--config", s.file("central.toml"))
	if err != nil {
		return err
	}
	return s.until(ctx, "postern-central answers", func() bool {
		_, err := s.ask(ctx, http.MethodGet, "/healthz", "")
		return err == nil
	})
}

func (s *site) startPanel(ctx context.Context) (err error) {
	s.panel, err = startProcess(s.died, s.file("panel.log"), s.bin.posternd, "run", "--config", s.file("panel.toml"))
	if err != nil {
		return err
	}
	c := api.NewClient(s.socket())
	return s.until(ctx, "the panel is connected to central", func() bool {
		st, err := c.Status(ctx)
		return err == nil && st.Link.Connected
	})
}

// awaitLevels waits until central knows what the panel told it.
func (s *site) awaitLevels(ctx context.Context) error {
	return s.until(ctx, "central lists the panel's access levels", func() bool {
		b, err := s.ask(ctx, http.MethodPost, "/v1/accesslevels/list", "{}")
		var list struct {
			Levels []siteLevel `json:"levels"`
		}
		if err != nil || json.Unmarshal(b, &list) != nil {
			return false
		}
		for _, l := range demoLevels {
			if !slices.Contains(list.Levels, l) {
				return false
			}
		}
		return true
	})
}

// ask asks central, and gives the body of a 200.
func (s *site) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr.central+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.apiKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// until polls ok; a program that dies, or a site that is told to stop, ends it.
func (s *site) until(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case p := <-s.died:
			return p.failure()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%w: waiting until %s%s", context.Cause(ctx), what, s.lastWords())
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// wait waits for the end: ctx's, or a program's that should have gone on.
func (s *site) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case p := <-s.died:
		return p.failure()
	}
}

// stop stops the panel, then central, so that the panel can still say that it
// goes.
func (s *site) stop() error {
	var errs []error
	for _, p := range []*process{s.panel, s.central} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}

// lastWords are the ends of the programs' logs.
func (s *site) lastWords() string {
	var b strings.Builder
	for _, p := range []*process{s.central, s.panel} {
		if p != nil {
			fmt.Fprintf(&b, "; %s: %s", p.name, p.tail())
		}
	}
	return b.String()
}
