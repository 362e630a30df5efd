package central

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

// human is a user with a token.
type human struct{ id, token string }

// staff is a kit with people, and a panel with the levels 1 and 2.
type staff struct {
	*kit
	admin, ann, bea, bob, carl, op, aud human // ann and bea ask, bob and carl decide about level 1
}

func newStaff(k *kit) *staff {
	k.t.Helper()
	k.panel("p1", 6, level(1), level(2))
	s := &staff{kit: k}
	s.admin = k.human("admin", "", RoleAdmin)
	s.ann, s.bea = k.human("ann", "EM:1"), k.human("bea", "")
	s.bob, s.carl = k.human("bob", "", RoleApprover), k.human("carl", "", RoleApprover)
	s.op, s.aud = k.human("op", "", RoleOperator), k.human("aud", "", RoleAuditor)
	s.approvers(level(1), 1, s.bob, s.carl)
	return s
}

func (k *kit) human(name, card string, roles ...string) human {
	k.t.Helper()
	u, err := k.store.AddUser(k.t.Context(), UserSpec{Name: name, Domain: "corp", Card: card, Roles: roles})
	if err != nil {
		k.t.Fatal(err)
	}
	token, err := k.store.CreateToken(k.t.Context(), u.ID, time.Time{})
	if err != nil {
		k.t.Fatal(err)
	}
	return human{u.ID, token.Secret}
}

func (k *kit) approvers(l access.ID, votes int, who ...human) {
	k.t.Helper()
	rule := LevelRule{LevelID: l, RequiredVotes: votes}
	for _, h := range who {
		rule.Approvers = append(rule.Approvers, h.id)
	}
	if err := k.store.SetApprovers(k.t.Context(), rule); err != nil {
		k.t.Fatal(err)
	}
}

// callAs sends a request with a user's token.
func (k *kit) callAs(token, method, path, body string) reply {
	k.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", token)
	r.Header.Set("Content-Type", "application/json")
	return k.serve(r)
}

func (k *kit) serve(r *http.Request) reply {
	k.t.Helper()
	w := httptest.NewRecorder()
	watched(k.t, k.api, w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return reply{w.Code, w.Result().Header, string(text)}
}

// want is callAs that wants a status; it decodes the answer into v, if not nil.
func (k *kit) want(status int, h human, method, path, body string, v any) reply {
	k.t.Helper()
	r := k.callAs(h.token, method, path, body)
	if r.status != status {
		k.t.Fatalf("%s %s %s: got %d %s, want %d", method, path, body, r.status, r.body, status)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(r.body), v); err != nil {
			k.t.Fatalf("%s: %v", r.body, err)
		}
	}
	return r
}

const requestPath = "/api/v2/access_request"

func immediateBody(l access.ID, hours int) string {
	return fmt.Sprintf(`{"account_id":%q,"type":"immediate","immediate_interval":%d,"reason":"maintenance"}`, l, hours)
}

func scheduledBody(l access.ID, from, to time.Time) string {
	return fmt.Sprintf(`{"account_id":%q,"type":"scheduled","starts_at":%q,"expires_at":%q,"reason":"visit"}`, l, rfc3339(from), rfc3339(to))
}

// ask makes a request and gives its id.
func (k *kit) ask(h human, body string) string {
	k.t.Helper()
	var a struct {
		Result  string
		Request requestModel `json:"access_request"`
	}
	k.want(200, h, "POST", requestPath, body, &a)
	if a.Result != "success" || a.Request.Status != statePending {
		k.t.Fatalf("got %+v", a)
	}
	return a.Request.ID
}

func (k *kit) request(h human, id string) requestModel {
	k.t.Helper()
	var a struct {
		Request requestModel `json:"access_request"`
	}
	k.want(200, h, "GET", requestPath+"/"+id, "", &a)
	return a.Request
}

func (k *kit) accept(h human, id string) {
	k.t.Helper()
	if r := k.want(200, h, "POST", requestPath+"/"+id+"/vote", `{"accepted":true}`, nil); r.body != "{\"result\":\"success\"}\n" {
		k.t.Errorf("got %s", r.body)
	}
}

