package central

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The page needs no script, and nothing from another server: the program writes
// it out of the document.
var (
	//go:embed openapipage.html
	pageHTML string
	//go:embed openapipage.css
	pageCSS string
)

// page is the document for people.
type page struct {
	html   []byte
	policy string // Content-Security-Policy
}

// A node is an object of the document; nil is one that is not there.
type node map[string]any

// nodeOf is a value as an object, nil when it is none.
func nodeOf(v any) node { m, _ := v.(map[string]any); return m }

func (n node) text(key string) string { s, _ := n[key].(string); return s }
func (n node) object(key string) node { return nodeOf(n[key]) }
func (n node) list(key string) []any  { l, _ := n[key].([]any); return l }
func (n node) names() []string        { return slices.Sorted(maps.Keys(n)) }

// refName is what a reference names last, "" for none.
func (n node) refName() string { r := n.text("$ref"); return r[strings.LastIndex(r, "/")+1:] }

// newPage writes the page of a document, which must be a good one.
func newPage(document []byte) page {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var doc node
	if err := dec.Decode(&doc); err != nil {
		panic("central: OpenAPI document can't be read: " + err.Error())
	}
	w := pageWriter{doc}
	t := template.Must(template.New("page").Funcs(template.FuncMap{"text": prose, "line": inline}).Parse(pageHTML))
	var out bytes.Buffer
	if err := t.Execute(&out, w.view()); err != nil {
		panic("central: page can't be written: " + err.Error())
	}
	sum := sha256.Sum256([]byte(pageCSS))
	return page{out.Bytes(), "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
}

// What the template gets.
type (
	pageView struct {
		Title, Version, Description string
		CSS                         template.CSS
		Groups                      []groupView
		Security                    []namedView
		Schemas                     []schemaView
	}
	groupView struct {
		Name, Description, Anchor string
		Operations                []operationView
	}
	operationView struct {
		ID, Method, Path, Summary, Description string
		Security, Roles, Server                string
		Parameters                             []fieldView
		Body                                   *contentView
		Responses                              []responseView
	}
	responseView struct {
		Status, Description string
		Headers             []fieldView
		Content             *contentView
	}
	contentView struct {
		Kind     string
		Required bool
		Type     typeView
		Fields   []fieldView
		Examples []namedView
	}
	fieldView struct {
		Name, Place, Description string
		Required                 bool
		Type                     typeView
	}
	schemaView struct {
		Name, Description string
		Type              typeView
		Fields            []fieldView
		Closed            bool
	}
	// typeView is a type in words: texts and names of schemas by turns.
	typeView  []typePart
	typePart  struct{ Text, Schema string }
	namedView struct{ Name, Text string }
)

type pageWriter struct{ doc node }

// deref follows a reference within the document.
func (w pageWriter) deref(n node) node {
	ref := n.text("$ref")
	if ref == "" {
		return n
	}
	at := w.doc
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.object(name)
	}
	return w.deref(at)
}

func (w pageWriter) view() pageView {
	info := w.doc.object("info")
	v := pageView{Title: info.text("title"), Version: info.text("version"), Description: info.text("description"), CSS: template.CSS(pageCSS)}
	for _, tag := range w.doc.list("tags") {
		name := nodeOf(tag).text("name")
		v.Groups = append(v.Groups, groupView{Name: name, Description: nodeOf(tag).text("description"), Anchor: strings.ReplaceAll(strings.ToLower(name), " ", "-")})
	}
	paths := w.doc.object("paths")
	for _, path := range paths.names() {
		item := paths.object(path)
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			op := item.object(strings.ToLower(method))
			if op == nil {
				continue
			}
			i := slices.IndexFunc(v.Groups, func(g groupView) bool { return g.Name == op.list("tags")[0] })
			v.Groups[i].Operations = append(v.Groups[i].Operations, w.operation(path, method, item, op))
		}
	}
	parts := w.doc.object("components")
	for _, name := range parts.object("securitySchemes").names() {
		v.Security = append(v.Security, namedView{name, parts.object("securitySchemes").object(name).text("description")})
	}
	for _, name := range parts.object("schemas").names() {
		s := parts.object("schemas").object(name)
		v.Schemas = append(v.Schemas, schemaView{
			Name: name, Description: s.text("description"), Type: w.typeOf(s), Fields: w.fields(s), Closed: s["additionalProperties"] == false && s.object("properties") != nil,
		})
	}
	return v
}

