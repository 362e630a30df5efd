package machine

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// File is a file of an initramfs: Data, or what is at Path on the host.
type File struct {
	Data []byte
	Path string
	// Mode is the permission bits; 0 is 0644.
	Mode fs.FileMode
}

// Initramfs writes files, by their paths in the guest, with the directories
// above them, in the cpio form that the kernel unpacks as its first root
// ("newc", Documentation/driver-api/early-userspace/buffer-format.rst). It is
// not compressed; a caller may do that.
func Initramfs(w io.Writer, files map[string]File) error {
	out := &cpio{w: bufio.NewWriter(w)}
	made := map[string]bool{".": true, "/": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		clean := strings.TrimPrefix(path.Clean("/"+name), "/")
		if clean == "" {
			return fmt.Errorf("initramfs: %q is no file", name)
		}
		out.parents(path.Dir(clean), made)
		f := files[name]
		data := f.Data
		if f.Path != "" {
			var err error
			if data, err = os.ReadFile(f.Path); err != nil {
				return fmt.Errorf("initramfs: %w", err)
			}
		}
		mode := f.Mode.Perm()
		if mode == 0 {
			mode = 0o644
		}
		out.entry(clean, regular|uint32(mode), data)
	}
	out.inode = -1 // the trailer's is 0
	out.entry("TRAILER!!!", 0, nil)
	if err := out.w.Flush(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return nil
}

// The kinds of files in a mode, of stat(2).
const (
	regular   = 0o100000
	directory = 0o040000
)

// cpio writes entries; the writer remembers the first error.
type cpio struct {
	w     *bufio.Writer
	inode int
}

func (c *cpio) parents(dir string, made map[string]bool) {
	if made[dir] {
		return
	}
	made[dir] = true
	c.parents(path.Dir(dir), made)
	c.entry(dir, directory|0o755, nil)
}

// entry writes one header of 13 numbers of eight hexadecimal digits, the name
// and the data, each filled up to four bytes.
func (c *cpio) entry(name string, mode uint32, data []byte) {
	c.inode++
	_, _ = fmt.Fprintf(
		c.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0,
	)
	_, _ = c.w.WriteString(name + "\x00")
	c.fill(110 + len(name) + 1)
	_, _ = c.w.Write(data)
	c.fill(len(data))
}

func (c *cpio) fill(written int) {
	for range -written & 3 {
		_ = c.w.WriteByte(0)
	}
}
