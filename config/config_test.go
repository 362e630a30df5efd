package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern/access"
	"postern/wiegand"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const ms = time.Millisecond

const testFiles = "../testdata/config"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustParse(t testing.TB, data string) *Config {
	t.Helper()
	c, faults := Parse("panel.toml", []byte(data))
	for _, f := range faults {
		t.Error(f)
	}
	if len(faults) > 0 {
		t.Fatalf("in:\n%s", data)
	}
	return c
}

// ignorePolicy leaves the compiled policy out of comparisons.
var ignorePolicy = cmpopts.IgnoreUnexported(Config{})

func TestFullFile(t *testing.T) {
	c, faults, err := Load(filepath.Join(testFiles, "full.toml"))
	if err != nil || faults != nil {
		t.Fatalf("got error %v and faults %v, want neither", err, faults)
	}
	shown := Indication{
		Idle:       Pattern{Times: 1, Steps: []PatternStep{{LED: true}}},
		Granted:    Pattern{Times: 1, Steps: []PatternStep{{true, true, 50 * ms}, {true, false, 3 * time.Second}}},
		PINWanted:  Pattern{Steps: []PatternStep{{false, true, 50 * ms}, {false, false, 2 * time.Second}}},
		LockedDown: Pattern{Steps: []PatternStep{{true, false, 50 * ms}, {false, false, 950 * ms}}},
	}
	front, store := shown, shown
	front.Denied = Pattern{Times: 2, Steps: []PatternStep{{false, true, 200 * ms}, {false, false, 100 * ms}}}
	front.Identify = Pattern{Times: 20, Steps: []PatternStep{{true, false, 250 * ms}, {false, false, 250 * ms}}}
	store.Granted = Pattern{Times: 1, Steps: []PatternStep{{false, true, time.Second}}}
	lockIn := DefaultDoor()
	lockIn.ID, lockIn.Lock, lockIn.OnPanelDead, lockIn.Output = "lock-in", Strike, DeadLocked, "GPIO20"
	lockIn.ContactDebounce, lockIn.REXDebounce = defaultDebounce, defaultDebounce
	lockOut := lockIn
	lockOut.ID, lockOut.Output = "lock-out", "GPIO21"
	day := func(y int, m time.Month, d int) access.Date { return access.Date{Year: y, Month: m, Day: d} }
	want := &Config{
		Panel: Panel{
			SystemID: "demo-001", Name: "Main building", DataDir: "/srv/postern",
			Timezone: "Europe/Stockholm", DeviceKeyFile: "/etc/postern/device.key",
		},
		MQTT: MQTT{
			Broker: "ssl://broker.example.net:8883", ClientID: "panel-7",
			Username: "panel", PasswordFile: "/etc/postern/mqtt.password",
			CAFile: "/etc/postern/ca.pem", CertFile: "/etc/postern/panel.pem", KeyFile: "/etc/postern/panel.key",
		},
		Trust: Trust{Keys: []string{
			"2026a:5YbKpRH2bb3R6NbsJMmo8SGGAb4bOk4pYoqiQeFHjm8=", "2026b:mpTC9dC4zGmZkWq3ZTUkI0YkBvb2yzCHSvS3mLcXHmU=",
		}},
		API:     API{Socket: "/run/other/postern.sock", Page: "[::1]:8481"},
		Metrics: Metrics{Listen: "192.0.2.7:9482"},
		Clock:   Clock{Source: ClockSystem},
		Journal: Journal{Keep: 200, Cap: 300},
		Board:   Board{Driver: Periph},
		Readers: []Reader{
			{
				ID: "front", Technology: access.MC, Match: access.Full, Formats: []string{"W34", "raw32"}, Keypad: wiegand.FourBit,
				D0: "GPIO17", D1: "GPIO27", Spare: []string{"GPIO5", "GPIO6"}, Pull: PullNone,
				LED: "GPIO22", LEDActiveLow: true, Buzzer: "pinctrl-rp1:23", BuzzerActiveLow: true, Silence: 50 * time.Millisecond, Heartbeat: 10 * time.Second, HeartbeatBits: "10101010",
				ByteOrder: wiegand.LSB, Part: wiegand.Whole, Indication: front,
				Tamper: "pinctrl-rp1:24", TamperActive: Low, TamperPull: PullUp,
			},
			{
				ID: "back", Match: access.Number, ByteOrder: wiegand.MSB, Part: wiegand.Whole, Formats: []string{"H10301", "Site36"},
				D0: "GPIO12", D1: "GPIO13", Spare: []string{"GPIO19", "GPIO26"}, Pull: PullUp, Silence: 40 * time.Millisecond, HeartbeatBits: "10101010",
				Indication: shown, TamperActive: High,
			},
			{
				ID: "store", Technology: access.MD, Match: access.Full, ByteOrder: wiegand.MSB, Part: wiegand.First4,
				Formats: []string{"raw32"}, Keypad: wiegand.BufferedName, KeypadFacility: 200,
				D0: "GPIO2", D1: "GPIO3", Spare: []string{"GPIO4", "GPIO7"}, Pull: PullUp, Silence: 40 * time.Millisecond, HeartbeatBits: "10101010",
				Indication: store, TamperActive: High,
			},
		},
		Doors: []Door{{
			ID: "main", Name: "Main door", Lock: Maglock, Egress: EgressHardwired, OnPanelDead: DeadReleased,
			Output: "GPIO24", OutputActiveLow: true, Contact: "GPIO25", ContactOpen: Low, REX: "GPIO16", REXActive: High,
			REXAction: REXShunt, FireRelease: true,
			Debounce: 30 * ms, ContactDebounce: 40 * ms, REXDebounce: 50 * ms,
			Times: DoorTimes{
				Strike: 4 * time.Second, Extended: 12 * time.Second, Relock: time.Second,
				HeldWarning: 20 * time.Second, HeldAlarm: 40 * time.Second, ShuntAfter: 6 * time.Second,
			},
			UnlockSchedule: "office", FirstCard: true,
		}, lockIn, lockOut},
		Interlocks: []Interlock{{Name: "Air lock", Doors: []string{"lock-in", "lock-out"}}},
		Inputs: []Input{
			{ID: "fire", Name: "Fire panel", Kind: FireInput, Line: "GPIO8", Active: Low, Pull: PullNone, Debounce: 100 * ms},
			{ID: "desk", Kind: LockdownInput, Line: "GPIO9", Active: Low, Debounce: 20 * ms},
		},
		Outputs: []Output{{ID: "siren", Name: "Siren", Line: "GPIO10", ActiveLow: true}},
		Formats: []Format{{
			Name: "Site36", Length: 36, Facility: "1-16", Number: "18-32", Data: "1-16,18-34",
			Parity: []FormatParity{
				{Bit: 0, Kind: "odd", Over: "1-17"},
				{Bit: 35, Kind: "even", Mask: "000000000000000000111111111111111110"},
			},
		}},
		Indication: shown,
		Codes:      Codes{Enabled: true, Size: 4},
		Rules:      Rules{Duress: true, StaleAfter: 72 * time.Hour},
		Lockout:    Lockout{KeyTries: 4, PointTries: 6, First: 2 * time.Minute, Most: 20 * time.Minute},
		Holidays: []Holiday{
			{Name: "Christmas", Kind: "bank", From: day(0, 12, 24), To: day(0, 12, 26)},
			{Kind: "school", From: day(2027, 6, 14), To: day(2027, 8, 15)},
		},
		Schedules: []Schedule{{
			ID: "office", Name: "Office hours", Intervals: []Interval{
				{Days: 1<<time.Monday | 1<<time.Tuesday | 1<<time.Wednesday | 1<<time.Thursday, From: 8 * 60, To: 17 * 60},
				{Days: 1 << time.Friday, From: 22 * 60, To: 2 * 60},
			},
			Holidays: []HolidayRule{{Kinds: []string{"bank"}, Intervals: []Span{{From: 10 * 60, To: 12 * 60}}}, {Kinds: []string{"*"}, Ignore: true}},
			SpecialDays: []SpecialDay{
				{From: day(2026, 12, 31), Intervals: []Span{{From: 8 * 60, To: 12 * 60}}},
				{From: day(2027, 5, 3), To: day(2027, 5, 4)},
			},
			ValidFrom: day(2026, 1, 1), ValidTo: day(2030, 12, 31),
		}},
		Areas: []Area{{
			ID: "house", Name: "The house", Passback: access.PassbackTimed, Within: 10 * time.Minute, ForgiveAt: []access.TimeOfDay{4 * 60, 16*60 + 30},
		}},
		Levels: []AccessLevel{{
			ID: access.MustParseID("5b8d6c1e-0f4a-4f0e-9d0c-2f6a1b3c4d5e"), Name: "Staff",
			Grants: []Grant{
				{Points: []string{"front", "back"}, Schedule: "office"},
				{Points: []string{"front"}, Schedule: "always"},
			},
		}},
		Points: []AccessPoint{
			{
				ID: "front", Name: "Front", Door: "main", Reader: "front", Mode: access.ModeCardOrCode, To: "house", TwoPerson: true, PairWithin: 20 * time.Second,
				Modes: []ScheduledMode{{Schedule: "office", Mode: access.ModeCard}, {Schedule: "never", Mode: access.ModeBlocked}},
			},
			{ID: "back", Name: "Back", Door: "main", Reader: "back", Mode: access.ModeCard, From: "house", PairWithin: access.DefaultPairWithin},
		},
	}
	if diff := cmp.Diff(want, c, ignorePolicy); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	matchers := []access.Matcher{{Technology: access.MC, Match: access.Full}, {Match: access.Number}, {Technology: access.MD, Match: access.High32}}
	if diff := cmp.Diff(matchers, c.Matchers()); diff != "" {
		t.Errorf("matchers -want +got:\n%s", diff)
	}
	if c.Reader("back") != &c.Readers[1] || c.Reader("none") != nil || c.Door("main") != &c.Doors[0] || c.Door("none") != nil {
		t.Error("Reader and Door do not give what they are asked for")
	}
	if c.Input("desk") != &c.Inputs[1] || c.Input("none") != nil || c.Output("siren") != &c.Outputs[0] || c.Output("none") != nil {
		t.Error("Input and Output do not give what they are asked for")
	}
	p := c.Policy()
	if p.Point("back") == nil || p.Schedule("office") == nil || p.Door("main").Times.Strike != 4*time.Second {
		t.Error("the policy is not the file's")
	}
	if a := p.Point("front"); a.TwoPerson != true || len(a.Modes) != 2 || p.Point("back").NoKeypad != true || a.NoKeypad || !p.Duress || p.StaleAfter != 72*time.Hour {
		t.Errorf("the policy has not the file's rules: %+v", a)
	}
	if s := p.Schedule("office"); len(p.Interlocked("lock-in")) != 1 || !s.Open(time.Date(2028, 12, 25, 10, 30, 0, 0, time.UTC), time.UTC) ||
		s.Open(time.Date(2028, 12, 25, 8, 30, 0, 0, time.UTC), time.UTC) || !p.Door("main").FirstCard {
		t.Error("the policy's schedules are not the file's")
	}
	if got := p.Location.String(); got != "Europe/Stockholm" || c.Location().String() != got {
		t.Errorf("location: got %s and %s, want Europe/Stockholm", got, c.Location())
	}
}

