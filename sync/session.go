package sync

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

const (
	qos          = 1
	maxInFlight  = 100              // publishes that the broker has not acknowledged
	maxQueued    = 256              // messages received and not handled
	maxQueuedLen = 8 << 20          // bytes of them
	goodbye      = 2 * time.Second  // for the last message on a clean stop
	quiesce      = time.Second      // for the MQTT library to stop its goroutines
	lookEvery    = time.Second      // whether publishes were acknowledged, when too many were not
	protocol     = 4                // MQTT 3.1.1
	refused      = byte(0x80)       // least return code of a SUBACK that means failure
	longest      = 10 * time.Minute // the loop wakes at least this often
)

// session is one connection. Its fields belong to the goroutine of run, except
// for the channels and queued, through which the MQTT library's come in.
type session struct {
	c      *Client
	log    *slog.Logger
	seq    uint64
	conn   net.Conn
	mq     mqtt.Client
	inbox  chan mqtt.Message
	queued atomic.Int64 // bytes in inbox
	full   chan struct{}
	lost   chan error

	flight []mqtt.Token // publishes that the broker has not acknowledged
	clock  string       // as last announced

	// Deadlines; zero is none.
	subscribeAt, stateAt, panelAt, reportAt, loopbackAt, lookAt time.Time

	gap      gap
	statuses outbox
	events   outbox
}

// connect makes one connection and works on it until it ends; nil is that ctx
// is done.
func (c *Client) connect(ctx context.Context) error {
	raw, err := dial(ctx, c.broker, c.o.TLS, c.o.ConnectTimeout)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.connSeq++
	s := &session{
		c: c, seq: c.connSeq, log: c.log.With("conn_seq", c.connSeq), conn: newBoundedConn(raw, &c.oversize),
		inbox: make(chan mqtt.Message, maxQueued), full: make(chan struct{}, 1), lost: make(chan error, 1),
	}
	s.statuses, s.events = newStatuses(s), newEvents(s)
	defer s.close()
	if err := s.handshake(ctx); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	c.connected(s.seq)
	if err := s.run(ctx); err != nil {
		return err
	}
	s.leave()
	return nil
}

// receive is called by the MQTT library, which must not be held up: it would
// no longer notice a lost link. A message that finds no room is acknowledged
// and forgotten; central sends it again.
func (s *session) receive(_ mqtt.Client, m mqtt.Message) {
	size := int64(len(m.Payload()))
	if s.queued.Add(size) <= maxQueuedLen {
		select {
		case s.inbox <- m:
			return
		default:
		}
	}
	s.queued.Add(-size)
	s.c.update(func(st *Status) { st.Dropped++ })
	signal(s.full)
	m.Ack()
}

// run works until ctx is done (nil) or the connection ends.
func (s *session) run(ctx context.Context) error {
	now := time.Now()
	s.subscribeAt, s.stateAt, s.panelAt, s.reportAt = now, now, now, now
	if s.gap.have = s.c.o.Replica.Position(); s.gap.have.Epoch == 0 {
		s.gap.askOnce(now)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
		timer.Reset(time.Until(s.wake()))
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.lost:
			return err
		case m := <-s.inbox:
			s.queued.Add(-int64(len(m.Payload())))
			s.handle(ctx, m)
		case <-s.full:
			s.gap.askOnce(time.Now().Add(s.c.o.NeedAfter))
		case <-s.c.panel:
			s.panelAt = time.Now()
			if s.c.o.Clock() != s.clock {
				s.stateAt = s.panelAt
			}
		case <-s.c.o.Replica.StatusReady():
			s.statuses.more = true
		case <-s.c.o.Replica.EventsReady():
			s.events.more = true
		case <-timer.C:
		}
	}
}

// step does all that is due, in the order in which central wants to see it.
func (s *session) step(ctx context.Context) error {
	now := time.Now()
	if err := s.landed(); err != nil {
		return err
	}
	if due(&s.subscribeAt, now) {
		if err := s.subscribe(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	s.lookAt = time.Time{}
	s.checkLoopback(now)
	for _, send := range []func(time.Time) error{
		s.announceState, s.announcePanel, s.report, s.need, s.statuses.pump, s.events.pump,
	} {
		if len(s.flight) >= maxInFlight {
			s.lookAt = now.Add(lookEvery)
			return nil
		}
		if err := send(now); err != nil {
			return err
		}
	}
	return nil
}

// wake is the next deadline.
func (s *session) wake() time.Time {
	if !s.lookAt.IsZero() {
		return s.lookAt // what is due may not be done before
	}
	next := time.Now().Add(longest)
	for _, t := range []time.Time{
		s.subscribeAt, s.stateAt, s.panelAt, s.reportAt, s.loopbackAt, s.gap.askAt, s.statuses.resendAt, s.events.resendAt,
	} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// due reports whether a deadline has passed, and takes it away.
func due(t *time.Time, now time.Time) bool {
	if t.IsZero() || t.After(now) {
		return false
	}
	*t = time.Time{}
	return true
}

// handle does what one message asks for. It is acknowledged whatever comes of
// it: what failed is asked for, or sent again by central, and a message that is
// held back would only hold up those after it.
func (s *session) handle(ctx context.Context, m mqtt.Message) {
	defer m.Ack()
	system, topic, ok := wire.SplitTopic(m.Topic())
	if !ok || system != s.c.o.SystemID {
		return
	}
	switch topic {
	case wire.TopicChange:
		s.change(ctx, m.Payload())
	case wire.TopicAck:
		s.confirm(ctx, m.Payload())
	case wire.TopicState:
		s.heard(m.Payload(), m.Retained())
	}
}
