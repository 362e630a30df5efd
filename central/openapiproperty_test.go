package central

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"postern/access"
	"postern/wire"
)

// world is a site with people, panels and events, whose API is asked whatever
// the document has.
type world struct {
	*staff
	rt      *rapid.T
	c       *contract
	g       *generator
	secrets []string // API keys and tokens
	codes   []string // of access keys, long enough to be told from other numbers
}

// TestOpenAPIProperties: whatever is asked, the answer is in the document and
// never a fault of central's; what the document refuses is refused; and secrets
// go to nobody but those they are for.
func TestOpenAPIProperties(t *testing.T) {
	c := readContract(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt, c)
		defer w.store.Close()
		for range rapid.IntRange(10, 30).Draw(rt, "requests") {
			w.ask()
			w.clock.pass(time.Duration(rapid.IntRange(0, 90).Draw(rt, "minutes")) * time.Minute)
		}
		text := w.logs.String()
		for _, bad := range append(slices.Concat(w.secrets, w.codes), mark, "panic") {
			if strings.Contains(text, bad) {
				rt.Fatalf("the log has %s", bad)
			}
		}
	})
}

func newWorld(t *testing.T, rt *rapid.T, c *contract) *world {
	k := newKit(t)
	s := newStaff(k)
	k.panel("p2", 0, level(1), level(3))
	k.announce("p1", 10, level(1), level(2))
	k.approvers(level(2), 2, s.bob, s.carl, s.admin)
	r := newRig(k)
	p := newFakePanel(r, "p1")
	card := k.addCard(1, level(1))
	p.happen(wire.Entry{Type: access.GrantedCard, Door: "front", Point: "in", KeyID: card, KeyType: "proximity", Credential: "0000000000001"})
	p.happen(wire.Entry{Type: access.DeniedUnknown, Door: "front", Credential: "0000000000099", KeyType: "proximity"})
	p.happen(wire.Entry{Type: access.DoorForced, Door: "front"})
	p.settle()
	w := &world{staff: s, rt: rt, c: c, g: &generator{doc: c.doc, seen: map[string][]string{}, now: k.clock.now()}}
	for _, h := range []human{s.admin, s.ann, s.bea, s.bob, s.carl, s.op, s.aud} {
		w.secrets = append(w.secrets, h.token)
		if h != s.admin { // whom others are not to remove, or the rest is refused
			w.g.see("UserID", h.id)
		}
		w.g.see("Who", h.id)
	}
	w.secrets = append(w.secrets, k.secret)
	w.g.see("AccessKeyID", card.String())
	w.g.see("SystemID", "p1")
	w.g.see("SystemID", "p2")
	for n := range 3 {
		w.g.see("AccessLevelID", level(n+1).String())
	}
	k.api = NewAPI(k.store, APIOptions{Log: newKitLog(k.logs), RateLimit: 1_000_000, Wake: func() {
		outcome := pick(rt, []string{CommandDone, CommandRefused, CommandExpired}, "outcome")
		if _, err := k.store.write.ExecContext(t.Context(), "UPDATE commands SET state = $1, error = 'because' WHERE state = 'waiting'", outcome); err != nil {
			t.Error(err)
		}
	}})
	return w
}

// ask draws a request and judges its answer.
func (w *world) ask() {
	o := pick(w.rt, w.c.operations, "operation")
	if o.path == "/metrics" { // which has a server of its own
		return
	}
	w.rt.Log(o.id)
	wild := pick(w.rt, []string{"", "", "", "", "path", "query", "body", "body", "body", "text", "kind"}, "wild")
	r, body := w.request(o, wild)
	roles, valid := w.authorize(r, o)
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	w.judge(o, r, body, rec, roles, valid)
	w.learn(o, body, rec)
}

func (w *world) request(o *operation, wild string) (*http.Request, string) {
	path, raw := "", ""
	for part := range strings.SplitSeq(o.path[1:], "/") {
		if strings.HasPrefix(part, "{") {
			i := slices.IndexFunc(o.params, func(p parameter) bool { return p.in == "path" && "{"+p.name+"}" == part })
			part = w.g.place(w.rt, o.params[i], wild == "path")
		}
		path, raw = path+"/"+part, raw+"/"+url.PathEscape(part)
	}
	body := ""
	if o.body != nil && (o.bodyWanted || wild == "body" || chance(w.rt, 80, "has a body")) {
		v := w.g.value(w.rt, o.bodySource)
		if wild == "body" {
			v = w.g.spoil(w.rt, o.bodySource, v)
		}
		text, err := json.Marshal(v)
		if err != nil { // 1e400 is a number for JSON, and none for Go
			w.rt.Fatal(err)
		}
		if body = string(text); wild == "text" {
			body = garble(w.rt, body)
		}
	}
	r, err := http.NewRequest(o.method, "http://central/", strings.NewReader(body))
	if err != nil {
		w.rt.Fatal(err)
	}
	r.URL = &url.URL{Path: path, RawPath: raw, RawQuery: w.g.query(w.rt, o, wild == "query")}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if wild == "kind" {
		r.Header.Set("Content-Type", pick(w.rt, []string{"text/plain", "application/json; charset=latin1", "", "a/b/c", "application/x-www-form-urlencoded"}, "kind"))
	}
	for _, p := range o.params {
		if p.in == "header" && chance(w.rt, 30, "has "+p.name) {
			r.Header.Set(p.name, pick(w.rt, []string{"*", `"1-1"`, "a", "b", "ä", strings.Repeat("x", 300), `W/"x"`}, p.name))
		}
	}
	return r, body
}

