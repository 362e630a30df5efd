package sync

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

// A policy goes to the site as it came; what became of it goes out, then and on
// each connection, with the panel as it is now.
func TestPolicy(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		if n := len(s.heardOn(wire.TopicPolicyStatus)); n != 0 {
			t.Errorf("%d policy statuses of a panel that has had no policy", n)
		}
		s.forget()
		s.site.status.Faults = []wire.PolicyFault{{Path: "doors[0]", Message: strings.Repeat("long ", 200)}}
		s.tell(wire.TopicPolicy, []byte(`{"epoch":3,"revision":1}`))
		s.pass(time.Second)
		if d := cmp.Diff([]string{`{"epoch":3,"revision":1}`}, s.site.policies); d != "" {
			t.Errorf("policies (-want +got):\n%s", d)
		}
		st := heard[wire.PolicyStatus](s, wire.TopicPolicyStatus)
		if len(st) != 1 || st[0].Version != (wire.Version{Epoch: 3, Revision: 1}) || len(st[0].Faults) != 1 {
			t.Errorf("policy statuses are %+v", st)
		}
		if n := len(heard[wire.Panel](s, wire.TopicPanel)); n != 1 {
			t.Errorf("the panel was announced %d times, want once", n)
		}
		if got := s.reportedNow().Policy; got != (wire.Version{Epoch: 3, Revision: 1}) {
			t.Errorf("reported policy %v", got)
		}
		s.forget()
		s.reconnect()
		if st := heard[wire.PolicyStatus](s, wire.TopicPolicyStatus); len(st) != 1 || st[0].Revision != 1 {
			t.Errorf("on the next connection the policy statuses are %+v", st)
		}
		s.forget()
		s.PanelChanged()
		synctest.Wait()
		if len(heard[wire.PolicyStatus](s, wire.TopicPolicyStatus)) != 1 || len(s.reports()) != 1 {
			t.Errorf("a change at the panel was not told")
		}
	})
}

func TestModes(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		order := wire.DoorModes{Version: wire.Version{Epoch: 3, Revision: 2}, Doors: []wire.DoorOrder{{Door: wire.AllDoors, Mode: "LockedDown"}}}
		s.tell(wire.TopicModes, wire.Encode(order))
		s.pass(time.Second)
		if d := cmp.Diff([]wire.DoorModes{order}, s.site.orders); d != "" {
			t.Errorf("modes (-want +got):\n%s", d)
		}
		if got := s.reportedNow().Modes; got != order.Version {
			t.Errorf("reported modes %v, want %v", got, order.Version)
		}
		s.site.set(func(f *fakeSite) { f.fail = errDisk })
		order.Revision++
		s.tell(wire.TopicModes, wire.Encode(order))
		s.tell(wire.TopicModes, []byte(`{"epoch":3,"revision":4,"doors":[{"door":"front","mode":"Ajar"}]}`))
		s.pass(time.Second)
		if st := s.Status(); st.ModeErrors != 1 || st.BadEnvelopes != 1 || s.reportedNow().Modes.Revision != 2 {
			t.Errorf("status is %+v, modes %+v", st, s.reportedNow().Modes)
		}
		if s.unackedNow() != 0 {
			t.Errorf("%d messages not acknowledged", s.unackedNow())
		}
	})
}

// say sends a command and gives the panel's answer to it.
func (s *station) order(c wire.Command) wire.CommandResult {
	s.t.Helper()
	s.forget()
	s.tell(wire.TopicCommand, wire.Encode(c))
	r := heard[wire.CommandResult](s, wire.TopicResult)
	if len(r) != 1 || r[0].ID != c.ID {
		s.t.Fatalf("answers to %+v are %+v", c, r)
	}
	return r[0]
}

