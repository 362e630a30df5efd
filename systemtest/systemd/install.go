package systemd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"postern/systemtest/machine"
)

// programs are what a panel and a central server have installed.
var programs = []string{"posternd", "postern", "postern-central"}

// build builds the programs, and the one that makes the checks inside.
func build(ctx context.Context, bin string) error {
	targets := []string{"postern/systemtest/systemd/guest"}
	for _, p := range programs {
		targets = append(targets, "postern/cmd/"+p)
	}
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", bin + string(filepath.Separator)}, targets...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// makeInitrd packs the guest program as init, with the modules that it loads.
func (g *guest) makeInitrd() error {
	order, err := g.kernel.Needs("crc32c_generic", "nfit", "nd_pmem", "ext4", "configfs", "gpio_sim")
	if err != nil {
		return err
	}
	files := map[string]machine.File{
		"/init":          {Path: filepath.Join(g.bin, "guest"), Mode: 0o755},
		"/modules/order": {Data: []byte(strings.Join(order, "\n"))},
	}
	for _, name := range order {
		data, err := g.kernel.Module(name)
		if err != nil {
			return err
		}
		files["/modules/"+name+".ko"] = machine.File{Data: data}
	}
	f, err := os.Create(g.initrd)
	if err != nil {
		return err
	}
	return errors.Join(machine.Initramfs(f, files), f.Close())
}

// install puts the project's programs, units and configuration into the image,
// and the checks. It stands for what a package does.
func install(ctx context.Context, image, bin string) error {
	tree, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	files, links, err := installed(tree, bin)
	if err != nil {
		return err
	}
	return machine.WriteDisk(ctx, image, files, links)
}

// installed returns the files and links of install, by their paths in the guest.
func installed(tree, bin string) (files map[string]machine.File, links map[string]string, err error) {
	unit := func(name string) machine.File { return machine.File{Path: filepath.Join(tree, "systemd", name)} }
	panel, err := panelConfig(filepath.Join(tree, "firmware-config/examples/one-door-pin.toml"))
	if err != nil {
		return nil, nil, err
	}
	panelPassword, centralPassword := rand.Text(), rand.Text()
	secret := func(text string) machine.File { return machine.File{Data: []byte(text + "\n"), Mode: 0o600} }
	text := func(text string) machine.File { return machine.File{Data: []byte(text)} }
	files = map[string]machine.File{
		"/usr/lib/systemd/system/posternd.service":        unit("posternd.service"),
		"/usr/lib/systemd/system/postern-central.service": unit("postern-central.service"),
		"/usr/lib/sysusers.d/postern.conf":                unit("postern.sysusers"),
		"/usr/lib/sysusers.d/postern-central.conf":        unit("postern-central.sysusers"),
		"/usr/lib/udev/rules.d/60-postern.rules":          unit("postern.udev"),
		"/etc/postern/panel.toml":                         text(panel),
		"/etc/postern/central.toml":                       text(centralConfig),
		"/etc/postern/mqtt.password":                      secret(panelPassword),
		"/etc/postern/central.password":                   secret(centralPassword),
		"/etc/postern/broker.passwords":                   secret("demo-002:" + panelPassword + "\ncentral:" + centralPassword),

		"/usr/lib/postern-systemtest/guest":                       {Path: filepath.Join(bin, "guest"), Mode: 0o755},
		"/usr/lib/systemd/system/postern-systemtest-chip.service": text(chipUnit),
		"/usr/lib/systemd/system/postern-systemtest.service":      text(testUnit),
		"/etc/hostname":             text("panel\n"),
		"/etc/machine-id":           text("5e9a61f3b1c84f0f9a3c5a0d4ce1b7aa\n"), // not the first boot of a machine without units
		"/var/log/journal/.postern": text(""),                                   // a folder there makes the journal outlive a boot
	}
	for _, p := range programs {
		files["/usr/bin/"+p] = machine.File{Path: filepath.Join(bin, p), Mode: 0o755}
	}
	const wants = "/etc/systemd/system/multi-user.target.wants/"
	links = map[string]string{}
	for _, u := range []string{"posternd", "postern-systemtest-chip", "postern-systemtest"} {
		links[wants+u+".service"] = "/usr/lib/systemd/system/" + u + ".service"
	}
	// Timers that would burn an emulated processor, and look for a network.
	for _, u := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "e2scrub_reap.service"} {
		links["/etc/systemd/system/"+u] = "/dev/null"
	}
	return files, links, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's folder: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// panelConfig is a shipped example, with all its lines, at a broker of this
// machine, and with codes.
func panelConfig(example string) (string, error) {
	raw, err := os.ReadFile(example)
	if err != nil {
		return "", err
	}
	text := string(raw)
	const broker, codes = `"ssl://central.example.net:8883"`, "\n[codes]\nenabled = true\nsize = 10\n"
	if strings.Count(text, broker) != 1 {
		return "", fmt.Errorf("%s: want the broker %s once", example, broker)
	}
	return strings.Replace(text, broker, `"tcp://127.0.0.1:1883"`, 1) + codes, nil
}

const centralConfig = `listen = "127.0.0.1:8080"
database = "/var/lib/postern-central/central.db"
secret_key_file = "/var/lib/postern-central/secret.key"
[mqtt]
broker = "tcp://127.0.0.1:1883"
username = "central"
password_file = "/etc/postern/central.password"
[broker]
listen = "127.0.0.1:1883"
password_file = "/etc/postern/broker.passwords"
`

// chipUnit makes the simulated chip where a Pi has a real one.
const chipUnit = `[Unit]
Description=Simulated GPIO chip
After=systemd-sysusers.service systemd-udevd.service sys-kernel-config.mount
Before=posternd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/postern-systemtest/guest chip
`

const testUnit = `[Unit]
Description=Checks of the system test
After=posternd.service
[Service]
ExecStart=/usr/lib/postern-systemtest/guest test
TimeoutStopSec=5s
`
