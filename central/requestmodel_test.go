package central

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRequestLives plays random lives of requests against a small model of the
// rules. Whatever happens, a person's key opens a level only while a granted
// request for it runs, and once central has looked it opens all that run.
func TestRequestLives(t *testing.T) {
	k, n := newKit(t), 0
	k.panel("p1", 6, level(1), level(2), level(3))
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := &lives{rt: rt, kit: k, op: k.human(fmt.Sprintf("op%d", n), "", RoleOperator)}
		k.clock.pass(time.Second) // later than all that was before
		for i := range 3 {
			card := ""
			if i == 0 {
				card = fmt.Sprintf("EM:%d", 1000+n)
			}
			w.people = append(w.people, k.human(fmt.Sprintf("asker%d-%d", i, n), card))
		}
		for i := range 3 { // approvers may ask, too
			w.people = append(w.people, k.human(fmt.Sprintf("voter%d-%d", i, n), "", RoleApprover))
		}
		for l, votes := range []int{1, 1, 2} {
			k.approvers(level(l+1), votes, w.people[3:]...)
		}
		if _, err := k.store.write.ExecContext(t.Context(), "DELETE FROM exclusions"); err != nil {
			t.Fatal(err)
		}
		if w.exclusive = rapid.Bool().Draw(rt, "exclusive"); w.exclusive {
			k.exclude(level(1), level(2))
		}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			w.step()
			w.check()
		}
		k.clock.pass(10 * 24 * time.Hour)
		k.lapse()
		w.check()
		for i, h := range w.people {
			if key := k.keyOf(h); key != nil {
				rt.Errorf("person %d has a key for ever: %+v", i, key)
			}
		}
	})
}

type lives struct {
	rt *rapid.T
	*kit
	op        human
	people    []human
	requests  []*life
	exclusive bool
	looked    bool // central has looked since time passed
}

// life is what the model knows of a request.
type life struct {
	id, state                string
	owner, level, hours      int
	starts, expires, created time.Time
	votes                    map[int]bool
}

func (w *lives) status(l *life) string {
	now := w.clock.now()
	switch {
	case l.state == statePending && l.hours > 0 && !now.Before(l.created.Add(DefaultPending)),
		l.state == statePending && l.hours == 0 && !now.Before(l.expires),
		l.state == stateGranted && !now.Before(l.expires):
		return stateExpired
	case l.state == stateWithdrawn:
		return stateRevoked
	}
	return l.state
}

func (w *lives) pick() *life {
	if len(w.requests) == 0 {
		return nil
	}
	return rapid.SampledFrom(w.requests).Draw(w.rt, "request")
}

func (w *lives) expect(ok bool, h human, path, body string) bool {
	w.t.Helper()
	r := w.callAs(h.token, "POST", path, body)
	if (r.status == http.StatusOK) != ok || r.status >= 500 {
		w.rt.Fatalf("%s %s: got %d %s, want it to be done: %v", path, body, r.status, r.body, ok)
	}
	return ok
}

func (w *lives) step() {
	switch rapid.SampledFrom([]string{"ask", "ask", "vote", "vote", "vote", "revoke", "time", "look"}).Draw(w.rt, "step") {
	case "ask":
		w.asks()
	case "vote":
		w.votes()
	case "revoke":
		l := w.pick()
		if l == nil {
			return
		}
		by := rapid.IntRange(0, 5).Draw(w.rt, "by")
		status := w.status(l)
		open := status == statePending || status == stateGranted
		if w.expect(open && (by == l.owner || by >= 3), w.people[by], requestPath+"/"+l.id+"/revoke", `{"revoke_reason":"x"}`) {
			l.state = stateRevoked
		}
	case "time":
		w.clock.pass(time.Duration(rapid.SampledFrom([]int{1, 30, 60, 61, 300, 3000}).Draw(w.rt, "minutes")) * time.Minute)
		w.looked = false
	case "look":
		w.lapse()
		w.looked = true
	}
}