func (s *station) challenge(id uint64) string {
	s.t.Helper()
	r := s.order(wire.Command{ID: keyID(id), Name: wire.CommandChallenge})
	if r.Result != wire.CommandDone || len(r.Nonce) != 2*nonceEntropy {
		s.t.Fatalf("challenge is answered by %+v", r)
	}
	return r.Nonce
}

// An unlock needs a nonce of the last ten seconds that has not been used.
func TestUnlock(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		unlock := func(id uint64, nonce string) wire.CommandResult {
			t.Helper()
			return s.order(wire.Command{ID: keyID(id), Name: wire.CommandUnlock, Nonce: nonce, Target: "front"})
		}
		refused := func(r wire.CommandResult) {
			t.Helper()
			if r.Result != wire.CommandRefused || r.Error != errNonce.Error() {
				t.Errorf("unlock is answered by %+v, want refused", r)
			}
		}
		refused(unlock(1, ""))
		refused(unlock(2, "3f6c1d0a9b8e7f50"))
		first, second := s.challenge(3), s.challenge(4)
		if first == second {
			t.Error("two nonces are the same")
		}
		s.pass(4 * time.Second)
		if r := unlock(5, first); r.Result != wire.CommandDone || r.Error != "" {
			t.Errorf("unlock is answered by %+v, want done", r)
		}
		if d := cmp.Diff([]time.Duration{6 * time.Second}, s.site.ends); d != "" {
			t.Errorf("time left for the unlock (-want +got):\n%s", d)
		}
		refused(unlock(6, first)) // used
		s.reconnect()
		if r := unlock(5, first); r.Result != wire.CommandDone {
			t.Errorf("the repeated unlock is answered by %+v, want the result it had", r)
		}
		s.pass(6 * time.Second)
		refused(unlock(7, second)) // too old
		if d := cmp.Diff([]string{"unlock front"}, s.site.done); d != "" {
			t.Errorf("commands done (-want +got):\n%s", d)
		}
		// What asks for many nonces makes the oldest worthless.
		oldest := s.challenge(10)
		for i := range uint64(maxNonces) {
			s.challenge(11 + i)
		}
		refused(unlock(8, oldest))
		if got := s.Status().Commands; got != 9+maxNonces {
			t.Errorf("%d commands counted", got)
		}
	})
}

// A command is done once, whatever becomes of its answer.
func TestCommands(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		identify := wire.Command{ID: keyID(1), Name: wire.CommandIdentify, Target: "front-in"}
		for range 3 {
			if r := s.order(identify); r.Result != wire.CommandDone {
				t.Errorf("answer is %+v, want done", r)
			}
			s.reconnect()
		}
		s.site.set(func(f *fakeSite) { f.fail = errors.New("no such person " + strings.Repeat("x", 600)) })
		forgive := wire.Command{ID: keyID(2), Name: wire.CommandForgive, Target: "somebody", Nonce: s.challenge(4)}
		r := s.order(forgive)
		if r.Result != wire.CommandRefused || !strings.HasPrefix(r.Error, "no such person x") {
			t.Errorf("answer is %+v, want refused", r)
		}
		s.site.set(func(f *fakeSite) { f.fail = nil })
		if again := s.order(forgive); again != r {
			t.Errorf("answer is %+v, want the one before", again)
		}
		for i, nonce := range []string{"", forgive.Nonce, "0123"} {
			r := s.order(wire.Command{ID: keyID(5 + uint64(i)), Name: wire.CommandForgive, Nonce: nonce})
			if r.Result != wire.CommandRefused || r.Error != errNonce.Error() {
				t.Errorf("answer to a forgive with the nonce %q is %+v, want refused", nonce, r)
			}
		}
		if r := s.order(wire.Command{ID: keyID(3), Name: "reboot"}); r.Result != wire.CommandRefused || r.Error != "the command is unknown to this panel" {
			t.Errorf("answer is %+v, want unknown", r)
		}
		if d := cmp.Diff([]string{"identify front-in", "forgive somebody"}, s.site.done); d != "" {
			t.Errorf("commands done (-want +got):\n%s", d)
		}
		for i := range uint64(maxResults) {
			s.order(wire.Command{ID: keyID(100 + i), Name: wire.CommandIdentify, Target: "in"})
		}
		s.order(identify) // forgotten by now
		if got := len(s.site.done); got != 2+maxResults+1 {
			t.Errorf("%d commands done, want %d", got, 2+maxResults+1)
		}
	})
}