// item is the request as the access request status API has it.
func (k *kit) item(h human, id string) requestedItemStatus {
	k.t.Helper()
	var items []requestedItemStatus
	k.want(200, h, "GET", "/v3/access-request-status?filters="+strings.ReplaceAll(`accountActivityItemId eq "`+id+`"`, " ", "+"), "", &items)
	if len(items) != 1 {
		k.t.Fatalf("%d items, want 1", len(items))
	}
	return items[0]
}

// keyOf is a user's access key, nil for none.
func (k *kit) keyOf(h human) *key {
	k.t.Helper()
	var found *key
	err := k.store.view(k.t.Context(), func(t *tx) error {
		u, err := t.user(k.t.Context(), h.id)
		if err == nil && u.key != "" {
			found, err = t.key(k.t.Context(), u.key)
		}
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

func (k *kit) lapse() {
	k.t.Helper()
	if _, err := k.store.lapse(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// refused wants an error in the access requests' dialect.
func (k *kit) refused(h human, method, path, body string, status int, code string) {
	k.t.Helper()
	r := k.callAs(h.token, method, path, body)
	var v struct {
		Result string
		Error  struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || v.Result != "failure" || v.Error.Message == "" || r.status != status || v.Error.Code != code {
		k.t.Errorf("%s %s %s: got %d %s, want %d %s", method, path, body, r.status, r.body, status, code)
	}
}

func TestRequestGranted(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		id := s.ask(s.ann, immediateBody(level(1), 4))
		if s.keyOf(s.ann) != nil {
			t.Error("there is a key before the grant")
		}
		s.clock.pass(time.Hour)
		s.accept(s.bob, id)
		got := s.request(s.ann, id)
		from, to := s.clock.now(), s.clock.now().Add(4*time.Hour)
		want := requestModel{
			ID: id, Activated: true, ImmediateInterval: new(4), StartsAt: dateOf(from), ExpiresAt: dateOf(to), Reason: "maintenance",
			RequiredVotes: 1, Status: "granted", Type: "immediate", AccountID: level(1), AccountName: "level 00000001", Protocol: "proximity",
			ServerID: new("p1"), ServerName: new("a panel"), ListenerIDs: []string{"p1/front"}, ListenerNames: []string{"Front door"},
			Listeners: []listenerModel{{ID: "p1/front", Name: "Front door", Protocol: "proximity"}},
			UserID:    s.ann.id, UserDomain: new("corp"), UserName: "ann", CreatedAt: rfc3339(from.Add(-time.Hour)), ModifiedAt: rfc3339(from),
			Votes: []voteModel{{UserID: s.bob.id, Accepted: true, UserName: "bob", UserRole: new("approver"), UserDomain: new("corp")}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		key := s.keyOf(s.ann)
		if key == nil || !key.ValidTo.Equal(to) || !key.ValidFrom.IsZero() || !slices.Equal(key.Levels, []access.ID{level(1)}) ||
			key.Identification.Canonical() != "0000000000001" || key.person.first != "ann" {
			t.Fatalf("key %+v", key)
		}
		if head := s.revisionsOf("p1"); head != 1 {
			t.Errorf("the panel's log has %d revisions, want 1", head)
		}
		// It ends by itself; the panel has the end in the key all along.
		s.clock.pass(4 * time.Hour)
		if got := s.request(s.ann, id); got.Status != "expired" {
			t.Errorf("got %s, want expired before anybody looked", got.Status)
		}
		s.lapse()
		if key := s.keyOf(s.ann); key != nil {
			t.Errorf("the key is still there: %+v", key)
		}
		if got := s.request(s.ann, id); got.Status != "expired" || !got.Activated || got.ModifiedAt != rfc3339(to) {
			t.Errorf("got %+v", got)
		}
		before := s.dump()
		s.lapse()
		if s.dump() != before {
			t.Error("nothing ran out, and something changed")
		}
	})
}

func (k *kit) revisionsOf(system string) (n int) {
	k.t.Helper()
	if err := k.store.read.QueryRowContext(k.t.Context(), "SELECT revision FROM panels WHERE system_id = $1", system).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

func TestRequestScheduled(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		from := s.clock.now().Add(24 * time.Hour)
		id := s.ask(s.bea, scheduledBody(level(1), from, from.Add(2*time.Hour)))
		s.accept(s.bob, id)
		got := s.request(s.bea, id)
		if got.Status != "granted" || got.Activated || got.ImmediateInterval != nil || *got.StartsAt != rfc3339(from) || got.Protocol != "code" {
			t.Errorf("got %+v", got)
		}
		key := s.keyOf(s.bea)
		if key == nil || !key.ValidFrom.Equal(from) || !key.ValidTo.Equal(from.Add(2*time.Hour)) || key.Type != access.Code {
			t.Fatalf("key %+v", key)
		}
		// Only the requester sees the code.
		code := key.Identification.Canonical()
		for _, path := range []string{requestPath, requestPath + "/" + id, "/access-request-status", "/v1/users", "/v1/users/me", "/v1/users/me/codes"} {
			for _, h := range []human{s.admin, s.bob, s.bea, s.aud} {
				mine := h == s.bea && path == "/v1/users/me/codes"
				if r := s.callAs(h.token, "GET", path, ""); strings.Contains(r.body, code) != mine {
					t.Errorf("%s: got %s", path, r.body)
				}
			}
		}
		if strings.Contains(s.logs.String(), code) || strings.Contains(s.logs.String(), tokenPrefix) {
			t.Error("the log holds a secret")
		}
		s.clock.pass(25 * time.Hour)
		if got := s.request(s.bea, id); !got.Activated {
			t.Error("not activated after its beginning")
		}
		// One whose time is over before anybody voted.
		late := s.ask(s.ann, scheduledBody(level(1), s.clock.now(), s.clock.now().Add(time.Minute)))
		s.clock.pass(time.Minute)
		s.refused(s.bob, "POST", requestPath+"/"+late+"/vote", `{"accepted":true}`, 409, "NotPending")
		s.lapse()
		if got := s.request(s.ann, late); got.Status != "expired" || got.Activated {
			t.Errorf("got %+v", got)
		}
		if item := s.item(s.ann, late); item.State != itemTerminated || item.Approvals[0].Status != "EXPIRED" {
			t.Errorf("got %+v", item)
		}
	})
}

func TestRequestRules(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.approvers(level(1), 2, s.bob, s.carl, s.admin)
		id := s.ask(s.ann, immediateBody(level(1), 1))
		own := s.ask(s.bob, immediateBody(level(1), 1))
		at := requestPath + "/" + id
		none := requestPath + "/" + level(77).String()
		const yes, no = `{"accepted":true}`, `{"accepted":false,"reason":"why?"}`
		before := s.dump()
		for _, c := range []struct {
			who          human
			method, path string
			body         string
			status       int
			code         string
		}{
			{human{}, "GET", requestPath, "", 401, "Unauthorized"},
			{human{token: tokenPrefix + "x"}, "GET", at, "", 401, "Unauthorized"},
			{human{token: s.secret}, "GET", at, "", 401, "Unauthorized"}, // an API key is no user's token
			{s.bea, "GET", at, "", 403, "Forbidden"},
			{s.ann, "GET", none, "", 404, "NotFound"},
			{s.ann, "GET", requestPath + "/1%27%20OR%201=1", "", 404, "NotFound"},
			{s.ann, "GET", requestPath + "?limit=x", "", 400, "InvalidParameter"},
			{s.ann, "GET", requestPath + "?limit=1001", "", 400, "InvalidParameter"},
			{s.ann, "GET", requestPath + "?filter=x", "", 400, "UnknownParameter"},
			{s.ann, "GET", requestPath + "?limit=1&limit=2", "", 400, "InvalidParameter"},
			{s.ann, "DELETE", at, "", 405, "MethodNotAllowed"},
			{s.ann, "GET", at + "/vote", "", 405, "MethodNotAllowed"},
			{s.ann, "POST", "/api/v2/objspec/access_request", "", 405, "MethodNotAllowed"},

			{s.ann, "POST", at + "/vote", yes, 403, "Forbidden"}, // her own
			{s.bob, "POST", requestPath + "/" + own + "/vote", yes, 403, "Forbidden"},
			{s.bea, "POST", at + "/vote", yes, 403, "Forbidden"},
			{s.op, "POST", at + "/vote", yes, 403, "Forbidden"},
			{s.aud, "POST", at + "/vote", no, 403, "Forbidden"},
			{s.bob, "POST", none + "/vote", yes, 404, "NotFound"},
			{s.bob, "POST", at + "/vote", `{}`, 400, "FieldRequired"},
			{s.bob, "POST", at + "/vote", `{"accepted":false}`, 400, "FieldRequired"},
			{s.bob, "POST", at + "/vote", `{"accepted":false,"reason":" "}`, 400, "FieldRequired"},
			{s.bob, "POST", at + "/vote", `{"accepted":"true"}`, 400, "InvalidField"},
			{s.bob, "POST", at + "/vote", `{"accepted":true,"user_id":"x"}`, 400, "UnknownField"},
			{s.bob, "POST", at + "/vote", `{"accepted":true,"access_request_id":"` + own + `"}`, 400, "InvalidId"},
			{s.bob, "POST", at + "/vote", `{"accepted":true,"reason":"a\u0000b"}`, 400, "InvalidReason"},

			{s.bea, "POST", at + "/revoke", `{"revoke_reason":"x"}`, 403, "Forbidden"},
			{s.aud, "POST", at + "/revoke", `{"revoke_reason":"x"}`, 403, "Forbidden"},
			{s.op, "POST", at + "/revoke", `{}`, 400, "ReasonRequired"},
			{s.op, "POST", none + "/revoke", `{"revoke_reason":"x"}`, 404, "NotFound"},
			{s.op, "POST", at + "/revoke", `{"revoke_reason":5}`, 400, "InvalidField"},

			{s.ann, "POST", requestPath, `{}`, 400, "FieldRequired"},
			{s.ann, "POST", requestPath, `[]`, 400, "InvalidJSON"},
			{s.ann, "POST", requestPath, `{"account_id":"1"}`, 400, "InvalidId"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "maintenance", "", 1), 400, "FieldRequired"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "maintenance", strings.Repeat("x", 1001), 1), 400, "InvalidReason"},
			{s.ann, "POST", requestPath, immediateBody(level(1), 0), 400, "InvalidInterval"},
			{s.ann, "POST", requestPath, immediateBody(level(1), 25), 400, "InvalidInterval"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "1,", "1.5,", 1), 400, "InvalidField"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "{", `{"starts_at":"2030-01-01T00:00:00Z",`, 1), 400, "InvalidField"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "{", `{"user_id":"x",`, 1), 400, "ReadOnlyField"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "{", `{"nonsense":"x",`, 1), 400, "UnknownField"},
			{s.ann, "POST", requestPath, strings.Replace(immediateBody(level(1), 1), "immediate\"", "soon\"", 1), 400, "InvalidType"},
			{s.ann, "POST", requestPath, immediateBody(level(9), 1), 404, "NotFound"},
			{s.ann, "POST", requestPath, immediateBody(level(2), 1), 403, "Forbidden"}, // it has no approvers
			{s.ann, "POST", requestPath, scheduledBody(level(1), s.clock.now().Add(time.Hour), s.clock.now()), 400, "InvalidDate"},
			{s.ann, "POST", requestPath, scheduledBody(level(1), s.clock.now(), s.clock.now()), 400, "InvalidDate"},
			{s.ann, "POST", requestPath, scheduledBody(level(1), s.clock.now().Add(-2*time.Hour), s.clock.now().Add(-time.Hour)), 400, "InvalidDate"},
			{s.ann, "POST", requestPath, scheduledBody(level(1), s.clock.now(), s.clock.now().Add(maxAhead+time.Hour)), 400, "InvalidDate"},
			{s.ann, "POST", requestPath, strings.Replace(scheduledBody(level(1), s.clock.now(), s.clock.now()), "2026", "", 1), 400, "InvalidDate"},
		} {
			s.refused(c.who, c.method, c.path, c.body, c.status, c.code)
		}
		if s.dump() != before {
			t.Error("a refused request changed the database")
		}

		s.accept(s.bob, id)
		if got := s.request(s.ann, id); got.Status != "pending" || len(got.Votes) != 1 {
			t.Errorf("after one of two votes: %+v", got)
		}
		s.refused(s.bob, "POST", at+"/vote", yes, 409, "VotedAlready")
		s.refused(s.bob, "POST", at+"/vote", no, 409, "VotedAlready")
		s.accept(s.carl, id)
		if got := s.request(s.ann, id); got.Status != "granted" {
			t.Errorf("after two votes: %s", got.Status)
		}
		s.refused(s.admin, "POST", at+"/vote", no, 409, "NotPending")
		// The same access once more is not asked for.
		s.refused(s.ann, "POST", requestPath, immediateBody(level(1), 1), 409, "AccessHeld")

		// One rejection rejects.
		s.accept(s.admin, own)
		s.clock.pass(time.Second)
		s.want(200, s.carl, "POST", requestPath+"/"+own+"/vote", no, nil)
		got := s.request(s.bob, own)
		if got.Status != "rejected" || *got.Votes[1].Reason != "why?" || got.RevokeReason != nil || s.keyOf(s.bob) != nil {
			t.Errorf("got %+v", got)
		}
		s.refused(s.bob, "POST", requestPath+"/"+own+"/revoke", `{}`, 409, "NotPending")

		// Who has a part in it sees it.
		lists := map[string]int{s.ann.token: 1, s.bea.token: 0, s.bob.token: 2, s.carl.token: 2, s.admin.token: 2, s.op.token: 2, s.aud.token: 2}
		for token, n := range lists {
			var v struct {
				Requests []requestModel `json:"access_request"`
			}
			s.want(200, human{token: token}, "GET", requestPath, "", &v)
			if len(v.Requests) != n {
				t.Errorf("a list has %d, want %d", len(v.Requests), n)
			}
		}
		var page struct {
			Requests []requestModel `json:"access_request"`
		}
		s.want(200, s.op, "GET", requestPath+"?limit=1&offset=1", "", &page)
		if len(page.Requests) != 1 {
			t.Errorf("a page has %d", len(page.Requests))
		}
	})
}

