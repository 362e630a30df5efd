//go:build !linux

package main

import (
	"errors"
	"io/fs"
)

func holdStore(string) (func(), error) {
	return nil, errors.New("data can be saved and restored on a panel's own system, Linux, alone; see --without-store")
}

func uidOf(fs.FileInfo) (int, bool) { return 0, false }
