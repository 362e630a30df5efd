package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postern/api"
	"postern/config"
	"postern/wire"
)

// Bounds of what is said about a file of certificates.
const (
	maxPEM       = 1 << 20          // bytes
	certsEvery   = 10 * time.Second // how often the files are looked at, at most
	littleOnDisk = 64 << 20         // bytes
)

// certificates are what the link's files say of themselves. Those that come as
// credentials of systemd nobody but the daemon can read.
type certificates struct {
	mu   sync.Mutex // guards the rest
	at   time.Time
	of   config.MQTT
	seen []api.Certificate
}

// list gives the files of an encrypted link, none of any other.
func (c *certificates) list(m config.MQTT) []api.Certificate {
	if !strings.HasPrefix(m.Broker, "ssl://") {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == m && !c.at.IsZero() && time.Since(c.at) < certsEvery {
		return slices.Clone(c.seen)
	}
	files := wire.Files{CA: m.CAFile, Cert: m.CertFile, Key: m.KeyFile}.WithCredentials()
	c.at, c.of, c.seen = time.Now(), m, nil
	for _, f := range []struct{ path, use string }{{files.CA, api.CertificateAuthorities}, {files.Cert, api.CertificateOwn}} {
		if f.path != "" {
			c.seen = append(c.seen, lookAt(f.path, f.use))
		}
	}
	return slices.Clone(c.seen)
}

func lookAt(path, use string) api.Certificate {
	out := api.Certificate{Use: use, File: path}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		out.File, out.Credential = filepath.Base(path), true
	}
	data, err := readPEM(path)
	if err == nil {
		err = out.Read(data)
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if pe, ok := errors.AsType[*os.PathError](err); ok {
			err = pe.Err // its path is told beside it
		}
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPEM))
}

// diskOf is what the file system of the data has.
func diskOf(dir string) (d api.Disk, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return d, fmt.Errorf("look at %s: %w", dir, err)
	}
	size := uint64(s.Bsize)
	return api.Disk{Free: s.Bavail * size, Size: s.Blocks * size}, nil
}