func TestRequestRevoked(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		for name, c := range map[string]struct {
			who        human
			first      bool // voted in before
			body       string
			b, c, with string
		}{
			"withdrawn":           {s.ann, false, `{}`, "revoked", itemCancelled, s.ann.id},
			"given back":          {s.ann, true, `{"revoke_reason":"done"}`, "revoked", itemTerminated, s.ann.id},
			"by an operator":      {s.op, true, `{"revoke_reason":"AD maintenance."}`, "revoked", itemTerminated, s.op.id},
			"by an administrator": {s.admin, false, `{"revoke_reason":"no"}`, "revoked", itemTerminated, s.admin.id},
			"by an approver":      {s.carl, true, `{"revoke_reason":"no"}`, "revoked", itemTerminated, s.carl.id},
		} {
			id := s.ask(s.ann, immediateBody(level(1), 2))
			if c.first {
				s.accept(s.bob, id)
				if s.keyOf(s.ann) == nil {
					t.Fatalf("%s: no key", name)
				}
			}
			s.clock.pass(time.Minute)
			s.want(200, c.who, "POST", requestPath+"/"+id+"/revoke", c.body, nil)
			got := s.request(s.ann, id)
			if got.Status != c.b || got.RevokeReason == nil || got.ModifiedAt != rfc3339(s.clock.now()) {
				t.Errorf("%s: got %+v", name, got)
			}
			item := s.item(s.admin, id)
			if item.State != c.c || item.Cancelled == nil || item.Cancelled.Owner.ID != c.with || item.Cancelable {
				t.Errorf("%s: got %+v", name, item)
			}
			if s.keyOf(s.ann) != nil {
				t.Errorf("%s: the key is still there", name)
			}
			s.refused(c.who, "POST", requestPath+"/"+id+"/revoke", `{"revoke_reason":"again"}`, 409, "NotPending")
		}
		// A removed user has nothing left.
		id := s.ask(s.ann, immediateBody(level(1), 2))
		s.accept(s.bob, id)
		s.want(204, s.admin, "DELETE", "/v1/users/"+s.ann.id, "", nil)
		if got := s.request(s.admin, id); got.Status != "revoked" || got.UserName != "ann" {
			t.Errorf("got %+v", got)
		}
		s.refused(s.ann, "GET", requestPath, "", 401, "Unauthorized")
		var live int
		err := s.store.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM keys WHERE removed_at = 0").Scan(&live)
		if err != nil || live != 0 {
			t.Errorf("%d keys are left, %v", live, err)
		}
	})
}

