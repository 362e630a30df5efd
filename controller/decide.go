package controller

import (
	"context"
	"time"

	"postern/access"
)

func keySubject(k access.Key) string             { return "key:" + k.ID.String() }
func pointSubject(ap *access.AccessPoint) string { return "point:" + ap.ID }

// decide looks the credentials up, asks access.Decide, and acts on the answer.
func (p *point) decide(ctx context.Context, ap *access.AccessPoint, credentials []access.Credential, pin access.PINEntry) access.Decision {
	keys, err := p.lookup(credentials)
	if err != nil {
		p.storeFault(ap, credentials, err)
		return access.Decision{}
	}
	q := access.Query{
		Clock: p.c.opts.Clock(), Policy: p.c.policy.Load(), Point: ap, DoorMode: p.c.doorMode(ap.Door),
		Kind: credentials[0].Kind, Keys: keys, PIN: pin, PadLocked: p.lockout(pointSubject(ap)),
	}
	if len(keys) == 1 {
		q.KeyLocked = p.lockout(keySubject(keys[0]))
	}
	d := access.Decide(q)
	if d.WantPIN {
		now := p.c.mono()
		p.card = &cardEntry{credentials: credentials, seen: now, until: now + pinWait}
		p.entry.Reset()
		p.w.Device.Indicate(SignalPINWanted)
		return d
	}
	if d.Granted() {
		p.granted(ctx, ap, credentials, d, pin)
	} else {
		p.denied(ctx, ap, credentials, d)
	}
	return d
}

func (p *point) granted(ctx context.Context, ap *access.AccessPoint, credentials []access.Credential, d access.Decision, pin access.PINEntry) {
	if door := p.c.doors[ap.Door]; door != nil {
		door.grant(d.Key.Options&access.Extended != 0)
	}
	p.journal(ap, credentials, d)
	p.w.Device.Indicate(SignalGranted)
	if pin == access.PINRight {
		p.succeed(ctx, keySubject(*d.Key), true)
	}
	if pin == access.PINRight || credentials[0].Kind == access.CodeKind {
		p.succeed(ctx, pointSubject(ap), false)
	}
}

// denied counts a wrong entry, and commits that before anybody is told: else a
// power cut would give the tries back.
func (p *point) denied(ctx context.Context, ap *access.AccessPoint, credentials []access.Credential, d access.Decision) {
	if d.CountKey {
		p.fail(ctx, ap, keySubject(*d.Key), access.KeyTries, access.Event{Type: access.KeyLockedOut, Key: d.Key.ID, KeyType: d.Key.Type})
	}
	if d.CountPad {
		p.fail(ctx, ap, pointSubject(ap), access.PointTries, access.Event{Type: access.KeypadLockedOut})
	}
	p.journal(ap, credentials, d)
	p.w.Device.Indicate(SignalDenied)
}

func (p *point) storeFault(ap *access.AccessPoint, credentials []access.Credential, err error) {
	p.c.opts.Log.Error("decide", "reader", p.w.ID, "error", err)
	p.journal(ap, credentials, access.Decision{Type: access.Denied, Reason: access.ReasonStore})
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

func (p *point) fail(ctx context.Context, ap *access.AccessPoint, subject string, tries int, locked access.Event) {
	l, err := p.c.lockout(subject)
	if err != nil {
		p.c.opts.Log.Error("read lockout", "reader", p.w.ID, "error", err)
		return
	}
	l, began := l.Fail(p.c.opts.Clock().Now, tries)
	p.c.setLockout(ctx, subject, l)
	if began {
		locked.Door, locked.Point = ap.Door, ap.ID
		p.c.Note(locked)
	}
}

func (p *point) succeed(ctx context.Context, subject string, whole bool) {
	l, err := p.c.lockout(subject)
	if err != nil || l.IsZero() {
		return
	}
	p.c.setLockout(ctx, subject, l.Succeed(whole))
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

// setLockout commits a lockout. What the store can't keep stays in memory: a
// card that has become read-only must not give unlimited tries.
func (c *Controller) setLockout(ctx context.Context, subject string, l access.Lockout) {
	ctx, cancel := context.WithTimeout(ctx, lockoutWait)
	defer cancel()
	err := c.opts.Store.SetLockout(ctx, subject, l)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.opts.Log.Error("keep lockout", "subject", subject, "error", err)
		c.lockouts[subject] = l
		return
	}
	delete(c.lockouts, subject)
}

// journal hands a decision to the journal.
func (p *point) journal(ap *access.AccessPoint, credentials []access.Credential, d access.Decision) {
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
	p.c.Note(e)
}
