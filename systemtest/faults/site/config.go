package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"postern/systemtest/module"
)

// configure writes the configuration of all parts. For the panel's, central has
// to make its signing key first.
func (s *Site) configure(http string) error {
	at := map[string]string{}
	for _, who := range []string{"panel", "central"} {
		at[who] = s.MQTT
		if s.o.Between == nil {
			continue
		}
		var err error
		if at[who], err = s.o.Between(who, s.MQTT); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(s.MQTT)
	if err != nil {
		return err
	}
	broker := fmt.Sprintf("listener %s %s\nallow_anonymous true\nlog_dest stderr\n", port, host)
	if s.o.Limits {
		limits, err := shippedLimits()
		if err != nil {
			return err
		}
		broker += limits
	} else {
		// It saves every second, so that what it had is mostly there after a kill.
		broker += fmt.Sprintf("persistence true\npersistence_location %s/\nautosave_interval 1\n", s.file("mosquitto"))
	}
	if os.Getuid() == 0 {
		broker += "user root\n" // or it would give up the right to its folder
	}
	central := fmt.Sprintf("listen = %q\ndatabase = %q\nsecret_key_file = %q\nsigning_key_file = %q\nlog_level = %q\nrate_limit = 1000000\n[mqtt]\nbroker = %q\n",
		http, s.Database(), s.file("secret.key"), s.file("signing.key"), s.o.LogLevel, "tcp://"+at["central"])
	if err := s.write("mosquitto.conf", broker); err != nil {
		return err
	}
	if err := s.write("central.toml", central); err != nil {
		return err
	}
	var signing struct{ Trust string }
	if err := os.Remove(s.file("signing.key")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.admin(context.Background(), &signing, "signing", "new", "test"); err != nil {
		return err
	}
	trust := fmt.Sprintf("%q", signing.Trust)
	if s.o.Trust != "" {
		trust += fmt.Sprintf(", %q", s.o.Trust)
	}
	return s.write("panel.toml", s.panelConfig(at["panel"], trust))
}

// shippedLimits is what the shipped configuration of Mosquitto says of messages,
// whoever is let in.
func shippedLimits() (string, error) {
	root, err := module.Root(context.Background())
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(filepath.Join(root, "firmware-config/mosquitto/postern.conf"))
	if err != nil {
		return "", err
	}
	var limits strings.Builder
	for line := range strings.Lines(string(raw)) {
		switch name, _, _ := strings.Cut(line, " "); name {
		case "persistence", "max_packet_size", "max_inflight_messages", "max_queued_messages", "max_queued_bytes", "set_tcp_nodelay":
			limits.WriteString(line)
		}
	}
	return limits.String(), nil
}

// Database is the file of central's database.
func (s *Site) Database() string { return s.file("central.db") }

func (s *Site) write(name, text string) error {
	return os.WriteFile(s.file(name), []byte(text), 0o600)
}

func (s *Site) panelConfig(mqtt, trust string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `[panel]
system_id = %q
data_dir = %q
[mqtt]
broker = %q
[trust]
keys = [%s]
[api]
socket = %q
[clock]
source = "system"
[board]
driver = "simulated"
[journal]
keep = 1000000
[codes]
enabled = true
size = 6
`, SystemID, s.o.PanelDir, "tcp://"+mqtt, trust, s.file("s"))
	var points []string
	for i := range s.o.Doors {
		match, formats := "full", "raw40"
		if i == s.o.Doors-1 {
			match, formats = "low24", "H10301"
		}
		// Half of the doors tell whether somebody went through.
		contact := ""
		if i%2 == 0 {
			contact = fmt.Sprintf("contact = \"c%d\"\n", i)
		}
		fmt.Fprintf(&b, `[[reader]]
id = "reader%[1]d"
technology = "EM"
match = %[2]q
formats = [%[3]q]
[[door]]
id = "door%[1]d"
lock = "strike"
on_panel_dead = "locked"
%[4]s[door.times]
strike = "1s"
[[access_point]]
id = "point%[1]d"
door = "door%[1]d"
reader = "reader%[1]d"
mode = "card"
`, i, match, formats, contact)
		points = append(points, fmt.Sprintf("%q", fmt.Sprintf("point%d", i)))
	}
	all := strings.Join(points, ", ")
	for _, l := range []struct{ id, name string }{{LevelAll, "all"}, {LevelMost, "most"}} {
		fmt.Fprintf(&b, "[[access_level]]\nid = %q\nname = %q\ngrants = [{ access_points = [%s], schedule = \"always\" }]\n", l.id, l.name, all)
	}
	return b.String()
}
