package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNewer is a file in a newer form than this program knows: a later version of
// Postern wrote it. It is no damage, and the file stays as it is.
var ErrNewer = errors.New("written in a newer format than this program knows")

// otherVersion is the error of a record whose checksum is right and whose version is
// none of this program's.
func otherVersion(tag, version byte) error {
	kind := ErrDamaged
	if version > newest(tag) {
		kind = ErrNewer
	}
	return fmt.Errorf("%w: a record in %q has format %d, this program knows up to %d", kind, tag, version, newest(tag))
}

// newerFile adds to an error that is ErrNewer which file it is, and what to do.
func newerFile(path string, err error) error {
	return fmt.Errorf("%s: %w; it stays as it is: install the version of Postern that wrote it, or a later one, "+
		"or move the file away by hand, which begins with an empty one", path, err)
}

// newerSmall is ErrNewer if a later program has written one of the files beside
// the databases. What else is wrong with them is for whoever reads them. A
// snapshot that is arriving is not looked at: it comes again.
func newerSmall(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, document := strings.CutSuffix(e.Name(), ".doc")
		if !document {
			continue
		}
		if _, err := ReadDocument(dir, name); errors.Is(err, ErrNewer) {
			return newerFile(filepath.Join(dir, e.Name()), err)
		}
	}
	good := newLastGood(dir)
	if err := good.load(); errors.Is(err, ErrNewer) {
		return newerFile(good.path, err)
	}
	return nil
}
