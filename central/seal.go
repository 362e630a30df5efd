package central

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sealer keeps secrets from whoever reads the database: it encrypts PINs, codes
// and log payloads, and makes the keyed hashes that codes are looked up by.
type sealer struct {
	aead  cipher.AEAD
	index []byte
}

// errSealed is sealed data that the secret key does not open.
var errSealed = errors.New("sealed data does not open with this secret key")

func newSealer(secret []byte) (*sealer, error) {
	enc, err := hkdf.Key(sha256.New, secret, nil, "postern central seal v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive sealing key: %w", err)
	}
	index, err := hkdf.Key(sha256.New, secret, nil, "postern central index v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive index key: %w", err)
	}
	block, err := aes.NewCipher(enc)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return &sealer{aead: aead, index: index}, nil
}

// seal encrypts text for one place, such as "pin/" and the key's id, so that a
// sealed value can't be moved to another row.
func (s *sealer) seal(place string, text []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(text)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // crypto/rand.Read never fails
	return s.aead.Seal(nonce, nonce, text, []byte(place))
}

func (s *sealer) open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, errSealed
	}
	n := s.aead.NonceSize()
	text, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return nil, errSealed
	}
	return text, nil
}

// hash is the keyed hash of text under a purpose, 64 hexadecimal digits.
func (s *sealer) hash(purpose, text string) string {
	m := hmac.New(sha256.New, s.index)
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

const secretSize = 32

// readSecret reads a secret key file: 64 hexadecimal digits. Its error wraps
// fs.ErrNotExist when there is none.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = explainFile(path, err)
		}
		return nil, fmt.Errorf("open secret key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat secret key file: %w", err)
	}
	// The group may read: systemd hands credentials out with an ACL, which shows
	// as group permission.
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("secret key file %s may be read or written by others: run chmod 600 %s", path, path)
	}
	text := make([]byte, 256)
	n, _ := f.Read(text)
	secret, err := hex.DecodeString(strings.TrimSpace(string(text[:n])))
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("secret key file %s does not hold %d hexadecimal digits", path, 2*secretSize)
	}
	return secret, nil
}

// createSecret writes a new secret key file, mode 0600, and syncs it: the
// database is worthless without it.
func createSecret(path string) ([]byte, error) {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create secret key file: %w", explainFile(path, err))
	}
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write secret key file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open directory of secret key file: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, fmt.Errorf("sync directory of secret key file: %w", err)
	}
	return secret, nil
}

// loadSecret reads the secret key, or makes one when there is none and the
// database is new.
func loadSecret(path string, fresh bool) ([]byte, error) {
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if !fresh {
		return nil, fmt.Errorf("secret key file %s is missing, and the database was made with one: put it back from the backup", path)
	}
	secret, err = createSecret(path)
	if errors.Is(err, fs.ErrExist) {
		return readSecret(path) // another process was first
	}
	return secret, err
}
