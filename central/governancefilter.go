package central

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// filter writes a condition on an access request, whose id's column is given,
// with its values as params.
type filter func(p *params, id string) string

const (
	maxFilterText  = 16 << 10 // bytes
	maxFilterDepth = 16       // of parentheses and nots
	maxFilterTerms = 300      // values that are compared with
)

// filterField is the only field that can be filtered by.
const filterField = "accountActivityItemId"

// parseFilter reads the standard syntax of filters:
//
//	accountActivityItemId eq "x"            (ne, lt, le, gt, ge, sw alike)
//	accountActivityItemId in ("x", "y")
//	accountActivityItemId isnull            (also isnull accountActivityItemId)
//	not (…) and … or …
//
// Ids are compared by bytes.
func parseFilter(text string) (filter, error) {
	if len(text) > maxFilterText {
		return nil, fmt.Errorf("has more than %d bytes", maxFilterText)
	}
	p := &filterParser{rest: text}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("at character %d: and, or, or the end was expected", p.at(text))
	}
	return f, nil
}

type filterParser struct {
	rest         string
	depth, terms int
}

func (p *filterParser) at(text string) int {
	return utf8.RuneCountInString(text[:len(text)-len(p.rest)]) + 1
}

func (p *filterParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word takes a run of letters, "" when there is none.
func (p *filterParser) word() string {
	p.space()
	n := strings.IndexFunc(p.rest, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	if n < 0 {
		n = len(p.rest)
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *filterParser) keyword(want string) bool {
	before := p.rest
	if strings.EqualFold(p.word(), want) {
		return true
	}
	p.rest = before
	return false
}

func (p *filterParser) mark(want byte) bool {
	if p.space(); p.rest == "" || p.rest[0] != want {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *filterParser) or() (filter, error)  { return p.chain("or", " OR ", p.and) }
func (p *filterParser) and() (filter, error) { return p.chain("and", " AND ", p.not) }

func (p *filterParser) chain(word, sql string, one func() (filter, error)) (filter, error) {
	var parts []filter
	for {
		f, err := one()
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
		if !p.keyword(word) {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return func(ps *params, id string) string {
		texts := make([]string, len(parts))
		for i, f := range parts {
			texts[i] = f(ps, id)
		}
		return "(" + strings.Join(texts, sql) + ")"
	}, nil
}

func (p *filterParser) not() (filter, error) {
	if p.depth++; p.depth > maxFilterDepth {
		return nil, fmt.Errorf("is nested deeper than %d", maxFilterDepth)
	}
	defer func() { p.depth-- }()
	if p.keyword("not") {
		f, err := p.not()
		if err != nil {
			return nil, err
		}
		return func(ps *params, id string) string { return "NOT " + f(ps, id) }, nil
	}
	if p.mark('(') {
		f, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.mark(')') {
			return nil, errors.New("a parenthesis is not closed")
		}
		return f, nil
	}
	return p.term()
}

// isNull is never so: every request has an id.
func isNull(_ *params, id string) string { return "(" + id + " IS NULL)" }

func (p *filterParser) term() (filter, error) {
	if p.terms++; p.terms > maxFilterTerms {
		return nil, fmt.Errorf("has more than %d comparisons and values", maxFilterTerms)
	}
	if p.keyword("isnull") {
		open := p.mark('(')
		if err := p.field(); err != nil {
			return nil, err
		}
		if open && !p.mark(')') {
			return nil, errors.New("a parenthesis is not closed")
		}
		return isNull, nil
	}
	if err := p.field(); err != nil {
		return nil, err
	}
	op := strings.ToLower(p.word())
	if op == "isnull" {
		return isNull, nil
	}
	if op == "in" {
		values, err := p.list()
		if err != nil {
			return nil, err
		}
		return func(ps *params, id string) string { return "(" + id + " IN " + addList(ps, values) + ")" }, nil
	}
	signs := map[string]string{"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
	if signs[op] == "" && op != "sw" {
		return nil, fmt.Errorf("%.20q is no operator on %s (one of eq, ge, gt, in, isnull, le, lt, ne, sw)", op, filterField)
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if op == "sw" {
		return startsWith(value), nil
	}
	return func(ps *params, id string) string { return "(" + id + " " + signs[op] + " " + ps.add(value) + ")" }, nil
}

// startsWith compares no further than the value is long.
func startsWith(value string) filter {
	return func(ps *params, id string) string {
		return fmt.Sprintf("(SUBSTR(%s, 1, %d) = %s)", id, utf8.RuneCountInString(value), ps.add(value))
	}
}

func (p *filterParser) field() error {
	if name := p.word(); name != filterField {
		return fmt.Errorf("%.40q can't be filtered by (only %s)", name, filterField)
	}
	return nil
}

// list takes values in parentheses, each once.
func (p *filterParser) list() ([]string, error) {
	if !p.mark('(') {
		return nil, errors.New("in wants values in parentheses")
	}
	var out []string
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if p.terms++; p.terms > maxFilterTerms {
			return nil, fmt.Errorf("has more than %d comparisons and values", maxFilterTerms)
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
		if p.mark(')') {
			return out, nil
		}
		if !p.mark(',') {
			return nil, errors.New("a comma or parenthesis is missing after a value")
		}
	}
}

// value takes a text in double quotes; a backslash takes the next character as
// it is.
func (p *filterParser) value() (string, error) {
	if !p.mark('"') {
		return "", errors.New("a value in double quotes is missing")
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case '\\':
			if i++; i == len(p.rest) {
				return "", errors.New("a value is not closed")
			}
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a value is not closed")
}
