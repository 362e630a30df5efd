package central

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/access"
)

// golden reads what the integrators' documents say.
func golden[T any](t testing.TB, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "central", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type statusShape struct {
	Item       map[string]string
	Errors     map[string]map[string]string
	DetailCode map[string]string
	Enums      map[string][]string
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// shape notes the kind and the texts at every path.
func shape(v any, path string, kinds map[string]string, texts map[string][]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			p := strings.TrimPrefix(path+"."+name, ".")
			if kind := kindOf(x); kind != "null" || kinds[p] == "" {
				kinds[p] = kind
			}
			shape(x, p, kinds, texts)
		}
	case []any:
		for _, x := range v {
			kinds[path+"[]"] = kindOf(x)
			shape(x, path+"[]", kinds, texts)
		}
	case string:
		texts[path] = append(texts[path], v)
	}
}

// TestItemShape shows requests in every state, and compares all of what is said
// with the shape of the integrators' samples: nothing is missing, nothing made up.
func TestItemShape(t *testing.T) {
	s := newStaff(newKit(t))
	s.approvers(level(2), 1, s.bob)
	s.exclude(level(1), level(2))
	s.accept(s.bob, s.ask(s.ann, immediateBody(level(1), 2)))
	s.ask(s.ann, immediateBody(level(2), 2))
	withdrawn := s.ask(s.bea, immediateBody(level(1), 2))
	s.want(200, s.bea, "POST", requestPath+"/"+withdrawn+"/revoke", `{"revoke_reason":"not needed"}`, nil)
	rejected := s.ask(s.bea, immediateBody(level(1), 2))
	s.want(200, s.bob, "POST", requestPath+"/"+rejected+"/vote", `{"accepted":false,"reason":"no"}`, nil)
	failed := s.ask(s.bea, immediateBody(level(1), 2))
	s.accept(s.bob, failed)
	r := newRig(s.kit)
	p := newFakePanel(r, "p1")
	p.fails = map[access.ID]string{s.keyOf(s.bea).ID: "CodeNotEnabled"}
	p.connect()
	p.settle()

	var items []any
	s.want(200, s.admin, "GET", "/access-request-status", "", &items)
	kinds, texts := map[string]string{}, map[string][]string{}
	for _, i := range items {
		shape(i, "", kinds, texts)
	}
	want := golden[statusShape](t, "access_request_status.json")
	for path, kind := range kinds {
		if have, ok := want.Item[path]; !ok {
			t.Errorf("made up: %s", path)
		} else if kind != "null" && kind != have {
			t.Errorf("%s is a %s, want a %s", path, kind, have)
		}
	}
	silent := map[string]bool{} // whose parent is null or empty
	empty := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(want.Item)) {
		if _, ok := kinds[path]; ok {
			continue
		}
		parent := path
		for parent != "" && !silent[path] {
			parent = parent[:max(0, strings.LastIndexAny(parent, ".["))]
			empty[parent] = empty[parent] || kinds[parent] == "array"
			silent[path] = kinds[parent] == "null" || kinds[parent] == "array"
		}
		if !silent[path] {
			t.Errorf("there is no %s", path)
		}
	}
	delete(empty, "approvalDetails[].errorMessages") // votes don't fail
	for path, all := range empty {
		if all {
			t.Errorf("%s is empty in every state", path)
		}
	}
	for path, values := range want.Enums {
		if len(texts[path]) == 0 && path != "approvalDetails[].errorMessages[].localeOrigin" {
			t.Errorf("nothing at %s", path)
		}
		for _, got := range texts[path] {
			if !slices.Contains(values, got) {
				t.Errorf("%s: %q is none of %v", path, got, values)
			}
		}
	}
	// Only these have nothing to say in any state.
	var null []string
	for path, kind := range kinds {
		if kind == "null" {
			null = append(null, path)
		}
	}
	slices.Sort(null)
	if got := strings.Join(null, " "); got != "approvalDetails[].originalOwner clientMetadata description manualWorkItemDetails preApprovalTriggerDetails "+
		"provisioningDetails sodViolationContext.violationCheckResult.clientMetadata sodViolationContext.violationCheckResult.message" {
		t.Errorf("null are %s", got)
	}
}

