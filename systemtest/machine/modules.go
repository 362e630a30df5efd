package machine

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Module returns a module of the kernel by its name, such as "virtio_blk".
func (k Kernel) Module(name string) ([]byte, error) {
	path, err := k.find(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Needs returns the modules to load, in this order, for names to work: what they
// depend on comes before them, and what is built into the kernel is left out.
func (k Kernel) Needs(names ...string) ([]string, error) {
	builtin, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	return loadOrder(names, builtNames(builtin), func(name string) ([]string, error) {
		raw, err := k.Module(name)
		if err != nil {
			return nil, err
		}
		return dependsOf(raw)
	})
}

func (k Kernel) find(name string) (string, error) {
	name = canonical(name)
	if name == "gpio_sim" {
		return k.GPIOSim, nil
	}
	var found string
	err := filepath.WalkDir(filepath.Join(k.Modules, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base, ok := strings.CutSuffix(d.Name(), ".ko"); ok && canonical(base) == name {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("kernel %s has no module %s", k.Version, name)
	}
	return found, err
}

// canonical is the kernel's own form of a module's name.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// builtNames are the modules that modules.builtin lists.
func builtNames(list []byte) map[string]bool {
	names := map[string]bool{}
	for path := range strings.FieldsSeq(string(list)) {
		names[canonical(strings.TrimSuffix(filepath.Base(path), ".ko"))] = true
	}
	return names
}

// loadOrder sorts names and all that they depend on.
func loadOrder(names []string, builtin map[string]bool, depends func(string) ([]string, error)) ([]string, error) {
	var order []string
	var add func(name string) error
	add = func(name string) error {
		name = canonical(name)
		if builtin[name] || slices.Contains(order, name) {
			return nil
		}
		needs, err := depends(name)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dependsOf reads from a module itself what it depends on: modules.dep is made
// only when a kernel is installed.
func dependsOf(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module: it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	return modinfoDepends(info), nil
}

// modinfoDepends reads a .modinfo section: strings that end with zeros.
func modinfoDepends(info []byte) []string {
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ",")
		}
	}
	return nil
}