// What the broker kept, or can't be read, is no command.
func TestNoCommand(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		s.forget()
		c := wire.Command{ID: keyID(1), Name: wire.CommandIdentify}
		s.send(wire.TopicCommand, wire.Encode(c), true)
		s.tell(wire.TopicCommand, []byte(`{"name":"unlock"}`))
		if n := len(s.heardOn(wire.TopicResult)); n != 0 || len(s.site.done) != 0 {
			t.Errorf("%d answers, commands %v", n, s.site.done)
		}
		var details []string
		for _, e := range s.journal.list() {
			details = append(details, e.Detail)
		}
		if d := cmp.Diff([]string{"command: a command is never retained", "command: id: is missing"}, details); d != "" {
			t.Errorf("journal (-want +got):\n%s", d)
		}
	})
}

// A panel without a site refuses, and says nothing of policies.
func TestNoSite(t *testing.T) {
	inVirtualTime(t, func(o *Options, _ *memory) { o.Site = nil }, func(s *station) {
		s.tell(wire.TopicPolicy, []byte(`{}`))
		s.tell(wire.TopicModes, []byte(`{}`))
		if r := s.order(wire.Command{ID: keyID(1), Name: wire.CommandChallenge}); r.Result != wire.CommandRefused || r.Nonce != "" {
			t.Errorf("answer is %+v, want refused", r)
		}
		if n := len(s.heardOn(wire.TopicPolicyStatus)); n != 0 || s.unackedNow() != 0 {
			t.Errorf("%d policy statuses, %d messages not acknowledged", n, s.unackedNow())
		}
	})
}

// An unlock does not wait for a policy that takes long; policies keep their order.
func TestCommandsPassPolicies(t *testing.T) {
	inVirtualTime(t, nil, func(s *station) {
		s.site.set(func(f *fakeSite) { f.hold = make(chan struct{}) })
		s.tell(wire.TopicPolicy, []byte(`1`))
		s.tell(wire.TopicPolicy, []byte(`2`))
		if r := s.order(wire.Command{ID: keyID(1), Name: wire.CommandIdentify}); r.Result != wire.CommandDone {
			t.Errorf("answer is %+v", r)
		}
		s.tell(wire.TopicChange, changesOf(1, 1, 1))
		if s.m.Position().Revision != 1 || s.unackedNow() != 2 {
			t.Errorf("at revision %d with %d messages not acknowledged", s.m.Position().Revision, s.unackedNow())
		}
		s.site.set(func(f *fakeSite) { close(f.hold); f.hold = nil })
		synctest.Wait()
		if got := fmt.Sprint(s.site.policies); got != "[1 2]" || s.unackedNow() != 0 {
			t.Errorf("policies %v, %d messages not acknowledged", got, s.unackedNow())
		}
	})
}

