package api

import (
	"encoding/json"
	"testing"
)

// Words is words.
var Words = words

// MayCopy is mayCopy.
var MayCopy = mayCopy

// CheckDecode checks that what the strict decoder takes is what encoding/json
// understands by it, and that a fault never repeats a value.
func CheckDecode(t *testing.T, body string) {
	var reader, bits string
	var open flag
	err := fields{"reader": &reader, "bits": &bits, "open": &open}.decodeJSON([]byte(body))
	if err != nil {
		return
	}
	var want struct {
		Reader *string `json:"reader"`
		Bits   *string `json:"bits"`
		Open   *bool   `json:"open"`
	}
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Fatalf("took %q, which is not JSON: %v", body, err)
	}
	if want.Reader != nil && *want.Reader != reader || want.Bits != nil && *want.Bits != bits ||
		(want.Open != nil) != open.given || open.given && *want.Open != open.value {
		t.Fatalf("%q: got reader %q, bits %q, open %v", body, reader, bits, open)
	}
}
