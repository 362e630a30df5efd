package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The page layout of bbolt (its version 2), as far as damage must be found before
// bbolt maps the file: it trusts page numbers, sizes and offsets, and rebuilds
// its free list in a goroutine of its own, where a panic can't be recovered.
// All machines that Postern runs on are little-endian.
const (
	pageSize    = 4096
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16 // root page and sequence, before an inline page

	pageBranch = 0x01
	pageLeaf   = 0x02
	pageMeta   = 0x04

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)

	maxDepth = 32 // branch levels; 4 hold a million keys
)

var le = binary.LittleEndian

// boltMeta is one of a file's two headers.
type boltMeta struct {
	root, freelist, pages, txid uint64
}

func parseMeta(page []byte) (m boltMeta, err error) {
	b := page[pageHeader:]
	h := fnv.New64a()
	h.Write(b[:56])
	switch {
	case le.Uint32(b) != boltMagic || le.Uint32(b[4:]) != boltVersion:
		return m, errors.New("is not a bbolt header")
	case le.Uint64(b[56:]) != h.Sum64():
		return m, errors.New("has a wrong checksum")
	case le.Uint32(b[8:]) != pageSize:
		return m, fmt.Errorf("says a page size of %d, want %d", le.Uint32(b[8:]), pageSize)
	}
	return boltMeta{root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), pages: le.Uint64(b[40:]), txid: le.Uint64(b[48:])}, nil
}

// newestMeta gives the header that bbolt will use. One bad header is what a
// power cut during its write may leave; the other is the commit before.
func newestMeta(r io.ReaderAt) (boltMeta, error) {
	var metas []boltMeta
	var first error
	for i := range int64(2) {
		page := make([]byte, pageSize)
		_, err := r.ReadAt(page, i*pageSize)
		var m boltMeta
		if err == nil {
			m, err = parseMeta(page)
		}
		if err != nil {
			first = firstErr(first, fmt.Errorf("header %d: %w", i, err))
			continue
		}
		metas = append(metas, m)
	}
	switch {
	case len(metas) == 0:
		return boltMeta{}, first
	case len(metas) == 2 && metas[1].txid > metas[0].txid:
		return metas[1], nil
	}
	return metas[0], nil
}

func firstErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// element is one entry of a branch or leaf page.
type element struct {
	flags uint32 // leaf: 1 is a bucket
	child uint64 // branch
	key   []byte
	value []byte // leaf
}

// parseElement reads entry i of a page; every offset is checked.
func parseElement(page []byte, i int, leaf bool) (e element, err error) {
	at := uint64(pageHeader + i*elementSize)
	if at+elementSize > uint64(len(page)) {
		return e, errors.New("has more entries than it has room for")
	}
	b := page[at:]
	pos, ksize, vsize := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), uint64(0)
	if leaf {
		e.flags = le.Uint32(b)
		pos, ksize, vsize = uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	} else {
		e.child = le.Uint64(b[8:])
	}
	end := at + pos + ksize + vsize
	if ksize == 0 || pos < elementSize || end > uint64(len(page)) {
		return e, errors.New("has an entry that lies outside it")
	}
	e.key = page[at+pos : at+pos+ksize]
	e.value = page[at+pos+ksize : end]
	return e, nil
}

// pageWalk visits every page that the newest header leads to.
type pageWalk struct {
	r    io.ReaderAt
	meta boltMeta
	seen []uint64 // bit set of pages
}

// checkPages reports the first fault in a file's structure: each page in bounds
// and reached once, each entry in its page, all keys in order. It reads the file
// and maps nothing, so no content of it can do harm.
func checkPages(r io.ReaderAt, size int64) error {
	m, err := newestMeta(r)
	if err != nil {
		return err
	}
	if m.pages < 3 || m.pages > uint64(size)/pageSize {
		return fmt.Errorf("the file is cut off: it says %d pages and has %d", m.pages, size/pageSize)
	}
	if m.freelist != noFreelist {
		return errors.New("the file was not finished when it was made")
	}
	w := pageWalk{r: r, meta: m, seen: make([]uint64, m.pages/64+1)}
	return w.tree(m.root, nil, nil, 0, true)
}

