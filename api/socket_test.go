package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/api"
)

func TestRefusals(t *testing.T) {
	d := start(t, true)
	const (
		plain = "text/plain"
		js    = "application/json"
	)
	tests := []struct {
		method, path, media, body string
		status                    int
		code, message             string
	}{
		{"GET", "/", "", "", 404, "NotFound", "no such path; the API begins at /v1/status"},
		{"GET", "/v1/keys/", "", "", 404, "NotFound", "no such path; the API begins at /v1/status"},
		{"POST", "/v1/status", js, "{}", 405, "MethodNotAllowed", "use GET"},
		{"HEAD", "/v1/watch", "", "", 405, "", ""},
		{"GET", "/v1/sim/rex", "", "", 405, "MethodNotAllowed", "use POST"},
		{"DELETE", "/v1/keys/11111111-1111-4111-8111-111111111111", "", "", 405, "MethodNotAllowed", "use GET"},
		{"GET", "/v1/status?x=1", "", "", 400, "InvalidArgument", `unknown parameter "x" (want none)`},
		{"GET", "/v1/events?limit=%zz", "", "", 400, "InvalidArgument", "the query is not valid"},
		{"GET", "/v1/events?limit=0", "", "", 400, "InvalidArgument", "limit must be a number from 1 to 1000"},
		{"GET", "/v1/events?limit=1001", "", "", 400, "InvalidArgument", "limit must be a number from 1 to 1000"},
		{"GET", "/v1/events?limit=", "", "", 400, "InvalidArgument", "limit must be a number from 1 to 1000"},
		{"GET", "/v1/events?limit=+5", "", "", 400, "InvalidArgument", "limit must be a number from 1 to 1000"},
		{"GET", "/v1/events?limit=05", "", "", 400, "InvalidArgument", "limit must be a number from 1 to 1000"},
		{"GET", "/v1/events?limit=5&limit=6", "", "", 400, "InvalidArgument", "limit is there twice"},
		{"GET", "/v1/events?before=0", "", "", 400, "InvalidArgument", "before must be a number from 1 to 18446744073709551615"},
		{"GET", "/v1/events?before=18446744073709551616", "", "", 400, "InvalidArgument", "before must be a number from 1 to 18446744073709551615"},
		{"GET", "/v1/events?after=1", "", "", 400, "InvalidArgument", `unknown parameter "after" (want before, limit)`},
		{"GET", "/v1/keys?after=1", "", "", 400, "InvalidArgument", "after: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"GET", "/v1/keys?after=", "", "", 400, "InvalidArgument", "after: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"GET", "/v1/keys/1", "", "", 400, "InvalidArgument", "key id: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"GET", "/v1/keys/99999999-9999-4999-8999-999999999999", "", "", 404, "NotFound", "key 99999999-9999-4999-8999-999999999999: not found on this panel"},
		{"POST", "/v1/doors/cellar/unlock", "", "", 404, "NotFound", `door "cellar": not found on this panel`},
		{"POST", "/v1/doors/" + strings.Repeat("x", 65) + "/unlock", "", "", 400, "InvalidArgument", "door is over 64 bytes"},
		{"POST", "/v1/doors/lab/unlock", "", "", 409, "Refused", "unlock lab: refused: it is locked down; end the lockdown first"},
		{"GET", "/v1/readers/front/identify", "", "", 405, "MethodNotAllowed", "use POST"},
		{"POST", "/v1/readers/cellar/identify", "", "", 404, "NotFound", `reader "cellar": not found on this panel`},
		{"POST", "/v1/readers/" + strings.Repeat("x", 65) + "/identify", "", "", 400, "InvalidArgument", "reader is over 64 bytes"},
		{"POST", "/v1/readers/front/identify?x=1", "", "", 400, "InvalidArgument", `unknown parameter "x" (want none)`},
		{"GET", "/v1/outputs/bell", "", "", 405, "MethodNotAllowed", "use POST"},
		{"POST", "/v1/outputs/", js, `{"on":true}`, 404, "NotFound", "no such path; the API begins at /v1/status"},
		{"POST", "/v1/outputs/horn", js, `{"on":true}`, 404, "NotFound", `output "horn": not found on this panel`},
		{"POST", "/v1/outputs/" + strings.Repeat("x", 65), js, `{"on":true}`, 400, "InvalidArgument", "output is over 64 bytes"},
		{"POST", "/v1/outputs/bell?x=1", js, `{"on":true}`, 400, "InvalidArgument", `unknown parameter "x" (want none)`},
		{"POST", "/v1/outputs/bell", plain, `{"on":true}`, 415, "UnsupportedMediaType", "send Content-Type: application/json"},
		{"POST", "/v1/outputs/bell", js, `{"on":true` + strings.Repeat(" ", 4096) + `}`, 413, "TooLarge", "the body is over 4096 bytes"},
		{"POST", "/v1/outputs/bell", js, "", 400, "InvalidArgument", "the body is not a JSON object"},
		{"POST", "/v1/outputs/bell", js, "true", 400, "InvalidArgument", "the body is not a JSON object"},
		{"POST", "/v1/outputs/bell", js, `{"on":true`, 400, "InvalidArgument", "the body is not valid JSON"},
		{"POST", "/v1/outputs/bell", js, `{"on":true}{}`, 400, "InvalidArgument", "the body goes on after its object"},
		{"POST", "/v1/outputs/bell", js, `{}`, 400, "InvalidArgument", "on is missing"},
		{"POST", "/v1/outputs/bell", js, `{"on":null}`, 400, "InvalidArgument", "on must be true or false"},
		{"POST", "/v1/outputs/bell", js, `{"on":"true"}`, 400, "InvalidArgument", "on must be true or false"},
		{"POST", "/v1/outputs/bell", js, `{"on":1}`, 400, "InvalidArgument", "on must be true or false"},
		{"POST", "/v1/outputs/bell", js, `{"on":true,"on":false}`, 400, "InvalidArgument", "on is there twice"},
		{"POST", "/v1/outputs/bell", js, `{"On":true}`, 400, "InvalidArgument", `unknown field "On" (want on)`},
		{"POST", "/v1/outputs/bell", js, `{"on":true,"for":5}`, 400, "InvalidArgument", `unknown field "for" (want on)`},
		{"POST", "/v1/sim/badge", plain, "{}", 415, "UnsupportedMediaType", "send Content-Type: application/json"},
		{"POST", "/v1/sim/badge", "", "{}", 415, "UnsupportedMediaType", "send Content-Type: application/json"},
		{"POST", "/v1/sim/badge", js, strings.Repeat(" ", 4097), 413, "TooLarge", "the body is over 4096 bytes"},
		{"POST", "/v1/sim/badge", js, "", 400, "InvalidArgument", "the body is not a JSON object"},
		{"POST", "/v1/sim/badge", js, "[]", 400, "InvalidArgument", "the body is not a JSON object"},
		{"POST", "/v1/sim/badge", js, "{", 400, "InvalidArgument", "the body is not valid JSON"},
		{"POST", "/v1/sim/badge", js, `{"reader"`, 400, "InvalidArgument", "the body is not valid JSON"},
		{"POST", "/v1/sim/badge", js, `{"reader":}`, 400, "InvalidArgument", "the body is not valid JSON"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front"} x`, 400, "InvalidArgument", "the body goes on after its object"},
		{"POST", "/v1/sim/badge", js, "{\"reader\":\"\xff\"}", 400, "InvalidArgument", "the body is not UTF-8"},
		{"POST", "/v1/sim/badge", js, `{"reader":"a","reader":"b"}`, 400, "InvalidArgument", "reader is there twice"},
		{"POST", "/v1/sim/badge", js, `{"Reader":"a"}`, 400, "InvalidArgument", `unknown field "Reader" (want bits, identification, reader)`},
		{"POST", "/v1/sim/badge", js, `{"reader":null}`, 400, "InvalidArgument", "reader must be a string"},
		{"POST", "/v1/sim/badge", js, `{"reader":1}`, 400, "InvalidArgument", "reader must be a string"},
		{"POST", "/v1/sim/badge", js, `{"bits":"1"}`, 400, "InvalidArgument", "reader is missing"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front"}`, 400, "InvalidArgument", "give identification or bits, one of the two"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front","bits":"1","identification":"1"}`, 400, "InvalidArgument", "give identification or bits, one of the two"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front","bits":"0120"}`, 400, "InvalidArgument", "bits has something other than 0 and 1 at character 3"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front","bits":"` + strings.Repeat("1", 129) + `"}`, 400, "InvalidArgument", "bits are over 128 characters"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front","identification":"` + strings.Repeat("1", 81) + `"}`, 400, "InvalidArgument", "identification is over 80 characters"},
		{"POST", "/v1/sim/badge", js, `{"reader":"front","identification":"12345"}`, 400, "InvalidArgument", "badge: invalid identification: this reader sends EM cards, 13 digits"},
		{"POST", "/v1/sim/badge", js, `{"reader":"back","bits":"1"}`, 404, "NotFound", `reader "back": not found on this panel`},
		{"POST", "/v1/sim/keys", js, `{"reader":"front","keys":""}`, 400, "InvalidArgument", "keys must be 1 to 32 of 0-9, * and #"},
		{"POST", "/v1/sim/keys", js, `{"reader":"front","keys":"12a4"}`, 400, "InvalidArgument", "keys must be 1 to 32 of 0-9, * and #"},
		{"POST", "/v1/sim/keys", js, `{"reader":"front","keys":"` + strings.Repeat("1", 33) + `"}`, 400, "InvalidArgument", "keys must be 1 to 32 of 0-9, * and #"},
		{"POST", "/v1/sim/keys", js, `{"reader":"front","keys":1234}`, 400, "InvalidArgument", "keys must be a string"},
		{"POST", "/v1/sim/contact", js, `{"door":"front"}`, 400, "InvalidArgument", "open is missing"},
		{"POST", "/v1/sim/contact", js, `{"door":"front","open":"true"}`, 400, "InvalidArgument", "open must be true or false"},
		{"POST", "/v1/sim/contact", js, `{"door":"front","open":null}`, 400, "InvalidArgument", "open must be true or false"},
		{"POST", "/v1/sim/contact", js, `{"open":true}`, 400, "InvalidArgument", "door is missing"},
		{"POST", "/v1/sim/rex", js, `{}`, 400, "InvalidArgument", "door is missing"},
		{"POST", "/v1/sim/rex?x=1", js, `{"door":"front"}`, 400, "InvalidArgument", `unknown parameter "x" (want none)`},
		{"GET", "/v1/sim/tamper", "", "", 405, "MethodNotAllowed", "use POST"},
		{"POST", "/v1/sim/tamper", plain, `{"reader":"front","open":true}`, 415, "UnsupportedMediaType", "send Content-Type: application/json"},
		{"POST", "/v1/sim/tamper", js, `{"open":true}`, 400, "InvalidArgument", "reader is missing"},
		{"POST", "/v1/sim/tamper", js, `{"reader":"front"}`, 400, "InvalidArgument", "open is missing"},
		{"POST", "/v1/sim/tamper", js, `{"reader":"front","open":null}`, 400, "InvalidArgument", "open must be true or false"},
		{"POST", "/v1/sim/tamper", js, `{"reader":"front","open":"open"}`, 400, "InvalidArgument", "open must be true or false"},
		{"POST", "/v1/sim/tamper", js, `{"reader":7,"open":true}`, 400, "InvalidArgument", "reader must be a string"},
		{"POST", "/v1/sim/tamper", js, `{"reader":"` + strings.Repeat("x", 65) + `","open":true}`, 400, "InvalidArgument", "reader is over 64 bytes"},
		{"POST", "/v1/sim/tamper", js, `{"door":"front","open":true}`, 400, "InvalidArgument", `unknown field "door" (want open, reader)`},
		{"POST", "/v1/sim/tamper", js, `{"reader":"front","open":true,"open":true}`, 400, "InvalidArgument", "open is there twice"},
		{"POST", "/v1/sim/tamper", js, `{"reader":"back","open":true}`, 404, "NotFound", `reader "back": not found on this panel`},
		{"GET", "/v1/sim/input", "", "", 405, "MethodNotAllowed", "use POST"},
		{"POST", "/v1/sim/input", js, "", 400, "InvalidArgument", "the body is not a JSON object"},
		{"POST", "/v1/sim/input", js, `{"active":true}`, 400, "InvalidArgument", "input is missing"},
		{"POST", "/v1/sim/input", js, `{"input":"","active":true}`, 400, "InvalidArgument", "input is missing"},
		{"POST", "/v1/sim/input", js, `{"input":"fire"}`, 400, "InvalidArgument", "active is missing"},
		{"POST", "/v1/sim/input", js, `{"input":"fire","active":null}`, 400, "InvalidArgument", "active must be true or false"},
		{"POST", "/v1/sim/input", js, `{"input":"fire","active":0}`, 400, "InvalidArgument", "active must be true or false"},
		{"POST", "/v1/sim/input", js, `{"input":null,"active":true}`, 400, "InvalidArgument", "input must be a string"},
		{"POST", "/v1/sim/input", js, `{"input":"` + strings.Repeat("x", 65) + `","active":true}`, 400, "InvalidArgument", "input is over 64 bytes"},
		{"POST", "/v1/sim/input", js, `{"input":"fire","on":true}`, 400, "InvalidArgument", `unknown field "on" (want active, input)`},
		{"POST", "/v1/sim/input", js, `{"input":"horn","active":true}`, 404, "NotFound", `input "horn": not found on this panel`},
	}
	d.Wire()
	d.Change(func(st *api.Status) { st.Doors[1].Mode = "LockedDown" })
	for _, tt := range tests {
		name := tt.method + " " + tt.path + " " + tt.body
		status, media, body := d.request(t, tt.method, tt.path, tt.media, tt.body)
		if status != tt.status || media != "application/json" {
			t.Errorf("%.120s: got %d %s, want %d application/json", name, status, media, tt.status)
		}
		if tt.method == "HEAD" {
			continue
		}
		want := fmt.Sprintf("{\"error\":{\"code\":%q,\"message\":%s}}\n", tt.code, quote(tt.message))
		if body != want {
			t.Errorf("%.120s:\n got %s want %s", name, body, want)
		}
	}
	if got := d.Done(); len(got) != 0 {
		t.Errorf("refused requests did something: %q", got)
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func (d *daemon) request(t *testing.T, method, path, media, body string) (status int, contentType, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://panel"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := d.http().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

func TestRealBoardHasNoHands(t *testing.T) {
	d := start(t, false)
	for _, what := range []string{"badge", "keys", "contact", "rex", "tamper", "input"} {
		status, _, body := d.request(t, "POST", "/v1/sim/"+what, "application/json", `{"door":"front"}`)
		if status != http.StatusConflict || !strings.Contains(body, "this panel's board is real") {
			t.Errorf("%s: got %d %s", what, status, body)
		}
	}
}

// What a real board has too: a lamp and an output of its own.
func TestRealBoardObeys(t *testing.T) {
	d, ctx := start(t, false), t.Context()
	d.Wire()
	if err := errors.Join(d.client.Identify(ctx, "front"), d.client.SetOutput(ctx, "bell", true)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"identify front", "output bell true"}, d.Done()); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
}

// A door says only what is so, and a list is never null.
func TestStatusOnTheWire(t *testing.T) {
	d := start(t, true)
	status := func() string {
		_, _, body := d.request(t, "GET", "/v1/status", "", "")
		return body
	}
	body := status()
	for _, want := range []string{`"inputs":[]`, `"outputs":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("the status lacks %s: %s", want, body)
		}
	}
	for _, never := range []string{"physical", `"fire"`, "rex_stuck"} {
		if strings.Contains(body, never) {
			t.Errorf("the status has %s: %s", never, body)
		}
	}
	d.Wire()
	d.Change(func(st *api.Status) {
		st.Doors[1].Physical, st.Doors[1].Fire, st.Doors[1].REXStuck = "Fault", true, true
		st.Inputs[0].Active, st.Outputs[0].On = true, true
	})
	body = status()
	for _, want := range []string{
		`"physical":"Fault","fire":true,"rex_stuck":true`,
		`"inputs":[{"id":"fire","name":"Fire relay","kind":"fire","active":true},{"id":"gate","kind":"aux","active":false}]`,
		`"outputs":[{"id":"bell","name":"Bell","on":true}]`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the status lacks %s: %s", want, body)
		}
	}
}

