package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"postern/config"
)

const tree = "../.."

func profiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(tree + "/firmware-config/examples/*.toml")
	if err != nil || len(files) < 5 {
		t.Fatalf("profiles: %v, %v", files, err)
	}
	return files
}

// TestGolden finds drawings, tables and pins that are not what their profile says
// now, and those whose profile is gone.
func TestGolden(t *testing.T) {
	made := map[string]bool{}
	for _, f := range profiles(t) {
		all, err := draw(f)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range all {
			made[filepath.Base(path)] = true
			got, err := os.ReadFile(filepath.Join(tree, path))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what %s says (%v): go run ./firmware-config/wiring", path, f, err)
			}
			if strings.HasSuffix(path, ".svg") {
				wellFormed(t, path, want)
			}
		}
	}
	for _, pattern := range []string{"/docs/wiring/*", "/firmware-config/pins/*"} {
		there, err := filepath.Glob(tree + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range there {
			if !made[filepath.Base(path)] {
				t.Errorf("%s has no profile", path)
			}
		}
	}
}

func wellFormed(t *testing.T, path string, data []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

type board struct {
	ID, Name, Chip, Device, Config, Notes string
	Files                                 []string
	Taken                                 []int
}

func boards(t *testing.T) []board {
	t.Helper()
	data, err := os.ReadFile(tree + "/firmware-config/boards.toml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Board []board }
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file.Board
}

// settings are the members of a config.txt, each with its values in order.
func settings(t *testing.T, path string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(tree, "firmware-config", path))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || len(line) > 98 {
			t.Errorf("%s: %q is no setting that the firmware reads", path, line)
		}
		all[name] = append(all[name], value)
	}
	return all
}

// TestBoards holds each board's file against what every panel needs, and against
// the pins that it says are taken.
func TestBoards(t *testing.T) {
	all := boards(t)
	if len(all) != 5 {
		t.Fatalf("%d boards", len(all))
	}
	for _, b := range all {
		if b.Config == "" {
			if b.ID != "generic" {
				t.Errorf("%s has no config.txt", b.ID)
			}
			withoutConfig(t, b)
			continue
		}
		s := settings(t, b.Config)
		for _, want := range []string{"strict_gpiod", "watchdog=on"} {
			if !slices.Contains(s["dtparam"], want) {
				t.Errorf("%s: no dtparam=%s", b.Config, want)
			}
		}
		taken := []int{0, 1}
		if slices.Contains(s["dtparam"], "i2c_arm=on") {
			taken = append(taken, 2, 3)
		}
		if slices.Contains(s["enable_uart"], "1") || slices.Contains(s["dtparam"], "uart0=on") {
			taken = append(taken, 14, 15)
		}
		if diff := cmp.Diff(taken, b.Taken); diff != "" {
			t.Errorf("%s: taken pins (-by its file, +in boards.toml):\n%s", b.ID, diff)
		}
		clock := slices.Contains(s["dtoverlay"], "i2c-rtc,ds3231") || slices.ContainsFunc(s["dtparam"], func(p string) bool { return strings.HasPrefix(p, "rtc_bbat_vchg=") })
		if !clock {
			t.Errorf("%s has no real-time clock", b.Config)
		}
	}
}

// withoutConfig holds the files of a board without config.txt against what every
// panel needs, and its notes against the files.
func withoutConfig(t *testing.T, b board) {
	t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(tree, "firmware-config", name))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	notes, all := read(b.Notes), ""
	for _, name := range b.Files {
		if !strings.Contains(notes, "sudo cp "+filepath.Base(name)+" ") {
			t.Errorf("%s does not say where %s goes", b.Notes, name)
		}
		for line := range strings.Lines(read(name)) {
			if !strings.HasPrefix(line, "#") {
				all += line
			}
		}
	}
	for what, want := range map[string]string{
		"real-time clock": `ATTR{new_device}="ds3231 0x68"`, "the clock's driver": "\nrtc-ds1307\n", "watchdog": "[Manager]\nRuntimeWatchdogSec=15s\n",
	} {
		if !strings.Contains("\n"+all, want) {
			t.Errorf("%s: no %s (%q)", b.ID, what, want)
		}
	}
	for _, want := range []string{"relay-rest", "gpioinfo", "gpiodetect", "gpiochip4.conf", "console="} {
		if !strings.Contains(notes, want) {
			t.Errorf("%s says nothing about %s", b.Notes, want)
		}
	}
}

