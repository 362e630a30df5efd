package debtest

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestLife takes the packages through install, upgrade, downgrade, remove and
// purge.
func TestLife(t *testing.T) {
	need(t)
	t.Parallel()
	dir := t.TempDir()
	first, next := filepath.Join(dir, "first"), filepath.Join(dir, "next")
	build(t, ".", first, older, runtime.GOARCH)
	build(t, ".", next, newer, runtime.GOARCH)
	r := newRoot(t)
	r.take(first, older)
	r.take(next, newer)
	r.install("postern", older)

	t.Run("installed", func(t *testing.T) {
		r.has("755", "/usr/bin/posternd", "/usr/bin/postern")
		r.has("644", "/etc/postern/panel.toml", "/usr/lib/systemd/system/posternd.service", "/usr/lib/sysusers.d/postern.conf",
			"/usr/lib/udev/rules.d/60-postern.rules", "/usr/share/man/man8/posternd.8.gz", "/usr/share/man/man1/postern.1.gz",
			"/usr/share/doc/postern/changelog.gz", "/usr/share/doc/postern/copyright", "/usr/share/doc/postern/install.md",
			"/usr/share/doc/postern/troubleshooting.md", "/usr/share/doc/postern/postern.cdx.json",
			"/usr/share/bash-completion/completions/postern", "/usr/share/zsh/vendor-completions/_posternd", "/usr/share/fish/vendor_completions.d/postern.fish",
			"/usr/share/postern/systemd/credentials.conf", "/usr/share/postern/systemd/network.conf")
		if got := r.in("dpkg-query", "--show", "--showformat", "${Conffiles}", "postern"); len(strings.Fields(got)) != 2 || !strings.HasPrefix(strings.TrimSpace(got), "/etc/postern/panel.toml ") {
			t.Errorf("conffiles %q, want panel.toml alone", got)
		}
		if got := r.in("id", "-nG", "posternd"); got != "posternd gpio" {
			t.Errorf("posternd is in the groups %s", got)
		}
		if got := r.in("getent", "passwd", "posternd"); !strings.HasSuffix(got, ":/var/lib/postern:/usr/sbin/nologin") {
			t.Errorf("the user is %s", got)
		}
		if r.exists("/etc/systemd/system/multi-user.target.wants/posternd.service") {
			t.Error("the unit is enabled before anybody has filled in panel.toml")
		}
		if got := r.in("posternd", "--version"); !strings.Contains(got, older) {
			t.Errorf("posternd --version: %s", got)
		}
	})
	t.Run("the shipped configuration says what to fill in", func(t *testing.T) {
		out, err := r.try("posternd", "check")
		if err == nil || strings.Count(out, "panel.toml:") != 2 || !strings.Contains(out, "panel.system_id") || !strings.Contains(out, "mqtt.broker") {
			t.Errorf("posternd check of the shipped panel.toml: %v\n%s", err, out)
		}
		for _, example := range []string{"one-door-rex", "one-door-pin", "two-doors"} {
			r.in("posternd", "check", "--config", "/usr/share/postern/firmware-config/examples/"+example+".toml")
		}
	})

	r.write("/etc/postern/panel.toml", simulated)
	r.in("install", "-d", "-o", "posternd", "-g", "posternd", "-m", "700", "/var/lib/postern", "/run/postern")
	r.daemon(t)
	r.in("systemctl", "enable", "posternd.service")

	t.Run("upgrade", func(t *testing.T) {
		r.install("postern", newer)
		if got := r.in("posternd", "--version"); !strings.Contains(got, newer) {
			t.Errorf("after the upgrade posternd is %s", got)
		}
		if got := r.read("/etc/postern/panel.toml"); got != simulated {
			t.Errorf("the upgrade changed panel.toml to:\n%s", got)
		}
		if !r.exists("/etc/systemd/system/multi-user.target.wants/posternd.service") {
			t.Error("the upgrade disabled the unit")
		}
		r.daemon(t)
	})
	t.Run("downgrade onto a newer store", func(t *testing.T) {
		makeNewer(t, r.path("/var/lib/postern/keys.db"))
		const sums = "cd /var/lib/postern; sha256sum *"
		was := r.in("sh", "-c", sums)
		r.install("postern", older)
		r.refused(t)
		if now := r.in("sh", "-c", sums); now != was {
			t.Errorf("the data were\n%s\nand are\n%s", was, now)
		}
		r.install("postern", newer)
		if now := r.in("sh", "-c", sums); now != was {
			t.Errorf("with the newer version back the data were\n%s\nand are\n%s", was, now)
		}
	})
	t.Run("remove", func(t *testing.T) {
		r.in("dpkg", "--remove", "postern")
		if r.exists("/usr/bin/posternd") {
			t.Error("the program is still there")
		}
		if r.read("/etc/postern/panel.toml") != simulated || !r.exists("/var/lib/postern/device.key") {
			t.Error("removing took configuration or data away")
		}
		r.install("postern", older)
		if r.read("/etc/postern/panel.toml") != simulated {
			t.Error("installing again changed panel.toml")
		}
	})
	t.Run("purge", func(t *testing.T) {
		r.write("/etc/postern/mqtt.password", "not the package's\n")
		r.in("dpkg", "--purge", "postern")
		for _, gone := range []string{"/var/lib/postern", "/etc/postern/panel.toml", "/etc/systemd/system/multi-user.target.wants/posternd.service"} {
			if r.exists(gone) {
				t.Errorf("%s is still there", gone)
			}
		}
		if !r.exists("/etc/postern/mqtt.password") {
			t.Error("purge took a file that is not the package's")
		}
	})
	t.Run("central", func(t *testing.T) {
		r.install("postern-central", older)
		r.has("755", "/usr/bin/postern-central")
		r.has("644", "/etc/postern/central.toml", "/usr/lib/systemd/system/postern-central.service", "/usr/lib/sysusers.d/postern-central.conf",
			"/usr/share/man/man8/postern-central.8.gz", "/usr/share/doc/postern-central/changelog.gz", "/usr/share/doc/postern-central/postern-central.cdx.json",
			"/usr/share/bash-completion/completions/postern-central", "/usr/share/postern-central/systemd/credentials.conf")
		if out, err := r.try("postern-central", "serve", "--config", "/etc/postern/central.toml"); err == nil || !strings.Contains(out, "mqtt.broker") {
			t.Errorf("central with the shipped configuration: %v\n%s", err, out)
		}
		if got := r.in("id", "-nG", "postern-central"); got != "postern-central" {
			t.Errorf("postern-central is in the groups %s", got)
		}
		r.install("postern-central", newer)
		r.in("install", "-d", "-o", "postern-central", "/var/lib/postern-central")
		r.in("dpkg", "--remove", "postern-central")
		if !r.exists("/var/lib/postern-central") || !r.exists("/etc/postern/central.toml") {
			t.Error("removing took configuration or data away")
		}
		r.in("dpkg", "--purge", "postern-central")
		if r.exists("/var/lib/postern-central") || r.exists("/etc/postern/central.toml") {
			t.Error("purge left configuration or data")
		}
	})
}