func (w *lives) asks() {
	l := &life{state: statePending, owner: rapid.IntRange(0, 5).Draw(w.rt, "owner"), level: rapid.IntRange(1, 3).Draw(w.rt, "level"), votes: map[int]bool{}}
	now := w.clock.now()
	l.created = now
	body, from := "", now
	var to time.Time
	if rapid.Bool().Draw(w.rt, "immediate") {
		l.hours = rapid.IntRange(1, 24).Draw(w.rt, "hours")
		body, to = immediateBody(level(l.level), l.hours), now.Add(time.Duration(l.hours)*time.Hour)
	} else {
		l.starts = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(w.rt, "in")) * time.Hour)
		l.expires = l.starts.Add(time.Duration(rapid.IntRange(1, 20).Draw(w.rt, "for")) * time.Hour)
		body, from, to = scheduledBody(level(l.level), l.starts, l.expires), l.starts, l.expires
	}
	open, held := 0, false
	for _, x := range w.requests {
		if s := w.status(x); x.owner == l.owner && (s == statePending || s == stateGranted) {
			open++
			held = held || s == stateGranted && x.level == l.level && !x.starts.After(from) && !x.expires.Before(to)
		}
	}
	if open >= maxOpen || held {
		w.expect(false, w.people[l.owner], requestPath, body)
		return
	}
	l.id = w.ask(w.people[l.owner], body)
	w.requests = append(w.requests, l)
}

func (w *lives) votes() {
	l := w.pick()
	if l == nil {
		return
	}
	by := rapid.IntRange(0, 5).Draw(w.rt, "by")
	accept := rapid.IntRange(0, 4).Draw(w.rt, "accept") > 0
	_, voted := l.votes[by]
	ok := by >= 3 && by != l.owner && w.status(l) == statePending && !voted
	need := 1
	if l.level == 3 {
		need = 2
	}
	grants := ok && accept && len(l.votes) == need-1
	if grants && w.exclusive && l.level < 3 {
		for _, x := range w.requests {
			ok = ok && (x.owner != l.owner || x.level != 3-l.level || w.status(x) != stateGranted)
		}
	}
	body := `{"accepted":true}`
	if !accept {
		body = `{"accepted":false,"reason":"no"}`
	}
	if !w.expect(ok, w.people[by], requestPath+"/"+l.id+"/vote", body) {
		return
	}
	l.votes[by] = accept
	switch {
	case !accept:
		l.state = stateRejected
	case grants:
		l.state = stateGranted
		if l.hours > 0 {
			l.starts, l.expires = w.clock.now(), w.clock.now().Add(time.Duration(l.hours)*time.Hour)
		}
	}
}

func (w *lives) check() {
	now := w.clock.now()
	if len(w.requests) == 0 {
		return
	}
	var list struct {
		Requests []requestModel `json:"access_request"`
	}
	w.want(200, w.op, "GET", fmt.Sprintf("%s?limit=%d", requestPath, len(w.requests)), "", &list) // none is newer
	byID := map[string]requestModel{}
	for _, r := range list.Requests {
		byID[r.ID] = r
	}
	for _, l := range w.requests {
		if got := byID[l.id]; got.Status != w.status(l) || len(got.Votes) != len(l.votes) {
			w.rt.Fatalf("request %s is %s with %d votes, want %s with %d", l.id, got.Status, len(got.Votes), w.status(l), len(l.votes))
		}
	}
	for i, h := range w.people {
		key := w.keyOf(h)
		opens := func(n int, at time.Time) bool {
			return key != nil && key.removed.IsZero() && slices.Contains(key.Levels, level(n)) && !at.Before(key.ValidFrom) && at.Before(key.ValidTo)
		}
		for n := 1; n <= 3; n++ {
			// Windows begin and end at whole minutes of the clock.
			for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(90 * time.Minute), now.Add(12 * time.Hour), now.Add(47 * time.Hour)} {
				runs := slices.ContainsFunc(w.requests, func(l *life) bool {
					return l.owner == i && l.level == n && l.state == stateGranted && !at.Before(l.starts) && at.Before(l.expires)
				})
				if opens(n, at) && !runs {
					w.rt.Fatalf("person %d's key opens level %d at %s, which nobody granted: %+v", i, n, at, key)
				}
				if runs && w.looked && at.Equal(now) && !opens(n, at) {
					w.rt.Fatalf("person %d's key does not open level %d: %+v", i, n, key)
				}
			}
		}
	}
}

