package central

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postern/wire"
)

// Config is what postern-central is told by its configuration file.
type Config struct {
	// Listen is the host:port of the HTTP API. It speaks plain HTTP: put a proxy
	// with TLS before it, or keep it on loopback. Default 127.0.0.1:8080.
	Listen string `toml:"listen"`
	// Database is the path of a SQLite file, or a postgres:// URL. Required.
	Database string `toml:"database"`
	// SecretKeyFile holds the key under which codes and PINs are sealed; made
	// when absent and the database is new. Required. Without it the database is
	// worthless: back it up, elsewhere than the database.
	SecretKeyFile string `toml:"secret_key_file"`
	// SigningKeyFile holds the keys that sign what goes to panels, as
	// postern-central signing new makes it (mode 0600). Read again when it
	// changes. Default none: then nothing is signed, and whoever takes the broker
	// over opens doors.
	SigningKeyFile string `toml:"signing_key_file"`
	// Site names the place whose panels these are. Access requests show it as their
	// safe; without a name that is null. Default none.
	Site string `toml:"site"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel string `toml:"log_level"`
	// RateLimit is the requests a second of one API key. Default 50.
	RateLimit int `toml:"rate_limit"`
	// RequestsPending is how long a request for immediate access waits for its
	// votes, 1m to 8784h; then it has expired. Default 168h.
	RequestsPending string `toml:"requests_pending"`
	// MetricsListen is the host:port where Prometheus reads /metrics, without a
	// login: keep it on loopback or a network of its own. Default none.
	MetricsListen string       `toml:"metrics_listen"`
	MQTT          MQTTConfig   `toml:"mqtt"`
	Broker        BrokerConfig `toml:"broker"`
}

// MQTTConfig says how to reach the broker.
type MQTTConfig struct {
	// Broker is tcp://host:1883 or ssl://host:8883. Default: the embedded one.
	Broker string `toml:"broker"`
	// Username and PasswordFile (the password alone, mode 0600) log in.
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	// CA is a PEM file of authorities to trust instead of the system's. The
	// three files need ssl, and are read again at every connect, so that a
	// renewed certificate needs no restart. Where a file is not named, a systemd
	// credential is taken instead, if there is one: mqtt-password, mqtt-ca.pem,
	// mqtt-cert.pem and mqtt-key.pem.
	CA string `toml:"ca"`
	// Cert and Key are PEM files of a client certificate; a Key that others than
	// its owner may read is refused.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// BrokerConfig is the embedded broker.
type BrokerConfig struct {
	// Listen is its host:port; none is started when it is empty. Default empty.
	Listen string `toml:"listen"`
	// PasswordFile has lines of user:password, the user being a panel's system
	// id, or central's own mqtt.username. Needed unless Listen is on loopback.
	PasswordFile string `toml:"password_file"`
}

// DefaultConfig is a configuration that lacks only what is required.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8080", LogLevel: "info", RateLimit: DefaultRateLimit, RequestsPending: DefaultPending.String()}
}

// maxConfig is the most bytes of a configuration file.
const maxConfig = 1 << 20

// LoadConfig reads a configuration file over the defaults. Every member that is
// not known is an error with its line. It does not Validate.
func LoadConfig(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return Config{}, fmt.Errorf("%s:%w", path, err)
	}
	return c, nil
}

// ParseConfig is LoadConfig without the file. Its errors begin with the line.
func ParseConfig(data []byte) (Config, error) {
	c := DefaultConfig()
	if len(data) > maxConfig {
		return Config{}, errors.New("1: the file is too large")
	}
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&c)
	var missing *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &missing) && len(missing.Errors) > 0:
		var faults []error
		for i := range missing.Errors {
			row, _ := missing.Errors[i].Position()
			faults = append(faults, fmt.Errorf("%d: %s is not known here", row, strings.Join(missing.Errors[i].Key(), ".")))
		}
		return Config{}, errors.Join(faults...)
	case errors.As(err, &bad):
		row, _ := bad.Position()
		return Config{}, fmt.Errorf("%d: %s", row, strings.TrimPrefix(bad.Error(), "toml: "))
	case err != nil:
		return Config{}, fmt.Errorf("1: %w", err)
	}
	return c, nil
}

// ValidateStore lists what is wrong with the members that every command needs.
func (c Config) ValidateStore() error {
	var faults []error
	if c.Database == "" {
		faults = append(faults, errors.New("database: is required (the path of a SQLite file, or a postgres:// URL)"))
	}
	if c.SecretKeyFile == "" {
		faults = append(faults, errors.New("secret_key_file: is required (made when it is absent)"))
	}
	if _, err := c.Level(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Validate lists every fault at once; it looks at no file.
func (c Config) Validate() error {
	faults := []error{c.ValidateStore()}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listen: %q is not host:port", c.Listen)
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			fault("metrics_listen: %q is not host:port", c.MetricsListen)
		} else if c.MetricsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			fault("metrics_listen: must be another address than listen")
		}
	}
	if err := checkText(c.Site, maxUserName); c.Site != "" && err != nil {
		fault("site: %w", err)
	}
	if c.RateLimit < 1 || c.RateLimit > 1_000_000 {
		fault("rate_limit: want 1 to 1000000 requests a second")
	}
	if d := c.pending(); d < time.Minute || d > 366*24*time.Hour {
		fault("requests_pending: want a duration from 1m to 8784h")
	}
	if b := c.Broker.Listen; b != "" {
		if _, _, err := net.SplitHostPort(b); err != nil {
			fault("broker.listen: %q is not host:port", b)
		} else if c.Broker.PasswordFile == "" && !isLoopback(b) {
			fault("broker.password_file: is required, as %s can be reached from outside (or listen on 127.0.0.1)", b)
		}
		if c.Broker.PasswordFile != "" && c.MQTT.Broker == "" && c.MQTT.Username == "" {
			fault("mqtt.username: is required, to log in to the embedded broker")
		}
	}
	c.MQTT.validate(c.Broker.Listen != "", fault)
	return errors.Join(faults...)
}

func (m MQTTConfig) validate(embedded bool, fault func(string, ...any)) {
	u, err := url.Parse(m.Broker)
	switch {
	case m.Broker == "" && embedded:
	case m.Broker == "":
		fault("mqtt.broker: is required, unless broker.listen starts the embedded one")
	case err != nil || u.Host == "" || !oneOf(u.Scheme, "tcp", "mqtt", "ssl", "mqtts", "ws", "wss"):
		fault("mqtt.broker: want tcp://host:1883 or ssl://host:8883")
	case u.User != nil:
		fault("mqtt.broker: must hold no password; use mqtt.username and mqtt.password_file")
	}
	if (m.Cert == "") != (m.Key == "") {
		fault("mqtt.cert: cert and key go together")
	}
	if (m.CA != "" || m.Cert != "") && !m.encrypted() {
		fault("mqtt.ca and mqtt.cert: are for encrypted connections: mqtt.broker has to start with ssl://")
	}
	if m.PasswordFile != "" && m.Username == "" {
		fault("mqtt.username: is missing beside mqtt.password_file")
	}
}

func oneOf(s string, values ...string) bool { return slices.Contains(values, s) }

// pending is RequestsPending, 0 when that is none.
func (c Config) pending() time.Duration {
	d, err := time.ParseDuration(c.RequestsPending)
	if err != nil {
		return 0
	}
	return d
}

// Level is the log level.
func (c Config) Level() (slog.Level, error) {
	var l slog.Level
	if !oneOf(c.LogLevel, "debug", "info", "warn", "error") {
		return l, fmt.Errorf("log_level: %.16q is unknown (one of debug, info, warn, error)", c.LogLevel)
	}
	return l, l.UnmarshalText([]byte(c.LogLevel))
}

// link reads the files that the configuration names, or systemd's credentials.
// Certificates are read again at each connect.
func (m MQTTConfig) link(log *slog.Logger) (LinkOptions, error) {
	o := LinkOptions{Broker: m.Broker, Username: m.Username}
	if m.Username != "" {
		var err error
		if o.Password, err = wire.ReadPassword(m.PasswordFile); err != nil {
			return o, fmt.Errorf("read mqtt.password_file: %w", err)
		}
	}
	if !m.encrypted() {
		return o, nil
	}
	t, err := wire.NewTLS(wire.Files{CA: m.CA, Cert: m.Cert, Key: m.Key}.WithCredentials(), nil)
	if err != nil {
		return o, fmt.Errorf("mqtt.ca, mqtt.cert and mqtt.key: %w", err)
	}
	o.TLS = t.ForConnect(log)
	return o, nil
}

// encrypted reports whether the connection to the broker is.
func (m MQTTConfig) encrypted() bool {
	scheme, _, _ := strings.Cut(m.Broker, ":")
	return oneOf(scheme, "ssl", "mqtts", "wss")
}
