package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postern/access"
)

// movement is somebody who goes into an area, or with a zero place is forgotten.
type movement struct {
	who access.ID
	at  access.Place
}

func (m movement) apply(p *access.Presence) {
	if m.at.IsZero() {
		p.Forgive(m.who)
	} else {
		p.Move(m.who, m.at.Area, m.at.At)
	}
}

// going is who goes where once the door that a decision releases is opened.
// Access points outside every area move nobody.
func (c *Controller) going(ap *access.AccessPoint, d access.Decision) []movement {
	if ap.From == access.Outside && ap.To == access.Outside {
		return nil
	}
	var out []movement
	for _, who := range []access.ID{d.Who, d.With} {
		if !who.IsZero() {
			out = append(out, movement{who, access.Place{Area: ap.To}})
		}
	}
	return out
}

// move counts people as gone through, now. It waits for no store. Where that leads
// into an area which the policy no longer has, they are nowhere known.
func (c *Controller) move(list []movement) {
	if len(list) == 0 {
		return
	}
	now, p := c.opts.Clock().Now, c.policy.Load()
	c.mu.Lock()
	for _, m := range list {
		if m.at.At = now; m.at.Area != access.Outside && p.Area(m.at.Area) == nil {
			m.at = access.Place{}
		}
		if c.people != nil {
			m.apply(c.people)
		}
		c.moves = append(c.moves, m)
	}
	c.mu.Unlock()
	c.wakePlaces()
}

// place is where somebody is known to be. What can't be read can't be decided on.
func (c *Controller) place(who access.ID) (access.Place, error) {
	if len(c.policy.Load().Areas) == 0 || who.IsZero() {
		return access.Place{}, nil
	}
	if err := c.loadPeople(); err != nil {
		return access.Place{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.people.Of(who), nil
}

func (c *Controller) loadPeople() error {
	c.mu.Lock()
	known := c.people != nil
	c.mu.Unlock()
	if known {
		return nil
	}
	places, err := c.opts.Store.Places()
	if err != nil {
		return fmt.Errorf("read who is where: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.people == nil {
		c.people = &access.Presence{People: places}
		for _, m := range c.moves { // made before it could be read
			m.apply(c.people)
		}
		c.forgetLost(c.policy.Load())
		c.wakePlaces()
	}
	return nil
}

// forgetLost forgets who is in an area that the policy does not have, for good:
// nobody could leave it, and a later policy may have another by its name. c.mu is
// held.
func (c *Controller) forgetLost(p *access.Policy) {
	if c.people == nil {
		return
	}
	for who, at := range c.people.People {
		if at.Area != access.Outside && p.Area(at.Area) == nil {
			c.moves = append(c.moves, movement{who: who})
		}
	}
	c.people.Keep(p)
}

// Inside gives who is in an area, by person or, for a key that names nobody, by
// key.
func (c *Controller) Inside(area string) ([]access.ID, error) {
	if err := c.loadPeople(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.people.Inside(area), nil
}

// Forgive has anti-passback forget where somebody is, everybody for the zero id,
// and gives how many were known. It returns after that is kept.
func (c *Controller) Forgive(ctx context.Context, who access.ID) (int, error) {
	if err := c.loadPeople(); err != nil {
		return 0, err
	}
	c.mu.Lock() // movements that are not kept yet must not be kept after this
	c.moves = slices.DeleteFunc(slices.Clone(c.moves), func(m movement) bool { return who.IsZero() || m.who == who })
	c.mu.Unlock()
	if err := c.opts.Store.SetPlace(ctx, who, access.Place{}); err != nil {
		return 0, fmt.Errorf("forget places: %w", err)
	}
	c.mu.Lock()
	n := c.people.Forgive(who)
	c.mu.Unlock()
	c.Note(access.Event{Type: access.PassbackForgiven, Reason: access.ReasonOperator, Person: who, Detail: fmt.Sprintf("%d forgotten", n)})
	return n, nil
}

func (c *Controller) wakePlaces() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// keepPlaces commits movements, in order. What can't be kept is tried again; in
// memory it counts from the start.
func (c *Controller) keepPlaces(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.moved:
		}
		for {
			c.mu.Lock()
			var m movement
			some := len(c.moves) > 0
			if some {
				m = c.moves[0]
			}
			c.mu.Unlock()
			if !some {
				break
			}
			if err := c.opts.Store.SetPlace(ctx, m.who, m.at); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				c.opts.Log.Error("keep who is where", "error", err)
				if !sleep(ctx, 5*time.Second) {
					return ctx.Err()
				}
				continue
			}
			c.mu.Lock()
			if len(c.moves) > 0 && c.moves[0] == m {
				c.moves = c.moves[1:]
			}
			c.mu.Unlock()
		}
	}
}