// FuzzRequests sends bodies and paths to the access requests API and queries to
// the access request status API: whatever they hold, it is never our fault, and
// what is refused changes nothing.
func FuzzRequests(f *testing.F) {
	k := newKit(f)
	s := newStaff(k)
	id := s.ask(s.ann, immediateBody(level(1), 2))
	s.exclude(level(1), level(2))
	paths := []string{
		requestPath, requestPath + "/" + id + "/vote", requestPath + "/" + id + "/revoke", "/v1/users", "/v1/users/" + s.bea.id,
		"/v1/users/" + s.bea.id + "/tokens", "/v1/levels/exclusions",
	}
	for i, body := range []string{
		immediateBody(level(1), 3), scheduledBody(level(1), k.clock.now(), k.clock.now().Add(time.Hour)), `{"accepted":true}`,
		`{"accepted":false,"reason":"x","access_request_id":null}`, `{"revoke_reason":"\u0000"}`, `{"name":"x","roles":["approver"],"card":"EM:5|MC:6"}`,
		`{"card":null,"roles":null}`, `{"expires_at":"9999-12-31T23:59:59Z"}`, `{"left":"` + level(1).String() + `","right":"` + level(2).String() + `"}`,
		`{"account_id":"` + level(1).String() + `","type":"scheduled","starts_at":"0001-01-01T00:00:00Z","expires_at":"2026-03-02T00:00:00Z","reason":"x"}`,
	} {
		f.Add(uint8(i), body, "limit=1")
	}
	for _, q := range []string{
		"filters=accountActivityItemId+eq+%22x%22", "filters=not(isnull(accountActivityItemId))and+accountActivityItemId+in+(%22a%22,%22%5C%22%22)",
		"sorters=-created,name", "requested-for=me&count=true&limit=0&offset=2147483647", "assigned-to=me", "regarding-identity=" + s.ann.id, "%", "a=%00",
		"filters=accountActivityItemId+sw+%22%C3%A4%ff%22",
	} {
		f.Add(uint8(255), "", q)
	}
	f.Fuzz(func(t *testing.T, path uint8, body, q string) {
		k.t = t
		k.logs.b.Reset()
		before := k.dump()
		var r reply
		if int(path) < 2*len(paths) {
			who := []human{s.admin, s.bob}[int(path)/len(paths)]
			r = k.callAs(who.token, "POST", paths[int(path)%len(paths)], body)
		} else {
			r = k.query(s.admin, "/access-request-status", q)
		}
		switch {
		case r.status >= 500:
			t.Fatalf("got %d %s\n%s", r.status, r.body, k.logs)
		case r.status >= 400 && k.dump() != before && r.status != http.StatusConflict: // a conflict may note a violation
			t.Fatal("a refused request changed the database")
		}
	})
}

// query asks with a query as it is, also one that no client would send.
func (k *kit) query(h human, path, raw string) reply {
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	r.URL.RawQuery = raw
	r.Header.Set("Authorization", "Bearer "+h.token)
	return k.serve(r)
}

// FuzzFilter parses filters; what it takes it can write, with a placeholder for
// each value.
func FuzzFilter(f *testing.F) {
	f.Add(`accountActivityItemId eq "x" and not (accountActivityItemId in ("a", "b\"c") or isnull accountActivityItemId)`)
	f.Add(`accountActivityItemId sw "ä"`)
	f.Fuzz(func(t *testing.T, text string) {
		flt, err := parseFilter(text)
		if err != nil {
			return
		}
		var p params
		sql := flt(&p, "r.id")
		if len(p) > 2*maxFilterTerms || len(sql) > 100*len(text)+100 {
			t.Errorf("%q makes %d values and %d bytes", text, len(p), len(sql))
		}
		for _, c := range sql {
			if c == '"' || c == '\'' || c == ';' || c > '~' {
				t.Fatalf("%q goes into the statement: %s", text, sql)
			}
		}
	})
}