// page reads a page with its overflow and marks it.
func (w *pageWalk) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.meta.pages {
		return nil, fmt.Errorf("page %d is out of bounds", id)
	}
	var head [pageHeader]byte
	if _, err := w.r.ReadAt(head[:], int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if le.Uint64(head[:]) != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, le.Uint64(head[:]))
	}
	n := 1 + uint64(le.Uint32(head[12:]))
	if n > w.meta.pages-id {
		return nil, fmt.Errorf("page %d runs past the end", id)
	}
	for p := id; p < id+n; p++ {
		if w.seen[p/64]&(1<<(p%64)) != 0 {
			return nil, fmt.Errorf("page %d is in use twice", p)
		}
		w.seen[p/64] |= 1 << (p % 64)
	}
	page := make([]byte, n*pageSize)
	if _, err := w.r.ReadAt(page, int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// tree checks a page and all below it; its keys must be in [least, most), where
// nil bounds nothing. top says that the entries are buckets.
func (w *pageWalk) tree(id uint64, least, most []byte, depth int, top bool) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is too deep", id)
	}
	page, err := w.page(id)
	if err != nil {
		return err
	}
	switch le.Uint16(page[8:]) {
	case pageLeaf:
		err = w.leaf(page, least, most, top)
	case pageBranch:
		return w.branch(page, least, most, depth, top)
	default:
		err = fmt.Errorf("is of unknown type %#x", le.Uint16(page[8:]))
	}
	if err != nil {
		return fmt.Errorf("page %d %w", id, err)
	}
	return nil
}

func (w *pageWalk) branch(page, least, most []byte, depth int, top bool) error {
	id, n := le.Uint64(page), int(le.Uint16(page[10:]))
	if n == 0 {
		return fmt.Errorf("page %d is an empty branch", id)
	}
	var entries []element
	for i := range n {
		e, err := parseElement(page, i, false)
		if err == nil {
			err = inOrder(e.key, least, most, i > 0)
		}
		if err != nil {
			return fmt.Errorf("page %d %w", id, err)
		}
		entries = append(entries, e)
		least = e.key
	}
	for i, e := range entries {
		bound := most
		if i+1 < n {
			bound = entries[i+1].key
		}
		if err := w.tree(e.child, e.key, bound, depth+1, top); err != nil {
			return err
		}
	}
	return nil
}

func (w *pageWalk) leaf(page, least, most []byte, top bool) error {
	for i := range int(le.Uint16(page[10:])) {
		e, err := parseElement(page, i, true)
		if err == nil {
			err = inOrder(e.key, least, most, i > 0)
		}
		if err != nil {
			return err
		}
		least = e.key
		if (e.flags == 1) != top || e.flags > 1 {
			return fmt.Errorf("has an entry of unknown type %#x", e.flags)
		}
		if top {
			if err := w.bucket(e); err != nil {
				return fmt.Errorf("bucket %.16q: %w", e.key, err)
			}
		}
	}
	return nil
}

func (w *pageWalk) bucket(e element) error {
	if len(e.value) < bucketSize {
		return errors.New("is cut off")
	}
	if root := le.Uint64(e.value); root != 0 {
		return w.tree(root, nil, nil, 0, false)
	}
	inline := e.value[bucketSize:]
	if len(inline) < pageHeader || le.Uint16(inline[8:]) != pageLeaf {
		return errors.New("has no page")
	}
	return w.leaf(inline, nil, nil, false)
}

// inOrder checks a key against the one before it (strict) or its lower bound,
// and its upper bound.
func inOrder(key, least, most []byte, strict bool) error {
	c := bytes.Compare(key, least)
	if c < 0 || c == 0 && strict || most != nil && bytes.Compare(key, most) >= 0 {
		return errors.New("has keys out of order")
	}
	return nil
}
