package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// authority makes certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, _, _ = a.issue("test authority", true)
	return a
}

// issue gives a certificate for 127.0.0.1 that is valid around the present time,
// and it and its key as PEM.
func (a *authority) issue(name string, ca bool) (cert *x509.Certificate, key *ecdsa.PrivateKey, certPEM, keyPEM []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := tmpl, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func putFile(t *testing.T, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// files writes a client's files and gives their names.
func (a *authority) files(dir, name string) Files {
	_, _, cert, key := a.issue(name, false)
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	putFile(a.t, f.CA, a.pem(), 0o644)
	putFile(a.t, f.Cert, cert, 0o644)
	putFile(a.t, f.Key, key, 0o600)
	return f
}

// meet connects a client to a server of this authority that wants a certificate,
// and gives whom the server met.
func (a *authority) meet(client *tls.Config) (string, error) {
	a.t.Helper()
	_, _, cert, key := a.issue("broker", false)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	defer l.Close()
	met := make(chan string, 1)
	go func() {
		defer close(met)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if s, ok := c.(*tls.Conn); ok && s.Handshake() == nil {
			met <- s.ConnectionState().PeerCertificates[0].Subject.CommonName
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		<-met
		return "", err
	}
	defer c.Close()
	return <-met, nil
}

func TestTLSFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	first, second := newAuthority(t), newAuthority(t)
	f := first.files(dir, "site-001")
	tl, err := NewTLS(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(a *authority, want string) {
		t.Helper()
		cfg, err := tl.Config()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.meet(cfg); err != nil || got != want {
			t.Fatalf("the server met %q (%v), want %q", got, err, want)
		}
	}
	connect(first, "site-001")

	// Everything is renewed, by another authority.
	second.files(dir, "site-002")
	connect(second, "site-002")
	cfg, _ := tl.Config()
	if _, err := first.meet(cfg); err == nil {
		t.Error("the authority that was taken out is still believed")
	}

	// What a renewal looks like half-way: the last good ones stay, and it is said.
	_, _, cert, key := second.issue("site-003", false)
	putFile(t, f.Cert, cert, 0o644)
	cfg, err = tl.Config()
	if err == nil || cfg == nil || !strings.Contains(err.Error(), f.Cert) {
		t.Fatalf("a certificate without its key: %v, %v", cfg, err)
	}
	if got, err := second.meet(cfg); err != nil || got != "site-002" {
		t.Errorf("the server met %q (%v), want the one before", got, err)
	}
	putFile(t, f.Key, key, 0o600)
	connect(second, "site-003")
}

func TestTLSRefusesBadFiles(t *testing.T) {
	a := newAuthority(t)
	_, _, other, _ := a.issue("other", false)
	for _, tt := range []struct {
		name  string
		spoil func(f *Files)
		want  string
	}{
		{"key for the group", func(f *Files) { _ = os.Chmod(f.Key, 0o640) }, "chmod 600"},
		{"key for everybody", func(f *Files) { _ = os.Chmod(f.Key, 0o604) }, "chmod 600"},
		{"no key file", func(f *Files) { _ = os.Remove(f.Key) }, "read private key"},
		{"no key named", func(f *Files) { f.Key = "" }, "go together"},
		{"another's certificate", func(f *Files) { putFile(t, f.Cert, other, 0o644) }, inCertificate},
		{"no certificate in it", func(f *Files) { putFile(t, f.Cert, []byte("hello"), 0o644) }, inCertificate},
		{"no authority in it", func(f *Files) { putFile(t, f.CA, []byte("hello"), 0o644) }, "BEGIN CERTIFICATE"},
		{"too large", func(f *Files) { putFile(t, f.CA, bytes.Repeat([]byte{'x'}, maxSecretFile+1), 0o644) }, "larger than"},
		{"a folder", func(f *Files) { f.CA = filepath.Dir(f.CA) }, "is no file"},
		{"a pipe", func(f *Files) {
			f.CA += ".pipe"
			if err := syscall.Mkfifo(f.CA, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is no file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := a.files(t.TempDir(), "site-001")
			tt.spoil(&f)
			_, err := NewTLS(f, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
				t.Error("the error shows the key")
			}
		})
	}
}

const inCertificate = "certificate "

// A certificate is checked at the time that is given, not at the system's.
func TestTLSTime(t *testing.T) {
	a := newAuthority(t)
	f := a.files(t.TempDir(), "site-001")
	for _, tt := range []struct {
		name string
		at   time.Time
		ok   bool
	}{
		{"in the seventies", time.Unix(0, 0), false},
		{"now", time.Now(), true},
		{"later", time.Now().Add(24 * time.Hour), false},
	} {
		tl, err := NewTLS(f, func() time.Time { return tt.at })
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := tl.Config()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.meet(cfg); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// Trouble is logged once, and again when it comes again.
func TestTLSForConnectLogs(t *testing.T) {
	a := newAuthority(t)
	f := a.files(t.TempDir(), "site-001")
	tl, err := NewTLS(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	connect := tl.ForConnect(slog.New(slog.NewTextHandler(&out, nil)))
	want := func(n int) {
		t.Helper()
		if cfg, err := connect(); err != nil || cfg == nil || len(cfg.Certificates) != 1 {
			t.Fatalf("got %v, %v", cfg, err)
		}
		if got := strings.Count(out.String(), "level=ERROR"); got != n {
			t.Fatalf("%d log lines, want %d:\n%s", got, n, &out)
		}
	}
	want(0)
	for n := range 2 {
		_ = os.Chmod(f.Key, 0o644)
		want(n + 1)
		want(n + 1)
		_ = os.Chmod(f.Key, 0o600)
		want(n + 1)
	}
}

func TestCredentials(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	own := a.files(dir, "site-001")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if got := (Files{}).WithCredentials(); got != (Files{}) {
		t.Errorf("without credentials: %+v", got)
	}
	if got, err := ReadPassword(""); got != "" || err != nil {
		t.Errorf("without credentials: a password %q (%v)", got, err)
	}
	creds := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	putFile(t, filepath.Join(creds, CredentialCA), a.pem(), 0o440)
	_, _, cert, key := a.issue("site-009", false)
	putFile(t, filepath.Join(creds, CredentialCert), cert, 0o440)
	// As systemd has it where the program runs as a user of its own: the access
	// list's mask shows as the group's bits.
	putFile(t, filepath.Join(creds, CredentialKey), key, 0o440)
	putFile(t, filepath.Join(creds, CredentialPassword), []byte("open sesame\n"), 0o440)

	tl, err := NewTLS(Files{}.WithCredentials(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tl.Config()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.meet(cfg); err != nil || got != "site-009" {
		t.Errorf("the server met %q (%v), want site-009", got, err)
	}
	if got := own.WithCredentials(); got != own {
		t.Errorf("named files give way to credentials: %+v", got)
	}
	if got := (Files{Cert: own.Cert, Key: own.Key}).WithCredentials(); got.Cert != own.Cert || got.Key != own.Key || got.CA != filepath.Join(creds, CredentialCA) {
		t.Errorf("got %+v", got)
	}
	if got, err := ReadPassword(""); got != "open sesame" || err != nil {
		t.Errorf("password %q (%v)", got, err)
	}
	// Half of a pair is a fault, not a connection without a certificate.
	_ = os.Remove(filepath.Join(creds, CredentialKey))
	if _, err := NewTLS(Files{}.WithCredentials(), nil); err == nil {
		t.Error("a certificate without its key: no error")
	}
}

func TestReadPassword(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	path := filepath.Join(t.TempDir(), "password")
	for _, tt := range []struct {
		mode os.FileMode
		ok   bool
	}{{0o600, true}, {0o640, true}, {0o644, false}, {0o660, false}} {
		putFile(t, path, []byte("open sesame\r\n"), tt.mode)
		got, err := ReadPassword(path)
		if (err == nil) != tt.ok || tt.ok && got != "open sesame" {
			t.Errorf("mode %o: %q, %v", tt.mode, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Error("the error shows the password")
		}
	}
}
