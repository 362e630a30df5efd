package store

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/access"
)

// Neither file ever holds a code, a PIN or the device key, in no page, live or
// free.
func TestNoSecretOnDisk(t *testing.T) {
	const digits, pin = "9071536482", "8351"
	h := newHarness(t, func(o *Options) { o.Policy = mustPolicy(len(digits), levelA) })
	// The PIN has four digits, which may turn up in a hash by chance: look for it
	// as the only run of digits in what is plain text.
	u := put(1, 1, 11)
	u.PIN = pin
	h.apply(u, put(2, 2, 0, code(digits)), put(3, 3, 0, code(digits)), put(4, 4, 0, code(digits[:5])))
	h.wantOpening(access.CodeCredential(digits), 2)
	h.record(3)
	if _, err := h.s.SetPolicy(t.Context(), mustPolicy(4, levelA), low24); err != nil {
		t.Fatal(err)
	}
	for _, row := range h.statuses() {
		for _, r := range row.Results {
			if strings.Contains(r.Detail, digits[:5]) {
				t.Errorf("a result tells the code: %q", r.Detail)
			}
		}
	}
	h.apply(remove(5, 2))
	h.stop()
	for _, name := range []string{"keys.db", "journal.db"} {
		b := readFile(t, h.path(name))
		for what, secret := range map[string]string{"code": digits, "short code": digits[:5], "device key": string(deviceKey), "PIN": pin} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds the %s", name, what)
			}
		}
		info, err := os.Stat(h.path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	// The test would see it: the card's number is there.
	if !bytes.Contains(readFile(t, h.path("keys.db")), []byte("0000000000011")) {
		t.Error("the file does not hold what it should")
	}
}

func TestHashesAreKeyed(t *testing.T) {
	a, b := newSecrets(deviceKey), newSecrets(bytes.Repeat([]byte{1}, 32))
	code := access.CodeCredential("1234")
	for name, differ := range map[string]bool{
		"code by device":  !bytes.Equal(a.prefix(code), b.prefix(code)),
		"PIN by device":   !bytes.Equal(a.pin(testID(1), "1234"), b.pin(testID(1), "1234")),
		"PIN by key":      !bytes.Equal(a.pin(testID(1), "1234"), a.pin(testID(2), "1234")),
		"check by device": a.check() != b.check(),
	} {
		if !differ {
			t.Errorf("%s: the same", name)
		}
	}
}

func TestLoadDeviceKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	key, err := LoadDeviceKey(path)
	if err != nil || len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Fatalf("a new key: %x, %v", key, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if again, err := LoadDeviceKey(path); err != nil || !bytes.Equal(again, key) {
		t.Errorf("read again: %v, other than before: %v", err, !bytes.Equal(again, key))
	}
	for mode, good := range map[os.FileMode]bool{
		0o400: true, 0o440: true, 0o640: true, 0o600: true,
		0o604: false, 0o602: false, 0o601: false, 0o620: false, 0o610: false, 0o660: false, 0o444: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := LoadDeviceKey(path)
		if good && (err != nil || !bytes.Equal(got, key)) || !good && (err == nil || !strings.Contains(err.Error(), "chmod 0600")) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadDeviceKey(path)
		if err == nil || !strings.Contains(err.Error(), "32 bytes") || strings.Contains(err.Error(), hex.EncodeToString(key)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := LoadDeviceKey(filepath.Join(path, "below", "a file")); err == nil {
		t.Error("a key where there can't be one")
	}
}
