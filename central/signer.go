package central

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postern/wire"
)

// SigningKey is an Ed25519 key that signs what goes to panels.
type SigningKey struct {
	KID     string    // its name, 1 to 32 letters, digits, '-' and '_'
	From    time.Time // it signs from then on, until one with a later From does
	private ed25519.PrivateKey
}

// Public is the key as a panel's configuration takes it in trust.keys: name,
// colon, public key in base64.
func (k SigningKey) Public() string {
	public, _ := k.private.Public().(ed25519.PublicKey)
	return k.KID + ":" + base64.StdEncoding.EncodeToString(public)
}

// String is Public, so that a log never has the private key.
func (k SigningKey) String() string { return k.Public() }

// Bounds of a signing file.
const (
	maxSigningKeys = 32
	maxSigningFile = 16 << 10
	maxKID         = 32
)

// ReadSigningKeys reads a file of signing keys, one a line: name, time from
// which it signs, seed in base64. Its error wraps fs.ErrNotExist when there is
// none. A file that others may read is refused.
func ReadSigningKeys(path string) ([]SigningKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open signing file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat signing file: %w", err)
	}
	if info.Mode().Perm()&0o037 != 0 { // the group may read, as with the secret key file
		return nil, fmt.Errorf("signing file %s may be read or written by others: run chmod 600 %s", path, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSigningFile+1))
	if err != nil {
		return nil, fmt.Errorf("read signing file: %w", err)
	}
	keys, err := parseSigningKeys(data)
	if err != nil {
		return nil, fmt.Errorf("signing file %s:%w", path, err)
	}
	return keys, nil
}

// parseSigningKeys is ReadSigningKeys without the file. Its errors begin with
// the line and repeat nothing of it but a name.
func parseSigningKeys(data []byte) ([]SigningKey, error) {
	if len(data) > maxSigningFile {
		return nil, fmt.Errorf("1: has more than %d bytes", maxSigningFile)
	}
	var keys []SigningKey
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Fields(line)
		if len(parts) != 3 {
			return nil, fmt.Errorf("%d: want name, time and key", n)
		}
		from, err := time.Parse(time.RFC3339, parts[1])
		if err != nil {
			return nil, fmt.Errorf("%d: the second word is no time such as 2030-01-01T00:00:00Z", n)
		}
		seed, err := base64.StdEncoding.DecodeString(parts[2])
		switch {
		case checkKID(parts[0]) != nil:
			return nil, fmt.Errorf("%d: %w", n, checkKID(parts[0]))
		case seen[parts[0]]:
			return nil, fmt.Errorf("%d: the name %s is there twice", n, parts[0])
		case err != nil || len(seed) != ed25519.SeedSize:
			return nil, fmt.Errorf("%d: the third word is no key", n)
		case len(keys) == maxSigningKeys:
			return nil, fmt.Errorf("%d: more than %d keys", n, maxSigningKeys)
		}
		seen[parts[0]] = true
		keys = append(keys, SigningKey{KID: parts[0], From: from.UTC(), private: ed25519.NewKeyFromSeed(seed)})
	}
	return keys, nil
}

func checkKID(s string) error {
	if len(s) > maxKID || wire.CheckSystemID(s) != nil {
		return fmt.Errorf("a signing key's name has 1 to %d letters, digits, '-' and '_'", maxKID)
	}
	return nil
}

// NewSigningKey adds a key to a signing file, made with mode 0600 when there is
// none. The key signs from a time on, so that panels can be told of it before.
// An empty name is made of the present day.
func NewSigningKey(path, kid string, from, now time.Time) (SigningKey, error) {
	keys, err := ReadSigningKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return SigningKey{}, err
	}
	if kid == "" {
		kid = freeKID(keys, now)
	}
	if err := checkKID(kid); err != nil {
		return SigningKey{}, err
	}
	for _, k := range keys {
		if k.KID == kid {
			return SigningKey{}, fmt.Errorf("the signing key %s is there already", kid)
		}
	}
	if len(keys) >= maxSigningKeys {
		return SigningKey{}, fmt.Errorf("the signing file has %d keys: retire some", len(keys))
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("make signing key: %w", err)
	}
	k := SigningKey{KID: kid, From: from.UTC().Truncate(time.Second), private: private}
	return k, writeSigningKeys(path, append(keys, k))
}

func freeKID(keys []SigningKey, now time.Time) string {
	taken := map[string]bool{}
	for _, k := range keys {
		taken[k.KID] = true
	}
	kid := now.UTC().Format("20060102")
	for n := 'b'; taken[kid] && n <= 'z'; n++ {
		kid = now.UTC().Format("20060102") + string(n)
	}
	return kid
}

// RetireSigningKey takes a key out of a signing file. It gives ErrNotFound when
// there is none of that name.
func RetireSigningKey(path, kid string) error {
	keys, err := ReadSigningKeys(path)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if k.KID == kid {
			return writeSigningKeys(path, append(keys[:i:i], keys[i+1:]...))
		}
	}
	return fmt.Errorf("signing key %.64q: %w", kid, ErrNotFound)
}

// writeSigningKeys replaces a signing file at once, or not at all.
func writeSigningKeys(path string, keys []SigningKey) error {
	var b bytes.Buffer
	b.WriteString("# name, signs from, private key: keep it secret\n")
	for _, k := range keys {
		fmt.Fprintln(&b, k.KID, k.From.Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.private.Seed()))
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".signing-*") // mode 0600
	if err != nil {
		return fmt.Errorf("create signing file: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write signing file: %w", err), os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open directory of signing file: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync directory of signing file: %w", err)
	}
	return nil
}

// SigningAt gives which of the keys signs at a time, false for none.
func SigningAt(keys []SigningKey, now time.Time) (SigningKey, bool) {
	var best SigningKey
	found := false
	for _, k := range keys {
		if !k.From.After(now) && (!found || !k.From.Before(best.From)) {
			best, found = k, true
		}
	}
	return best, found
}

// Signer signs with the keys of a file, which it reads again when it changes.
type Signer struct {
	path   string
	faulty func(error) // is told, once, what is wrong with a file that has changed
	fault  string      // what it was told last; refresh alone uses it

	mu   sync.Mutex // guards what follows
	keys []SigningKey
	seen time.Time // of the file when it was read
	size int64
}

// NewSigner reads a signing file. Later faults of the file go to faulty, and the
// keys that were read last go on.
func NewSigner(path string, faulty func(error)) (*Signer, error) {
	s := &Signer{path: path, faulty: faulty}
	return s, s.reload()
}

func (s *Signer) reload() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("stat signing file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.ModTime().Equal(s.seen) && info.Size() == s.size {
		return nil
	}
	keys, err := ReadSigningKeys(s.path)
	if err != nil {
		return err
	}
	s.keys, s.seen, s.size = keys, info.ModTime(), info.Size()
	return nil
}

// refresh reads the file again when it has changed.
func (s *Signer) refresh() {
	text := ""
	err := s.reload()
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != s.fault && s.faulty != nil {
		s.faulty(err)
	}
	s.fault = text
}

// sign wraps a payload, or gives it as it is when no key signs now.
func (s *Signer) sign(now time.Time, system string, t wire.Topic, payload []byte) []byte {
	s.mu.Lock()
	k, ok := SigningAt(s.keys, now)
	s.mu.Unlock()
	if !ok {
		return payload
	}
	return wire.Sign(k.private, k.KID, system, t, payload)
}