func (k *kit) exclude(a, b access.ID) Exclusion {
	k.t.Helper()
	x, err := k.store.AddExclusion(k.t.Context(), a, b, "")
	if err != nil {
		k.t.Fatal(err)
	}
	return x
}

// TestItemStates goes through the table of states with panels that answer, fail
// and stay away.
func TestItemStates(t *testing.T) {
	for name, c := range map[string]struct {
		fails [2]bool
		away  [2]bool
		wait  time.Duration
		want  string
		phase string // of provisioning
		found string // its result
	}{
		"sent":             {away: [2]bool{true, true}, want: itemExecuting, phase: "EXECUTING"},
		"one applied":      {away: [2]bool{false, true}, want: itemExecuting, phase: "EXECUTING"},
		"one away long":    {away: [2]bool{false, true}, wait: 11 * time.Minute, want: itemVerifying, phase: "EXECUTING"},
		"all applied":      {want: itemCompleted, phase: "COMPLETED", found: "SUCCESSFUL"},
		"one failed":       {fails: [2]bool{false, true}, want: itemPartly, phase: "COMPLETED", found: "FAILED"},
		"all failed":       {fails: [2]bool{true, true}, want: itemFailed, phase: "COMPLETED", found: "FAILED"},
		"failed, one away": {fails: [2]bool{true, false}, away: [2]bool{false, true}, want: itemExecuting, phase: "EXECUTING"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStaff(newKit(t))
			s.panel("p2", 6, level(1))
			if err := s.store.ShareLevel(t.Context(), level(1), "p2"); err != nil {
				t.Fatal(err)
			}
			id := s.ask(s.ann, immediateBody(level(1), 4))
			if item := s.item(s.ann, id); item.State != itemExecuting || len(item.Phases) != 1 || item.Phases[0].State != "EXECUTING" ||
				len(item.Approvals) != 2 || item.Approvals[0].Status != "PENDING" || !item.Cancelable {
				t.Errorf("pending: got %+v", item)
			}
			s.accept(s.bob, id)
			r := newRig(s.kit)
			for i, system := range []string{"p1", "p2"} {
				p := newFakePanel(r, system)
				p.fails = map[access.ID]string{}
				if c.fails[i] {
					p.fails[s.keyOf(s.ann).ID] = "CodeNotEnabled"
				}
				if !c.away[i] {
					p.connect()
					p.settle()
				}
			}
			s.clock.pass(c.wait)
			item := s.item(s.ann, id)
			if item.State != c.want || len(item.Phases) != 2 || item.Cancelable {
				t.Fatalf("got %s %+v, want %s", item.State, item.Phases, c.want)
			}
			a, p := item.Phases[0], item.Phases[1]
			if a.State != "COMPLETED" || *a.Result != "SUCCESSFUL" || *a.Reference != "approvalDetails" || *a.Finished != p.Started {
				t.Errorf("approval: got %+v", a)
			}
			if p.State != c.phase || (p.Result == nil) != (c.found == "") || p.Result != nil && *p.Result != c.found || (p.Finished != nil) != (c.phase == "COMPLETED") {
				t.Errorf("provisioning: got %+v", p)
			}
			failed := 0
			for _, e := range item.Errors {
				failed += len(e)
				for _, m := range e {
					if !regexp.MustCompile(`^panel p[12]: CodeNotEnabled: codes are not in use there`).MatchString(m.Text) {
						t.Errorf("error message %q", m.Text)
					}
				}
			}
			if n := strings.Count(fmt.Sprint(c.fails), "true"); failed != n {
				t.Errorf("%d error messages, want %d", failed, n)
			}
			if item.Approvals[0].Status != "APPROVED" || item.Approvals[1].Status != "ARCHIVED" {
				t.Errorf("approvals: got %+v", item.Approvals)
			}
			// What it came to stays known after its end.
			s.clock.pass(5 * time.Hour)
			s.lapse()
			if got := s.item(s.ann, id).State; c.phase == "COMPLETED" && got != c.want {
				t.Errorf("after its end: got %s, want %s", got, c.want)
			}
		})
	}
}

