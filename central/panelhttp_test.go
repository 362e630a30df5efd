package central

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const somePolicy = `{"codes":{"enabled":false,"size":0},"access_levels":[]}`

func TestPanelsOverHTTP(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.panel("p2", 0)
		var list panelsAnswer
		s.want(200, s.aud, "GET", "/v1/panels", "", &list)
		var one PanelInfo
		s.want(200, s.op, "GET", "/v1/panels/p2", "", &one)
		if len(list.Panels) != 2 || one.SystemID != "p2" || list.Panels[1].SystemID != "p2" {
			t.Errorf("got %+v and %+v", list, one)
		}
		for _, c := range []struct {
			who          human
			method, path string
			body         string
			status       int
		}{
			{s.ann, "GET", "/v1/panels", "", 403},
			{s.bob, "GET", "/v1/panels/p1", "", 403},
			{s.aud, "PUT", "/v1/panels/p1/policy", somePolicy, 403},
			{s.aud, "PUT", "/v1/panels/p1/modes/front", `{"mode":"Locked"}`, 403},
			{s.aud, "PUT", "/v1/modes", `{"mode":"LockedDown"}`, 403},
			{s.ann, "POST", "/v1/panels/p1/doors/front/unlock", "", 403},
			{s.op, "GET", "/v1/panels/p9", "", 404},
			{s.op, "GET", "/v1/panels/p9/policy", "", 404},
			{s.op, "GET", "/v1/panels/..%2fp1/policy", "", 404},
			{s.op, "POST", "/v1/panels/p9/policy/check", somePolicy, 404},
			{s.op, "PUT", "/v1/panels/p9/policy", somePolicy, 404},
			{s.op, "GET", "/v1/panels/p9/modes", "", 404},
			{s.op, "PUT", "/v1/panels/p9/modes/front", `{"mode":"Locked"}`, 404},
			{s.op, "PUT", "/v1/panels/p1/modes/back", `{"mode":"Locked"}`, 404},
			{s.op, "PUT", "/v1/panels/p1/modes/front", `{"mode":"Ajar"}`, 400},
			{s.op, "PUT", "/v1/panels/p1/modes/front", `{"mode":"Locked","systems":["p2"]}`, 400},
			{s.op, "PUT", "/v1/panels/p1/modes/front", `{"mode":"Locked","until":"2001-01-01T00:00:00Z"}`, 400},
			{s.op, "PUT", "/v1/modes", `{"mode":"LockedDown","systems":["p1","p9"]}`, 404},
			{s.op, "PUT", "/v1/modes", `{"mode":"LockedDown","systems":[]}`, 400},
			{s.op, "POST", "/v1/panels/p1/doors/back/unlock", "", 404},
			{s.op, "POST", "/v1/panels/p1/doors/*/unlock", "", 404},
			{s.op, "POST", "/v1/panels/p9/doors/front/unlock", "", 404},
			{s.op, "DELETE", "/v1/panels/p1", "", 405},
			{s.op, "PUT", "/v1/panels/p1/policy", `{"levels":[]}`, 400},
			{s.op, "PUT", "/v1/panels/p1/policy", `[]`, 400},
			{s.op, "PUT", "/v1/panels/p1/policy", `{"access_levels":` + strings.Repeat("[", 5000), 400},
		} {
			before := k.dump()
			if r := s.callAs(c.who.token, c.method, c.path, c.body); r.status != c.status {
				t.Errorf("%s %s %.60s: got %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
			} else if d := cmp.Diff(before, k.dump()); d != "" {
				t.Errorf("%s %s: the database changed:\n%s", c.method, c.path, d)
			}
		}
	})
}

