package central

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// generator makes values of the schemas of a document. What earlier answers had
// where a schema has a name, such as an AccessKeyID, it uses again.
type generator struct {
	doc  node
	seen map[string][]string // by the name of the schema
	now  time.Time
}

// maxSeen bounds the values that are kept of a schema.
const maxSeen = 40

func (g *generator) see(schema, value string) {
	if !slices.Contains(g.seen[schema], value) && len(g.seen[schema]) < maxSeen {
		g.seen[schema] = append(g.seen[schema], value)
	}
}

// learn keeps what an answer has of schemas with names.
func (g *generator) learn(s node, v any) {
	if text, ok := v.(string); ok && s.refName() != "" {
		g.see(s.refName(), text)
	}
	s = pageWriter{g.doc}.deref(s)
	for _, a := range s.list("anyOf") {
		if v != nil {
			g.learn(nodeOf(a), v)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			g.learn(s.object("properties").object(name), x)
		}
	case []any:
		for _, x := range v {
			g.learn(s.object("items"), x)
		}
	}
}

// evenly draws a number below n. What rapid draws itself is mostly small, which
// here would be few operations, and strangers as callers of half of them.
func evenly(rt *rapid.T, n int, label string) int {
	v := 0
	for _, bit := range rapid.SliceOfN(rapid.Bool(), 12, 12).Draw(rt, label) {
		if v *= 2; bit {
			v++
		}
	}
	return v * n >> 12
}

func chance(rt *rapid.T, percent int, label string) bool {
	return evenly(rt, 100, label) >= 100-percent
}

func pick[T any](rt *rapid.T, list []T, label string) T {
	return list[evenly(rt, len(list), label)]
}

// value draws one of a schema.
func (g *generator) value(rt *rapid.T, s node) any {
	if known := g.seen[s.refName()]; s.refName() != "" && len(known) > 0 && chance(rt, 85, "known") {
		return pick(rt, known, s.refName())
	}
	s = pageWriter{g.doc}.deref(s)
	if c, ok := s["const"]; ok {
		return c
	}
	if l := s.list("enum"); l != nil {
		return pick(rt, l, "enum")
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		l := s.list(key)
		switch {
		case l == nil:
		case s.object("properties") == nil:
			return g.value(rt, nodeOf(pick(rt, l, key)))
		default:
			s = merged(s, nodeOf(pick(rt, l, key)))
		}
	}
	if l := s.list("examples"); l != nil && chance(rt, 50, "example") {
		return pick(rt, l, "example of")
	}
	types := typesOf(s)
	if len(types) == 0 {
		return pick(rt, []any{nil, true, json.Number("1"), "text", []any{}, map[string]any{}}, "anything")
	}
	switch kind := pick(rt, types, "type"); kind {
	case "string":
		return g.text(rt, s)
	case "integer":
		return json.Number(fmt.Sprint(rapid.Int64Range(bound(s, "minimum", -1000), bound(s, "maximum", 1_000_000)).Draw(rt, "integer")))
	case "boolean":
		return rapid.Bool().Draw(rt, "boolean")
	case "array":
		out := []any{}
		for range rapid.Int64Range(bound(s, "minItems", 0), min(3, bound(s, "maxItems", 3))).Draw(rt, "items") {
			out = append(out, g.value(rt, s.object("items")))
		}
		return out
	case "object":
		out := map[string]any{}
		for _, name := range s.object("properties").names() {
			if slices.Contains(s.list("required"), any(name)) || chance(rt, 40, "has "+name) {
				out[name] = g.value(rt, s.object("properties").object(name))
			}
		}
		return out
	}
	return nil
}

func bound(s node, key string, fallback int64) int64 {
	if n, ok := s[key].(json.Number); ok {
		v, _ := n.Int64()
		return v
	}
	return fallback
}

// merged is a schema with what one of its alternatives says of it.
func merged(s, branch node) node {
	out := maps.Clone(s)
	props := map[string]any(maps.Clone(s.object("properties")))
	maps.Copy(props, branch.object("properties"))
	out["properties"] = props
	out["required"] = slices.Concat(s.list("required"), branch.list("required"))
	return out
}