// TestItemLater: what begins later is not done because the panel has the key for
// something else.
func TestItemLater(t *testing.T) {
	s := newStaff(newKit(t))
	s.approvers(level(2), 1, s.bob)
	now := s.ask(s.ann, immediateBody(level(1), 2))
	s.accept(s.bob, now)
	later := s.ask(s.ann, scheduledBody(level(2), s.clock.now().Add(3*time.Hour), s.clock.now().Add(5*time.Hour)))
	s.accept(s.bob, later)
	p := newFakePanel(newRig(s.kit), "p1")
	p.connect()
	p.settle()
	if a, b := s.item(s.ann, now).State, s.item(s.ann, later).State; a != itemCompleted || b != itemExecuting {
		t.Errorf("got %s and %s, want the second to wait", a, b)
	}
	s.clock.pass(2 * time.Hour)
	s.lapse()
	p.r.tick()
	p.settle()
	if a, b := s.item(s.ann, now).State, s.item(s.ann, later).State; a != itemCompleted || b != itemCompleted {
		t.Errorf("got %s and %s, want both done", a, b)
	}
}

// TestItemWithoutPanel: no panel has the level any more, and then one has again.
func TestItemWithoutPanel(t *testing.T) {
	s := newStaff(newKit(t))
	id := s.ask(s.ann, immediateBody(level(1), 2))
	waits := s.ask(s.bea, immediateBody(level(1), 2))
	s.accept(s.bob, id)
	if err := s.store.DropLevel(t.Context(), level(1), "p1"); err != nil {
		t.Fatal(err)
	}
	s.refused(s.bob, "POST", requestPath+"/"+waits+"/vote", `{"accepted":true}`, 409, "NotFound")
	s.want(200, s.admin, "POST", "/v1/users/"+s.ann.id, `{"card":"EM:3"}`, nil)
	if item := s.item(s.ann, id); item.State != itemFailed || len(item.Errors) != 1 || s.keyOf(s.ann) != nil {
		t.Errorf("got %+v", item)
	}
	before := s.dump()
	s.lapse()
	if s.dump() != before {
		t.Error("nothing can be done, and something changed")
	}
	if err := s.store.ShareLevel(t.Context(), level(1), "p1"); err != nil {
		t.Fatal(err)
	}
	s.lapse()
	if item := s.item(s.ann, id); item.State != itemExecuting || s.keyOf(s.ann) == nil {
		t.Errorf("got %+v", item)
	}
}

// TestItemError: central can't carry out what was granted, says so, and does it
// as soon as it can.
func TestItemError(t *testing.T) {
	s := newStaff(newKit(t))
	s.approvers(level(2), 1, s.bob)
	first := s.ask(s.ann, immediateBody(level(1), 1))
	s.accept(s.bob, first)
	later := s.ask(s.ann, scheduledBody(level(2), s.clock.now().Add(2*time.Hour), s.clock.now().Add(4*time.Hour)))
	s.accept(s.bob, later)
	s.clock.pass(90 * time.Minute)
	// Meanwhile somebody else's key of the integration takes the card.
	s.want(200, s.ann, "POST", requestPath+"/"+later+"/revoke", `{}`, nil)
	other := s.key(RequestsIntegration)
	if r := s.send(other, "/v1/accesskeys/add", `{"key":{"identification":"EM:1","type":"proximity"}}`); r.status != 200 {
		t.Fatal(r)
	}
	id := s.ask(s.ann, immediateBody(level(2), 1))
	before := s.dump()
	s.refused(s.bob, "POST", requestPath+"/"+id+"/vote", `{"accepted":true}`, 409, "AccessKeyInUse")
	if s.dump() != before {
		t.Error("a vote without its effect is counted")
	}
	if err := s.store.update(t.Context(), func(x *tx) error {
		return x.exec(t.Context(), "UPDATE access_requests SET state = 'granted', granted_at = $1, starts_at = $1, expires_at = $2 WHERE id = $3",
			x.now.UnixMicro(), x.now.Add(time.Hour).UnixMicro(), id)
	}); err != nil {
		t.Fatal(err)
	}
	s.lapse()
	s.lapse()
	if item := s.item(s.ann, id); item.State != itemError || len(item.Errors) == 0 {
		t.Errorf("got %+v", item)
	}
	if n := strings.Count(s.logs.String(), "can't be carried out"); n != 1 {
		t.Errorf("it is logged %d times, want once", n)
	}
	if r := s.send(other, "/v1/accesskeys/remove", `{"key":{"identification":"EM:1","type":"proximity"}}`); r.status != 204 {
		t.Fatal(r)
	}
	s.lapse()
	if item := s.item(s.ann, id); item.State != itemVerifying || len(item.Errors) != 0 || s.keyOf(s.ann) == nil {
		t.Errorf("got %+v", item)
	}
}

