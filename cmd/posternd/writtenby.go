package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// writtenByName is a file of the data directory: the version of the program that
// opened the store last. An older one, which can't open it, names it.
const writtenByName = "written-by"

// maxWrittenBy bounds what is read of it.
const maxWrittenBy = 100

// noteWrittenBy has the file say this program's version.
func noteWrittenBy(dir string) error {
	path, version := filepath.Join(dir, writtenByName), buildVersion()
	if writtenBy(dir) == version {
		return nil
	}
	tmp := path + ".new" // half of a version would send somebody after a wrong one
	if err := os.WriteFile(tmp, []byte(version+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the program's version: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("note the program's version: %w", err)
	}
	return nil
}

// writtenBy reads the file, "" when there is none that can be shown.
func writtenBy(dir string) string {
	f, err := os.Open(filepath.Join(dir, writtenByName))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxWrittenBy+1))
	version := strings.TrimSpace(string(text))
	odd := strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r > '~' })
	if err != nil || len(text) > maxWrittenBy || odd {
		return ""
	}
	return version
}
