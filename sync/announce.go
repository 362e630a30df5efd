package sync

import (
	"time"

	"postern/access"
	"postern/wire"
)

// state is what the panel says of itself on this connection.
func (s *session) state(online bool) wire.State {
	o := &s.c.o
	return wire.State{
		Online: online, BootID: o.BootID, ConnSeq: s.seq, Version: clip(o.Version, 64), Clock: clip(o.Clock(), 16),
		TS: o.Now().UTC().Truncate(time.Millisecond),
	}
}

// reported is where the replica stands, under the ids of this connection.
func (s *session) reported(p access.Position) wire.Reported {
	o := &s.c.o
	r := wire.Reported{
		BootID: o.BootID, ConnSeq: s.seq, Epoch: p.Epoch, Revision: p.Revision, Digest: p.Digest, Count: p.Count,
		Unsigned: len(o.Trust) == 0, PINKeyLost: o.Replica.PINKeyLost(), Statuses: s.unconfirmed(),
	}
	if boot, seq := o.Replica.Confirmed(); seq > 0 && seq+1 == r.Statuses {
		r.StatusBoot = boot
	}
	if o.Site != nil {
		r.Policy, r.Modes = o.Site.Versions()
	}
	return r
}

// unconfirmed is the number of the first status row that central has not
// confirmed or, where it has them all, of the next. 0 is not known.
func (s *session) unconfirmed() uint64 {
	next := s.c.o.Replica.LastStatus() + 1 // read first: a row may be added meanwhile
	row, ok, err := s.c.o.Replica.NextStatus(0)
	switch {
	case err != nil:
		return 0
	case ok:
		return row.Seq
	}
	return next
}

func (s *session) announceState(now time.Time) error {
	if !due(&s.stateAt, now) {
		return nil
	}
	state := s.state(true)
	s.clock = s.c.o.Clock()
	s.loopbackAt, s.aliveAt = now.Add(s.c.o.LoopbackAfter), now.Add(s.c.o.AnnounceEvery)
	return s.publish(wire.TopicState, wire.Encode(state))
}

func (s *session) announcePanel(now time.Time) error {
	if !due(&s.panelAt, now) {
		return nil
	}
	payload := wire.Encode(s.c.o.Panel())
	if _, err := wire.Decode[wire.Panel](payload); err != nil {
		s.log.Error("panel can't be announced: central would refuse it", "error", err)
		return nil
	}
	return s.publish(wire.TopicPanel, payload)
}

// announcePolicy says what became of the newest policy.
func (s *session) announcePolicy(now time.Time) error {
	if !due(&s.policyAt, now) || s.c.o.Site == nil {
		return nil
	}
	st, ok := s.c.o.Site.PolicyStatus()
	if !ok {
		return nil
	}
	return s.publish(wire.TopicPolicyStatus, encodePolicy(st))
}

// report says where the replica stands now, which may be further than when the
// report fell due.
func (s *session) report(now time.Time) error {
	if !due(&s.reportAt, now) {
		return nil
	}
	p := s.c.o.Replica.Position()
	s.told = p.Revision
	return s.publish(wire.TopicReported, wire.Encode(s.reported(p)))
}

// heard looks at a state of this panel as the broker has it. The own one shows
// that the way is open in both directions. Another one is of the past when it
// was kept by the broker and the own one has not come back yet; otherwise
// someone may have put it over the own one: a late last will, or another panel
// under this system id.
func (s *session) heard(payload []byte, retained bool) {
	state, err := wire.Decode[wire.State](payload)
	if err != nil {
		s.c.bad(string(wire.TopicState), err)
	}
	if err == nil && state.BootID == s.c.o.BootID && state.ConnSeq == s.seq && state.Online {
		s.loopbackAt, s.unheard = time.Time{}, false
		s.c.update(func(st *Status) { st.LoopbackSeen = true })
		signal(s.c.changed)
		return
	}
	past := retained && !s.loopbackAt.IsZero()
	if past || !s.stateAt.IsZero() {
		return
	}
	s.log.Warn("another state of this panel is at the broker, putting it right",
		"boot_id", state.BootID.String(), "other_conn_seq", state.ConnSeq)
	s.c.update(func(st *Status) { st.StatesRepeated++ })
	// Two panels under one system id would otherwise do nothing else.
	s.stateAt = time.Now().Add(s.c.o.StateAfter)
}

// stillHere has everything announced again now and then. A broker whose queue is
// full drops the newest message and tells nobody; central would take a panel whose
// state was lost so for one that is away, as long as the connection lasts.
func (s *session) stillHere(now time.Time) {
	if due(&s.aliveAt, now) {
		s.stateAt, s.panelAt, s.policyAt, s.reportAt = now, now, now, now
	}
}

func (s *session) checkLoopback(now time.Time) {
	if !due(&s.loopbackAt, now) {
		return
	}
	s.stateAt = now // it may only have been lost
	if s.unheard {
		return
	}
	s.unheard = true
	s.log.Error("own state did not come back from the broker: check that its access rules let this panel write and read its topics")
	s.c.update(func(st *Status) {
		st.LoopbacksMissed++
		st.LoopbackSeen = false
		st.LastError = "the panel's own state did not come back from the broker"
	})
	signal(s.c.changed)
}