func TestSeparationOfDuties(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.approvers(level(2), 1, s.bob)
		x := s.exclude(level(2), level(1))
		first := s.ask(s.ann, immediateBody(level(1), 2))
		if s.item(s.ann, first).Violation != nil {
			t.Error("a violation without one")
		}
		s.accept(s.bob, first)
		second := s.ask(s.ann, immediateBody(level(2), 2))
		v := s.item(s.ann, second).Violation
		if v == nil || v.State != "SUCCESS" || len(v.Check.Contexts) != 1 || v.Check.Policies[0].ID != x.ID || v.Check.Policies[0].Type != dtoPolicy {
			t.Fatalf("got %+v", v)
		}
		left, right := v.Check.Contexts[0].Criteria.Left.List[0], v.Check.Contexts[0].Criteria.Right.List[0]
		if left.ID != level(1).String() || !left.Existing || right.ID != level(2).String() || right.Existing || right.Name != "level 00000002" {
			t.Errorf("got %+v, %+v", left, right)
		}
		s.refused(s.bob, "POST", requestPath+"/"+second+"/vote", `{"accepted":true}`, 409, separated)
		if got := s.request(s.ann, second); got.Status != "pending" || len(got.Votes) != 0 {
			t.Errorf("got %+v", got)
		}
		// When the one has ended, the other can be granted.
		s.want(200, s.ann, "POST", requestPath+"/"+first+"/revoke", `{}`, nil)
		s.accept(s.bob, second)
		if got := s.item(s.ann, second); got.Violation != nil || s.request(s.ann, second).Status != "granted" {
			t.Errorf("got %+v", got)
		}
		// A request from before that is voted on now.
		third := s.ask(s.bea, immediateBody(level(1), 2))
		fourth := s.ask(s.bea, immediateBody(level(2), 2))
		s.accept(s.bob, third)
		s.refused(s.bob, "POST", requestPath+"/"+fourth+"/vote", `{"accepted":true}`, 409, separated)
		if s.item(s.bea, fourth).Violation == nil {
			t.Error("the check of the vote is not kept")
		}
		// What the card holds by an ordinary key counts too.
		s.addCard(7, level(1))
		dan := s.human("dan", "EM:7")
		fifth := s.ask(dan, immediateBody(level(2), 2))
		s.refused(s.bob, "POST", requestPath+"/"+fifth+"/vote", `{"accepted":true}`, 409, separated)
		if err := s.store.RemoveExclusion(t.Context(), level(1), level(2)); err != nil {
			t.Fatal(err)
		}
		s.accept(s.bob, fifth)
	})
}

// status asks the access request status API and gives the ids of its items.
func (k *kit) items(status int, h human, query string) (ids []string, r reply) {
	k.t.Helper()
	r = k.callAs("Bearer "+h.token, "GET", "/v2024/access-request-status?"+query, "")
	if r.status != status {
		k.t.Errorf("%s: got %d %s, want %d", query, r.status, r.body, status)
		return nil, r
	}
	if status != 200 {
		return nil, r
	}
	var items []requestedItemStatus
	if err := json.Unmarshal([]byte(r.body), &items); err != nil {
		k.t.Fatal(err)
	}
	for _, i := range items {
		ids = append(ids, i.ItemID)
	}
	return ids, r
}

