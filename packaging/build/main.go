// Command build makes the Debian packages of a panel and of the central server.
//
//	go run ./packaging/build [-arch amd64,arm64,armhf] [-package postern] [-out dist/deb]
//
// For each architecture it builds the programs, and packs them with their units,
// configuration, man pages, shell completions and documents (postern.yaml and
// postern-central.yaml beside this folder). Beside each package lies its software
// bill of materials, and SHA256SUMS has all of them. Man pages and completions are
// what the programs themselves say, so that they can't drift from them.
//
// The same commit gives the same bytes: nothing but the commit's time goes in
// (SOURCE_DATE_EPOCH overrides it), and no path of this machine.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// target is an architecture of Debian, as Go builds for it. armhf is built for
// ARMv6, since Raspberry Pi OS runs it on a Pi Zero too.
type target struct {
	deb string
	env []string
}

func targets() []target {
	return []target{
		{"amd64", []string{"GOARCH=amd64"}},
		{"arm64", []string{"GOARCH=arm64"}},
		{"armhf", []string{"GOARCH=arm", "GOARM=6"}},
	}
}

// pkg is a package and the programs in it.
type pkg struct {
	name     string
	programs []string
}

func packages() []pkg {
	return []pkg{
		{"postern", []string{"posternd", "postern"}},
		{"postern-central", []string{"postern-central"}},
	}
}

