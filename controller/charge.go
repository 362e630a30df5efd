package controller

import (
	"context"

	"postern/access"
)

// An entry that can be wrong (a PIN, or a code) is counted as wrong before anybody
// knows whether it is, and a right one takes that back once it was answered. So a
// power cut gives no try back, however quick; and the answer, which waits for that
// commit, comes after the same time whatever was typed.

// charged is a subject for which an entry was counted as wrong.
type charged struct {
	subject string
	key     bool           // it is a key, not an access point
	before  access.Lockout // its count
	began   bool           // the entry began a lockout
}

// answer is a decision with how it came about.
type answer struct {
	access.Decision
	trace access.Trace
}

func answerTo(q access.Query) (a answer) {
	a.Decision, a.trace = access.Explain(q)
	return a
}

// answer decides about a card or a code, or, where pin is not nil, about a card and
// the PIN that was typed after it.
func (p *point) answer(ctx context.Context, ap *access.AccessPoint, q access.Query, pin *string) (answer, []charged, error) {
	if pin == nil {
		unknown := q
		unknown.Keys = nil
		c := p.charge(ctx, ap, q, access.Decide(unknown))
		return answerTo(q), c, nil
	}
	// All answers are there before the PIN is compared: afterwards nothing is left to
	// do but to say one.
	var as [access.PINDuress + 1]answer
	for entry := access.PINRight; entry <= access.PINDuress; entry++ {
		q.PIN = entry
		as[entry] = answerTo(q)
	}
	wrong := as[access.PINWrong]
	if !wrong.CountKey {
		return wrong, nil, nil // the PIN does not matter, or is locked out
	}
	c := p.charge(ctx, ap, q, wrong.Decision)
	entry, err := p.comparePIN(*wrong.Key, *pin)
	return as[entry], c, err
}

// charge counts an entry as wrong and commits that, as far as the decision about a
// wrong one says.
func (p *point) charge(ctx context.Context, ap *access.AccessPoint, q access.Query, wrong access.Decision) (out []charged) {
	if wrong.CountKey {
		out = append(out, charged{subject: keySubject(*wrong.Key), key: true})
	}
	if wrong.CountPad {
		out = append(out, charged{subject: pointSubject(ap)})
	}
	rules := q.Policy.Lockout.Or(access.DefaultLockout())
	counts := map[string]access.Lockout{}
	for i := range out {
		c := &out[i]
		var err error
		if c.before, err = p.c.lockout(c.subject); err != nil {
			// What can't be read is counted anew: it is written in any case.
			p.c.opts.Log.Error("read lockout", "reader", p.w.ID, "error", err)
		}
		tries := rules.PointTries
		if c.key {
			tries = rules.KeyTries
		}
		counts[c.subject], c.began = c.before.FailBy(p.c.opts.Clock().Now, tries, q.Policy.Lockout)
	}
	p.c.setLockouts(ctx, counts)
	return out
}

// wrong reports whether the entry was wrong for this subject.
func (c *charged) wrong(d access.Decision) bool { return c.key && d.CountKey || !c.key && d.CountPad }

// event is what is journalled where the entry began a lockout.
func (c *charged) event(ap *access.AccessPoint, d access.Decision) access.Event {
	e := access.Event{Type: access.KeypadLockedOut, Door: ap.Door, Point: ap.ID}
	if c.key {
		e.Type, e.Key, e.KeyType = access.KeyLockedOut, d.Key.ID, d.Key.Type
	}
	return e
}

// settle takes back what was counted of an entry that was not wrong, after its
// answer.
func (p *point) settle(ctx context.Context, d access.Decision, list []charged) {
	counts := map[string]access.Lockout{}
	for _, c := range list {
		switch {
		case c.wrong(d):
		case d.Granted():
			counts[c.subject] = c.before.Succeed(c.key)
		default:
			counts[c.subject] = c.before
		}
	}
	p.c.setLockouts(ctx, counts)
}