func TestItemLists(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		s.approvers(level(2), 1, s.carl, s.bob)
		var ids []string // oldest first
		for i, h := range []human{s.ann, s.bea, s.ann, s.bob} {
			ids = append(ids, s.ask(h, immediateBody(level(1+i%2), 1)))
			s.clock.pass(time.Minute)
		}
		a1, b2, a3, o4 := ids[0], ids[1], ids[2], ids[3]
		s.want(200, s.carl, "POST", requestPath+"/"+a1+"/vote", `{"accepted":false,"reason":"no"}`, nil) // and modifies it
		sorted := slices.Sorted(slices.Values(ids))
		quote := func(ids ...string) string { return `"` + strings.Join(ids, `", "`) + `"` }
		filtered := func(f string) string { return "sorters=accountActivityItemId&filters=" + url.QueryEscape(f) }
		const field = "accountActivityItemId "
		for _, c := range []struct {
			who    human
			query  string
			want   []string
			status int
		}{
			{s.ann, "", []string{a3, a1}, 200},
			{s.ann, "requested-for=me", []string{a3, a1}, 200},
			{s.ann, "requested-by=me", []string{a3, a1}, 200},
			{s.ann, "regarding-identity=me", []string{a3, a1}, 200},
			{s.ann, "requested-for=me&requested-by=" + s.ann.id, []string{a3, a1}, 200},
			{s.ann, "requested-for=" + s.bea.id, nil, 403},
			{s.ann, "requested-by=" + s.bea.id, nil, 403},
			{s.ann, "regarding-identity=" + s.bea.id, nil, 403},
			{s.bob, "assigned-to=" + s.carl.id, nil, 403},
			{s.op, "regarding-identity=" + s.bea.id, nil, 403}, // only ORG_ADMIN
			{s.admin, "", []string{o4, a3, b2, a1}, 200},
			{s.admin, "requested-for=me", nil, 200},
			{s.admin, "requested-for=" + s.bea.id, []string{b2}, 200},
			{s.admin, "requested-for=" + s.bea.id + "&requested-by=" + s.ann.id, nil, 200},
			{s.admin, "regarding-identity=" + strings.ToUpper(s.bea.id), []string{b2}, 200},
			{s.carl, "assigned-to=me", []string{o4, a3, b2}, 200}, // a1 is decided
			{s.bob, "assigned-to=me", []string{a3, b2}, 200},      // not his own
			{s.ann, "assigned-to=me", nil, 200},
			{s.admin, "assigned-to=" + s.bob.id, []string{a3, b2}, 200},
			{s.admin, "regarding-identity=me&requested-for=me", nil, 400},
			{s.admin, "regarding-identity=me&requested-by=me", nil, 400},
			{s.admin, "requested-for=nobody", nil, 400},
			{s.admin, "requested-for=me&requested-for=me", nil, 400},
			{s.admin, "nonsense=1", nil, 400},
			{s.admin, "%00=1", nil, 400},
			{s.admin, "limit=%zz", nil, 400},
			{s.admin, "count=yes", nil, 400},
			{s.admin, "limit=251", nil, 400},
			{s.admin, "limit=-1", nil, 400},
			{s.admin, "offset=1e3", nil, 400},
			{s.admin, "limit=2&offset=1", []string{a3, b2}, 200},
			{s.admin, "limit=0", nil, 200},
			{s.admin, "sorters=created", ids, 200},
			{s.admin, "sorters=-created", []string{o4, a3, b2, a1}, 200},
			{s.admin, "sorters=modified", []string{b2, a3, o4, a1}, 200},
			{s.admin, "sorters=-modified&limit=1", []string{a1}, 200},
			{s.admin, "sorters=accountActivityItemId", sorted, 200},
			{s.admin, "sorters=name,created", []string{a1, a3, b2, o4}, 200},
			{s.admin, "sorters=-name,-created", []string{o4, b2, a3, a1}, 200},
			{s.admin, "sorters=state", nil, 400},
			{s.admin, "sorters=", nil, 400},
			{s.admin, "sorters=name,-name", nil, 400},
			{s.admin, filtered(field + "eq " + quote(b2)), []string{b2}, 200},
			{s.ann, filtered(field + "eq " + quote(b2)), nil, 200}, // another's
			{s.admin, filtered(field + "in (" + quote(sorted[3], sorted[0], sorted[0]) + ")"), []string{sorted[0], sorted[3]}, 200},
			{s.admin, filtered(field + "ne " + quote(sorted[1])), []string{sorted[0], sorted[2], sorted[3]}, 200},
			{s.admin, filtered(field + "lt " + quote(sorted[1])), sorted[:1], 200},
			{s.admin, filtered(field + "le " + quote(sorted[1])), sorted[:2], 200},
			{s.admin, filtered(field + "gt " + quote(sorted[1])), sorted[2:], 200},
			{s.admin, filtered(field + "ge " + quote(sorted[1])), sorted[1:], 200},
			{s.admin, filtered(field + "gt " + quote("Z")), slices.DeleteFunc(slices.Clone(sorted), func(id string) bool { return id < "Z" }), 200}, // by bytes, whatever the database's language
			{s.admin, filtered(field + "sw " + quote(a1[:13])), []string{a1}, 200},
			{s.admin, filtered(field + "sw " + quote("%")), nil, 200},
			{s.admin, filtered(field + "sw " + quote("")), sorted, 200},
			{s.admin, filtered(field + "isnull"), nil, 200},
			{s.admin, filtered("isnull " + field), nil, 200},
			{s.admin, filtered("not isnull(accountActivityItemId)"), sorted, 200},
			{s.admin, filtered("(" + field + "eq " + quote(a1) + " or " + field + "eq " + quote(b2) + ") and not " + field + "eq " + quote(a1)), []string{b2}, 200},
			{s.admin, filtered(field + `eq "' OR 1=1 --"`), nil, 200},
			{s.admin, filtered(field + "co " + quote(a1)), nil, 400},
			{s.admin, filtered("name eq \"x\""), nil, 400},
			{s.admin, filtered(field + "eq " + a1), nil, 400},
			{s.admin, filtered(field + `eq "x`), nil, 400},
			{s.admin, filtered(field + "in ()"), nil, 400},
			{s.admin, filtered(field + "in \"x\""), nil, 400},
			{s.admin, filtered(""), nil, 400},
			{s.admin, filtered(strings.Repeat("(", 50) + field + "isnull"), nil, 400},
			{s.admin, filtered(strings.Repeat(field+"isnull and ", 400) + field + "isnull"), nil, 400},
			{s.admin, filtered(field + "eq " + quote(strings.Repeat("x", maxFilterText))), nil, 400},
			{s.admin, filtered(field + "isnull x"), nil, 400},
		} {
			got, r := s.items(c.status, c.who, c.query)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.query, got, c.want)
			}
			if c.status != 200 {
				checkTracked(t, r)
			}
			if r.header.Get("X-Total-Count") != "" {
				t.Errorf("%s: a count that nobody asked for", c.query)
			}
		}
		_, r := s.items(200, s.admin, "count=true&limit=1&offset=2")
		if got := r.header.Get("X-Total-Count"); got != "4" {
			t.Errorf("X-Total-Count: got %q, want 4", got)
		}
		_, r = s.items(200, s.bea, "count=true&limit=0")
		if got := r.header.Get("X-Total-Count"); got != "1" || r.body != "[]\n" {
			t.Errorf("X-Total-Count: got %q %s, want 1 and []", got, r.body)
		}
		for _, path := range []string{"/access-request-status", "/v3/access-request-status", "/v2024/access-request-status"} {
			if r := s.callAs(s.ann.token, "GET", path, ""); r.status != 200 {
				t.Errorf("%s: got %d", path, r.status)
			}
			r := s.callAs(s.ann.token, "POST", path, "{}")
			if r.status != 405 || r.header.Get("Allow") != "GET" {
				t.Errorf("%s: got %d", path, r.status)
			}
		}
	})
}

