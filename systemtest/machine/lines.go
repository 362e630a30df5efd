package machine

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxWaiting bounds the lines that wait to be read: a machine that talks to
// nobody loses its oldest words, not the host's memory.
const maxWaiting = 1 << 16

// lines is a queue of lines that one goroutine fills and another empties.
type lines struct {
	mu    sync.Mutex // guards the rest
	queue []string
	ended bool
	more  chan struct{} // closed at the next change, and made anew
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxWaiting {
		l.queue = l.queue[1:]
	}
	l.queue = append(l.queue, line)
	close(l.more)
	l.more = make(chan struct{})
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.more)
	l.more = make(chan struct{})
}

// next returns the oldest line; ErrEnded when there will be none.
func (l *lines) next(ctx context.Context) (string, error) {
	for {
		l.mu.Lock()
		more, ended := l.more, l.ended
		if len(l.queue) > 0 {
			line := l.queue[0]
			l.queue = l.queue[1:]
			l.mu.Unlock()
			return line, nil
		}
		l.mu.Unlock()
		if ended {
			return "", ErrEnded
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// tail keeps the last lines, for the text of errors.
type tail struct {
	mu   sync.Mutex // guards last
	last []string
}

const tailLines = 25

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(line) > 500 {
		line = line[:500] + "…"
	}
	if len(t.last) == tailLines {
		t.last = t.last[1:]
	}
	t.last = append(t.last, line)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.last, "\n")
}

// lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer  // may be nil
}

func (l *lockedWriter) line(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w != nil {
		_, _ = fmt.Fprintln(l.w, s)
	}
}