func (w pageWriter) operation(path, method string, item, op node) operationView {
	o := operationView{
		ID: op.text("operationId"), Method: method, Path: path, Summary: op.text("summary"), Description: op.text("description"),
		Roles: words(op.list("x-roles")),
	}
	for _, s := range item.list("servers") {
		o.Server = nodeOf(s).text("description")
	}
	for _, s := range op.list("security") {
		o.Security = strings.Join(nodeOf(s).names(), ", ")
	}
	for _, raw := range slices.Concat(item.list("parameters"), op.list("parameters")) {
		p := w.deref(nodeOf(raw))
		o.Parameters = append(o.Parameters, fieldView{p.text("name"), p.text("in"), p.text("description"), p["required"] == true, w.typeOf(p.object("schema"))})
	}
	if body := op.object("requestBody"); body != nil {
		o.Body = w.content(body)
		o.Body.Required = body["required"] == true
	}
	responses := op.object("responses")
	for _, status := range responses.names() {
		r := w.deref(responses.object(status))
		v := responseView{Status: status, Description: r.text("description"), Content: w.content(r)}
		for _, name := range r.object("headers").names() {
			h := w.deref(r.object("headers").object(name))
			v.Headers = append(v.Headers, fieldView{name, "", h.text("description"), h["required"] == true, w.typeOf(h.object("schema"))})
		}
		o.Responses = append(o.Responses, v)
	}
	return o
}

// content is what a body or a response has, nil for nothing.
func (w pageWriter) content(n node) *contentView {
	kinds := n.object("content").names()
	if len(kinds) == 0 {
		return nil
	}
	media := n.object("content").object(kinds[0])
	s := media.object("schema")
	c := &contentView{Kind: kinds[0], Type: w.typeOf(s)}
	if s.text("$ref") == "" {
		c.Fields = w.fields(s)
	}
	if v, ok := media["example"]; ok {
		c.Examples = append(c.Examples, namedView{"", pretty(v)})
	}
	for _, name := range media.object("examples").names() {
		e := media.object("examples").object(name)
		c.Examples = append(c.Examples, namedView{e.text("summary"), pretty(e["value"])})
	}
	return c
}

func (w pageWriter) fields(s node) (out []fieldView) {
	props := s.object("properties")
	for _, name := range props.names() {
		p := props.object(name)
		out = append(out, fieldView{name, "", p.text("description"), slices.Contains(s.list("required"), any(name)), w.typeOf(p)})
	}
	slices.SortStableFunc(out, func(a, b fieldView) int { return bit(b.Required) - bit(a.Required) })
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// typeOf says a type in words, with its bounds.
func (w pageWriter) typeOf(s node) (out typeView) {
	say := func(format string, args ...any) { out = append(out, typePart{Text: fmt.Sprintf(format, args...)}) }
	if name := s.refName(); name != "" {
		return typeView{{Schema: name}}
	}
	if c, ok := s["const"]; ok {
		say("%s", compact(c))
		return out
	}
	if l := s.list("enum"); l != nil {
		say("%s", oneOfWords(l))
		return out
	}
	if others := s.list("anyOf"); others != nil && s.object("properties") == nil {
		for i, alternative := range others {
			if i > 0 {
				say(" or ")
			}
			out = append(out, w.typeOf(nodeOf(alternative))...)
		}
		return out
	}
	kinds := s.text("type")
	if l := s.list("type"); l != nil {
		kinds = strings.ReplaceAll(words(l), ", ", " or ")
	}
	if kinds == "" {
		kinds = "anything"
	}
	if f := s.text("format"); f != "" {
		kinds = strings.Replace(kinds, "string", f, 1)
	}
	say("%s", kinds)
	if items := s.object("items"); items != nil {
		say(" of ")
		out = append(out, w.typeOf(items)...)
	}
	if more := s.object("additionalProperties"); more != nil {
		say(" of ")
		out = append(out, w.typeOf(more)...)
	}
	for _, b := range []struct{ key, words string }{
		{"minimum", ", at least %v"},
		{"maximum", ", at most %v"},
		{"minLength", ", at least %v characters"},
		{"maxLength", ", at most %v characters"},
		{"minItems", ", at least %v"},
		{"maxItems", ", at most %v"},
	} {
		if v, ok := s[b.key]; ok {
			say(b.words, v)
		}
	}
	return out
}

func words(l []any) string {
	var out []string
	for _, v := range l {
		out = append(out, fmt.Sprint(v))
	}
	return strings.Join(out, ", ")
}

func oneOfWords(l []any) string {
	var out []string
	for _, v := range l {
		out = append(out, compact(v))
	}
	return strings.Join(out, " | ")
}

func compact(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

// pretty is a value as JSON in lines.
func pretty(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic("central: example can't be written: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// inline is a text with its `code`.
func inline(s string) template.HTML {
	return template.HTML(codeSpan.ReplaceAllString(template.HTMLEscapeString(s), "<code>$1</code>"))
}

// prose is a text with its paragraphs, lists and `code`, which is all of
// CommonMark that the document has.
func prose(s string) template.HTML {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if !strings.HasPrefix(part, "- ") {
			fmt.Fprintf(&b, "<p>%s</p>\n", inline(part))
			continue
		}
		b.WriteString("<ul>\n")
		for item := range strings.SplitSeq(part[2:], "\n- ") {
			fmt.Fprintf(&b, "<li>%s</li>\n", inline(item))
		}
		b.WriteString("</ul>\n")
	}
	return template.HTML(b.String())
}
