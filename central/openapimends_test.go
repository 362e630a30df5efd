package central

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What each API says to a parameter that it does not know, to a path that is not
// written as it is meant, and to what looks like a time, an approvers' list or a
// policy.
func TestStrictInput(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		key := "Bearer " + k.secret
		approvers := "/v1/levels/" + level(1).String() + "/approvers"
		add := func(member, value string) string {
			return fmt.Sprintf(`{"key":{"identification":"EM:7","type":"proximity"},%q:%q}`, member, value)
		}
		for _, c := range []struct {
			auth, method, path, body string
			status                   int
			says                     string
		}{
			{key, "POST", "/v1/accesskeys/add?limit=1", `{"key":{"type":"code"}}`, 400, "UnknownParameter"},
			{key, "POST", "/v1/events/list?%zz", `{}`, 400, "InvalidParameter"},
			{s.admin.token, "GET", "/v1/users/me?x=", "", 400, "UnknownParameter"},
			{s.admin.token, "GET", "/v1/panels/p1?limit=1", "", 400, "(known: none)"},
			{s.admin.token, "PUT", "/v1/modes?systems=p1", `{"mode":"LockedDown"}`, 400, "UnknownParameter"},
			{s.admin.token, "DELETE", "/v1/users/" + s.ann.id + "?id=1", "", 400, "UnknownParameter"},
			{s.ann.token, "POST", requestPath + "?limit=1", immediateBody(level(1), 1), 400, `"result":"failure"`},
			{s.ann.token, "GET", "/v3/access-request-status?page=1", "", 400, "detailCode"},
			{s.admin.token, "GET", "//v1/users", "", 404, "NotFound"},
			{s.admin.token, "GET", "/v1//users", "", 404, "NotFound"},
			{s.admin.token, "GET", "/v1/panels/../users", "", 404, "NotFound"},
			{s.admin.token, "GET", "/v1/users/.", "", 404, "NotFound"},
			{s.admin.token, "GET", "/v1/users/", "", 404, "NotFound"},
			{s.op.token, "GET", "/v1/panels/%2e%2e/modes", "", 404, "NotFound"},
			{s.op.token, "GET", "/v1/panels/p1%00/modes", "", 404, "NotFound"},
			{s.op.token, "GET", "/v1/panels/%ff", "", 404, "NotFound"},
			{s.op.token, "POST", "/v1/panels/p1%00/policy/check", somePolicy, 404, "NotFound"},
			{s.op.token, "PUT", "/v1/panels/p1%00/modes/front", `{"mode":"Locked"}`, 404, "NotFound"},
			{s.op.token, "POST", "/v1/panels/p1%00/doors/front/unlock", "", 404, "NotFound"},
			{key, "POST", "/v1/accesskeys/add", add("valid_from_date", "2026-03-01T12:00:00,5Z"), 400, "InvalidDate"},
			{key, "POST", "/v1/accesskeys/add", add("valid_from_date", "2026-03-01T1:00:00Z"), 400, "InvalidDate"},
			{key, "POST", "/v1/accesskeys/add", add("valid_to_date", "2026-03-01T12:00:00+25:00"), 400, "InvalidDate"},
			{key, "POST", "/v1/accesskeys/add", add("valid_to_date", "2026-03-01T12:00:00+24:00"), 400, "InvalidDate"},
			{key, "POST", "/v1/accesskeys/add", add("valid_to_date", "2026-03-01T12:00:00+05:60"), 400, "InvalidDate"},
			{key, "POST", "/v1/accesskeys/remove", `{"id":"` + level(1).String() + `","key":{"type":"fob"}}`, 400, "InvalidType"},
			{key, "POST", "/v1/accesskeys/remove", `{"id":"` + level(1).String() + `","key":{"type":"code","identification":"x"}}`, 400, "InvalidIdentification"},
			{s.admin.token, "PUT", approvers, "", 400, `"field":"approvers"`},
			{s.admin.token, "PUT", approvers, `{}`, 400, `"field":"approvers"`},
			{s.admin.token, "PUT", approvers, `{"approvers":null,"required_votes":0}`, 400, `"field":"approvers"`},
			{s.admin.token, "PUT", approvers, `{"approvers":[]}`, 400, `"field":"required_votes"`},
			{s.op.token, "PUT", "/v1/panels/p1/policy", `{"access_levels":[],"rules":null}`, 400, `"field":"rules"`},
			{
				s.op.token, "PUT", "/v1/panels/p1/policy", `{"access_levels":[{"id":"x","grants":[{"access_points":["a",null]}]}]}`, 400,
				`"field":"access_levels[0].grants[0].access_points[1]"`,
			},
		} {
			before := k.dump()
			if r := s.call(c.method, c.path, c.body, "Authorization", c.auth); r.status != c.status || !strings.Contains(r.body, c.says) {
				t.Errorf("%s %s %s: got %d %s, want %d %s", c.method, c.path, c.body, r.status, r.body, c.status, c.says)
			}
			if before != k.dump() {
				t.Errorf("%s %s %s changed something", c.method, c.path, c.body)
			}
		}
		if r := s.want(http.StatusOK, s.admin, "POST", "/v1/users", `{"name":"dora"}`, nil); !strings.Contains(r.body, `"roles":[]`) {
			t.Errorf("a user without roles: got %s", r.body)
		}
		for _, good := range []string{"2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123456789+05:30", "2026-03-01T12:00:00-00:00"} {
			if r := s.call("POST", "/v1/accesskeys/add", add("valid_from_date", good), "Authorization", key); r.status != 200 {
				t.Errorf("%s: got %d %s", good, r.status, r.body)
			}
		}
	})
}
