package wire

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The systemd credentials that are taken where the configuration names no file;
// see LoadCredential= in systemd.exec(5).
const (
	CredentialCA       = "mqtt-ca.pem"
	CredentialCert     = "mqtt-cert.pem"
	CredentialKey      = "mqtt-key.pem"
	CredentialPassword = "mqtt-password"
)

// maxSecretFile bounds certificate, key and password files, in bytes.
const maxSecretFile = 64 << 10

// Credential gives the path of a systemd credential, or "" where this program
// was given none of that name.
func Credential(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// WithCredentials takes systemd's credentials for the files that are not named.
// Certificate and key come from one place, both or neither.
func (f Files) WithCredentials() Files {
	if f.CA == "" {
		f.CA = Credential(CredentialCA)
	}
	if f.Cert == "" && f.Key == "" {
		f.Cert, f.Key = Credential(CredentialCert), Credential(CredentialKey)
	}
	return f
}

// ReadPassword gives the password that a file holds, without the end of its
// line; "" is the systemd credential mqtt-password, or no password where there
// is none. A file that others than its owner and group may read is refused.
func ReadPassword(path string) (string, error) {
	if path == "" {
		if path = Credential(CredentialPassword); path == "" {
			return "", nil
		}
	}
	b, err := readRestricted(path, 0o037)
	return strings.TrimRight(string(b), "\r\n"), err
}

// readPrivate reads a file that nobody but its owner may read.
func readPrivate(path string) ([]byte, error) { return readRestricted(path, 0o077) }

// readRestricted reads a file that has none of the mode bits in refused.
// Credentials are systemd's to protect: it grants them by an access list, which
// shows among the group's bits.
func readRestricted(path string, refused os.FileMode) ([]byte, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		refused = 0
	}
	return readFile(path, refused)
}

func readBounded(path string) ([]byte, error) { return readFile(path, 0) }

func readFile(path string, refused os.FileMode) ([]byte, error) {
	// Before it is opened: to open a pipe waits for somebody who writes to it.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&refused != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecretFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	return b, nil
}
