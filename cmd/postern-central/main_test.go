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
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call runs the program and gives exit code, stdout and stderr.
func call(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestAdministration(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "central.toml")
	text := fmt.Sprintf("database = %q\nsecret_key_file = %q\n", filepath.Join(dir, "c.db"), filepath.Join(dir, "key"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"access_levels":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var id string
	for _, s := range []struct {
		args        string
		code        int
		out, stderr string // regular expressions
	}{
		{"panels add abc123-001", 0, `^$`, `^$`},
		{"panels add abc123-001", 1, `^$`, `known already`},
		{"panels add bad/id", 1, `^$`, `system id`},
		{"panels list", 0, `abc123-001 +- +no +- +\d+/0 +0/0 +0 +- +-\n`, `^$`},
		{"panels list --json", 0, `^\{"system_id":"abc123-001".*\}\n$`, `^$`},
		{"levels list", 0, `^ID +NAME +SYSTEM`, `^$`},
		{"levels list --json", 0, `^$`, `^$`},
		{"levels share ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b abc123-001", 1, `^$`, `not found`},
		{"levels share front abc123-001", 2, `^$`, `uuid`},
		{"panels resync abc123-001", 0, `^$`, `^$`},
		{"panels resync nobody", 1, `^$`, `not found`},
		{"panels resync", 2, `^$`, `SYSTEM_ID`},
		{"levels drop ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b abc123-001", 1, `^$`, `not found`},
		{"levels move ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b abc123-001 x", 1, `^$`, `not found`},
		{"levels move front abc123-001 x", 2, `^$`, `uuid`},
		{"policy get abc123-001", 0, `^$`, `newest none`},
		{"policy get nobody", 1, `^$`, `not found`},
		{"policy apply abc123-001 POLICY", 0, `^\d+/1\n$`, `^$`},
		{"policy apply abc123-001 POLICY --json", 0, `^\{"epoch":\d+,"revision":2\}\n$`, `^$`},
		{"policy apply abc123-001 nowhere.json", 1, `^$`, `nowhere.json`},
		{"policy apply", 2, `^$`, `SYSTEM_ID`},
		{"policy apply abc123-001", 1, `^$`, `policy: `}, // nothing comes in
		{"policy get abc123-001", 0, `"access_levels": \[\]`, `newest \d+/2, in force on the panel none`},
		{"policy get abc123-001 --json", 0, `^\{"epoch":\d+,"revision":2,.*"policy":\{"access_levels":\[\]\}\}\n$`, `^$`},
		{"policy history abc123-001", 0, `^VERSION +APPLIED\n\d+/2 +20\d\d-.*\n\d+/1 +20\d\d-.*\n$`, `^$`},
		{"policy history abc123-001 --json", 0, `^\{"epoch":\d+,"revision":2,"created_at":"20[^}]*\}\n\{[^\n]*\n$`, `^$`},
		{"policy history nobody", 1, `^$`, `not found`},
		{"policy get abc123-001 --version 1/1", 1, `^$`, `version 1/1 of the policy .*not found`},
		{"policy get abc123-001 --version 1-1", 2, `^$`, `--version`},
		{"modes get abc123-001", 0, `^DOOR +MODE +UNTIL\n$`, `newest none`},
		{"modes set abc123-001 * LockedDown --until 2h", 0, `^\d+/1\n$`, `^$`},
		{"modes set abc123-001 front Blocked --json", 0, `"revision":2`, `^$`},
		{"modes set abc123-001 front Ajar", 1, `^$`, `unknown door mode .*Scheduled`},
		{"modes set abc123-001 front Locked --until never", 2, `^$`, `--until`},
		{"modes get abc123-001", 0, `\* +LockedDown +20\d\d-.*\nfront +Blocked +-`, `newest \d+/2`},
		{"modes get abc123-001 --json", 0, `"door":"front","mode":"Blocked"\}`, `^$`},
		{"command unlock nobody front", 1, `^$`, `not found`},
		{"command unlock abc123-001", 2, `^$`, `DOOR`},
		{"command unlock abc123-001 *", 1, `^$`, `one door`},
		{"command", 2, `Usage`, `name a command`},
		{"signing list", 2, `^$`, `signing_key_file`},
		{"signing new one --signing-key-file SIGNING", 0, `^one:[A-Za-z0-9+/]{43}=\n$`, `trust.keys`},
		{"signing new --signing-key-file SIGNING --from 24h --json", 0, `"signs":false,"trust":"20`, `^$`},
		{"signing new one --signing-key-file SIGNING", 1, `^$`, `already`},
		{"signing new --signing-key-file SIGNING --from now", 2, `^$`, `--from`},
		{"signing list --signing-key-file SIGNING", 0, `one +20.* yes +one:.*\n20.* no `, `^$`},
		{"signing retire one --signing-key-file SIGNING", 1, `^$`, `--force`},
		{"signing retire one --signing-key-file SIGNING --force", 0, `^$`, `^$`},
		{"signing retire one --signing-key-file SIGNING", 1, `^$`, `not found`},
		{"signing retire", 2, `^$`, `NAME`},
		{"keys create --integration reception --systems abc123-001,zzz", 0, `^postern_[A-Za-z0-9_-]{43}\n$`, `panel zzz is not known`},
		{"keys create --integration reception --expires 720h --json", 0, `^\{.*"key":"postern_.*\}\n$`, `^$`},
		{"keys create --integration reception --expires 2001-01-01T00:00:00Z", 2, `^$`, `time to come`},
		{"keys create", 2, `^$`, `--integration`},
		{"keys list", 0, `reception +abc123-001,zzz`, `^$`},
		{"keys list --json", 0, `"integration":"reception"`, `^$`},
		{"keys revoke ID", 0, `^$`, `^$`},
		{"keys revoke ID", 1, `^$`, `not found`},
		{"keys revoke", 2, `^$`, `ID`},
		{"keys", 2, `Usage`, `name a command`},
		{"nonsense", 2, `^$`, `unknown command`},
		{"keys list --nonsense", 2, `^$`, `nonsense`},
		{"keys list --log-level loud", 2, `^$`, `log_level`},
		{"serve", 2, `^$`, `mqtt.broker`},
		{"serve now", 2, `^$`, `unknown`},
		{"--version", 0, `^postern-central \S+\n$`, `^$`},
	} {
		named := strings.NewReplacer("SIGNING", filepath.Join(dir, "signing"), "POLICY", policy, "ID", id)
		args := append(strings.Fields(named.Replace(s.args)), "--config", conf)
		code, out, stderr := call(t, args...)
		if code != s.code || !regexp.MustCompile(s.out).MatchString(out) || !regexp.MustCompile(s.stderr).MatchString(stderr) {
			t.Errorf("%s: got %d\nstdout: %s\nstderr: %s\nwant %d, %s, %s", s.args, code, out, stderr, s.code, s.out, s.stderr)
		}
		if s.args == "keys list --json" {
			var key struct{ ID, Key string }
			first, rest, _ := strings.Cut(out, "\n") // one object a line
			if err := json.Unmarshal([]byte(first), &key); err != nil || strings.Count(rest, "\n") != 1 || key.Key != "" {
				t.Fatalf("keys: got %s, %v", out, err)
			}
			id = key.ID
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "central.toml")
	if err := os.WriteFile(conf, []byte("\ndatabse = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, "panels", "list", "--config", conf); code != 2 || !strings.Contains(stderr, conf+":2: databse") {
		t.Errorf("got %d %s, want 2 and file:line", code, stderr)
	}
	if code, _, stderr := call(t, "panels", "list"); code != 2 || !strings.Contains(stderr, "database: is required") {
		t.Errorf("no configuration: got %d %s", code, stderr)
	}
	if code, _, stderr := call(t, "panels", "list", "--database", "/nonexistent/x.db", "--secret-key-file", "/nonexistent/key"); code != 1 || !strings.Contains(stderr, "/nonexistent/x.db") {
		t.Errorf("no such directory: got %d %s", code, stderr)
	}
}

// stderrOf is a stderr that can be read while the program writes.
type stderrOf struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *stderrOf) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *stderrOf) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var address = regexp.MustCompile(`msg=serving http=(\S+) broker=(\S+)`)

func TestServe(t *testing.T) {
	dir := t.TempDir()
	common := []string{"--database", filepath.Join(dir, "c.db"), "--secret-key-file", filepath.Join(dir, "key")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	var logs stderrOf
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"}, common...), &out, &logs)
	}()
	for end := time.Now().Add(20 * time.Second); !address.MatchString(logs.String()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not serving:\n%s", &logs)
		}
	}
	at := address.FindStringSubmatch(logs.String())
	// A command beside it, and a call with the key that it gave.
	code, secret, stderr := call(t, append([]string{"keys", "create", "--integration", "x"}, common...)...)
	if code != 0 {
		t.Fatal(stderr)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at[1]+"/v1/accesslevels/list", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(secret))
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != 200 || string(body) != `{"levels":[]}`+"\n" {
		t.Errorf("got %d %s, %v", res.StatusCode, body, err)
	}
	// The same address again is an error of its own.
	code, _, stderr = call(t, append([]string{"serve", "--listen", at[1], "--broker-listen", "127.0.0.1:0"}, common...)...)
	if code != 1 || !strings.Contains(stderr, "address already in use") {
		t.Errorf("the same address: got %d %s", code, stderr)
	}
	cancel()
	if code := <-done; code != 0 || out.Len() != 0 {
		t.Errorf("stop: got %d, stdout %q\n%s", code, &out, &logs)
	}
	if strings.Contains(logs.String(), strings.TrimSpace(secret)) {
		t.Error("the log holds an API key")
	}
}

// TestRotate: the new key is printed, and only it is left.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	at := func(args ...string) (int, string, string) {
		return call(t, append([]string{"--database", filepath.Join(dir, "c.db"), "--secret-key-file", filepath.Join(dir, "key")}, args...)...)
	}
	at("keys", "create", "--integration", "x")
	_, list, _ := at("keys", "list")
	id := strings.Fields(strings.Split(list, "\n")[1])[0]
	for _, c := range []struct {
		args string
		code int
		out  string // regular expression
	}{
		{"keys rotate", 2, `^$`},
		{"keys rotate nobody", 1, `^$`},
		{"keys rotate " + id + " --overlap -1h", 2, `^$`},
		{"keys rotate " + id + " --expires yesterday", 2, `^$`},
		{"keys rotate " + id + " --overlap 0", 0, `^postern_\S{43}\n$`},
		{"keys rotate " + id, 1, `^$`}, // it has ended
	} {
		code, out, errs := at(strings.Fields(c.args)...)
		if code != c.code || !regexp.MustCompile(c.out).MatchString(out) || (code != 0) != (errs != "") {
			t.Errorf("%s: got %d %q %q, want %d", c.args, code, out, errs, c.code)
		}
	}
	if _, trail, _ := at("audit"); !strings.Contains(trail, "in place of "+id) {
		t.Errorf("the trail says %s", trail)
	}
}

