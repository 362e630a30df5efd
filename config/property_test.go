package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// minimal is a file that says only what has to be said.
const minimal = `[panel]
system_id = "demo-001"
[mqtt]
broker = "tcp://127.0.0.1:1883"
[board]
driver = "simulated"
`

// defaults are the members that may be left out, by table, at their defaults.
var defaults = []struct {
	header, required string
	members          []string
}{
	{"[panel]", `system_id = "demo-001"`, []string{
		`name = ""`, `data_dir = "/var/lib/postern"`, `timezone = "UTC"`, `device_key_file = ""`,
	}},
	{"[mqtt]", `broker = "tcp://127.0.0.1:1883"`, []string{
		`client_id = "postern-demo-001"`, `username = ""`, `password_file = ""`, `ca_file = ""`, `cert_file = ""`, `key_file = ""`,
	}},
	{"[api]", ``, []string{`socket = "/run/postern/postern.sock"`, `page = ""`}},
	{"[clock]", ``, []string{`source = "ntp"`}},
	{"[journal]", ``, []string{`keep = 50000`, `cap = 1000000`}},
	{"[board]", ``, []string{`driver = "periph"`}},
	{"[[reader]]", `id = "front"
technology = "EM"
formats = ["raw40"]
d0 = "GPIO17"
d1 = "GPIO27"
spare = ["GPIO5", "GPIO6"]`, []string{
		`match = "full"`, `keypad = ""`, `pull = "up"`, `led = ""`, `led_active_low = false`,
		`buzzer = ""`, `buzzer_active_low = false`, `silence = "40ms"`, `byte_order = "msb"`, `part = "whole"`,
		`tamper = ""`, `tamper_active = "high"`, `tamper_pull = ""`, `indication.granted = ""`,
	}},
	{"[[door]]", `id = "main"
lock = "strike"
on_panel_dead = "locked"
output = "GPIO24"`, []string{
		`name = ""`, `egress = ""`, `output_active_low = false`, `contact = ""`, `contact_open = "high"`,
		`rex = ""`, `rex_active = "low"`, `rex_action = "unlock"`, `fire_release = false`,
		`debounce = "20ms"`, `contact_debounce = "20ms"`, `rex_debounce = "20ms"`, `times.strike = "3s"`, `times.extended = "10s"`,
		`unlock_schedule = ""`, `first_card = false`, `times.relock = "500ms"`, `times.held_warning = "30s"`, `times.held_alarm = "60s"`, `times.shunt_after = "5s"`,
	}},
	{"[[input]]", `id = "fire"
kind = "fire"
line = "GPIO20"`, []string{`name = ""`, `active = "high"`, `pull = ""`, `debounce = "20ms"`}},
	{"[[input]]", `id = "bell"
kind = "aux"
line = "GPIO21"`, []string{`active = "low"`}},
	{"[[output]]", `id = "siren"
line = "GPIO16"`, []string{`name = ""`, `active_low = false`}},
	{"[[format]]", `name = "Site"
length = 30
parity = [{ bit = 0, kind = "odd", over = "1-29" }]`, []string{`facility = ""`, `number = ""`, `data = ""`}},
	{"[indication]", ``, []string{`idle = ""`, `granted = ""`, `denied = ""`, `pin_wanted = ""`, `locked_down = ""`, `identify = ""`}},
	{"[codes]", ``, []string{`enabled = false`, `size = 6`}},
	{"[rules]", ``, []string{`duress = false`, `stale_after = "0s"`}},
	{"[lockout]", ``, []string{`key_tries = 3`, `point_tries = 5`, `first = "1m"`, `most = "15m"`}},
	{"[[holiday]]", `kind = "bank"
from = "12-24"`, []string{`name = ""`, `to = ""`}},
	{"[[schedule]]", `id = "office"
intervals = [{ days = ["mon"], from = "08:00", to = "17:00" }]`, []string{`name = ""`, `valid_from = ""`, `valid_to = ""`}},
	{"[[area]]", `id = "house"`, []string{`name = ""`, `passback = "off"`, `within = "0s"`}},
	{"[[access_point]]", `id = "front"
door = "main"
reader = "front"
mode = "card"`, []string{`name = ""`, `from = ""`, `to = ""`, `two_person = false`, `pair_within = "30s"`}},
}