func TestContact(t *testing.T) {
	for _, tt := range []struct {
		door api.Door
		want string
	}{
		{api.Door{}, "none"},
		{api.Door{Physical: "Unknown"}, "none"},
		{api.Door{HasContact: true}, "closed"},
		{api.Door{HasContact: true, Open: true}, "open"},
		{api.Door{HasContact: true, Physical: "Closed"}, "closed"},
		{api.Door{HasContact: true, Physical: "Open", Open: true}, "open"},
		{api.Door{HasContact: true, Physical: "Unknown"}, "unknown"},
		// The last word of a contact at fault stands in Open.
		{api.Door{HasContact: true, Physical: "Fault", Open: true}, "fault"},
	} {
		if got := tt.door.Contact(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.door, got, tt.want)
		}
	}
}

func TestInternalErrorsStayInside(t *testing.T) {
	d := start(t, true)
	d.Fail(errors.New("disk /dev/mmcblk0 code 123456"))
	for _, path := range []string{"/v1/status", "/v1/doors", "/v1/events", "/v1/keys"} {
		status, _, body := d.request(t, "GET", path, "", "")
		if status != 500 || strings.Contains(body, "123456") || !strings.Contains(body, "journalctl -u posternd") {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	d.Fail(nil)
}

func TestClient(t *testing.T) {
	d, ctx := start(t, true), t.Context()
	st, err := d.client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := d.Status(ctx)
	want.Problems, want.Inputs, want.Outputs = []api.Problem{}, []api.Input{}, []api.Output{}
	if diff := cmp.Diff(want, st); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	doors, err := d.client.Doors(ctx)
	if err != nil || len(doors) != 2 {
		t.Errorf("doors: got %v, %v", doors, err)
	}
	events, err := d.client.Events(ctx, 2, 5)
	if err != nil || len(events) != 1 || events[0].Seq != 1 {
		t.Errorf("events before 2: got %v, %v", events, err)
	}
	keys, err := d.client.Keys(ctx, access.ID{}, 2)
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys: got %v, %v", keys, err)
	}
	rest, err := d.client.Keys(ctx, keys[1].ID, 2)
	if err != nil || len(rest) != 1 {
		t.Errorf("keys after the second: got %v, %v", rest, err)
	}
	k, err := d.client.Key(ctx, rest[0].ID)
	if diff := cmp.Diff(rest[0], k); err != nil || diff != "" {
		t.Errorf("key: %v (-want +got):\n%s", err, diff)
	}
	if _, err := d.client.Key(ctx, access.ID{1}); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("unknown key: got %v, want ErrNotFound", err)
	}
	d.act(t)
}