func TestPolicyOverHTTP(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		const path = "/v1/panels/p1/policy"
		put := func(want int, body string, header ...string) reply {
			t.Helper()
			r := s.call("PUT", path, body, append(header, "Authorization", s.op.token)...)
			if r.status != want {
				t.Fatalf("got %d %s, want %d", r.status, r.body, want)
			}
			return r
		}
		first := s.want(200, s.op, "GET", path, "", nil)
		put(412, somePolicy, "If-Match", "*")
		none := first.header.Get("ETag")
		one := put(200, somePolicy, "If-None-Match", "*").header.Get("ETag")
		put(412, somePolicy, "If-None-Match", "*")
		put(412, somePolicy, "If-Match", none)
		put(412, somePolicy, "If-Match", "nonsense")
		two := put(200, strings.Replace(somePolicy, "}", `}, "time_zone":"UTC"`, 1), "If-Match", one).header.Get("ETag")
		put(412, somePolicy, "If-Match", one)
		three := put(200, somePolicy).header.Get("ETag")
		put(200, somePolicy, "If-Match", "*")
		if one == two || two == three {
			t.Errorf("ETags %s %s %s do not differ", one, two, three)
		}
		// As much as a policy may have, which is more than other bodies.
		large := strings.Replace(somePolicy, "[]", `[{"id":"`+level(1).String()+`","name":"`+strings.Repeat("x", 2*maxBody)+`"}]`, 1)
		put(200, large)
		put(413, strings.Replace(somePolicy, "[]", `[{"id":"`+level(1).String()+`","name":"`+strings.Repeat("x", MaxDocument)+`"}]`, 1))

		var c PolicyCheck
		before := k.dump()
		bad := `{"codes":{"enabled":false,"size":0},"access_levels":[{"id":"nobody","name":"x"}]}`
		s.want(200, s.aud, "POST", path+"/check", bad, &c)
		if c.Complete {
			t.Error("the panel has announced no access points, and the check calls itself complete")
		}
		s.want(200, s.aud, "POST", path+"/check", `{"levels":[]}`, &c)
		if len(c.Faults) != 1 || c.Faults[0].Path != "levels" {
			t.Errorf("got %+v", c)
		}
		if before != k.dump() {
			t.Error("a check changed something")
		}
	})
}

func TestModesOverHTTP(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.panel("p2", 0)
		doors := func(system string) string {
			var m ModesInfo
			s.want(200, s.aud, "GET", "/v1/panels/"+system+"/modes", "", &m)
			var out []string
			for _, d := range m.Doors {
				out = append(out, d.Door+"="+d.Mode)
			}
			return strings.Join(out, " ")
		}
		s.want(200, s.op, "PUT", "/v1/panels/p1/modes/front", `{"mode":"Unlocked","until":"2030-01-01T00:00:00Z"}`, nil)
		s.want(200, s.op, "PUT", "/v1/panels/p2/modes/*", `{"mode":"Blocked"}`, nil)
		if doors("p1") != "front=Unlocked" || doors("p2") != "*=Blocked" {
			t.Errorf("got %s and %s", doors("p1"), doors("p2"))
		}
		var site siteModeAnswer
		s.want(200, s.admin, "PUT", "/v1/modes", `{"mode":"LockedDown"}`, &site)
		if len(site.Panels) != 2 || doors("p1") != "*=LockedDown" || doors("p2") != "*=LockedDown" {
			t.Errorf("lockdown of all: got %+v, %s and %s", site, doors("p1"), doors("p2"))
		}
		s.want(200, s.admin, "PUT", "/v1/modes", `{"mode":"Scheduled","systems":["p2"]}`, nil)
		if doors("p1") != "*=LockedDown" || doors("p2") != "" {
			t.Errorf("end for one: got %s and %s", doors("p1"), doors("p2"))
		}
	})
}