const simulated = `[panel]
system_id = "deb-001"
[mqtt]
broker = "tcp://127.0.0.1:9"
[board]
driver = "simulated"
[[reader]]
id = "front"
technology = "EM"
formats = ["raw40"]
[[door]]
id = "front"
lock = "strike"
on_panel_dead = "locked"
[[access_point]]
id = "front"
door = "front"
reader = "front"
mode = "card"
`

// daemon runs the daemon as its user until its store is open.
func (r *root) daemon(t *testing.T) {
	t.Helper()
	if out, err := r.until("postern keys list"); err != nil {
		t.Fatalf("the daemon: %v\n%s", err, out)
	}
}

// refused runs the daemon until it says that the store is a later version's, which
// one, and which file.
func (r *root) refused(t *testing.T) {
	t.Helper()
	out, err := r.until("postern doctor | grep -q store-newer")
	if err != nil {
		t.Fatalf("the daemon: %v\n%s", err, out)
	}
	for _, part := range []string{"/var/lib/postern/keys.db: ", "format 99, this program knows up to 2", "Install posternd " + newer + " again"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in what it says:\n%s", part, out)
		}
	}
}

// until runs the daemon as its user until a command succeeds, and returns what
// doctor and the daemon said.
func (r *root) until(command string) (string, error) {
	r.t.Helper()
	return r.try("sh", "-c", `
		runuser -u posternd -- posternd run >/tmp/said 2>&1 & pid=$!
		came=false
		for i in $(seq 300); do
			if `+command+` >/dev/null 2>&1; then came=true; break; fi
			kill -0 $pid 2>/dev/null || break
			sleep 0.1
		done
		postern doctor; kill $pid; wait $pid; cat /tmp/said; $came`)
}

// makeNewer writes a store's state as a later program would that has changed its
// form: all that is known of that is the version, the record's first byte. The file
// is opened as the daemon opens it.
func makeNewer(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("meta"))
		value := append([]byte{}, b.Get([]byte("state"))...)
		value = value[:len(value)-4]
		value[0] = 99
		sum := crc32.Checksum(append([]byte("mstate"), value...), crc32.MakeTable(crc32.Castagnoli))
		return b.Put([]byte("state"), binary.BigEndian.AppendUint32(value, sum))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// has checks that files are there with these permissions, and root's.
func (r *root) has(mode string, paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		if got, err := r.try("stat", "-c", "%a %U %G", path); err != nil || got != mode+" root root" {
			r.t.Errorf("%s is %s, want %s root root", path, got, mode)
		}
	}
}

func (r *root) take(dir, version string) {
	r.t.Helper()
	for _, name := range []string{"postern", "postern-central"} {
		file := name + "_" + version + "_" + runtime.GOARCH + ".deb"
		if err := os.WriteFile(filepath.Join(r.dir, "tmp", file), read(r.t, filepath.Join(dir, file)), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *root) install(name, version string) {
	r.t.Helper()
	r.in("dpkg", "--force-confold", "--install", "/tmp/"+name+"_"+version+"_"+runtime.GOARCH+".deb")
}
