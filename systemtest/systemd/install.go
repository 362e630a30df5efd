package systemd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"postern/systemtest/machine"
)

// packages are what a panel and a central server have installed.
var packages = []string{"postern", "postern-central"}

// packaged is where the panel's package puts drop-ins.
const packaged = "/usr/share/postern/systemd/"

// version is that of the packages, below any that is released.
const version = "0~systemtest"

// build makes the packages, and the program that makes the checks inside. They
// are not compressed: unpacking is dear in an emulated machine.
func build(ctx context.Context, tree, bin string) error {
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{[]string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", bin + "/", "./systemtest/systemd/guest"}},
		{nil, []string{"run", "./packaging/build", "-arch", "amd64", "-compression", "none", "-version", version, "-out", bin}},
	} {
		cmd := exec.CommandContext(ctx, "go", c.args...)
		cmd.Dir, cmd.Env = tree, append(os.Environ(), c.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w: %s", c.args[0], err, out)
		}
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

// install puts the packages, their configuration and the checks into the image.
// The machine's first boot installs the packages (see the program guest).
func install(ctx context.Context, tree, image, bin string) error {
	files, links, err := installed(tree, bin)
	if err != nil {
		return fmt.Errorf("what to install: %w", err)
	}
	return machine.WriteDisk(ctx, image, files, links)
}

// installed returns the files and links of install, by their paths in the guest.
func installed(tree, bin string) (files map[string]machine.File, links map[string]string, err error) {
	panel, err := panelConfig(filepath.Join(tree, "firmware-config/examples/one-door-pin.toml"))
	if err != nil {
		return nil, nil, err
	}
	credentials, err := centralCredentials(filepath.Join(tree, "systemd/drop-ins-central/credentials.conf"))
	if err != nil {
		return nil, nil, err
	}
	panelPassword, centralPassword := rand.Text(), rand.Text()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	secret := func(text string) machine.File { return machine.File{Data: []byte(text + "\n"), Mode: 0o600} }
	text := func(text string) machine.File { return machine.File{Data: []byte(text)} }
	files = map[string]machine.File{
		"/etc/postern/panel.toml":                                        text(panel),
		"/etc/postern/central.toml":                                      text(centralConfig),
		"/etc/postern/mqtt.password":                                     secret(panelPassword),
		"/etc/postern/secrets/central-mqtt-password":                     secret(centralPassword),
		"/etc/postern/secrets/central-secret-key":                        secret(hex.EncodeToString(key)),
		"/etc/systemd/system/postern-central.service.d/credentials.conf": text(credentials),
		"/etc/postern/broker.passwords":                                  secret("demo-002:" + panelPassword + "\ncentral:" + centralPassword),

		"/usr/lib/postern-systemtest/guest":                       {Path: filepath.Join(bin, "guest"), Mode: 0o755},
		"/usr/lib/systemd/system/postern-systemtest-chip.service": text(chipUnit),
		"/usr/lib/systemd/system/postern-systemtest.service":      text(testUnit),
		"/etc/hostname":             text("panel\n"),
		"/etc/machine-id":           text("5e9a61f3b1c84f0f9a3c5a0d4ce1b7aa\n"), // not the first boot of a machine without units
		"/var/log/journal/.postern": text(""),                                   // a folder there makes the journal outlive a boot
	}
	for _, p := range packages {
		files["/usr/lib/postern-systemtest/"+p+".deb"] = machine.File{Path: filepath.Join(bin, p+"_"+version+"_amd64.deb")}
	}
	const wants = "/etc/systemd/system/multi-user.target.wants/"
	links = map[string]string{}
	for _, u := range []string{"postern-systemtest-chip", "postern-systemtest"} {
		links[wants+u+".service"] = "/usr/lib/systemd/system/" + u + ".service"
	}
	// As a site does it that lets the daemon talk to the broker alone. The package
	// brings the file.
	links["/etc/systemd/system/posternd.service.d/network.conf"] = packaged + "network.conf"
	// Timers that would burn an emulated processor, and look for a network.
	for _, u := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "e2scrub_reap.service"} {
		links["/etc/systemd/system/"+u] = "/dev/null"
	}
	return files, links, nil
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

// centralCredentials is the shipped drop-in less the lines whose files this machine
// has not.
func centralCredentials(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	kept, members := "", 0
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "signing") || strings.Contains(line, ".pem:") {
			continue
		}
		kept += line
		if strings.Contains(line, "LoadCredential=") && !strings.HasPrefix(line, "#") {
			members++
		}
	}
	if members != 2 {
		return "", fmt.Errorf("%s: %d credentials are left, want secret key and password", file, members)
	}
	return kept, nil
}

// centralConfig names neither the key nor the password that come as credentials.
const centralConfig = `listen = "127.0.0.1:8080"
database = "/var/lib/postern-central/central.db"
secret_key_file = "/nowhere/secret.key"
[mqtt]
broker = "tcp://127.0.0.1:1883"
username = "central"
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
