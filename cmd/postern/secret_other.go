//go:build !linux

package main

import (
	"errors"
	"os"
)

// noEcho refuses terminals: this system's can't be told not to show what is typed.
func noEcho(f *os.File) (restore func(), err error) {
	info, err := f.Stat()
	if err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return nil, errors.New("pipe it in: this terminal would show it")
	}
	return nil, err
}
