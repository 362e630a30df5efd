package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A quarantine is four steps, each durable before the next, so that a start that
// is cut goes on where the last one was: the damaged file is renamed, its marker
// and the oldest of its kind are removed, an empty file is made in its place (from
// what can be saved), and a note says that the one put aside is dealt with. A file
// that is absent beside one put aside that the note does not cover is therefore
// one whose replacing was cut. A marker must never lie beside a new file: it
// would have that put aside too.

// keepAside is how many damaged files are kept of each kind.
const keepAside = 3

// errCut is why a file lies aside that an earlier start put there.
var errCut = errors.New("was put aside by a start that did not end")

// replace makes the file that is absent, from what was put aside if that is not
// dealt with: just now, for a reason, or by a start that was cut.
func (op *opening) replace(f *file, sp spec, reason error) error {
	aside, err := pending(f.path)
	if err != nil {
		return err
	}
	if text, err := os.ReadFile(marker(f.path)); err == nil && reason == nil {
		reason = fmt.Errorf("%w: %s", errCut, clip(string(text), 2*maxDetail))
	}
	if err := clearWay(f.path); err != nil && !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("make way: %w", err)
	}
	if err := op.make(f, sp, aside); err != nil || f.cause != nil {
		return err
	}
	op.tell(f, aside, reason)
	return nil
}

// settle ends a quarantine that was cut after the new file was in its place.
func (op *opening) settle(f *file) error {
	if f.cause != nil {
		return nil
	}
	aside, err := pending(f.path)
	op.tell(f, aside, nil)
	return err
}

// tell puts a file that was put aside and replaced, "" for none, into Recovery,
// and notes that it is dealt with.
func (op *opening) tell(f *file, aside string, reason error) {
	if aside == "" {
		return
	}
	if reason == nil {
		reason = errCut
	}
	op.rec.Quarantined = append(op.rec.Quarantined, aside)
	op.rec.Reasons = append(op.rec.Reasons, f.name+": "+reason.Error())
	if err := setReplaced(f.path, aside); err != nil {
		// The next start tells of it again.
		op.o.Log.Warn("quarantine not noted", "file", f.name, "err", err)
	}
}

// putAside renames a damaged file to a number, which orders them whatever the
// clock says, and the date. Numbers go on after those replaced, so that a new
// one is never taken for one of them.
func putAside(path string, now time.Time) error {
	old, err := asides(path)
	if err != nil {
		return err
	}
	n := replacedUpTo(path)
	if len(old) > 0 {
		n = max(n, asideNumber(path, old[len(old)-1]))
	}
	return moveFile(path, fmt.Sprintf("%s.bad-%04d-%s", path, n+1, now.UTC().Format("20060102T150405Z")))
}

// pending is the newest file put aside, "" when it has been replaced, or when
// there is none.
func pending(path string) (string, error) {
	old, err := asides(path)
	if err != nil || len(old) == 0 {
		return "", err
	}
	if last := old[len(old)-1]; asideNumber(path, last) > replacedUpTo(path) {
		return last, nil
	}
	return "", nil
}

// clearWay removes what must not lie beside a new file, and the oldest of those
// put aside.
func clearWay(path string) error {
	old, err := asides(path)
	if err != nil {
		return err
	}
	gone := old[:max(0, len(old)-keepAside)]
	marked, err := exists(marker(path))
	if err != nil {
		return err
	}
	if marked {
		gone = append([]string{marker(path)}, gone...)
	}
	for _, p := range gone {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

// setReplaced notes that a file put aside, and all before it, are dealt with.
func setReplaced(path, aside string) error {
	return writeFile(replaced(path), fmt.Appendf(nil, "%04d", asideNumber(path, aside)))
}

// replacedUpTo is the number noted last. A note that can't be read counts for
// nothing: then a file put aside is told of once more.
func replacedUpTo(path string) int {
	b, err := os.ReadFile(replaced(path))
	if err != nil {
		return 0
	}
	return fileNumber(string(b))
}

func replaced(path string) string { return path + ".replaced" }

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
	if !ok || !cut {
		return 0
	}
	return fileNumber(text)
}

// fileNumber reads a number of those put aside, 0 when it is none.
func fileNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 30)
	if err != nil {
		return 0
	}
	return int(n)
}
