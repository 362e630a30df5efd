package config

import (
	"slices"
	"time"
	_ "time/tzdata" // schedules must hold on a panel without a zone database

	"postern/access"
)

// Config is a whole panel.toml. Parse and Load give it checked; it does not
// change afterwards, and may be shared between goroutines.
type Config struct {
	Panel   Panel   `toml:"panel"`
	MQTT    MQTT    `toml:"mqtt"`
	Trust   Trust   `toml:"trust"`
	API     API     `toml:"api"`
	Metrics Metrics `toml:"metrics"`
	Clock   Clock   `toml:"clock"`
	Journal Journal `toml:"journal"`
	Board   Board   `toml:"board"`
	// Readers and Doors are the wiring, at most 64 of each, and Inputs and Outputs
	// what belongs to neither, at most 32 of each.
	Readers []Reader `toml:"reader"`
	Doors   []Door   `toml:"door"`
	Inputs  []Input  `toml:"input"`
	Outputs []Output `toml:"output"`
	// Formats are frames of the site's own, at most 64.
	Formats []Format `toml:"format"`
	// Indication is what readers show where they do not say themselves.
	Indication Indication `toml:"indication"`
	// The rest, with the doors' times and schedules, is the first policy. A policy
	// from central replaces it whole.
	Codes      Codes         `toml:"codes"`
	Rules      Rules         `toml:"rules"`
	Lockout    Lockout       `toml:"lockout"`
	Holidays   []Holiday     `toml:"holiday"`
	Schedules  []Schedule    `toml:"schedule"`
	Areas      []Area        `toml:"area"`
	Levels     []AccessLevel `toml:"access_level"`
	Points     []AccessPoint `toml:"access_point"`
	Interlocks []Interlock   `toml:"interlock"`

	policy *access.Policy
}

// Panel says which panel this is.
type Panel struct {
	// SystemID is the panel's name to central, 1 to 64 of A-Z, a-z, 0-9, '-'
	// and '_'. It is a level of every MQTT topic: with another panel's id the
	// two take each other's keys. Required.
	SystemID string `toml:"system_id,required"`
	// Name is for people, at most 64 bytes; default none.
	Name string `toml:"name"`
	// DataDir holds the database; default /var/lib/postern. Another folder
	// starts the panel empty: no key opens until central has sent them again.
	DataDir string `toml:"data_dir"`
	// Timezone is the IANA name that schedules are read in; default UTC. A
	// wrong one shifts every schedule by hours.
	Timezone string `toml:"timezone"`
	// DeviceKeyFile holds the key under which PINs and codes are kept. The
	// default "" is device-key in $CREDENTIALS_DIRECTORY where that is set, or
	// else device.key in DataDir. With another key no known PIN or code fits.
	DeviceKeyFile string `toml:"device_key_file"`
}

// MQTT is the way to the broker.
type MQTT struct {
	// Broker is tcp://host:port or ssl://host:port; mqtt and mqtts are taken
	// for them, and the port may be left out (1883, 8883). Parse gives it with
	// tcp or ssl and a port. A wrong one leaves the panel on the keys it has.
	// Required.
	Broker string `toml:"broker,required"`
	// ClientID is the session at the broker, at most 128 bytes; default
	// "postern-" and the system id. Two clients with one id throw each other
	// out for ever.
	ClientID string `toml:"client_id"`
	// Username and PasswordFile log in at the broker; default neither. The
	// file holds the password alone; one that everybody may read is refused.
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	// CAFile has the certificates that the broker's must be signed by; default
	// those of the system. CertFile and KeyFile are the panel's own, together
	// or not at all; a key that others than its owner may read is refused. All
	// three need ssl. They are read again at every connect, so that a renewed
	// certificate needs no restart.
	//
	// Where a file is not named, a systemd credential is taken instead, if there
	// is one: mqtt-password, mqtt-ca.pem, mqtt-cert.pem and mqtt-key.pem, as in
	// LoadCredential=mqtt-key.pem:/etc/postern/panel.key in a drop-in.
	CAFile   string `toml:"ca_file"`
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

// API is where the panel listens locally.
type API struct {
	// Socket is the unix socket of the postern command, at most 107 bytes;
	// default /run/postern/postern.sock. Elsewhere the command needs telling.
	Socket string `toml:"socket"`
	// Page is the commissioning page's host:port, on a loopback address;
	// default "", which is off. The page opens doors, so that no other address
	// is taken.
	Page string `toml:"page"`
}

// Metrics is where the panel tells Prometheus how it is.
type Metrics struct {
	// Listen is the address and port of GET /metrics, as in "127.0.0.1:9482" or
	// "[::]:9482"; default "", which is off. There is no login and no encryption,
	// and whoever reads it sees when doors open and which; it opens nothing, and
	// names no person, card or key. The unit's drop-in network.conf has to let the
	// one who asks in.
	Listen string `toml:"listen"`
}

// ClockSource is what makes the clock trusted.
type ClockSource string

// The clock sources.
const (
	// ClockNTP trusts the clock when the kernel says that it is synchronised,
	// or when there is a real-time clock.
	ClockNTP ClockSource = "ntp"
	// ClockSystem takes the system's clock as right.
	ClockSystem ClockSource = "system"
)

// Clock says when the time is to be trusted.
type Clock struct {
	// Source is "ntp", the default, or "system". With "system" and a clock
	// that is wrong, expired keys open and valid ones do not.
	Source ClockSource `toml:"source" oneof:"ntp,system"`
}

// Journal bounds the events that are kept.
type Journal struct {
	// Keep is how many events that central has confirmed stay for
	// `postern events`, 100 to 1,000,000; default 50,000. More costs space on
	// the card.
	Keep int `toml:"keep"`
	// Cap is how many events are held at most while central is away, Keep to
	// 10,000,000; default 1,000,000. Beyond it the oldest are lost.
	Cap int `toml:"cap"`
}

// Driver is what moves the board's lines.
type Driver string

// The drivers.
const (
	Periph    Driver = "periph"    // the GPIO lines of this machine
	Simulated Driver = "simulated" // no hardware: lines may be left out
)

// Board says what the readers and doors are wired to.
type Board struct {
	// Driver is "periph", the default, or "simulated". A simulated board moves
	// no lock.
	Driver Driver `toml:"driver" oneof:"periph,simulated"`
}

// Codes says whether keypad codes are taken alone, as access keys.
type Codes struct {
	Enabled bool `toml:"enabled"` // default false
	// Size is the number of digits of every code, 4 to 10; default 6. Codes of
	// any other size can't be typed.
	Size int `toml:"size"`
}

// Policy gives the first policy, compiled; nil when the Config was not given
// by Parse or Load.
func (c *Config) Policy() *access.Policy { return c.policy }

// Location gives the panel's time zone; UTC when it is unknown.
func (c *Config) Location() *time.Location {
	if loc, err := location(c.Panel.Timezone); err == nil {
		return loc
	}
	return time.UTC
}

// Reader gives the reader with this id, or nil.
func (c *Config) Reader(id string) *Reader {
	for i := range c.Readers {
		if c.Readers[i].ID == id {
			return &c.Readers[i]
		}
	}
	return nil
}

// Door gives the door with this id, or nil.
func (c *Config) Door(id string) *Door {
	for i := range c.Doors {
		if c.Doors[i].ID == id {
			return &c.Doors[i]
		}
	}
	return nil
}

// Matchers gives what the readers declare about their cards, each once, in the
// order of the readers: a key is indexed for these.
func (c *Config) Matchers() []access.Matcher {
	var out []access.Matcher
	for i := range c.Readers {
		if m := c.Readers[i].Matcher(); !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
