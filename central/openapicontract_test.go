package central

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the OpenAPI document as tests hold the server to it.
type contract struct {
	doc        node
	operations []*operation
}

// String is the name of the operation.
func (o *operation) String() string { return o.id }

type operation struct {
	id, method, path string
	secured          string   // name of the security scheme, "" for none
	roles            []string // that may call it; nil for all
	params           []parameter
	bodyWanted       bool
	bodySource       node // nil for no body
	body             *jsonschema.Schema
	responses        map[string]response
}

type parameter struct {
	name, in string
	required bool
	source   node
	schema   *jsonschema.Schema
}

type response struct {
	kind    string // media type, "" for no body
	source  node
	schema  *jsonschema.Schema
	headers []parameter
}

// theContract is read once. Answers are held to it more strictly than clients
// should: they may have no member that it does not name.
var theContract = sync.OnceValues(func() (*contract, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		return nil, err
	}
	c := &contract{doc: nodeOf(v)}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := errors.Join(compiler.AddResource("postern:requests", elsewhere(v, "postern:requests", false)),
		compiler.AddResource("postern:answers", elsewhere(v, "postern:answers", true))); err != nil {
		return nil, err
	}
	w := pageWriter{c.doc}
	var faults []error
	n := 0
	compile := func(s node, base string) *jsonschema.Schema {
		n++
		at := fmt.Sprintf("postern:%d", n)
		err := compiler.AddResource(at, elsewhere(map[string]any(s), base, base == "postern:answers"))
		if err == nil {
			var compiled *jsonschema.Schema
			if compiled, err = compiler.Compile(at); err == nil {
				return compiled
			}
		}
		faults = append(faults, err)
		return nil
	}
	parameters := func(all []any) (out []parameter) {
		for _, raw := range all {
			p := w.deref(nodeOf(raw))
			out = append(out, parameter{p.text("name"), p.text("in"), p["required"] == true, p.object("schema"), compile(p.object("schema"), "postern:requests")})
		}
		return out
	}
	paths := c.doc.object("paths")
	for _, path := range paths.names() {
		for method, raw := range paths.object(path) {
			op := nodeOf(raw)
			if op.text("operationId") == "" {
				continue
			}
			o := &operation{id: op.text("operationId"), method: strings.ToUpper(method), path: path, responses: map[string]response{}}
			o.params = parameters(slices.Concat(paths.object(path).list("parameters"), op.list("parameters")))
			for _, s := range op.list("security") {
				o.secured = nodeOf(s).names()[0]
			}
			for _, r := range op.list("x-roles") {
				o.roles = append(o.roles, r.(string))
			}
			if body := op.object("requestBody"); body != nil {
				o.bodyWanted = body["required"] == true
				o.bodySource = body.object("content").object("application/json").object("schema")
				o.body = compile(o.bodySource, "postern:requests")
			}
			for status := range op.object("responses") {
				r := w.deref(op.object("responses").object(status))
				var out response
				for kind := range r.object("content") {
					out.kind, out.source = kind, r.object("content").object(kind).object("schema")
					out.schema = compile(out.source, "postern:answers")
				}
				for _, name := range r.object("headers").names() {
					h := w.deref(r.object("headers").object(name))
					out.headers = append(out.headers, parameter{name, "header", h["required"] == true, h.object("schema"), compile(h.object("schema"), "postern:answers")})
				}
				o.responses[status] = out
			}
			c.operations = append(c.operations, o)
		}
	}
	slices.SortFunc(c.operations, func(a, b *operation) int { return strings.Compare(a.path+" "+a.method, b.path+" "+b.method) })
	return c, errors.Join(faults...)
})

func readContract(t testing.TB) *contract {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// elsewhere is a copy of a schema whose references are into a resource. A strict
// one lets objects have no members that it does not name.
func elsewhere(v any, base string, strict bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, x := range v {
			if ref, ok := x.(string); ok && name == "$ref" {
				x = base + ref
			}
			out[name] = elsewhere(x, base, strict)
		}
		_, open := out["additionalProperties"]
		if strict && !open && out["properties"] != nil && slices.Contains(typesOf(out), "object") {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = elsewhere(x, base, strict)
		}
		return out
	}
	return v
}

// typesOf are the types that a schema names itself.
func typesOf(s node) (out []string) {
	if t := s.text("type"); t != "" {
		return []string{t}
	}
	for _, t := range s.list("type") {
		out = append(out, t.(string))
	}
	return out
}

// find gives the operation that a request is for, with the values in its path;
// nil when there is none. Known is whether the path is one.
func (c *contract) find(method string, u *url.URL) (found *operation, values map[string]string, known bool) {
	have := strings.Split(u.EscapedPath(), "/")
	for _, o := range c.operations {
		want := strings.Split(o.path, "/")
		if len(want) != len(have) {
			continue
		}
		in, fits := map[string]string{}, true
		for i, name := range want {
			part, err := url.PathUnescape(have[i])
			if strings.HasPrefix(name, "{") {
				in[strings.Trim(name, "{}")] = part
				fits = fits && part != "" && have[i] != "." && have[i] != ".."
			} else {
				fits = fits && part == name
			}
			fits = fits && err == nil
		}
		if !fits {
			continue
		}
		// A path without parameters goes before one with them, whatever the method.
		switch {
		case !known || len(in) < len(values):
			found, values, known = nil, in, true
		case len(in) > len(values):
			continue
		}
		if o.method == method {
			found = o
		}
	}
	return found, values, known
}

