package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// brokerKind is a broker that the end-to-end tests run through.
type brokerKind string

const (
	embedded     brokerKind = ""              // the one inside postern-central
	mosquitto    brokerKind = "mosquitto"     // without certificates
	mosquittoTLS brokerKind = "mosquitto-tls" // as shipped, with certificates on all sides
	nats         brokerKind = "nats"          // NATS server's MQTT
)

// program is the broker's, by the name of its apt package.
func (k brokerKind) program() string {
	switch k {
	case mosquitto, mosquittoTLS:
		return "mosquitto"
	case nats:
		return "nats-server"
	}
	return ""
}

// require skips a test whose broker is not installed, but not where everything
// has to be.
func (k brokerKind) require(t *testing.T) {
	t.Helper()
	if !slices.Contains([]brokerKind{embedded, mosquitto, mosquittoTLS, nats}, k) {
		t.Fatalf("POSTERN_TEST_BROKER=%s is not known", k)
	}
	if k == embedded || programPath(k.program()) != "" {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("POSTERN_TEST_BROKER") != "" {
		t.Fatalf("%s is not installed (apt package %s)", k.program(), k.program())
	}
	t.Skipf("%s is not installed (apt package %s)", k.program(), k.program())
}

// programPath finds a daemon, also where a user's PATH has no sbin.
func programPath(name string) string {
	for _, n := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	return ""
}

// panelLink is how the panel's configuration reaches the broker.
func (s *site) panelLink() string {
	if s.kind != mosquittoTLS {
		return "[mqtt]\nbroker = \"tcp://" + s.panelMQTT + "\"\n"
	}
	return fmt.Sprintf("[mqtt]\nbroker = \"ssl://%s\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n",
		s.panelMQTT, s.pki.file("ca.pem"), s.pki.file("site-001.pem"), s.pki.file("site-001.key"))
}

func (s *site) centralLink() string {
	if s.kind != mosquittoTLS {
		return "[mqtt]\nbroker = \"tcp://" + s.centralMQTT + "\"\n"
	}
	return fmt.Sprintf("[mqtt]\nbroker = \"ssl://%s\"\nca = %q\ncert = %q\nkey = %q\n",
		s.centralMQTT, s.pki.file("ca.pem"), s.pki.file("postern-central.pem"), s.pki.file("postern-central.key"))
}

func (s *site) startBroker() {
	s.t.Helper()
	if s.kind == embedded {
		return
	}
	log := filepath.Join(s.dir, "broker.log")
	switch s.kind {
	case mosquitto:
		host, port, _ := net.SplitHostPort(s.mqtt)
		s.write("mosquitto.conf", fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence false\n", port, host))
		s.broker = startProcess(s.t, log, programPath("mosquitto"), "-c", filepath.Join(s.dir, "mosquitto.conf"))
	case mosquittoTLS:
		for _, name := range []string{"site-001", "postern-central"} {
			if !fileExists(s.pki.file(name + ".pem")) {
				s.pki.issue(name)
			}
		}
		s.broker = startMosquittoTLS(s.t, s.pki, s.dir, s.mqtt)
	case nats:
		s.startNATS()
	}
	s.eventually("the broker listens", func() error { return listens(s.mqtt) })
}

func listens(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err
}

// startMosquittoTLS starts Mosquitto with the shipped configuration, of which
// only the paths and the listener's address are changed, below a main
// configuration as Debian's.
func startMosquittoTLS(t *testing.T, p *pki, dir, addr string) *process {
	t.Helper()
	if !fileExists(p.file("broker.pem")) {
		p.issue("broker")
	}
	conf := filepath.Join(dir, "mosquitto")
	if err := os.MkdirAll(filepath.Join(conf, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	text := shipped(t, "postern.conf")
	for _, r := range [][2]string{
		{"\nlistener 8883\n", "\nlistener " + port + " " + host + "\n"},
		{"/etc/mosquitto/ca_certificates/postern-ca.pem", p.file("ca.pem")},
		{"/etc/mosquitto/certs/server.pem", p.file("broker.pem")},
		{"\nkeyfile /etc/mosquitto/certs/server.key", "\nkeyfile " + p.file("broker.key")},
		{"\nacl_file /etc/mosquitto/postern.acl", "\nacl_file " + filepath.Join(conf, "postern.acl")},
	} {
		if !strings.Contains(text, r[0]) {
			t.Fatalf("the shipped configuration has no %q", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	main := fmt.Sprintf("persistence true\npersistence_location %s/\ninclude_dir %s\nlog_dest stderr\n", conf, filepath.Join(conf, "conf.d"))
	if os.Getuid() == 0 {
		main += "user root\n" // or it would give up the right to read the test's folder
	}
	for name, text := range map[string]string{"conf.d/postern.conf": text, "postern.acl": shipped(t, "postern.acl"), "mosquitto.conf": main} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return startProcess(t, filepath.Join(dir, "broker.log"), programPath("mosquitto"), "-c", filepath.Join(conf, "mosquitto.conf"))
}

func shipped(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "firmware-config", "mosquitto", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// startNATS starts a NATS server that speaks MQTT: it needs a name and JetStream,
// where it keeps sessions and retained messages.
func (s *site) startNATS() {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.mqtt)
	s.natsOwn = freeAddr(s.t)
	s.write("nats.conf", fmt.Sprintf("server_name: postern\nlisten: %q\njetstream { store_dir: %q }\nmqtt { host: %q, port: %s }\n",
		s.natsOwn, filepath.Join(s.dir, "nats"), host, port)+s.natsUsers)
	s.broker = startProcess(s.t, filepath.Join(s.dir, "broker.log"), programPath("nats-server"), "-c", filepath.Join(s.dir, "nats.conf"))
}

// restartBroker stops the broker and starts it again; it gives up its memory.
func (s *site) restartBroker() {
	s.t.Helper()
	s.broker.end(s.t, syscall.SIGTERM)
	s.startBroker()
}
