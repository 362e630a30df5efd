package central

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const wholeConfig = `listen = "0.0.0.0:8443"
database = "/var/lib/postern-central/central.db"
secret_key_file = "/run/credentials/secret.key"
log_level = "debug"
rate_limit = 5
requests_pending = "48h"

[mqtt]
broker = "ssl://broker.example:8883"
username = "central"
password_file = "/etc/postern/password"
ca = "/etc/postern/ca.pem"
cert = "/etc/postern/cert.pem"
key = "/etc/postern/key.pem"

[broker]
listen = "127.0.0.1:1883"
password_file = "/etc/postern/panels"
`

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "central.toml")
	if err := os.WriteFile(file, []byte(wholeConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "0.0.0.0:8443", Database: "/var/lib/postern-central/central.db", SecretKeyFile: "/run/credentials/secret.key",
		LogLevel: "debug", RateLimit: 5, RequestsPending: "48h",
		MQTT: MQTTConfig{
			Broker: "ssl://broker.example:8883", Username: "central", PasswordFile: "/etc/postern/password",
			CA: "/etc/postern/ca.pem", Cert: "/etc/postern/cert.pem", Key: "/etc/postern/key.pem",
		},
		Broker: BrokerConfig{Listen: "127.0.0.1:1883", PasswordFile: "/etc/postern/panels"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.toml")); err == nil {
		t.Error("a file that is not there: no error")
	}
}

func TestConfigSyntax(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown member":  {"listen = \"x:1\"\nlisen = \"x:1\"\n", "2: lisen is not known"},
		"unknown section": {"\n[mqt]\nbroker = \"\"\n", "mqt"},
		"wrong type":      {"rate_limit = \"5\"\n", "1: "},
		"no TOML":         {"listen\n", "1: "},
		"twice":           {"listen = \"a\"\nlisten = \"b\"\n", "2: "},
	} {
		if _, err := ParseConfig([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

// TestConfigFaults wants every fault at once.
func TestConfigFaults(t *testing.T) {
	c := Config{Listen: "8080", LogLevel: "loud", RateLimit: -1}
	c.MQTT = MQTTConfig{Broker: "http://x", PasswordFile: "p", Cert: "c"}
	c.Broker = BrokerConfig{Listen: ":1883"}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"listen: ", "database: ", "secret_key_file: ", "log_level: ", "rate_limit: ", "requests_pending: ", "mqtt.broker: ", "mqtt.cert: ", "mqtt.username: ",
		"broker.password_file: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in:\n%v", want, err)
		}
	}
	base := DefaultConfig()
	base.Database, base.SecretKeyFile = "db", "key"
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"embedded":            {func(c *Config) { c.Broker.Listen = "localhost:1883" }, ""},
		"external":            {func(c *Config) { c.MQTT.Broker = "tcp://h:1883" }, ""},
		"no broker":           {func(*Config) {}, "mqtt.broker"},
		"password in the URL": {func(c *Config) { c.MQTT.Broker = "tcp://u:secret@h:1883" }, "password_file"},
		"embedded, no user":   {func(c *Config) { c.Broker = BrokerConfig{"0.0.0.0:1883", "f"} }, "mqtt.username"},
	} {
		got := base
		c.change(&got)
		err := got.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: the error holds a password", name)
		}
	}
}

// TestShippedConfig: the file that is shipped names every setting there is, each
// with its default where it is commented out.
func TestShippedConfig(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "packaging", "etc", "central.toml"))
	if err != nil {
		t.Fatal(err)
	}
	opened := regexp.MustCompile(`(?m)^# (\[[a-z]+\]|[a-z_]+ = )`).ReplaceAllString(string(text), "$1")
	c, err := ParseConfig([]byte(opened))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Database, want.SecretKeyFile = "/var/lib/postern-central/central.db", "/var/lib/postern-central/secret.key"
	if c.RequestsPending != "168h" {
		t.Errorf("requests_pending: got %s", c.RequestsPending)
	}
	c.RequestsPending = want.RequestsPending // 168h0m0s
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-default +shipped):\n%s", d)
	}
	section := ""
	var named []string
	for line := range strings.Lines(opened) {
		if m := regexp.MustCompile(`^\[([a-z]+)\]`).FindStringSubmatch(line); m != nil {
			section = strings.ToUpper(m[1]) + "_"
		}
		if m := regexp.MustCompile(`^([a-z_]+) = `).FindStringSubmatch(line); m != nil {
			named = append(named, envPrefix+section+strings.ToUpper(m[1]))
		}
	}
	slices.Sort(named)
	if d := cmp.Diff(slices.Sorted(slices.Values(EnvironmentVariables())), named); d != "" {
		t.Errorf("(-settings +named):\n%s", d)
	}
}
