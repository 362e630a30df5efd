package main

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
)

// tree is what a power cut left: files by their path in the tree, directories as
// paths that end in a slash.
type tree map[string][]byte

// pick says how much of what a node may lose a state has: of a file its content,
// of a directory how many of its changes.
type pick struct {
	content map[*node][]byte
	named   map[*node]int
}

// realize gives the tree of a pick.
func (d *disk) realize(p pick) tree {
	out := tree{}
	var visit func(n *node, path string)
	visit = func(n *node, path string) {
		names := maps.Clone(n.names)
		for _, c := range slices.Concat(n.later, n.namings)[:p.named[n]] {
			c.apply(names)
		}
		for name, m := range names {
			if m.isDir() {
				out[path+name+"/"] = nil
				visit(m, path+name+"/")
				continue
			}
			out[path+name] = p.content[m]
		}
	}
	visit(d.top, "")
	return out
}

// cutter makes the states that a power cut can leave at one moment.
type cutter struct {
	disk  *disk
	acked map[string]int // a state is another when more was acknowledged
	rand  *rand.Rand
	depth int // how many random states of a kind; 1 is the short form
	try   func(class string, t tree) error

	seed maphash.Seed
	seen map[uint64]bool
}

func newCutter(d *disk, acked map[string]int, seed uint64, depth int, try func(string, tree) error) *cutter {
	return &cutter{
		disk: d, acked: acked, rand: rand.New(rand.NewPCG(seed, 1)), depth: depth, try: try,
		seed: maphash.MakeSeed(), seen: map[uint64]bool{},
	}
}

// The kinds of states, for people.
const (
	classOrdered   = "order kept"
	classReordered = "reordered"
	classTorn      = "torn"
	classNames     = "names"
)

// The most changes of which every subset is tried, and the most of which each is
// tried as the only one that arrived and the only one that did not.
const (
	everySubset = 5
	everyOne    = 24
)

// cut tries the states around one node that is being flushed: every prefix of
// its changes, subsets, and torn sectors, while the others have none of theirs,
// all, or some.
func (c *cutter) cut(n *node) error {
	if n == nil {
		n = c.disk.top
	}
	if n.isDir() {
		return c.cutDir(n)
	}
	changes := n.all()
	v := &variants{c: c, node: n, changes: changes}
	for i := 0; i <= len(changes); i += 1 + len(changes)/(everyOne*c.depth) {
		v.subset(classOrdered, func(j int) bool { return j < i })
	}
	if len(changes) <= everySubset {
		for mask := range 1 << len(changes) {
			v.subset(classReordered, func(j int) bool { return mask>>j&1 == 1 })
		}
	} else {
		for i := 0; i < len(changes); i += 1 + len(changes)/(everyOne*c.depth) {
			v.subset(classReordered, func(j int) bool { return j != i })
			v.subset(classReordered, func(j int) bool { return j == i })
		}
		for range 6 * c.depth {
			v.subset(classReordered, func(int) bool { return c.rand.IntN(2) == 0 })
		}
	}
	for range 8 * c.depth {
		v.torn()
	}
	return v.err
}

// cutDir tries every prefix of a directory's changes with the files at the
// start, at the end, and in between of theirs.
func (c *cutter) cutDir(n *node) error {
	for named := range len(n.later) + len(n.namings) + 1 {
		for how := range 3 + 2*c.depth {
			p := c.others(n, how)
			p.named[n] = named
			if err := c.offer(classNames, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// others picks for every node but one: nothing of what it may lose, all of it,
// or some.
func (c *cutter) others(but *node, how int) pick {
	p := pick{content: map[*node][]byte{}, named: map[*node]int{}}
	for _, n := range c.disk.nodes() {
		if n == but {
			continue
		}
		if n.isDir() {
			switch most := len(n.later) + len(n.namings); how {
			case 0:
			case 1:
				p.named[n] = most
			default:
				p.named[n] = c.rand.IntN(most + 1)
			}
			continue
		}
		content := slices.Clone(n.content)
		for _, ch := range n.all() {
			if how == 1 || how > 1 && c.rand.IntN(2) == 0 {
				content = ch.apply(content)
			}
		}
		p.content[n] = content
	}
	return p
}

// offer hands a state on, once.
func (c *cutter) offer(class string, p pick) error {
	t := c.disk.realize(p)
	var h maphash.Hash
	h.SetSeed(c.seed)
	fmt.Fprintln(&h, c.acked)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		h.WriteString(name)
		h.WriteByte(0)
		h.Write(t[name])
		h.WriteByte(0)
	}
	if sum := h.Sum64(); !c.seen[sum] {
		c.seen[sum] = true
		return c.try(class, t)
	}
	return nil
}

// variants are the contents that one file may have.
type variants struct {
	c       *cutter
	node    *node
	changes []change
	count   int
	err     error
}

func (v *variants) offer(class string, content []byte) {
	if v.err != nil {
		return
	}
	// With few changes there is room for each with all that the others may have.
	hows := []int{v.count % 3}
	if len(v.changes) <= everySubset && class != classTorn {
		hows = []int{0, 1, 2}
	}
	v.count++
	for _, how := range hows {
		p := v.c.others(v.node, how)
		p.content[v.node] = content
		if v.err == nil {
			v.err = v.c.offer(class, p)
		}
	}
}

func (v *variants) subset(class string, has func(int) bool) {
	content := slices.Clone(v.node.content)
	for i, ch := range v.changes {
		if has(i) {
			content = ch.apply(content)
		}
	}
	v.offer(class, content)
}

const sector = 512

// torn has one write reach the disk in part: some of its sectors, or a piece that
// ends anywhere, or sectors that hold rubbish, as a card's that lost power while
// it programmed them. The writes before it are there, those after it at random.
func (v *variants) torn() {
	r := v.c.rand
	if len(v.changes) == 0 {
		return
	}
	victim := r.IntN(len(v.changes))
	if v.changes[victim].size >= 0 {
		return
	}
	content := slices.Clone(v.node.content)
	for i, ch := range v.changes {
		switch {
		case i == victim:
			content = tear(r, content, ch, r.IntN(3))
		case i < victim || r.IntN(2) == 0:
			content = ch.apply(content)
		}
	}
	v.offer(classTorn, content)
}

func tear(r *rand.Rand, content []byte, c change, how int) []byte {
	before := slices.Clone(content)
	content = c.apply(content)
	if grow := len(content) - len(before); grow > 0 {
		before = append(before, make([]byte, grow)...)
	}
	if how == 0 {
		end := int(c.at) + r.IntN(len(c.data)+1)
		copy(content[end:], before[end:])
		return content
	}
	for at := c.at; at < c.at+int64(len(c.data)); at += sector {
		end := min(at+sector, c.at+int64(len(c.data)))
		switch {
		case r.IntN(2) == 0:
		case how == 1:
			copy(content[at:end], before[at:end])
		default:
			for i := at; i < end; i++ {
				content[i] = byte(r.Uint32())
			}
		}
	}
	return content
}
