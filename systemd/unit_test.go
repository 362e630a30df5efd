// Package systemd has the units' test alone.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/central"
	"postern/wire"
)

// need skips a test without the program; with CI=true that is a failure.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: apt-get install systemd", program)
	}
	t.Skipf("%s is not installed", program)
}

var exposure = regexp.MustCompile(`(?m)^→ Overall exposure level for .*: (\d+\.\d)`)

// TestExposure holds the units to systemd's own judgement of what a service could
// do to its machine, 0 being the best. Network and GPIO cost posternd 0.9.
func TestExposure(t *testing.T) {
	need(t, "systemd-analyze")
	for _, test := range []struct {
		unit, dropIn string
		limit        float64
	}{
		{"posternd.service", "", 1.2},
		{"posternd.service", "drop-ins/network.conf", 1.0},
		{"posternd.service", "drop-ins/credentials.conf", 1.2},
		{"posternd.service", "drop-ins/clock.conf", 1.8},
		{"postern-central.service", "", 1.2},
		{"postern-central.service", "drop-ins-central/credentials.conf", 1.2},
	} {
		path := filepath.Join(t.TempDir(), test.unit)
		text := readFile(t, test.unit)
		if test.dropIn != "" {
			text += readFile(t, test.dropIn)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", path).CombinedOutput()
		m := exposure.FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("systemd-analyze: %v\n%s", err, out)
		}
		score, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: %.1f", test.unit, test.dropIn, score)
		if score > test.limit {
			t.Errorf("%s with %q: exposure %.1f, at most %.1f; what costs:\n%s", test.unit, test.dropIn, score, test.limit, out)
		}
	}
}

// TestDropIns finds a drop-in that does not say where it goes, and members that
// systemd does not know.
func TestDropIns(t *testing.T) {
	need(t, "systemd-analyze")
	for folder, unit := range map[string]string{"drop-ins": "posternd.service", "drop-ins-central": "postern-central.service"} {
		all, err := filepath.Glob(folder + "/*.conf")
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v, %v", folder, all, err)
		}
		for _, path := range all {
			text := readFile(t, path)
			if !strings.Contains(text, "#   /etc/systemd/system/"+unit+".d/") {
				t.Errorf("%s does not say where it goes", path)
			}
			if err := verify(t, unit, text); err != "" {
				t.Errorf("%s: %s", path, err)
			}
		}
		if err := verify(t, unit, "[Service]\nNoSuchThing=yes\n"); err == "" {
			t.Error("systemd-analyze verify takes everything")
		}
	}
}

// TestCentralCredentials: what the drop-in for central names, central takes, from
// where systemd puts credentials.
func TestCentralCredentials(t *testing.T) {
	text := readFile(t, "drop-ins-central/credentials.conf")
	known := central.EnvironmentVariables()
	loaded := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^LoadCredential=([^:]+):/etc/postern/secrets/`).FindAllStringSubmatch(text, -1) {
		loaded[m[1]] = true
	}
	for _, name := range []string{wire.CredentialCA, wire.CredentialCert, wire.CredentialKey, wire.CredentialPassword} {
		if !loaded[name] {
			t.Errorf("%s is not loaded", name)
		}
		delete(loaded, name)
	}
	for _, m := range regexp.MustCompile(`(?m)^Environment=(\w+)=%d/(.*)$`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, m[1]) || !loaded[m[2]] {
			t.Errorf("%s is credential %s: central knows the variable: %v, it is loaded: %v", m[1], m[2], slices.Contains(known, m[1]), loaded[m[2]])
		}
		delete(loaded, m[2])
	}
	for name := range loaded {
		t.Errorf("nothing takes the credential %s", name)
	}
}

// verify returns what systemd says of a unit with more text, apart from the
// program that is not installed here.
func verify(t *testing.T, unit, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), unit)
	text := regexp.MustCompile(`/usr/bin/postern\S+`).ReplaceAllString(readFile(t, unit)+more, "/bin/true")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	var said []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, unit+":") {
			said = append(said, strings.TrimSpace(line))
		}
	}
	return strings.Join(said, "\n")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
