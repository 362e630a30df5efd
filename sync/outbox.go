package sync

import (
	"context"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// window is how many batches of one outbox may be sent and not confirmed.
const window = 20

// outbox brings rows of the replica to central, in order, from the oldest that
// central has not confirmed. A cursor runs ahead of the confirmations; when
// they stay out it goes back.
type outbox struct {
	s     *session
	name  string
	topic wire.Topic
	next  func(after uint64) (payload []byte, boot access.ID, last uint64, ok bool, err error)
	held  func() (oldest uint64, ok bool, err error)
	ack   func(ctx context.Context, boot access.ID, seq uint64) error

	more     bool      // rows may lie after the cursor
	cursor   uint64    // last row sent
	boot     access.ID // that wrote it
	sent     []uint64  // last row of each batch that is not confirmed
	oldest   uint64    // oldest row held at the last look
	resendAt time.Time // when the cursor goes back; zero while nothing is out
}

func newStatuses(s *session) outbox {
	r := s.c.o.Replica
	return outbox{
		s: s, name: "statuses", topic: wire.TopicStatus, more: true, ack: r.AckStatus,
		next: func(after uint64) ([]byte, access.ID, uint64, bool, error) {
			row, ok, err := r.NextStatus(after)
			if err != nil || !ok {
				return nil, access.ID{}, 0, false, err
			}
			return encodeStatus(row), row.BootID, row.Seq, true, nil
		},
		held: func() (uint64, bool, error) {
			row, ok, err := r.NextStatus(0)
			return row.Seq, ok, err
		},
	}
}

func newEvents(s *session) outbox {
	r := s.c.o.Replica
	first := func(after uint64, limit int) (access.EventRun, bool, error) {
		run, ok, err := r.NextEvents(after, limit)
		return run, ok && len(run.Events) > 0, err
	}
	return outbox{
		s: s, name: "events", topic: wire.TopicEvents, more: true, ack: r.AckEvents,
		next: func(after uint64) ([]byte, access.ID, uint64, bool, error) {
			run, ok, err := first(after, wire.MaxEntries)
			if err != nil || !ok {
				return nil, access.ID{}, 0, false, err
			}
			payload, last := encodeEvents(run)
			return payload, run.BootID, last, true, nil
		},
		held: func() (uint64, bool, error) {
			run, ok, err := first(0, 1)
			if err != nil || !ok {
				return 0, false, err
			}
			return run.Events[0].Seq, true, nil
		},
	}
}

// pump sends what the window has room for.
func (o *outbox) pump(now time.Time) error {
	s := o.s
	if due(&o.resendAt, now) {
		s.log.Info("no confirmation, sending again", "outbox", o.name, "batches", len(o.sent))
		s.c.update(func(st *Status) { st.Resends++ })
		o.cursor, o.sent, o.more = 0, nil, true
	}
	for o.more && len(o.sent) < window && len(s.flight) < maxInFlight {
		payload, boot, last, ok, err := o.next(o.cursor)
		if err == nil && ok && last <= o.cursor {
			err = fmt.Errorf("row %d follows row %d", last, o.cursor)
		}
		if err != nil {
			s.log.Error("outbox can't be read", "outbox", o.name, "error", err)
			o.more, o.resendAt = false, now.Add(s.c.o.ResendAfter)
			return nil
		}
		if !ok {
			o.more = false
			return nil
		}
		if len(o.sent) > 0 && boot != o.boot {
			// Central takes the first row of another boot only when the panel says
			// that it holds none before it.
			o.more = false // until those are confirmed
			return nil
		}
		if err := s.publish(o.topic, payload); err != nil {
			return err
		}
		o.cursor, o.boot, o.sent = last, boot, append(o.sent, last)
		if o.resendAt.IsZero() {
			o.resendAt = now.Add(s.c.o.ResendAfter)
		}
	}
	if o.more && len(o.sent) < window {
		s.lookAt = now.Add(lookEvery)
	}
	return nil
}

// confirm takes central's word for what it has stored.
func (s *session) confirm(ctx context.Context, m mqtt.Message, payload []byte) bool {
	a, err := wire.Decode[wire.Ack](payload)
	if err != nil {
		s.c.bad(string(wire.TopicAck), err)
		return false
	}
	s.put(ctx, &s.lanes.acks, task{m: m, about: a})
	return true
}

// gatherAcks trims by all confirmations that have come. One that another of the
// same boot outruns says nothing more.
func (s *session) gatherAcks(waiting []task) (int, work) {
	var statuses, events []wire.Through
	for _, t := range waiting {
		if a, ok := t.about.(wire.Ack); ok { // always
			statuses, events = outrun(statuses, a.Status), outrun(events, a.Events)
		}
	}
	return len(waiting), func(ctx context.Context) func() {
		thenStatuses := s.trim(ctx, &s.statuses, statuses)
		thenEvents := s.trim(ctx, &s.events, events)
		return func() { thenStatuses(); thenEvents() }
	}
}

func outrun(list []wire.Through, t *wire.Through) []wire.Through {
	if t == nil {
		return list
	}
	if n := len(list); n > 0 && list[n-1].BootID == t.BootID && list[n-1].Seq <= t.Seq {
		list[n-1] = *t
		return list
	}
	return append(list, *t)
}

// trim lets the replica decide whether a confirmation counts, and goes by what
// it still holds: one that names another boot's row moves nothing. Of the
// outbox it uses what never changes.
func (s *session) trim(ctx context.Context, o *outbox, list []wire.Through) (then func()) {
	if len(list) == 0 {
		return func() {}
	}
	var err error
	for _, t := range list {
		if err = o.ack(ctx, t.BootID, t.Seq); err != nil {
			break
		}
	}
	oldest, ok := uint64(0), false
	if err == nil {
		oldest, ok, err = o.held()
	}
	return func() {
		if err != nil {
			s.c.update(func(st *Status) { st.AckErrors++ })
			s.log.Error("confirmation could not be stored", "outbox", o.name, "error", err)
			return
		}
		now := time.Now()
		if !o.settle(oldest, ok, now.Add(s.c.o.ResendAfter)) {
			o.nudge(now.Add(s.c.o.NudgeAfter))
		}
	}
}

// nudge sends again soon what is out. A confirmation that moves nothing says
// where central stands: it has come back, or come later than what was sent.
func (o *outbox) nudge(at time.Time) {
	if len(o.sent) > 0 && at.Before(o.resendAt) {
		o.resendAt = at
	}
}

// settle takes note of the oldest row that is still held (ok false: none), and
// reports whether that is progress.
func (o *outbox) settle(oldest uint64, ok bool, resendAt time.Time) bool {
	n := 0
	for n < len(o.sent) && (!ok || o.sent[n] < oldest) {
		n++
	}
	progress := n > 0 || o.oldest > 0 && oldest > o.oldest // the first look knows no older one
	o.sent, o.oldest = o.sent[n:], oldest
	if !progress {
		return false
	}
	o.more = true
	if o.resendAt = resendAt; len(o.sent) == 0 {
		o.resendAt = time.Time{}
	}
	return true
}
