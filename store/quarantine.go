package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// keepAside is how many damaged files are kept of each kind.
const keepAside = 3

// quarantine renames a damaged file and gives its new name: a number, which
// orders them whatever the clock says, and the date. The newest few are kept.
func quarantine(path string, now time.Time) (string, error) {
	old, err := asides(path)
	if err != nil {
		return "", err
	}
	n := 1
	if len(old) > 0 {
		n = asideNumber(path, old[len(old)-1]) + 1
	}
	to := fmt.Sprintf("%s.bad-%04d-%s", path, n, now.UTC().Format("20060102T150405Z"))
	if err := moveFile(path, to); err != nil {
		return "", err
	}
	if err := os.Remove(marker(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, p := range old[:max(0, len(old)-keepAside+1)] {
		if err := os.Remove(p); err != nil {
			return "", err
		}
	}
	return to, syncDir(filepath.Dir(path))
}

// asides are the files put aside earlier, oldest first.
func asides(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		p := filepath.Join(filepath.Dir(path), e.Name())
		if asideNumber(path, p) > 0 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return asideNumber(path, a) - asideNumber(path, b) })
	return out, nil
}

func asideNumber(path, aside string) int {
	rest, ok := strings.CutPrefix(aside, path+".bad-")
	text, _, cut := strings.Cut(rest, "-")
	n, err := strconv.Atoi(text)
	if !ok || !cut || err != nil {
		return 0
	}
	return n
}