// TestFreshMachine: where the folders are not there yet every command says which
// one and what to do, and leaves nothing behind.
func TestFreshMachine(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	for _, c := range []struct{ database, secret string }{
		{filepath.Join(none, "c.db"), filepath.Join(none, "key")},
		{filepath.Join(dir, "c.db"), filepath.Join(none, "key")},
	} {
		for _, args := range []string{
			"panels list", "panels add p1", "keys list", "keys create --integration x", "users list", "levels list", "policy get p1", "modes site Locked",
			"audit", "migrate", "backup " + filepath.Join(dir, "b"), "serve --broker-listen 127.0.0.1:0 --listen 127.0.0.1:0",
		} {
			if args == "migrate" && !strings.HasPrefix(c.database, none) {
				continue // needs no secret
			}
			code, out, errs := call(t, append(strings.Fields(args), "--database", c.database, "--secret-key-file", c.secret)...)
			if code != 1 || out != "" || !strings.Contains(errs, "the folder "+none+" is not there") || !strings.Contains(errs, "install -d") {
				t.Errorf("%s: got %d %q %q, want it to name the folder and what to do", args, code, out, errs)
			}
		}
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	good := []string{"--database", filepath.Join(dir, "d.db"), "--secret-key-file", filepath.Join(dir, "key")}
	if code, _, errs := call(t, append(good, "panels", "add", "p1")...); code != 0 {
		t.Fatal(errs)
	}
	if code, _, errs := call(t, append(good, "backup", filepath.Join(none, "b"))...); code != 1 || !strings.Contains(errs, "the folder "+none+" is not there") {
		t.Errorf("backup: got %d %q", code, errs)
	}
}