// value reads a text from a URL or a header as its schema wants it: those of
// numbers and booleans say so themselves.
func value(s node, text string) any {
	types := typesOf(s)
	switch {
	case slices.Contains(types, "integer"):
		if n, err := strconv.ParseUint(text, 10, 63); err == nil {
			return json.Number(strconv.FormatUint(n, 10))
		}
	case slices.Contains(types, "boolean") && (text == "true" || text == "false"):
		return text == "true"
	}
	return text
}

// checkRequest says what of a request is not as the document has it.
func (o *operation) checkRequest(r *http.Request, values map[string]string, body []byte) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil && o.secured != "" { // the others take no notice of it
		return err
	}
	for _, p := range o.params {
		var texts []string
		switch p.in {
		case "path":
			texts = []string{values[p.name]}
		case "query":
			texts = query[p.name]
			delete(query, p.name)
		case "header":
			texts = r.Header.Values(p.name)
		}
		if len(texts) == 0 && p.required || len(texts) > 1 {
			return fmt.Errorf("%s is there %d times", p.name, len(texts))
		}
		for _, text := range texts {
			if err := p.schema.Validate(value(p.source, text)); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	if len(query) > 0 && o.secured != "" {
		return fmt.Errorf("unknown parameters %v", query)
	}
	return o.checkBody(r.Header.Get("Content-Type"), body)
}

func (o *operation) checkBody(kind string, body []byte) error {
	switch {
	case o.body == nil:
		return nil
	case len(body) == 0 && o.bodyWanted:
		return errors.New("the body is missing")
	case len(body) == 0:
		return nil
	}
	if kind, params, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" || !strings.EqualFold(cmp.Or(params["charset"], "utf-8"), "utf-8") {
		return fmt.Errorf("the body is %q", kind)
	}
	if o.bodySource["type"] == nil && o.bodySource["$ref"] == nil {
		return nil // it may be anything
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	err = o.body.Validate(v)
	if add, ok := v.(map[string]any); ok && err != nil && o.id == "addAccessKey" {
		if person, ok := add["person"].(map[string]any); ok && person != nil {
			delete(add, "person") // of which a change takes no notice
			err = o.body.Validate(v)
		}
	}
	return err
}

// checkAnswer says what of an answer is not as the document has it.
func (o *operation) checkAnswer(status int, header http.Header, body []byte) error {
	r, ok := o.responses[strconv.Itoa(status)]
	if !ok {
		return fmt.Errorf("the status %d is not documented", status)
	}
	for _, h := range r.headers {
		text := header.Get(h.name)
		if text == "" {
			if h.required {
				return fmt.Errorf("the header %s is missing", h.name)
			}
			continue
		}
		if err := h.schema.Validate(value(h.source, text)); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	if o.method == http.MethodHead {
		return nil
	}
	kind := header.Get("Content-Type")
	if kind != "" {
		var err error
		if kind, _, err = mime.ParseMediaType(kind); err != nil {
			return fmt.Errorf("media type %q: %w", kind, err)
		}
	}
	switch {
	case kind != r.kind:
		return fmt.Errorf("the answer is %q, the document has %q", kind, r.kind)
	case kind == "":
		if len(body) > 0 {
			return errors.New("there is a body")
		}
		return nil
	case kind != "application/json":
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return r.schema.Validate(v)
}

// hold says how an exchange differs from the document: an answer that is not in
// it, or a request that was taken and should not have been.
func (c *contract) hold(r *http.Request, sent []byte, status int, header http.Header, body []byte) (*operation, error) {
	o, values, known := c.find(r.Method, r.URL)
	if o == nil {
		if want := map[bool]int{true: http.StatusMethodNotAllowed, false: http.StatusNotFound}[known]; status != want {
			return nil, fmt.Errorf("the document has no such operation, and the answer is %d, want %d", status, want)
		}
		return nil, nil
	}
	if err := o.checkAnswer(status, header, body); err != nil {
		return o, fmt.Errorf("answer of %s: %w", o.id, err)
	}
	if status < 300 {
		if err := o.checkRequest(r, values, sent); err != nil {
			return o, fmt.Errorf("%s took what the document refuses: %w", o.id, err)
		}
	}
	return o, nil
}

// watched has a handler serve a request and holds both to the document.
func watched(t testing.TB, h http.Handler, w *httptest.ResponseRecorder, r *http.Request) *operation {
	t.Helper()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body := &noted{ReadCloser: r.Body}
	r.Body = body
	h.ServeHTTP(w, r)
	if w.Code < 300 {
		_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<20)) // what it took without a look
	}
	o, err := readContract(t).hold(r, body.read.Bytes(), w.Code, w.Result().Header, w.Body.Bytes())
	if err != nil && body.err == nil {
		t.Errorf("%s %s %.300s: got %d %.600s: %v", r.Method, r.URL, body.read.Bytes(), w.Code, w.Body, err)
	}
	return o
}

// noted notes what is read of a body, which may have no end, and why it ended early.
type noted struct {
	io.ReadCloser
	read bytes.Buffer
	err  error
}

func (n *noted) Read(p []byte) (int, error) {
	got, err := n.ReadCloser.Read(p)
	n.read.Write(p[:got])
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return got, err
}
