package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
)

// DiskTools are the programs that disks are made with, each with its Debian
// package, for Need.
func DiskTools() [][2]string {
	return [][2]string{{"mke2fs", "e2fsprogs"}, {"debugfs", "e2fsprogs"}, {"e2fsck", "e2fsprogs"}, {"cp", "coreutils"}}
}

// MakeDisk makes a raw image with an ext4 of a size in MiB. With from, a folder,
// the file system has what lies in it, with the owners and modes it has there.
// The file is sparse.
func MakeDisk(ctx context.Context, image string, mib int, from string) error {
	args := []string{"-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
	if from != "" {
		args = append(args, "-d", from)
	}
	if _, err := run(ctx, "", "mke2fs", append(args, image, strconv.Itoa(mib)+"M")...); err != nil {
		return fmt.Errorf("make disk %s: %w", image, err)
	}
	return nil
}

// CopyDisk copies an image without filling its holes.
func CopyDisk(ctx context.Context, from, to string) error {
	if _, err := run(ctx, "", "cp", "--sparse=always", "--reflink=auto", from, to); err != nil {
		return fmt.Errorf("copy disk: %w", err)
	}
	return nil
}

// CheckDisk looks an image's file system over (e2fsck) after its journal was
// played back, as a boot does it; damage is an error.
func CheckDisk(ctx context.Context, image string) error {
	if _, err := run(ctx, "", "e2fsck", "-fp", image); err != nil {
		// 1 is "repaired what a journal leaves to be tidied", such as orphans.
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
			return nil
		}
		return fmt.Errorf("check disk: %w", err)
	}
	return nil
}

// WriteDisk puts files, by their paths in the guest, into the ext4 of an image,
// with the folders above them, all of them root's. It needs neither root nor a
// mount. Links are by their paths too, each with what it points to.
func WriteDisk(ctx context.Context, image string, files map[string]File, links map[string]string) error {
	scratch, err := os.MkdirTemp("", "postern-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	script, err := diskScript(scratch, files, links)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "debugfs", "-w", "-f", "-", image)
	cmd.Stdin = bytes.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("write to disk: %w: %s", err, out)
	}
	return diskErrors(string(out))
}

// diskScript is what debugfs has to do (debugfs(8)); Data goes through files in
// scratch.
func diskScript(scratch string, files map[string]File, links map[string]string) ([]byte, error) {
	var s bytes.Buffer
	made := map[string]bool{"/": true}
	var parents func(dir string)
	parents = func(dir string) {
		if made[dir] {
			return
		}
		made[dir] = true
		parents(path.Dir(dir))
		fmt.Fprintf(&s, "mkdir %s\n", dir)
	}
	for i, name := range slices.Sorted(maps.Keys(files)) {
		if err := plainName(name); err != nil {
			return nil, err
		}
		f := files[name]
		source := f.Path
		if source == "" {
			source = fmt.Sprintf("%s/%d", scratch, i)
			if err := os.WriteFile(source, f.Data, 0o600); err != nil {
				return nil, err
			}
		}
		if err := plainName(source); err != nil {
			return nil, err
		}
		parents(path.Dir(name))
		// A file that is there would stay; one that is not makes rm complain.
		fmt.Fprintf(&s, "rm %s\nwrite %s %s\n", name, source, name)
		mode := f.Mode.Perm()
		if mode == 0 {
			mode = 0o644
		}
		fmt.Fprintf(&s, "set_inode_field %s mode 0%o\nset_inode_field %s uid 0\nset_inode_field %s gid 0\n", name, regular|uint32(mode), name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if err := errors.Join(plainName(name), plainName(links[name])); err != nil {
			return nil, err
		}
		parents(path.Dir(name))
		fmt.Fprintf(&s, "symlink %s %s\n", name, links[name])
	}
	return s.Bytes(), nil
}

// plainName keeps debugfs's own quoting out of it.
func plainName(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsAny(name, " \t\n\"'\\") {
		return fmt.Errorf("%q is no plain absolute path: %w", name, fs.ErrInvalid)
	}
	return nil
}

// diskErrors finds what debugfs could not do: its exit code is 0 all the same.
func diskErrors(said string) error {
	var errs []error
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		switch {
		case line == "", strings.HasPrefix(line, "debugfs"), strings.HasPrefix(line, "Allocated inode:"):
		case strings.Contains(line, "mkdir: Ext2 directory already exists"):
		case strings.Contains(line, "File not found by ext2_lookup") && strings.HasPrefix(line, "rm:"):
		default:
			errs = append(errs, errors.New(line))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	return nil
}