func main() {
	arches := flag.String("arch", "amd64,arm64,armhf", "Debian `architectures`")
	out := flag.String("out", "dist/deb", "`folder` for the packages")
	version := flag.String("version", "", "Debian `version`; default from the last tag or the commit")
	only := flag.String("package", "postern,postern-central", "`packages` to make")
	compression := flag.String("compression", "xz", "xz, zstd, gzip or none; what is not xz is for tests, where time counts")
	cache := flag.String("cache", "", "`folder` for what is compiled on the way to the programs, in place of Go's own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &builder{version: *version, compression: *compression, cache: *cache, bins: map[string]string{}}
	if err := b.run(ctx, strings.Split(*arches, ","), strings.Split(*only, ","), *out); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func (b *builder) run(ctx context.Context, arches, only []string, out string) error {
	for _, name := range only {
		i := slices.IndexFunc(packages(), func(p pkg) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("there is no package %q (want some of postern, postern-central)", name)
		}
		b.packages = append(b.packages, packages()[i])
	}
	if err := b.begin(ctx, out); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	var wanted []target
	for _, arch := range arches {
		i := slices.IndexFunc(targets(), func(t target) bool { return t.deb == arch })
		if i < 0 {
			return fmt.Errorf("there is no architecture %q (want some of amd64, arm64, armhf)", arch)
		}
		wanted = append(wanted, targets()[i])
	}
	if err := b.host(ctx); err != nil {
		return err
	}
	var made []string
	for _, t := range wanted {
		files, err := b.target(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.deb, err)
		}
		made = append(made, files...)
	}
	return b.sums(made)
}

// builder is one run of the program.
type builder struct {
	version     string // "" until begin has asked git
	compression string
	cache       string // "" for Go's own
	packages    []pkg

	tree       string // the project's folder
	out        string
	work       string // scratch
	epoch      time.Time
	maintainer string
	bins       map[string]string // folders of the programs by architecture
}

// begin finds out what goes into the packages, and makes the folders.
func (b *builder) begin(ctx context.Context, out string) error {
	mod, err := command(ctx, "", nil, "go", "env", "GOMOD")
	if err != nil {
		return err
	}
	b.tree, b.maintainer = filepath.Dir(strings.TrimSpace(mod)), cmp.Or(os.Getenv("DEB_MAINTAINER"), maintainer)
	if b.epoch, err = b.commitTime(ctx); err != nil {
		return err
	}
	if b.version == "" {
		if b.version, err = b.describe(ctx); err != nil {
			return err
		}
	}
	if b.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	b.work, err = os.MkdirTemp("", "postern-deb-")
	return err
}

// host builds the programs for this machine, which tell what they can do.
func (b *builder) host(ctx context.Context) error {
	here := target{deb: "host"}
	if i := slices.IndexFunc(targets(), func(t target) bool { return t.deb == runtime.GOARCH }); i >= 0 && runtime.GOOS == "linux" {
		here = targets()[i]
	}
	bin, err := b.programs(ctx, here)
	if err != nil {
		return err
	}
	for _, p := range b.packages {
		if err := b.stage(ctx, p, bin); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// programs gives the folder with an architecture's programs, built once.
func (b *builder) programs(ctx context.Context, t target) (string, error) {
	if bin, built := b.bins[t.deb]; built {
		return bin, nil
	}
	var names []string
	for _, p := range b.packages {
		names = append(names, p.programs...)
	}
	env := t.env
	if env != nil {
		env = append([]string{"GOOS=linux"}, env...)
	}
	bin := filepath.Join(b.work, t.deb)
	b.bins[t.deb] = bin
	return bin, b.goBuild(ctx, env, bin, names)
}

// goBuild builds programs as `make build` does.
func (b *builder) goBuild(ctx context.Context, env []string, into string, programs []string) error {
	if b.cache != "" {
		env = append([]string{"GOCACHE=" + b.cache}, env...)
	}
	ldflags := "-s -w -buildid= -X main.version=" + b.version + " -X main.builtAt=" + b.epoch.Format(time.RFC3339)
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", into + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "./cmd/"+p)
	}
	_, err := command(ctx, b.tree, append([]string{"CGO_ENABLED=0"}, env...), "go", args...)
	return err
}

// target makes the packages of one architecture and returns what it made.
func (b *builder) target(ctx context.Context, t target) ([]string, error) {
	var made []string
	bin, err := b.programs(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, p := range b.packages {
		base := fmt.Sprintf("%s_%s_%s", p.name, b.version, t.deb)
		sbom, err := b.bill(p, t.deb, bin)
		if err != nil {
			return nil, fmt.Errorf("bill of materials: %w", err)
		}
		bill := filepath.Join(b.out, base+".cdx.json")
		inside := filepath.Join(b.work, "stage", p.name, "usr/share/doc", p.name, p.name+".cdx.json")
		if err := errors.Join(os.WriteFile(bill, sbom, 0o644), os.WriteFile(inside, sbom, 0o644)); err != nil {
			return nil, err
		}
		deb := filepath.Join(b.out, base+".deb")
		if err := b.pack(ctx, p, t, bin, deb); err != nil {
			return nil, err
		}
		fmt.Println(deb)
		made = append(made, deb, bill)
	}
	return made, nil
}

// pack runs nfpm, which says what is wrong on its standard output.
func (b *builder) pack(ctx context.Context, p pkg, t target, bin, deb string) error {
	packaging := filepath.Join(b.tree, "packaging")
	recipe := filepath.Join(b.work, p.name+".yaml")
	text, err := os.ReadFile(filepath.Join(packaging, p.name+".yaml"))
	if err != nil {
		return err
	}
	const shipped = "compression: xz\n"
	if !strings.Contains(string(text), shipped) {
		return fmt.Errorf("%s.yaml: the compression is not where it was", p.name)
	}
	text = []byte(strings.Replace(string(text), shipped, "compression: "+b.compression+"\n", 1))
	if err := os.WriteFile(recipe, text, 0o644); err != nil {
		return err
	}
	env := []string{
		"DEB_ARCH=" + t.deb, "DEB_VERSION=" + b.version, "DEB_MAINTAINER=" + b.maintainer,
		"BIN=" + bin, "TREE=" + b.tree, "PACKAGING=" + packaging,
		"STAGE=" + filepath.Join(b.work, "stage"), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.epoch.Unix()),
	}
	_, err = command(ctx, b.tree, env, "go", "tool", "-modfile="+filepath.Join(packaging, "tools.mod"), "nfpm", "package",
		"-f", recipe, "-p", "deb", "-t", deb)
	return err
}

// command runs a program in a folder and returns its standard output; an error
// has what it said.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(out.String()+"\n"+errs.String()))
	}
	return out.String(), nil
}
