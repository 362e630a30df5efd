package central

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/access"
	"postern/wire"
)

func (k *kit) events(body string) (a eventsAnswer) {
	k.t.Helper()
	r := k.post(http.StatusOK, "/v1/events/list", body)
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		k.t.Fatal(err)
	}
	return a
}

func types(a eventsAnswer) (out []int) {
	for _, e := range a.Events {
		out = append(out, e.Type)
	}
	return out
}

func TestEventsList(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		r.panel("p2", 6)
		p1, p2 := newFakePanel(r, "p1"), newFakePanel(r, "p2")
		if a := r.events(`{}`); a.LeastSyncTime != nil || len(a.Events) != 0 || a.HasMore || a.Continuation == "" {
			t.Errorf("nothing yet: got %+v", a)
		}
		card := r.add(fmt.Sprintf(`{"key":{"identification":"EM:1","type":"proximity"},"access_levels":[%q],"person":{"first_name":"Ada","last_name":"L"}}`, level(1)))
		code := r.add(fmt.Sprintf(`{"key":{"type":"code"},"access_levels":[%q]}`, level(1)))
		p1.happen(wire.Entry{Type: access.GrantedCard, Door: "front", Point: "in", KeyID: card.ID, KeyType: "proximity", Credential: "0000000000001", PersonID: access.MustParseID(card.Person.ID)})
		p1.happen(wire.Entry{Type: access.GrantedCode, Door: "back", KeyID: code.ID, KeyType: "code"})
		p1.happen(wire.Entry{Type: access.DeniedUnknown, Door: "front", Credential: "0000000000099", KeyType: "proximity"})
		p1.happen(wire.Entry{Type: access.Denied, Reason: string(access.ReasonBlocked), Door: "front"})
		p1.happen(wire.Entry{Type: access.DoorForced, Door: "front", Detail: "contact\x00"})
		r.clock.pass(time.Hour)
		p2.happen(wire.Entry{Type: access.GrantedREX, Door: "gate"})
		p1.settle()
		p2.settle()

		a := r.events(`{}`)
		if got := types(a); !slices.Equal(got, []int{102, 101, 201, 200, 104}) {
			t.Errorf("types: got %v", got)
		}
		if a.LeastSyncTime == nil || *a.LeastSyncTime != "2026-03-01T12:00:00Z" {
			t.Errorf("least_sync_time: got %v, want that of p1", a.LeastSyncTime)
		}
		body := r.post(http.StatusOK, "/v1/events/list", `{"limit":3}`).body
		for _, want := range []string{
			fmt.Sprintf(`{"event_time":"2026-03-01T12:00:00Z","sequence_id":1,"category":"accessgranted","type":102,"system_id":"p1",`+
				`"door_name":"Front door","key_id":%q,"key":{"identification":"0000000000001","type":"proximity"},`+
				`"person":{"id":%q,"first_name":"Ada","last_name":"L"},"subject":null,"access_point":"in"}`, card.ID, card.Person.ID),
			fmt.Sprintf(`"door_name":"back","key_id":%q,"key":{"identification":null,"type":"code"}`, code.ID),
			`"key_id":null,"key":null,"person":null,"subject":"0000000000099"}`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("got %s,\nwant in it %s", body, want)
			}
		}
		if strings.Contains(body, code.Key.Identification) {
			t.Error("a code is in the list of events")
		}
		for _, c := range []struct {
			body string
			want []int
		}{
			{`{"include_access_granted":true}`, []int{102, 101, 104}},
			{`{"include_access_denied":true}`, []int{201, 200}},
			{`{"include_access_granted":false,"include_access_denied":false}`, []int{102, 101, 201, 200, 104}},
			{`{"include_access_granted":true,"include_access_denied":true}`, []int{102, 101, 201, 200, 104}},
			{`{"include_system":true}`, []int{102, 101, 201, 200, 301, 104}},
			{`{"include_system":true,"include_access_denied":true}`, []int{201, 200, 301}},
			{`{"systems":["p2"]}`, []int{104}},
			{`{"systems":["p2","p1","p2"],"limit":1}`, []int{102}},
			{`{"from_date":"2026-03-01T12:30:00Z"}`, []int{104}},
			{`{"to_date":"2026-03-01T13:00:00Z"}`, []int{102, 101, 201, 200}},
			{`{"from_date":"2026-03-01T12:30:00Z","to_date":"2026-03-01T12:40:00Z"}`, nil},
		} {
			if got := types(r.events(c.body)); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.body, got, c.want)
			}
		}
		// Whose key it was is told to its integration alone.
		other := r.send(r.key("other"), "/v1/events/list", `{}`)
		if other.status != 200 || strings.Contains(other.body, card.ID.String()) || strings.Contains(other.body, "Ada") || strings.Contains(other.body, `"0000000000001"`) {
			t.Errorf("another integration sees whose key it was: %s", other.body)
		}
		r.clock.pass(8 * 24 * time.Hour)
		if got := types(r.events(`{}`)); got != nil {
			t.Errorf("after more than a week: got %v, want none by default", got)
		}
	})
}

