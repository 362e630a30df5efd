package systemd

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern/config"
	"postern/systemtest/machine"
	"postern/systemtest/module"
)

func tree(t *testing.T) string {
	t.Helper()
	dir, err := module.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPanelConfig(t *testing.T) {
	example := filepath.Join(tree(t), "firmware-config/examples/one-door-pin.toml")
	text, err := panelConfig(example)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "panel.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, faults, err := config.Load(file)
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	shipped, _, err := config.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MQTT.Broker != "tcp://127.0.0.1:1883" || cfg.Readers[0].D0 != shipped.Readers[0].D0 || cfg.Doors[0].Output != shipped.Doors[0].Output {
		t.Errorf("broker %s, lines %s and %s", cfg.MQTT.Broker, cfg.Readers[0].D0, cfg.Doors[0].Output)
	}
	if err := os.WriteFile(file, []byte("[mqtt]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := panelConfig(file); err == nil {
		t.Error("an example with another broker is taken")
	}
}

func TestInstalled(t *testing.T) {
	root := tree(t)
	files, links, err := installed(root, "/bin")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if strings.Contains(filepath.Base(name), "password") && f.Mode != 0o600 {
			t.Errorf("%s has mode %o", name, f.Mode)
		}
		// What a package has must come from the package.
		if f.Path != "" && strings.HasPrefix(f.Path, root) {
			t.Errorf("%s is put there by hand", name)
		}
	}
	for _, p := range packages {
		if f := files["/usr/lib/postern-systemtest/"+p+".deb"]; f.Path != "/bin/"+p+"_"+version+"_amd64.deb" {
			t.Errorf("package %s comes from %q", p, f.Path)
		}
	}
	for name, to := range links {
		_, shipped := strings.CutPrefix(to, packaged)
		if _, ok := files[to]; !ok && !shipped && to != "/dev/null" {
			t.Errorf("%s points to %s, which is not there", name, to)
		}
	}
	other, _, err := installed(root, "/bin")
	if err != nil || string(other["/etc/postern/mqtt.password"].Data) == string(files["/etc/postern/mqtt.password"].Data) {
		t.Errorf("the password is the same in every run (%v)", err)
	}
}

// boot runs one boot with a script in the place of QEMU.
func boot(t *testing.T, script string) ([]machine.Row, error) {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	for name, text := range map[string]string{"qemu-system-x86_64": "#!/bin/sh\n" + script, "disk": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	g := &guest{o: Options{Progress: io.Discard, Work: dir}, logs: dir}
	var rows []machine.Row
	err := g.boot(t.Context(), disk, 1, &rows)
	return rows, err
}

func TestBoot(t *testing.T) {
	const row = `echo 'ROW {"Part":"systemd","Check":"a","Result":"b","OK":true}'; `
	for _, tt := range []struct {
		name, script string
		rows         int
		err, again   bool
	}{
		{"to its end", "echo noise; echo 'BOOT 1 s'; " + row + "echo END", 1, false, false},
		{"a check can't go on", row + "echo 'FATAL no unit'; exec sleep 100", 2, true, false},
		{"the machine ends early", row, 1, true, true},
		{"the machine fails after its end", row + "echo END; exit 1", 1, true, true},
		{"a torn row", "echo 'ROW {\"Part'; exec sleep 100", 0, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows, err := boot(t, tt.script)
			if len(rows) != tt.rows || (err != nil) != tt.err || errors.Is(err, errMachine) != tt.again {
				t.Errorf("%d rows, %v; want %d rows, an error: %v, to be tried again: %v", len(rows), err, tt.rows, tt.err, tt.again)
			}
			if tt.rows == 2 && (rows[1].OK || rows[1].Detail != "no unit") {
				t.Errorf("the row of what kept the checks from going on: %+v", rows[1])
			}
		})
	}
}

func TestMissingTool(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.Context(), Options{Progress: io.Discard, Work: filepath.Join(t.TempDir(), "work")})
	if missing, ok := errors.AsType[*machine.MissingError](err); !ok || missing.Package == "" {
		t.Errorf("%v, want a MissingError with the package", err)
	}
}