// TestApproversChange: only the votes of present approvers count, and none can
// grant what nobody may decide about any more.
func TestApproversChange(t *testing.T) {
	k := newKit(t)
	s := newStaff(k)
	s.approvers(level(1), 2, s.bob, s.carl, s.admin)
	id := s.ask(s.ann, immediateBody(level(1), 1))
	s.accept(s.bob, id)
	s.approvers(level(1), 1, s.carl, s.admin)
	s.accept(s.carl, id)
	if got := s.request(s.ann, id); got.Status != "pending" || got.RequiredVotes != 2 {
		t.Errorf("got %+v", got)
	}
	s.want(200, s.admin, "POST", "/v1/users/"+s.carl.id, `{"roles":[]}`, nil)
	s.accept(s.admin, id)
	if got := s.request(s.ann, id); got.Status != "pending" {
		t.Errorf("a vote of somebody who is no approver any more counts: %+v", got)
	}
	s.approvers(level(1), 1, s.bob, s.admin)
	dora := s.human("dora", "", RoleApprover)
	s.approvers(level(1), 1, s.admin, dora)
	s.accept(dora, id)
	if got := s.request(s.ann, id); got.Status != "granted" {
		t.Errorf("got %+v", got)
	}
	s.refused(s.admin, "POST", requestPath, immediateBody(level(2), 1), 403, "Forbidden")
	s.approvers(level(1), 2, s.admin, dora)
	s.refused(s.admin, "POST", requestPath, immediateBody(level(1), 1), 409, "NotEnoughApprovers")
	for range maxOpen {
		s.ask(s.bea, immediateBody(level(1), 1))
	}
	s.refused(s.bea, "POST", requestPath, immediateBody(level(1), 1), 409, "TooManyOpenRequests")
	s.clock.pass(DefaultPending) // nobody voted
	s.ask(s.bea, immediateBody(level(1), 1))
	s.clock.pass(keepRequests)
	s.lapse()
	s.lapse()
	var n int
	if err := s.store.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM access_requests").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d requests are kept for ever (%v), want the one that has just ended", n, err)
	}
}

