package central

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUsersAPI(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		var made User
		s.want(200, s.admin, "POST", "/v1/users", `{"name":"eve","domain":"corp","roles":["auditor","approver","auditor"],"card":"EM:5|MC:6"}`, &made)
		if !slices.Equal(made.Roles, []string{"approver", "auditor"}) || made.Card != "0000000000005|0000000006" {
			t.Errorf("got %+v", made)
		}
		eve := "/v1/users/" + made.ID
		lvl := "/v1/levels/" + level(1).String() + "/approvers"
		both := fmt.Sprintf(`{"left":%q,"right":%q}`, level(1), level(2))
		before := s.dump()
		for _, c := range []struct {
			who                human
			method, path, body string
			status             int
			code, field        string
		}{
			{human{}, "GET", "/v1/users", "", 401, "Unauthorized", ""},
			{human{token: s.secret}, "GET", "/v1/users", "", 401, "Unauthorized", ""},
			{s.ann, "GET", "/v1/users", "", 403, "Forbidden", ""},
			{s.op, "GET", "/v1/users", "", 403, "Forbidden", ""},
			{s.ann, "GET", eve, "", 403, "Forbidden", ""},
			{s.ann, "POST", "/v1/users", `{"name":"x"}`, 403, "Forbidden", ""},
			{s.aud, "POST", "/v1/users", `{"name":"x"}`, 403, "Forbidden", ""},
			{s.ann, "POST", "/v1/users/" + s.ann.id, `{"roles":["ORG_ADMIN"]}`, 403, "Forbidden", ""},
			{s.aud, "DELETE", eve, "", 403, "Forbidden", ""},
			{s.ann, "POST", "/v1/users/" + s.ann.id + "/tokens", `{}`, 403, "Forbidden", ""},
			{s.aud, "GET", eve + "/tokens", "", 403, "Forbidden", ""},
			{s.ann, "DELETE", eve + "/tokens/" + level(1).String(), "", 403, "Forbidden", ""},
			{s.bob, "PUT", lvl, `{"approvers":[],"required_votes":0}`, 403, "Forbidden", ""},
			{s.bob, "GET", lvl, "", 403, "Forbidden", ""},
			{s.bob, "GET", "/v1/levels/exclusions", "", 403, "Forbidden", ""},
			{s.aud, "POST", "/v1/levels/exclusions", both, 403, "Forbidden", ""},
			{s.aud, "DELETE", "/v1/levels/exclusions?left=x", "", 403, "Forbidden", ""},

			{s.admin, "GET", "/v1/users?x=1", "", 400, "UnknownParameter", "x"},
			{s.admin, "GET", "/v1/users/nobody", "", 404, "NotFound", "id"},
			{s.admin, "GET", "/v1/users/" + level(9).String(), "", 404, "NotFound", "id"},
			{s.admin, "DELETE", "/v1/users/" + level(9).String(), "", 404, "NotFound", "id"},
			{s.admin, "POST", "/v1/users/" + level(9).String() + "/tokens", "", 404, "NotFound", "id"},
			{s.admin, "DELETE", eve + "/tokens/" + level(9).String(), "", 404, "NotFound", "token"},
			{s.admin, "PUT", "/v1/users", "", 405, "MethodNotAllowed", ""},
			{s.admin, "POST", "/v1/users", `{}`, 400, "InvalidName", "name"},
			{s.admin, "POST", "/v1/users", `{"name":"a\nb"}`, 400, "InvalidName", "name"},
			{s.admin, "POST", "/v1/users", `{"name":"` + strings.Repeat("x", 65) + `"}`, 400, "InvalidName", "name"},
			{s.admin, "POST", "/v1/users", `{"name":"x","domain":"\u0000"}`, 400, "InvalidDomain", "domain"},
			{s.admin, "POST", "/v1/users", `{"name":"x","roles":["god"]}`, 400, "InvalidRole", "roles"},
			{s.admin, "POST", "/v1/users", `{"name":"x","card":"12345"}`, 400, "InvalidIdentification", "card"},
			{s.admin, "POST", "/v1/users", `{"name":"x","card":"MC:6"}`, 409, "CardInUse", "card"},
			{s.admin, "POST", "/v1/users", `{"name":"eve","domain":"corp"}`, 409, "UserExists", "name"},
			{s.admin, "POST", "/v1/users", `{"name":"x","id":"1"}`, 400, "UnknownField", "id"},
			{s.admin, "POST", eve, `{"name":"x"}`, 400, "InvalidField", "name"},
			{s.admin, "POST", eve, `{"card":"EM:1"}`, 409, "CardInUse", "card"},
			{s.admin, "POST", eve + "/tokens", `{"expires_at":"2001-01-01T00:00:00Z"}`, 400, "InvalidDate", "expires_at"},
			{s.admin, "POST", eve + "/tokens", `{"expires_at":5}`, 400, "InvalidField", "expires_at"},
			{s.admin, "PUT", lvl, `{"approvers":["x"],"required_votes":1}`, 400, "InvalidId", "approvers[0]"},
			{s.admin, "PUT", lvl, `{"approvers":["` + s.ann.id + `"],"required_votes":1}`, 400, "InvalidApprovers", "approvers"},
			{s.admin, "PUT", lvl, `{"approvers":["` + level(9).String() + `"],"required_votes":1}`, 400, "InvalidApprovers", "approvers"},
			{s.admin, "PUT", lvl, `{"approvers":["` + s.bob.id + `"],"required_votes":2}`, 400, "InvalidRequiredVotes", "required_votes"},
			{s.admin, "PUT", lvl, `{"approvers":["` + s.bob.id + `"],"required_votes":0}`, 400, "InvalidRequiredVotes", "required_votes"},
			{s.admin, "PUT", "/v1/levels/" + level(9).String() + "/approvers", `{"approvers":["` + s.bob.id + `"],"required_votes":1}`, 404, "NotFound", "level_id"},
			{s.admin, "POST", "/v1/levels/exclusions", fmt.Sprintf(`{"left":%q,"right":%q}`, level(1), level(1)), 400, "InvalidExclusion", "right"},
			{s.admin, "POST", "/v1/levels/exclusions", fmt.Sprintf(`{"left":%q,"right":%q}`, level(1), level(9)), 404, "NotFound", "level_id"},
			{s.admin, "POST", "/v1/levels/exclusions", `{}`, 400, "InvalidId", "left"},
			{s.admin, "DELETE", "/v1/levels/exclusions?left=" + level(1).String() + "&right=" + level(2).String(), "", 404, "NotFound", "right"},
		} {
			r := s.callAs(c.who.token, c.method, c.path, c.body)
			if r.status != c.status {
				t.Errorf("%s %s %s: got %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
				continue
			}
			if code, field := r.code(t); code != c.code || field != c.field {
				t.Errorf("%s %s %s: got %s, want %s %s", c.method, c.path, c.body, r.body, c.code, c.field)
			}
		}
		if s.dump() != before {
			t.Error("a refused request changed the database")
		}

		for _, body := range []string{`{"name":"gil"}`, `{"name":"gus","roles":null}`, `{"name":"guy","roles":[]}`} {
			var u User
			r := s.want(200, s.admin, "POST", "/v1/users", body, &u)
			changed := s.want(200, s.admin, "POST", "/v1/users/"+u.ID, `{"roles":null}`, nil)
			if !strings.Contains(r.body, `"roles":[]`) || !strings.Contains(changed.body, `"roles":[]`) {
				t.Errorf("%s: got %s, changed %s, want no roles as []", body, r.body, changed.body)
			}
			s.want(204, s.admin, "DELETE", "/v1/users/"+u.ID, "", nil)
		}

		var me User
		s.want(200, s.ann, "GET", "/v1/users/me", "", &me)
		s.want(200, s.ann, "GET", "/v1/users/"+s.ann.id, "", &me)
		if me.ID != s.ann.id || me.Name != "ann" || me.Roles == nil {
			t.Errorf("got %+v", me)
		}
		var list struct{ Users []User }
		s.want(200, s.aud, "GET", "/v1/users", "", &list)
		if len(list.Users) != 8 {
			t.Errorf("%d users, want 8", len(list.Users))
		}

		var token Token
		until := s.clock.now().Add(time.Hour)
		s.want(200, s.admin, "POST", eve+"/tokens", fmt.Sprintf(`{"expires_at":%q}`, rfc3339(until)), &token)
		h := human{made.ID, token.Secret}
		s.want(200, h, "GET", "/v1/users/me", "", nil)
		r := s.want(200, s.admin, "GET", eve+"/tokens", "", nil)
		if strings.Contains(r.body, token.Secret) || !strings.Contains(r.body, token.ID) || strings.Contains(s.dump(), token.Secret) {
			t.Errorf("the token is kept: %s", r.body)
		}
		s.want(204, s.admin, "DELETE", eve+"/tokens/"+token.ID, "", nil)
		s.want(401, h, "GET", "/v1/users/me", "", nil)
		s.want(200, s.admin, "POST", eve+"/tokens", fmt.Sprintf(`{"expires_at":%q}`, rfc3339(until)), &token)
		h.token = token.Secret
		s.clock.pass(time.Hour)
		s.want(401, h, "GET", "/v1/users/me", "", nil)
		for range maxTokens {
			s.want(200, s.admin, "POST", eve+"/tokens", "", nil)
		}
		s.want(409, s.admin, "POST", eve+"/tokens", "", nil)
		s.want(204, s.admin, "DELETE", eve, "", nil)
		s.want(404, s.admin, "GET", eve, "", nil)
		s.want(200, s.admin, "POST", "/v1/users", `{"name":"eve","domain":"corp","card":"MC:6"}`, nil) // name and card are free again

		var rule LevelRule
		s.want(200, s.admin, "PUT", lvl, fmt.Sprintf(`{"approvers":[%q,%q],"required_votes":2}`, s.bob.id, s.bob.id[:0]+s.carl.id), &rule)
		s.want(200, s.aud, "GET", lvl, "", &rule)
		if rule.RequiredVotes != 2 || len(rule.Approvers) != 2 {
			t.Errorf("got %+v", rule)
		}
		s.want(200, s.admin, "PUT", lvl, `{"approvers":[],"required_votes":0}`, &rule)
		if len(rule.Approvers) != 0 {
			t.Errorf("got %+v", rule)
		}
		s.want(200, s.admin, "POST", "/v1/levels/exclusions", both, nil)
		s.want(409, s.admin, "POST", "/v1/levels/exclusions", fmt.Sprintf(`{"left":%q,"right":%q}`, level(2), level(1)), nil)
		if r := s.want(200, s.aud, "GET", "/v1/levels/exclusions", "", nil); !strings.Contains(r.body, `"name":"level 00000001 / level 00000002"`) {
			t.Errorf("got %s", r.body)
		}
		s.want(204, s.admin, "DELETE", "/v1/levels/exclusions?right="+level(1).String()+"&left="+level(2).String(), "", nil)
	})
}