// Of many changes at once those that continue each other are committed at once,
// and acknowledged after it.
func TestGrouping(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m); m.block = make(chan struct{}) }, func(s *station) {
		for r := uint64(11); r <= 60; r++ {
			s.send(wire.TopicChange, changesOf(1, r, r), false)
		}
		s.send(wire.TopicChange, changesOf(1, 59, 60), false) // again
		s.send(wire.TopicChange, changesOf(1, 61, 62), false)
		s.send(wire.TopicChange, changesOf(2, 63, 63), false) // another epoch
		s.send(wire.TopicChange, changesOf(1, 63, 63), false)
		s.send(wire.TopicChange, changesOf(1, 65, 65), false) // after a gap
		synctest.Wait()
		if got := s.unackedNow(); got != 55 {
			t.Errorf("%d messages not acknowledged before the commit, want all 55", got)
		}
		s.m.free()
		synctest.Wait()
		want := [][2]uint64{{11, 11}, {12, 60}, {59, 62}, {63, 63}, {63, 63}, {65, 65}}
		if d := cmp.Diff(want, s.m.applies); d != "" {
			t.Errorf("commits (-want +got):\n%s", d)
		}
		st := s.Status()
		if st.Applied != 53 || st.Commits != 4 || st.Gaps != 1 || st.WrongEpochs != 1 || s.unackedNow() != 0 {
			t.Errorf("status is %+v, %d messages not acknowledged", st, s.unackedNow())
		}
	})
}

// A few changes are reported together, after a while; many at once, as central
// would send no more of them before.
func TestManyAreReportedAtOnce(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m) }, func(s *station) {
		s.forget()
		upTo := func(last uint64) {
			s.tell(wire.TopicChange, changesOf(1, s.m.Position().Revision+1, last))
		}
		upTo(11)
		upTo(10 + reportEvery - 1)
		if r := s.reports(); len(r) != 0 {
			t.Errorf("%d changes were reported at once: %+v", reportEvery-1, r)
		}
		upTo(10 + reportEvery)
		if r := s.reports(); len(r) != 1 || r[0].Revision != 10+reportEvery {
			t.Errorf("after %d changes the reports are %+v", reportEvery, r)
		}
		upTo(10 + reportEvery + 1)
		s.pass(time.Second)
		if r := s.reports(); len(r) != 2 || r[1].Revision != 10+reportEvery+1 {
			t.Errorf("after the last change the reports are %+v", r)
		}
	})
}

// A message that overtook others is kept until its turn has come, and nothing is
// asked for.
func TestOvertaken(t *testing.T) {
	for _, c := range []struct {
		name string
		send [][2]uint64 // revisions after the first ten; {0, 0} is of another epoch
		last uint64
		gaps uint64
	}{
		{"one", [][2]uint64{{12, 12}, {11, 11}}, 12, 1},
		{"far", [][2]uint64{{11, 11}, {15, 16}, {12, 12}, {13, 14}, {17, 17}}, 17, 1},
		{"two, each by itself", [][2]uint64{{15, 15}, {13, 13}, {11, 12}, {14, 14}}, 15, 2},
		{"twice, and longer", [][2]uint64{{12, 12}, {12, 14}, {13, 13}, {11, 11}}, 14, 3},
		{"another epoch between", [][2]uint64{{12, 12}, {0, 0}, {11, 11}}, 12, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m) }, func(s *station) {
				s.forget()
				for _, r := range c.send {
					if r[0] == 0 {
						s.tell(wire.TopicChange, changesOf(2, 1, 1))
						continue
					}
					s.tell(wire.TopicChange, changesOf(1, r[0], r[1]))
				}
				s.pass(9 * time.Second)
				if p := s.m.Position(); p.Revision != c.last || len(s.needs()) != 0 || s.unackedNow() != 0 {
					t.Errorf("at %d of %d after the needs %+v, %d messages not acknowledged", p.Revision, c.last, s.needs(), s.unackedNow())
				}
				if st := s.Status(); st.Gaps != c.gaps {
					t.Errorf("%d gaps, want %d", st.Gaps, c.gaps)
				}
			})
		})
	}
}

