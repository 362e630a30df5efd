package central

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oasdiff/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var updateDocument = flag.Bool("update", false, "rewrite openapi.json from docs/openapi.yaml")

// The document that is served is the one in docs.
func TestOpenAPIEmbedded(t *testing.T) {
	source, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if _, err := yaml.Unmarshal(source, &v, yaml.DecodeOpts{DisableTimestamps: true}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if *updateDocument {
		if err := os.WriteFile("openapi.json", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(out.Bytes(), openAPI) {
		t.Error("openapi.json is not docs/openapi.yaml: run go test ./central -run TestOpenAPIEmbedded -update")
	}
}

// Each route is in the document, and each operation of it is routed.
func TestOpenAPIRoutes(t *testing.T) {
	var want, got []string
	for _, r := range newKit(t).api.routes {
		for _, m := range r.methods {
			want = append(want, m+" "+r.path)
		}
	}
	want = append(want, "GET /metrics") // which has a listener of its own
	for _, o := range readContract(t).operations {
		got = append(got, o.method+" "+o.path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("operations (-code +document):\n%s", d)
	}
}

// The document is in order: what it refers to is there, what is there is
// referred to, and everything has a name and a text.
func TestOpenAPIInOrder(t *testing.T) {
	c := readContract(t)
	if v := c.doc.text("openapi"); v != "3.1.0" {
		t.Errorf("it is of version %q", v)
	}
	var tags []any
	for _, tag := range c.doc.list("tags") {
		tags = append(tags, nodeOf(tag).text("name"))
	}
	ids := map[string]bool{}
	braces := regexp.MustCompile(`\{(\w+)\}`)
	for _, o := range c.operations {
		op := c.doc.object("paths").object(o.path).object(strings.ToLower(o.method))
		if ids[o.id] || op.text("summary") == "" || len(op.list("tags")) != 1 || !slices.Contains(tags, op.list("tags")[0]) || op["security"] == nil {
			t.Errorf("%s %s: its id is not its own, or summary, one known tag or security is missing", o.method, o.path)
		}
		ids[o.id] = true
		var named, given []string
		for _, m := range braces.FindAllStringSubmatch(o.path, -1) {
			named = append(named, m[1])
		}
		for _, p := range o.params {
			if p.in == "path" {
				given = append(given, p.name)
			}
		}
		if d := cmp.Diff(slices.Sorted(slices.Values(named)), slices.Sorted(slices.Values(given))); d != "" {
			t.Errorf("%s: parameters of the path (-path +given):\n%s", o.id, d)
		}
		want := []string{}
		if o.secured != "" {
			if c.doc.object("components").object("securitySchemes").object(o.secured) == nil {
				t.Errorf("%s: there is no %s", o.id, o.secured)
			}
			want = []string{"400", "401", "429", "500", "503"}
		}
		if o.body != nil {
			want = append(want, "413", "415")
		}
		if o.roles != nil {
			want = append(want, "403")
		}
		for _, status := range want {
			if _, ok := o.responses[status]; !ok {
				t.Errorf("%s may answer %s, which is not documented", o.id, status)
			}
		}
		for _, r := range o.roles {
			if !slices.Contains(roleOrder(), r) {
				t.Errorf("%s: there is no role %s", o.id, r)
			}
		}
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref := nodeOf(v).text("$ref"); ref != "" {
				used[ref] = true
				if (pageWriter{c.doc}).deref(v) == nil {
					t.Errorf("%s is not there", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(map[string]any(c.doc))
	for kind, all := range c.doc.object("components") {
		for name := range nodeOf(all) {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				t.Errorf("%s %s is not used", kind, name)
			}
		}
	}
}

// Every example is as the document says.
func TestOpenAPIExamples(t *testing.T) {
	c := readContract(t)
	n := 0
	check := func(where string, s *jsonschema.Schema, media node) {
		all := map[string]any{}
		if v, ok := media["example"]; ok {
			all["example"] = v
		}
		for name := range media.object("examples") {
			all[name] = media.object("examples").object(name)["value"]
		}
		for name, v := range all {
			n++
			if err := s.Validate(v); err != nil {
				t.Errorf("%s, %s: %v", where, name, err)
			}
		}
	}
	for _, o := range c.operations {
		op := c.doc.object("paths").object(o.path).object(strings.ToLower(o.method))
		if o.body != nil {
			check(o.id, o.body, op.object("requestBody").object("content").object("application/json"))
		}
		for status, r := range o.responses {
			if r.schema != nil {
				check(o.id+" "+status, r.schema, pageWriter{c.doc}.deref(op.object("responses").object(status)).object("content").object(r.kind))
			}
		}
		for _, raw := range op.list("parameters") {
			p := (pageWriter{c.doc}).deref(nodeOf(raw))
			i := slices.IndexFunc(o.params, func(x parameter) bool { return x.name == p.text("name") })
			check(o.id+" "+p.text("name"), o.params[i].schema, p)
		}
	}
	if n < 30 {
		t.Errorf("only %d examples were found", n)
	}
}

// TestOpenAPIServed: anybody may read it, and asks only once.
func TestOpenAPIServed(t *testing.T) {
	k := newKit(t)
	for path, kind := range map[string]string{"/openapi.json": "application/json; charset=utf-8", "/docs": "text/html; charset=utf-8"} {
		r := k.get(path)
		if r.status != 200 || r.header.Get("Content-Type") != kind || r.header.Get("Cache-Control") != "public, max-age=300" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d %v", path, r.status, r.header)
		}
		if again := k.get(path, "If-None-Match", r.header.Get("ETag")); again.status != http.StatusNotModified || again.body != "" {
			t.Errorf("%s again: got %d and %d bytes", path, again.status, len(again.body))
		}
		if other := k.get(path, "If-None-Match", `"other"`, "If-Match", `"other"`, "Range", "bytes=0-9"); other.status != 200 || other.body != r.body {
			t.Errorf("%s after a change: got %d", path, other.status)
		}
		if head := k.call("HEAD", path, ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD %s: got %d and %d bytes", path, head.status, len(head.body))
		}
		if post := k.call("POST", path, "{}"); post.status != 405 || post.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: got %d %v", path, post.status, post.header)
		}
	}
	if r := k.get("/openapi.json"); r.body != string(openAPI) {
		t.Error("what is served is not the document")
	}
}

// TestDocsPage: the page has all of the document, asks nobody else for anything,
// and lets no text of the document become anything but text.
func TestDocsPage(t *testing.T) {
	c := readContract(t)
	p := newPage(openAPI)
	text := string(p.html)
	for _, o := range c.operations {
		if o.method != http.MethodHead && (strings.Count(text, ` id="`+o.id+`"`) != 1 || !strings.Contains(text, `href="#`+o.id+`"`)) {
			t.Errorf("the page lacks %s", o.id)
		}
	}
	for name := range c.doc.object("components").object("schemas") {
		if strings.Count(text, ` id="schema-`+name+`"`) != 1 {
			t.Errorf("the page lacks the schema %s", name)
		}
	}
	for _, m := range regexp.MustCompile(` href="#([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(text, ` id="`+m[1]+`"`) {
			t.Errorf("a link leads to %s, which is not there", m[1])
		}
	}
	if m := regexp.MustCompile(`<script|<link|<img|<iframe|@import|url\(| on\w+=| style="|src=`).FindString(text); m != "" {
		t.Errorf("the page has %s", m)
	}
	if m := regexp.MustCompile(`href="(?:[^#/]|/[^o])[^"]*"`).FindString(text); m != "" {
		t.Errorf("the page leads elsewhere: %s", m)
	}
	if !strings.Contains(p.policy, "default-src 'none'") || strings.Contains(p.policy, "unsafe") {
		t.Errorf("policy: %s", p.policy)
	}
	var evil map[string]any
	if err := json.Unmarshal(openAPI, &evil); err != nil {
		t.Fatal(err)
	}
	const bad = "<script>alert(1)</script>"
	maps.Copy(evil["info"].(map[string]any), map[string]any{"title": bad, "description": "- `" + bad + "`\n- " + bad})
	if doc, err := json.Marshal(evil); err != nil || bytes.Contains(newPage(doc).html, []byte("<script")) {
		t.Errorf("a text became a script, or %v", err)
	}
}
