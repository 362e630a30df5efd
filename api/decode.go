package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readBody reads a bounded body of the media type.
func readBody(w http.ResponseWriter, r *http.Request, media string) ([]byte, error) {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != media {
		return nil, failure(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "send Content-Type: "+media)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, failure(http.StatusRequestEntityTooLarge, "TooLarge", fmt.Sprintf("the body is over %d bytes", maxBody))
	}
	if err != nil {
		return nil, invalid("the body ended early; send it whole")
	}
	if !utf8.Valid(body) {
		return nil, invalid("the body is not UTF-8")
	}
	return body, nil
}

// fields are the members that an object may have: each name with the *string,
// *[]string or *flag that it goes to. Faults name a member, never its value: it may be a
// code.
type fields map[string]any

// flag is a bool that knows whether it was given at all.
type flag struct{ value, given bool }

func (f fields) names() string {
	return strings.Join(slices.Sorted(maps.Keys(f)), ", ")
}

// decodeJSON reads one flat object. encoding/json alone would let pass a
// member twice, in another case, or null.
func (f fields) decodeJSON(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return invalid("the body is not a JSON object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return invalid("the body is not valid JSON")
		}
		if err := f.admit(name, seen); err != nil {
			return err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return invalid("the body is not valid JSON")
		}
		if err := f.set(name, raw); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return invalid("the body is not valid JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body goes on after its object")
	}
	return nil
}

// decodeForm reads what a form on the page sends. A bool is "true" or "false".
func (f fields) decodeForm(body []byte) error {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return invalid("the form is not valid")
	}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if err := f.admit(name, seen); err != nil {
			return err
		}
		if len(form[name]) > 1 {
			return invalid(name + " is there twice")
		}
		raw := []byte(form[name][0])
		if _, ok := f[name].(*string); ok {
			raw, _ = json.Marshal(form[name][0])
		}
		if err := f.set(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// set fills a member from its JSON. A null would leave it as it is.
func (f fields) set(name string, raw []byte) error {
	null := bytes.Equal(raw, []byte("null"))
	switch p := f[name].(type) {
	case *string:
		if null || json.Unmarshal(raw, p) != nil {
			return invalid(name + " must be a string")
		}
	case *[]string:
		var list []*string // a null in it would pass for ""
		if null || json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
			return invalid(name + " must be a list of strings")
		}
		for _, v := range list {
			*p = append(*p, *v)
		}
	case *flag:
		if null || json.Unmarshal(raw, &p.value) != nil {
			return invalid(name + " must be true or false")
		}
		p.given = true
	}
	return nil
}

func (f fields) admit(name string, seen map[string]bool) error {
	if _, ok := f[name]; !ok {
		return invalid(fmt.Sprintf("unknown field %.32q (want %s)", name, f.names()))
	}
	if seen[name] {
		return invalid(name + " is there twice")
	}
	seen[name] = true
	return nil
}

// query reads the parameters of a list: those named, each at most once.
func query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query is not valid")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(names, name) {
			if len(names) == 0 {
				return nil, invalid(fmt.Sprintf("unknown parameter %.32q (want none)", name))
			}
			return nil, invalid(fmt.Sprintf("unknown parameter %.32q (want %s)", name, strings.Join(names, ", ")))
		}
		if len(q[name]) > 1 {
			return nil, invalid(name + " is there twice")
		}
	}
	return q, nil
}

// number reads a decimal parameter from low to high, or gives def without it.
func number(q url.Values, name string, def, low, high uint64) (uint64, error) {
	s, ok := q[name]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseUint(s[0], 10, 64)
	if err != nil || v < low || v > high || s[0] != strconv.FormatUint(v, 10) {
		return 0, invalid(fmt.Sprintf("%s must be a number from %d to %d", name, low, high))
	}
	return v, nil
}