// One change that the store can't take keeps none of its neighbours out.
func TestGroupWithPoison(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m); m.block, m.poison = make(chan struct{}), 14 }, func(s *station) {
		for r := uint64(11); r <= 16; r++ {
			s.send(wire.TopicChange, changesOf(1, r, r), false)
		}
		synctest.Wait()
		s.m.free()
		synctest.Wait()
		if st := s.Status(); s.m.Position().Revision != 13 || st.ApplyErrors != 1 || st.Gaps != 2 || s.unackedNow() != 0 {
			t.Errorf("at %d, status is %+v", s.m.Position().Revision, st)
		}
		s.m.set(func(m *memory) { m.poison = 0 })
		s.pass(10 * time.Second)
		if n := s.needs(); len(n) != 1 || n[0].HaveRevision != 13 {
			t.Errorf("needs are %+v, want one from 13", n)
		}
	})
}

func TestGroupIsBounded(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 0)(m); m.block = make(chan struct{}) }, func(s *station) {
		for r := uint64(1); r <= 3*maxGroup; r += 100 {
			s.send(wire.TopicChange, changesOf(1, r, r+99), false)
		}
		synctest.Wait()
		s.m.free()
		synctest.Wait()
		for _, a := range s.m.applies {
			if n := a[1] - a[0] + 1; n > maxGroup {
				t.Errorf("%d revisions were committed at once", n)
			}
		}
		if got := s.m.Position().Revision; got != 3*maxGroup || len(s.m.applies) != 4 {
			t.Errorf("at %d after commits %v", got, s.m.applies)
		}
	})
}

// Confirmations that came meanwhile are one: the last of each boot.
func TestOutrun(t *testing.T) {
	other := keyID(7)
	var got []wire.Through
	for _, a := range []*wire.Through{{BootID: boot, Seq: 3}, nil, {BootID: boot, Seq: 5}, {BootID: boot, Seq: 4}, {BootID: other, Seq: 9}, {BootID: other, Seq: 10}} {
		got = outrun(got, a)
	}
	want := []wire.Through{{BootID: boot, Seq: 5}, {BootID: boot, Seq: 4}, {BootID: other, Seq: 10}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("confirmations (-want +got):\n%s", d)
	}
}

// More messages than the panel may hold are dropped, and then asked for; what
// central says once in a connection, by a state of the panel.
func TestBounds(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m); m.block = make(chan struct{}) }, func(s *station) {
		for r := range uint64(maxQueued) {
			s.send(wire.TopicChange, changesOf(1, 11+r, 11+r), false)
		}
		synctest.Wait()
		if got := s.Status().Dropped; got != 0 {
			t.Errorf("%d dropped, want none", got)
		}
		s.tell(wire.TopicChange, changesOf(1, 11+maxQueued, 11+maxQueued))
		s.forget()
		if got := s.Status().Dropped; got != 1 {
			t.Errorf("%d dropped, want one", got)
		}
		s.m.free()
		s.pass(20 * time.Second)
		if n := s.needs(); len(n) != 1 || n[0].HaveRevision != 10+maxQueued {
			t.Errorf("needs are %+v, want one from %d", n, 10+maxQueued)
		}
		if n := len(s.heardOn(wire.TopicState)); n != 0 {
			t.Errorf("%d states, want none", n)
		}
		// The bytes count, too.
		s.m.set(func(m *memory) { m.block = make(chan struct{}) })
		padding := `{"x":"` + strings.Repeat("x", 128<<10) + `",`
		first := s.m.Position().Revision + 1
		for r := range uint64(64) {
			s.send(wire.TopicChange, append([]byte(padding), changesOf(1, first+r, first+r)[1:]...), false)
		}
		s.tell(wire.TopicModes, []byte(padding+`"epoch":1,"revision":1}`))
		if got := s.Status().Dropped; got < 2 || got > 4 {
			t.Errorf("%d dropped", got)
		}
		s.m.free()
		s.pass(20 * time.Second)
		if n := len(s.heardOn(wire.TopicState)); n != 1 {
			t.Errorf("%d states, want one so that central says its modes again", n)
		}
	})
}

