package sync

import (
	"context"
	"slices"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A lane does work that may take long, a commit say, beside the session's loop:
// one piece at a time and in order, while other lanes and the loop go on. So a
// revocation does not wait for a snapshot's chunks, nor an unlock for a policy.
type lane struct {
	waiting []task
	busy    bool
	// gather takes the next work from waiting where several tasks may be done at
	// once; nil takes the first.
	gather func(waiting []task) (n int, do work)
}

// task is what a message asks for.
type task struct {
	m     mqtt.Message // nil when no message asks
	begin func() work  // called in the loop when its turn has come; may be nil with gather
	about any          // for gather
}

// work is done beside the loop, and gives what the loop does with its outcome.
type work func(ctx context.Context) (then func())

// finished is work that was done.
type finished struct {
	lane *lane
	done []task
	then func()
}

// lanes of a session.
type lanes struct {
	changes, acks, snapshot, documents, modes, commands lane
}

const numLanes = 6

// put queues a task. Its message counts as queued until the task is done.
func (s *session) put(ctx context.Context, l *lane, t task) {
	l.waiting = append(l.waiting, t)
	s.start(ctx, l)
}

// putFirst queues tasks before what waits.
func (s *session) putFirst(ctx context.Context, l *lane, tasks ...task) {
	l.waiting = slices.Insert(l.waiting, 0, tasks...)
	s.start(ctx, l)
}

// start has the lane begin its next work, unless it is at some.
func (s *session) start(ctx context.Context, l *lane) {
	if l.busy || len(l.waiting) == 0 {
		return
	}
	n, do := 1, work(nil)
	if l.gather != nil {
		n, do = l.gather(l.waiting)
	} else {
		do = l.waiting[0].begin()
	}
	done := append([]task(nil), l.waiting[:n]...)
	left := copy(l.waiting, l.waiting[n:])
	clear(l.waiting[left:])
	l.waiting, l.busy = l.waiting[:left], true
	s.work.Go(func() { s.done <- finished{l, done, do(ctx)} })
}

// finish draws the consequences of work that was done, acknowledges its
// messages, which may come only after the commit, and goes on.
func (s *session) finish(ctx context.Context, f finished) {
	f.lane.busy = false
	f.then()
	for _, t := range f.done {
		if t.m != nil {
			s.release(t.m)
		}
	}
	s.start(ctx, f.lane)
}

// settleWork waits for what is under way when the connection has ended, so that
// nothing is done twice at once and no result of a command gets lost. What waits
// is given up: without an acknowledgement central sends it again.
func (s *session) settleWork() {
	for {
		s.work.Wait()
		select {
		case f := <-s.done:
			f.then()
		default:
			return
		}
	}
}

// release acknowledges a message that was handled and makes room for another.
func (s *session) release(m mqtt.Message) {
	s.queued.Add(-1)
	s.queuedLen.Add(-int64(len(m.Payload())))
	m.Ack()
}