// checkTracked compares an error with the shape that is documented for its status.
func checkTracked(t *testing.T, r reply) {
	t.Helper()
	want := golden[statusShape](t, "access_request_status.json")
	var body any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	kinds, texts := map[string]string{}, map[string][]string{}
	shape(body, "", kinds, texts)
	if !maps.Equal(kinds, want.Errors["400"]) {
		t.Errorf("%s has %v, want %v", r.body, kinds, want.Errors["400"])
	}
	if code := want.DetailCode[fmt.Sprint(r.status)]; texts["detailCode"][0] != code || len(texts["trackingId"][0]) != 32 {
		t.Errorf("got %s, want detailCode %s", r.body, code)
	}
}

// TestItemFault: what is our fault has a form too, and says nothing of it.
func TestItemFault(t *testing.T) {
	s := newStaff(newKit(t))
	if _, err := s.store.write.ExecContext(t.Context(), "DROP TABLE access_request_votes"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.write.ExecContext(t.Context(), "DROP TABLE access_requests"); err != nil {
		t.Fatal(err)
	}
	r := s.callAs(s.ann.token, "GET", "/access-request-status", "")
	var e trackedError
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.status != 500 || e.Code != "500.0 Internal Fault" || len(e.Causes) != 0 || strings.Contains(r.body, "SELECT") {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if !strings.Contains(s.logs.String(), e.Tracking) {
		t.Error("the log does not have the tracking id")
	}
}
