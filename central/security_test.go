package central

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/access"
	"postern/wire"
)

// TestAnothersKeys: whatever an API key of another integration asks about a key,
// it learns nothing of it and changes nothing.
func TestAnothersKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		card := k.add(`{"key":{"identification":"EM:7","type":"proximity"},"pin":"4711","access_levels":` + jsonText([]access.ID{level(1)}) +
			`,"person":{"first_name":"Ada","last_name":"Lovelace"}}`)
		code := k.add(`{"key":{"identification":"246802","type":"code"},"person":{"id":"` + card.Person.ID + `"}}`)
		removed := k.add(`{"key":{"identification":"EM:8","type":"proximity"},"access_levels":` + jsonText([]access.ID{level(1)}) + `}`)
		k.post(204, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, removed.ID))
		p := newFakePanel(r, "p1")
		p.happen(wire.Entry{Type: access.GrantedCard, Door: "front", KeyID: card.ID, KeyType: "proximity", Credential: "0000000000007", PersonID: access.MustParseID(card.Person.ID)})
		p.happen(wire.Entry{Type: access.GrantedCode, Door: "front", KeyID: code.ID, KeyType: "code"})
		p.connect()
		p.settle()
		other := k.key("other")
		before := k.dump()
		var said strings.Builder
		for _, id := range []access.ID{card.ID, code.ID, removed.ID} {
			for path, body := range map[string]string{
				"add": `{"id":%q,"pin":"1111","state":"disabled","access_levels":[]}`, "remove": `{"id":%q}`, "status": `{"id":%q}`,
			} {
				res := k.send(other, "/v1/accesskeys/"+path, fmt.Sprintf(body, id))
				if c, field := res.code(t); res.status != 403 || c != "Forbidden" || field != "id" {
					t.Errorf("%s of %s: got %d %s", path, id, res.status, res.body)
				}
				said.WriteString(res.body)
			}
		}
		for _, ident := range []string{`"EM:7","type":"proximity"`, `"246802","type":"code"`} {
			res := k.send(other, "/v1/accesskeys/remove", `{"key":{"identification":`+ident+`}}`)
			if res.status != 404 {
				t.Errorf("remove %s: got %d %s", ident, res.status, res.body)
			}
			said.WriteString(res.body)
		}
		for path, body := range map[string]string{
			"/v1/events/list": `{"include_system":true}`, "/v1/accesslevels/list": `{}`,
			"/v1/accesskeys/add": `{"key":{"identification":"EM:9","type":"proximity"},"person":{"id":"` + card.Person.ID + `"}}`,
		} {
			said.WriteString(k.send(other, path, body).body)
		}
		if k.dump() != before {
			t.Error("it changed something")
		}
		for _, secret := range []string{"4711", "246802", "Ada", "Lovelace", "0000000000007", "EM:7", card.Person.ID} {
			if strings.Contains(said.String(), secret) {
				t.Errorf("it learnt %s", secret)
			}
		}
		// The same card may be a key of its own there: adding does not tell.
		if res := k.send(other, "/v1/accesskeys/add", `{"key":{"identification":"EM:7","type":"proximity"}}`); res.status != 200 || strings.Contains(res.body, card.ID.String()) {
			t.Errorf("the same card: got %d %s", res.status, res.body)
		}
		// An Idempotency-Key of another is not answered with what that one got.
		k.send(k.secret, "/v1/accesskeys/add", `{"key":{"type":"code"}}`, "Idempotency-Key", "same")
		a := k.send(k.secret, "/v1/accesskeys/add", `{"key":{"type":"code"}}`, "Idempotency-Key", "same")
		if b := k.send(other, "/v1/accesskeys/add", `{"key":{"type":"code"}}`, "Idempotency-Key", "same"); b.status != 200 || b.body == a.body {
			t.Errorf("the same Idempotency-Key: got %d %s", b.status, b.body)
		}
	})
}

