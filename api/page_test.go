package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern/access"
	"postern/api"
)

func get(t *testing.T, ts *httptest.Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, ts, "GET", path, "", header...)
}

// ask sends a request; header are names and values, Host among them.
func ask(t *testing.T, ts *httptest.Server, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, ts.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	c := *ts.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestPage(t *testing.T) {
	d := start(t, true)
	ts := d.page(t)
	if err := d.client.PressKeys(t.Context(), "lab", "739154#"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.Badge(t.Context(), "front", "", "01011110"); err != nil {
		t.Fatal(err)
	}
	d.Change(func(st *api.Status) {
		st.Name = `<script>alert("x")</script>`
		st.Problems = []api.Problem{{What: "No clock.", Do: "Fit a battery."}}
		st.Doors[1].Alarm = "DoorForcedOpen"
	})
	var body string
	until(t, "the read is on the page", func() bool {
		_, body = get(t, ts, "/")
		return strings.Contains(body, "0101 1110")
	})
	for _, want := range []string{
		"&lt;script&gt;alert", "Front door", "Laboratory", "forced", "No clock.", "Fit a battery.",
		"8 bits fit none of this reader&#39;s formats", "typed on the keypad", "Access granted by card", "revision 7",
		`action="/keys"`, `name="identification"`, `lang="en"`, `role="log"`, `for="card-front"`,
	} {
		if !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if got := strings.Count(body, "typed on the keypad"); got != 1 {
		t.Errorf("what was typed at one go stands there %d times, want once", got)
	}
	for _, never := range []string{"739154", "<script>alert", "style=", "onclick", "http://", "https://"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

func TestPageShowsDoorsTroubles(t *testing.T) {
	d := start(t, true)
	ts := d.page(t)
	_, body := get(t, ts, "/")
	for _, never := range []string{"fire alarm", "exit button stuck", "contact fault"} {
		if strings.Contains(body, never) {
			t.Errorf("the page of a door that is well has %q", never)
		}
	}
	d.Change(func(st *api.Status) {
		st.Doors[1].Physical, st.Doors[1].Fire, st.Doors[1].REXStuck = "Fault", true, true
	})
	_, body = get(t, ts, "/")
	for _, want := range []string{"fire alarm", "exit button stuck", "contact fault"} {
		if got := strings.Count(body, want); got != 1 {
			t.Errorf("the page has %q %d times, want once", want, got)
		}
	}
}

func TestPageInputsAndOutputs(t *testing.T) {
	for _, simulated := range []bool{true, false} {
		d := start(t, simulated)
		ts := d.page(t)
		if _, body := get(t, ts, "/"); strings.Contains(body, "Inputs and outputs") {
			t.Error("a panel without inputs and outputs has a section for them")
		}
		d.Wire()
		_, body := get(t, ts, "/")
		for _, want := range []string{
			"Inputs and outputs", "Fire relay", `id="input-fire"`, "Input gate", `id="input-gate"`, "Bell", `id="output-bell"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		want := 0
		if simulated {
			want = 2
		}
		for _, part := range []string{`action="/input"`, `name="active" value="true"`, `name="active" value="false"`} {
			if got := strings.Count(body, part); got != want {
				t.Errorf("simulated %t: %s is there %d times, want %d", simulated, part, got, want)
			}
		}
	}
}

func TestPageHeaders(t *testing.T) {
	d := start(t, true)
	ts := d.page(t)
	for path, media := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8",
		"/page.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml", "/none": "application/json",
	} {
		resp, _ := get(t, ts, path)
		for name, want := range map[string]string{
			"Content-Type": media, "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s %s: got %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestPageTrustsOnlyItself(t *testing.T) {
	d := start(t, true)
	ts := d.page(t)
	own := ts.URL
	host := strings.TrimPrefix(own, "http://")
	const rex = "door=front"
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"own host", "GET", "/", "", nil, 200},
		{"localhost", "GET", "/", "", []string{"Host", "localhost:9"}, 200},
		{"no port", "GET", "/", "", []string{"Host", "127.0.0.1"}, 200},
		{"v6", "GET", "/", "", []string{"Host", "[::1]:8481"}, 200},
		{"v6 without port", "GET", "/", "", []string{"Host", "[::1]"}, 200},
		{"rebound name", "GET", "/", "", []string{"Host", "evil.example:8481"}, 403},
		{"rebound stream", "GET", "/live", "", []string{"Host", "evil.example"}, 403},
		{"name that begins well", "GET", "/", "", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"localhost below a name", "GET", "/", "", []string{"Host", "localhost.evil.example"}, 403},
		{"other address", "GET", "/", "", []string{"Host", "192.0.2.1"}, 403},
		{"link from elsewhere", "GET", "/", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"script from elsewhere", "GET", "/page.js", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"post, own site", "POST", "/rex", rex, []string{"Sec-Fetch-Site", "same-origin"}, 303},
		{"post, own origin", "POST", "/rex", rex, []string{"Origin", own}, 303},
		{"post, both", "POST", "/rex", rex, []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 303},
		{"post, says nothing", "POST", "/rex", rex, nil, 403},
		{"post, other site", "POST", "/rex", rex, []string{"Sec-Fetch-Site", "cross-site", "Origin", own}, 403},
		{"post, same site", "POST", "/rex", rex, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"post, typed", "POST", "/rex", rex, []string{"Sec-Fetch-Site", "none"}, 403},
		{"post, other origin", "POST", "/rex", rex, []string{"Origin", "http://evil.example"}, 403},
		{"post, other port", "POST", "/rex", rex, []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"post, null origin", "POST", "/rex", rex, []string{"Origin", "null"}, 403},
		{"post, https", "POST", "/rex", rex, []string{"Origin", "https://" + host}, 403},
		{"post, rebound", "POST", "/rex", rex, []string{"Host", "evil.example", "Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"}, 403},
	}
	for _, tt := range tests {
		resp, body := ask(t, ts, tt.method, tt.path, tt.body, tt.header...)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: got %d %.100s, want %d", tt.name, resp.StatusCode, body, tt.status)
		}
	}
	if got := len(d.Done()); got != 3 {
		t.Errorf("the exit button was pressed %d times, want 3: %q", got, d.Done())
	}
}

func TestForms(t *testing.T) {
	d := start(t, true)
	d.Wire()
	ts := d.page(t)
	post := func(path, body string, header ...string) (*http.Response, string) {
		return ask(t, ts, "POST", path, body, append(header, "Sec-Fetch-Site", "same-origin")...)
	}
	for path, body := range map[string]string{
		"/badge": "reader=front&identification=+0000000000005+", "/keys": "reader=lab&keys=%23",
		"/contact": "door=lab&open=true", "/rex": "door=lab", "/unlock": "door=front", "/input": "input=fire&active=true",
	} {
		resp, _ := post(path, body)
		if resp.StatusCode != 303 || resp.Header.Get("Location") != "/" {
			t.Errorf("%s: got %d to %q, want 303 to /", path, resp.StatusCode, resp.Header.Get("Location"))
		}
		if resp, _ := post(path, body, "Accept", "application/json"); resp.StatusCode != 204 {
			t.Errorf("%s by script: got %d, want 204", path, resp.StatusCode)
		}
	}
	if got := len(d.Done()); got != 12 {
		t.Errorf("%d things done, want 12: %q", got, d.Done())
	}
	for _, tt := range []struct {
		path, body string
		status     int
		message    string
	}{
		{"/badge", "reader=front&identification=12345", 400, "badge: invalid identification: this reader sends EM cards, 13 digits"},
		{"/badge", "reader=front&reader=lab", 400, "reader is there twice"},
		{"/badge", "reader=%zz", 400, "the form is not valid"},
		{"/keys", "reader=lab&keys=73915x", 400, "keys must be 1 to 32 of 0-9, * and #"},
		{"/contact", "door=lab&open=yes", 400, "open must be true or false"},
		{"/contact", "door=lab&open=null", 400, "open must be true or false"},
		{"/rex", "door=lab&now=1", 400, `unknown field "now" (want door)`},
		{"/input", "input=fire", 400, "active is missing"},
		{"/input", "input=fire&active=on", 400, "active must be true or false"},
		{"/input", "input=fire&active=true&active=false", 400, "active is there twice"},
		{"/input", "input=horn&active=true", 404, `input "horn": not found on this panel`},
		{"/unlock", "door=cellar", 404, `door "cellar": not found on this panel`},
	} {
		resp, body := post(tt.path, tt.body, "Accept", "application/json")
		var e struct{ Error api.Error }
		if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != tt.status || e.Error.Message != tt.message {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.path, tt.body, resp.StatusCode, body, tt.status, tt.message)
		}
		resp, body = post(tt.path, tt.body)
		if resp.StatusCode != tt.status || !strings.Contains(body, "<!doctype html>") || strings.Contains(body, "73915x") {
			t.Errorf("%s %s without script: got %d, want %d and the page", tt.path, tt.body, resp.StatusCode, tt.status)
		}
	}
}

func TestRealBoardsPageMovesNothing(t *testing.T) {
	d := start(t, false)
	d.Wire()
	ts := d.page(t)
	_, body := get(t, ts, "/")
	if strings.Contains(body, "<form") || strings.Contains(body, "<button") {
		t.Error("the page of a real board has something to press")
	}
	if reads, journal := strings.Index(body, `id="reads"`), strings.Index(body, `id="journal"`); reads < 0 || reads > journal {
		t.Errorf("the reads at %d are not before the journal at %d", reads, journal)
	}
	for _, path := range []string{"/unlock", "/rex", "/keys", "/badge", "/contact", "/input", "/outputs/bell", "/identify"} {
		resp, _ := ask(t, ts, "POST", path, "door=front", "Sec-Fetch-Site", "same-origin")
		if resp.StatusCode != 404 {
			t.Errorf("%s: got %d, want 404", path, resp.StatusCode)
		}
	}
	if got := d.Done(); len(got) != 0 {
		t.Errorf("done: %q", got)
	}
}

func TestLive(t *testing.T) {
	d := start(t, true)
	d.Wire()
	ts := d.page(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", ts.URL+"/live", nil)
	resp, err := ts.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type: got %s", got)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	// await reads until the element id shows text.
	await := func(id, text string) {
		t.Helper()
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var f struct{ ID, HTML string }
			if err := json.Unmarshal([]byte(data), &f); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			if strings.Contains(data, "739154") {
				t.Fatalf("typed digits in the stream: %s", data)
			}
			if f.ID == id && strings.Contains(f.HTML, text) {
				return
			}
		}
		t.Fatalf("%s never showed %q: %v", id, text, lines.Err())
	}
	await("door-front", "secured")
	if err := d.client.PressKeys(t.Context(), "front", "739154"); err != nil {
		t.Fatal(err)
	}
	await("reads", "typed on the keypad")
	if _, err := d.client.Badge(t.Context(), "front", "0000000000099", ""); err != nil {
		t.Fatal(err)
	}
	await("journal", "0000000000099")
	if err := d.client.Unlock(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	await("door-front", "unlocked")
	if err := d.client.Input(t.Context(), "fire", true); err != nil {
		t.Fatal(err)
	}
	await("input-fire", "active")
	if err := d.client.SetOutput(t.Context(), "bell", true); err != nil {
		t.Fatal(err)
	}
	await("output-bell", ">on<")
	if err := d.client.Identify(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	await("reader-lab", "identify")
	d.Change(func(st *api.Status) { st.Doors[1].Fire = true })
	await("door-lab", "fire alarm")
	d.Append(api.Event{Type: access.DoorForced, Door: "lab"})
	await("journal", "door forced")
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "card": "card", "card_and_pin": "card and PIN", "LockedDown": "locked down",
		"WrongPIN": "wrong PIN", "PINTimeout": "PIN timeout", "pin_wanted": "PIN wanted", "SecondPersonWanted": "second person wanted",
	} {
		if got := api.Words(in); got != want {
			t.Errorf("words(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestGroupBits(t *testing.T) {
	for in, want := range map[string]string{"": "", "0101": "0101", "01011": "0101 1", "010111110000": "0101 1111 0000"} {
		if got := api.GroupBits(in); got != want {
			t.Errorf("GroupBits(%q): got %q, want %q", in, got, want)
		}
	}
}
