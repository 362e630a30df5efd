package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// disk is where the panel's data is, and what was written there.
type disk struct {
	dir    string
	device string // of the block device that holds nothing else; "" without one
}

// imageSize of the file system, in bytes; the file is sparse.
const imageSize = 1 << 30

// newDisk makes a file system in a file, where that is allowed. done undoes it.
func newDisk(dir string) (d *disk, done func(), err error) {
	d = &disk{dir: filepath.Join(dir, "panel")}
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, nil, err
	}
	if os.Getuid() != 0 {
		return d, func() {}, nil
	}
	image := filepath.Join(dir, "panel.img")
	if err := d.mount(image); err != nil {
		fmt.Println("no file system of its own for the panel, so bytes are counted by process:", err)
		return d, func() {}, nil
	}
	return d, func() {
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH)
		_ = os.Remove(image)
	}, nil
}

func (d *disk) mount(image string) error {
	_ = os.Remove(image)
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(imageSize); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// Nothing is left to be initialised later, which would be counted.
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image},
		{"mount", "-o", "loop,noatime", image, d.dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
	}
	out, err := exec.Command("losetup", "-n", "-O", "NAME", "-j", image).Output()
	if name := strings.TrimSpace(string(out)); err == nil && strings.HasPrefix(name, "/dev/") {
		d.device = filepath.Base(name)
		return nil
	}
	_ = syscall.Unmount(d.dir, syscall.MNT_DETACH)
	return fmt.Errorf("losetup names no device: %w", err)
}

// how says how bytes are counted.
func (d *disk) how() string {
	if d.device == "" {
		return "/proc/PID/io of posternd, without the file system's own"
	}
	return "block device with a file system of its own (ext4)"
}

// sectorSize is that of the kernel's statistics, whatever the device's.
const sectorSize = 512

// written is how many bytes have been written so far, after a sync.
func (d *disk) written(pid int) (int64, error) {
	if d.device == "" {
		return procWritten(pid)
	}
	if err := exec.Command("sync", "-f", d.dir).Run(); err != nil {
		return 0, fmt.Errorf("sync: %w", err)
	}
	b, err := os.ReadFile("/sys/block/" + d.device + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 7 {
		return 0, fmt.Errorf("statistics of %s: %q", d.device, b)
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	return sectors * sectorSize, err
}

func procWritten(pid int) (int64, error) { return procNumber(pid, "io", "write_bytes:", 1) }

// anonymous is a process's anonymous memory, in bytes.
func anonymous(pid int) (int64, error) { return procNumber(pid, "status", "RssAnon:", 1024) }

func procNumber(pid int, file, name string, unit int64) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n * unit, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, name)
}
