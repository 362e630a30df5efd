package central

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/wire"
)

// What the MQTT part of the configuration names is read, or taken from systemd's
// credentials; what others may read is refused.
func TestMQTTFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(path, text string, mode os.FileMode) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password := put(filepath.Join(dir, "password"), "open sesame\n", 0o600)
	loose := put(filepath.Join(dir, "loose"), "open sesame\n", 0o644)
	for _, tt := range []struct {
		name        string
		credentials bool
		m           MQTTConfig
		password    string
		tls         bool
		fault       string
	}{
		{"nothing", false, MQTTConfig{Broker: "tcp://b:1883"}, "", false, ""},
		{"a password", false, MQTTConfig{Broker: "tcp://b:1883", Username: "u", PasswordFile: password}, "open sesame", false, ""},
		{"a password that everybody may read", false, MQTTConfig{Broker: "tcp://b:1883", Username: "u", PasswordFile: loose}, "", false, "chmod 600"},
		{"the system's authorities", false, MQTTConfig{Broker: "ssl://b:8883"}, "", true, ""},
		{"no such file", false, MQTTConfig{Broker: "ssl://b:8883", CA: filepath.Join(dir, "none")}, "", false, "mqtt.ca"},
		{"credentials", true, MQTTConfig{Broker: "tcp://b:1883", Username: "u"}, "from systemd", false, ""},
		{"no user, no password", true, MQTTConfig{Broker: "tcp://b:1883"}, "", false, ""},
		{"a bad authority among the credentials", true, MQTTConfig{Broker: "ssl://b:8883"}, "", false, wire.CredentialCA},
		{"websocket", true, MQTTConfig{Broker: "wss://b"}, "", false, wire.CredentialCA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			creds := ""
			if tt.credentials {
				creds = t.TempDir()
				put(filepath.Join(creds, wire.CredentialPassword), "from systemd", 0o440)
				put(filepath.Join(creds, wire.CredentialCA), "no certificate", 0o440)
			}
			t.Setenv("CREDENTIALS_DIRECTORY", creds)
			o, err := tt.m.link(slog.New(slog.DiscardHandler))
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want an error with %q", err, tt.fault)
				}
				return
			}
			if err != nil || o.Password != tt.password || (o.TLS != nil) != tt.tls {
				t.Errorf("password %q, TLS %v, error %v", o.Password, o.TLS != nil, err)
			}
		})
	}
}

func TestMQTTFilesNeedEncryption(t *testing.T) {
	c := DefaultConfig()
	c.Database, c.SecretKeyFile = "x", "x"
	c.MQTT = MQTTConfig{Broker: "tcp://b:1883", CA: "/etc/ca.pem"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "ssl://") {
		t.Errorf("authorities for a plain connection: %v", err)
	}
	c.MQTT.Broker = "ssl://b:8883"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
