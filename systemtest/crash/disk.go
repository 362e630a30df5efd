package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// change is a write to a file, or a new length of it.
type change struct {
	at   int64
	data []byte
	size int64 // new length; for a write -1
}

// naming is a change to a directory. from and to are names in it: a rename has
// both, a new name only to, a removed one only from.
type naming struct {
	from, to string
	node     *node
}

// node is a file or a directory. What the disk surely has is apart from what
// was done since the last flush, of which a power cut may leave any part.
//
// A file's changes may reach the disk in any order and torn, its length with
// them. A directory's changes reach it in their order, whatever became of the
// files: that is what every journaling file system gives, and no more. Making a
// file durable doesn't make its name durable; nor the other way round.
type node struct {
	content []byte           // durable, of a file
	changes []change         // since
	late    []change         // before, where flushes are lies
	names   map[string]*node // durable, of a directory; nil for a file
	namings []naming
	later   []naming
	now     map[string]*node // of a directory, as the program sees it
	length  int64            // of a file, as the program sees it
}

func newFile(content []byte) *node { return &node{content: content, length: int64(len(content))} }

func newDir() *node { return &node{names: map[string]*node{}, now: map[string]*node{}} }

func (n *node) isDir() bool { return n.names != nil }

func (n *node) write(at int64, data []byte) {
	n.changes = append(n.changes, change{at: at, data: data, size: -1})
	n.length = max(n.length, at+int64(len(data)))
}

func (n *node) truncate(size int64) {
	n.changes = append(n.changes, change{size: size})
	n.length = size
}

func (n *node) name(c naming) {
	if c.from != "" {
		delete(n.now, c.from)
	}
	if c.to != "" {
		n.now[c.to] = c.node
	}
	n.namings = append(n.namings, c)
}

// pending is how many changes a power cut may lose.
func (n *node) pending() int { return len(n.late) + len(n.changes) + len(n.later) + len(n.namings) }

// flush makes durable what was done up to a mark.
func (n *node) flush(m mark) {
	n.late, n.changes = append(n.late, n.changes[:m.changes]...), slices.Clone(n.changes[m.changes:])
	n.later, n.namings = append(n.later, n.namings[:m.namings]...), slices.Clone(n.namings[m.namings:])
	n.settle()
}

// settle makes durable what a flush before claimed to have.
func (n *node) settle() {
	for _, c := range n.late {
		n.content = c.apply(n.content)
	}
	for _, c := range n.later {
		c.apply(n.names)
	}
	n.late, n.later = nil, nil
}

// lie is a flush of a card that answers at once and writes a little later: the
// flush of anything makes durable what the one before it claimed to have.
func (d *disk) lie(n *node, m mark) {
	for _, other := range d.nodes() {
		other.settle()
	}
	n.late, n.changes = n.changes[:m.changes], slices.Clone(n.changes[m.changes:])
	n.later, n.namings = n.namings[:m.namings], slices.Clone(n.namings[m.namings:])
}

// mark is how much had been done when a flush began.
type mark struct{ changes, namings int }

func (n *node) mark() mark { return mark{len(n.changes), len(n.namings)} }

// all are the changes that a power cut may lose, oldest first.
func (n *node) all() []change { return slices.Concat(n.late, n.changes) }

func (c change) apply(content []byte) []byte {
	end := c.size
	if c.size < 0 {
		end = c.at + int64(len(c.data))
	}
	if grow := end - int64(len(content)); grow > 0 {
		content = append(content, make([]byte, grow)...)
	}
	if c.size >= 0 {
		return content[:c.size]
	}
	copy(content[c.at:], c.data)
	return content
}

func (c naming) apply(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// disk is a tree of nodes and the open files of the program that changes it.
type disk struct {
	root string // the path that the tree stands for
	top  *node
	open map[int64]*handle
}

type handle struct {
	node *node
	at   int64 // where the next write without a position goes
}

func newDisk(root string) *disk {
	return &disk{root: root, top: newDir(), open: map[int64]*handle{}}
}

// put has the disk start with a file, or with a directory when its path ends in
// a slash; both are durable.
func (d *disk) put(rel string, content []byte) error {
	dir, name, err := d.find(filepath.Join(d.root, rel))
	if err != nil {
		return err
	}
	n := newFile(content)
	if strings.HasSuffix(rel, "/") {
		n = newDir()
	}
	dir.names[name], dir.now[name] = n, n
	return nil
}

// inside reports whether the tree holds a path.
func (d *disk) inside(path string) bool {
	rel, err := filepath.Rel(d.root, path)
	return err == nil && filepath.IsLocal(rel)
}

// find gives the directory that a path lies in, as the program sees it, and its
// name there.
func (d *disk) find(path string) (*node, string, error) {
	if path == d.root {
		return nil, "", fmt.Errorf("%s is the top itself", path)
	}
	parent := filepath.Dir(path)
	if parent == d.root {
		return d.top, filepath.Base(path), nil
	}
	up, name, err := d.find(parent)
	if err != nil {
		return nil, "", err
	}
	dir := up.now[name]
	if dir == nil || !dir.isDir() {
		return nil, "", fmt.Errorf("%s: no such directory", parent)
	}
	return dir, filepath.Base(path), nil
}

// nodes are all that the program can see or the disk still has, in a fixed
// order.
func (d *disk) nodes() []*node {
	var out []*node
	var visit func(*node)
	visit = func(n *node) {
		if slices.Contains(out, n) {
			return
		}
		out = append(out, n)
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			visit(n.names[name])
		}
		for _, c := range slices.Concat(n.later, n.namings) {
			if c.node != nil {
				visit(c.node)
			}
		}
	}
	visit(d.top)
	return out
}