// TestSharedKey: what one person is granted at the same time is one key, whose
// window never outlasts any of its levels.
func TestSharedKey(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.approvers(level(2), 1, s.bob)
		first := s.ask(s.ann, immediateBody(level(1), 2))
		s.accept(s.bob, first)
		key := s.keyOf(s.ann)
		second := s.ask(s.ann, immediateBody(level(2), 8))
		s.accept(s.bob, second)
		both := s.keyOf(s.ann)
		if both.ID != key.ID || len(both.Levels) != 2 || !both.ValidTo.Equal(s.clock.now().Add(2*time.Hour)) {
			t.Errorf("got %+v", both)
		}
		s.clock.pass(2 * time.Hour)
		s.lapse()
		rest := s.keyOf(s.ann)
		if rest.ID != key.ID || !slices.Equal(rest.Levels, []access.ID{level(2)}) || !rest.ValidTo.Equal(s.clock.now().Add(6*time.Hour)) {
			t.Errorf("got %+v", rest)
		}
		if a, b := s.request(s.ann, first).Status, s.request(s.ann, second).Status; a != "expired" || b != "granted" {
			t.Errorf("got %s, %s", a, b)
		}
		// The same level for longer.
		s.accept(s.bob, s.ask(s.ann, scheduledBody(level(2), s.clock.now().Add(time.Hour), s.clock.now().Add(9*time.Hour))))
		if longer := s.keyOf(s.ann); longer.ID != key.ID || !longer.ValidTo.Equal(s.clock.now().Add(9*time.Hour)) {
			t.Errorf("got %+v", longer)
		}
		// Another card takes over, no card gets a code.
		s.want(200, s.admin, "POST", "/v1/users/"+s.ann.id, `{"card":"EM:2"}`, nil)
		if got := s.keyOf(s.ann); got.ID != key.ID || got.Identification.Canonical() != "0000000000002" {
			t.Errorf("got %+v", got)
		}
		s.want(200, s.admin, "POST", "/v1/users/"+s.ann.id, `{"card":""}`, nil)
		if got := s.keyOf(s.ann); got.ID != key.ID || got.Type != access.Code {
			t.Errorf("got %+v", got)
		}
		// One that an API key of the integration removed is made again.
		if err := s.store.update(t.Context(), func(t *tx) error {
			c, err := t.requestsCaller(k.t.Context())
			if err != nil {
				return err
			}
			return t.removeKey(k.t.Context(), c, key.ID, access.Identification{})
		}); err != nil {
			t.Fatal(err)
		}
		s.lapse()
		if got := s.keyOf(s.ann); got == nil || got.ID == key.ID || got.removed != (time.Time{}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSegment(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
	one := func(n, from, to int) span { return span{level(n), at(from), at(to)} }
	ids := func(ns ...int) (out []access.ID) {
		for _, n := range ns {
			out = append(out, level(n))
		}
		return out
	}
	for name, c := range map[string]struct {
		spans    []span
		levels   []access.ID
		from, to time.Time
	}{
		"none":           {nil, nil, time.Time{}, time.Time{}},
		"over":           {[]span{one(1, -2, 0)}, nil, time.Time{}, time.Time{}},
		"runs":           {[]span{one(1, -1, 3)}, ids(1), time.Time{}, at(3)},
		"to come":        {[]span{one(1, 2, 3)}, ids(1), at(2), at(3)},
		"overlap":        {[]span{one(2, 0, 5), one(1, -1, 3)}, ids(1, 2), time.Time{}, at(3)},
		"joins later":    {[]span{one(1, -1, 3), one(2, 2, 5)}, ids(1), time.Time{}, at(2)},
		"apart":          {[]span{one(2, 7, 9), one(1, -1, 3)}, ids(1), time.Time{}, at(3)},
		"same, longer":   {[]span{one(1, -1, 3), one(1, 2, 6)}, ids(1), time.Time{}, at(6)},
		"same, touching": {[]span{one(1, -1, 3), one(1, 3, 6)}, ids(1), time.Time{}, at(6)},
		"empty":          {[]span{one(1, 3, 3)}, nil, time.Time{}, time.Time{}},
	} {
		levels, from, to := segment(c.spans, now)
		if !slices.Equal(levels, c.levels) || !from.Equal(c.from) || !to.Equal(c.to) {
			t.Errorf("%s: got %v %v %v, want %v %v %v", name, levels, from, to, c.levels, c.from, c.to)
		}
	}
}

func TestObjectSpecs(t *testing.T) {
	s := newStaff(newKit(t))
	want := golden[map[string]map[string]map[string]any](t, "access_request.json")
	for name, attributes := range want {
		var got map[string]any
		s.want(200, s.ann, "GET", "/api/v2/objspec/"+name, "", &got)
		if got["result"] != "success" {
			t.Errorf("%s: got %v", name, got)
		}
		have := got[name].(map[string]any)
		for attribute, v := range have { // what we say besides
			delete(v.(map[string]any), "elements")
			delete(v.(map[string]any), "unique-with")
			_ = attribute
		}
		if name == "access_request" {
			// A request has to say what for.
			attributes["account_id"] = map[string]any{"type": "string", "required": true, "immutable": true, "expensive": true}
		}
		if d := cmp.Diff(anyMap(attributes), have); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	// The model has these attributes, and of these types.
	s.accept(s.bob, s.ask(s.ann, immediateBody(level(1), 2)))
	var list struct {
		Requests []map[string]any `json:"access_request"`
	}
	s.want(200, s.ann, "GET", requestPath, "", &list)
	for name, a := range want["access_request"] {
		v, ok := list.Requests[0][name]
		if !ok {
			t.Errorf("there is no %s", name)
		}
		kind := map[string]string{"object-array": "array", "string-array": "array"}[a["type"].(string)]
		if kind == "" {
			kind = a["type"].(string)
		}
		if v != nil && kindOf(v) != kind {
			t.Errorf("%s is %v, want a %s", name, v, kind)
		}
		delete(list.Requests[0], name)
	}
	if len(list.Requests[0]) > 0 {
		t.Errorf("made up: %v", list.Requests[0])
	}
}

func anyMap(m map[string]map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func TestUnauthorizedLimits(t *testing.T) {
	k := newKit(t)
	k.api = NewAPI(k.store, APIOptions{RateLimit: 1})
	s := &staff{kit: k, ann: k.human("ann", "")}
	var r reply
	for range 20 {
		r = s.callAs(s.ann.token, "GET", requestPath, "")
	}
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %v", r.status, r.header)
	}
	r = s.callAs("Bearer "+s.ann.token, "GET", "/v3/access-request-status", "")
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" || !strings.HasPrefix(r.body, `{"message":"`) {
		t.Errorf("got %d %s", r.status, r.body)
	}
	k.clock.pass(DefaultTokenLife)
	if r = s.callAs(s.ann.token, "GET", requestPath, ""); r.status != http.StatusUnauthorized {
		t.Errorf("an expired token: got %d", r.status)
	}
	r = s.callAs(s.ann.token, "GET", "/v2024/access-request-status", "")
	if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.body, `{"error":"`) {
		t.Errorf("an expired token: got %d %s", r.status, r.body)
	}
}

// TestRequestSafe: the safe is the site, which has no name unless it was given
// one; pools there are none.
func TestRequestSafe(t *testing.T) {
	s := newStaff(newKit(t))
	id := s.ask(s.ann, immediateBody(level(1), 1))
	for _, site := range []string{"", "Head office"} {
		s.api = NewAPI(s.store, APIOptions{Site: site})
		for _, path := range []string{requestPath, requestPath + "/" + id} {
			r := s.want(200, s.ann, "GET", path, "", nil)
			want := `"safe_id":null,"safe_name":null,"pool_id":null,"pool_name":null,`
			if site != "" {
				want = `"safe_id":"Head office","safe_name":"Head office","pool_id":null,"pool_name":null,`
			}
			if !strings.Contains(r.body, want) {
				t.Errorf("%s: got %s, want %s", path, r.body, want)
			}
		}
		if r := s.want(200, s.bea, "POST", requestPath, immediateBody(level(1), 1), nil); strings.Contains(r.body, `"safe_id":null`) != (site == "") {
			t.Errorf("made: got %s", r.body)
		}
	}
	c := DefaultConfig()
	c.Site = "a\nb"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "site:") {
		t.Errorf("a site in two lines: got %v", err)
	}
}
