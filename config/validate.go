package config

import (
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postern/access"
)

// Bounds of the values.
const (
	maxNameSize     = 64
	maxClientID     = 128
	maxUsername     = 256
	maxSocket       = 107 // sun_path of unix(7), with its end
	minKeep         = 100
	maxKeep         = 1_000_000
	maxCap          = 10_000_000
	maxReaders      = 64
	maxDoors        = 64
	maxSpare        = 8
	maxFormats      = 16
	minHeartbeat    = time.Second
	maxHeartbeat    = time.Hour
	minSilence      = 25 * time.Millisecond
	maxSilence      = 250 * time.Millisecond
	minDebounce     = 20 * time.Millisecond
	maxDebounce     = 400 * time.Millisecond
	maxAux          = 32
	maxOwnFormats   = 64
	maxFacility     = 255
	wantSpare       = 2
	schemeTCP       = "tcp"
	schemeTLS       = "ssl"
	portTCP         = "1883"
	portTLS         = "8883"
	systemIDCharset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// validate checks the values of a decoded file, all but what the policy's own
// Compile does.
func (v *checker) validate(c *Config) {
	v.panel(&c.Panel)
	v.mqtt(&c.MQTT)
	v.trust(&c.Trust)
	v.api(&c.API)
	v.metrics(c)
	v.between("journal.keep", c.Journal.Keep, minKeep, maxKeep)
	v.between("journal.cap", c.Journal.Cap, max(minKeep, min(c.Journal.Keep, maxKeep)), maxCap)
	v.between("codes.size", c.Codes.Size, access.MinPanelCodeSize, access.MaxPanelCodeSize)
	v.between("lockout.key_tries", c.Lockout.KeyTries, 1, access.MaxTries)
	v.between("lockout.point_tries", c.Lockout.PointTries, 1, access.MaxTries)
	v.formats(c)
	v.indication("indication", &c.Indication)
	v.readers(c)
	v.doors(c)
	v.inputs(c)
	v.outputs(c)
	v.points(c)
	v.wires(c)
	for i, s := range c.Schedules {
		v.name(element("schedule", i)+".name", s.Name)
	}
}

func (v *checker) panel(p *Panel) {
	switch {
	case p.SystemID == "" || len(p.SystemID) > maxNameSize:
		v.fault("panel.system_id", "has 1 to %d characters", maxNameSize)
	case strings.Trim(p.SystemID, systemIDCharset) != "":
		v.fault("panel.system_id", "%.70q has a character other than letters, digits, '-' and '_'", p.SystemID)
	}
	v.name("panel.name", p.Name)
	v.absolute("panel.data_dir", p.DataDir)
	if _, err := location(p.Timezone); err != nil {
		v.fault("panel.timezone", "%.70q %v", p.Timezone, err)
	}
	v.optional("panel.device_key_file", p.DeviceKeyFile)
}

// location gives a zone by its IANA name. "Local" is what the machine happens
// to be set to, and "" UTC by accident: neither is a name.
func location(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New(`names no time zone (want one such as "Europe/Stockholm", or "UTC")`)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New(`is no known time zone (want one such as "Europe/Stockholm", or "UTC")`)
	}
	return loc, nil
}

func (v *checker) mqtt(m *MQTT) {
	scheme := ""
	if !v.faulty["mqtt.broker"] {
		broker, err := parseBroker(m.Broker)
		if err != nil {
			v.fault("mqtt.broker", "%v", err)
		} else {
			scheme, _, _ = strings.Cut(broker, ":")
			m.Broker = broker
		}
	}
	if len(m.ClientID) > maxClientID {
		v.fault("mqtt.client_id", "is longer than %d bytes", maxClientID)
	}
	if len(m.Username) > maxUsername {
		v.fault("mqtt.username", "is longer than %d bytes", maxUsername)
	}
	if m.PasswordFile != "" && m.Username == "" {
		v.fault("mqtt.password_file", "needs a username")
	}
	if m.CertFile != "" && m.KeyFile == "" {
		v.fault("mqtt.cert_file", "needs a key_file as well")
	}
	if m.KeyFile != "" && m.CertFile == "" {
		v.fault("mqtt.key_file", "needs a cert_file as well")
	}
	v.optional("mqtt.password_file", m.PasswordFile)
	v.tlsFile("mqtt.ca_file", m.CAFile, scheme)
	v.tlsFile("mqtt.cert_file", m.CertFile, scheme)
	v.tlsFile("mqtt.key_file", m.KeyFile, scheme)
}

