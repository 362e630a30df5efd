package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What the demo's site is called.
const (
	demoSystem = "demo-001"
	demoCard   = "0001234567890"
	demoPIN    = "1234"
	socketName = "postern.sock"
)

// The demo's access levels and readers.
var (
	demoLevels = []siteLevel{
		{ID: "5e0f4a3c-7d1b-4c52-9a86-3f0d2b6c8e01", Name: "always"},
		{ID: "5e0f4a3c-7d1b-4c52-9a86-3f0d2b6c8e02", Name: "office hours"},
	}
	demoReaders = []string{"front", "lab"}
)

// centralConfig is the demo's postern-central configuration.
func (s *site) centralConfig() string {
	return fmt.Sprintf(`# Written by postern demo at each start.
listen = %s
database = %s
secret_key_file = %s

[mqtt]
broker = %s

[broker]
listen = %s
`, quote(s.addr.central), quote(s.file("central.db")), quote(s.file("central.key")), quote("tcp://"+s.addr.mqtt), quote(s.addr.mqtt))
}

// panelConfig is the demo's panel.toml.
func (s *site) panelConfig() string {
	return fmt.Sprintf(`# Written by postern demo at each start.
[panel]
system_id = %s
name = "Demo panel"
data_dir = %s
timezone = "UTC"

[mqtt]
broker = %s

[api]
socket = %s
page = %s

[clock]
source = "system"

[board]
driver = "simulated"

[[reader]]
id = "front"
technology = "EM"
match = "full"
formats = ["raw40"]
keypad = "4bit"

[[reader]]
id = "lab"
technology = "EM"
match = "full"
formats = ["raw40"]
keypad = "4bit"

[[door]]
id = "front"
name = "Front door"
lock = "strike"
on_panel_dead = "locked"
contact = "front-contact"
rex = "front-rex"
[door.times]
strike = "5s"
held_warning = "30s"
held_alarm = "60s"

[[door]]
id = "lab"
name = "Laboratory"
lock = "strike"
on_panel_dead = "locked"
contact = "lab-contact"
rex = "lab-rex"
[door.times]
strike = "5s"
held_warning = "30s"
held_alarm = "60s"

[codes]
enabled = true
size = 6

[[schedule]]
id = "office"
name = "Office hours"
[[schedule.intervals]]
days = ["mon", "tue", "wed", "thu", "fri"]
from = "08:00"
to = "17:00"

[[access_level]]
id = %s
name = %s
[[access_level.grants]]
access_points = ["front", "lab"]
schedule = "always"

[[access_level]]
id = %s
name = %s
[[access_level.grants]]
access_points = ["front", "lab"]
schedule = "office"

[[access_point]]
id = "front"
name = "Front door"
door = "front"
reader = "front"
mode = "card_or_code"

[[access_point]]
id = "lab"
name = "Laboratory"
door = "lab"
reader = "lab"
mode = "card_and_pin"
`, quote(demoSystem), quote(s.file("panel")), quote("tcp://"+s.addr.mqtt), quote(s.socket()), quote(s.addr.panel),
		quote(demoLevels[0].ID), quote(demoLevels[0].Name), quote(demoLevels[1].ID), quote(demoLevels[1].Name))
}

// quote makes a TOML string: JSON's are TOML basic strings, but for HTML's
// escapes, which are TOML too.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("demo: a string that JSON can't have: %v", err))
	}
	return string(b)
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

func (s *site) socket() string { return s.file(socketName) }

func (s *site) writeFiles() error {
	if err := os.MkdirAll(s.file("panel"), 0o700); err != nil {
		return fmt.Errorf("make the panel's folder: %w", err)
	}
	for name, text := range map[string]string{"central.toml": s.centralConfig(), "panel.toml": s.panelConfig()} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

// info is where the site is.
func (s *site) info() siteInfo {
	return siteInfo{
		Central: "http://" + s.addr.central, Panel: "http://" + s.addr.panel, MQTT: "tcp://" + s.addr.mqtt,
		APIKey: s.apiKey, Socket: s.socket(), SystemID: demoSystem, Levels: demoLevels, Readers: demoReaders, Dir: s.dir,
	}
}

// The commands to try; each is to be pasted into a shell whole.

func (s *site) curl(path, body string) string {
	return "  curl -sS " + shell(s.info().Central+path) + " -H " + shell("Authorization: Bearer "+s.apiKey) +
		" -H 'Content-Type: application/json' \\\n    -d " + shell(body) + "\n"
}

func (s *site) addCommand() string {
	return s.curl("/v1/accesskeys/add", fmt.Sprintf(`{"key":{"type":"proximity","identification":%q},"pin":%q,"access_levels":[%q]}`,
		demoCard, demoPIN, demoLevels[0].ID))
}

func (s *site) badgeCommand() string {
	return "  " + shell(s.bin.postern) + " --socket " + shell(s.socket()) + " sim badge --reader front --identification " + demoCard + "\n"
}

func (s *site) eventsCommand() string {
	return s.curl("/v1/events/list", `{"include_system":true}`)
}

// shell quotes a word for a shell, unless it needs no quotes.
func shell(word string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/.:_-", c)
	}
	if word != "" && strings.IndexFunc(word, func(c rune) bool { return !plain(c) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