// TestUnlockOverHTTP: the link takes the command at once, as the API wakes it.
func TestUnlockOverHTTP(t *testing.T) {
	k := newKit(t)
	s := newStaff(k)
	for outcome, want := range map[string]int{CommandDone: 200, CommandRefused: 409, CommandExpired: 504} {
		woken := 0
		k.api = NewAPI(k.store, APIOptions{Wake: func() {
			woken++
			if _, err := k.store.write.ExecContext(t.Context(), "UPDATE commands SET state = $1, error = 'because'", outcome); err != nil {
				t.Error(err)
			}
		}})
		r := s.callAs(s.op.token, "POST", "/v1/panels/p1/doors/front/unlock", "{}")
		if r.status != want || woken != 1 || want != 200 && !strings.Contains(r.body, "because") {
			t.Errorf("%s: got %d %s, woken %d times", outcome, r.status, r.body, woken)
		}
	}
}

func TestAuditTrail(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		last := func() AuditEntry {
			t.Helper()
			got, err := k.store.Audit(t.Context(), AuditFilter{Newest: true, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				return AuditEntry{}
			}
			return got[0]
		}
		count := func() int64 { return last().Sequence }
		key := k.add(`{"key":{"identification":"73519","type":"code"},"pin":"8642"}`)
		var all strings.Builder
		for _, c := range []struct {
			token, method, path, body string
			kind, actor               string
			says                      string // in subject or detail
		}{
			{"Bearer " + k.secret, "POST", "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"9753"}`, key.ID), ActorIntegration, "main", key.ID.String()},
			{"Bearer " + k.secret, "POST", "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, key.ID), ActorIntegration, "main", key.ID.String()},
			{s.op.token, "PUT", "/v1/panels/p1/policy", somePolicy, ActorUser, "op", "panel p1 policy "},
			{s.op.token, "PUT", "/v1/panels/p1/modes/front", `{"mode":"LockedDown"}`, ActorUser, "op", "panel p1 door front LockedDown"},
			{s.op.token, "PUT", "/v1/modes", `{"mode":"LockedDown"}`, ActorUser, "op", "panel p1 door * LockedDown"},
			{s.admin.token, "POST", "/v1/users", `{"name":"dora"}`, ActorUser, "admin", "user "},
			{s.admin.token, "POST", "/v1/users/" + s.bea.id, `{"roles":["auditor"]}`, ActorUser, "admin", s.bea.id},
			{s.admin.token, "POST", "/v1/users/" + s.bea.id + "/tokens", `{}`, ActorUser, "admin", s.bea.id},
			{s.admin.token, "PUT", "/v1/levels/" + level(2).String() + "/approvers", fmt.Sprintf(`{"approvers":[%q],"required_votes":1}`, s.bob.id), ActorUser, "admin", level(2).String()},
			{s.ann.token, "POST", "/api/v2/access_request", `{"account_id":"` + level(1).String() + `","type":"immediate","reason":"r","immediate_interval":2}`, ActorUser, "ann", "access request "},
			{s.admin.token, "DELETE", "/v1/users/" + s.bea.id, "", ActorUser, "admin", s.bea.id},
		} {
			before := count()
			r := s.call(c.method, c.path, c.body, "Authorization", c.token)
			got := last()
			fmt.Fprintln(&all, got)
			if r.status/100 != 2 || got.Sequence != before+1 || got.ActorKind != c.kind || got.Actor != c.actor || !strings.HasPrefix(got.Action, c.method+" /") ||
				!strings.Contains(got.Subject+" "+got.Detail, c.says) || !got.At.Equal(k.clock.now()) {
				t.Errorf("%s %s: got %d %s and %+v", c.method, c.path, r.status, r.body, got)
			}
		}
		for _, secret := range []string{"73519", "8642", "9753", "postern_"} {
			if strings.Contains(all.String(), secret) {
				t.Errorf("the trail holds the secret %s", secret)
			}
		}
		// What only reads, and what is refused, is not in it.
		before := count()
		s.want(200, s.aud, "GET", "/v1/users", "", nil)
		k.post(200, "/v1/accesslevels/list", "{}")
		s.want(403, s.ann, "POST", "/v1/users", `{"name":"eve"}`, nil)
		s.want(400, s.admin, "POST", "/v1/users", `{"name":""}`, nil)
		if count() != before {
			t.Errorf("got %+v", last())
		}
		// Who may read it, and how.
		var page auditAnswer
		s.want(200, s.aud, "GET", "/v1/audit?limit=2", "", &page)
		if len(page.Entries) != 2 || !page.HasMore {
			t.Errorf("first page: got %+v", page)
		}
		s.want(200, s.admin, "GET", fmt.Sprintf("/v1/audit?after=%d&limit=1000", page.Entries[1].Sequence), "", &page)
		if page.HasMore || page.Entries[len(page.Entries)-1].Sequence != before || page.Entries[0].Sequence != 3 {
			t.Errorf("the rest: got %+v", page)
		}
		// A page that is the last and full says so, and what is asked for goes
		// beyond what 32 bits hold.
		s.want(200, s.aud, "GET", fmt.Sprintf("/v1/audit?after=%d&limit=3", before-3), "", &page)
		if len(page.Entries) != 3 || page.HasMore {
			t.Errorf("a full last page: got %+v", page)
		}
		s.want(200, s.aud, "GET", "/v1/audit?after=9223372036854775807", "", &page)
		if len(page.Entries) != 0 || page.HasMore {
			t.Errorf("after all: got %+v", page)
		}
		s.want(200, s.aud, "GET", "/v1/audit?actor=op", "", &page)
		if len(page.Entries) != 3 {
			t.Errorf("of op: got %+v", page)
		}
		s.want(200, s.aud, "GET", "/v1/audit?from_date=2030-01-01T00:00:00Z", "", &page)
		if len(page.Entries) != 0 {
			t.Errorf("to come: got %+v", page)
		}
		s.want(403, s.op, "GET", "/v1/audit", "", nil)
		for _, bad := range []string{"limit=0", "limit=x", "limit=1001", "after=-1", "after=9223372036854775808", "from_date=yesterday", "who=me", "limit=1&limit=2"} {
			s.want(400, s.aud, "GET", "/v1/audit?"+bad, "", nil)
		}
		// The database itself holds on to it.
		for _, text := range []string{"UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"} {
			if _, err := k.store.write.ExecContext(t.Context(), text); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: got %v", text, err)
			}
		}
	})
}

