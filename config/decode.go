package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postern/access"
	"postern/wiegand"
)

// maxText bounds every text of the file, in bytes.
const maxText = 1024

// maxItems bounds every list of the file.
const maxItems = 4096

// decoder fills tagged structs from the parser's maps and collects what does
// not fit by its path. The tag `toml:"name,required"` names a member;
// `oneof:"a,b"` lists the texts that it takes.
type decoder struct{ *checker }

// field is one member of a table.
type field struct {
	name     string
	required bool
	oneof    []string // nil is any
	index    int
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("toml")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		f := field{name: name, required: option == "required", index: i}
		if texts, ok := t.Field(i).Tag.Lookup("oneof"); ok {
			f.oneof = strings.Split(texts, ",")
		}
		out = append(out, f)
	}
	return out
}

// table fills a struct. Members that are absent keep their value; a table that
// is absent is gone through all the same, for what is required in it.
func (d *decoder) table(path string, src map[string]any, dst reflect.Value) {
	fields := fieldsOf(dst.Type())
	for _, f := range fields {
		path, into := member(path, f.name), dst.Field(f.index)
		v, ok := src[f.name]
		switch {
		case ok:
			d.value(path, v, f.oneof, into)
		case f.required:
			d.fault(path, "is missing")
		case into.Kind() == reflect.Struct:
			d.table(path, nil, into)
		}
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	for _, key := range slices.Sorted(maps.Keys(src)) {
		if !slices.Contains(names, key) {
			d.fault(member(path, key), "%s", unknown(key, names))
		}
	}
}

// value fills one member of any type.
func (d *decoder) value(path string, src any, oneof []string, dst reflect.Value) {
	if days, ok := reflect.TypeAssert[*access.Days](dst.Addr()); ok {
		d.days(path, src, days)
		return
	}
	if parse, want, ok := textual(dst.Type()); ok {
		if s, ok := d.text(path, src, want); ok {
			d.parsed(path, s, parse, dst)
		}
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		if m, ok := src.(map[string]any); ok {
			d.table(path, m, dst)
			return
		}
		d.wrong(path, "a table", src)
	case reflect.Slice:
		d.list(path, src, dst)
	case reflect.String:
		s, ok := d.text(path, src, "a text in quotes")
		if !ok {
			return
		}
		if oneof != nil && !slices.Contains(oneof, s) {
			d.fault(path, "%.70q is not known: want %s", s, quoted(oneof))
			return
		}
		dst.SetString(s)
	case reflect.Bool:
		b, ok := src.(bool)
		if !ok {
			d.wrong(path, "true or false", src)
			return
		}
		dst.SetBool(b)
	case reflect.Int:
		n, ok := src.(int64)
		if !ok {
			d.wrong(path, "a whole number", src)
			return
		}
		if dst.OverflowInt(n) {
			d.fault(path, "%d is too large", n)
			return
		}
		dst.SetInt(n)
	default:
		panic("config: no decoder for " + dst.Type().String())
	}
}

// list fills an array of texts or tables.
func (d *decoder) list(path string, src any, dst reflect.Value) {
	tables := dst.Type().Elem().Kind() == reflect.Struct
	items, ok := src.([]any)
	if !ok {
		want := `a list of texts, such as ["a", "b"]`
		if tables {
			want = "an array of tables, headed [[" + path + "]]"
			if strings.ContainsAny(path, ".[") {
				want = "a list of tables, such as [{ … }, { … }]"
			}
		}
		d.wrong(path, want, src)
		return
	}
	if len(items) > maxItems {
		d.fault(path, "has more than %d entries", maxItems)
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		into := out.Index(i)
		if e, ok := reflect.TypeAssert[interface{ setDefaults() }](into.Addr()); ok {
			e.setDefaults()
		}
		d.value(element(path, i), item, nil, into)
	}
	dst.Set(out)
}

func (d *decoder) days(path string, src any, dst *access.Days) {
	var names []string
	d.list(path, src, reflect.ValueOf(&names).Elem())
	for i, name := range names {
		if _, err := access.ParseDays([]string{name}); err != nil {
			d.fault(element(path, i), "%v", err)
			d.faulty[path] = true // or it would name no day as well
		}
	}
	days, err := access.ParseDays(names)
	if err != nil {
		d.fault(path, "%v", err)
	}
	*dst = days
}

// text gives a text that is short and printable.
func (d *decoder) text(path string, src any, want string) (string, bool) {
	s, ok := src.(string)
	switch {
	case !ok:
		d.wrong(path, want, src)
	case len(s) > maxText:
		d.fault(path, "is longer than %d bytes", maxText)
		ok = false
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		d.fault(path, "has a character that can't be printed")
		ok = false
	}
	return s, ok
}

func (d *decoder) parsed(path, s string, parse func(string) (any, error), dst reflect.Value) {
	v, err := parse(s)
	if err != nil {
		d.fault(path, "%v", err)
		return
	}
	dst.Set(reflect.ValueOf(v))
}

func (d *decoder) wrong(path, want string, src any) {
	d.fault(path, "is %s: want %s", describe(src), want)
	d.broken[path] = true
}

// textual gives the parser of a type that the file has as a text.
func textual(t reflect.Type) (parse func(string) (any, error), want string, ok bool) {
	want = "a text in quotes"
	switch t {
	case reflect.TypeFor[time.Duration]():
		parse, want = erase(parseDuration), `a duration in quotes with its unit, such as "5s"`
	case reflect.TypeFor[access.Technology]():
		parse = erase(access.ParseTechnology)
	case reflect.TypeFor[access.Match]():
		parse = erase(access.ParseMatch)
	case reflect.TypeFor[access.PointMode]():
		parse = erase(access.ParsePointMode)
	case reflect.TypeFor[access.ID]():
		parse = erase(access.ParseID)
	case reflect.TypeFor[access.TimeOfDay]():
		parse = erase(access.ParseTimeOfDay)
	case reflect.TypeFor[access.Date]():
		parse = erase(parseDate)
	case reflect.TypeFor[access.Passback]():
		parse = erase(access.ParsePassback)
	case reflect.TypeFor[wiegand.Encoding]():
		parse = erase(parseKeypad)
	case reflect.TypeFor[wiegand.Order]():
		parse = erase(wiegand.ParseOrder)
	case reflect.TypeFor[wiegand.Part]():
		parse = erase(wiegand.ParsePart)
	case reflect.TypeFor[Pattern]():
		parse, want = erase(parsePattern), `a pattern in quotes, such as "led+beep:100ms led:2s"`
	}
	return parse, want, parse != nil
}

func erase[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(s string) (any, error) { return parse(s) }
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%.70q is not a duration (want a number and its unit, such as \"500ms\", \"5s\" or \"1m30s\")", s)
	}
	return d, nil
}

// parseDate reads a day; "" is none.
func parseDate(s string) (access.Date, error) {
	if s == "" {
		return access.Date{}, nil
	}
	return access.ParseDate(s)
}

func parseKeypad(s string) (wiegand.Encoding, error) {
	if s == "" || s == wiegand.BufferedName {
		return wiegand.Encoding(s), nil
	}
	e, err := wiegand.ParseEncoding(s)
	if err != nil {
		return "", fmt.Errorf("%.70q is not known (want %s, or \"\" for none)", s, strings.Join(keypadNames(), ", "))
	}
	return e, nil
}

// keypadNames are the keypads that a reader may have, in quotes.
func keypadNames() []string {
	var names []string
	for _, e := range wiegand.Encodings() {
		names = append(names, strconv.Quote(string(e)))
	}
	return append(names, strconv.Quote(wiegand.BufferedName))
}

// describe names the type of a parsed value. It never shows the value: one
// that landed in the wrong place may be a secret.
func describe(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

func quoted(texts []string) string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, fmt.Sprintf("%q", t))
		}
	}
	return strings.Join(out, " or ")
}
