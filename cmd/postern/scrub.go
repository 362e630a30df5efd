package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"postern/config"
)

// removed stands where something was that must not leave the panel.
const removed = "[removed]"

// shapes are what secrets look like, whoever they are of.
var shapes = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`), removed},
	{regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/\s"@]+@`), "${1}" + removed + "@"},
	{regexp.MustCompile(`(?i)("?\b(?:password|passwd|passphrase|psk|secret|token|credential|identification|bits)"?\s*[=:]\s*)("[^"\n]*"|'[^'\n]*'|[^\s,;"']+)`), "${1}" + removed},
	{regexp.MustCompile(`(?i)("?\b(?:pin|code|digits)"?\s*[=:]?\s*"?)[0-9]{4,10}\b`), "${1}" + removed}, // not systemd's code=exited
	{regexp.MustCompile(`(?i)\b(Bearer|Basic) [A-Za-z0-9._~+/=-]{8,}`), "$1 " + removed},
	{regexp.MustCompile(`\b(?:EM|MC|MD):[0-9]{4,}\b|\b[A-Z][A-Za-z0-9]{2,11}:[0-9]+-[0-9]+\b`), removed},
	{regexp.MustCompile(`\b[01]{24,}\b|\b[0-9]{13}\b`), removed}, // bits, and a card's number
}

// minLiteral is the shortest text that is looked for as it is: a shorter one is in
// every other word.
const minLiteral = 4

// scrubber takes secrets out of what leaves the panel: the panel's own, wherever
// they are, and what looks like one.
type scrubber struct{ literals [][]byte }

// newScrubber reads the panel's own secrets. One that this user can't read, he
// can't have put into a bundle either.
func newScrubber(cfg *config.Config) *scrubber {
	s := &scrubber{}
	if cfg == nil {
		return s
	}
	key := cfg.Panel.DeviceKeyFile
	if key == "" {
		key = filepath.Join(cfg.Panel.DataDir, deviceKeyName)
	}
	for _, path := range []string{key, cfg.MQTT.PasswordFile, cfg.MQTT.KeyFile} {
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		s.add(data)
		s.add(bytes.TrimSpace(data))
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(s.literals, func(a, b []byte) int { return len(b) - len(a) })
	return s
}

// add takes a secret in the forms in which programs print bytes.
func (s *scrubber) add(secret []byte) {
	if len(secret) < minLiteral {
		return
	}
	for _, form := range []string{
		string(secret), hex.EncodeToString(secret),
		base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
	} {
		s.literals = append(s.literals, []byte(form))
	}
}

func (s *scrubber) scrub(data []byte) []byte {
	for _, l := range s.literals {
		data = bytes.ReplaceAll(data, l, []byte(removed))
	}
	for _, shape := range shapes {
		data = shape.find.ReplaceAll(data, []byte(shape.with))
	}
	return data
}
