package controller

import (
	"context"
	"slices"
	"time"

	"postern/access"
)

func keySubject(k access.Key) string             { return "key:" + k.ID.String() }
func pointSubject(ap *access.AccessPoint) string { return "point:" + ap.ID }

// query is what a decision about these credentials depends on, but for the PIN.
func (p *point) query(ap *access.AccessPoint, credentials []access.Credential) (access.Query, error) {
	keys, err := p.lookup(credentials)
	if err != nil {
		return access.Query{}, err
	}
	q := access.Query{
		Clock: p.c.opts.Clock(), Mono: p.c.mono(), Policy: p.c.policy.Load(), Point: ap, DoorMode: p.c.doorMode(ap.Door),
		Kind: credentials[0].Kind, Keys: keys, PadLocked: p.lockout(pointSubject(ap)), Pair: *p.pair.Load(),
		Busy: p.c.busy(), FirstCard: p.c.firstCard(ap.Door), Away: p.c.away(),
	}
	if len(keys) == 1 {
		q.KeyLocked = p.lockout(keySubject(keys[0]))
		if q.Place, err = p.c.place(keys[0].Holder()); err != nil {
			return access.Query{}, err
		}
	}
	return q, nil
}

// decide looks the credentials up, asks access.Explain, and acts on the answer. pin
// is what was typed after a card, nil where nothing was, or not yet.
func (p *point) decide(ctx context.Context, ap *access.AccessPoint, credentials []access.Credential, pin *string) access.Decision {
	// Of two doors that exclude each other, one is decided on at a time.
	if p.c.policy.Load().Interlocked(ap.Door) != nil {
		p.c.granting.Lock()
		defer p.c.granting.Unlock()
	}
	q, err := p.query(ap, credentials)
	if err != nil {
		p.storeFault(ap, credentials, err)
		return access.Decision{}
	}
	held := p.heldAfterGrant(credentials)
	if held {
		q.Place = p.last.place
	}
	a, counted, err := p.answer(ctx, ap, q, pin)
	if err != nil {
		p.storeFault(ap, credentials, err)
		p.settle(ctx, access.Decision{}, counted)
		return access.Decision{}
	}
	p.pair.Store(&a.Pair)
	if told := p.c.opts.Decided; told != nil {
		told(p.c.mono() - p.heard)
	}
	switch {
	case a.WantPIN:
		now := p.c.mono()
		p.card = &cardEntry{credentials: credentials, seen: now, until: now + pinWait}
		p.entry.Reset()
		p.w.Device.Indicate(SignalPINWanted)
		return a.Decision
	case a.Granted():
		if !held {
			p.last = lastCard{credentials, p.c.mono(), q.Place}
		}
		p.w.Device.Indicate(SignalGranted)
		p.granted(ap, credentials, a)
	default:
		p.w.Device.Indicate(SignalDenied)
		p.denied(ap, credentials, a, counted)
	}
	p.settle(ctx, a.Decision, counted)
	return a.Decision
}

// heldAfterGrant reports whether a card that was just granted is still being held to
// the reader: for anti-passback it counts once, from its first grant on.
func (p *point) heldAfterGrant(credentials []access.Credential) bool {
	return slices.Equal(p.last.credentials, credentials) && p.c.mono()-p.last.granted < repeatWithin
}

func (p *point) granted(ap *access.AccessPoint, credentials []access.Credential, a answer) {
	if door := p.c.doors[ap.Door]; door != nil {
		door.grant(grant{extended: a.Extended, at: p.c.mono(), going: p.c.going(ap, a.Decision)})
	}
	p.journal(ap, credentials, a.Decision, a.trace)
	p.tell(ap, a.Decision)
}

// tell journals what a grant means besides.
func (p *point) tell(ap *access.AccessPoint, d access.Decision) {
	e := access.Event{Door: ap.Door, Point: ap.ID, Key: d.Key.ID, KeyType: d.Key.Type, Person: d.Key.Person}
	if d.Duress {
		e.Type = access.Duress
		p.c.Note(e)
	}
	if d.Violated {
		e.Type = access.PassbackViolated
		p.c.Note(e)
	}
	if !d.FirstCardUntil.IsZero() {
		e.Type = access.FirstCardCame
		p.c.Note(e)
		p.c.cameFirst(ap.Door, d.FirstCardUntil)
	}
}

// denied journals a denial, and the lockouts that it began.
func (p *point) denied(ap *access.AccessPoint, credentials []access.Credential, a answer, counted []charged) {
	for _, c := range counted {
		if c.began && c.wrong(a.Decision) {
			p.c.Note(c.event(ap, a.Decision))
		}
	}
	p.journal(ap, credentials, a.Decision, a.trace)
}

func (p *point) storeFault(ap *access.AccessPoint, credentials []access.Credential, err error) {
	p.c.opts.Log.Error("decide", "reader", p.w.ID, "error", err)
	p.journal(ap, credentials, access.Decision{Type: access.Denied, Reason: access.ReasonStore}, access.Trace{})
	p.w.Device.Indicate(SignalDenied)
}

// lockout reports whether entries of the subject are refused now. What can't be
// read refuses.
func (p *point) lockout(subject string) bool {
	l, err := p.c.lockout(subject)
	if err != nil {
		p.c.opts.Log.Error("read lockout", "reader", p.w.ID, "error", err)
		return true
	}
	return l.Locked(p.c.opts.Clock().Now)
}

func (c *Controller) lockout(subject string) (access.Lockout, error) {
	c.mu.Lock()
	l, ok := c.lockouts[subject]
	c.mu.Unlock()
	if ok {
		return l, nil
	}
	return c.opts.Store.Lockout(subject)
}

// lockoutWait bounds how long a reader waits for a lockout to be committed: the
// next card must not wait for a dying one's.
const lockoutWait = 3 * time.Second

// setLockouts commits lockouts. What the store can't keep stays in memory: a
// card that has become read-only must not give unlimited tries.
func (c *Controller) setLockouts(ctx context.Context, all map[string]access.Lockout) {
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lockoutWait)
	defer cancel()
	err := c.opts.Store.SetLockouts(ctx, all)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.opts.Log.Error("keep lockouts", "error", err)
	}
	for subject, l := range all {
		if err != nil {
			c.lockouts[subject] = l
		} else {
			delete(c.lockouts, subject)
		}
	}
}

// journal hands a decision to the journal.
func (p *point) journal(ap *access.AccessPoint, credentials []access.Credential, d access.Decision, trace access.Trace) {
	e := access.Event{Type: d.Type, Reason: d.Reason, Door: ap.Door, Point: ap.ID}
	if credentials[0].Kind != access.CodeKind {
		e.Credential = credentials[0].String()
	}
	if d.Key != nil {
		e.Key, e.KeyType, e.Person = d.Key.ID, d.Key.Type, d.Key.Person
		if !d.Key.Identification.IsZero() && !d.Key.Identification.IsCode() {
			e.Credential = d.Key.Identification.Canonical()
		}
	}
	p.c.journal.add(entry{Event: p.c.stamp(e), trace: trace})
}
