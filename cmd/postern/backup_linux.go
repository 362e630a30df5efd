package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// holdStore keeps the daemon from opening its databases, and refuses while it has
// them open. The databases lock themselves in the same way.
func holdStore(dir string) (release func(), err error) {
	var held []*os.File
	release = func() {
		for _, f := range held {
			_ = f.Close()
		}
	}
	for _, name := range []string{"keys.db", "journal.db"} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			held = append(held, f)
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			release()
			return nil, errors.New("the daemon has its data open: stop it (systemctl stop posternd)")
		}
		if err != nil {
			release()
			return nil, fmt.Errorf("lock data: %w", err)
		}
	}
	return release, nil
}

func uidOf(info fs.FileInfo) (int, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
