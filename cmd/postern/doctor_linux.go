package main

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func statfs(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := uint64(s.Bsize)
	return space{free: s.Bavail * size, size: s.Blocks * size, inodes: s.Ffree, readOnly: s.Flags&unix.ST_RDONLY != 0}, nil
}
