package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Files are the PEM files of an encrypted connection to the broker.
type Files struct {
	CA   string // authorities that the broker's certificate must come from; "" is the system's
	Cert string // this end's own certificate, with those between it and its authority; "" is none
	Key  string // its private key, which nobody but its owner may read; "" is none
}

// TLS gives the settings of encrypted connections, from files that may change
// while the program runs: certificates are renewed, and a door controller is not
// restarted for that.
type TLS struct {
	files Files
	now   func() time.Time

	mu   sync.Mutex // guards the rest
	seen [sha256.Size]byte
	good *tls.Config // of the files as they were when they last fitted together
}

// NewTLS reads the files for the first time. Certificates are checked at the
// time that now gives; nil is the system's.
func NewTLS(f Files, now func() time.Time) (*TLS, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate and its private key go together, and one of them is missing")
	}
	t := &TLS{files: f, now: now}
	if _, err := t.Config(); err != nil {
		return nil, err
	}
	return t, nil
}

// Config gives the settings for the next connection, from the files as they are
// now. Where these are of no use, as in the middle of a renewal, it gives those
// that last were, together with the error.
func (t *TLS) Config() (*tls.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := t.files.read()
	if err != nil {
		return t.last(), err
	}
	seen := text.sum()
	if t.good == nil || seen != t.seen {
		cfg, err := t.files.parse(text, t.now)
		if err != nil {
			return t.last(), err
		}
		t.good, t.seen = cfg, seen
	}
	return t.last(), nil
}

// last gives a copy, as connections add to the settings that they are given.
func (t *TLS) last() *tls.Config {
	if t.good == nil {
		return nil
	}
	return t.good.Clone()
}

// ForConnect is Config for what connects and can do nothing about an error: it
// logs it, once for each time that it begins, and goes on with the settings that
// were good.
func (t *TLS) ForConnect(log *slog.Logger) func() (*tls.Config, error) {
	var mu sync.Mutex // guards told
	told := ""
	return func() (*tls.Config, error) {
		cfg, err := t.Config()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			told = ""
		case cfg == nil:
			return nil, err
		case err.Error() != told:
			told = err.Error()
			log.Error("certificate files are of no use now; those read before stay in force", "error", err)
		}
		return cfg, nil
	}
}

// texts are the contents of Files.
type texts struct{ ca, cert, key []byte }

func (f Files) read() (texts, error) {
	var out texts
	for _, x := range []struct {
		into   *[]byte
		path   string
		what   string
		secret bool
	}{
		{&out.ca, f.CA, "authorities", false},
		{&out.cert, f.Cert, "certificate", false},
		{&out.key, f.Key, "private key", true},
	} {
		if x.path == "" {
			continue
		}
		read := readBounded
		if x.secret {
			read = readPrivate
		}
		b, err := read(x.path)
		if err != nil {
			return texts{}, fmt.Errorf("read %s: %w", x.what, err)
		}
		*x.into = b
	}
	return out, nil
}

func (x texts) sum() [sha256.Size]byte {
	var all []byte
	for _, part := range [][]byte{x.ca, x.cert, x.key} {
		sum := sha256.Sum256(part)
		all = slices.Concat(all, sum[:])
	}
	return sha256.Sum256(all)
}

func (f Files) parse(x texts, now func() time.Time) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Time: now}
	if f.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(x.ca) {
			return nil, fmt.Errorf("%s holds no certificate of an authority (want PEM, BEGIN CERTIFICATE)", f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.X509KeyPair(x.cert, x.key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with private key %s: %w", f.Cert, f.Key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
