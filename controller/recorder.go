package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"postern/access"
)

// Bounds of the recorder. A store that takes nothing (a dying card) must not
// eat the memory that the doors need.
const (
	maxPending    = 10_000
	recordAtOnce  = 256
	retryFirst    = 100 * time.Millisecond
	retryMost     = 10 * time.Second
	flushAtTheEnd = 3 * time.Second
)

// entry is an event with how it came about, where that is a decision.
type entry struct {
	access.Event
	trace access.Trace
	done  chan struct{} // closed when it is committed; nil where nobody waits
}

// recorder commits events in order, so that doors and readers never wait for
// the journal.
type recorder struct {
	store Store
	obs   Observer
	log   *slog.Logger
	wake  chan struct{}

	packer access.TracePacker // of run alone

	mu      sync.Mutex // guards the rest
	queue   []entry
	dropped int
	gone    uint64 // dropped since the start
	closed  bool
}

func newRecorder(s Store, o Observer, l *slog.Logger) *recorder {
	return &recorder{store: s, obs: o, log: l, wake: make(chan struct{}, 1)}
}

// add queues events; it never blocks.
func (r *recorder) add(ev ...entry) {
	r.mu.Lock()
	for _, e := range ev {
		if len(r.queue) >= maxPending {
			r.dropped++
			r.gone++
			continue
		}
		r.queue = append(r.queue, e)
	}
	r.mu.Unlock()
	r.kick()
}

func (r *recorder) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// close lets run end once the queue is committed.
func (r *recorder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.kick()
}

func (r *recorder) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

func (r *recorder) lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// head gives what to commit next.
func (r *recorder) head() (batch []entry, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 && len(r.queue) > 0 && len(r.queue) < maxPending {
		last := r.queue[len(r.queue)-1]
		r.queue = append(r.queue, entry{Event: access.Event{
			At: last.At, Mono: last.Mono, Clock: last.Clock, Type: access.EventsDropped,
			Detail: fmt.Sprintf("%d events were dropped: the journal could not be written", r.dropped),
		}})
		r.dropped = 0
	}
	n := min(len(r.queue), recordAtOnce)
	return slices.Clone(r.queue[:n]), r.closed
}

// run commits until the queue is empty after close, or ctx ends.
func (r *recorder) run(ctx context.Context) {
	wait := retryFirst
	for {
		batch, closed := r.head()
		if len(batch) == 0 {
			if closed {
				return
			}
			<-r.wake
			continue
		}
		events := make([]access.Event, len(batch))
		for i, e := range batch {
			events[i] = e.Event
			events[i].Why = r.packer.Pack(e.trace)
		}
		done, err := r.store.Record(ctx, events...)
		if err == nil {
			r.committed(batch, done)
			wait = retryFirst
			continue
		}
		r.log.Error("record events", "error", err, "waiting", r.pending())
		if !sleep(ctx, wait) {
			r.log.Error("events lost at shutdown: the journal takes none", "count", r.pending())
			return
		}
		wait = min(2*wait, retryMost)
	}
}

func (r *recorder) committed(batch []entry, done []access.Event) {
	r.mu.Lock()
	r.queue = append(r.queue[:0], r.queue[len(batch):]...)
	r.mu.Unlock()
	for i, e := range done {
		if i < len(batch) && batch[i].done != nil {
			close(batch[i].done)
		}
		r.obs.Recorded(e)
	}
}