// TestAuditPages: pages of the most entries say rightly whether more follow.
func TestAuditPages(t *testing.T) {
	k := newKit(t)
	s := newStaff(k)
	have, err := k.store.Audit(t.Context(), AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	// As many as make two full pages.
	err = k.store.update(t.Context(), func(x *tx) error {
		for n := range 2*MaxAudit - len(have) {
			const one = "INSERT INTO audit (sequence_id, at, actor_kind, actor, actor_id, action, subject, detail) VALUES ($1, 1, 'user', 'x', '', 'y', '', '')"
			if err := x.exec(t.Context(), one, int64(1)<<40+int64(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after, sizes := int64(0), []int{}
	for more := true; more; {
		var page auditAnswer
		s.want(200, s.aud, "GET", fmt.Sprintf("/v1/audit?after=%d", after), "", &page)
		if more = page.HasMore; len(page.Entries) > 0 {
			after = page.Entries[len(page.Entries)-1].Sequence
		}
		sizes = append(sizes, len(page.Entries))
	}
	if !slices.Equal(sizes, []int{MaxAudit, MaxAudit}) {
		t.Errorf("got pages of %v, want two full ones and no empty one", sizes)
	}
}

// TestAuditWithItsDeed: an entry and what it tells of are in one transaction.
func TestAuditWithItsDeed(t *testing.T) {
	k := newKit(t)
	if _, err := k.store.write.ExecContext(t.Context(), "ALTER TABLE audit RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if r := k.send(k.secret, "/v1/accesskeys/add", `{"key":{"type":"code"}}`); r.status != http.StatusInternalServerError {
		t.Errorf("without a trail: got %d", r.status)
	}
	var n int
	if err := k.store.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM keys").Scan(&n); err != nil || n != 0 {
		t.Errorf("a key was added that no entry tells of: %d, %v", n, err)
	}
}
