package central

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPolicyHistory: what was applied can be read again, by those who may, and
// applied again.
func TestPolicyHistory(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		const path = "/v1/panels/p1/policy/history"
		var got policyHistoryAnswer
		if r := s.want(200, s.op, "GET", path, "", &got); len(got.Versions) != 0 || !strings.Contains(r.body, `"versions":[]`) {
			t.Errorf("before the first: got %s", r.body)
		}
		text := func(n int) string {
			return fmt.Sprintf(`{"access_levels":[{"id":"%08x-0000-4000-8000-000000000000","name":"n"}]}`, n)
		}
		for n := range 3 {
			s.want(200, s.op, "PUT", "/v1/panels/p1/policy", text(n), nil)
			s.clock.pass(time.Hour)
		}
		s.want(200, s.aud, "GET", path, "", &got)
		if len(got.Versions) != 3 || got.Versions[0].Revision != 3 || got.Versions[2].Revision != 1 ||
			got.Versions[1].Created != s.clock.now().Add(-2*time.Hour) || got.Versions[0].Policy != nil {
			t.Fatalf("got %+v", got)
		}
		first := got.Versions[2]
		at := fmt.Sprintf("%s/%d-%d", path, first.Epoch, first.Revision)
		var one PolicyVersion
		s.want(200, s.admin, "GET", at, "", &one)
		if string(one.Policy) != text(0) || one.Version != first.Version || one.Created != first.Created {
			t.Errorf("got %+v, want %s", one, text(0))
		}
		s.want(200, s.op, "PUT", "/v1/panels/p1/policy", string(one.Policy), nil)
		now, err := s.store.Policy(t.Context(), "p1")
		if err != nil || now.Revision != 4 || string(now.Policy) != text(0) {
			t.Errorf("applied again: got %+v, %v", now, err)
		}
		for _, c := range []struct {
			who    human
			path   string
			status int
		}{
			{s.ann, path, 403},
			{s.ann, at, 403},
			{s.bob, path, 403},
			{human{}, path, 401},
			{s.op, "/v1/panels/p2/policy/history", 404},
			{s.op, strings.Replace(at, "p1", "p2", 1), 404},
			{s.op, path + "/1-1", 404},
			{s.op, path + "/1", 404},
			{s.op, path + "/-1-1", 404},
			{s.op, path + "/1-99999999999999999999", 404},
			{s.op, path + "/x", 404},
		} {
			if r := s.callAs(c.who.token, "GET", c.path, ""); r.status != c.status {
				t.Errorf("%s: got %d %s, want %d", c.path, r.status, r.body, c.status)
			}
		}
	})
}