func (v *checker) tlsFile(path, file, scheme string) {
	if file != "" && scheme == schemeTCP {
		v.fault(path, "is for encrypted connections: mqtt.broker has to start with ssl://")
	}
	v.optional(path, file)
}

// parseBroker gives a broker's address as tcp://host:port or ssl://host:port.
// Its errors never repeat the address: it may have a password in it.
func parseBroker(s string) (string, error) {
	errWant := errors.New("is not a broker's address (want tcp://host:port or ssl://host:port)")
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return "", errWant
	}
	var scheme, port string
	switch u.Scheme {
	case "tcp", "mqtt":
		scheme, port = schemeTCP, portTCP
	case "ssl", "mqtts":
		scheme, port = schemeTLS, portTLS
	default:
		return "", errors.New("has to start with tcp://, ssl://, mqtt:// or mqtts://")
	}
	if u.User != nil {
		return "", errors.New("has a user in it: say username and password_file instead")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Host, " %") {
		return "", errWant
	}
	if p := u.Port(); p != "" {
		port = p
	} else if strings.HasSuffix(u.Host, ":") {
		return "", errWant
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("has a port outside 1 to 65535")
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + ":" + port, nil
}

func (v *checker) api(a *API) {
	v.absolute("api.socket", a.Socket)
	if len(a.Socket) > maxSocket {
		v.fault("api.socket", "is longer than %d bytes, the system's limit", maxSocket)
	}
	if a.Page == "" {
		return
	}
	at, err := netip.ParseAddrPort(a.Page)
	switch {
	case err != nil || at.Port() == 0 || at.Addr().Zone() != "":
		v.fault("api.page", `%.70q is not an address and port (want one such as "127.0.0.1:8481" or "[::1]:8481")`, a.Page)
	case !at.Addr().Unmap().IsLoopback():
		v.fault("api.page", "%s can be reached from outside, and the page opens doors: want 127.0.0.1 or [::1]", at.Addr())
	}
}

func (v *checker) metrics(c *Config) {
	listen := c.Metrics.Listen
	if listen == "" {
		return
	}
	at, err := netip.ParseAddrPort(listen)
	switch {
	case err != nil || at.Port() == 0:
		v.fault("metrics.listen", `%.70q is not an address and port (want one such as "127.0.0.1:9482" or "[::]:9482")`, listen)
	case taken(at, c.API.Page):
		v.fault("metrics.listen", "is the address of api.page already")
	}
}

// taken reports whether two can't listen both, at an address and at one that may
// be none.
func taken(a netip.AddrPort, other string) bool {
	b, err := netip.ParseAddrPort(other)
	return err == nil && a.Port() == b.Port() && (a.Addr().Unmap() == b.Addr().Unmap() || a.Addr().IsUnspecified())
}

// name checks what is for people only.
func (v *checker) name(path, s string) {
	if len(s) > maxNameSize {
		v.fault(path, "is longer than %d bytes", maxNameSize)
	}
}

func (v *checker) absolute(path, file string) {
	if !filepath.IsAbs(file) {
		v.fault(path, "%.70q is not an absolute path", file)
	}
}

func (v *checker) optional(path, file string) {
	if file != "" {
		v.absolute(path, file)
	}
}

func (v *checker) between(path string, n, least, most int) {
	if n < least || n > most {
		v.fault(path, "%d is outside %d to %d", n, least, most)
	}
}

func (v *checker) span(path string, d, least, most time.Duration) {
	if d < least || d > most {
		v.fault(path, "%v is outside %v to %v", d, least, most)
	}
}