// TestUntrustedTime: what a clock without a battery says hides no event.
func TestUntrustedTime(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6)
		p := newFakePanel(r, "p1")
		past, future := time.Date(1970, 1, 1, 0, 2, 0, 0, time.UTC), r.clock.now().AddDate(20, 0, 0)
		for _, e := range []wire.Entry{
			{Type: access.DeniedUnknown, At: past, Clock: "untrusted"},
			{Type: access.DeniedDisabled, At: past, Clock: "trusted"},
			{Type: access.DeniedBlacklisted, At: past, Clock: "?"},
			{Type: access.GrantedREX, At: future, Clock: "untrusted"},
			{Type: access.GrantedCode, At: r.clock.now().Add(-2 * time.Hour), Clock: "holdover"},
		} {
			p.happen(e)
		}
		p.settle()
		for _, c := range []struct {
			body string
			want []int
		}{
			{`{}`, []int{201, 203, 104, 101}},
			{`{"to_date":"2026-03-01T13:00:00Z"}`, []int{201, 203, 104, 101}},
			{`{"to_date":"2026-03-01T11:00:00Z"}`, []int{101}},
			{`{"from_date":"2026-03-01T13:00:00Z"}`, nil},
			{`{"from_date":"1970-01-01T00:00:00Z","to_date":"1970-02-01T00:00:00Z"}`, []int{204}},
		} {
			if got := types(r.events(c.body)); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.body, got, c.want)
			}
		}
		if a := r.events(`{"limit":1}`); a.Events[0].Time != "1970-01-01T00:02:00Z" {
			t.Errorf("event_time: got %s, want the panel's own", a.Events[0].Time)
		}
	})
}

// TestContinuation reads pages while events keep coming.
func TestContinuation(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6)
	r.panel("p2", 6)
	p1, p2 := newFakePanel(r, "p1"), newFakePanel(r, "p2")
	for range 5 {
		p1.happen(granted)
	}
	p1.settle()
	var got []int64
	body := `{"limit":2,"include_access_granted":true,"systems":["p1","p2"]}`
	for page := range 20 {
		if page == 1 {
			// What arrives in between is older by its time, and of a system that
			// comes first by its name.
			e := granted
			e.At = r.clock.now().Add(-time.Hour)
			p2.happen(e)
			p1.happen(granted)
			p1.happen(wire.Entry{Type: access.DeniedUnknown})
			p2.settle()
			p1.settle()
		}
		a := r.events(body)
		for _, e := range a.Events {
			got = append(got, e.Sequence)
		}
		if a.HasMore != (len(got) < 7) {
			t.Errorf("page %d: has_more is %v after %d of 7", page, a.HasMore, len(got))
		}
		body = fmt.Sprintf(`{"limit":2,"continuation_key":%q}`, a.Continuation)
		if !a.HasMore {
			break
		}
	}
	if !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("got sequence ids %v, want each of 1 to 7 once", got)
	}
	// The last key goes on giving what is new.
	p1.happen(granted)
	p1.settle()
	if a := r.events(body); len(a.Events) != 1 || a.Events[0].Sequence != 9 {
		t.Errorf("later: got %+v, want the new event", a.Events)
	}
	key := r.events(`{"include_access_granted":true,"systems":["p1"]}`).Continuation
	for name, c := range map[string]struct {
		body, code string
		status     int
	}{
		"same filter beside it":  {`{"include_access_granted":true,"systems":["p1"],"continuation_key":"` + key + `"}`, "", 200},
		"other filter beside it": {`{"include_access_denied":true,"continuation_key":"` + key + `"}`, "InvalidContinuationKey", 400},
		"other systems":          {`{"systems":["p2"],"continuation_key":"` + key + `"}`, "InvalidContinuationKey", 400},
		"made up":                {`{"continuation_key":"abc"}`, "InvalidContinuationKey", 400},
		"empty":                  {`{"continuation_key":""}`, "", 200},
		"negative":               {`{"continuation_key":"eyJhIjotMX0"}`, "InvalidContinuationKey", 400},
		"limit 0":                {`{"limit":0}`, "InvalidLimit", 400},
		"limit 1001":             {`{"limit":1001}`, "InvalidLimit", 400},
		"limit a text":           {`{"limit":"5"}`, "InvalidField", 400},
		"limit a fraction":       {`{"limit":1.5}`, "InvalidField", 400},
		"date":                   {`{"from_date":"yesterday"}`, "InvalidDate", 400},
		"unknown system":         {`{"systems":["nowhere"]}`, "Forbidden", 403},
	} {
		res := r.send(r.secret, "/v1/events/list", c.body)
		if res.status != c.status {
			t.Errorf("%s: got %d %s, want %d", name, res.status, res.body, c.status)
			continue
		}
		if c.code != "" {
			if code, _ := res.code(t); code != c.code {
				t.Errorf("%s: got %s, want %s", name, code, c.code)
			}
		}
	}
	if a, b := r.events(`{"limit":2}`), r.events(`{"limit":2,"continuation_key":""}`); len(b.Events) != 2 || b.Events[0].Sequence != a.Events[0].Sequence {
		t.Errorf("empty key: got %+v, want the first page", b.Events)
	}
	narrow := r.key("narrow", "p2")
	if res := r.send(narrow, "/v1/events/list", `{"continuation_key":"`+key+`"}`); res.status != http.StatusForbidden {
		t.Errorf("a continuation key of another scope: got %d", res.status)
	}
}
