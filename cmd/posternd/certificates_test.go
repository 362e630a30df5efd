package main

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/api"
	"postern/config"
)

// credentials are a panel's certificates as systemd hands them over.
func credentials(t *testing.T, change ...func(*x509.Certificate)) (p *pki) {
	t.Helper()
	p = newPKI(t, filepath.Join(t.TempDir(), "pki"))
	p.issue("site-001", change...)
	dir := t.TempDir()
	for from, to := range map[string]string{"ca.pem": "mqtt-ca.pem", "site-001.pem": "mqtt-cert.pem", "site-001.key": "mqtt-key.pem"} {
		b, err := os.ReadFile(p.file(from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o400)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	return p
}

// Certificates that nobody but the daemon can read are in its status, and the
// doctor goes by that.
func TestEndToEndCredentialCertificates(t *testing.T) {
	end := time.Now().Add(10 * 24 * time.Hour).Truncate(time.Second)
	credentials(t, func(c *x509.Certificate) { c.NotAfter = end })
	s := &site{t: t, bin: programs(t), dir: t.TempDir()}
	dir, err := os.MkdirTemp("", "pe2e") // short: a unix socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s.socket = filepath.Join(dir, "s")
	s.write("panel.toml", `[panel]
system_id = "site-001"
data_dir = "`+s.dir+`/data"
[mqtt]
broker = "ssl://127.0.0.1:1"
[api]
socket = "`+s.socket+`"
[clock]
source = "system"
[board]
driver = "simulated"
`)
	s.startPanel()
	defer func() { s.panel.end(t, syscall.SIGTERM) }()
	var st api.Status
	if err := json.Unmarshal([]byte(s.do("status")), &st); err != nil {
		t.Fatal(err)
	}
	if len(st.Certificates) != 2 {
		t.Fatalf("certificates %+v, want the authorities' and the panel's own", st.Certificates)
	}
	own := st.Certificates[1]
	if own.Use != api.CertificateOwn || own.Where() != "credential mqtt-cert.pem" || !own.NotAfter.Equal(end) || len(own.Names) == 0 || own.Names[0] != "site-001" {
		t.Errorf("the panel's own is %+v, want one of site-001 until %v", own, end)
	}
	if st.Disk.Size == 0 || st.Disk.Free == 0 {
		t.Errorf("disk %+v", st.Disk)
	}
	out, _ := s.cli("doctor", "--config", filepath.Join(s.dir, "panel.toml"))
	if !strings.Contains(out, "certificate-expiring") || !strings.Contains(out, "credential mqtt-cert.pem (site-001") || strings.Contains(out, "panel-problem") {
		t.Errorf("doctor: %s", out)
	}
	for _, secret := range []string{"PRIVATE KEY", os.Getenv("CREDENTIALS_DIRECTORY")} {
		if strings.Contains(s.do("status"), secret) {
			t.Errorf("the status has %q in it", secret)
		}
	}
}

func TestCertificates(t *testing.T) {
	p := credentials(t)
	var c certificates
	if got := c.list(config.MQTT{Broker: "tcp://127.0.0.1:1"}); got != nil {
		t.Errorf("of a link that is not encrypted: %+v", got)
	}
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := config.MQTT{Broker: "ssl://127.0.0.1:1", CAFile: p.file("ca.pem"), CertFile: bad, KeyFile: bad}
	got := c.list(m)
	if len(got) != 2 || got[0].Credential || got[0].Error != "" || got[0].NotAfter.IsZero() || got[1].Error != "no certificate in it" {
		t.Errorf("named files: %+v", got)
	}
	m.CAFile = filepath.Join(t.TempDir(), "none.pem")
	if got := c.list(m); len(got) != 2 || got[0].Error != "no such file or directory" {
		t.Errorf("a file that is missing: %+v", got)
	}
}

func TestCertificateProblem(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, tt := range []struct {
		name        string
		from, until time.Duration
		fault, want string
	}{
		{"good", -day, 90 * day, "", ""},
		{"expired", -9 * day, -time.Second, "", "has expired on 2026-11-22"},
		{"expires", -day, 29 * day, "", "expires on 2026-12-21"},
		{"not yet", day, 90 * day, "", "is not valid before 2026-11-23"},
		{"faulty", 0, 0, "no certificate in it", "can't be used: no certificate in it"},
	} {
		_, what, do := api.Certificate{NotBefore: now.Add(tt.from), NotAfter: now.Add(tt.until), Error: tt.fault}.State(now)
		if what != tt.want || (do == "") != (tt.want == "") {
			t.Errorf("%s: %q, %q; want %q", tt.name, what, do, tt.want)
		}
	}
}