// Only what a trusted key signed is looked into; a chunk needs no signature.
func TestSignatures(t *testing.T) {
	key := signingKey(1)
	trust := wire.Trust{"a": publicOf(key), "b": publicOf(signingKey(2))}
	good := map[wire.Topic][]byte{
		wire.TopicChange:  changesOf(1, 1, 1),
		wire.TopicDesired: wire.Encode(wire.Desired{Epoch: 1, Revision: 9}),
		wire.TopicPolicy:  []byte(`{}`),
		wire.TopicModes:   wire.Encode(wire.DoorModes{Version: wire.Version{Epoch: 1, Revision: 1}, Doors: []wire.DoorOrder{}}),
		wire.TopicAck:     wire.Encode(wire.Ack{Events: &wire.Through{BootID: boot, Seq: 1}}),
		wire.TopicCommand: wire.Encode(wire.Command{ID: keyID(1), Name: wire.CommandIdentify}),
	}
	inVirtualTime(t, func(o *Options, _ *memory) { o.Trust = trust }, func(s *station) {
		s.m.addEvents(1)
		synctest.Wait()
		untouched := func() bool {
			_, events := s.m.held()
			return s.m.Position().Revision == 0 && len(s.site.policies)+len(s.site.orders)+len(s.site.done) == 0 && events == 1
		}
		bad := 0
		for topic, payload := range good {
			other := wire.TopicAck
			if topic == other {
				other = wire.TopicChange
			}
			for _, m := range [][]byte{
				payload,
				[]byte("\xff"),
				wire.Sign(key, "a", "gate-2", topic, payload),
				wire.Sign(key, "a", system, other, payload),
				wire.Sign(key, "b", system, topic, payload),
				wire.Sign(signingKey(3), "c", system, topic, payload),
			} {
				s.tell(topic, m)
				if bad++; !untouched() {
					t.Fatalf("%s: %.80q was taken", topic, m)
				}
			}
		}
		st := s.Status()
		if st.BadSignatures != uint64(bad) || st.BadEnvelopes != uint64(bad) || st.Unsigned || s.unackedNow() != 0 {
			t.Errorf("status is %+v, want %d bad signatures", st, bad)
		}
		if e := s.journal.list(); len(e) == 0 || e[0].Type != access.BadEnvelope {
			t.Errorf("journal is %+v", e)
		}
		if s.reportedNow().Unsigned {
			t.Error("the panel says that it takes what nobody signed")
		}
		for topic, payload := range good {
			s.tell(topic, wire.Sign(key, "a", system, topic, payload))
		}
		_, events := s.m.held()
		if s.m.Position().Revision != 1 || len(s.site.policies) != 1 || len(s.site.orders) != 1 || len(s.site.done) != 1 || events != 0 {
			t.Errorf("signed messages were not all taken: revision %d, site %+v, %d events", s.m.Position().Revision, s.site, events)
		}
		s.tell(wire.TopicChange, wire.Sign(signingKey(2), "b", system, wire.TopicChange, changesOf(1, 2, 2)))
		if s.m.Position().Revision != 2 {
			t.Error("the second key's signature was not taken")
		}
		m, data := snapshotOf(1, 1, 5, 1)
		s.tell(wire.TopicDesired, desired(m))
		if s.m.stages != 0 {
			t.Fatal("an unsigned manifest was taken")
		}
		s.tell(wire.TopicDesired, wire.Sign(key, "a", system, wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 1, Revision: 9, Snapshot: wire.SnapshotOf(m)})))
		s.serve(m, data, 0)
		if s.m.Position().Revision != 5 {
			t.Error("the snapshot was not installed")
		}
	})
	for topic := range good {
		if !topic.Signed() {
			t.Errorf("%s is not signed", topic)
		}
	}
	for _, topic := range wire.DownTopics() {
		if _, ok := good[topic]; topic.Signed() && !ok {
			t.Errorf("%s was not tried", topic)
		}
	}
}

