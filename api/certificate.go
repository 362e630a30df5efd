package api

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"
)

// Bounds of what is said about a certificate.
const (
	maxCertNames = 8
	certExpires  = 30 * 24 * time.Hour // before its end it is told
)

// Certificate is a file of certificates. NotBefore and NotAfter are between which
// all in it are valid, and Names whom the first is of.
type Certificate struct {
	Use        string    `json:"use"`
	File       string    `json:"file"`                 // its path, or the name of a credential
	Credential bool      `json:"credential,omitempty"` // of systemd, which only the daemon can read
	Names      []string  `json:"names,omitempty"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	Error      string    `json:"error,omitempty"` // why it can't be used
}

// Where is the file in words.
func (c Certificate) Where() string {
	if c.Credential {
		return "credential " + c.File
	}
	return c.File
}

// Read takes from a PEM file when all its certificates are valid, and whom the
// first is of.
func (c *Certificate) Read(data []byte) error {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if c.NotAfter.IsZero() {
			c.Names, c.NotBefore, c.NotAfter = namesOf(x), x.NotBefore.UTC(), x.NotAfter.UTC()
		}
		if x.NotAfter.Before(c.NotAfter) {
			c.NotAfter = x.NotAfter.UTC()
		}
		if x.NotBefore.After(c.NotBefore) {
			c.NotBefore = x.NotBefore.UTC()
		}
	}
	if c.NotAfter.IsZero() {
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
	return out[:min(len(out), maxCertNames)]
}

// CertificateState is whether a certificate can be used, and for how long.
type CertificateState int

// The states of a certificate.
const (
	CertificateGood CertificateState = iota
	CertificateFaulty
	CertificateExpired
	CertificateNotYet
	CertificateExpiring // within 30 days
)

// State says how a certificate is now and, unless it is good, what that means and
// what to do, in words.
func (c Certificate) State(now time.Time) (state CertificateState, what, do string) {
	const anew = "Get a new one from whoever runs the broker; it is read at the next connect."
	from, until := c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)
	switch left := c.NotAfter.Sub(now); {
	case c.Error != "":
		return CertificateFaulty, "can't be used: " + c.Error, "Put a PEM certificate there, from whoever runs the broker."
	case left <= 0:
		return CertificateExpired, "has expired on " + until, anew + " If the date is wrong, see the clock."
	case now.Before(c.NotBefore):
		return CertificateNotYet, "is not valid before " + from, "See the clock; if that is right, get another one from whoever runs the broker."
	case left < certExpires:
		return CertificateExpiring, "expires on " + until, "Get a new one in time; it is read at the next connect."
	}
	return CertificateGood, "", ""
}
