package central

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// optional tells a member that was omitted from one that is null and from one
// that has a value: in an update they mean three things.
type optional[T any] struct {
	Set   bool // it was there
	Null  bool // and was null
	Value T
}

// Has reports whether there is a value.
func (o optional[T]) Has() bool { return o.Set && !o.Null }

// UnmarshalJSON reads null or a T, without unknown members.
func (o *optional[T]) UnmarshalJSON(data []byte) error {
	o.Set = true
	if string(data) == "null" {
		o.Null = true
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(&o.Value)
}

const unknownField = `json: unknown field "`

// strictMember decodes an object that lies under a name, so that its unknown
// members are reported with their whole path.
func strictMember(name string, data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if rest, ok := strings.CutPrefix(err.Error(), unknownField); ok {
		return errors.New(unknownField + name + "." + rest)
	}
	return err
}