// A member at its default is the same as one that is left out, and none of the
// defaults is a fault.
func TestDefaultsPass(t *testing.T) {
	file := func(pick func(string) bool) string {
		var b strings.Builder
		for _, table := range defaults {
			members := slices.DeleteFunc(slices.Clone(table.members), func(m string) bool { return !pick(m) })
			if table.required == "" && len(members) == 0 {
				continue
			}
			fmt.Fprintf(&b, "%s\n%s\n%s\n", table.header, table.required, strings.Join(members, "\n"))
		}
		return b.String()
	}
	want := mustParse(t, file(func(string) bool { return false }))
	rapid.Check(t, func(rt *rapid.T) {
		text := file(func(m string) bool { return rapid.Bool().Draw(rt, m) })
		got, faults := Parse("panel.toml", []byte(text))
		if len(faults) > 0 {
			rt.Fatalf("%v in:\n%s", faults, text)
		}
		if diff := cmp.Diff(want, got, ignorePolicy); diff != "" {
			rt.Fatalf("-without +with in:\n%s\n%s", text, diff)
		}
	})
}

// Every required member is missed at the line of its table.
func TestRequired(t *testing.T) {
	text := string(readFile(t, testFiles+"/full.toml"))
	lines := strings.Split(text, "\n")
	header, missed := 0, 0
	for i, line := range lines {
		if strings.HasPrefix(line, "[") {
			header = i + 1
		}
		if !regexp.MustCompile(`^(system_id|broker|id|formats|d0|d1|lock|on_panel_dead|output|door|reader|mode|kind|line|length|doors) =`).MatchString(line) {
			continue
		}
		without := slices.Clone(lines)
		without[i] = "# gone"
		_, faults := Parse("panel.toml", []byte(strings.Join(without, "\n")))
		member, _, _ := strings.Cut(line, " ")
		found := slices.ContainsFunc(faults, func(f Fault) bool {
			return f.Line == header && strings.HasSuffix(f.Path, "."+member) && strings.Contains(f.Message, "missing")
		})
		if !found {
			t.Errorf("without line %d (%s): got %v, want it missed at line %d", i+1, line, faults, header)
		}
		missed++
	}
	if missed < 35 {
		t.Errorf("only %d required members looked at", missed)
	}
}

// Members that do not exist are each found at their own line, wherever they are
// put in a good file.
func TestUnknownAnywhere(t *testing.T) {
	var lines []string
	free := []int{0} // lines outside lists
	depth := 0
	for line := range strings.Lines(string(readFile(t, testFiles+"/full.toml"))) {
		lines = append(lines, line)
		if strings.HasSuffix(line, "[\n") {
			depth++
		}
		if line == "]\n" {
			depth--
		}
		if depth == 0 {
			free = append(free, len(lines))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.SliceOfNDistinct(rapid.SampledFrom(free), 1, 20, rapid.ID[int]).Draw(rt, "at")
		slices.Sort(at)
		shapes := rapid.SampledFrom([]string{"zz%d = 1", "\"zz.%d\" = [1,\n\t2]", "zz%d.zz.zz = {}", "\n# more\n  zz%d = '''\n'''"})
		var b strings.Builder
		var want []int
		done := 0
		for i, n := range at {
			b.WriteString(strings.Join(lines[done:n], ""))
			done = n
			shape := shapes.Draw(rt, "shape")
			key := strings.Count(b.String(), "\n") + 1 + strings.Count(shape[:strings.Index(shape, "zz")], "\n")
			want = append(want, key)
			fmt.Fprintf(&b, shape+"\n", i)
		}
		b.WriteString(strings.Join(lines[done:], ""))
		_, faults := Parse("panel.toml", []byte(b.String()))
		var got []int
		for _, f := range faults {
			got = append(got, f.Line)
			if !strings.Contains(f.Message, "not known") {
				rt.Fatalf("%v in:\n%s", f, b.String())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("lines -want +got:\n%s\nin:\n%s", diff, b.String())
		}
	})
}
