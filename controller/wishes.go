package controller

import (
	"context"
	"slices"
	"time"

	"postern/access"
)

// lookAgain is how often what the doors are wanted to be is worked out without
// a cause: the clock may have been set, or come to be believed.
const lookAgain = 10 * time.Second

// hearFirst is how long at a start the doors stay locked until the lockdown inputs
// have told their levels: nothing may be unlocked for an instant before it is
// locked down.
const hearFirst = time.Second

// SetOrders puts the door modes that central wants, and those that an operator at
// the panel does, in the place of those before. They hold until the next, or to
// their own end; an operator's go before central's.
func (c *Controller) SetOrders(central []access.DoorOrder, local ...access.DoorOrder) {
	c.mu.Lock()
	c.changer = ByPanel
	if !slices.Equal(central, c.orders[c.local:]) {
		c.changer = ByCentral
	}
	c.orders, c.local = slices.Concat(local, central), len(local)
	c.mu.Unlock()
	c.poke()
}

// poke has wishes look at once.
func (c *Controller) poke() {
	select {
	case c.poked <- struct{}{}:
	default:
	}
}

// wishes keeps the doors as they are wanted to be, by orders, schedules and
// lockdown inputs. A door that takes no message is told again.
func (c *Controller) wishes(ctx context.Context) error {
	last := map[string]wish{}
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.poked:
		case <-timer.C:
		}
		left := hearFirst - time.Since(began)
		unheard := left > 0 && !c.heardLockdowns()
		clock := c.opts.Clock()
		wait := lookAgain
		if unheard {
			wait = left
		}
		for id, d := range c.doors {
			c.endFirst(id, clock)
			w := c.wish(id, clock)
			if unheard && (!w.ordered || w.order != access.LockedDown && w.order != access.Blocked) {
				continue // what locks waits for nothing
			}
			if d.become(last[id], w, c.endOf(last[id], clock)) {
				last[id] = w
			} else {
				wait = min(wait, time.Second)
			}
			if !w.next.IsZero() {
				// A little after, as the wall clock and the timer's differ.
				wait = min(wait, max(w.next.Sub(clock.Now), 0)+5*time.Millisecond)
			}
		}
		c.checkStale()
		timer.Reset(wait)
	}
}

// heardLockdowns reports whether every lockdown input has told its level, or that
// it can't.
func (c *Controller) heardLockdowns() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(c.opts.Inputs, func(w InputWiring) bool {
		_, heard := c.inputs[w.ID]
		return w.Kind == Lockdown && !heard
	})
}

func (c *Controller) firstCard(door string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first[door]
}

// endFirst forgets a door's first card once its schedule is closed: it counts for
// one opening, whatever the clock and the policy do afterwards.
func (c *Controller) endFirst(door string, clock access.Clock) {
	p := c.policy.Load()
	if d := p.Door(door); d != nil {
		s := p.Schedule(d.UnlockSchedule)
		unsure := clock.State == access.ClockUntrusted && s != nil && !s.Fixed()
		if unsure || s != nil && s.Open(clock.Now, p.Location) {
			return
		}
	}
	c.mu.Lock()
	delete(c.first, door)
	c.mu.Unlock()
}

// cameFirst has a door unlocked until a time, by its schedule.
func (c *Controller) cameFirst(door string, until time.Time) {
	c.mu.Lock()
	c.first[door] = until
	c.mu.Unlock()
	c.poke()
}

func (c *Controller) away() time.Duration {
	if c.opts.Away == nil {
		return 0
	}
	return c.opts.Away()
}

// checkStale tells when keys that need central begin to be denied, and when they
// no longer are.
func (c *Controller) checkStale() {
	after := c.policy.Load().StaleAfter
	stale := after > 0 && c.away() > after
	c.mu.Lock()
	changed := stale != c.stale
	c.stale = stale
	c.mu.Unlock()
	if changed {
		c.Note(access.Event{Type: pick(stale, access.CentralStale, access.CentralBack)})
	}
}

// reserveFor is how long a door counts as released after a grant that it has not
// taken up.
const reserveFor = time.Second

// reservation is the grants on their way to a door, which counts as released until
// its own word is in.
type reservation struct {
	grants int
	until  time.Duration
}

func (c *Controller) reserve(door string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved[door] = reservation{c.reserved[door].grants + 1, c.mono() + reserveFor}
}

// unreserve is for a grant that its door has taken up, or can't get.
func (c *Controller) unreserve(door string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.reserved[door]
	if r.grants--; r.grants > 0 {
		c.reserved[door] = r
	} else {
		delete(c.reserved, door)
	}
}

// busy lists the doors that are open or released.
func (c *Controller) busy() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for id, s := range c.states {
		if s.Open || s.Released || c.reserved[id].until > c.mono() {
			out = append(out, id)
		}
	}
	return out
}

// interlocked gives a door that keeps this one from being released, "" for none.
func (c *Controller) interlocked(door string) string {
	busy := c.busy()
	for _, id := range c.policy.Load().Interlocked(door) {
		if slices.Contains(busy, id) {
			return id
		}
	}
	return ""
}