func (d *daemon) act(t *testing.T) {
	ctx := t.Context()
	sent, err := d.client.Badge(ctx, "front", "0000000000005", "")
	if want := strings.Repeat("0", 37) + "101"; err != nil || sent != want {
		t.Errorf("badge: sent %q, %v, want %q", sent, err, want)
	}
	if _, err := d.client.Badge(ctx, "front", "5", ""); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("bad card: got %v, want ErrInvalid", err)
	}
	d.Wire()
	for what, err := range map[string]error{
		"identify": d.client.Identify(ctx, "lab"), "output": d.client.SetOutput(ctx, "bell", true),
		"tamper": d.client.Tamper(ctx, "lab", true), "input": d.client.Input(ctx, "gate", true),
		"keys": d.client.PressKeys(ctx, "lab", "12*#"), "contact": d.client.Contact(ctx, "lab", true),
		"rex": d.client.REX(ctx, "lab"), "unlock": d.client.Unlock(ctx, "front"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	got := strings.Join(d.Done(), "\n")
	for _, want := range []string{
		"badge front " + sent, "keys lab 12*#", "contact lab true", "rex lab", "unlock front",
		"identify lab", "output bell true", "tamper lab true", "input gate true",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q was not done; done:\n%s", want, got)
		}
	}
	for what, err := range map[string]error{
		"identify": d.client.Identify(ctx, "a/b"), "output": d.client.SetOutput(ctx, "a/b", true),
		"tamper": d.client.Tamper(ctx, "back", true), "input": d.client.Input(ctx, "horn", true),
	} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s of what isn't there: got %v, want ErrNotFound", what, err)
		}
	}
	d.Change(func(st *api.Status) { st.Doors[0].Mode = "LockedDown" })
	if err := d.client.Unlock(ctx, "front"); !errors.Is(err, api.ErrRefused) {
		t.Errorf("unlock while locked down: got %v, want ErrRefused", err)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(`{"reader":"front","bits":"0101"}`)
	f.Add(`{"reader":"front","bits":"0101","bits":""}`)
	f.Add(`{"reader":{}}`)
	f.Fuzz(func(t *testing.T, body string) { api.CheckDecode(t, body) })
}
