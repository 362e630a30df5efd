package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// unit is one transaction of a committer. finish completes it before the commit
// and says whether there is anything to commit; committed comes after, also when
// there was nothing.
type unit interface {
	finish() (dirty bool, err error)
	committed()
}

// job is a change that waits for its commit. do may be run again after its
// transaction was given up; an error from it undoes the whole transaction, so it
// is for damage and I/O only.
type job[U unit] struct {
	do    func(U) error
	alone func() error // instead of do: outside any transaction, while nothing is committed
	done  chan error
}

// committer applies changes to one file, in order, in its own goroutine.
type committer[U unit] struct {
	f     *file
	begin func(*bbolt.Tx) (U, error)
	wake  chan struct{} // buffered 1

	mu      sync.Mutex // guards queue and stopped
	queue   []*job[U]
	stopped bool
}

func newCommitter[U unit](f *file, begin func(*bbolt.Tx) (U, error)) *committer[U] {
	return &committer[U]{f: f, begin: begin, wake: make(chan struct{}, 1)}
}

// submit queues a change and waits for the commit that holds it. When ctx ends
// first the change may still be committed.
func (c *committer[U]) submit(ctx context.Context, do func(U) error) error {
	done, err := c.enqueue(&job[U]{do: do, done: make(chan error, 1)})
	if err != nil {
		return err
	}
	return await(ctx, done)
}

func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause has the committer rest while do runs. When ctx ends first do is not run.
func (c *committer[U]) pause(ctx context.Context, do func() error) error {
	var taken atomic.Bool
	done, err := c.enqueue(&job[U]{done: make(chan error, 1), alone: func() error {
		if taken.Swap(true) {
			return ctx.Err()
		}
		return guard(do)
	}})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if !taken.Swap(true) {
		return ctx.Err()
	}
	return <-done
}

func (c *committer[U]) enqueue(j *job[U]) (done chan error, err error) {
	if c.f.cause != nil {
		return nil, c.f.cause
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrStopped
	}
	c.queue = append(c.queue, j)
	signal(c.wake)
	return j.done, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run commits until ctx ends, then what was queued, and refuses the rest.
func (c *committer[U]) run(ctx context.Context) {
	for {
		select {
		case <-c.wake:
			c.commit(c.take(false))
		case <-ctx.Done():
			c.commit(c.take(true))
			return
		}
	}
}

func (c *committer[U]) take(last bool) []*job[U] {
	c.mu.Lock()
	defer c.mu.Unlock()
	jobs := c.queue
	c.queue = nil
	c.stopped = c.stopped || last
	return jobs
}

// commit does all jobs in order, those in one transaction that can be.
func (c *committer[U]) commit(jobs []*job[U]) {
	for len(jobs) > 0 {
		n := slices.IndexFunc(jobs, func(j *job[U]) bool { return j.alone != nil })
		if n == 0 {
			jobs[0].done <- jobs[0].alone()
			jobs = jobs[1:]
			continue
		}
		if n < 0 {
			n = len(jobs)
		}
		c.together(jobs[:n])
		jobs = jobs[n:]
	}
}

// together puts jobs into one transaction. When one of them fails each gets a
// transaction of its own, so that it takes no other with it.
func (c *committer[U]) together(jobs []*job[U]) {
	err, failed := c.try(jobs)
	for _, j := range jobs {
		e := err
		if failed && len(jobs) > 1 {
			e, _ = c.try([]*job[U]{j})
		}
		j.done <- e
	}
}

// try runs one transaction; failed says that a job, not the commit, was at fault.
func (c *committer[U]) try(jobs []*job[U]) (err error, failed bool) {
	if c.f.dead.Load() {
		return fmt.Errorf("%s: %w", c.f.name, ErrDamaged), false
	}
	var tx *bbolt.Tx
	err = guard(func() error {
		var err error
		if tx, err = c.f.db.Load().Begin(true); err != nil {
			return err
		}
		u, err := c.begin(tx)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if err := j.do(u); err != nil {
				failed = true
				return err
			}
		}
		dirty, err := u.finish()
		if err != nil {
			return err
		}
		if dirty {
			if err := tx.Commit(); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
		}
		u.committed()
		return nil
	})
	if tx != nil {
		// After a commit this does nothing; after a panic it frees the lock.
		_ = guard(tx.Rollback)
	}
	return c.f.watch(err), failed
}
