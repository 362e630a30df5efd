package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Kernel is a Debian kernel in the cache, with what the guests need beside it.
type Kernel struct {
	// Arch is Debian's name of the architecture, "arm64" or "amd64".
	Arch string
	// Version is the kernel's release, such as "6.1.0-42-arm64", the name of the
	// directory of its modules.
	Version string
	// Image is the path of what QEMU boots.
	Image string
	// Modules is the path of lib/modules/<Version>.
	Modules string
	// GPIOSim is the path of gpio-sim.ko, built here: no Debian kernel has it. Its
	// parameter keep_levels, off at first, has released lines keep their level.
	GPIOSim string
}

// recipe changes when what is put into the cache does, so that older caches are
// built anew.
const recipe = 2

// stamp is the last file that is written into a kernel's folder.
type stamp struct {
	Recipe  int
	Version string
}

// Cache returns the directory for downloads and what is built from them, made
// if need be: $POSTERN_CACHE, or postern/systemtest in the user's cache.
func Cache() (string, error) {
	dir := os.Getenv("POSTERN_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache: %w (set POSTERN_CACHE)", err)
		}
		dir = filepath.Join(base, "postern", "systemtest")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	return filepath.Abs(dir)
}

// FetchKernel returns the kernel of an architecture, from the cache if it is
// there, however old. Otherwise it takes the newest of Debian 12 with its headers
// and the source of gpio-sim, which needs the network, and builds that. Steps and
// their times go to progress. A tool that is not installed is a *MissingError.
func FetchKernel(ctx context.Context, arch string, progress io.Writer) (Kernel, error) {
	cache, err := Cache()
	if err != nil {
		return Kernel{}, err
	}
	unlock, err := lock(filepath.Join(cache, "kernel-"+arch+".lock"))
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, "kernel-"+arch)
	if k, ok := cachedKernel(dir, arch); ok {
		return k, nil
	}
	if err := buildKernel(ctx, cache, dir, arch, progress); err != nil {
		return Kernel{}, fmt.Errorf("fetch the %s kernel: %w", arch, err)
	}
	k, ok := cachedKernel(dir, arch)
	if !ok {
		return Kernel{}, fmt.Errorf("fetch the %s kernel: it is not whole in %s; remove that and try again", arch, dir)
	}
	return k, nil
}

// cachedKernel is the kernel in a folder, if it is whole.
func cachedKernel(dir, arch string) (Kernel, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "stamp.json"))
	if err != nil {
		return Kernel{}, false
	}
	var s stamp
	if json.Unmarshal(raw, &s) != nil || s.Recipe != recipe {
		return Kernel{}, false
	}
	k := Kernel{
		Arch:    arch,
		Version: s.Version,
		Image:   filepath.Join(dir, "vmlinuz"),
		Modules: filepath.Join(dir, "lib/modules", s.Version),
		GPIOSim: filepath.Join(dir, "gpio-sim.ko"),
	}
	for _, path := range []string{k.Image, k.Modules, k.GPIOSim} {
		if _, err := os.Stat(path); err != nil {
			return Kernel{}, false
		}
	}
	return k, true
}

// buildKernel makes a kernel's folder, whole or not at all.
func buildKernel(ctx context.Context, cache, dir, arch string, progress io.Writer) error {
	if err := needTools(arch); err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, "build-"+arch+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	a, err := newApt(ctx, work, arch, progress)
	if err != nil {
		return err
	}
	version, err := a.unpackKernel(ctx, progress)
	if err != nil {
		return err
	}
	made := filepath.Join(work, "made")
	if err := os.MkdirAll(filepath.Join(made, "lib"), 0o755); err != nil {
		return err
	}
	if err := a.buildGPIOSim(ctx, version, filepath.Join(made, "gpio-sim.ko"), progress); err != nil {
		return err
	}
	raw, err := json.Marshal(stamp{Recipe: recipe, Version: version})
	if err != nil {
		return err
	}
	return errors.Join(
		os.Rename(filepath.Join(a.root, "boot", "vmlinuz-"+version), filepath.Join(made, "vmlinuz")),
		os.Rename(filepath.Join(a.root, "lib", "modules"), filepath.Join(made, "lib", "modules")),
		os.WriteFile(filepath.Join(made, "stamp.json"), raw, 0o644),
		os.RemoveAll(dir),
		os.Rename(made, dir),
	)
}

// lock keeps a second program from building the same.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
