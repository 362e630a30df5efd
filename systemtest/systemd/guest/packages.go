//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// path is where programs are; the kernel gives init none.
const path = "/usr/sbin:/usr/bin:/sbin:/bin"

// debs are the packages that the host has put on the disk.
const debs = "/usr/lib/postern-systemtest/*.deb"

// errInstall marks a package that does not install, which no second try of the
// machine would mend.
var errInstall = errors.New("install")

// installPackages installs the packages that lie on the disk, as an image maker
// does: before systemd runs, around a configuration that is there already, and
// the panel's unit enabled. It removes them, so that later boots find none.
func installPackages() error {
	files, err := filepath.Glob(debs)
	if err != nil || len(files) == 0 {
		return err
	}
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	for _, args := range [][]string{
		append([]string{"dpkg", "--force-confold", "--install"}, files...),
		{"systemctl", "enable", service},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = []string{"PATH=" + path, "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root"}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s: %w: %s", errInstall, args[0], err, out)
		}
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	unix.Sync()
	return nil
}

// tellInstall tells the host of packages that don't install.
func tellInstall(err error) {
	if !errors.Is(err, errInstall) {
		return
	}
	if out, e := openTestLine(); e == nil {
		(&bench{out: out}).say("FATAL", err.Error())
	}
}

// packaged looks at whether what runs is what the packages brought.
func (b *bench) packaged() error {
	status, err := command("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev} ${Version}\n", "postern", "postern-central")
	if err != nil {
		return err
	}
	fragment, err := command("systemctl", "show", "--value", "-p", "FragmentPath", service)
	if err != nil {
		return err
	}
	owner, err := command("dpkg", "--search", "/usr/lib/systemd/system/"+service, "/usr/bin/posternd")
	if err != nil {
		return err
	}
	installed := strings.Count(status, " ii ") == 2
	owned := strings.Count(owner, "postern: ") == 2 && strings.HasSuffix(strings.TrimSpace(fragment), "/lib/systemd/system/"+service)
	b.row(installed && owned, "programs and units are those of the packages", strings.Join(strings.Fields(status), " "), strings.TrimSpace(fragment))
	return nil
}