func (g *generator) text(rt *rapid.T, s node) string {
	switch s.text("format") {
	case "uuid":
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "uuid")
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
	case "date-time":
		at := g.now.Add(time.Duration(rapid.Int64Range(-1000, 10_000).Draw(rt, "hours")) * time.Hour)
		return pick(rt, []string{
			at.Format(time.RFC3339), at.Format(time.RFC3339Nano), at.In(time.FixedZone("", 19800)).Format(time.RFC3339), at.Format("2006-01-02T15:04:05.123456789Z07:00"),
		}, "time")
	}
	least, most := int(bound(s, "minLength", 0)), int(bound(s, "maxLength", 1<<20))
	if p := s.text("pattern"); p != "" {
		return rapid.StringMatching(p).Filter(func(x string) bool {
			n := utf8.RuneCountInString(x)
			return n >= least && n <= most
		}).Draw(rt, "text")
	}
	if rapid.Bool().Draw(rt, "odd") {
		return rapid.StringN(least, min(most, least+20), -1).Draw(rt, "text")
	}
	return rapid.StringMatching(fmt.Sprintf("[a-z]{%d,%d}", max(1, least), min(most, least+10))).Draw(rt, "text")
}

// mark is in texts that are wrong where a secret would be; it may be in no
// answer and no log.
const mark = "84620461357"

// badTimes and badValues are what programs get wrong, or try.
func badTimes() []any {
	return []any{
		"", "yesterday", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00:00,5Z", "2026-03-01T1:00:00Z", "2026-03-01T12:00:00+25:00", "2026-03-01T12:00:00+24:00",
		"2026-03-01T12:00:00+0530", "2016-12-31T23:59:60Z", "2026-02-30T12:00:00Z", "0000-00-00T00:00:00Z", "1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2026-03-01t12:00:00z",
		"2026-03-01 12:00:00Z", "\u0662\u0660\u0662\u0666-03-01T12:00:00Z", json.Number("1772366400"),
	}
}

func badValues() []any {
	return []any{
		nil, true, json.Number("-1"), json.Number("0.5"), json.Number("1e400"), json.Number("99999999999999999999"), json.Number("2147483648"),
		"", " ", "\x00", "a\u202eb", "\U0001f511", strings.Repeat("x", 2000), mark, "null", "' OR 1=1 --", "{{.}}", "../../etc/passwd",
		"00000000-0000-0000-0000-000000000000",
		[]any{},
		[]any{nil},
		map[string]any{},
		map[string]any{"a": nil},
		slices.Repeat([]any{"x"}, 300),
	}
}

// beyond are values just out of the bounds of a schema.
func (g *generator) beyond(rt *rapid.T, s node) (out []any) {
	s = pageWriter{g.doc}.deref(s)
	for _, a := range s.list("anyOf") {
		out = append(out, g.beyond(rt, nodeOf(a))...)
	}
	if s["maximum"] != nil {
		out = append(out, json.Number(fmt.Sprint(uint64(bound(s, "maximum", 0))+1)))
	}
	if s["minimum"] != nil {
		out = append(out, json.Number(fmt.Sprint(bound(s, "minimum", 0)-1)))
	}
	if s["maxLength"] != nil {
		out = append(out, strings.Repeat("7", int(bound(s, "maxLength", 0))+1))
	}
	if s["minLength"] != nil && bound(s, "minLength", 0) > 0 {
		out = append(out, "")
	}
	if s["maxItems"] != nil {
		out = append(out, slices.Repeat([]any{g.value(rt, s.object("items"))}, int(bound(s, "maxItems", 0))+1))
	}
	if s["minItems"] != nil {
		out = append(out, []any{})
	}
	return out
}

