package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postern/api"
	"postern/api/apitest"
)

// saved makes a panel's files and returns the examiner's machine with them.
func saved(t *testing.T) *sick {
	t.Helper()
	s := healthy(t)
	for name, text := range map[string]string{
		"mqtt.password": "correct horse\n", "data/device.key": strings.Repeat("k", 32), "data/keys.db": "the keys", "data/journal.db": "the journal",
		"data/last-good": "then", "data/keys.db.bad-0001-x": "damage", "data/keys.db.new": "half",
	} {
		s.file(name, text)
	}
	return s
}

func (s *sick) run(args ...string) (code int, said string) {
	s.t.Helper()
	var out bytes.Buffer
	code = execute(context.Background(), args, &out, &out)
	return code, out.String()
}

func (s *sick) pass(text string) string {
	s.file("pass", text+"\n")
	return s.path("pass")
}

func (s *sick) want(code int, contains string, args ...string) {
	s.t.Helper()
	got, said := s.run(args...)
	if got != code || !strings.Contains(said, contains) {
		s.t.Fatalf("postern %s: code %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, contains, said)
	}
}

func TestBackupAndRestore(t *testing.T) {
	s := saved(t)
	file, config := s.path("backup"), s.path("panel.toml")
	pass := s.pass("a long passphrase")
	s.want(exitDone, "panel demo-001", "backup", file, "--config", config, "--passphrase-file", pass)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the backup: %v, %v", info, err)
	}
	sealed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"demo-001", "the keys", "kkkkkkkk", "correct horse"} {
		if bytes.Contains(sealed, []byte(plain)) {
			t.Errorf("the backup has %q in clear", plain)
		}
	}
	file = s.path("quick") // the same, with a passphrase that is quick to check
	if _, err := (backup{config: config, store: true, work: 10}).save(t.Context(), file, "a long passphrase"); err != nil {
		t.Fatal(err)
	}
	was := map[string]string{}
	for _, name := range []string{"panel.toml", "mqtt.password", "data/device.key", "data/keys.db", "data/journal.db", "data/last-good"} {
		was[name] = string(source(t, s.path(name)))
	}

	s.want(exitFailed, "is there already", "restore", file, "--config", config, "--passphrase-file", pass)
	s.want(exitFailed, "not that of this backup", "restore", file, "--config", config, "--force", "--passphrase-file", s.pass("another passphrase"))
	s.want(exitUsage, "too short", "restore", file, "--config", config, "--passphrase-file", s.pass("short"))
	pass = s.pass("a long passphrase")

	for name := range was {
		if err := os.Remove(s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.want(exitDone, "6 files restored", "restore", file, "--config", config, "--passphrase-file", pass)
	for name, text := range was {
		if got := string(source(t, s.path(name))); got != text {
			t.Errorf("%s is %q after the restore, was %q", name, got, text)
		}
	}

	s.file("data/keys.db", "newer")
	s.file("panel.toml", s.panel("")+"# newer\n")
	s.want(exitDone, "6 files", "restore", file, "--config", config, "--force", "--passphrase-file", pass)
	if string(source(t, s.path("data/keys.db"))) != "the keys" || string(source(t, config)) != was["panel.toml"] {
		t.Error("--force did not replace what was there")
	}
	if left, _ := filepath.Glob(s.path("*/.restore-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBackupOfARunningDaemon takes the store from the daemon, not from its files.
func TestBackupOfARunningDaemon(t *testing.T) {
	s := saved(t)
	d := newDaemon(t)
	file, config, pass := s.path("live"), s.path("panel.toml"), s.pass("a long passphrase")
	s.file("data/keys.db", "half a change")
	s.want(exitDone, "panel demo-001, store true", "--socket", d.socket, "backup", file, "--config", config, "--passphrase-file", pass)
	s.want(exitDone, "6 files", "restore", file, "--config", config, "--force", "--passphrase-file", pass)
	for name, text := range apitest.Copied {
		if got := string(source(t, s.path("data/"+name))); got != text {
			t.Errorf("%s is %q after the restore, want the daemon's %q", name, got, text)
		}
	}

	d.BreakCopies(errors.New("the card is gone"))
	s.want(exitFailed, "copy of the store", "--socket", d.socket, "backup", s.path("cut"), "--config", config, "--passphrase-file", pass)
	d.BreakCopies(nil)
	d.Fail(api.ErrRefused)
	s.want(exitFailed, "refused", "--socket", d.socket, "backup", s.path("refused"), "--config", config, "--passphrase-file", pass)
	d.Fail(nil)
	d.Change(func(st *api.Status) { st.SystemID = "demo-002" })
	s.want(exitFailed, "is panel demo-002, and", "--socket", d.socket, "backup", s.path("other"), "--config", config, "--passphrase-file", pass)
	for _, name := range []string{"cut", "refused", "other"} {
		if left, _ := filepath.Glob(s.path(name + "*")); len(left) > 0 {
			t.Errorf("a backup that failed left %v", left)
		}
	}
	d.stop() // its socket stays away: the files themselves are taken
	s.file("data/keys.db", "at rest")
	s.want(exitDone, "store true", "--socket", d.socket, "backup", s.path("stopped"), "--config", config, "--passphrase-file", pass)
	s.want(exitDone, "6 files", "restore", s.path("stopped"), "--config", config, "--force", "--passphrase-file", pass)
	if got := string(source(t, s.path("data/keys.db"))); got != "at rest" {
		t.Errorf("keys.db is %q", got)
	}
}

// TestDamagedBackup cuts and changes a backup everywhere: nothing may be touched.
func TestDamagedBackup(t *testing.T) {
	s := saved(t)
	file, config, pass := s.path("backup"), s.path("panel.toml"), s.pass("a long passphrase")
	if _, err := (backup{config: config, store: true, work: 10}).save(t.Context(), file, "a long passphrase"); err != nil {
		t.Fatal(err)
	}
	whole := source(t, file)
	s.file("data/keys.db", "newer")
	for _, at := range []int{0, 10, 200, len(whole) / 2, len(whole) - 20} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x40
		for name, data := range map[string][]byte{"changed": damaged, "cut": whole[:at]} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if code, said := s.run("restore", file, "--config", config, "--force", "--passphrase-file", pass); code != exitFailed {
				t.Errorf("%s at %d: code %d: %s", name, at, code, said)
			}
			if string(source(t, s.path("data/keys.db"))) != "newer" {
				t.Fatalf("%s at %d: a damaged backup was restored", name, at)
			}
		}
	}
}

// TestHeldStore has the daemon's lock in the way of both.
func TestHeldStore(t *testing.T) {
	s := saved(t)
	const pass = "a long passphrase"
	b := backup{config: s.path("panel.toml"), store: true, work: 10}
	f, err := os.Open(s.path("data/keys.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "systemctl stop posternd") {
			t.Errorf("%s while the daemon runs: %v", what, err)
		}
	}
	_, err = b.save(t.Context(), s.path("b"), pass)
	refused("backup", err)
	b.store = false
	if m, err := b.save(t.Context(), s.path("b"), pass); err != nil || m.Store {
		t.Fatalf("backup without the store: %+v, %v", m, err)
	}
	_, _, err = restore{config: b.config, force: true}.run(s.path("b"), pass)
	refused("restore", err)
}

// TestPlace has names that a backup made by somebody else could have.
func TestPlace(t *testing.T) {
	r, m := restore{config: "/etc/postern/panel.toml"}, manifest{DataDir: "/nowhere/postern"}
	for name, ok := range map[string]bool{
		"config/panel.toml": true, "data/keys.db": true, "data/device.key": true, "files/etc/cert.pem": false, "files/nowhere/cert.pem": true,
		"data/../../etc/passwd": false, "data/": false, "data/.ssh": false, "data/a/b": false, "/etc/passwd": false, "files/etc/passwd": false, "other": false,
	} {
		_, err := r.place(&tar.Header{Typeflag: tar.TypeReg, Name: name}, m, []string{"/nowhere/cert.pem"})
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.place(&tar.Header{Typeflag: tar.TypeSymlink, Name: "data/keys.db"}, m, nil); err == nil {
		t.Error("a link was taken")
	}
}

func TestReadManifest(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `{"format":2,"data_dir":"/var/lib/postern"}`, `{"format":1,"data_dir":"x"}`, `{"format":1,"data_dir":"/a/../b"}`, `{"format":1,"data_dir":"/a","more":1}`,
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: manifestName, Size: int64(len(text)), Mode: 0o600}), second(io.WriteString(w, text)), w.Close()); err != nil {
			t.Fatal(err)
		}
		if m, err := readManifest(tar.NewReader(&b)); err == nil {
			t.Errorf("%s was taken as %+v", text, m)
		}
	}
}

func second(_ int, err error) error { return err }