// TestAnothersRequests: of another's request a token learns and changes nothing,
// whichever of the endpoints it tries; API keys and tokens are not the same.
func TestAnothersRequests(t *testing.T) {
	s := newStaff(newKit(t))
	s.accept(s.bob, s.ask(s.ann, strings.Replace(immediateBody(level(1), 4), "maintenance", "a secret visit", 1)))
	id := s.ask(s.ann, strings.Replace(immediateBody(level(1), 5), "maintenance", "a secret visit", 1))
	before := s.dump()
	at := requestPath + "/" + id
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", at, "", 403},
		{"POST", at + "/vote", `{"accepted":true}`, 403},
		{"POST", at + "/vote", `{"accepted":false,"reason":"x"}`, 403},
		{"POST", at + "/revoke", `{"revoke_reason":"x"}`, 403},
		{"GET", requestPath, "", 200},
		{"GET", "/access-request-status", "", 200},
		{"GET", "/access-request-status?requested-for=" + s.ann.id, "", 403},
		{"GET", "/access-request-status?requested-by=" + s.ann.id, "", 403},
		{"GET", "/access-request-status?regarding-identity=" + s.ann.id, "", 403},
		{"GET", "/access-request-status?assigned-to=" + s.bob.id, "", 403},
		{"GET", "/access-request-status?assigned-to=me", "", 200},
		{"GET", "/access-request-status?filters=" + url.QueryEscape(`accountActivityItemId eq "`+id+`"`), "", 200},
		{"GET", "/access-request-status?filters=" + url.QueryEscape(`accountActivityItemId ne "x" or not accountActivityItemId isnull`), "", 200},
		{"GET", "/v1/users/me/codes", "", 200},
		{"GET", "/v1/users/" + s.ann.id, "", 403},
		{"GET", "/v1/users/" + s.ann.id + "/tokens", "", 403},
		{"POST", "/v1/users/" + s.ann.id + "/tokens", "{}", 403},
		{"GET", "/v1/audit", "", 403},
	} {
		r := s.callAs(s.bea.token, c.method, c.path, c.body)
		if r.status != c.status || strings.Contains(r.body, "secret visit") || strings.Contains(r.body, s.ann.id) || c.status == 200 && strings.Contains(r.body, id) {
			t.Errorf("%s %s: got %d %s, want %d", c.method, c.path, r.status, r.body, c.status)
		}
	}
	for _, path := range []string{at, requestPath, "/access-request-status", "/v1/users/me", "/v1/panels", "/v1/audit"} {
		for _, token := range []string{"", s.secret, "Bearer " + s.secret, tokenPrefix, s.bea.token + "x", s.bea.token[:len(s.bea.token)-1], hashAPIKey(s.bea.token), strings.ToUpper(s.bea.token), "Basic " + s.bea.token} {
			if r := s.callAs(token, "GET", path, ""); r.status != 401 || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: got %d", path, token, r.status)
			}
		}
	}
	for _, secret := range []string{s.ann.token, tokenPrefix, hashAPIKey(s.secret)} {
		if r := s.send(secret, "/v1/accesslevels/list", "{}"); r.status != 401 {
			t.Errorf("a user's token as API key: got %d", r.status)
		}
	}
	if s.dump() != before {
		t.Error("it changed something")
	}
}

// TestSecretsCompare reads the package's own source: what authenticates is looked
// up by its hash and compared in constant time, never with == or alike.
func TestSecretsCompare(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`(?i)^(hash|stored|secret|token|password|check|want|got|mac|sum)s?$`)
	named := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return e.Sel.Name
		}
		return ""
	}
	safe := map[string]int{}
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		guards := slices.Contains([]string{"apikeys.go", "userauth.go", "brokerhooks.go", "seal.go"}, name)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if lit, ok := n.Y.(*ast.BasicLit); ok && (lit.Value == `""` || lit.Kind == token.INT) {
					return true // whether there is one at all
				}
				if id, ok := n.Y.(*ast.Ident); ok && id.Name == "nil" {
					return true
				}
				if guards && (n.Op == token.EQL || n.Op == token.NEQ) && (secret.MatchString(named(n.X)) || secret.MatchString(named(n.Y))) {
					t.Errorf("%s compares a secret with %s", fset.Position(n.Pos()), n.Op)
				}
			case *ast.CallExpr:
				fn, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, _ := fn.X.(*ast.Ident)
				switch {
				case pkg == nil:
				case pkg.Name == "subtle" && fn.Sel.Name == "ConstantTimeCompare":
					safe[name]++
				case guards && (pkg.Name == "bytes" || pkg.Name == "slices" || pkg.Name == "strings" || pkg.Name == "reflect") &&
					regexp.MustCompile(`^(Equal|EqualFold|Compare|DeepEqual)$`).MatchString(fn.Sel.Name) && !strings.Contains(exprText(n.Args), `"Bearer"`):
					t.Errorf("%s compares with %s.%s", fset.Position(n.Pos()), pkg.Name, fn.Sel.Name)
				}
			}
			return true
		})
	}
	for _, name := range []string{"apikeys.go", "userauth.go", "brokerhooks.go", "store.go"} {
		if safe[name] == 0 {
			t.Errorf("%s compares nothing in constant time", name)
		}
	}
	// The lookup has the hash and nothing of the secret, so that its timing tells
	// of no secret: a wrong secret with the right hash's beginning finds nothing.
	k := newKit(t)
	var hashes []string
	hashes, err = all(t.Context(), k.store.read, scanText, "SELECT hash FROM api_keys")
	if err != nil || !slices.Equal(hashes, []string{hashAPIKey(k.secret)}) || len(hashes[0]) != 64 {
		t.Errorf("got %v, %v", hashes, err)
	}
}

func exprText(args []ast.Expr) string {
	var b strings.Builder
	for _, a := range args {
		if lit, ok := a.(*ast.BasicLit); ok {
			b.WriteString(lit.Value)
		}
	}
	return b.String()
}