// spoil makes one value somewhere in a body of a schema another one, which may
// be wrong.
func (g *generator) spoil(rt *rapid.T, s node, v any) any {
	bad := func() any {
		if out := g.beyond(rt, s); len(out) > 0 && chance(rt, 50, "beyond") {
			return pick(rt, out, "bad")
		}
		text, _ := v.(string)
		if _, err := time.Parse(time.RFC3339, text); err == nil && chance(rt, 80, "bad time") {
			return pick(rt, badTimes(), "bad")
		}
		return pick(rt, badValues(), "bad")
	}
	inner := pageWriter{g.doc}.deref(s)
	for _, a := range inner.list("anyOf") {
		if a := (pageWriter{g.doc}).deref(nodeOf(a)); a["properties"] != nil {
			inner = a
		}
	}
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		switch way := evenly(rt, 12, "way"); {
		case way == 0:
			return bad()
		case way == 1:
			v[pick(rt, []string{"unknown", "ID", "__proto__", "", "\u017ftate", "pin "}, "member")] = bad()
		case way == 2 && len(names) > 0:
			delete(v, pick(rt, names, "member"))
		case len(names) > 0:
			name := pick(rt, names, "member")
			v[name] = g.spoil(rt, inner.object("properties").object(name), v[name])
		}
		return v
	case []any:
		if len(v) > 0 && rapid.Bool().Draw(rt, "within") {
			i := evenly(rt, len(v), "item")
			v[i] = g.spoil(rt, inner.object("items"), v[i])
			return v
		}
	}
	return bad()
}

// garble makes a body another text, which may be no JSON.
func garble(rt *rapid.T, body string) string {
	switch evenly(rt, 8, "garble") {
	case 0:
		return body + "}"
	case 1:
		return body[:len(body)/2]
	case 2:
		return strings.Replace(body, "}", ",}", 1)
	case 3:
		return "[" + body + "]"
	case 4:
		return strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	case 5:
		return strings.Replace(body, `"`, "\"\xff", 1)
	case 6:
		return strings.Replace(body, "{", `{"reason":"\ud800","reason":"\u0000",`, 1)
	}
	return ""
}

// place draws what stands for a parameter in a path.
func (g *generator) place(rt *rapid.T, p parameter, wild bool) string {
	if wild && rapid.Bool().Draw(rt, "wild") {
		return pick(rt, []string{
			".", "..", "%2e%2e", "a/b", "a%2Fb", "\x00", "\xff", "*", "me", strings.Repeat("x", 300), "\U0001f511", "' OR 1=1 --", " ", "",
			"00000000-0000-0000-0000-000000000000", "exclusions", "a;b", "{id}",
		}, "place")
	}
	return fmt.Sprint(g.value(rt, p.source))
}

// query draws the parameters of a URL.
func (g *generator) query(rt *rapid.T, o *operation, wild bool) string {
	q := url.Values{}
	for _, p := range o.params {
		if p.in != "query" || !p.required && !chance(rt, 30, "has "+p.name) {
			continue
		}
		text := fmt.Sprint(g.value(rt, p.source))
		if p.name == "filters" {
			text = g.filter(rt)
		}
		q.Add(p.name, text)
	}
	if !wild {
		return q.Encode()
	}
	names := append(slices.Sorted(maps.Keys(q)), "unknown", "limit", "offset", "")
	name := pick(rt, names, "parameter")
	text := rapid.SampledFrom([]string{
		"", "0", "-1", "1.0", "1e3", "99999999999999999999", "true", "\x00", "\xff", "' OR 1=1 --", "me", strings.Repeat("(", 2000), "created,", "\U0001f511",
	}).Draw(rt, "value")
	switch evenly(rt, 4, "how") {
	case 0:
		q.Add(name, text)
	case 1:
		return q.Encode() + "&" + name + ";%zz"
	default:
		q.Set(name, text)
	}
	return q.Encode()
}

func (g *generator) filter(rt *rapid.T) string {
	quoted := func() string {
		return `"` + fmt.Sprint(g.value(rt, node{"$ref": "#/components/schemas/AccessRequestID"})) + `"`
	}
	var terms []string
	for range rapid.IntRange(1, 3).Draw(rt, "terms") {
		switch op := pick(rt, []string{"eq", "ne", "lt", "le", "gt", "ge", "sw", "in", "isnull", "xx"}, "operator"); op {
		case "isnull":
			terms = append(terms, "isnull accountActivityItemId")
		case "in":
			terms = append(terms, "accountActivityItemId in ("+quoted()+", "+quoted()+")")
		default:
			terms = append(terms, "not (accountActivityItemId "+op+" "+quoted()+")")
		}
	}
	return strings.Join(terms, pick(rt, []string{" and ", " or "}, "join"))
}
