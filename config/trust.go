package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// maxTrustedKeys bounds trust.keys: one in force, one that follows it, and room
// for a change of mind.
const maxTrustedKeys = 4

// Trust says whose changes the panel takes.
type Trust struct {
	// Keys are central's signing keys, at most 4, each "kid:key" as
	// `postern-central signing new` prints it: a name and an Ed25519 public key
	// in base64. With keys, only what one of them signed is taken, so that
	// whoever takes the broker over opens no door. To change keys, add the new
	// one here, let central sign with it, then take the old one out. A key that
	// central does not have leaves the panel on the access keys it knows.
	Keys []string `toml:"keys"`
	// Unsigned, true, says that changes are taken from whoever the broker lets
	// speak as central. It is what happens without keys anyway, and is shown as a
	// warning either way; false without keys is a fault.
	Unsigned bool `toml:"unsigned"`
}

// TrustedKeys gives trust.keys by name; empty when unsigned changes are taken.
func (c *Config) TrustedKeys() map[string]ed25519.PublicKey {
	out := map[string]ed25519.PublicKey{}
	for _, s := range c.Trust.Keys {
		if kid, key, err := parseTrustedKey(s); err == nil { // Parse has refused others
			out[kid] = key
		}
	}
	return out
}

func (v *checker) trust(t *Trust) {
	if v.faulty["trust.keys"] {
		return
	}
	if len(t.Keys) > maxTrustedKeys {
		v.fault("trust.keys", "has more than %d keys", maxTrustedKeys)
		return
	}
	var kids []string
	var keys []ed25519.PublicKey
	for i, s := range t.Keys {
		path := element("trust.keys", i)
		kid, key, err := parseTrustedKey(s)
		switch {
		case err != nil:
			v.fault(path, "%v", err)
		case slices.Contains(kids, kid):
			v.fault(path, "the name %q is given to another key already", kid)
		case slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return k.Equal(key) }):
			v.fault(path, "is there already, under another name")
		}
		kids, keys = append(kids, kid), append(keys, key)
	}
	switch {
	case t.Unsigned && len(t.Keys) > 0:
		v.fault("trust.unsigned", "is true, and there are keys: with keys nothing unsigned is taken, so take one of the two out")
	case !t.Unsigned && len(t.Keys) == 0 && v.lines.set("trust.unsigned"):
		v.fault("trust.unsigned", "is false, and there are no keys: nothing that central says would be taken (postern-central signing new makes one)")
	}
}

// parseTrustedKey reads "kid:key". Its errors never repeat the text: somebody may
// have put the private key there.
func parseTrustedKey(s string) (kid string, key ed25519.PublicKey, err error) {
	kid, text, ok := strings.Cut(s, ":")
	if !ok || kid == "" || len(kid) > maxNameSize || strings.Trim(kid, systemIDCharset) != "" {
		return "", nil, errors.New("is not kid:key (want the line that postern-central signing new prints)")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return "", nil, errors.New("has no Ed25519 public key after its name (want 32 bytes in base64, 44 characters)")
	}
	return kid, b, nil
}
