package sync

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	stdsync "sync"
	"sync/atomic"
	"time"

	"postern/access"
)

// Status is how the link stands, and what has happened on it since New.
type Status struct {
	Connected bool
	Since     time.Time // of Connected as it is
	Broker    string
	LastError string // why the last connection or attempt ended, "" when none has
	ConnSeq   uint64 // number of the present connection, or of the last one
	// LoopbackSeen says that the panel's own state came back on this connection:
	// the broker lets it speak and listen.
	LoopbackSeen bool
	Heard        time.Time // when central last said something, also on earlier connections; zero is never

	Applied         uint64 // batches of changes taken
	Dropped         uint64 // messages refused because the queue was full or they were too long
	BadEnvelopes    uint64 // messages that could not be decoded
	Gaps            uint64 // batches past the next revision
	WrongEpochs     uint64 // batches of another epoch
	ApplyErrors     uint64 // batches that the store could not take
	AckErrors       uint64 // confirmations that the store could not take
	Needs           uint64 // times that the panel asked for what it lacked
	Resends         uint64 // times that unconfirmed rows were sent again
	LoopbacksMissed uint64 // connections on which the own state did not come back in time
	StatesRepeated  uint64 // times that a foreign or old state of this panel was contradicted
	Refused         uint64 // subscriptions that the broker refused

	Commits        uint64 // in which those batches were taken
	Unsigned       bool   // no key is trusted: whatever comes over the broker is taken
	BadSignatures  uint64 // messages refused because no trusted key had signed them
	Fetching       bool   // a snapshot's chunks are being fetched
	Installing     bool   // a snapshot is being put in the place of the keys
	Snapshots      uint64 // installed
	SnapshotErrors uint64 // snapshots that could not be installed
	ChunkErrors    uint64 // chunks that the store could not take
	Mismatches     uint64 // times that central wanted other keys at this panel's revision
	Commands       uint64 // done or refused, repeated ones not counted
	ModeErrors     uint64 // door modes that could not be put in force
}

// Client is the panel's end of the link to central.
type Client struct {
	o      Options
	broker broker
	log    *slog.Logger

	panel   chan struct{} // PanelChanged was called
	changed chan struct{}

	// The rest is Run's own.
	connSeq   uint64
	throttle  throttle
	commands  commands
	install   install
	installed chan installation

	oversize atomic.Uint64 // packets too long

	mu     stdsync.Mutex
	status Status // guarded by mu
}

// New gives a client; it connects when Run is called. It fails when the
// options can't be.
func New(o Options) (*Client, error) {
	b, err := parseBroker(o.Broker)
	if err != nil {
		return nil, err
	}
	if err := o.fill(); err != nil {
		return nil, err
	}
	c := &Client{
		o: o, broker: b, log: o.Log.With("broker", b.String()),
		panel: make(chan struct{}, 1), changed: make(chan struct{}, 1), installed: make(chan installation, 1),
	}
	c.install.pause = backoff{min: o.NeedAfter, max: slowest(o.NeedAfter)}
	c.status = Status{Broker: b.String(), Since: o.Now(), Unsigned: len(o.Trust) == 0}
	return c, nil
}

// Run keeps the link up until ctx is done, then says goodbye and returns nil. A
// broker that is down or refuses is tried again for ever.
func (c *Client) Run(ctx context.Context) error {
	pause := backoff{min: c.o.RetryMin, max: c.o.RetryMax}
	defer c.install.work.Wait()
	for ctx.Err() == nil {
		start := time.Now()
		err := c.connect(ctx)
		c.disconnected(ctx, err)
		// Connections that end soon count as failures: two panels under one
		// client id throw each other out without end.
		if time.Since(start) > c.o.RetryMax {
			pause.reset()
		}
		sleep(ctx, pause.next())
	}
	return nil
}

// Status is how the link stands.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Dropped += c.oversize.Load()
	return s
}

// Changed receives a value after the link came up, went down, or was found not
// to work as it should; it is for one reader.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// PanelChanged says that Options.Panel, Clock or Site answers otherwise than
// before, so that it is announced again. It does not block.
func (c *Client) PanelChanged() { signal(c.panel) }

func (c *Client) connected(seq uint64) {
	c.update(func(s *Status) {
		s.Connected, s.Since, s.ConnSeq, s.LoopbackSeen = true, c.o.Now(), seq, false
	})
	signal(c.changed)
	c.log.Info("link to broker is up", "conn_seq", seq)
}

// disconnected tells of a connection or an attempt that ended. The same failure
// again and again, as through a long outage, is for the debug log.
func (c *Client) disconnected(ctx context.Context, err error) {
	var was Status
	c.update(func(s *Status) {
		was = *s
		if was.Connected {
			s.Connected, s.Since, s.LoopbackSeen = false, c.o.Now(), false
		}
		if err != nil {
			s.LastError = err.Error()
		}
	})
	switch {
	case ctx.Err() != nil:
		c.log.Info("link to broker closed")
	case was.Connected:
		c.log.Warn("link to broker lost", "error", err)
	case err != nil && err.Error() != was.LastError:
		c.log.Warn("no link to broker", "error", err)
	default:
		c.log.Debug("no link to broker", "error", err)
	}
	if was.Connected || err != nil && err.Error() != was.LastError {
		signal(c.changed)
	}
}

func (c *Client) update(f func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
}

// bad counts and journals a message that could not be decoded. Whoever may
// write to the topic must not fill the journal, so entries are throttled.
func (c *Client) bad(topic string, err error) {
	c.update(func(s *Status) { s.BadEnvelopes++ })
	ok, left := c.throttle.take(time.Now())
	if !ok {
		return
	}
	text := fmt.Sprintf("%s: %v", topic, err)
	if left > 0 {
		text = fmt.Sprintf("%s (and %d more before it)", text, left)
	}
	c.log.Warn("undecodable message dropped", "topic", topic, "error", err)
	c.o.Journal(access.Event{Type: access.BadEnvelope, Detail: clip(text, maxJournalDetail)})
}

const maxJournalDetail = 200

// throttle lets a burst through and one every throttleEvery after it.
type throttle struct {
	used int
	last time.Time
	left uint64 // held back since the last one let through
}

const (
	throttleBurst = 10
	throttleEvery = 10 * time.Second
)

func (t *throttle) take(now time.Time) (ok bool, left uint64) {
	if back := int(now.Sub(t.last) / throttleEvery); back > 0 {
		t.used, t.last = max(0, t.used-back), now
	}
	if t.used == throttleBurst {
		t.left++
		return false, 0
	}
	t.used++
	left, t.left = t.left, 0
	return true, left
}

// backoff gives pauses that double, each drawn from its upper half, so that
// panels don't come back all at once.
type backoff struct{ min, max, last time.Duration }

func (b *backoff) reset() { b.last = 0 }

func (b *backoff) next() time.Duration {
	b.last = min(max(b.min, 2*b.last), b.max)
	return b.last/2 + rand.N(b.last/2+1)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// signal puts a value into a channel of one, where none waits already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
