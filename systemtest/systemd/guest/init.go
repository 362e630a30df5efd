//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// diskPatience bounds the wait for the disk.
const diskPatience = 60 * time.Second

// becomeSystemd is the work of an initramfs: load the modules that /modules/order
// lists, mount the disk, install what it has to install and run its init there. It
// returns only when that failed.
func becomeSystemd() error {
	for _, m := range []struct{ dir, kind string }{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(order)) {
		if err := loadModule("/modules/" + name + ".ko"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/disk", 0o755); err != nil {
		return err
	}
	for deadline := time.Now().Add(diskPatience); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Mount("/dev/pmem0", "/disk", "ext4", 0, "")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("mount /dev/pmem0: %w", err)
		}
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(dir, "/disk"+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	// The initramfs becomes hidden below the disk; it is too small to be emptied.
	if err := unix.Chdir("/disk"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the disk to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := installPackages(); err != nil {
		return err
	}
	return fmt.Errorf("run /sbin/init: %w", unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=" + path}))
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}
