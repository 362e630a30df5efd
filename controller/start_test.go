package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

// A door that a schedule unlocks must not be released, for an instant only, by a
// start under a lockdown: not one that was ordered, nor one of an input, however
// long that takes to tell its level.
func TestNoStartReleasesUnderALockdown(t *testing.T) {
	lockedDown := []access.DoorOrder{{Door: access.AllDoors, Mode: access.LockedDown}}
	for _, c := range []struct {
		name   string
		orders []access.DoorOrder
		input  bool
		after  time.Duration // until the input tells its level
		fail   bool          // it can't
		want   access.DoorMode
		times  int // that the lock is released
	}{
		{"nothing", nil, false, 0, false, access.Unlocked, 1},
		{"order", lockedDown, false, 0, false, access.LockedDown, 0},
		{"input", nil, true, 0, false, access.LockedDown, 0},
		{"slow input", nil, true, 400 * time.Millisecond, false, access.LockedDown, 0},
		{"faulty input", nil, false, 0, true, access.Unlocked, 1},
		{"silent input", nil, false, time.Hour, false, access.Unlocked, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &access.Policy{Doors: []access.DoorPolicy{{ID: "front", Times: access.DefaultDoorTimes(), UnlockSchedule: access.ScheduleAlways}}}
				if f := p.Compile(); len(f) > 0 {
					t.Fatal(f)
				}
				lock, in := &fakeLock{}, &fakeInput{levels: make(chan bool, 1), fail: make(chan error, 1)}
				ctl := New(Options{
					Doors: []DoorWiring{{ID: "front", Lock: lock}}, Inputs: []InputWiring{{ID: "lockdown", Kind: Lockdown, Device: in}},
					Policy: p, Store: newFakeStore(), Clock: func() access.Clock { return access.Trusted(time.Now()) },
					Observer: &observed{}, Log: slog.New(slog.DiscardHandler),
				})
				ctl.SetOrders(c.orders)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- ctl.Run(ctx) }()
				time.Sleep(c.after % time.Hour)
				switch {
				case c.fail:
					in.fail <- errors.New("is broken")
				case c.after < time.Hour:
					in.levels <- c.input
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if s, _ := ctl.Door("front"); s.Mode != c.want || lock.count() != c.times {
					t.Errorf("the door is %s after %d releases, want %s after %d", s.Mode, lock.count(), c.want, c.times)
				}
				cancel()
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

// Who is in an area that a policy does away with is forgotten for good: a later
// start must not know better.
func TestPlacesGoWithTheirArea(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		areas := func(names ...string) {
			b.rule(func(p *access.Policy) {
				for _, n := range names {
					p.Areas = append(p.Areas, access.Area{ID: n, Passback: access.PassbackHard})
				}
				p.Points[0].To = names[0]
			})
		}
		areas("hall")
		b.badge(b.front, cardA)
		b.contact.levels <- true
		synctest.Wait()
		if b.store.places[keyA].Area != "hall" {
			t.Fatalf("places are %v", b.store.places)
		}
		areas("vault")
		if len(b.store.places) != 0 {
			t.Errorf("places are %v, want none", b.store.places)
		}
		// Nor does anybody get there who was granted before.
		b.contact.levels <- false
		synctest.Wait()
		b.badge(b.front, cardA)
		areas("hall")
		b.contact.levels <- true
		synctest.Wait()
		if len(b.store.places) != 0 {
			t.Errorf("places are %v, want none", b.store.places)
		}
	})
}

// A first card counts for one opening of its schedule: another policy's schedule,
// or a clock that was set back, must not go on from it.
func TestFirstCardEndsWithItsOpening(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardB, keyB, "")
		b.option(cardB, access.FirstCard)
		weekly := func(from, to access.TimeOfDay) {
			b.rule(func(p *access.Policy) {
				p.Schedules = []access.Schedule{{ID: "day", Intervals: []access.Interval{{Days: 127, From: from, To: to}}}}
				p.Doors[0].UnlockSchedule, p.Doors[0].FirstCard = "day", true
			})
		}
		weekly(0, 12*60)
		b.badge(b.front, cardB)
		b.mode("front", access.Unlocked)
		b.pass(10 * time.Second)
		weekly(2*60, 4*60) // closed now
		b.mode("front", access.Locked)
		b.pass(3 * time.Hour) // another opening, within the time of the first
		b.mode("front", access.Locked)
		b.badge(b.front, cardB)
		b.mode("front", access.Unlocked)
		// Without a clock too: there is no schedule to be open.
		b.untrusted.Store(true)
		b.rule(func(*access.Policy) {})
		b.untrusted.Store(false)
		weekly(0, 12*60)
		b.pass(lookAgain)
		b.mode("front", access.Locked)
	})
}

// A card that is held to a reader is read again and again: for anti-passback that
// is one time, also where nobody can be seen to go through. It counts from its first
// grant, so that a card handed back again and again lets one person in, not a crowd.
func TestPassbackCountsAHeldCardOnce(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(func(p *access.Policy) {
			p.Areas = []access.Area{{ID: "inside", Passback: access.PassbackHard}}
			p.Points[1].Mode, p.Points[1].To = access.ModeCard, "inside"
		})
		b.obs.take()
		for range 4 {
			b.badge(b.lab, cardA)
			b.pass((repeatWithin - time.Millisecond) / 4)
		}
		b.types("held", access.GrantedCard, access.GrantedCard, access.GrantedCard, access.GrantedCard)
		b.pass(2 * time.Millisecond)
		b.badge(b.lab, cardA)
		b.want("again", told{access.Denied, access.ReasonPassback, "lab", keyA, "0001234567890"})
	})
}
