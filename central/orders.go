package central

import (
	"context"
	"time"

	"postern/wire"
)

// command is an order under way: the message that was sent for it, or will be.
type command struct {
	order
	message  wire.Command
	deadline time.Time
	unsent   bool
}

// takeOrders gives panels the commands that wait for them. A panel that is not
// there now is not given them later.
func (e *engine) takeOrders(ctx context.Context) error {
	orders, err := e.store.takeCommands(ctx)
	if err != nil {
		return err
	}
	now := e.now()
	for _, o := range orders {
		p := e.panels[o.system]
		switch {
		case now.Sub(o.given) >= CommandTime || o.given.Sub(now) >= CommandTime:
			err = e.store.endCommand(ctx, o.id, CommandExpired, "it was given too long ago, or the clocks of server and caller differ")
		case p == nil || !p.online:
			err = e.store.endCommand(ctx, o.id, CommandRefused, "the panel is offline")
		default:
			err = e.begin(p, o, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) begin(p *replica, o order, now time.Time) error {
	c := &command{order: o, deadline: now.Add(CommandTime - max(0, now.Sub(o.given))), unsent: true}
	c.message = wire.Command{ID: o.id, Name: o.name, Target: o.target}
	if wire.NeedsNonce(o.name) {
		id, err := newID()
		if err != nil {
			return err
		}
		c.message = wire.Command{ID: id, Name: wire.CommandChallenge, Target: o.target}
	}
	p.commands[c.message.ID] = c
	e.flushCommands(p)
	return nil
}

func (e *engine) flushCommands(p *replica) {
	for _, c := range p.commands {
		if c.unsent && e.out.room(false) && e.now().Before(c.deadline) {
			e.out.publish(p.system, wire.TopicCommand, wire.Encode(c.message))
			c.unsent = false
		}
	}
}

// onCommandResult takes what a panel made of a command. A challenge's nonce
// goes back with the command that it is for, at once.
func (e *engine) onCommandResult(ctx context.Context, p *replica, r wire.CommandResult) error {
	c := p.commands[r.ID]
	if c == nil || c.unsent {
		return nil
	}
	delete(p.commands, r.ID)
	if r.Result == wire.CommandDone && c.message.Name == wire.CommandChallenge {
		if r.Nonce == "" {
			return e.store.endCommand(ctx, c.id, CommandRefused, "the panel gave no nonce")
		}
		next := *c
		next.message, next.unsent = wire.Command{ID: c.id, Name: c.name, Target: c.target, Nonce: r.Nonce}, true
		p.commands[c.id] = &next
		e.flushCommands(p)
		return nil
	}
	state := CommandDone
	if r.Result != wire.CommandDone {
		state = CommandRefused
	}
	e.log.Info("command was answered", "system", p.system, "command", c.name, "target", c.target, "result", state, "error", clean(r.Error))
	return e.store.endCommand(ctx, c.id, state, r.Error)
}

// tendCommands gives up commands whose time is over.
func (e *engine) tendCommands(ctx context.Context, p *replica, now time.Time) error {
	for id, c := range p.commands {
		if now.Before(c.deadline) {
			continue
		}
		delete(p.commands, id)
		if err := e.store.endCommand(ctx, c.id, CommandExpired, "the panel did not answer in time"); err != nil {
			return err
		}
	}
	return nil
}

// document is a document of a panel, as far as it was sent.
type document struct {
	newest  wire.Version
	decided wire.Version // the panel has said what it makes of it
	due     bool
	sent    time.Time
}

// want notes the newest version.
func (d *document) want(v wire.Version) { d.due, d.newest = d.due || v != d.newest, v }

// again has it sent once more, if the panel does not have it.
func (d *document) again() { d.due, d.sent = true, time.Time{} }

// documentResend is after how many times the resend interval a document is sent
// again to a panel that says nothing of it.
const documentResend = 10

// flushDocuments sends policy and door modes that are above those in force on
// the panel, each at once, but not twice within the time that changes take to
// settle.
func (e *engine) flushDocuments(ctx context.Context, p *replica) error {
	now := e.now()
	for i := range p.documents {
		d, kind := &p.documents[i], documentKind(i)
		reported := [documentKinds]wire.Version{p.report.Policy, p.report.Modes}[kind]
		if d.newest.Revision == 0 || !d.newest.Above(reported) {
			continue
		}
		since := now.Sub(d.sent)
		due := d.due && since >= changesSettle || d.decided != d.newest && since >= documentResend*e.resend
		if !due || !e.out.room(false) {
			continue
		}
		payload, v, err := e.store.published(ctx, p.system, kind)
		if err != nil {
			return err
		}
		if payload == nil {
			continue
		}
		e.out.publish(p.system, kind.topic(), payload)
		d.newest, d.due, d.sent = v, false, now
	}
	return nil
}

// onPolicyStatus keeps what a panel says of its newest policy.
func (e *engine) onPolicyStatus(ctx context.Context, p *replica, st wire.PolicyStatus) error {
	if err := fits(st.Epoch, st.Revision); err != nil {
		return err
	}
	p.documents[policyDocument].decided = st.Version
	if !st.Applied && len(st.Faults) > 0 {
		e.log.Warn("panel refuses its policy", "system", p.system, "revision", st.Revision, "faults", len(st.Faults),
			"path", clean(st.Faults[0].Path), "fault", clean(st.Faults[0].Message))
	}
	return e.store.savePolicyStatus(ctx, p.system, st)
}
