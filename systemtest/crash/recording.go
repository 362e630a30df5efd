package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/systemtest/machine"
)

// recording is what a scenario's program did, and the judge of what it may leave.
type recording struct {
	dir    string // of the program's tree, as it is now
	start  tree   // as it was before
	calls  []call
	judge  judge
	states string // directory for the states
}

// newRecording runs a scenario's program once, under strace, and learns what
// must be true.
func newRecording(ctx context.Context, s scenario, number int, z size, dir string) (*recording, error) {
	r := &recording{dir: filepath.Join(dir, "tree"), states: filepath.Join(dir, "state")}
	data, before := filepath.Join(r.dir, "data"), filepath.Join(dir, "before")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, data); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if err := copyTree(data, before); err != nil {
		return nil, err
	}
	var err error
	if r.start, err = readTree(r.dir); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{self, "-recorded", strconv.Itoa(number), "-seed", strconv.FormatUint(z.seed, 10)}
	if z.depth > 1 {
		args = append(args, "-full")
	}
	if r.calls, err = record(ctx, dir, append(args, data)...); err != nil {
		return nil, err
	}
	r.judge, err = s.learn(ctx, before, data)
	return r, err
}

// disk is the tree before the program ran, all of it durable.
func (r *recording) disk() (*disk, error) {
	d := newDisk(r.dir)
	for _, path := range slices.Sorted(maps.Keys(r.start)) {
		if err := d.put(path, r.start[path]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// tally counts what came of the states.
type tally struct {
	states, writes, flushes int
	acked                   map[string]int
	faults                  map[string]int
	first                   map[string]string
	took                    time.Duration
}

// tryAll judges every state of a recording, or one of so many, on a disk that
// flushes so.
func (r *recording) tryAll(ctx context.Context, z size, one int, flush func(*disk, *node, mark)) (*tally, error) {
	began := time.Now()
	d, err := r.disk()
	if err != nil {
		return nil, err
	}
	made := 0
	t := &tally{acked: map[string]int{}, faults: map[string]int{}, first: map[string]string{}}
	c := newCutter(d, t.acked, z.seed, z.depth, func(class string, state tree) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if made++; made%one != 0 {
			return nil
		}
		t.states++
		if err := state.write(r.states); err != nil {
			return err
		}
		if f := r.judge(ctx, filepath.Join(r.states, "data"), t.acked); f != nil {
			t.faults[f.kind]++
			if t.first[f.kind] == "" {
				t.first[f.kind] = fmt.Sprintf("state %d (%s): %s", t.states, class, f.text)
			}
		}
		return nil
	})
	p := &player{disk: d, acked: t.acked, flush: flush, cut: c.cut}
	if err := p.play(r.calls); err != nil {
		return nil, err
	}
	t.writes, t.flushes, t.took = p.writes, p.flushes, time.Since(began)
	return t, nil
}

// readTree reads a directory of files and directories.
func readTree(dir string) (tree, error) {
	t := tree{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
		case e.IsDir():
			t[path+"/"] = nil
		default:
			t[path], err = fs.ReadFile(root, path)
		}
		return err
	})
	return t, err
}

// write makes dir hold a tree and nothing else.
func (t tree) write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t)) { // a directory before what is in it
		path, err := filepath.Join(dir, name), error(nil)
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, t[name], 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyTree(from, to string) error {
	t, err := readTree(from)
	if err != nil {
		return err
	}
	return t.write(to)
}

// found lists the faults.
func (t *tally) found() (count int, words, examples string) {
	var w, e []string
	for _, kind := range faults {
		if n := t.faults[kind]; n > 0 {
			count += n
			w = append(w, fmt.Sprintf("%d %s", n, kind))
			e = append(e, kind+": "+t.first[kind])
		}
	}
	return count, strings.Join(w, ", "), strings.Join(e, "; ")
}

func (t *tally) row(name string) machine.Row {
	count, words, examples := t.found()
	if count == 0 {
		words = "0 lost, torn or refused"
	}
	detail := fmt.Sprintf("%d writes, %d flushes, %d acknowledgements", t.writes, t.flushes, t.sum())
	if examples != "" {
		detail += "; " + examples
	}
	return machine.Row{
		Part: "crash", Check: name, Result: fmt.Sprintf("%d states, %s", t.states, words), Detail: detail,
		OK: count == 0 && t.states > 0 && t.sum() > 0, Took: t.took,
	}
}

// controlRow is right when there were faults, and none of them a panic.
func (t *tally) controlRow(name string) machine.Row {
	count, words, _ := t.found()
	return machine.Row{
		Part: "crash", Check: "control: " + name, Result: fmt.Sprintf("%d states, %d with a fault", t.states, count),
		Detail: words, OK: count > 0 && t.faults[faultPanic] == 0, Took: t.took,
	}
}

func (t *tally) sum() (n int) {
	for _, k := range t.acked {
		n += k
	}
	return n
}
