package sync

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// Bounds on commands.
const (
	nonceLife    = 10 * time.Second // of a nonce, and of what a command may take
	maxNonces    = 16               // not used yet
	maxResults   = 100              // kept for commands that come again
	nonceEntropy = 16               // bytes
)

// commands is what a panel remembers of commands, over connections: a command
// whose result got lost comes again under the same id. It belongs to the
// session's loop.
type commands struct {
	nonces  []nonce
	results []wire.CommandResult // oldest first
}

// nonce lets one command through. Its end is on the monotonic clock.
type nonce struct {
	text string
	end  time.Time
}

func (c *commands) challenge(now time.Time) string {
	var b [nonceEntropy]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	if len(c.nonces) == maxNonces {
		c.nonces = slices.Delete(c.nonces, 0, 1)
	}
	n := nonce{hex.EncodeToString(b[:]), now.Add(nonceLife)}
	c.nonces = append(c.nonces, n)
	return n.text
}

var errNonce = errors.New("the nonce is unknown, used or too old: ask for a challenge first")

// use takes a nonce away and gives its end.
func (c *commands) use(text string, now time.Time) (end time.Time, err error) {
	i := slices.IndexFunc(c.nonces, func(n nonce) bool { return n.text == text })
	if i < 0 {
		return time.Time{}, errNonce
	}
	end = c.nonces[i].end
	c.nonces = slices.Delete(c.nonces, i, i+1)
	if !now.Before(end) {
		return time.Time{}, errNonce
	}
	return end, nil
}

func (c *commands) result(id access.ID) (wire.CommandResult, bool) {
	i := slices.IndexFunc(c.results, func(r wire.CommandResult) bool { return r.ID == id })
	if i < 0 {
		return wire.CommandResult{}, false
	}
	return c.results[i], true
}

func (c *commands) keep(r wire.CommandResult) {
	if len(c.results) == maxResults {
		c.results = slices.Delete(c.results, 0, 1)
	}
	c.results = append(c.results, r)
}

var errRetained = errors.New("a command is never retained")

// command queues a command. One that the broker kept is of the past.
func (s *session) command(ctx context.Context, m mqtt.Message, payload []byte) bool {
	if m.Retained() {
		s.c.bad(string(wire.TopicCommand), errRetained)
		return false
	}
	c, err := wire.Decode[wire.Command](payload)
	if err != nil {
		s.c.bad(string(wire.TopicCommand), err)
		return false
	}
	s.put(ctx, &s.lanes.commands, task{m: m, begin: func() work { return s.obey(c, time.Now()) }})
	return true
}

// obey does a command whose turn has come, or repeats the result of one that
// was done before.
func (s *session) obey(c wire.Command, now time.Time) work {
	known := &s.c.commands
	if r, ok := known.result(c.ID); ok {
		return func(context.Context) func() { return func() { s.reply(wire.TopicResult, wire.Encode(r)) } }
	}
	done := func(nonce string, err error) func() {
		r := wire.CommandResult{ID: c.ID, Result: wire.CommandDone, Nonce: nonce}
		if err != nil {
			r.Result, r.Error = wire.CommandRefused, clip(err.Error(), maxDetail)
		}
		return func() {
			known.keep(r)
			s.c.update(func(st *Status) { st.Commands++ })
			s.log.Info("command", "id", c.ID.String(), "name", clip(c.Name, 32), "target", c.Target, "result", r.Result, "error", r.Error)
			s.reply(wire.TopicResult, wire.Encode(r))
		}
	}
	end, err := now.Add(nonceLife), error(nil)
	switch {
	case s.c.o.Site == nil:
		err = errors.New("this panel takes no commands")
	case c.Name == wire.CommandChallenge:
		n := known.challenge(now)
		return func(context.Context) func() { return done(n, nil) }
	case wire.NeedsNonce(c.Name):
		end, err = known.use(c.Nonce, now)
	case c.Name == wire.CommandIdentify:
	default:
		err = errors.New("the command is unknown to this panel")
	}
	if err != nil {
		return func(context.Context) func() { return done("", err) }
	}
	return func(ctx context.Context) func() {
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		return done("", s.c.o.Site.Command(ctx, c.Name, c.Target))
	}
}