func TestFaults(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testFiles, "bad-*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, faults := Parse(filepath.Base(file), readFile(t, file))
			if c != nil || len(faults) == 0 {
				t.Fatalf("got %v and %d faults, want faults alone", c, len(faults))
			}
			var got strings.Builder
			for _, f := range faults {
				got.WriteString(f.String() + "\n")
			}
			golden := strings.TrimSuffix(file, ".toml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(readFile(t, golden)), got.String()); diff != "" {
				t.Errorf("-want +got (go test ./config -update accepts it):\n%s", diff)
			}
			if strings.Contains(got.String(), "hunter2") || strings.Contains(got.String(), "not to be repeated") {
				t.Errorf("a fault repeats a password:\n%s", got.String())
			}
		})
	}
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../firmware-config/examples/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatalf("got %d examples (%v), want 3 or more", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, faults, err := Load(file)
			if err != nil || len(faults) > 0 {
				t.Fatalf("got error %v and faults %v, want neither", err, faults)
			}
			// The outputs' lines are low while the board starts: that has to be
			// the rest state of every example.
			for _, d := range c.Doors {
				if d.RestHigh() && !strings.Contains(file, "relay-hat") { // which are active low, with pull-ups of their own
					t.Errorf("door %s rests high", d.ID)
				}
			}
			if len(c.Points) == 0 || len(c.Levels) == 0 {
				t.Error("the example opens nothing")
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, faults, err := Load(filepath.Join(t.TempDir(), "none.toml")); err == nil || faults != nil {
		t.Errorf("no file: got faults %v and error %v, want an error alone", faults, err)
	}
	large := filepath.Join(t.TempDir(), "large.toml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#", MaxSize+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, faults, err := Load(large)
	want := []Fault{{File: large, Line: 1, Message: "the file is larger than 1048576 bytes"}}
	if diff := cmp.Diff(want, faults); diff != "" || err != nil {
		t.Errorf("a large file: error %v, -want +got:\n%s", err, diff)
	}
}

func TestDefaultPolicyIsNil(t *testing.T) {
	c := Default()
	if c.Policy() != nil {
		t.Error("got a policy that nobody wrote")
	}
}

func TestBroker(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://127.0.0.1:1883":  "tcp://127.0.0.1:1883",
		"tcp://127.0.0.1:1884/": "tcp://127.0.0.1:1884",
		"mqtt://broker":         "tcp://broker:1883",
		"mqtts://broker":        "ssl://broker:8883",
		"ssl://[fe80::1]":       "ssl://[fe80::1]:8883",
		"ssl://[fe80::1]:9":     "ssl://[fe80::1]:9",
		"":                      "",
		"127.0.0.1:1883":        "",
		"tcp://":                "",
		"tcp://:1883":           "",
		"tcp://a:":              "",
		"tcp://a:0":             "",
		"tcp://a:65536":         "",
		"tcp://a/topic":         "",
		"tcp://a?x=1":           "",
		"tcp://a#x":             "",
		"ws://a":                "",
		"tcp://user@a":          "",
		"tcp://u:p@a":           "",
		"tcp://a b":             "",
	} {
		got, err := parseBroker(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q and error %v, want %q", in, got, err, want)
		}
	}
}

func TestRestHigh(t *testing.T) {
	for _, tt := range []struct {
		lock      Lock
		dead      DeadState
		activeLow bool
		want      bool
	}{
		{Strike, DeadLocked, false, false},
		{Strike, DeadLocked, true, true},
		{Strike, DeadReleased, false, true},
		{Strike, DeadReleased, true, false},
		{Maglock, DeadLocked, false, true},
		{Maglock, DeadLocked, true, false},
		{Maglock, DeadReleased, false, false},
		{Maglock, DeadReleased, true, true},
	} {
		d := Door{Lock: tt.lock, OnPanelDead: tt.dead, OutputActiveLow: tt.activeLow}
		if got := d.RestHigh(); got != tt.want {
			t.Errorf("%s, %s, active low %v: got high %v, want %v", tt.lock, tt.dead, tt.activeLow, got, tt.want)
		}
	}
}

func TestTimesGiveWay(t *testing.T) {
	c := mustParse(t, minimal+`
		[[door]]
		id = "long"
		lock = "strike"
		on_panel_dead = "locked"
		times = { strike = "15s", held_warning = "2m" }
		[[door]]
		id = "short"
		lock = "strike"
		on_panel_dead = "locked"
		times.held_alarm = "10s"
	`)
	long, short := c.Doors[0].Times, c.Doors[1].Times
	if long.Extended != 15*time.Second || long.HeldAlarm != 2*time.Minute {
		t.Errorf("long: got extended %v and alarm %v, want 15s and 2m", long.Extended, long.HeldAlarm)
	}
	if short.HeldWarning != 10*time.Second || short.HeldAlarm != 10*time.Second {
		t.Errorf("short: got warning %v and alarm %v, want 10s each", short.HeldWarning, short.HeldAlarm)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"id", "technology", "password_file", "d0", "d1", "led_active_low", "times"}
	for key, want := range map[string]string{
		"tecnology":              "technology",
		"Technology":             "technology",
		"technolgoy":             "technology",
		"password":               "password_file",
		"led-active-low":         "led_active_low",
		"d2":                     "d0",
		"ids":                    "id",
		"weather":                "",
		"":                       "",
		strings.Repeat("x", 1e5): "",
	} {
		if got := nearest(key, known); got != want {
			t.Errorf("%.20q: got %q, want %q", key, got, want)
		}
	}
}
