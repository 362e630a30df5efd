package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"postern/access"
)

// DeviceKeySize is the size of a device key in bytes.
const DeviceKeySize = 32

// secrets computes the keyed hashes under which codes and PINs are stored, and
// the keys of what is staged. The inputs can't meet: the texts of check and stage
// differ from the start, and are longer than the other two ever get.
type secrets struct {
	idle *sync.Pool // hash.Hash under the key: to make one costs as much as to use it
}

func newSecrets(key []byte) secrets {
	return secrets{&sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (s secrets) mac(parts ...string) []byte {
	h := s.idle.Get().(hash.Hash)
	defer s.idle.Put(h)
	h.Reset()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

func (s secrets) check() (out hash16) {
	copy(out[:], s.mac("postern check value of the device key"))
	return out
}

// stage is the key that the chunks of one snapshot are encrypted with.
func (s secrets) stage(id access.ID) []byte {
	return s.mac("postern key of a staged snapshot", string(id[:]))
}

func (s secrets) pin(id access.ID, pin string) []byte { return s.mac(string(id[:]), pin) }

// codePrefix begins the index rows of codes, and of nothing else.
const codePrefix = 'H'

// prefix is the form under which a credential is indexed, nil for none. No
// prefix of one kind begins one of another, nor another of its own.
func (s secrets) prefix(c access.Credential) []byte {
	if c.Kind == access.CodeKind {
		return append([]byte{codePrefix}, s.mac("code", c.Digits())...)
	}
	return c.IndexKey()
}

func (s secrets) prefixes(id access.Identification, m []access.Matcher) [][]byte {
	var out [][]byte
	for _, c := range id.Credentials(m) {
		out = append(out, s.prefix(c))
	}
	return out
}

// LoadDeviceKey reads the panel's device key, 32 bytes, and makes one from the
// system's random source when the file is absent. It refuses a file of another
// size, one that others may read, and one that anybody else may write. The group
// may read: systemd hands credentials out with an ACL, which shows as group
// permission.
func LoadDeviceKey(path string) ([]byte, error) {
	key, err := readDeviceKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, DeviceKeySize)
	rand.Read(key) // never fails
	if err := writeFile(path, key); err != nil {
		return nil, fmt.Errorf("make device key: %w", err)
	}
	return key, nil
}

func readDeviceKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() != DeviceKeySize {
		return nil, fmt.Errorf("device key %s: want a file of %d bytes, this has %d (without the right key stored codes and PINs are lost: "+
			"restore it, or remove the file and let central send all keys again)", path, DeviceKeySize, info.Size())
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("device key %s: others may read or change it (mode %04o): chmod 0600 %s", path, info.Mode().Perm(), path)
	}
	key := make([]byte, DeviceKeySize)
	if _, err := f.ReadAt(key, 0); err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	return key, nil
}

// writeFile makes path hold data, mode 0600, so that after a power cut there is
// all of it or nothing.
func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return moveFile(tmp, path)
}

// moveFile renames and makes the new name durable.
func moveFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
