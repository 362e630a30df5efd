package sync

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

const (
	qos          = 1
	maxInFlight  = 100              // publishes that the broker has not acknowledged
	maxQueued    = 1280             // messages received and not done with; central sends 1,000 changes and 64 chunks at most
	maxQueuedLen = 8 << 20          // bytes of them
	goodbye      = 2 * time.Second  // for the last message on a clean stop
	quiesce      = time.Second      // for the MQTT library to stop its goroutines
	lookEvery    = time.Second      // whether publishes were acknowledged, when too many were not
	protocol     = 4                // MQTT 3.1.1
	refused      = byte(0x80)       // least return code of a SUBACK that means failure
	longest      = 10 * time.Minute // the loop wakes at least this often
)

// session is one connection. Its fields belong to the goroutine of run, except
// for the channels and the counts, through which the MQTT library's come in.
type session struct {
	c         *Client
	log       *slog.Logger
	seq       uint64
	conn      net.Conn // nil when the options have a client of their own
	mq        mqtt.Client
	inbox     chan mqtt.Message
	queued    atomic.Int64  // messages in inbox and in lanes
	queuedLen atomic.Int64  // bytes of them
	full      chan struct{} // a message found no room
	missed    chan struct{} // one that central says once in a connection
	lost      chan error

	lanes lanes
	work  sync.WaitGroup // what the lanes have begun
	done  chan finished

	flight []mqtt.Token // publishes that the broker has not acknowledged
	say    []said       // answers to publish
	told   uint64       // revision last reported
	clock  string       // as last announced

	// Deadlines; zero is none.
	subscribeAt, stateAt, panelAt, policyAt, reportAt, loopbackAt, aliveAt, lookAt time.Time
	unheard                                                                        bool // the own state did not come back

	gap      gap
	ahead    ahead
	fetch    fetch
	statuses outbox
	events   outbox
}

// said is a message to publish.
type said struct {
	topic   wire.Topic
	payload []byte
}

func (c *Client) newSession(conn net.Conn) *session {
	c.connSeq++
	s := &session{
		c: c, seq: c.connSeq, log: c.log.With("conn_seq", c.connSeq), conn: conn,
		inbox: make(chan mqtt.Message, maxQueued), full: make(chan struct{}, 1), missed: make(chan struct{}, 1),
		lost: make(chan error, 1), done: make(chan finished, numLanes),
	}
	s.statuses, s.events = newStatuses(s), newEvents(s)
	s.fetch.ask = backoff{min: c.o.NeedAfter, max: slowest(c.o.NeedAfter)}
	s.lanes.changes.gather, s.lanes.acks.gather = s.gatherChanges, s.gatherAcks
	return s
}

// connect makes one connection and works on it until it ends; nil is that ctx
// is done.
func (c *Client) connect(ctx context.Context) error {
	conn, err := c.open(ctx)
	if err != nil {
		return err
	}
	s := c.newSession(conn)
	defer s.settleWork()
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
	n, size := s.queued.Add(1), s.queuedLen.Add(int64(len(m.Payload())))
	if n <= maxQueued && size <= maxQueuedLen {
		select {
		case s.inbox <- m:
			return
		default:
		}
	}
	s.c.update(func(st *Status) { st.Dropped++ })
	if _, topic, ok := wire.SplitTopic(m.Topic()); ok && topic.Retained() {
		signal(s.missed)
	}
	signal(s.full)
	s.release(m)
}

// run works until ctx is done (nil) or the connection ends.
func (s *session) run(ctx context.Context) error {
	now := time.Now()
	s.subscribeAt, s.stateAt, s.panelAt, s.policyAt, s.reportAt = now, now, now, now, now
	s.gap.have = s.c.o.Replica.Position()
	s.resume(ctx)
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
			s.handle(ctx, m)
		case f := <-s.done:
			s.finish(ctx, f)
		case r := <-s.c.installed:
			s.installed(ctx, r)
		case <-s.full:
			s.gap.askOnce(time.Now().Add(s.c.o.NeedAfter))
		case <-s.missed:
			s.hearAgain()
		case <-s.c.panel:
			s.panelAt = time.Now()
			s.policyAt = s.panelAt
			s.reportBy(s.panelAt)
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
	s.stillHere(now)
	s.checkFetch(ctx, now)
	for _, send := range []func(time.Time) error{
		s.announceState, s.announcePanel, s.announcePolicy, s.report, s.answer, s.need, s.needSnapshot, s.needChunks,
		s.statuses.pump, s.events.pump,
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
		s.subscribeAt, s.stateAt, s.panelAt, s.policyAt, s.reportAt, s.loopbackAt, s.aliveAt, s.gap.askAt, s.statuses.resendAt, s.events.resendAt,
		s.fetch.manifestAt, s.fetch.chunksAt, s.fetch.againAt,
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

// answer publishes what was said in reply.
func (s *session) answer(now time.Time) error {
	for len(s.say) > 0 {
		if len(s.flight) >= maxInFlight {
			s.lookAt = now.Add(lookEvery)
			return nil
		}
		m := s.say[0]
		s.say = append(s.say[:0], s.say[1:]...)
		if err := s.publish(m.topic, m.payload); err != nil {
			return err
		}
	}
	return nil
}

// hearAgain has central say again what it says once in a connection, by
// announcing the state as if it were new.
func (s *session) hearAgain() {
	if s.stateAt.IsZero() {
		s.stateAt = time.Now().Add(s.c.o.NeedAfter)
	}
}

// handle does what one message asks for, or has a lane do it. It is acknowledged
// whatever comes of it: what failed is asked for, or sent again by central, and
// a message that is held back would only hold up those after it.
func (s *session) handle(ctx context.Context, m mqtt.Message) {
	if !s.route(ctx, m) {
		s.release(m)
	}
}

// route reports whether a lane has taken the message.
func (s *session) route(ctx context.Context, m mqtt.Message) bool {
	system, topic, ok := wire.SplitTopic(m.Topic())
	if !ok || system != s.c.o.SystemID {
		return false
	}
	if topic == wire.TopicState {
		s.heard(m.Payload(), m.Retained())
		return false
	}
	if id, n, ok := topic.Chunk(); ok {
		return s.chunk(ctx, m, id, n)
	}
	payload := m.Payload()
	if topic.Signed() {
		var err error
		if payload, err = s.c.o.Trust.Open(system, topic, payload); err != nil {
			s.unsigned(topic, err)
			return false
		}
	}
	if !m.Retained() {
		// What the broker keeps says nothing of who is there now.
		s.c.update(func(st *Status) { st.Heard = time.Now() })
	}
	switch topic {
	case wire.TopicChange:
		return s.change(ctx, m, payload)
	case wire.TopicAck:
		return s.confirm(ctx, m, payload)
	case wire.TopicDesired:
		s.wanted(ctx, payload)
	case wire.TopicPolicy:
		return s.policy(ctx, m, payload)
	case wire.TopicModes:
		return s.modes(ctx, m, payload)
	case wire.TopicCommand:
		return s.command(ctx, m, payload)
	}
	return false
}

// unsigned drops what no trusted key has signed; nobody has looked into it.
func (s *session) unsigned(topic wire.Topic, err error) {
	s.c.update(func(st *Status) { st.BadSignatures++ })
	s.c.bad(string(topic), err)
}