// endpoints are those that take a body, with who may send one.
func (s *staff) endpoints() map[string]string {
	at := requestPath + "/" + s.ask(s.ann, immediateBody(level(1), 3))
	out := map[string]string{}
	for _, p := range []string{"/v1/accesskeys/add", "/v1/accesskeys/remove", "/v1/accesskeys/status", "/v1/accesslevels/list", "/v1/events/list"} {
		out["POST "+p] = "Bearer " + s.secret
	}
	for _, p := range []string{requestPath, at + "/vote", at + "/revoke"} {
		out["POST "+p] = s.bob.token
	}
	for _, p := range []string{
		"POST /v1/users", "POST /v1/users/" + s.bea.id, "POST /v1/users/" + s.bea.id + "/tokens", "POST /v1/levels/exclusions",
		"PUT /v1/levels/" + level(2).String() + "/approvers", "PUT /v1/panels/p1/policy", "POST /v1/panels/p1/policy/check",
		"PUT /v1/panels/p1/modes/front", "PUT /v1/modes", "POST /v1/panels/p1/doors/front/unlock",
	} {
		out[p] = s.admin.token
	}
	return out
}

// TestLargeAndDeepBodies: no endpoint reads more than its bound, nor goes deeper
// than JSON is nested in earnest, with or without a length told beforehand.
func TestLargeAndDeepBodies(t *testing.T) {
	s := newStaff(newKit(t))
	deep := func(open, end string) string { return strings.Repeat(open, 20_000) + "1" + strings.Repeat(end, 20_000) }
	ends := s.endpoints()
	before := s.dump()
	for where, auth := range ends {
		method, path, _ := strings.Cut(where, " ")
		limit := int64(maxBody)
		if strings.Contains(path, "/policy") {
			limit = MaxDocument
		}
		for name, c := range map[string]struct {
			body   string
			status int
		}{
			"large":        {`{"pin":"` + strings.Repeat("1", int(limit)) + `"}`, 413},
			"deep arrays":  {`{"x":` + deep("[", "]") + "}", 400},
			"deep objects": {deep(`{"a":`, "}"), 413},
			"only opened":  {strings.Repeat("[", 60_000), 400},
			"one number":   {strings.Repeat("9", 60_000), 400},
			"many members": {`{"a":1` + strings.Repeat(`,"a":1`, 9_000) + "}", 400},
		} {
			if name == "deep objects" && limit > maxBody {
				c.status = 400
			}
			if strings.HasSuffix(path, "/check") && c.status == 400 {
				c.status = 200 // a list of faults is what was asked for
			}
			for _, told := range []bool{true, false} {
				var body io.Reader = strings.NewReader(c.body)
				if !told {
					body = io.MultiReader(body)
				}
				r := httptest.NewRequest(method, path, body)
				r.Header.Set("Authorization", auth)
				r.Header.Set("Content-Type", "application/json")
				if got := s.serve(r); got.status != c.status {
					t.Errorf("%s, %s: got %d %.200s, want %d", where, name, got.status, got.body, c.status)
				}
			}
		}
	}
	if s.dump() != before {
		t.Error("a refused body changed something")
	}
	// A reader is not asked for more than the bound.
	var read int64
	r := httptest.NewRequest("POST", "/v1/accesskeys/add", readerFunc(func(p []byte) (int, error) {
		read += int64(len(p))
		return copy(p, strings.Repeat(" ", len(p))), nil
	}))
	r.Header.Set("Authorization", "Bearer "+s.secret)
	if got := s.serve(r); got.status != 413 || read > 4*maxBody {
		t.Errorf("an endless body: got %d after %d bytes", got.status, read)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestTimeouts: every time-out of the server is set, and bounded.
func TestTimeouts(t *testing.T) {
	o := defaultTimes()
	for name, d := range map[string]time.Duration{"header": o.header, "read": o.read, "write": o.write, "idle": o.idle, "handling": handleTime} {
		if d < time.Second || d > 2*time.Minute {
			t.Errorf("%s: %s", name, d)
		}
	}
	if o.write <= handleTime || o.header > o.read {
		t.Errorf("got %+v: an answer has to fit after what a request may take", o)
	}
}

// TestNoSecretInRefusals: what authenticates is in no answer and no log, however
// it was sent.
func TestNoSecretInRefusals(t *testing.T) {
	s := newStaff(newKit(t))
	s.logs.b.Reset()
	secret := "postern_" + strings.Repeat("Zz9", 14)
	var said strings.Builder
	for _, r := range []reply{
		s.send(secret, "/v1/accesslevels/list", "{}"),
		s.callAs(tokenPrefix+secret, "GET", "/v1/users/me", ""),
		s.callAs(s.ann.token, "GET", "/nowhere/"+secret+"?key="+secret, ""),
		s.callAs(s.ann.token, "GET", "/access-request-status?"+secret+"=1", ""),
		s.send(s.secret, "/v1/accesskeys/add", `{"pin":"`+secret+`","key":{"type":"code"}}`),
		s.send(s.secret, "/v1/accesskeys/add", `{"key":{"type":"code","identification":"`+secret+`"}}`),
	} {
		said.WriteString(r.body + jsonText(r.header))
	}
	if strings.Contains(said.String(), "Zz9Zz9") {
		t.Error("an answer repeats it")
	}
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, "Zz9Zz9") && !strings.Contains(line, "/nowhere/") { // a path is nowhere to put one
			t.Errorf("the log has it: %s", line)
		}
	}
}
