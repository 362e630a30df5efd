package systemd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"postern/systemtest/machine"
)

const (
	suite = "bookworm"
	// rootSize is the size of the disk in MiB. The file is sparse.
	rootSize = 768
	// rootRecipe names what the image is made of: one that was made otherwise is
	// made anew.
	rootRecipe = suite + "-2"
)

// keyring is what mmdebstrap checks the packages' signatures with.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// missing returns a *machine.MissingError for the first tool that is not there.
func missing() error {
	if _, err := os.Stat(keyring); err != nil {
		return &machine.MissingError{Tool: keyring, Package: "debian-archive-keyring"}
	}
	tools := append(machine.DiskTools(),
		[2]string{"go", "golang"}, [2]string{"qemu-system-x86_64", "qemu-system-x86"},
		[2]string{"mmdebstrap", "mmdebstrap"}, [2]string{"tar", "tar"})
	if os.Geteuid() != 0 {
		tools = append(tools, [2]string{"unshare", "util-linux"}, [2]string{"newuidmap", "uidmap"})
	}
	return machine.Need(tools...)
}

// fetchRoot returns the image of a minimal Debian, from the cache or made now.
func fetchRoot(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := machine.Cache()
	if err != nil {
		return "", err
	}
	image := filepath.Join(cache, "root-"+rootRecipe+".img")
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	scratch, err := os.MkdirTemp(cache, "root-")
	if err != nil {
		return "", err
	}
	defer removeRoot(scratch)
	tarball, made := filepath.Join(scratch, "root.tar"), filepath.Join(scratch, "root.img")
	if err := step(progress, "fetch a Debian root (mmdebstrap)", func() error { return debootstrap(ctx, tarball) }); err != nil {
		return "", err
	}
	err = step(progress, "make its disk", func() error {
		// One program unpacks and reads the files, so that it needs to be root,
		// or what looks like root, only within.
		return asRoot(ctx, "sh", "-ec",
			`mkdir "$1/root"; tar -xpf "$2" -C "$1/root" --exclude='./dev/*' --numeric-owner
			exec mke2fs -q -F -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d "$1/root" "$3" "$4M"`,
			"sh", scratch, tarball, made, fmt.Sprint(rootSize))
	})
	if err != nil {
		return "", err
	}
	if err := os.Rename(made, image); err != nil {
		return "", err
	}
	return image, nil
}

// debootstrap fetches the packages; their signatures are checked.
func debootstrap(ctx context.Context, tarball string) error {
	mirror := os.Getenv("POSTERN_DEBIAN_MIRROR")
	if mirror == "" {
		mirror = "http://deb.debian.org"
	}
	mirror = strings.TrimSuffix(mirror, "/")
	args := []string{
		"--quiet", "--variant=minbase", "--architectures=amd64", "--include=systemd,systemd-sysv,udev",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		suite, tarball,
		fmt.Sprintf("deb %s/debian %s main", mirror, suite),
		fmt.Sprintf("deb %s/debian-security %s-security main", mirror, suite),
	}
	if out, err := exec.CommandContext(ctx, "mmdebstrap", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// asRoot runs a program as root, or as root of a user namespace.
func asRoot(ctx context.Context, name string, args ...string) error {
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user", "--map-auto", name}, args...)
		name = "unshare"
	}
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// removeRoot removes a folder whose files may belong to other users.
func removeRoot(dir string) {
	if os.RemoveAll(dir) != nil {
		_ = asRoot(context.Background(), "rm", "-rf", dir)
	}
}
