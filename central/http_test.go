package central

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHTTPRules(t *testing.T) {
	k := newKit(t)
	short, err := k.store.CreateAPIKey(t.Context(), APIKeySpec{Integration: "main", Expires: k.clock.now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	k.clock.pass(time.Hour)
	revoked, err := k.store.CreateAPIKey(t.Context(), APIKeySpec{Integration: "main"})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.store.RevokeAPIKey(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	good := "Bearer " + k.secret
	for name, c := range map[string]struct {
		method, path, auth, kind, body string
		status                         int
		code                           string
	}{
		"good":               {"POST", "/v1/accesslevels/list", good, "application/json", `{}`, 200, ""},
		"no body":            {"POST", "/v1/accesslevels/list", good, "", "", 200, ""},
		"charset":            {"POST", "/v1/accesslevels/list", good, "application/json; charset=UTF-8", `{}`, 200, ""},
		"scheme in any case": {"POST", "/v1/accesslevels/list", "bearer " + k.secret, "application/json", `{}`, 200, ""},
		"no key":             {"POST", "/v1/accesslevels/list", "", "application/json", `{}`, 401, "Unauthorized"},
		"basic":              {"POST", "/v1/accesslevels/list", "Basic " + k.secret, "application/json", `{}`, 401, "Unauthorized"},
		"unknown key":        {"POST", "/v1/accesslevels/list", good + "x", "application/json", `{}`, 401, "Unauthorized"},
		"the hash as key":    {"POST", "/v1/accesslevels/list", "Bearer " + hashAPIKey(k.secret), "application/json", `{}`, 401, "Unauthorized"},
		"long key":           {"POST", "/v1/accesslevels/list", "Bearer postern_" + strings.Repeat("x", 5000), "application/json", `{}`, 401, "Unauthorized"},
		"expired":            {"POST", "/v1/accesslevels/list", "Bearer " + short.Secret, "application/json", `{}`, 401, "Unauthorized"},
		"revoked":            {"POST", "/v1/accesslevels/list", "Bearer " + revoked.Secret, "application/json", `{}`, 401, "Unauthorized"},
		"unknown path":       {"POST", "/v1/accesskeys/get", good, "application/json", `{}`, 404, "NotFound"},
		"GET":                {"GET", "/v1/accesskeys/add", good, "", "", 405, "MethodNotAllowed"},
		"DELETE":             {"DELETE", "/v1/accesskeys/remove", good, "application/json", `{}`, 405, "MethodNotAllowed"},
		"form":               {"POST", "/v1/accesskeys/add", good, "application/x-www-form-urlencoded", `a=b`, 415, "UnsupportedMediaType"},
		"no type":            {"POST", "/v1/accesskeys/add", good, "", `{}`, 415, "UnsupportedMediaType"},
		"latin-1":            {"POST", "/v1/accesskeys/add", good, "application/json; charset=iso-8859-1", `{}`, 415, "UnsupportedMediaType"},
		"too large":          {"POST", "/v1/accesskeys/add", good, "application/json", `{"pin":"` + strings.Repeat("1", maxBody) + `"}`, 413, "BodyTooLarge"},
		"health":             {"GET", "/healthz", "", "", "", 200, ""},
		"health by POST":     {"POST", "/healthz", "", "", "", 405, "MethodNotAllowed"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		w := httptest.NewRecorder()
		watched(t, k.api, w, r)
		got := reply{w.Code, w.Result().Header, w.Body.String()}
		if got.status != c.status {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, c.status)
			continue
		}
		if c.code != "" {
			if code, _ := got.code(t); code != c.code {
				t.Errorf("%s: got %s, want %s", name, code, c.code)
			}
		}
		if kind := got.header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
			t.Errorf("%s: answers as %q", name, kind)
		}
	}
}

func TestRateLimit(t *testing.T) {
	k := newKit(t)
	k.api = NewAPI(k.store, APIOptions{RateLimit: 1})
	var limited reply
	for range 50 {
		if limited = k.send(k.secret, "/v1/accesslevels/list", ""); limited.status != 200 {
			break
		}
	}
	code, _ := limited.code(t)
	after, err := strconv.Atoi(limited.header.Get("Retry-After"))
	if limited.status != http.StatusTooManyRequests || code != "TooManyRequests" || err != nil || after < 1 {
		t.Errorf("got %d %s, Retry-After %q", limited.status, code, limited.header.Get("Retry-After"))
	}
	if r := k.send(k.key("other"), "/v1/accesslevels/list", ""); r.status != 200 {
		t.Errorf("another key: got %d", r.status)
	}
}

func TestLimiter(t *testing.T) {
	l, now := newLimiter(2, 3), time.Unix(1000, 0)
	take := func(want bool, wait time.Duration) {
		t.Helper()
		if w, ok := l.take("a", now); ok != want || w != wait {
			t.Errorf("got %v after %v, want %v after %v", ok, w, want, wait)
		}
	}
	for range 3 {
		take(true, 0)
	}
	take(false, 500*time.Millisecond)
	now = now.Add(500 * time.Millisecond)
	take(true, 0)
	now = now.Add(-time.Hour) // a clock that goes back gives nothing and takes nothing
	take(false, 500*time.Millisecond)
	now = now.Add(2 * time.Hour)
	for range 3 {
		take(true, 0)
	}
	take(false, 500*time.Millisecond)
}

// TestOurFault: what goes wrong here is a 500 that says nothing about it.
func TestOurFault(t *testing.T) {
	k := newKit(t)
	if _, err := k.store.write.ExecContext(t.Context(), "ALTER TABLE key_parts RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	r := k.send(k.secret, "/v1/accesskeys/add", `{"key":{"identification":"13572468","type":"code"}}`)
	if code, _ := r.code(t); r.status != 500 || code != "Internal" || strings.Contains(r.body, "key_parts") {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if !strings.Contains(k.logs.String(), "key_parts") || strings.Contains(k.logs.String(), "13572468") {
		t.Error("the log must have the cause and not the code")
	}
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	watched(t, k.api, w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("health without a database: got %d", w.Code)
	}
}

// TestSlowBody: a caller that goes away leaves nothing behind.
func TestSlowBody(t *testing.T) {
	k := newKit(t)
	before := k.dump()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/accesskeys/add", io.MultiReader(strings.NewReader(`{"key":`), errReader{}))
	r.Header.Set("Authorization", "Bearer "+k.secret)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	watched(t, k.api, w, r)
	if w.Code < 400 || k.dump() != before {
		t.Errorf("got %d", w.Code)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
