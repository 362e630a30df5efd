package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

const trustBase = `[panel]
system_id = "a"
[mqtt]
broker = "tcp://127.0.0.1"
[board]
driver = "simulated"
[[door]]
id = "front"
lock = "strike"
on_panel_dead = "locked"
`

func TestTrust(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(public)
	line := func(kid string, n byte) string {
		k := append([]byte{}, public...)
		k[0] ^= n
		return fmt.Sprintf("%q", kid+":"+base64.StdEncoding.EncodeToString(k))
	}
	secret := base64.StdEncoding.EncodeToString(private)
	for _, tt := range []struct {
		name, text string
		keys       int
		fault      string // in the first
	}{
		{"nothing", "", 0, ""},
		{"an empty table", "[trust]", 0, ""},
		{"said to be unsigned", "[trust]\nunsigned = true", 0, ""},
		{"a key", "[trust]\nkeys = [" + line("2026", 0) + "]", 1, ""},
		{"a key, and not unsigned", "[trust]\nkeys = [" + line("2026", 0) + "]\nunsigned = false", 1, ""},
		{"four", "[trust]\nkeys = [" + line("a", 0) + "," + line("b", 1) + "," + line("c", 2) + "," + line("d", 3) + "]", 4, ""},
		{"five", "[trust]\nkeys = [" + line("a", 0) + "," + line("b", 1) + "," + line("c", 2) + "," + line("d", 3) + "," + line("e", 4) + "]", 0, "more than 4"},
		{"neither", "[trust]\nunsigned = false", 0, "no keys"},
		{"both", "[trust]\nkeys = [" + line("a", 0) + "]\nunsigned = true", 0, "take one of the two out"},
		{"no name", "[trust]\nkeys = [\"" + key + "\"]", 0, "kid:key"},
		{"an empty name", "[trust]\nkeys = [\":" + key + "\"]", 0, "kid:key"},
		{"a private key", "[trust]\nkeys = [\"a:" + secret + "\"]", 0, "no Ed25519 public key"},
		{"a name twice", "[trust]\nkeys = [" + line("a", 0) + "," + line("a", 1) + "]", 0, "given to another"},
		{"a key twice", "[trust]\nkeys = [" + line("a", 0) + "," + line("b", 0) + "]", 0, "under another name"},
		{"of the wrong type", "[trust]\nkeys = 3\nunsigned = false", 0, "is a whole number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, faults := Parse("panel.toml", []byte(trustBase+tt.text))
			if tt.fault != "" {
				if len(faults) != 1 || !strings.Contains(faults[0].Message, tt.fault) {
					t.Fatalf("faults %v, want one with %q", faults, tt.fault)
				}
				if strings.Contains(faults[0].String(), secret[:20]) {
					t.Errorf("the fault shows the private key: %s", faults[0])
				}
				return
			}
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			got := c.TrustedKeys()
			if len(got) != tt.keys {
				t.Fatalf("%d keys, want %d", len(got), tt.keys)
			}
			for kid, k := range got {
				if ok := kid == "a" || kid == "2026"; ok && !k.Equal(public) {
					t.Errorf("key %s is another than the file's", kid)
				}
			}
		})
	}
}
