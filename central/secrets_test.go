package central

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/wire"
)

// TestSecretsAtRest looks for a code, a PIN and API keys in every byte that
// central writes.
func TestSecretsAtRest(t *testing.T) {
	database := filepath.Join(t.TempDir(), "central.db")
	k := newKitAt(t, database)
	r := newRig(k)
	r.panel("p1", 8, level(1))
	const code, pin, common = "90817263", "7351", "55667788"
	body := fmt.Sprintf(`{"key":{"identification":%q,"type":"code"},"pin":%q,"access_levels":[%q]}`, code, pin, level(1))
	if res := k.send(k.secret, "/v1/accesskeys/add", body, "Idempotency-Key", "x"); res.status != 200 || !strings.Contains(res.body, code) {
		t.Fatalf("got %d %s", res.status, res.body)
	}
	generated := k.add(fmt.Sprintf(`{"key":{"type":"code"},"access_levels":[%q]}`, level(1))).Key.Identification
	for _, bad := range []string{
		fmt.Sprintf(`{"key":{"identification":"%sx","type":"code"},"pin":%q}`, code, pin),
		fmt.Sprintf(`{"key":{"identification":%q,"type":"code"},"pin":"%s9"}`, code, pin),
		fmt.Sprintf(`{"key":{"identification":%s,"type":"code"},"pin":%s}`, code, pin),
		fmt.Sprintf(`{"pin":%q %q}`, pin, code),
	} {
		res := k.post(http.StatusBadRequest, "/v1/accesskeys/add", bad)
		if strings.Contains(res.body, code) || strings.Contains(res.body, pin) {
			t.Errorf("an error repeats a secret: %s", res.body)
		}
	}
	p := newFakePanel(r, "p1")
	p.connect()
	if sent := r.take("p1", wire.TopicChange); len(sent) != 1 || !bytes.Contains(sent[0], []byte(code)) || !bytes.Contains(sent[0], []byte(pin)) {
		t.Error("the panel did not get code and PIN")
	}
	// A snapshot holds them all, in chunks that outlive a restart.
	p.epoch = 1
	p.connect()
	snapshot := r.offered("p1")
	r.give("p1", wire.TopicNeed, wire.Need{Want: wire.WantSnapshot, SnapshotID: snapshot.ID, Chunks: []int{0}})
	if sent := r.take("p1", wire.ChunkTopic(snapshot.ID, 0)); len(sent) != 1 || !bytes.Contains(sent[0], []byte(code)) {
		t.Error("the panel did not get the snapshot")
	}
	if _, err := k.store.ApplyPolicy(t.Context(), "p1", []byte(`{"access_levels":[],"schedules":[{"id":"`+common+`"}]}`)); err != nil {
		t.Fatal(err)
	}
	k.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"key":{"identification":%q,"type":"code"}}`, code))
	var kept int
	const query = "SELECT COUNT(*) FROM keys WHERE removed_at > 0 AND (code_sealed IS NOT NULL OR pin_sealed IS NOT NULL)"
	if err := k.store.read.QueryRowContext(t.Context(), query).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d removed keys have secrets (%v), want none", kept, err)
	}
	files, err := filepath.Glob(database + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("got files %v, %v; want database and log", files, err)
	}
	// The PIN's four digits may come up by chance in random bytes: look for it
	// as JSON has it.
	secrets := []string{code, common, generated, `"` + pin + `"`, k.secret}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(data, []byte(s)) {
				t.Errorf("%s holds a secret in clear", filepath.Base(name))
			}
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
	for _, s := range append(secrets, pin) {
		if strings.Contains(k.logs.String(), s) {
			t.Error("the log holds a secret")
		}
	}
}

func TestSealer(t *testing.T) {
	s, err := newSealer(bytes.Repeat([]byte{7}, secretSize))
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.seal("pin/a", []byte("1234"))
	if text, err := s.open("pin/a", sealed); err != nil || string(text) != "1234" {
		t.Errorf("got %q, %v", text, err)
	}
	if bytes.Equal(sealed, s.seal("pin/a", []byte("1234"))) {
		t.Error("the same text sealed twice is the same")
	}
	if _, err := s.open("pin/b", sealed); err == nil {
		t.Error("a sealed PIN opens in another place")
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.open("pin/a", bad); err == nil {
			t.Errorf("opens with byte %d changed", i)
		}
	}
	for n := range len(sealed) {
		if _, err := s.open("pin/a", sealed[:n]); err == nil {
			t.Errorf("opens when cut to %d bytes", n)
		}
	}
}

func TestSecretKeyFile(t *testing.T) {
	k := newKit(t)
	info, err := os.Stat(k.opts.SecretKeyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("secret key file: got %v, %v", info, err)
	}
	good, err := os.ReadFile(k.opts.SecretKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"another key": {strings.Repeat("ab", secretSize), 0o600, "not the one"},
		"too short":   {"abcd", 0o600, "does not hold"},
		"not hex":     {strings.Repeat("zz", secretSize), 0o600, "does not hold"},
		"readable":    {string(good), 0o644, "chmod"},
		"missing":     {"", 0, "missing"},
	} {
		o := k.opts
		o.SecretKeyFile = filepath.Join(t.TempDir(), "key")
		if c.content != "" {
			if err := os.WriteFile(o.SecretKeyFile, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
		if strings.Contains(fmt.Sprint(err), string(good[:16])) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
	// A systemd credential shows as readable by the group.
	if err := os.Chmod(k.opts.SecretKeyFile, 0o440); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), k.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewerDatabase(t *testing.T) {
	k := newKit(t)
	if _, err := k.store.write.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)"); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), k.opts); err == nil || !strings.Contains(err.Error(), "newer") {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("got %v, want a word about a newer program", err)
	}
}
