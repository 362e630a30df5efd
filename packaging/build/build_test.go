package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/central"
	"postern/config"
)

func TestDebVersion(t *testing.T) {
	for text, want := range map[string]string{
		"v1.2.3-0-gabc1234": "1.2.3", "1.2.3-0-gabc1234": "1.2.3", "v1.2.3-14-gabc1234": "1.2.3+14.gabc1234", "v1.2.3~rc1-0-gabc": "1.2.3~rc1",
		"release-0-gabc": "", "v1.2.3": "", "": "",
	} {
		got, err := debVersion(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseHelp(t *testing.T) {
	got := parseHelp(`Looks at it.

In two parts.

Usage:
  posternd [flags]
  posternd [command]

Available Commands:
  check       List every fault
  completion  Generate the autocompletion script
  help        Help about any command
  relay-rest  Put every output to rest

Flags:
      --config string   configuration file
  -h, --help            help for posternd

Use "posternd [command] --help" for more information about a command.
`)
	want := help{
		about: "Looks at it.\n\nIn two parts.", usage: "posternd [flags]", commands: []string{"check", "relay-rest"},
		flags: []string{"      --config string   configuration file", "  -h, --help            help for posternd"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(help{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRoff(t *testing.T) {
	if got, want := roff(".start\n'quoted\nC:\\dir --flag"), "\\&.start\n\\&'quoted\nC:\\edir \\-\\-flag"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	for _, line := range []string{"short", strings.Repeat("word ", 60), "one " + strings.Repeat("x", 200) + " two", ""} {
		var b strings.Builder
		wrap(&b, "  * ", line)
		if got, want := strings.Fields(strings.Replace(b.String(), "* ", "", 1)), strings.Fields(line); !cmp.Equal(got, want) && len(want) > 0 {
			t.Errorf("%q became %q", line, b.String())
		}
		for out := range strings.Lines(b.String()) {
			if len(out) > 79 && len(strings.Fields(out)) > 1 {
				t.Errorf("%q is too long", out)
			}
		}
	}
}

// TestShippedConfigurations: neither runs as it comes, and each says what to fill
// in, and nothing else.
func TestShippedConfigurations(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	panel := read("../etc/panel.toml")
	_, faults := config.Parse("panel.toml", []byte(panel))
	var at []string
	for _, f := range faults {
		at = append(at, f.Path)
	}
	if diff := cmp.Diff([]string{"panel.system_id", "mqtt.broker"}, at); diff != "" {
		t.Errorf("faults of the shipped panel.toml:\n%s\n%v", diff, faults)
	}
	filled := strings.NewReplacer(`system_id = ""`, `system_id = "a"`, `broker = ""`, `broker = "ssl://b"`).Replace(panel)
	if _, faults := config.Parse("panel.toml", []byte(filled)); len(faults) > 0 {
		t.Errorf("filled in as it says: %v", faults)
	}

	text := read("../etc/central.toml")
	c, err := central.ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "mqtt.broker") {
		t.Errorf("the shipped central.toml: %v", err)
	}
	c, err = central.ParseConfig([]byte(strings.Replace(text, `broker = ""`, `broker = "ssl://b:8883"`, 1)))
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		t.Errorf("filled in as it says: %v", err)
	}
}
