package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

// stick has front's goroutine hang in its lock, by the exit button, whose time is
// over when it goes on.
func (b *bench) stick() func() {
	free := b.frontLock.holdUp()
	b.rex.levels <- true
	b.pass(4 * time.Second)
	return func() {
		free()
		synctest.Wait()
	}
}

func TestHeldUpDoorDropsOldGrants(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		free := b.stick()
		b.badge(b.front, cardA)
		b.pass(maxAge + time.Second)
		free()
		if b.frontLock.get() {
			t.Error("somebody else was let in by a grant of long ago")
		}
		b.badge(b.front, cardA)
		if !b.frontLock.get() {
			t.Error("a new grant does not open")
		}
	})
}

func TestHeldUpDoorDropsUnlocksNobodyWaitsFor(t *testing.T) {
	run(t, func(b *bench) {
		free := b.stick()
		ctx, cancel := context.WithCancel(b.t.Context())
		answer := make(chan error, 1)
		go func() { answer <- b.c.Unlock(ctx, "front") }()
		synctest.Wait()
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Fatalf("unlock: %v", err)
		}
		free()
		if b.frontLock.get() {
			t.Error("the door opens for an operator who was told that it did not")
		}
	})
}

func TestHeldUpDoorComesIntoItsMode(t *testing.T) {
	run(t, func(b *bench) {
		free := b.stick()
		for d := b.c.doors["front"]; d.send(doorMessage{input: &access.DoorInput{}}); {
		}
		b.c.SetOrders([]access.DoorOrder{{Door: "front", Mode: access.LockedDown}})
		b.pass(time.Second)
		free()
		b.pass(2 * time.Second)
		if got := b.c.doorMode("front"); got != access.LockedDown {
			t.Errorf("front is %s", got)
		}
	})
}

// Until a door that was granted says how it stands, it counts as released.
func TestInterlockCountsAGrantOfAMomentAgo(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(func(p *access.Policy) {
			p.Points[1].Mode = access.ModeCard
			p.Interlocks = []access.Interlock{{Name: "sluice", Doors: []string{"front", "lab"}}}
		})
		b.obs.take()
		free := b.frontLock.holdUp()
		b.badge(b.front, cardA)
		b.badge(b.lab, cardA)
		b.want("beside a door that is being released",
			told{access.GrantedCard, "", "front", keyA, "0001234567890"},
			told{access.Denied, access.ReasonInterlock, "lab", keyA, "0001234567890"})
		free()
	})
}

// A grant counts until the door has said itself how it is, and no longer.
func TestInterlockEndsWithTheDoorsOwnWord(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(func(p *access.Policy) {
			p.Points[1].Mode = access.ModeCard
			p.Doors[0].Times.Relock = 0
			p.Interlocks = []access.Interlock{{Name: "sluice", Doors: []string{"front", "lab"}}}
		})
		through := func() {
			t.Helper()
			for _, open := range []bool{true, false} {
				b.contact.levels <- open
				synctest.Wait()
			}
			if b.frontLock.get() {
				t.Fatal("the front door is still released")
			}
		}
		b.badge(b.front, cardA)
		through()
		b.badge(b.lab, cardA)
		if !b.labLock.get() {
			t.Error("a card is refused beside a door that is closed again")
		}
		b.pass(time.Minute)
		if err := b.c.Unlock(b.t.Context(), "front"); err != nil {
			t.Fatal(err)
		}
		through()
		if err := b.c.Unlock(b.t.Context(), "lab"); err != nil {
			t.Error(err)
		}
	})
}

// inside has the front door lead into an area.
func inside(p *access.Policy) {
	p.Areas = []access.Area{{ID: "inside", Passback: access.PassbackHard}}
	p.Points[0].To = "inside"
}

func TestContactFaultCountsWhoMayGo(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(inside)
		b.badge(b.front, cardA)
		if in, err := b.c.Inside("inside"); err != nil || len(in) != 0 {
			t.Fatalf("before the door was opened %v are inside, %v", in, err)
		}
		b.contact.fail <- errors.New("open circuit")
		synctest.Wait()
		if in, err := b.c.Inside("inside"); err != nil || len(in) != 1 || in[0] != keyA {
			t.Errorf("inside are %v, %v", in, err)
		}
	})
}

// While the contact can't be read nobody is seen to go through: who is granted counts
// as gone.
func TestGrantsDuringAContactFaultCount(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(inside)
		b.contact.fail <- errors.New("open circuit")
		synctest.Wait()
		b.badge(b.front, cardA)
		if in, err := b.c.Inside("inside"); err != nil || len(in) != 1 || in[0] != keyA {
			t.Errorf("inside are %v, %v", in, err)
		}
	})
}

func TestForgivingOneKeepsTheOthers(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(inside)
		b.store.set(func() { b.store.writeErr = errors.New("disk full") })
		b.badge(b.front, cardA)
		b.contact.levels <- true
		synctest.Wait()
		b.store.set(func() { b.store.writeErr = nil })
		if _, err := b.c.Forgive(b.t.Context(), keyB); err != nil {
			t.Fatal(err)
		}
		b.pass(10 * time.Second)
		b.store.set(func() {
			if got := b.store.places[keyA].Area; got != "inside" {
				t.Errorf("who went in is kept as in %q", got)
			}
		})
	})
}

// An unlock that is refused releases nothing, and so keeps no other door shut.
func TestRefusedUnlockBarsNoOtherDoor(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(func(p *access.Policy) {
			p.Interlocks = []access.Interlock{{Name: "sluice", Doors: []string{"front", "lab"}}}
		})
		b.c.SetOrders([]access.DoorOrder{{Door: "lab", Mode: access.LockedDown}})
		synctest.Wait()
		b.obs.take()
		if err := b.c.Unlock(b.t.Context(), "lab"); !errors.Is(err, ErrRefused) {
			t.Fatalf("unlock a door that is locked down: %v", err)
		}
		b.badge(b.front, cardA)
		b.want("beside a door that stayed locked", told{access.GrantedCard, "", "front", keyA, "0001234567890"})
	})
}
