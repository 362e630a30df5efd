package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/api"
)

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// sick is a machine with everything wrong that a doctor's test changes.
type sick struct {
	t *testing.T
	x *examiner
}

// healthy is a machine on which nothing is wrong.
func healthy(t *testing.T) *sick {
	t.Helper()
	root := t.TempDir()
	s := &sick{t, &examiner{
		root: root, config: filepath.Join(root, "panel.toml"), now: func() time.Time { return today },
		statfs: func(string) (space, error) { return space{free: 1 << 30, size: 4 << 30, inodes: 1 << 20}, nil },
		systemctl: func(_ context.Context, args ...string) string {
			if args[0] == "is-enabled" {
				return "enabled"
			}
			return "RuntimeWatchdogUSec=15s"
		},
	}}
	for _, file := range []string{"sys/class/rtc/rtc0/hctosys", "dev/watchdog0", "dev/gpiochip0"} {
		s.file(file, "1")
	}
	s.file("panel.toml", s.panel(""))
	return s
}

func (s *sick) path(name string) string { return filepath.Join(s.x.root, name) }

func (s *sick) file(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// panel is the first example with the machine's own paths.
func (s *sick) panel(mqtt string) string {
	s.t.Helper()
	data, err := os.ReadFile("../../firmware-config/examples/one-door-rex.toml")
	if err != nil {
		s.t.Fatal(err)
	}
	text := strings.Replace(string(data), "[mqtt]\n", "data_dir = \""+s.path("data")+"\"\n[mqtt]\n"+mqtt, 1)
	return strings.Replace(text, "/etc/postern/mqtt.password", s.path("mqtt.password"), 1)
}

func (s *sick) examine(st api.Status, down string) map[string]string {
	states := map[string]string{}
	for _, f := range s.x.examine(s.t.Context(), st, down) {
		if f.Name != "" {
			states[f.Name] = f.State
			if f.Do == "" || f.What == "" {
				s.t.Errorf("%s does not say what to do: %+v", f.Name, f)
			}
		}
	}
	return states
}

func TestDoctor(t *testing.T) {
	well := api.Status{SystemID: "demo-001", Now: today, Started: today.Add(-time.Hour), Clock: "trusted", Link: api.Link{Connected: true}}
	ends := map[string]time.Time{"old.pem": today.Add(-time.Hour), "soon.pem": today.Add(10 * 24 * time.Hour), "good.pem": today.Add(90 * 24 * time.Hour)}
	for _, test := range []struct {
		name   string
		change func(*sick)
		status func(*api.Status)
		down   string
		want   map[string]string
	}{
		{name: "nothing", want: map[string]string{}},
		{name: "daemon down", down: "no socket", want: map[string]string{"daemon-down": stateWrong}},
		{name: "holdover", status: func(s *api.Status) { s.Clock = "holdover" }, want: map[string]string{"clock-holdover": stateAdvice}},
		{name: "simulated", status: func(s *api.Status) { s.Simulated = true }, want: map[string]string{"simulated": stateAdvice}},
		{name: "unsigned", status: problem("Changes from central are taken unsigned: x"), want: map[string]string{"unsigned": stateAdvice}},
		{name: "forced", status: problem("Door main: DoorForcedOpen"), want: map[string]string{"door-alarm": stateWrong}},
		{name: "too many codes", status: problem("Codes can be guessed: 11 codes of 4 digits are too easy to guess"), want: map[string]string{"codes-guessable": stateAdvice}},
		{name: "a new problem", status: problem("The moon is full."), want: map[string]string{"panel-problem": stateWrong}},
		{
			name:   "no configuration",
			change: func(s *sick) { s.x.config = s.path("none.toml") },
			want:   map[string]string{"configuration-missing": stateWrong},
		},
		{
			name:   "faulty configuration",
			change: func(s *sick) { s.file("panel.toml", "[panel]\nsystem_id = 1\n") },
			want:   map[string]string{"configuration-faulty": stateWrong},
		},
		{
			name: "no doors, way out not said",
			change: func(s *sick) {
				s.file("panel.toml", strings.Replace(s.panel(""), `egress = "mechanical"`, "", 1))
			},
			want: map[string]string{"egress-unsaid": stateAdvice},
		},
		{
			name: "no door",
			change: func(s *sick) {
				s.file("panel.toml", "[panel]\nsystem_id = \"a\"\n[mqtt]\nbroker = \"tcp://h:1\"\n")
			},
			want: map[string]string{"no-doors": stateWrong},
		},
		{name: "expired", change: certificate("old.pem", ends), want: map[string]string{"certificate-expired": stateWrong}},
		{name: "expiring", change: certificate("soon.pem", ends), want: map[string]string{"certificate-expiring": stateAdvice}},
		{name: "good", change: certificate("good.pem", ends), want: map[string]string{}},
		{name: "no certificate", change: certificate("none.pem", ends), want: map[string]string{"certificate-faulty": stateWrong}},
		{name: "credential expired", status: credential(today.Add(-30*24*time.Hour), today.Add(-time.Hour), ""), want: map[string]string{"certificate-expired": stateWrong}},
		{name: "credential expiring", status: credential(today.Add(-time.Hour), today.Add(time.Hour), ""), want: map[string]string{"certificate-expiring": stateAdvice}},
		{name: "credential not yet valid", status: credential(today.Add(time.Hour), today.Add(900*time.Hour), ""), want: map[string]string{"certificate-not-yet": stateWrong}},
		{name: "credential good", status: credential(today.Add(-time.Hour), today.Add(900*time.Hour), ""), want: map[string]string{}},
		{name: "credential faulty", status: credential(time.Time{}, time.Time{}, "no certificate in it"), want: map[string]string{"certificate-faulty": stateWrong}},
		{
			name: "the daemon says it too", status: func(st *api.Status) {
				credential(today.Add(-30*24*time.Hour), today.Add(-time.Hour), "")(st)
				st.Problems = []api.Problem{{What: "The certificate credential mqtt-cert.pem has expired on 2026-11-22", Do: "do"}, {What: "The SD card is nearly full: x", Do: "do"}}
			},
			want: map[string]string{"certificate-expired": stateWrong},
		},
		{
			name: "the daemon alone can say it", change: func(s *sick) { s.x.config = s.path("none.toml") },
			status: problem("The certificate credential mqtt-cert.pem has expired on 2026-11-22"),
			want:   map[string]string{"configuration-missing": stateWrong, "certificate-faulty": stateWrong},
		},
		{name: "full", change: disk(space{free: 1 << 20, inodes: 1 << 20}), want: map[string]string{"disk-full": stateWrong}},
		{name: "no inodes", change: disk(space{free: 1 << 30, inodes: 10}), want: map[string]string{"disk-full": stateWrong}},
		{name: "read-only", change: disk(space{free: 1 << 30, inodes: 1 << 20, readOnly: true}), want: map[string]string{"card-read-only": stateWrong}},
		{name: "put aside", change: writes("data/keys.db.bad-0001-x", ""), want: map[string]string{"store-damaged": stateAdvice}},
		{name: "ext4", change: writes("sys/fs/ext4/mmcblk0p2/errors_count", "3"), want: map[string]string{"file-system-errors": stateWrong}},
		{name: "ext4 well", change: writes("sys/fs/ext4/mmcblk0p2/errors_count", "0"), want: map[string]string{}},
		{name: "worn", change: writes("sys/block/mmcblk0/device/pre_eol_info", "0x02"), want: map[string]string{"card-worn": stateWrong}},
		{name: "not worn", change: writes("sys/block/mmcblk0/device/pre_eol_info", "0x01"), want: map[string]string{}},
		{name: "no clock", change: without("sys/class/rtc/rtc0"), want: map[string]string{"no-rtc": stateAdvice}},
		{name: "no watchdog", change: without("dev/watchdog0"), want: map[string]string{"no-watchdog": stateAdvice}},
		{name: "no lines", change: without("dev/gpiochip0"), want: map[string]string{"no-gpio": stateWrong}},
		{name: "outputs persist", change: writes("sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs", "Y\n"), want: map[string]string{"outputs-persist": stateWrong}},
		{name: "outputs fall", change: writes("sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs", "N\n"), want: map[string]string{}},
		{name: "weak supply now", change: writes("sys/devices/platform/soc/soc:firmware/get_throttled", "50005"), want: map[string]string{"under-voltage": stateWrong}},
		{name: "weak supply before", change: writes("sys/devices/platform/soc/soc:firmware/get_throttled", "50000"), want: map[string]string{"under-voltage": stateAdvice}},
		{
			name: "disabled, watchdog off",
			change: func(s *sick) {
				s.x.systemctl = func(_ context.Context, args ...string) string {
					if args[0] == "is-enabled" {
						return "disabled"
					}
					return "RuntimeWatchdogUSec=0"
				}
			},
			want: map[string]string{"not-enabled": stateWrong, "watchdog-off": stateAdvice},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, st := healthy(t), well
			if test.change != nil {
				test.change(s)
			}
			if test.status != nil {
				test.status(&st)
			}
			if diff := cmp.Diff(test.want, s.examine(st, test.down)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func problem(what string) func(*api.Status) {
	return func(s *api.Status) { s.Problems = []api.Problem{{What: what, Do: "do"}} }
}

// credential has the daemon speak of a certificate that only it can read.
func credential(from, until time.Time, fault string) func(*api.Status) {
	return func(s *api.Status) {
		s.Certificates = []api.Certificate{{
			Use: api.CertificateOwn, File: "mqtt-cert.pem", Credential: true, Names: []string{"demo-001"}, NotBefore: from, NotAfter: until, Error: fault,
		}}
	}
}

func disk(is space) func(*sick) {
	return func(s *sick) { s.x.statfs = func(string) (space, error) { return is, nil } }
}

func writes(name, text string) func(*sick) { return func(s *sick) { s.file(name, text) } }

func without(name string) func(*sick) {
	return func(s *sick) {
		if err := os.RemoveAll(s.path(name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// certificate has the configuration name a certificate that ends then.
func certificate(name string, ends map[string]time.Time) func(*sick) {
	return func(s *sick) {
		s.file("panel.toml", s.panel("ca_file = \""+s.path(name)+"\"\n"))
		end, ok := ends[name]
		if !ok {
			s.file(name, "nothing")
			return
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			s.t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: today.Add(-48 * time.Hour), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		s.file(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
}

var (
	findingName = regexp.MustCompile(`x\.(?:wrong|advice)\("[a-z ]+", "([a-z-]+)"`)
	heading     = regexp.MustCompile(`(?m)^## ([a-z][a-z-]+)$`)
	daemonSays  = regexp.MustCompile(`(?:\badd\((?:fmt\.Sprintf\()?|what := )"([A-Z%][^"]+)`)
)

// TestTroubleshooting finds a finding without a heading in the document, and a
// heading that no finding leads to.
func TestTroubleshooting(t *testing.T) {
	names := map[string]bool{"panel-problem": true, "journal-behind": true}
	for _, p := range problems {
		names[p.name] = true
	}
	for _, file := range []string{"doctor.go", "doctor_look.go"} {
		for _, m := range findingName.FindAllSubmatch(source(t, file), -1) {
			names[string(m[1])] = true
		}
	}
	var told []string
	for _, m := range heading.FindAllSubmatch(source(t, "../../docs/troubleshooting.md"), -1) {
		told = append(told, string(m[1]))
	}
	slices.Sort(told)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(names)), told); diff != "" {
		t.Errorf("names of findings and headings of docs/troubleshooting.md (-found +told):\n%s", diff)
	}
}

// TestDaemonsProblems finds a problem of the daemon's that has no name here.
func TestDaemonsProblems(t *testing.T) {
	said := daemonSays.FindAllSubmatch(source(t, "../posternd/backend.go"), -1)
	if len(said) < 10 {
		t.Fatalf("only %d problems found in the daemon's source", len(said))
	}
	for _, m := range said {
		if _, name := nameOf(string(m[1])); name == "panel-problem" {
			t.Errorf("the daemon's problem %q has no name", m[1])
		}
	}
}

func source(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
