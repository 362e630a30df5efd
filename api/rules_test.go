package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/api"
	"postern/api/apitest"
)

func TestModes(t *testing.T) {
	d := start(t, true)
	until := apitest.Start.Add(time.Hour)
	if err := d.client.SetMode(t.Context(), "front", api.ModeOrder{Mode: "LockedDown", Until: until}); err != nil {
		t.Fatal(err)
	}
	if err := d.client.SetMode(t.Context(), api.AllDoors, api.ModeOrder{Mode: api.ClearMode}); err != nil {
		t.Fatal(err)
	}
	want := []string{"mode front LockedDown until 2026-03-02T10:30:00Z", "mode * Clear"}
	if diff := cmp.Diff(want, d.Done()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := d.client.SetMode(t.Context(), "front", api.ModeOrder{Mode: "Locked", Until: apitest.Start}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("an end that is over: %v", err)
	}
	if err := d.client.SetMode(t.Context(), "cellar", api.ModeOrder{Mode: "Locked"}); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("no door: %v", err)
	}
}

func TestRulesRefusals(t *testing.T) {
	d := start(t, true)
	for _, tt := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/v1/doors/front/mode", `{}`, 400, `mode: unknown door mode "" (one of Locked, Unlocked, Blocked, LockedDown, LockedOpen), or Clear`},
		{"POST", "/v1/doors/front/mode", `{"mode":"Accessed"}`, 400, `mode: unknown door mode "Accessed" (one of Locked, Unlocked, Blocked, LockedDown, LockedOpen), or Clear`},
		{"POST", "/v1/doors/front/mode", `{"mode":"Locked","until":"soon"}`, 400, "until must be a time such as 2026-03-02T17:00:00Z"},
		{"POST", "/v1/doors/front/mode", `{"mode":"Clear","until":"2099-01-01T00:00:00Z"}`, 400, "until goes with a mode, not with Clear"},
		{"POST", "/v1/doors/front/mode?mode=Locked", `{}`, 400, `unknown parameter "mode" (want none)`},
		{"GET", "/v1/doors/front/mode", "", 405, "use POST"},
		{"POST", "/v1/explain?code=739154", `{}`, 400, `unknown parameter "code" (want none)`},
		{"POST", "/v1/explain", `{"identification":"0001234567890"}`, 400, "reader is missing"},
		{"POST", "/v1/explain", `{"reader":"front"}`, 400, "give identification or code, one of the two"},
		{"POST", "/v1/explain", `{"reader":"front","identification":"1","code":"739154"}`, 400, "give identification or code, one of the two"},
		{"POST", "/v1/explain", `{"reader":"front","code":"739154","pin":"7301"}`, 400, "a pin goes with a card, not with a code"},
		{"POST", "/v1/explain", `{"reader":"front","code":"73915x"}`, 400, "code: a code has decimal digits only"},
		{"POST", "/v1/explain", `{"reader":"front","identification":"1","pin":"730"}`, 400, "pin: a PIN has 4 decimal digits"},
		{"POST", "/v1/explain", `{"reader":"front","identification":"1","at":"noon"}`, 400, "at must be a time such as 2026-03-02T17:00:00Z"},
		{"POST", "/v1/explain", `{"reader":"front","identification":"` + strings.Repeat("1", 81) + `"}`, 400, "identification is over 80 characters"},
		{"GET", "/v1/explain", "", 405, "use POST"},
		{"GET", "/v1/events/0/trace", "", 400, "seq must be a number from 1 to 18446744073709551615"},
		{"GET", "/v1/events/x/trace", "", 400, "seq must be a number from 1 to 18446744073709551615"},
		{"GET", "/v1/events/99/trace", "", 404, "entry 99: not found in the journal"},
		{"GET", "/v1/inside?area=cellar", "", 404, `area "cellar": not found on this panel`},
		{"GET", "/v1/inside?area=", "", 400, "area is missing"},
		{"POST", "/v1/forgive", `{}`, 400, "give person, or all as true, one of the two"},
		{"POST", "/v1/forgive", `{"all":true,"person":"77777777-7777-4777-8777-777777777777"}`, 400, "give person, or all as true, one of the two"},
		{"POST", "/v1/forgive", `{"person":"me"}`, 400, "person: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"POST", "/v1/local-keys", `{"identification":"1"}`, 400, "access_levels is missing: a key without one opens nothing"},
		{"POST", "/v1/local-keys", `{"identification":"1","access_levels":"x"}`, 400, "access_levels must be a list of strings"},
		{"POST", "/v1/local-keys", `{"identification":"1","access_levels":[null]}`, 400, "access_levels must be a list of strings"},
		{"POST", "/v1/local-keys", `{"identification":"1","access_levels":["x"]}`, 400, "access_levels: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"POST", "/v1/local-keys", `{"access_levels":[]}`, 400, "give identification or code, one of the two"},
		{"DELETE", "/v1/local-keys/1", "", 400, "key id: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"DELETE", "/v1/local-keys", "", 405, "use GET or POST"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://posternd"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if tt.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := d.http().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ Error api.Error }
		if err := decode(resp, &e); err != nil || resp.StatusCode != tt.status || e.Error.Message != tt.message {
			t.Errorf("%s %s %s: got %d %q, %v; want %d %q", tt.method, tt.path, tt.body, resp.StatusCode, e.Error.Message, err, tt.status, tt.message)
		}
	}
	if got := d.Done(); len(got) != 0 {
		t.Errorf("done: %q", got)
	}
}

// Codes and PINs are explained once a second, all callers together; cards as often
// as anybody wants. What was asked is in no log.
func TestExplainIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := api.NewServer(apitest.New(), nil, slog.New(slog.NewTextHandler(&log, nil))).Socket()
		ask := func(what string, want int) {
			t.Helper()
			r := httptest.NewRequest("POST", "/v1/explain", strings.NewReader(fmt.Sprintf(`{"reader":"front",%s}`, what)))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want || strings.Contains(w.Body.String(), "739154") || strings.Contains(w.Body.String(), "7301") {
				t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, want)
			}
		}
		const code, pin, card = `"code":"739154"`, `"identification":"0001234567890","pin":"7301"`, `"identification":"0001234567890"`
		ask(code, 200)
		ask(code, 429)
		ask(pin, 429)
		ask(card, 200)
		ask(card, 200)
		time.Sleep(time.Second - time.Millisecond)
		ask(pin, 429)
		time.Sleep(time.Millisecond)
		ask(pin, 200)
		ask(code, 429)
		for _, secret := range []string{"739154", "7301"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has a secret: %s", &log)
			}
		}
		if !strings.Contains(log.String(), "explained") {
			t.Error("the log does not say that somebody asked")
		}
	})
}

