package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCommandsLeaveATrail: what a command changes is in the trail, in the name
// of an account; what it reads, and codes among its arguments, are not.
func TestCommandsLeaveATrail(t *testing.T) {
	dir := t.TempDir()
	conf, keys, policy := filepath.Join(dir, "central.toml"), filepath.Join(dir, "keys.csv"), filepath.Join(dir, "policy.json")
	for name, text := range map[string]string{
		conf:   fmt.Sprintf("database = %q\nsecret_key_file = %q\n[broker]\nlisten = \"127.0.0.1:0\"\n", filepath.Join(dir, "c.db"), filepath.Join(dir, "key")),
		keys:   "identification,type,pin\nEM:1,proximity,8642\n975318,code,\n",
		policy: `{"codes":{"enabled":false,"size":0},"access_levels":[]}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   string
		code   int
		out    string // regular expression
		action string // of the newest entry afterwards, "" for no new one
	}{
		{"check", 0, `^ok\n$`, ""},
		{"audit", 0, `^NUMBER +TIME +BY +ACTION`, ""},
		{"panels add p1", 0, `^$`, "panels add"},
		{"panels add p1", 1, `^$`, ""},
		{"panels list", 0, `p1`, ""},
		{"keys create --integration reception", 0, `^postern_`, "keys create"},
		{"policy check p1 POLICY", 0, `^$`, ""},
		{"policy check p1 KEYS", 1, `: `, ""},
		{"policy apply p1 POLICY", 0, `/1`, "policy apply"},
		{"modes site LockedDown", 0, `^p1 +\d+/1\n$`, "modes site"},
		{"modes site Ajar", 1, `^$`, ""},
		{"import KEYS --integration reception --dry-run", 0, `^would add 2 and change 0 keys\n$`, ""},
		{"import KEYS --integration reception --json", 0, `^\{"added":2,"changed":0,"faults":\[\]\}\n$`, "import"},
		{"import POLICY --integration reception", 1, `^$`, ""},
		{"import KEYS", 2, `^$`, ""},
		{"keys replace EM:1 EM:2 --integration reception", 0, `^[0-9a-f-]{36}\n$`, "keys replace"},
		{"keys replace 975318 864297 --type code --integration reception", 0, `^[0-9a-f-]{36}\n$`, "keys replace"},
		{"keys replace EM:1 EM:2 --integration reception", 1, `^$`, ""},
		{"keys adopt p1 in --integration reception", 1, `^$`, ""},
		{"users add ann", 0, `^[0-9a-f-]{36}\n$`, "users add"},
		{"migrate", 0, `^$`, ""},
		{"backup BACKUP", 0, `^$`, ""},
		{"backup BACKUP", 1, `^$`, ""},
		{"audit --since 1h --by nobody --json", 0, `^$`, ""},
		{"audit --since soon", 2, `^$`, ""},
	} {
		trail := func() string {
			_, out, _ := call(t, "audit", "--json", "--config", conf)
			return out
		}
		before := strings.Count(trail(), "\n")
		named := strings.NewReplacer("POLICY", policy, "KEYS", keys, "BACKUP", filepath.Join(dir, "backup.db"))
		code, out, stderr := call(t, append(strings.Fields(named.Replace(c.args)), "--config", conf)...)
		if code != c.code || !regexp.MustCompile(c.out).MatchString(out) {
			t.Errorf("%s: got %d\nstdout: %s\nstderr: %s\nwant %d, %s", c.args, code, out, stderr, c.code, c.out)
		}
		lines := strings.SplitAfter(trail(), "\n")
		lines = lines[:len(lines)-1]
		want := before
		if c.action != "" {
			want++
		}
		if len(lines) != want {
			t.Errorf("%s: the trail grew from %d to %d", c.args, before, len(lines))
		} else if c.action != "" && !regexp.MustCompile(`"actor_kind":"command","actor":"[^"]+".*"action":"postern-central `+c.action+`"`).MatchString(lines[len(lines)-1]) {
			t.Errorf("%s: got %s", c.args, lines[len(lines)-1])
		}
	}
	_, out, _ := call(t, "audit", "--json", "--config", conf)
	for _, secret := range []string{"975318", "864297", "8642", "postern_"} {
		if strings.Contains(out, secret) {
			t.Errorf("the trail holds %s:\n%s", secret, out)
		}
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	t.Setenv("POSTERN_CENTRAL_LOG_LEVEL", "loud")
	if code, _, stderr := call(t, "check"); code != 2 || !strings.Contains(stderr, "log_level") || !strings.Contains(stderr, "database: is required") {
		t.Errorf("got %d %s", code, stderr)
	}
	t.Setenv("POSTERN_CENTRAL_LOGLEVEL", "debug")
	if code, _, stderr := call(t, "keys", "list"); code != 2 || !strings.Contains(stderr, "POSTERN_CENTRAL_LOGLEVEL is not known") {
		t.Errorf("got %d %s", code, stderr)
	}
}
