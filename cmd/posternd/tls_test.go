package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/config"
	"postern/wire"
)

// tlsDial makes connections that the test can cut.
func tlsDial(d *net.Dialer, addr string, cfg *tls.Config, into *net.Conn) mqtt.OpenConnectionFunc {
	return func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		c, err := (&tls.Dialer{NetDialer: d, Config: cfg}).Dial("tcp", addr)
		if err == nil {
			*into = c
		}
		return c, err
	}
}

// The main job through Mosquitto as shipped, with certificates on all sides.
func TestTLSKeyOpensDoor(t *testing.T) {
	s := newSiteOn(t, mosquittoTLS, nil)
	roundTrip(s)
	if out := s.do("status"); !strings.Contains(out, "unsigned") {
		t.Errorf("that changes are unsigned is not told: %s", out)
	}
}

// roundTrip adds a key over HTTP, opens a door with it, and wants the event back;
// then it takes the key away.
func roundTrip(s *site) {
	s.t.Helper()
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 102)
	if !s.released("front") {
		s.t.Error("the door is not released")
	}
	if got := s.wantEvents(1, 102); got[0].KeyID != a.ID {
		s.t.Errorf("event %+v, want key %s", got[0], a.ID)
	}
	s.remove(a.ID)
	s.eventually("the panel has removed the key", func() error {
		if out := s.do("keys", "list"); strings.TrimSpace(out) != "" {
			return errorf("keys %s", out)
		}
		return nil
	})
	s.badge("front", card, 201)
	s.wantEvents(2, 201)
}

// Every certificate is replaced, by those of another authority, while the
// programs run.
func TestTLSRenewal(t *testing.T) {
	s := newSiteOn(t, mosquittoTLS, nil)
	s.wantStatus(s.addCard(card).ID, "Applied")
	old := s.pki.cert
	s.pki = newPKI(t, s.pki.dir) // in the same place
	if s.pki.cert.Equal(old) {
		t.Fatal("the authority is the same")
	}
	for _, name := range []string{"broker", "site-001", centralCN} {
		s.pki.issue(name)
	}
	pids := []int{s.panel.cmd.Process.Pid, s.central.cmd.Process.Pid}
	s.restartBroker()
	s.wantStatus(s.addCard("EM:77").ID, "Applied")
	s.badge("front", "0000000000077", 102)
	if pids[0] != s.panel.cmd.Process.Pid || pids[1] != s.central.cmd.Process.Pid {
		t.Error("a program was started anew")
	}
}

// A key that others may read is not used: the panel says so and goes on without
// a link, and is on line once that is mended.
func TestTLSKeyForEverybody(t *testing.T) {
	s := newSiteOn(t, mosquittoTLS, nil)
	s.wantStatus(s.addCard(card).ID, "Applied")
	s.panel.end(t, syscall.SIGTERM)
	key := s.pki.file("site-001.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	s.startPanel()
	s.eventually("the fault is told", func() error {
		if out := s.do("status"); !strings.Contains(out, "chmod 600") {
			return errorf("status %s", out)
		}
		return nil
	})
	s.badge("front", card, 102)
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	s.wantStatus(s.addCard("EM:77").ID, "Applied")
}

// A panel without a real-time clock starts long before its certificates are
// valid, and has to reach the broker all the same. In the bubble it is the year
// 2000 for the panel, and the present for the broker.
func TestTLSBootInThePast(t *testing.T) {
	mosquittoTLS.require(t)
	dir := t.TempDir()
	p := newPKI(t, filepath.Join(dir, "pki"))
	p.issue(panelA)
	addr := freeAddr(t)
	broker := startMosquittoTLS(t, p, dir, addr)
	t.Cleanup(func() { broker.end(t, syscall.SIGKILL) })
	(&site{t: t}).eventually("the broker listens", func() error { return listens(addr) })
	present := time.Now()
	for _, tt := range []struct {
		name     string
		lastGood time.Time
		synced   bool
		ok       bool
	}{
		{"last good time in the store", present, false, true},
		{"the year 2000 is believed", present, true, false},
		{"no good time is known", time.Time{}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if time.Now().Year() != 2000 {
					t.Fatalf("it is %v", time.Now())
				}
				c := &clock{
					source: config.ClockNTP, log: slog.New(slog.DiscardHandler), note: func(access.Event) {},
					synced: func() bool { return tt.synced }, rtc: func() bool { return false },
				}
				c.load(fixedGood(tt.lastGood))
				err := p.connectsOnce(t, addr, c)
				if (err == nil) != tt.ok {
					t.Fatalf("connect: %v", err)
				}
				if !tt.ok && !strings.Contains(err.Error(), "not yet valid") {
					t.Errorf("connect: %v", err)
				}
			})
		})
	}
}