func TestFindUser(t *testing.T) {
	k := newKit(t)
	ann := k.human("ann", "")
	other, err := k.store.AddUser(t.Context(), UserSpec{Name: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]string{ann.id: ann.id, `corp\ann`: ann.id, other.ID: other.ID} {
		if u, err := k.store.User(t.Context(), who); err != nil || u.ID != want {
			t.Errorf("%s: got %s, %v, want %s", who, u.ID, err, want)
		}
	}
	if _, err := k.store.User(t.Context(), "ann"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("two of a name: got %v", err)
	}
	if _, err := k.store.User(t.Context(), "bob"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: got %v", err)
	}
}

// TestRequestSecrets: neither tokens nor codes are in the files or the log.
func TestRequestSecrets(t *testing.T) {
	k := newKit(t)
	s := newStaff(k)
	s.accept(s.bob, s.ask(s.bea, immediateBody(level(1), 1)))
	var mine struct{ Codes []codeAnswer }
	s.want(200, s.bea, "GET", "/v1/users/me/codes", "", &mine)
	if len(mine.Codes) != 1 || len(mine.Codes[0].Code) != 6 {
		t.Fatalf("got %+v", mine)
	}
	file, err := os.ReadFile(s.opts.Database + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s.item(s.admin, s.itemIDs(s.admin)[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{mine.Codes[0].Code, s.bea.token, s.bob.token} {
		for name, where := range map[string]string{"the database": string(file), "the log": s.logs.String(), "an answer": string(text)} {
			if strings.Contains(where, secret) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
}

func (k *kit) itemIDs(h human) []string {
	k.t.Helper()
	ids, _ := k.items(200, h, "")
	return ids
}
