package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"postern/access"
	"postern/api"
)

// TestBundleHasNoSecrets plants secrets wherever a bundle takes something from, and
// searches what it wrote.
func TestBundleHasNoSecrets(t *testing.T) {
	d, err := startDaemon(true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	s := saved(t)
	const (
		password, code, card, number = "hunter2-Broker", "482915", "0007776543210", "14-40091"
		bits                         = "10001110100111000100110111"
		uri                          = "ssl://user:uri-s3cret@broker.example:8883"
		pem                          = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlanted\n-----END EC PRIVATE KEY-----"
		bearer                       = "eyJhbGciOiJIUzI1NiJ9.planted"
		note                         = "the alarm company's word is Rhabarber"
	)
	key := "\x01\x02\x03\x04planted-device-key-28-bytes!"
	s.file("mqtt.password", password+"\n")
	s.file("data/device.key", key)
	s.file("panel.toml", s.panel("")+"# "+note+", code "+code+"\n")
	d.Change(func(st *api.Status) {
		st.Link.LastError = "dial " + uri + ": refused"
		st.Readers[0].LastRead = &api.Read{Kind: api.ReadCard, Bits: bits, Pulses: 26, Candidates: []api.Candidate{{Format: "H10301", Facility: 14, Number: 40091, Identification: "H10301:" + number}}}
		st.Problems = []api.Problem{{What: "Door main: card " + card + " with code=" + code, Do: "see " + uri}}
	})
	d.Append(api.Event{Type: access.Denied, Door: "lab", Credential: card, Detail: "password: " + password})

	b := &bundle{config: s.path("panel.toml"), run: func(_ context.Context, name string, _ ...string) []byte {
		return []byte(strings.Join([]string{
			name, "broker password " + password, `msg="keypad" pin=482915`, `{"code":"482915"}`, "key " + hex.EncodeToString([]byte(key)),
			"key " + base64.StdEncoding.EncodeToString([]byte(key)), pem, "Authorization: Bearer " + bearer, uri, "raw " + bits, "EM:" + card, "H10301:" + number,
			"Main process exited, code=exited, status=1/FAILURE",
		}, "\n"))
	}}
	files := b.collect(t.Context(), &options{socket: d.socket}, api.NewClient(d.socket))
	path := s.path("bundle.tar.gz")
	if err := writeBundle(path, files); err != nil {
		t.Fatal(err)
	}
	all := unpacked(t, path)
	for _, secret := range []string{
		password, code, card, number, "40091", bits, "uri-s3cret", "Planted", bearer, note, key, hex.EncodeToString([]byte(key)),
		base64.StdEncoding.EncodeToString([]byte(key)), "Rhabarber",
	} {
		for name, data := range all {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s has %q:\n%s", name, secret, data)
			}
		}
	}
	for name, want := range map[string]string{
		"status.json": `"system_id": "demo-001"`, "events.json": `"type"`, "panel.toml": "system_id = 'demo-001'", "log.txt": "code=exited, status=1/FAILURE",
		"doctor.json": `"door-alarm"`, "clock.txt": "timedatectl",
	} {
		if !bytes.Contains(all["postern-support/"+name], []byte(want)) {
			t.Errorf("%s has no %s:\n%s", name, want, all["postern-support/"+name])
		}
	}
	if err := writeBundle(path, files); err == nil {
		t.Error("a bundle was written over another file")
	}
}

func unpacked(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(source(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	all, r := map[string][]byte{}, tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
