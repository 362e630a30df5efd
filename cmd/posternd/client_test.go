package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

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
