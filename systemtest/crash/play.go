package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// player does to a disk what a trace says. Before a flush takes away from what a
// power cut may lose, cut is called: every state that a cut could have left since
// the flush before is one of those that it could leave there, and no later
// acknowledgement is missed.
type player struct {
	disk  *disk
	acked map[string]int           // the highest number acknowledged on each lane
	flush func(*disk, *node, mark) // what a flush does
	cut   func(flushed *node) error

	writes, flushes int
	marks           map[int]mark // of flushes that have begun, by the line they began at
}

// step is the beginning or the end of a call.
type step struct {
	line int
	end  bool
	call *call
}

func (p *player) play(calls []call) error {
	var steps []step
	for i := range calls {
		c := &calls[i]
		steps = append(steps, step{c.start, false, c}, step{c.end, true, c})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.line - b.line })
	p.marks = map[int]mark{}
	for _, s := range steps {
		if s.call.result < 0 {
			continue // it did nothing
		}
		do := p.begin
		if s.end {
			do = p.finish
		}
		if err := do(s.call); err != nil {
			return fmt.Errorf("replay, line %d of the trace: %w", s.line+1, err)
		}
	}
	return p.cut(nil)
}

// handle gives the open file of a call, nil when it is none of the disk's.
func (p *player) handle(c *call) (*handle, error) {
	fd, err := c.number(0)
	return p.disk.open[fd], err
}

// begin does what counts from a call's beginning: a write that has begun may
// have reached the disk, an acknowledgement may have been read.
func (p *player) begin(c *call) error {
	switch c.name {
	case "close":
		fd, err := c.number(0)
		delete(p.disk.open, fd)
		return err
	case "write", "pwrite64":
		return p.write(c)
	case "ftruncate":
		return p.truncate(c)
	case "fsync", "fdatasync":
		h, err := p.handle(c)
		if h != nil {
			p.marks[c.start] = h.node.mark()
		}
		return err
	case "renameat", "renameat2":
		return p.rename(c)
	case "unlinkat", "mkdirat":
		return p.entry(c)
	case "truncate":
		return p.truncatePath(c)
	case "openat":
		return nil
	}
	return p.unknown(c)
}

// finish does what counts from a call's end.
func (p *player) finish(c *call) error {
	switch c.name {
	case "openat":
		return p.opened(c)
	case "fsync", "fdatasync":
		h, err := p.handle(c)
		if h == nil || err != nil {
			return err
		}
		p.flushes++
		if h.node.pending() > 0 {
			if err := p.cut(h.node); err != nil {
				return err
			}
		}
		p.flush(p.disk, h.node, p.marks[c.start])
	}
	return nil
}

// unknown refuses what the disk has no model of, when it is about the disk.
func (p *player) unknown(c *call) error {
	if slices.Contains([]string{"sync", "syncfs"}, c.name) {
		return fmt.Errorf("%s is not modelled", c.name)
	}
	for i := range c.args {
		if path, err := c.path(i); err == nil && p.disk.inside(path) {
			return fmt.Errorf("%s of %s is not modelled", c.name, path)
		}
		if fd, err := c.number(i); err == nil && p.disk.open[fd] != nil && i < 2 {
			return fmt.Errorf("%s of an open file is not modelled", c.name)
		}
	}
	return nil
}

func (p *player) write(c *call) error {
	fd, err := c.number(0)
	if err != nil {
		return err
	}
	h := p.disk.open[fd]
	if h == nil {
		if fd == 1 {
			return p.said(c)
		}
		return nil
	}
	data, err := c.text(1)
	if err != nil {
		return err
	}
	if int64(len(data)) != c.result {
		return fmt.Errorf("%s wrote %d bytes, the trace has %d", c.name, c.result, len(data))
	}
	p.writes++
	if c.name == "write" {
		h.node.write(h.at, data)
		h.at += c.result
		return nil
	}
	at, err := c.number(3)
	h.node.write(at, data)
	return err
}

// said takes the lines "ack <lane> <number>" of the program's output.
func (p *player) said(c *call) error {
	text, err := c.text(1)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "ack" {
			return fmt.Errorf("the program said %q", line)
		}
		n, err := strconv.Atoi(words[2])
		if err != nil {
			return fmt.Errorf("the program said %q: %w", line, err)
		}
		p.acked[words[1]] = max(p.acked[words[1]], n)
	}
	return nil
}

func (p *player) truncate(c *call) error {
	h, err := p.handle(c)
	if h == nil || err != nil {
		return err
	}
	size, err := c.number(1)
	h.node.truncate(size)
	p.writes++
	return err
}

func (p *player) truncatePath(c *call) error {
	path, err := c.path(0)
	if err != nil || !p.disk.inside(path) {
		return err
	}
	dir, name, err := p.disk.find(path)
	if err != nil {
		return err
	}
	n := dir.now[name]
	if n == nil || n.isDir() {
		return fmt.Errorf("truncate of %s is not modelled", path)
	}
	size, err := c.number(1)
	n.truncate(size)
	p.writes++
	return err
}

func (p *player) opened(c *call) error {
	path, err := c.path(1)
	if err != nil || !p.disk.inside(path) {
		return err
	}
	if path == p.disk.root {
		p.disk.open[c.result] = &handle{node: p.disk.top}
		return nil
	}
	dir, name, err := p.disk.find(path)
	if err != nil {
		return err
	}
	if c.flag(2, "O_APPEND") {
		return errors.New("O_APPEND is not modelled")
	}
	n := dir.now[name]
	if n == nil {
		n = newFile(nil)
		dir.name(naming{to: name, node: n})
	}
	if c.flag(2, "O_TRUNC") && n.length > 0 {
		n.truncate(0)
	}
	p.disk.open[c.result] = &handle{node: n}
	return nil
}

func (p *player) rename(c *call) error {
	from, err := c.path(1)
	if err != nil {
		return err
	}
	to, err := c.path(3)
	if err != nil || !p.disk.inside(from) && !p.disk.inside(to) {
		return err
	}
	dir, old, err := p.disk.find(from)
	if err != nil {
		return err
	}
	other, name, err := p.disk.find(to)
	if err != nil {
		return err
	}
	if dir != other || dir.now[old] == nil {
		return fmt.Errorf("rename of %s to %s is not modelled", from, to)
	}
	dir.name(naming{from: old, to: name, node: dir.now[old]})
	return nil
}

func (p *player) entry(c *call) error {
	path, err := c.path(1)
	if err != nil || !p.disk.inside(path) {
		return err
	}
	dir, name, err := p.disk.find(path)
	if err != nil {
		return err
	}
	if c.name == "mkdirat" {
		dir.name(naming{to: name, node: newDir()})
		return nil
	}
	dir.name(naming{from: name})
	return nil
}
