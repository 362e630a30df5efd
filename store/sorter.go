package store

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Bounds of a sorter's memory.
const (
	runBytes  = 4 << 20  // of rows held, and of a run in the file
	mergeRead = 32 << 10 // read ahead of each run
)

// sorter puts rows in the order of their keys. What it can't hold goes, sorted,
// into a file that has no name and is never synced.
type sorter struct {
	dir   string
	most  int // bytes held
	arena []byte
	rows  []sortRow
	f     *os.File
	w     *bufio.Writer
	ends  []int64 // of the runs in the file
	size  int64
}

// sortRow is a row in the arena.
type sortRow struct{ at, key, end int }

func (s *sorter) add(key, value []byte) error {
	n := len(key) + len(value)
	if len(s.arena)+n > s.most && len(s.rows) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if s.arena == nil {
		s.arena = make([]byte, 0, s.most)
	}
	at := len(s.arena)
	s.arena = append(append(s.arena, key...), value...)
	s.rows = append(s.rows, sortRow{at, at + len(key), at + n})
	return nil
}

func (s *sorter) key(r sortRow) []byte   { return s.arena[r.at:r.key] }
func (s *sorter) value(r sortRow) []byte { return s.arena[r.key:r.end] }

func (s *sorter) sort() {
	slices.SortFunc(s.rows, func(a, b sortRow) int { return bytes.Compare(s.key(a), s.key(b)) })
}

// spill writes what is held as one run.
func (s *sorter) spill() error {
	if s.f == nil {
		path := filepath.Join(s.dir, sortName)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		s.f, s.w = f, bufio.NewWriterSize(f, 64<<10)
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
	}
	s.sort()
	var head []byte
	for _, r := range s.rows {
		head = appendUvarints(head[:0], uint64(r.key-r.at), uint64(r.end-r.key))
		_, _ = s.w.Write(head)
		_, _ = s.w.Write(s.arena[r.at:r.end])
		s.size += int64(len(head) + r.end - r.at)
	}
	if err := s.w.Flush(); err != nil { // of any write before, too
		return fmt.Errorf("sort: %w", err)
	}
	s.ends = append(s.ends, s.size)
	s.arena, s.rows = s.arena[:0], s.rows[:0]
	return nil
}

// each gives all rows in order. Key and value are the row's until it returns.
func (s *sorter) each(row func(key, value []byte) error) error {
	if s.f == nil {
		s.sort()
		for _, r := range s.rows {
			if err := row(s.key(r), s.value(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.arena, s.rows = nil, nil
	var m merging
	from := int64(0)
	for _, end := range s.ends {
		r := &sortRun{r: bufio.NewReaderSize(io.NewSectionReader(s.f, from, end-from), mergeRead)}
		from = end
		if ok, err := r.next(); err != nil {
			return err
		} else if ok {
			m = append(m, r)
		}
	}
	heap.Init(&m)
	for len(m) > 0 {
		r := m[0]
		if err := row(r.row[:r.key], r.row[r.key:]); err != nil {
			return err
		}
		ok, err := r.next()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&m, 0)
		default:
			heap.Pop(&m)
		}
	}
	return nil
}

func (s *sorter) close() {
	if s.f != nil {
		s.f.Close()
	}
}

// sortRun reads one run.
type sortRun struct {
	r   *bufio.Reader
	row []byte
	key int
}

func (r *sortRun) next() (bool, error) {
	key, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	value, err2 := binary.ReadUvarint(r.r)
	if err = cmp.Or(err, err2); err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	r.key = int(key)
	r.row = slices.Grow(r.row[:0], int(key+value))[:key+value]
	if _, err := io.ReadFull(r.r, r.row); err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	return true, nil
}

// merging is the runs as a heap, the one with the lowest key on top.
type merging []*sortRun

func (m merging) Len() int { return len(m) }
func (m merging) Less(i, j int) bool {
	return bytes.Compare(m[i].row[:m[i].key], m[j].row[:m[j].key]) < 0
}
func (m merging) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merging) Push(x any)   { *m = append(*m, x.(*sortRun)) }

func (m *merging) Pop() any {
	old := *m
	r := old[len(old)-1]
	*m = old[:len(old)-1]
	return r
}
