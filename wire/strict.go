package wire

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/access"
)

// Limits on one message.
const (
	MaxPayload = 256 << 10 // bytes of an MQTT payload
	MaxBatch   = 128 << 10 // bytes of a batch as central builds it
	maxDepth   = 16        // nested objects and arrays
)

// A SyntaxError is JSON that can't be read, with the place where.
type SyntaxError struct {
	Offset int // bytes from the start
	Line   int // from 1
	Reason string
}

// Error names the line.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// A FieldError is a member that is there but wrong.
type FieldError struct {
	Field  string // dotted path, such as key.identification
	Reason string // never the value
}

// Error names the member.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Strict decodes one JSON object into v, a pointer to a struct. It refuses what
// two readers could read differently: a member twice or in another case, text
// after the object, invalid UTF-8, nesting deeper than 16. Unknown members are
// ignored unless known is true, which refuses them. Errors are *SyntaxError or
// *FieldError and never repeat a value.
func Strict(data []byte, v any, known bool) error { return strict(data, v, known, "") }

// strict is Strict that takes the value of the member opaque ("" is none),
// such as changes.key, as it is: whoever decodes it later judges it.
func strict(data []byte, v any, known bool, opaque string) error {
	if !utf8.Valid(data) {
		return &SyntaxError{Line: 1, Reason: "not valid UTF-8"}
	}
	if err := walk(data, opaque); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if known {
		dec.DisallowUnknownFields()
	}
	return explain(data, dec.Decode(v))
}

// explain turns the library's error into one of ours, without the values that
// it may hold.
func explain(data []byte, err error) error {
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typ):
		got, _, _ := strings.Cut(typ.Value, " ")
		return &FieldError{Field: members(typ.Field), Reason: fmt.Sprintf("want %s, got %s", kindName(typ), got)}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &FieldError{Field: strings.Trim(name, `"`), Reason: "unknown member"}
	}
	if errors.Is(err, access.ErrID) {
		return &FieldError{Field: "(an id)", Reason: access.ErrID.Error()}
	}
	// What is left comes from a value's own UnmarshalText or UnmarshalJSON.
	return &FieldError{Field: "(value)", Reason: "can't be read: " + scrub(err)}
}

// members is a path without the names of embedded structs, which are no members;
// those of members are in lower case.
func members(path string) string {
	names := strings.Split(path, ".")
	return strings.Join(slices.DeleteFunc(names, func(n string) bool { return n != "" && n[0] >= 'A' && n[0] <= 'Z' }), ".")
}

// scrub keeps of a library's error what can't be a value.
func scrub(err error) string {
	text := err.Error()
	if i := strings.IndexAny(text, `"0123456789`); i >= 0 {
		text = strings.TrimSpace(text[:i])
	}
	return strings.TrimRight(text, " :")
}

func kindName(e *json.UnmarshalTypeError) string {
	if e.Type == nil {
		return "another type"
	}
	if reflect.PointerTo(e.Type).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string"
	}
	switch k := e.Type.Kind().String(); k {
	case "struct", "map":
		return "an object"
	case "slice", "array":
		return "an array"
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	default:
		return "a whole number in range"
	}
}

// walk reads every token once, for what encoding/json lets pass.
func walk(data []byte, opaque string) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := walker{data: data, dec: dec}
	if opaque != "" {
		w.opaque = opaque + "."
	}
	tok, err := dec.Token()
	if err != nil {
		return w.syntax(err)
	}
	if tok != json.Delim('{') {
		return w.errorf("want a JSON object")
	}
	if err := w.object("", 1); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return w.errorf("text after the JSON object")
	}
	return nil
}

type walker struct {
	data   []byte
	dec    *json.Decoder
	opaque string // path of the member that is not looked into, with a dot; "" is none
}

func (w *walker) errorf(format string, args ...any) error {
	at := min(int(w.dec.InputOffset()), len(w.data))
	return &SyntaxError{Offset: at, Line: 1 + bytes.Count(w.data[:at], []byte("\n")), Reason: fmt.Sprintf(format, args...)}
}

func (w *walker) syntax(err error) error {
	var syn *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return w.errorf("the JSON text ends too early")
	case errors.As(err, &syn):
		at := min(int(syn.Offset), len(w.data))
		return &SyntaxError{
			Offset: at, Line: 1 + bytes.Count(w.data[:at], []byte("\n")),
			Reason: "not valid JSON (check commas, quotes and brackets)",
		}
	}
	return w.errorf("not valid JSON")
}

func (w *walker) object(path string, depth int) error {
	if depth > maxDepth {
		return w.errorf("nested deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return w.syntax(err)
		}
		name, ok := tok.(string)
		if !ok {
			return w.errorf("want a member's name")
		}
		folded := strings.Map(fold, name)
		if seen[folded] {
			return &FieldError{Field: path + shown(name), Reason: "appears twice"}
		}
		seen[folded] = true
		// encoding/json would take Pin for pin; two readers may differ.
		if !lower(name) {
			return &FieldError{Field: path + shown(name), Reason: "members are written in lower case"}
		}
		if err := w.value(path+shown(name)+".", depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token() // the closing brace
	if err != nil {
		return w.syntax(err)
	}
	return nil
}

// fold is the smallest of the runes that encoding/json takes for the same: S
// for s, but for the long ſ too.
func fold(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// lower reports whether no letter of a member's name stands for another one.
func lower(name string) bool {
	for _, r := range name {
		if unicode.ToLower(r) != r || r >= utf8.RuneSelf && fold(r) < utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (w *walker) value(path string, depth int) error {
	if path == w.opaque {
		var raw json.RawMessage
		if err := w.dec.Decode(&raw); err != nil {
			return w.syntax(err)
		}
		return nil
	}
	tok, err := w.dec.Token()
	if err != nil {
		return w.syntax(err)
	}
	switch tok {
	case json.Delim('{'):
		return w.object(path, depth+1)
	case json.Delim('['):
		if depth >= maxDepth {
			return w.errorf("nested deeper than %d", maxDepth)
		}
		for w.dec.More() {
			if err := w.value(path, depth+1); err != nil {
				return err
			}
		}
		if _, err := w.dec.Token(); err != nil {
			return w.syntax(err)
		}
	}
	return nil
}

// shown is a member's name as it may appear in an error: bounded, printable.
func shown(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
	if len(name) > 40 {
		name = strings.ToValidUTF8(name[:40], "")
	}
	return name
}
