package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// documentSuffix is how a document's file is named.
const documentSuffix = ".doc"

// maxDocument bounds a document, in bytes.
const maxDocument = 1 << 20

// ReadDocument gives the document of a name as WriteDocument left it in dir, nil
// when there is none. A file that is not as it was written is an error that is
// ErrDamaged, or ErrNewer where a later program has written it.
func ReadDocument(dir, name string) (data []byte, err error) {
	path, err := documentPath(dir, name)
	if err != nil {
		return nil, err
	}
	b, err := readBounded(path, maxDocument+64)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		b, err = unseal(tagDocument, []byte(name), b)
	}
	if err != nil {
		return nil, fmt.Errorf("read document %s: %w", name, err)
	}
	return b[1:], nil
}

// WriteDocument keeps a document of at most 1 MiB in a file of its own in dir,
// which damage to a database doesn't take along: a policy, the modes of the
// doors. After a power cut there is the one before or the new one, whole. It
// returns when that is on the disk. A name is 1 to 32 lower-case letters and
// dashes, and has one writer at a time. A document that a later program has
// written stays: ErrNewer.
func WriteDocument(dir, name string, data []byte) error {
	path, err := documentPath(dir, name)
	if err != nil {
		return err
	}
	if len(data) > maxDocument {
		return fmt.Errorf("write document %s: has %d bytes, at most %d", name, len(data), maxDocument)
	}
	if _, err := ReadDocument(dir, name); errors.Is(err, ErrNewer) {
		return fmt.Errorf("write document: %w", newerFile(path, err))
	}
	value := seal(tagDocument, []byte(name), append([]byte{recordVersion}, data...))
	if err := writeFile(path, value); err != nil {
		if errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
		return fmt.Errorf("write document %s: %w", name, err)
	}
	return nil
}

func documentPath(dir, name string) (string, error) {
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
		return "", fmt.Errorf("document %.40q: a name has 1 to 32 lower-case letters and dashes", name)
	}
	return filepath.Join(dir, name+documentSuffix), nil
}