var resistorOf = regexp.MustCompile(`(GPIO[0-9]+) \(`)

// TestResistors holds what the wiring pages say for boards without config.txt
// against the levels that are wanted: each line has one resistor, to its own.
func TestResistors(t *testing.T) {
	for _, f := range profiles(t) {
		name := strings.TrimSuffix(filepath.Base(f), ".toml")
		c, faults, err := config.Load(f)
		if err != nil || len(faults) > 0 {
			t.Fatalf("%s: %v %v", f, faults, err)
		}
		page, err := os.ReadFile(filepath.Join(tree, "docs/wiring", name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		_, part, _ := strings.Cut(string(page), "## On a board without config.txt")
		got := map[string]string{}
		for line := range strings.Lines(part) {
			what, lines, _ := strings.Cut(line, ": ")
			for _, m := range resistorOf.FindAllStringSubmatch(lines, -1) {
				if got[m[1]] != "" {
					t.Errorf("%s: two resistors at %s", name, m[1])
				}
				got[m[1]] = what[strings.LastIndex(what, " ")+1:]
			}
		}
		want := map[string]string{}
		for line, set := range wanted(c) {
			want[line] = map[bool]string{true: "V", false: "ground"}[strings.Contains(set, "pu")]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-by panel.toml, +on its wiring page):\n%s", name, diff)
		}
	}
}

// TestPins holds each profile against each board: no line is another's, and each
// has, from the board's first moment and when the daemon is dead, the level that
// on_panel_dead and the polarity of its inputs ask for.
func TestPins(t *testing.T) {
	for _, f := range profiles(t) {
		name := strings.TrimSuffix(filepath.Base(f), ".toml")
		c, faults, err := config.Load(f)
		if err != nil || len(faults) > 0 {
			t.Fatalf("%s: %v %v", f, faults, err)
		}
		lines := map[int]string{}
		for _, text := range settings(t, "pins/"+name+".txt")["gpio"] {
			pin, set, _ := strings.Cut(text, "=")
			n, err := strconv.Atoi(pin)
			if err != nil || lines[n] != "" {
				t.Errorf("%s: gpio=%s", name, text)
			}
			lines[n] = set
		}
		want := wanted(c)
		got := map[string]string{}
		for n, set := range lines {
			got[fmt.Sprintf("GPIO%d", n)] = set
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-by panel.toml, +in pins):\n%s", name, diff)
		}
		for _, b := range boards(t) {
			for _, n := range b.Taken {
				if set, ok := lines[n]; ok {
					t.Errorf("%s: GPIO%d (%s) is taken on %s", name, n, set, b.Name)
				}
			}
		}
	}
}

// wanted is worked out from the configuration alone, without the drawing.
func wanted(c *config.Config) map[string]string {
	want := map[string]string{}
	set := func(line, value string) {
		if line != "" {
			want[line] = value
		}
	}
	level := func(high bool, yes, no string) string {
		if high {
			return yes
		}
		return no
	}
	for _, r := range c.Readers {
		for _, l := range append([]string{r.D0, r.D1}, r.Spare...) {
			set(l, "ip,pu")
		}
		set(r.LED, level(r.LEDActiveLow, "op,pu,dh", "op,pd,dl"))
		set(r.Buzzer, level(r.BuzzerActiveLow, "op,pu,dh", "op,pd,dl"))
		set(r.Tamper, level(r.TamperActive == config.High, "ip,pu", "ip,pd"))
	}
	for _, d := range c.Doors {
		// Without the panel there is current where the lock kind and what the door
		// must be agree: a maglock that holds, a strike that is released.
		current := d.Lock == config.Maglock && d.OnPanelDead == config.DeadLocked ||
			d.Lock == config.Strike && d.OnPanelDead == config.DeadReleased
		set(d.Output, level(current != d.OutputActiveLow, "op,pu,dh", "op,pd,dl"))
		set(d.Contact, level(d.ContactOpen == config.High, "ip,pu", "ip,pd"))
		set(d.REX, level(d.REXActive == config.Low, "ip,pu", "ip,pd"))
	}
	for _, in := range c.Inputs {
		broken := in.Kind == config.FireInput || in.Kind == config.TamperInput // must be told when its wire is cut
		set(in.Line, level(broken == (in.Active == config.High), "ip,pu", "ip,pd"))
	}
	for _, o := range c.Outputs {
		set(o.Line, level(o.ActiveLow, "op,pu,dh", "op,pd,dl"))
	}
	return want
}