// authorize gives a request somebody's key or token. It gives the roles of the
// user, and whether the secret is one for the operation.
func (w *world) authorize(r *http.Request, o *operation) (roles []string, valid bool) {
	if o.secured == "" {
		return nil, true
	}
	switch {
	case chance(w.rt, 8, "stranger"):
		other := w.secrets[0]
		if o.secured == "userToken" {
			other = w.secret
		}
		r.Header.Set("Authorization", pick(w.rt, []string{"", "Bearer", "Bearer " + other, "Basic eDp5", "Bearer postern_x", "postern_user_x", other + "x", "\x00"}, "authorization"))
		return nil, false
	case o.secured == "apiKey":
		r.Header.Set("Authorization", "Bearer "+w.secret)
		return nil, true
	}
	who := pick(w.rt, []human{w.admin, w.admin, w.admin, w.admin, w.ann, w.ann, w.bea, w.bob, w.carl, w.op, w.op, w.aud}, "who")
	r.Header.Set("Authorization", who.token)
	a, err := w.store.authenticateUser(r.Context(), who.token)
	if err != nil {
		w.rt.Fatal(err)
	}
	if a == nil {
		return nil, false // removed, or revoked
	}
	return a.Roles, true
}

var codeOfProblem = regexp.MustCompile(`"code":"(InvalidJSON|UnknownField|UnknownParameter|UnsupportedMediaType)"`)

func (w *world) judge(o *operation, r *http.Request, body string, rec *httptest.ResponseRecorder, roles []string, valid bool) {
	say := func(format string, args ...any) {
		w.rt.Fatalf("%s %s?%s %v\n%.2000q\ngot %d %v %.3000s\n%s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header, body, rec.Code, rec.Header(), rec.Body, fmt.Sprintf(format, args...))
	}
	status, answer := rec.Code, rec.Body.String()
	found, err := w.c.hold(r, []byte(body), status, rec.Header(), rec.Body.Bytes())
	if err != nil {
		say("%v", err)
	}
	if status >= 500 && status != http.StatusGatewayTimeout && o.path != "/readyz" {
		say("a fault of central's")
	}
	if status == http.StatusGatewayTimeout && o.id != "unlockDoor" {
		say("only an unlock may be too late")
	}
	if found != nil && found.secured != "" {
		switch refused := status == http.StatusUnauthorized; {
		case refused == valid && found.secured == o.secured:
			say("a secret is good: %v", valid)
		case status < 300 && found.roles != nil && !slices.ContainsFunc(found.roles, func(r string) bool { return slices.Contains(roles, r) }):
			say("the roles %v may do this, the caller has %v", found.roles, roles)
		}
		_, values, _ := w.c.find(r.Method, r.URL)
		bad := found.checkRequest(r, values, []byte(body))
		if bad == nil && codeOfProblem.MatchString(answer) {
			say("the document has nothing against it")
		}
		if bad != nil && (status < 400 || status >= 500) {
			say("the document refuses it: %v", bad)
		}
	}
	w.keepsSecrets(o, answer, say)
}

// keepsSecrets looks for secrets in an answer to whom they are not for.
func (w *world) keepsSecrets(o *operation, answer string, say func(string, ...any)) {
	for _, s := range append(slices.Clone(w.secrets), mark) {
		if strings.Contains(answer, s) && !(s == mark && (o.id == "getPolicy" || o.id == "checkPolicy" || o.id == "listUsers")) {
			say("the answer has the secret %s", s)
		}
	}
	if o.id == "addAccessKey" || o.id == "listMyCodes" || o.secured == "" {
		return // which are for whose codes they are, or have those of examples
	}
	for _, s := range w.codes {
		if strings.Contains(answer, s) {
			say("the answer has the code %s", s)
		}
	}
}

// learn keeps what later requests can be about, and what is secret from now on.
func (w *world) learn(o *operation, body string, rec *httptest.ResponseRecorder) {
	r := o.responses[fmt.Sprint(rec.Code)]
	if rec.Code >= 300 || r.schema == nil || r.kind != "application/json" || strings.HasPrefix(o.path, "/openapi") || o.method == http.MethodHead {
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(rec.Body.Bytes()))
	if err != nil {
		w.rt.Fatal(err)
	}
	answer, _ := v.(map[string]any)
	switch o.id {
	case "addAccessKey":
		key := nodeOf(answer["key"])
		text := key.text("identification")
		if key.text("type") == "proximity" {
			w.g.see("Card", text)
			break
		}
		if w.g.see("Code", text); len(text) > 8 {
			w.codes = append(w.codes, text)
		}
	case "createToken":
		w.secrets = append(w.secrets, answer["token"].(string))
	case "listMyCodes":
		for _, c := range answer["codes"].([]any) {
			if text := nodeOf(c).text("code"); len(text) > 8 {
				w.codes = append(w.codes, text)
			}
		}
	}
	w.g.learn(r.source, v)
	w.g.seen["UserID"] = slices.DeleteFunc(w.g.seen["UserID"], func(id string) bool { return id == w.admin.id })
}
