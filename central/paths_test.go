package central

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPaths sends request lines that no client would, through a real server: what
// is no endpoint is not there, nothing is reached by another spelling without its
// own login, and no redirect leads elsewhere.
func TestPaths(t *testing.T) {
	s := newStaff(newKit(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, l, s.api, defaultTimes(), newKitLog(&logs{})) }()
	before := s.dump()
	users := `{"name":"eve","roles":["ORG_ADMIN"]}`
	for _, c := range []struct {
		method, target, body string
		header               string
		want                 []int
	}{
		{"POST", "/v1/accesskeys/add/", `{}`, "", []int{404}},
		{"POST", "/V1/accesskeys/add", `{}`, "", []int{404}},
		{"POST", "/v1/AccessKeys/Add", `{}`, "", []int{404}},
		{"POST", "//v1/accesskeys/add", `{}`, "", []int{301, 307, 308, 404}},
		{"POST", "/v1//accesskeys/add", `{}`, "", []int{301, 307, 308, 404}},
		{"POST", "/v1/./accesskeys/add", `{}`, "", []int{301, 307, 308, 404}},
		{"POST", "/v1/accesskeys/../accesskeys/add", `{}`, "", []int{301, 307, 308, 404}},
		{"POST", "/../../etc/passwd", `{}`, "", []int{301, 307, 308, 404}},
		{"GET", "//evil.example/%2e%2e", "", "", []int{301, 307, 308, 404}},
		{"GET", "//evil.example/..//x", "", "", []int{301, 307, 308, 404}},
		{"GET", "/\\evil.example/..", "", "", []int{301, 307, 308, 400, 404}},
		{"POST", "/v1%2faccesskeys%2fadd", `{}`, "", []int{404}},
		{"POST", "/v1/accesskeys%2fadd", `{}`, "", []int{404}},
		{"POST", "/v1/accesskeys/%2e%2e/accesskeys/add", `{}`, "", []int{301, 307, 308, 404}},
		{"POST", "/v1/accesskeys/add%00", `{}`, "", []int{404}},
		{"POST", "/v1/accesskeys/add%0d%0aX-Evil:1", `{}`, "", []int{404}},
		{"POST", "/v1/accesskeys/add;x=1", `{}`, "", []int{404}},
		{"POST", "/v1/accesskeys/add%", `{}`, "", []int{400}},
		{"POST", "/v1/accesskeys/add%zz", `{}`, "", []int{400}},
		{"POST", "v1/accesskeys/add", `{}`, "", []int{400}},
		{"GET", "/v1/users/%2e%2e%2fpanels", "", "", []int{404}},
		{"GET", "/v1/users/..%2f..%2fetc%2fpasswd", "", "", []int{404}},
		{"GET", "/v1/users/%00", "", "", []int{404}},
		{"GET", "/v1/users/" + s.ann.id + "%00", "", "", []int{404}},
		{"GET", "/v1/users/" + s.ann.id + "/", "", "", []int{404}},
		{"GET", "/v1/users/" + strings.ToUpper(s.bea.id), "", "", []int{403}}, // the same uuid, and the same rule
		{"GET", "/v1/users/%" + fmt.Sprintf("%02x", s.bea.id[0]) + s.bea.id[1:], "", "", []int{403}},
		{"GET", "/v1/panels/%2e%2e/policy", "", "", []int{301, 307, 308, 403, 404}},
		{"GET", "/v1/panels/p1%2fpolicy", "", "", []int{403, 404}},
		{"GET", "/v1/panels/p1%00/policy", "", "", []int{403, 404}},
		{"PUT", "/v1/panels/p1/modes/..%2f..%2fp1", `{"mode":"LockedOpen"}`, "", []int{403, 404}},
		{"POST", "/v1/panels/p1/doors/%2a/unlock", `{}`, "", []int{403, 404}},
		{"POST", requestPath + "/..%2f..%2f..%2fv1%2fusers/vote", `{"accepted":true}`, "", []int{404}},
		// What a proxy or a framework may take for another method or path.
		{"POST", "/v1/users", users, "X-HTTP-Method-Override: PUT", []int{403}},
		{"GET", "/v1/users", "", "X-HTTP-Method-Override: POST", []int{403}},
		{"GET", "/v1/users/" + s.bea.id, "", "X-Method-Override: DELETE", []int{403}},
		{"GET", "/v1/users/" + s.bea.id + "?_method=DELETE", "", "", []int{400, 403}},
		{"GET", "/v1/users/me", "", "X-Original-URL: /v1/users", []int{200}},
		{"GET", "/v1/users/me", "", "X-Rewrite-URL: /v1/audit", []int{200}},
		{"HEAD", "/v1/users/me", "", "", []int{405}},
		{"OPTIONS", "/v1/users", "", "Origin: https://evil.example", []int{405}},
		{"TRACE", "/v1/users/me", "", "", []int{405}},
		{"CONNECT", "/v1/users/me", "", "", []int{400, 404, 405}},
		{"get", "/v1/users/me", "", "", []int{405}},
		{"PROPFIND", "/v1/users", "", "", []int{405}},
		{"GET", "http://evil.example/v1/users/me", "", "", []int{200}}, // the absolute form; the path counts
		{"OPTIONS", "*", "", "", []int{200, 400, 404}},
	} {
		status, head, body := rawRequest(t, l.Addr().String(), c.method, c.target, c.header, s.ann.token, c.body)
		if !slices.Contains(c.want, status) {
			t.Errorf("%s %s %s: got %d %.100s, want %v", c.method, c.target, c.header, status, body, c.want)
		}
		if to := head.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Errorf("%s %s leads to %s", c.method, c.target, to)
		}
		if head.Get("X-Evil") != "" || head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: got headers %v", c.method, c.target, head)
		}
	}
	if s.dump() != before {
		t.Error("something changed")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// rawRequest writes a request line as it is.
func rawRequest(t *testing.T, addr, method, target, header, token, body string) (int, http.Header, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if header != "" {
		header += "\r\n"
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: central.example\r\nConnection: close\r\nAuthorization: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		method, target, token, header, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}
