package central

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/wire"
)

// FuzzOperators sends bodies, queries and preconditions to the endpoints of
// operators and auditors: it is never our fault, and what is refused changes
// nothing.
func FuzzOperators(f *testing.F) {
	for i, body := range []string{
		`{"access_levels":[],"schedules":[]}`, `{"faults":1}`, `{"mode":"LockedDown","until":"2030-01-01T00:00:00Z"}`, `{"mode":"Scheduled","systems":["p1"]}`,
		`{"mode":"Locked","systems":[]}`, `{"approvers":["` + level(3).String() + `"],"required_votes":1}`, `{"left":"","right":null}`, "",
	} {
		f.Add(uint8(i), body, `"1-1"`, "after=9223372036854775807&limit=1000")
	}
	f.Add(uint8(7), "", "*", "actor=%00&from_date=0001-01-01T00:00:00Z")
	f.Add(uint8(7), "", "", "to_date=9999-12-31T23:59:60Z&limit=0")
	k := newKit(f)
	s := newStaff(k)
	paths := []string{
		"PUT /v1/panels/p1/policy", "POST /v1/panels/p1/policy/check", "PUT /v1/panels/p1/modes/front", "PUT /v1/modes", "PUT /v1/panels/p1/modes/*",
		"PUT /v1/levels/" + level(2).String() + "/approvers", "POST /v1/levels/exclusions", "GET /v1/audit", "GET /v1/users", "DELETE /v1/levels/exclusions",
	}
	f.Fuzz(func(t *testing.T, n uint8, body, match, raw string) {
		k.t = t
		k.logs.b.Reset()
		before := k.dump()
		method, path, _ := strings.Cut(paths[int(n)%len(paths)], " ")
		r, err := http.NewRequest(method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = raw
		r.Header = http.Header{"Authorization": {s.admin.token}, "Content-Type": {"application/json"}, "If-Match": {match}}
		got := k.serve(r)
		switch {
		case got.status >= 500:
			t.Fatalf("%s %s: got %d %s\n%s", method, path, got.status, got.body, k.logs)
		case got.status >= 400:
			got.code(t)
			if k.dump() != before {
				t.Fatal("a refused request changed the database")
			}
		case (method == "GET" || strings.HasSuffix(path, "/check")) && k.dump() != before:
			t.Fatal("reading changed the database")
		}
	})
}

// FuzzConfig reads configuration files and variables: what it takes can be
// judged, and an error says at which line.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(wholeConfig), "POSTERN_CENTRAL_RATE_LIMIT=7")
	f.Add([]byte("listen = 5\n[mqtt]\nbroker = [\n"), "POSTERN_CENTRAL_=\x00")
	f.Add([]byte("[[broker]]\nx = 1979-05-27T07:32:00Z"), "POSTERN_CENTRAL_MQTT_BROKER=ssl://u:p@b")
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		c, err := ParseConfig(text)
		if err != nil {
			line, _, _ := strings.Cut(err.Error(), ":")
			if line == "" || strings.Trim(line, "0123456789") != "" {
				t.Fatalf("%q names no line", err)
			}
			return
		}
		if err := c.Override([]string{variable}); err == nil {
			_ = c.Validate()
		}
	})
}

// FuzzPasswords reads the embedded broker's password file: each line of it is one
// user, and an error repeats no password.
func FuzzPasswords(f *testing.F) {
	f.Add([]byte("# panels\np1:secret-of-p1\n\np2:a:b\n"))
	f.Add([]byte("p1:secret-of-p1\np1:secret-of-p1"))
	f.Add([]byte(":secret-of-p1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "passwords")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := readPasswords(file)
		if err != nil {
			if strings.Contains(err.Error(), "secret-of-p1") {
				t.Errorf("an error repeats a password: %v", err)
			}
			return
		}
		for user := range users {
			if wire.CheckSystemID(user) != nil {
				t.Errorf("%q is a user", user)
			}
		}
		if len(users) > strings.Count(string(text), "\n")+1 {
			t.Errorf("%d users in %q", len(users), text)
		}
	})
}

// FuzzTopics asks the embedded broker for topics and filters in a panel's name: a
// panel writes what goes up under its own id, and reads nothing of another's.
func FuzzTopics(f *testing.F) {
	f.Add("p1", "postern/v1/p1/state", "postern/v1/+/state")
	f.Add("p1", "postern/v1/p1/../p2/state", "#")
	f.Add("p1/p2", "postern/v1/p2/keys/changes", "postern/v1/p1/#")
	f.Add("+", "postern/v1/+/state", "$SYS/#")
	f.Fuzz(func(t *testing.T, user, topic, filter string) {
		g := &brokerGuard{users: map[string][32]byte{}, central: "central"}
		own := wire.Prefix + "/" + user + "/"
		up := slices.ContainsFunc(wire.UpTopics(), func(w wire.Topic) bool { return topic == own+string(w) })
		if user == "central" {
			return
		}
		if write := g.allows(user, topic, true); write != (up && user != "") {
			t.Errorf("%q writes %q: %v", user, topic, write)
		}
		if g.allows(user, filter, false) && (user == "" || !strings.HasPrefix(filter, own)) {
			t.Errorf("%q reads %q", user, filter)
		}
		if wire.CheckSystemID(user) == nil && g.allows(user, filter, false) && matches(filter, wire.Prefix+"/other/"+string(wire.TopicState)) && user != "other" {
			t.Errorf("%q reads another's by %q", user, filter)
		}
		_ = matches(filter, topic)
	})
}
