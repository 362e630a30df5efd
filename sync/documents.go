package sync

import (
	"bytes"
	"context"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

// policy hands a policy document on. Whether it is newer, and right, is for the
// site to say.
func (s *session) policy(ctx context.Context, m mqtt.Message, payload []byte) bool {
	site := s.c.o.Site
	if site == nil {
		s.log.Warn("policy ignored: this panel takes none")
		return false
	}
	doc := bytes.Clone(payload) // the site may keep it
	s.put(ctx, &s.lanes.documents, task{m: m, begin: func() work {
		return func(ctx context.Context) func() {
			st := site.Policy(ctx, doc)
			return func() {
				s.log.Info("policy heard", "epoch", st.Epoch, "revision", st.Revision, "applied", st.Applied, "faults", len(st.Faults))
				now := time.Now()
				s.reply(wire.TopicPolicyStatus, encodePolicy(st))
				s.panelAt = now
				s.reportBy(now.Add(s.c.o.ReportAfter))
			}
		}
	}})
	return true
}

// modes hands door modes on, past a policy that takes its time: a lockdown must not
// wait for that.
func (s *session) modes(ctx context.Context, m mqtt.Message, payload []byte) bool {
	site := s.c.o.Site
	if site == nil {
		s.log.Warn("door modes ignored: this panel takes none")
		return false
	}
	modes, err := wire.Decode[wire.DoorModes](payload)
	if err != nil {
		s.c.bad(string(wire.TopicModes), err)
		return false
	}
	s.put(ctx, &s.lanes.modes, task{m: m, begin: func() work {
		return func(ctx context.Context) func() {
			err := site.Modes(ctx, modes)
			return func() {
				if err != nil && ctx.Err() == nil {
					s.c.update(func(st *Status) { st.ModeErrors++ })
					s.log.Error("door modes can't be put in force", "epoch", modes.Epoch, "revision", modes.Revision, "error", err)
				}
				s.reportBy(time.Now().Add(s.c.o.ReportAfter))
			}
		}
	}})
	return true
}

// maxReplies bounds the replies that wait to be published.
const maxReplies = 256

// reply has an answer published when its turn comes. One that finds no room is
// lost, as one on the way may be: the question comes again.
func (s *session) reply(t wire.Topic, payload []byte) {
	if len(s.say) < maxReplies {
		s.say = append(s.say, said{t, payload})
	}
}