// connectsOnce has the product's options for the link open a connection, and
// speaks MQTT on it.
func (p *pki) connectsOnce(t *testing.T, addr string, c *clock) error {
	cfg := parse(t, strings.Replace(small, `broker = "tcp://127.0.0.1:1883"`, `broker = "ssl://`+addr+`"
ca_file = "`+p.file("ca.pem")+`"
cert_file = "`+p.file(panelA+".pem")+`"
key_file = "`+p.file(panelA+".key")+`"`, 1))
	o, err := linkOptions(cfg, c.tlsTime, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := o.TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", addr, settings)
	if err != nil {
		return err
	}
	defer conn.Close()
	// CONNECT as MQTT 3.1.1 has it, with an empty client id, and its answer: only
	// that shows that the broker took the certificate.
	if _, err := conn.Write([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0}); err != nil {
		return err
	}
	answer := make([]byte, 4)
	if _, err := conn.Read(answer); err != nil {
		return err
	}
	if answer[0] != 0x20 || answer[3] != 0 {
		return errorf("the broker answers % x", answer)
	}
	return nil
}

// The options of the link come from the configuration, or from systemd's
// credentials where it names no file.
func TestLinkOptions(t *testing.T) {
	p := newPKI(t, t.TempDir())
	p.issue(panelA)
	creds := t.TempDir()
	for from, to := range map[string]string{
		"ca.pem": wire.CredentialCA, panelA + ".pem": wire.CredentialCert, panelA + ".key": wire.CredentialKey,
	} {
		b, err := os.ReadFile(p.file(from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(creds, to), b, 0o440); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(creds, wire.CredentialPassword), []byte("from systemd"), 0o440); err != nil {
		t.Fatal(err)
	}
	const key = `keys = ["2026:5YbKpRH2bb3R6NbsJMmo8SGGAb4bOk4pYoqiQeFHjm8="]`
	for _, tt := range []struct {
		name, creds, mqtt, trust string
		password                 string
		tls                      bool
		certs, keys              int
	}{
		{"plain", "", `broker = "tcp://b:1883"`, "", "", false, 0, 0},
		{"plain, with credentials", creds, `broker = "tcp://b:1883"`, "", "", false, 0, 0},
		{"the system's authorities", "", `broker = "ssl://b"`, key, "", true, 0, 1},
		{"files", "", `broker = "ssl://b"` + "\ncert_file = \"" + p.file(panelA+".pem") + "\"\nkey_file = \"" + p.file(panelA+".key") + "\"", "", "", true, 1, 0},
		{"credentials", creds, `broker = "ssl://b"` + "\nusername = \"u\"", key, "from systemd", true, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", tt.creds)
			cfg := parse(t, strings.Replace(small, `broker = "tcp://127.0.0.1:1883"`, tt.mqtt+"\n[trust]\n"+tt.trust, 1))
			var log strings.Builder
			o, err := linkOptions(cfg, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if o.Password != tt.password || (o.TLS != nil) != tt.tls || len(o.Trust) != tt.keys {
				t.Errorf("password %q, TLS %v, %d keys", o.Password, o.TLS != nil, len(o.Trust))
			}
			if warned := strings.Contains(log.String(), "unsigned"); warned != (tt.keys == 0) {
				t.Errorf("warned of unsigned changes: %v", warned)
			}
			if !tt.tls {
				return
			}
			settings, err := o.TLS()
			if err != nil || len(settings.Certificates) != tt.certs || settings.Time == nil {
				t.Errorf("settings %+v, %v", settings, err)
			}
		})
	}
}
