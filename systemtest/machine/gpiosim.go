package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// simSources are what gpio-sim.ko is made of. irq_sim is compiled in, since
// Debian's kernels lack it too.
var simSources = []string{"drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c"}

// buildGPIOSim builds the kernel's simulated GPIO chip as a module against the
// unpacked headers.
func (a *apt) buildGPIOSim(ctx context.Context, release, into string, progress io.Writer) error {
	dir := filepath.Join(a.work, "gpio-sim")
	err := Step(progress, "unpack the source of gpio-sim", func() error { return a.simSource(ctx, dir) })
	if err != nil {
		return err
	}
	return Step(progress, "build gpio-sim", func() error {
		headers := filepath.Join(a.root, "usr/src", "linux-headers-"+release)
		if err := relocate(headers, a.root); err != nil {
			return err
		}
		args := []string{"-C", headers, "M=" + dir, "ARCH=" + map[string]string{"amd64": "x86", "arm64": "arm64"}[a.arch]}
		if crosses(a.arch) {
			args = append(
				args, "DEB_HOST_ARCH="+a.arch, "DEB_BUILD_ARCH="+runtime.GOARCH,
				"DEB_HOST_GNU_TYPE="+triplets[a.arch], "CROSS_COMPILE="+triplets[a.arch]+"-",
			)
		}
		if _, err := run(ctx, dir, "make", append(args, "modules")...); err != nil {
			return err
		}
		return os.Rename(filepath.Join(dir, "gpio-sim.ko"), into)
	})
}

// simSource puts the module's source and its Kbuild into dir.
func (a *apt) simSource(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"-xJf", filepath.Join(a.root, "usr/src/linux-source-6.1.tar.xz"), "-C", a.work, "--occurrence=1"}
	for _, name := range simSources {
		args = append(args, "linux-source-6.1/"+name)
	}
	if _, err := run(ctx, a.work, "tar", args...); err != nil {
		return err
	}
	files := map[string][]byte{"Kbuild": []byte("obj-m := gpio-sim.o\ngpio-sim-y := gpio-sim-core.o irq_sim.o\n")}
	for _, name := range simSources {
		raw, err := os.ReadFile(filepath.Join(a.work, "linux-source-6.1", name))
		if err != nil {
			return err
		}
		switch base := filepath.Base(name); base {
		case "gpio-sim.c":
			files["gpio-sim-core.c"], err = patchGPIOSim(raw)
		case "irq_sim.c":
			files[base], err = patchIRQSim(raw)
		default:
			files[base] = raw
		}
		if err != nil {
			return err
		}
	}
	for name, raw := range files {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// patchGPIOSim gives gpio-sim the parameter keep_levels. Without it a line that
// nobody holds any more goes to its pull at once, as on a Raspberry Pi with strict
// release; with it the line keeps its last level, as on one without.
func patchGPIOSim(src []byte) ([]byte, error) {
	const free = "__assign_bit(offset, chip->value_map, !!test_bit(offset, chip->pull_map));"
	const head = "static void gpio_sim_free("
	if bytes.Count(src, []byte(free)) != 1 || bytes.Count(src, []byte(head)) != 1 {
		return nil, errors.New("gpio-sim.c releases lines in another way: the kernel's source has changed")
	}
	src = bytes.Replace(src, []byte(free), []byte("if (!keep_levels)\n\t\t"+free), 1)
	return bytes.Replace(src, []byte(head), []byte("static bool keep_levels;\nmodule_param(keep_levels, bool, 0644);\n\n"+head), 1), nil
}

// exports are the symbols that irq_sim would offer to other modules.
var exports = regexp.MustCompile(`(?m)^EXPORT_SYMBOL.*$`)

// patchIRQSim makes irq_sim.c fit a module: irq_to_desc is not exported to one,
// while generic_handle_irq_safe does the same from the number.
func patchIRQSim(src []byte) ([]byte, error) {
	const call, instead = "handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq_safe(irqnum)"
	if bytes.Count(src, []byte(call)) != 1 {
		return nil, fmt.Errorf("irq_sim.c has no %s: the kernel's source has changed", call)
	}
	return exports.ReplaceAll(bytes.Replace(src, []byte(call), []byte(instead), 1), nil), nil
}

// relocate makes the headers' makefile, which names the place where the package
// would be installed, find the others where they were unpacked.
func relocate(headers, root string) error {
	path := filepath.Join(headers, "Makefile")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	raw = bytes.ReplaceAll(raw, []byte(" /usr/src/"), []byte(" "+root+"/usr/src/"))
	return os.WriteFile(path, raw, 0o644)
}
