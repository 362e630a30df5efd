package machine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// apt fetches packages of Debian 12 with lists and a state of its own, so that
// it needs no root and leaves the machine's as they are.
type apt struct {
	arch string
	// work has everything, root what packages are unpacked to.
	work, root, config string
}

// mirror has Debian's archive in /debian and /debian-security.
func mirror() string {
	if m := os.Getenv("POSTERN_DEBIAN_MIRROR"); m != "" {
		return strings.TrimSuffix(m, "/")
	}
	return "http://deb.debian.org"
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// newApt gets the lists of packages. The security archive is among them: image
// and headers must be of the same build, and either archive may have the newer.
func newApt(ctx context.Context, work, arch string, progress io.Writer) (*apt, error) {
	if _, err := os.Stat(keyring); err != nil {
		return nil, &MissingError{Tool: keyring, Package: "debian-archive-keyring"}
	}
	a := &apt{arch: arch, work: work, root: filepath.Join(work, "root"), config: filepath.Join(work, "apt.conf")}
	for _, dir := range []string{"root", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf(`APT::Architecture "%s";
#clear APT::Architectures;
APT::Architectures { "%s"; "%s"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "%s";
Dir::State::status "%s";
Dir::Cache "%s";
Dir::Etc::sourcelist "%s";
Dir::Etc::sourceparts "/dev/null";
`, runtime.GOARCH, runtime.GOARCH, arch, filepath.Join(work, "state"), filepath.Join(work, "status"), filepath.Join(work, "cache"), filepath.Join(work, "sources.list"))
	sources := ""
	for _, suite := range []string{"debian bookworm", "debian bookworm-updates", "debian-security bookworm-security"} {
		sources += fmt.Sprintf("deb [signed-by=%s] %s/%s main\n", keyring, mirror(), suite)
	}
	for path, text := range map[string]string{a.config: config, filepath.Join(work, "status"): "", filepath.Join(work, "sources.list"): sources} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return a, Step(progress, "lists of packages", func() error {
		_, err := run(ctx, work, "apt-get", "-c", a.config, "-qq", "update")
		return err
	})
}

// field returns a field of the newest version of a package.
func (a *apt) field(ctx context.Context, pkg, name string) (string, error) {
	out, err := run(ctx, a.work, "apt-cache", "-c", a.config, "--no-all-versions", "show", pkg)
	if err != nil {
		return "", err
	}
	return controlField(out, name)
}

// controlField is a field's value in what apt-cache shows.
func controlField(text, name string) (string, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("the package has no field %s", name)
}

// imageOf is the first image that a metapackage such as linux-image-arm64
// depends on.
func imageOf(depends string) (string, error) {
	for dep := range strings.SplitSeq(depends, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(dep), " "); strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("no kernel image in %q", depends)
}

// unpackKernel downloads and unpacks image, headers and what building a module
// takes, all of one version, and the source of gpio-sim. It returns the kernel's
// release.
func (a *apt) unpackKernel(ctx context.Context, progress io.Writer) (release string, err error) {
	depends, err := a.field(ctx, "linux-image-"+a.arch+":"+a.arch, "Depends")
	if err != nil {
		return "", err
	}
	image, err := imageOf(depends)
	if err != nil {
		return "", err
	}
	release = strings.TrimPrefix(image, "linux-image-")
	version, err := a.field(ctx, image+":"+a.arch, "Version")
	if err != nil {
		return "", err
	}
	common := "linux-headers-" + strings.TrimSuffix(release, a.arch) + "common"
	for _, pkg := range []string{
		image + ":" + a.arch, "linux-headers-" + release + ":" + a.arch, common, "linux-kbuild-6.1", "linux-source-6.1",
	} {
		if err := Step(progress, fmt.Sprintf("download %s %s", pkg, version), func() error { return a.unpack(ctx, pkg, version) }); err != nil {
			return "", err
		}
	}
	return release, nil
}

// unpack downloads a package and unpacks it into the root.
func (a *apt) unpack(ctx context.Context, pkg, version string) error {
	dir, err := os.MkdirTemp(a.work, "deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := run(ctx, dir, "apt-get", "-c", a.config, "-qq", "download", pkg+"="+version); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("want one package, got %d", len(debs))
	}
	_, err = run(ctx, dir, "dpkg-deb", "-x", debs[0], a.root)
	return err
}