func TestRulesOverTheSocket(t *testing.T) {
	d := start(t, true)
	ctx := t.Context()
	e, err := d.client.Explain(ctx, api.Question{Reader: "front", Identification: "0001234567890", At: apitest.Start.Add(time.Hour)})
	if err != nil || !e.Granted || e.Type != access.GrantedCard || !e.At.Equal(apitest.Start.Add(time.Hour)) || len(e.Steps) != 2 {
		t.Errorf("explanation %+v, %v", e, err)
	}
	tr, err := d.client.Trace(ctx, 2)
	if diff := cmp.Diff(api.Trace{Seq: 2, Steps: apitest.Steps}, tr); diff != "" || err != nil {
		t.Errorf("trace: %v (-want +got):\n%s", err, diff)
	}
	if tr, err := d.client.Trace(ctx, 1); err != nil || tr.Why == "" || tr.Steps == nil || len(tr.Steps) != 0 {
		t.Errorf("trace of no decision %+v, %v", tr, err)
	}
	if _, err := d.client.Trace(ctx, 99); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("trace of no entry: %v", err)
	}
	refused := api.PolicyRefused{Epoch: 1, Revision: 2, Faults: []api.PolicyFault{{Path: "codes.size", Message: "is 3"}}}
	d.RefusePolicy(refused)
	p, err := d.client.Policy(ctx)
	if diff := cmp.Diff(api.Policy{Source: api.PolicyOfPanel, Refused: &refused}, p); diff != "" || err != nil {
		t.Errorf("policy: %v (-want +got):\n%s", err, diff)
	}
	if doc, err := d.client.PolicyDocument(ctx); err != nil || !bytes.HasPrefix(doc, []byte(`{"codes":`)) {
		t.Errorf("policy %s, %v", doc, err)
	}
	areas, err := d.client.Inside(ctx, "")
	want := []api.Area{{ID: "hall", Name: "Great hall", Inside: []access.ID{apitest.Person}}, {ID: "yard", Inside: []access.ID{}}}
	if diff := cmp.Diff(want, areas); diff != "" || err != nil {
		t.Errorf("areas: %v (-want +got):\n%s", err, diff)
	}
	if n, err := d.client.Forgive(ctx, apitest.Person); n != 1 || err != nil {
		t.Errorf("forgiven %d, %v", n, err)
	}
	if n, err := d.client.Forgive(ctx, access.ID{}); n != 0 || err != nil {
		t.Errorf("forgiven %d, %v, want nobody left", n, err)
	}
	k, err := d.client.AddLocal(ctx, api.NewKey{Identification: "0000000000077", PIN: "7301", Levels: []access.ID{{1}}, ValidTo: apitest.Start})
	if err != nil || !k.HasPIN || k.ValidTo == nil || !k.ValidTo.Equal(apitest.Start) || len(k.AccessLevels) != 1 {
		t.Errorf("added %+v, %v", k, err)
	}
	if keys, err := d.client.LocalKeys(ctx); err != nil || len(keys) != 1 || keys[0].ID != k.ID {
		t.Errorf("local keys %+v, %v", keys, err)
	}
	if _, err := d.client.AddLocal(ctx, api.NewKey{Identification: "0000000000077", Levels: []access.ID{{1}}}); !errors.Is(err, api.ErrRefused) {
		t.Errorf("added twice: %v", err)
	}
	if err := d.client.RemoveLocal(ctx, k.ID); err != nil {
		t.Error(err)
	}
	if err := d.client.RemoveLocal(ctx, k.ID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// The page shows who ordered a mode, and how a decision came about; to explain a
// badge, order a mode or keep keys it offers nothing, simulated or not.
func TestPageShowsRules(t *testing.T) {
	d := start(t, true)
	ts := d.page(t)
	d.Change(func(st *api.Status) {
		st.Doors[0].Mode, st.Doors[0].ModeBy, st.Doors[0].ModeUntil = "LockedDown", "central", apitest.Start.Add(8*time.Hour)
		st.Doors[1].FirstCard = "awaited"
	})
	_, body := get(t, ts, "/")
	for _, want := range []string{
		`<span class="mark bad">locked down</span>`, `by central, until <time datetime="2026-03-02T17:30:00Z">17:30:00</time>`, "the first card is awaited",
		"<details><summary>Why</summary>", "<dt>1 door</dt><dd>the door is Locked</dd>", `<div class="answer"><dt>11 grant</dt>`,
	} {
		if got := strings.Count(body, want); got != 1 {
			t.Errorf("the page has %q %d times, want once", want, got)
		}
	}
	for _, path := range []string{"/explain", "/v1/explain", "/mode", "/v1/doors/front/mode", "/v1/local-keys", "/v1/policy", "/v1/events/2/trace"} {
		if resp, _ := ask(t, ts, "POST", path, "reader=front&code=739154", "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 404 {
			t.Errorf("%s: got %d, want 404", path, resp.StatusCode)
		}
	}
}

func decode(resp *http.Response, v any) error {
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}