// A panel says which start wrote the row that was confirmed last, as long as it
// knows, and is of the row before the one that it reports.
func TestReportedConfirmed(t *testing.T) {
	other := keyID(77)
	inVirtualTime(t, func(_ *Options, m *memory) { stand(1, 10)(m) }, func(s *station) {
		report := func(seq uint64) wire.Reported {
			t.Helper()
			s.tell(wire.TopicChange, changesOf(1, s.m.Position().Revision+1, s.m.Position().Revision+1))
			if seq > 0 {
				s.tell(wire.TopicAck, wire.Encode(wire.Ack{Status: &wire.Through{BootID: boot, Seq: seq}}))
			}
			s.pass(time.Second)
			return s.reportedNow()
		}
		if r := report(0); !r.StatusBoot.IsZero() || r.Statuses != 1 {
			t.Errorf("reported %+v before anything was confirmed", r)
		}
		if r := report(2); r.StatusBoot != boot || r.Statuses != 3 {
			t.Errorf("reported %+v, want row 2 of this start as confirmed", r)
		}
		s.m.set(func(m *memory) { m.ackedBoot = other })
		if r := report(0); r.StatusBoot != other || r.Statuses != 3 {
			t.Errorf("reported %+v, want row 2 of another start as confirmed", r)
		}
		s.m.set(func(m *memory) { m.ackedSeq = 1 })
		if r := report(0); !r.StatusBoot.IsZero() {
			t.Errorf("reported %+v, though the row before was not confirmed last", r)
		}
	})
}

// The rows of another start go out when those before them are confirmed: central
// takes the first of them only from a panel that holds none before it.
func TestRowsOfTwoStarts(t *testing.T) {
	earlier := keyID(77)
	inVirtualTime(t, func(_ *Options, m *memory) {
		stand(1, 10)(m)
		for n := range 4 {
			m.addStatus(access.StatusRow{Epoch: 1, Results: []access.Result{{Revision: uint64(n + 1), ID: keyID(uint64(n + 1)), At: time.Unix(1600000000, 0)}}})
			if n < 2 {
				m.statuses[n].BootID = earlier
			}
		}
	}, func(s *station) {
		sent := func() (rows string) {
			t.Helper()
			for _, m := range heard[wire.Statuses](s, wire.TopicStatus) {
				rows += fmt.Sprint(m.BootID == earlier, " ", m.Seq, "; ")
			}
			return rows
		}
		if got := sent(); got != "true 1; true 2; " {
			t.Errorf("sent %s, want the rows of the earlier start alone", got)
		}
		s.tell(wire.TopicAck, wire.Encode(wire.Ack{Status: &wire.Through{BootID: earlier, Seq: 1}}))
		if got := sent(); got != "true 1; true 2; " {
			t.Errorf("after the first was confirmed sent %s", got)
		}
		s.tell(wire.TopicAck, wire.Encode(wire.Ack{Status: &wire.Through{BootID: earlier, Seq: 2}}))
		if got := sent(); got != "true 1; true 2; false 3; false 4; " {
			t.Errorf("after both were confirmed sent %s", got)
		}
	})
}

// A panel that trusts no key takes everything and says so; one with another
// device key says that, too.
func TestReportedWarnings(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { m.lostKey = true }, func(s *station) {
		if r := s.reportedNow(); !r.Unsigned || !r.PINKeyLost || !s.Status().Unsigned {
			t.Errorf("reported %+v", r)
		}
		s.tell(wire.TopicChange, wire.Sign(signingKey(3), "c", system, wire.TopicChange, changesOf(1, 1, 1)))
		s.tell(wire.TopicChange, changesOf(1, 2, 2))
		if got := s.m.Position().Revision; got != 2 {
			t.Errorf("the panel is at %d, want 2", got)
		}
		if slices.ContainsFunc(s.needs(), func(n wire.Need) bool { return n.Want == wire.WantDelta }) {
			t.Error("changes were asked for, where only a snapshot helps")
		}
	})
}
