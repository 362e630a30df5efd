package central

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// get asks without a body; header are names and values.
func (k *kit) get(path string, header ...string) reply {
	return k.call(http.MethodGet, path, "", header...)
}

// call does a request with a JSON body, none when it is empty.
func (k *kit) call(method, path, body string, header ...string) reply {
	k.t.Helper()
	r := httptest.NewRequestWithContext(k.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	watched(k.t, k.api, w, r)
	return reply{w.Code, w.Result().Header, w.Body.String()}
}

func TestReady(t *testing.T) {
	k := newKit(t)
	linked := false
	k.api = NewAPI(k.store, APIOptions{Linked: func() bool { return linked }})
	if r := k.get("/readyz"); r.status != 503 || !strings.Contains(r.body, `"link":"disconnected"`) {
		t.Errorf("without a link: got %d %s", r.status, r.body)
	}
	if r := k.get("/healthz"); r.status != 200 {
		t.Errorf("health without a link: got %d %s", r.status, r.body)
	}
	linked = true
	if r := k.get("/readyz"); r.status != 200 || !strings.Contains(r.body, `"status":"ready"`) {
		t.Errorf("with all: got %d %s", r.status, r.body)
	}
	if r := k.call("DELETE", "/readyz", ""); r.status != 405 {
		t.Errorf("DELETE: got %d", r.status)
	}
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
	if r := k.get("/readyz"); r.status != 503 || !strings.Contains(r.body, `"database":"does not answer"`) {
		t.Errorf("without a database: got %d %s", r.status, r.body)
	}
}

func TestMetrics(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		m := NewMetrics(k.store, func() bool { return true })
		k.api = NewAPI(k.store, APIOptions{Metrics: m, RateLimit: 1_000_000})
		k.panel("p1", 6, level(1))
		k.addCard(1, level(1))
		k.addCard(2, level(1))
		k.get("/nowhere/" + k.secret)
		k.call("BREW", "/healthz", "")
		scrape := func() (int, string) {
			w := httptest.NewRecorder()
			watched(t, m, w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
			return w.Code, w.Body.String()
		}
		code, text := scrape()
		for _, want := range []string{
			`postern_central_access_keys 2`, `postern_central_link_connected 1`, `postern_central_panel_revisions_behind{system_id="p1"} 2`,
			`postern_central_panel_online{system_id="p1"} 0`, `postern_central_panel_access_keys{system_id="p1"} 2`,
			`postern_central_key_updates{status="pending"} 2`, `postern_central_key_updates{status="failed"} 0`, `postern_central_events_total 0`,
			`postern_central_access_requests_open{state="granted"} 0`,
			`postern_central_http_requests_total{endpoint="/v1/accesskeys/add",method="POST",status="200"} 2`,
			`postern_central_http_requests_total{endpoint="other",method="GET",status="404"} 1`,
			`postern_central_http_requests_total{endpoint="/healthz",method="other",status="405"} 1`,
			`postern_central_http_request_seconds_count{endpoint="/v1/accesskeys/add"} 2`,
			`go_goroutines `,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is missing", want)
			}
		}
		if code != 200 || strings.Contains(text, k.secret) || strings.Contains(text, "main") && strings.Contains(text, `integration=`) {
			t.Errorf("got %d, or a secret in:\n%s", code, text)
		}
		// What every figure of ours must have: a text and the prefix.
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "# HELP postern") && !regexp.MustCompile(`^# HELP postern_central_[a-z_]+ [A-Z1].*\.\n$`).MatchString(line) {
				t.Errorf("help: %s", line)
			}
		}
		if err := k.store.Close(); err != nil {
			t.Fatal(err)
		}
		if code, _ := scrape(); code != 500 {
			t.Errorf("without a database: got %d", code)
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		if w.Code != 404 {
			t.Errorf("another path: got %d", w.Code)
		}
	})
}

// TestServeMetrics: they have an address of their own, and none when none is set.
func TestServeMetrics(t *testing.T) {
	dir := t.TempDir()
	c := DefaultConfig()
	c.Listen, c.Broker.Listen, c.MetricsListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Database, c.SecretKeyFile = filepath.Join(dir, "c.db"), filepath.Join(dir, "key")
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at, done := make(chan Addresses, 1), make(chan error, 1)
	go func() { done <- Serve(ctx, c, newKitLog(&logs{}), func(a Addresses) { at <- a }) }()
	a := <-at
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for url, want := range map[string]int{
		a.Metrics + "/metrics": 200, a.Metrics + "/v1/users": 404, a.HTTP + "/metrics": 404, a.HTTP + "/healthz": 200,
	} {
		r, err := client.Get("http://" + url)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: got %d, want %d", url, r.StatusCode, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.MetricsListen, c.Listen = "127.0.0.1:8080", "127.0.0.1:8080"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "metrics_listen") {
		t.Errorf("the same address twice: got %v", err)
	}
}

// TestSlowClients: a client that sends its head or its body by drops, takes no
// answer, or says nothing more is cut off, and others are answered meanwhile.
func TestSlowClients(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	const short = 150 * time.Millisecond
	go func() {
		done <- serveHTTP(ctx, l, k.api, httpTimes{header: short, read: short, write: short, idle: short}, newKitLog(&logs{}))
	}()
	for name, text := range map[string]string{
		"nothing":     "",
		"half a head": "POST /v1/accesskeys/add HTTP/1.1\r\nHost: x\r\nAuthorization: Bea",
		"half a body": "POST /v1/accesskeys/add HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + k.secret +
			"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"key\":",
		"half a chunk": "POST /v1/accesskeys/add HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + k.secret +
			"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
		"idle":       "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"large head": "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil && name != "large head" {
			t.Fatalf("%s: %v", name, err)
		}
		// The other end closes: reading ends, long before the test gives up.
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as the net package gives it
			t.Errorf("%s: the connection is still open", name)
		}
		if name == "large head" && len(got) > 0 && !strings.Contains(string(got), " 431 ") {
			t.Errorf("%s: got %.40q", name, got)
		}
		_ = conn.Close()
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("one that is quick: got %q, %v", line, err)
	}
	_ = conn.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("no\n\x00key"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Database, c.SecretKeyFile, c.Broker.Listen = filepath.Join(dir, "db"), filepath.Join(dir, "none"), "127.0.0.1:0"
	if err := c.CheckFiles(); err != nil {
		t.Errorf("a secret key that is to be made: %v", err)
	}
	c.SecretKeyFile, c.SigningKeyFile, c.Broker.PasswordFile = bad, bad, filepath.Join(dir, "nobody")
	c.MQTT.Username, c.MQTT.PasswordFile = "u", filepath.Join(dir, "nothing")
	err := c.CheckFiles()
	for _, want := range []string{"secret_key_file", "signing_key_file", "broker.password_file", "mqtt.password_file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in: %v", want, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the check made files: %v", entries)
	}
}
