package machine

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPackageFields(t *testing.T) {
	const shown = "Package: linux-image-arm64\nVersion: 6.1.9-1\nDepends: foo (>= 1), linux-image-6.1.0-9-arm64 (= 6.1.9-1)\n"
	depends, err := controlField(shown, "Depends")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := imageOf(depends); err != nil || got != "linux-image-6.1.0-9-arm64" {
		t.Errorf("image %q, %v", got, err)
	}
	if got, err := controlField(shown, "Source"); err == nil {
		t.Errorf("a field that is not there: %q", got)
	}
	if got, err := imageOf("foo, bar (= 1)"); err == nil {
		t.Errorf("no image: %q", got)
	}
}

func TestPatches(t *testing.T) {
	const irq = "\thandle_simple_irq(irq_to_desc(irqnum));\n}\nEXPORT_SYMBOL_GPL(irq_domain_create_sim);\n"
	got, err := patchIRQSim([]byte(irq))
	if err != nil || string(got) != "\tgeneric_handle_irq_safe(irqnum);\n}\n\n" {
		t.Errorf("irq_sim: %q, %v", got, err)
	}
	const sim = "static void gpio_sim_free(struct gpio_chip *gc)\n{\n\t__assign_bit(offset, chip->value_map, !!test_bit(offset, chip->pull_map));\n}\n"
	got, err = patchGPIOSim([]byte(sim))
	if err != nil || !strings.Contains(string(got), "module_param(keep_levels") || !strings.Contains(string(got), "if (!keep_levels)\n\t\t__assign_bit") {
		t.Errorf("gpio-sim: %q, %v", got, err)
	}
	for name, patch := range map[string]func([]byte) ([]byte, error){"irq_sim": patchIRQSim, "gpio-sim": patchGPIOSim} {
		if got, err := patch([]byte("another source\n")); err == nil {
			t.Errorf("%s of another kernel: %q, want an error", name, got)
		}
	}
}

// What is in the cache is used without the network, however old; what is not
// whole, or of another recipe, is not.
func TestCachedKernel(t *testing.T) {
	t.Setenv("POSTERN_CACHE", t.TempDir())
	cache, err := Cache()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "kernel-arm64")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("vmlinuz", "")
	write("gpio-sim.ko", "module")
	write("lib/modules/6.1.0-1-arm64/modules.builtin", "kernel/fs/configfs/configfs.ko\n")
	if _, ok := cachedKernel(dir, "arm64"); ok {
		t.Error("a kernel without its stamp was taken")
	}
	write("stamp.json", `{"Recipe":1,"Version":"6.1.0-1-arm64"}`)
	if _, ok := cachedKernel(dir, "arm64"); ok {
		t.Error("a kernel of an older recipe was taken")
	}
	write("stamp.json", `{"Recipe":2,"Version":"6.1.0-1-arm64"}`)
	k, err := FetchKernel(t.Context(), "arm64", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Module("gpio-sim"); err != nil || string(got) != "module" {
		t.Errorf("module %q, %v", got, err)
	}
	if got, err := k.Needs("configfs"); err != nil || len(got) != 0 {
		t.Errorf("built in: %v, %v", got, err)
	}
}

func TestNeed(t *testing.T) {
	err := Need([2]string{"sh", "dash"}, [2]string{"no-such-program", "its-package"})
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Package != "its-package" {
		t.Errorf("error %v", err)
	}
	if err := Need([2]string{"sh", "dash"}); err != nil {
		t.Error(err)
	}
}
