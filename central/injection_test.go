package central

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// tries are texts that some layer or other would execute.
func tries() []string {
	return []string{
		`'; DROP TABLE keys; --`, `" OR "1"="1`, `' OR 1=1 --`, `\'; SELECT pg_sleep(9); --`, `1); DELETE FROM audit; --`, `$1`, `$$x$$`, `?`, `:name`,
		`{{.}}`, `{{printf "%s" .}}`, `${7*7}`, `#{7*7}`, `<%= 7*7 %>`, `%s%n%d%!`, `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`,
		"`id`", `$(id)`, `| id`, `../../etc/passwd`, `=cmd|' /C calc'!A0`, `\u0027`, "\u202eevil", `%27%20OR%201=1`, "‘’ OR 1=1", `*)(uid=*`,
	}
}

// TestInjection gives such texts to every parameter that takes text: what is
// stored comes back as it was sent, what is no value is refused, and nothing is
// executed.
func TestInjection(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		tables := k.counts("audit", "keys", "users", "panels", "events")
		for i, text := range tries() {
			short := string([]rune(text)[:min(len([]rune(text)), maxPersonName)])
			q := jsonText(text)
			// Stored.
			added := k.add(fmt.Sprintf(`{"key":{"identification":"EM:%d","type":"proximity"},"person":{"first_name":%s,"last_name":%[2]s}}`, 1000+i, jsonText(short)))
			if added.Person.FirstName != short || added.Person.LastName != short {
				t.Errorf("a person's name %q came back as %+v", short, added.Person)
			}
			var u User
			s.want(200, s.admin, "POST", "/v1/users", fmt.Sprintf(`{"name":%s,"domain":%[1]s}`, q), &u)
			var again User
			s.want(200, s.admin, "GET", "/v1/users/"+u.ID, "", &again)
			if again.Name != text || again.Domain != text {
				t.Errorf("a user's name %q came back as %+v", text, again)
			}
			id := s.ask(s.bea, strings.Replace(immediateBody(level(1), 1), `"maintenance"`, q, 1))
			s.want(200, s.bob, "POST", requestPath+"/"+id+"/vote", fmt.Sprintf(`{"accepted":false,"reason":%s}`, q), nil)
			if got := s.request(s.bea, id); got.Reason != text || *got.Votes[0].Reason != text {
				t.Errorf("a reason %q came back as %q and %q", text, got.Reason, *got.Votes[0].Reason)
			}
			if got := s.item(s.bea, id); got.RequesterComment.Comment != text || *got.Approvals[0].Comment != text {
				t.Errorf("a comment %q came back as %+v", text, got)
			}
			var x Exclusion
			s.want(200, s.admin, "POST", "/v1/levels/exclusions", fmt.Sprintf(`{"left":%q,"right":%q,"name":%s}`, level(1), level(2), q), &x)
			if list := s.want(200, s.admin, "GET", "/v1/levels/exclusions", "", nil); x.Name != text || !strings.Contains(list.body, q) {
				t.Errorf("a rule's name %q came back as %q", text, x.Name)
			}
			s.want(204, s.admin, "DELETE", fmt.Sprintf("/v1/levels/exclusions?left=%s&right=%s", level(1), level(2)), "", nil)
			k.send(k.secret, "/v1/accesskeys/add", `{"key":{"type":"code"}}`, "Idempotency-Key", asciiOnly(text))
			// A policy's names travel to the panel.
			policy := fmt.Sprintf(`{"access_levels":[{"id":%q,"name":%s}]}`, level(1), q)
			if r := s.callAs(s.op.token, "PUT", "/v1/panels/p1/policy", policy); r.status == 200 {
				if got := s.want(200, s.op, "GET", "/v1/panels/p1/policy", "", nil); !strings.Contains(got.body, q) {
					t.Errorf("a policy with %s came back as %s", q, got.body)
				}
			} else if r.status >= 500 {
				t.Errorf("a policy with %s: got %d %s", q, r.status, r.body)
			}
			csvName := `"` + strings.ReplaceAll(short, `"`, `""`) + `"`
			got, err := k.store.Import(t.Context(), strings.NewReader(fmt.Sprintf("identification,type,first_name,person\nEM:%d,proximity,%s,%[2]s\n", 2000+i, csvName)), ImportSpec{Integration: "main"})
			if err != nil || got.Added != 1 {
				t.Errorf("import of %q: got %+v, %v", short, got, err)
			}
			if n := k.count("SELECT COUNT(*) FROM persons WHERE first_name = $1", strings.TrimSpace(short)); n != 2 {
				t.Errorf("%d persons are named %q, want 2", n, short)
			}
			got, err = k.store.Import(t.Context(), strings.NewReader(fmt.Sprintf("identification,type,access_levels,person_id,valid_to_date\n%s,%[1]s,%[1]s,%[1]s,%[1]s\n", csvName)), ImportSpec{Integration: "main"})
			if err != nil || len(got.Faults) != 4 { // identification is not judged without a type
				t.Errorf("import of %q as all else: got %+v, %v", short, got, err)
			}
			// Looked up or compared with: refused or not found, and never our fault.
			esc := url.PathEscape(text)
			for where, r := range map[string]reply{
				"identification": k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"identification":%s,"type":"proximity"}}`, q)),
				"code":           k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"identification":%s,"type":"code"}}`, q)),
				"key type":       k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"identification":"EM:1","type":%s}}`, q)),
				"id":             k.send(k.secret, "/v1/accesskeys/status", fmt.Sprintf(`{"id":%s}`, q)),
				"removed id":     k.send(k.secret, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%s}`, q)),
				"pin":            k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"pin":%s}`, q)),
				"date":           k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"valid_to_date":%s}`, q)),
				"level":          k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"access_levels":[%s]}`, q)),
				"state":          k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"state":%s}`, q)),
				"person":         k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"code"},"person":{"id":%s}}`, q)),
				"member":         k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{%s:1}`, q)),
				"systems":        k.send(k.secret, "/v1/events/list", fmt.Sprintf(`{"systems":[%s]}`, q)),
				"from":           k.send(k.secret, "/v1/events/list", fmt.Sprintf(`{"from_date":%s}`, q)),
				"continuation":   k.send(k.secret, "/v1/events/list", fmt.Sprintf(`{"continuation_key":%s}`, q)),
				"account":        s.callAs(s.ann.token, "POST", requestPath, fmt.Sprintf(`{"account_id":%s,"type":"immediate","immediate_interval":1,"reason":"x"}`, q)),
				"request type":   s.callAs(s.ann.token, "POST", requestPath, fmt.Sprintf(`{"account_id":%q,"type":%s,"immediate_interval":1,"reason":"x"}`, level(1), q)),
				"request id":     s.callAs(s.ann.token, "GET", requestPath+"/"+esc, ""),
				"vote id":        s.callAs(s.bob.token, "POST", requestPath+"/"+esc+"/vote", `{"accepted":true}`),
				"user id":        s.callAs(s.admin.token, "GET", "/v1/users/"+esc, ""),
				"role":           s.callAs(s.admin.token, "POST", "/v1/users/"+u.ID, fmt.Sprintf(`{"roles":[%s]}`, q)),
				"card":           s.callAs(s.admin.token, "POST", "/v1/users/"+u.ID, fmt.Sprintf(`{"card":%s}`, q)),
				"token id":       s.callAs(s.admin.token, "DELETE", "/v1/users/"+u.ID+"/tokens/"+esc, ""),
				"approver":       s.callAs(s.admin.token, "PUT", "/v1/levels/"+level(2).String()+"/approvers", fmt.Sprintf(`{"approvers":[%s],"required_votes":1}`, q)),
				"level id":       s.callAs(s.admin.token, "GET", "/v1/levels/"+esc+"/approvers", ""),
				"panel id":       s.callAs(s.admin.token, "GET", "/v1/panels/"+esc, ""),
				"policy of":      s.callAs(s.admin.token, "GET", "/v1/panels/"+esc+"/policy", ""),
				"modes of":       s.callAs(s.admin.token, "GET", "/v1/panels/"+esc+"/modes", ""),
				"door":           s.callAs(s.admin.token, "POST", "/v1/panels/p1/doors/"+esc+"/unlock", "{}"),
				"mode":           s.callAs(s.admin.token, "PUT", "/v1/panels/p1/modes/front", fmt.Sprintf(`{"mode":%s}`, q)),
				"site's panels":  s.callAs(s.admin.token, "PUT", "/v1/modes", fmt.Sprintf(`{"mode":"Locked","systems":[%s]}`, q)),
				"API key":        k.send(text, "/v1/accesslevels/list", "{}"),
				"prefixed key":   k.send(apiKeyPrefix+text, "/v1/accesslevels/list", "{}"),
				"token":          s.callAs(tokenPrefix+text, "GET", "/v1/users/me", ""),
				"requested-for":  s.callAs(s.admin.token, "GET", "/access-request-status?requested-for="+url.QueryEscape(text), ""),
				"assigned-to":    s.callAs(s.admin.token, "GET", "/access-request-status?assigned-to="+url.QueryEscape(text), ""),
				"sorters":        s.callAs(s.admin.token, "GET", "/access-request-status?sorters="+url.QueryEscape(text), ""),
				"second sorter":  s.callAs(s.admin.token, "GET", "/access-request-status?sorters="+url.QueryEscape("created,"+text), ""),
				"filters":        s.callAs(s.admin.token, "GET", "/access-request-status?filters="+url.QueryEscape(text), ""),
				"filter field":   s.callAs(s.admin.token, "GET", "/access-request-status?filters="+url.QueryEscape(text+` eq "x"`), ""),
				"filter op":      s.callAs(s.admin.token, "GET", "/access-request-status?filters="+url.QueryEscape(`accountActivityItemId `+text+` "x"`), ""),
				"limit":          s.callAs(s.admin.token, "GET", "/access-request-status?limit="+url.QueryEscape(text), ""),
				"parameter":      s.callAs(s.admin.token, "GET", "/access-request-status?"+url.QueryEscape(text)+"=1", ""),
				"audit after":    s.callAs(s.admin.token, "GET", "/v1/audit?after="+url.QueryEscape(text), ""),
				"If-Match":       s.call("PUT", "/v1/panels/p1/policy", `{"access_levels":[]}`, "Authorization", s.admin.token, "If-Match", asciiOnly(text)),
			} {
				if r.status < 400 || r.status >= 500 {
					t.Errorf("%s as %s: got %d %s", text, where, r.status, r.body)
				}
				if kind := r.header.Get("Content-Type"); kind != "application/json; charset=utf-8" || r.header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(r.body, "<script") {
					t.Errorf("%s as %s is answered as %s: %s", text, where, kind, r.body)
				}
			}
			for _, op := range []string{"eq", "ne", "sw", "in"} {
				value := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
				want := 0
				if op == "ne" {
					want = len(s.itemIDs(s.admin))
				}
				if op == "in" {
					value = "(" + value + ")"
				}
				got, _ := s.items(200, s.admin, "filters="+url.QueryEscape("accountActivityItemId "+op+" "+value))
				if len(got) != want {
					t.Errorf("filter %s %s: got %d items, want %d", op, value, len(got), want)
				}
			}
			var page auditAnswer
			s.want(200, s.aud, "GET", "/v1/audit?actor="+url.QueryEscape(text), "", &page)
			if len(page.Entries) != 0 {
				t.Errorf("audit of %q: got %+v", text, page)
			}
		}
		for table, n := range k.counts("audit", "keys", "users", "panels", "events") {
			if n < tables[table] {
				t.Errorf("%s has %d rows, had %d", table, n, tables[table])
			}
		}
		if n := k.count("SELECT COUNT(*) FROM audit WHERE actor NOT IN ('admin', 'ann', 'bea', 'bob', 'op', 'main')"); n != 0 {
			t.Errorf("%d entries of the trail have other actors", n)
		}
	})
}

// asciiOnly is what of a text may be in a header.
func asciiOnly(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

func (k *kit) count(query string, args ...any) (n int) {
	k.t.Helper()
	if err := k.store.read.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

func (k *kit) counts(tables ...string) map[string]int {
	k.t.Helper()
	out := map[string]int{}
	for _, name := range tables {
		out[name] = k.count("SELECT COUNT(*) FROM " + name)
	}
	return out
}
