package main

import (
	"crypto/x509"
	"encoding/pem"
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
	maxPEM       = 1 << 20 // bytes
	maxNames     = 8
	certsEvery   = 10 * time.Second // how often the files are looked at, at most
	certsExpire  = 30 * 24 * time.Hour
	littleOnDisk = 64 << 20 // bytes
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
		err = readCertificates(&out, data)
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

// readCertificates gives when all certificates of a file are valid, and whom the first is
// of.
func readCertificates(out *api.Certificate, data []byte) error {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if out.NotAfter.IsZero() {
			out.Names, out.NotBefore, out.NotAfter = namesOf(c), c.NotBefore.UTC(), c.NotAfter.UTC()
		}
		if c.NotAfter.Before(out.NotAfter) {
			out.NotAfter = c.NotAfter.UTC()
		}
		if c.NotBefore.After(out.NotBefore) {
			out.NotBefore = c.NotBefore.UTC()
		}
	}
	if out.NotAfter.IsZero() {
		return errors.New("no certificate in it")
	}
	return nil
}

// namesOf are the names that a certificate is for, at most so many.
func namesOf(c *x509.Certificate) []string {
	var out []string
	if cn := c.Subject.CommonName; cn != "" {
		out = append(out, cn)
	}
	for _, n := range c.DNSNames {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out[:min(len(out), maxNames)]
}

// certificateProblem is what is wrong with a file of certificates, "" for nothing.
func certificateProblem(c api.Certificate, now time.Time) (what, do string) {
	const anew = "Get a new one from whoever runs the broker; it is read at the next connect."
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	switch left := c.NotAfter.Sub(now); {
	case c.Error != "":
		return fmt.Sprintf("can't be used: %s", c.Error), "Put a PEM certificate there, from whoever runs the broker."
	case left <= 0:
		return "has expired on " + day(c.NotAfter), anew + " If the date is wrong, see the clock."
	case now.Before(c.NotBefore):
		return "is not valid before " + day(c.NotBefore), "See the clock; if that is right, get another one from whoever runs the broker."
	case left < certsExpire:
		return "expires on " + day(c.NotAfter), "Get a new one in time; it is read at the next connect."
	}
	return "", ""
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
