package controller

import (
	"errors"
	"fmt"
	"time"

	"postern/access"
)

// ErrNoReader is a reader that the panel does not have, or that no access point
// uses.
var ErrNoReader = errors.New("no such reader")

// Hypothesis is a badge that nobody made.
type Hypothesis struct {
	Reader         string
	Identification access.Identification
	At             time.Time // zero is now
	PIN            string    // "" is not typed yet. A secret
}

// Explain decides what would come of a badge, and how. It changes nothing, and
// counts no wrong PIN: so it is for those who may see who may go where.
func (c *Controller) Explain(h Hypothesis) (access.Decision, access.Trace, error) {
	for _, p := range c.points {
		if p.w.ID != h.Reader {
			continue
		}
		ap := c.policy.Load().PointOf(h.Reader)
		if ap == nil {
			return access.Decision{}, access.Trace{}, fmt.Errorf("%w: no access point uses %q", ErrNoReader, h.Reader)
		}
		credentials := h.Identification.Credentials([]access.Matcher{p.w.Matcher})
		if len(credentials) == 0 {
			return access.Decision{}, access.Trace{}, fmt.Errorf("%w: reader %q can't read this kind of card", ErrRefused, h.Reader)
		}
		q, err := p.query(ap, credentials)
		if err != nil {
			return access.Decision{}, access.Trace{}, err
		}
		if !h.At.IsZero() {
			// The time is asked for, so it is taken as right.
			q.Clock = access.Trusted(h.At)
		}
		if h.PIN != "" && len(q.Keys) == 1 {
			q.PIN, err = p.comparePIN(q.Keys[0], h.PIN)
			if err != nil {
				return access.Decision{}, access.Trace{}, err
			}
		}
		d, t := access.Explain(q)
		return d, t, nil
	}
	return access.Decision{}, access.Trace{}, fmt.Errorf("%w: %q", ErrNoReader, h.Reader)
}
