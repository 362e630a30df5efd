package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// output lets several parts write whole lines, each with its name before it.
type output struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

// prefixed returns what a part writes to; several goroutines of it may.
func (o *output) prefixed(name string) io.Writer { return &lineWriter{out: o, name: name} }

type lineWriter struct {
	out  *output
	name string
	mu   sync.Mutex // guards rest
	rest []byte
}

// Write passes on the lines that are whole; the rest waits for its end.
func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte{'\n'})
		if !whole {
			return len(b), nil
		}
		l.out.mu.Lock()
		_, err := fmt.Fprintf(l.out.w, "%-8s %s\n", l.name, line)
		l.out.mu.Unlock()
		l.rest = rest
		if err != nil {
			return 0, err
		}
	}
}
