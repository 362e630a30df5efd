package api

import (
	"context"
	"slices"
	"sync"
)

// recentReads is how many reads the page remembers.
const recentReads = 20

// recent remembers the last reads and tells the pages that are open when
// something happened. Its zero value is ready.
type recent struct {
	mu    sync.Mutex // guards all below
	reads []Read     // newest first
	pages map[chan struct{}]bool
}

// Run keeps the page live until ctx ends: it remembers the last reads and tells
// the open pages of every change. Without it the socket works all the same.
func (s *Server) Run(ctx context.Context) error {
	for m := range s.backend.Watch(ctx) {
		s.recent.take(m)
	}
	return nil
}

func (r *recent) take(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Read != nil {
		if len(r.reads) > 0 && sameTyping(r.reads[0], *m.Read) {
			r.reads = r.reads[1:]
		}
		r.reads = slices.Insert(r.reads, 0, *m.Read)
		r.reads = r.reads[:min(len(r.reads), recentReads)]
	}
	for page := range r.pages {
		select {
		case page <- struct{}{}:
		default: // it has been told already
		}
	}
}

// sameTyping reports whether two reads are keys of one reader: a code is one
// thing to remember, or it would push every card out.
func sameTyping(a, b Read) bool {
	return a.Kind == ReadKey && b.Kind == ReadKey && a.Reader == b.Reader
}

// last are the last reads, newest first.
func (r *recent) last() []Read {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reads)
}

// subscribe gives a channel that holds a token whenever something has happened
// since it was last taken.
func (r *recent) subscribe() (told <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pages == nil {
		r.pages = make(map[chan struct{}]bool)
	}
	r.pages[c] = true
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.pages, c)
	}
}
