package controller

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

// rule puts the bench's policy in force with a change.
func (b *bench) rule(change func(p *access.Policy)) {
	b.t.Helper()
	p := policy(b.t)
	change(p)
	if f := p.Compile(); len(f) > 0 {
		b.t.Fatal(f)
	}
	b.c.SetPolicy(p)
	synctest.Wait()
}

func (b *bench) mode(door string, want access.DoorMode) {
	b.t.Helper()
	if s, _ := b.c.Door(door); s.Mode != want {
		b.t.Fatalf("%s is %s, want %s", door, s.Mode, want)
	}
}

func (b *bench) option(card uint64, o access.Options) {
	b.store.set(func() {
		k := b.store.keys[access.CardCredential(access.EM, 40, card)]
		k[0].Options |= o
	})
}

// types are the event types since the last take.
func (b *bench) types(what string, want ...access.EventType) {
	b.t.Helper()
	var got []access.EventType
	for _, e := range b.obs.take() {
		got = append(got, e.typ)
	}
	if len(got) != len(want) {
		b.t.Fatalf("%s: events %v, want %v", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			b.t.Fatalf("%s: events %v, want %v", what, got, want)
		}
	}
}

func TestOrders(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.obs.take()
		until := time.Now().Add(time.Hour)
		b.c.SetOrders([]access.DoorOrder{{Door: access.AllDoors, Mode: access.LockedDown, Until: until}, {Door: "lab", Mode: access.Unlocked}})
		synctest.Wait()
		b.mode("front", access.LockedDown)
		b.mode("lab", access.Unlocked)
		if !b.labLock.get() || b.frontLock.get() {
			t.Error("locks don't follow the orders")
		}
		b.obs.take()
		b.badge(b.front, cardA)
		b.want("locked down", told{access.Denied, access.ReasonLockedDown, "front", access.ID{}, "0001234567890"})

		// An input stands above every order, and its end brings the order back.
		b.lockdown.levels <- true
		synctest.Wait()
		b.mode("lab", access.LockedDown)
		if b.labLock.get() {
			t.Error("a lockdown leaves the lock released")
		}
		b.lockdown.levels <- false
		synctest.Wait()
		b.mode("lab", access.Unlocked)

		b.pass(time.Hour + time.Second)
		b.mode("front", access.Locked)
		b.obs.take()
		b.badge(b.front, cardA)
		b.types("the order is over", access.GrantedCard)
		b.c.SetOrders(nil)
		synctest.Wait()
		b.mode("lab", access.Locked)
	})
}

func TestOrdersWithAnUntrustedClock(t *testing.T) {
	run(t, func(b *bench) {
		until := time.Now().Add(time.Hour)
		b.c.SetOrders([]access.DoorOrder{{Door: "front", Mode: access.LockedDown, Until: until}, {Door: "lab", Mode: access.Unlocked, Until: until}})
		synctest.Wait()
		b.mode("lab", access.Unlocked)
		b.untrusted.Store(true)
		b.pass(lookAgain + time.Second)
		b.mode("lab", access.Locked)
		b.mode("front", access.LockedDown)
	})
}

func TestUnlockScheduleWithFirstCard(t *testing.T) {
	run(t, func(b *bench) { // the bubble begins on Saturday 2000-01-01 at midnight
		b.give(cardA, keyA, "")
		b.give(cardB, keyB, "")
		b.option(cardB, access.FirstCard)
		b.rule(func(p *access.Policy) {
			p.Schedules = []access.Schedule{{ID: "day", Intervals: []access.Interval{{Days: 127, From: 60, To: 120}}}}
			p.Doors[0].UnlockSchedule, p.Doors[0].FirstCard = "day", true
			p.Doors[1].UnlockSchedule = "day"
		})
		b.mode("lab", access.Locked)
		b.pass(61 * time.Minute)
		b.mode("lab", access.Unlocked)
		b.mode("front", access.Locked)
		b.badge(b.front, cardA) // not a first card
		b.pass(10 * time.Second)
		b.mode("front", access.Locked)
		b.obs.take()
		b.badge(b.front, cardB)
		b.types("first card", access.GrantedCard, access.FirstCardCame, access.DoorUnlocked)
		b.mode("front", access.Unlocked)
		b.pass(time.Hour)
		b.mode("front", access.Locked)
		b.mode("lab", access.Locked)
		b.pass(23 * time.Hour)
		b.mode("lab", access.Unlocked)
		b.mode("front", access.Locked) // it waits anew each day
	})
}

func TestModeBySchedule(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "4711")
		b.rule(func(p *access.Policy) {
			p.Schedules = []access.Schedule{{ID: "day", Intervals: []access.Interval{{Days: 127, From: 60, To: 120}}}}
			p.Points[0].Mode = access.ModeCardAndPIN
			p.Points[0].Modes = []access.ScheduledMode{{Schedule: "day", Mode: access.ModeCard}}
		})
		b.obs.take()
		b.badge(b.front, cardA)
		if b.front.last() != SignalPINWanted {
			t.Errorf("at night the reader shows %s", b.front.last())
		}
		b.keys(b.front, "4bit", "4711")
		b.types("card and PIN at night", access.GrantedCardPIN)
		b.pass(61 * time.Minute)
		b.obs.take()
		b.badge(b.front, cardA)
		b.types("card by day", access.GrantedCard)
	})
}

func TestPassback(t *testing.T) {
	area := func(p *access.Policy) {
		p.Areas = []access.Area{{ID: "inside", Passback: access.PassbackHard}}
		p.Points[0].To = "inside"
		p.Points[2].From = "inside" // gate leads out, through a door without a contact
	}
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(area)
		b.obs.take()
		b.badge(b.front, cardA)
		b.types("granted", access.GrantedCard)
		b.pass(10 * time.Second)
		b.types("not opened", access.AccessNotTaken)
		b.badge(b.front, cardA) // nobody went in
		b.contact.levels <- true
		synctest.Wait()
		b.contact.levels <- false
		synctest.Wait()
		b.types("opened", access.GrantedCard, access.AccessTaken)
		if in, err := b.c.Inside("inside"); err != nil || len(in) != 1 || in[0] != keyA {
			t.Fatalf("inside: %v %v", in, err)
		}
		if b.store.places[keyA].Area != "inside" {
			t.Error("the movement was not kept")
		}
		b.pass(10 * time.Second)
		b.badge(b.front, cardA)
		b.want("again", told{access.Denied, access.ReasonPassback, "front", keyA, "0001234567890"})
		if n, err := b.c.Forgive(b.t.Context(), keyA); n != 1 || err != nil {
			t.Fatalf("forgive: %d %v", n, err)
		}
		synctest.Wait()
		b.badge(b.front, cardA)
		b.types("forgiven", access.PassbackForgiven, access.GrantedCard)
	})
	run(t, func(b *bench) { // after a restart the store knows
		b.give(cardA, keyA, "")
		b.store.set(func() { b.store.places[keyA] = access.Place{Area: "inside", At: time.Now()} })
		b.rule(area)
		b.pass(time.Minute)
		b.obs.take()
		b.badge(b.front, cardA)
		b.want("inside before the restart", told{access.Denied, access.ReasonPassback, "front", keyA, "0001234567890"})
		b.rule(func(p *access.Policy) { area(p); p.Areas[0].Passback = access.PassbackSoft })
		b.badge(b.front, cardA)
		b.types("soft", access.GrantedCard, access.PassbackViolated)
	})
}

func TestTwoPersons(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.give(cardB, keyB, "")
		b.rule(func(p *access.Policy) { p.Points[0].TwoPerson = true })
		b.obs.take()
		b.badge(b.front, cardA)
		b.badge(b.front, cardA)
		if b.frontLock.get() {
			t.Error("one person opened it")
		}
		b.badge(b.front, cardB)
		b.types("both", access.Denied, access.Denied, access.GrantedCard)
		b.pass(time.Minute)
		b.badge(b.front, cardA)
		b.pass(access.DefaultPairWithin)
		b.obs.take()
		b.badge(b.front, cardB)
		b.types("too late", access.Denied)
	})
}

func TestInterlock(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.rule(func(p *access.Policy) {
			p.Points[1].Mode = access.ModeCard
			p.Interlocks = []access.Interlock{{Name: "sluice", Doors: []string{"front", "lab"}}}
		})
		b.obs.take()
		// Both at the same instant.
		b.front.frames <- frame40(cardA)
		b.lab.frames <- frame40(cardA)
		synctest.Wait()
		if b.frontLock.get() == b.labLock.get() {
			t.Fatalf("front released %v, lab released %v", b.frontLock.get(), b.labLock.get())
		}
		open, shut := "front", "lab"
		if b.labLock.get() {
			open, shut = shut, open
		}
		if err := b.c.Unlock(b.t.Context(), shut); !errors.Is(err, ErrRefused) {
			t.Errorf("unlock beside %s: %v", open, err)
		}
		b.pass(10 * time.Second)
		b.contact.levels <- true // front is forced open
		synctest.Wait()
		b.obs.take()
		b.badge(b.lab, cardA)
		b.want("beside an open door", told{access.Denied, access.ReasonInterlock, "lab", keyA, "0001234567890"})
	})
}

func TestDuress(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "4719")
		b.rule(func(p *access.Policy) { p.Duress = true })
		b.obs.take()
		b.badge(b.lab, cardA)
		b.keys(b.lab, "8bit", "4710") // 9 and one is 0
		if b.lab.last() != SignalGranted || !b.labLock.get() {
			t.Error("it does not open as always")
		}
		b.types("duress", access.GrantedCardPIN, access.Duress)
		b.rule(func(*access.Policy) {})
		b.badge(b.lab, cardA)
		b.keys(b.lab, "8bit", "4710")
		b.types("off", access.Denied)
	})
}

func TestStaleness(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.give(cardB, keyB, "")
		b.option(cardA, access.NeedsCentral)
		b.rule(func(p *access.Policy) { p.StaleAfter = time.Hour })
		b.away.Store(int64(2 * time.Hour))
		b.obs.take()
		b.pass(lookAgain + time.Second)
		b.badge(b.front, cardA)
		b.badge(b.front, cardB)
		b.types("central away", access.CentralStale, access.Denied, access.GrantedCard)
		b.away.Store(0)
		b.pass(lookAgain + 10*time.Second)
		b.types("back", access.AccessNotTaken, access.CentralBack)
	})
}

func TestExplain(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "4711")
		id, err := access.ParseIdentification(access.Proximity, "0001234567890")
		if err != nil {
			t.Fatal(err)
		}
		ask := func(h Hypothesis) (access.Decision, access.Trace) {
			t.Helper()
			h.Identification = id
			d, trace, err := b.c.Explain(h)
			if err != nil {
				t.Fatal(err)
			}
			if s := trace.String(); strings.Contains(s, "4711") || strings.Contains(s, "4799") {
				t.Errorf("the trace tells a PIN: %s", s)
			}
			return d, trace
		}
		if d, _ := ask(Hypothesis{Reader: "lab"}); !d.WantPIN {
			t.Errorf("without a PIN: %+v", d)
		}
		if d, _ := ask(Hypothesis{Reader: "lab", PIN: "4711"}); d.Type != access.GrantedCardPIN {
			t.Errorf("right PIN: %+v", d)
		}
		for range 20 { // nothing is counted
			if d, trace := ask(Hypothesis{Reader: "lab", PIN: "4799"}); d.Reason != access.ReasonWrongPIN || trace.Answer().Rule != "PIN" {
				t.Fatalf("wrong PIN: %+v", d)
			}
		}
		if _, _, err := b.c.Explain(Hypothesis{Reader: "nowhere", Identification: id}); !errors.Is(err, ErrNoReader) {
			t.Error(err)
		}
		b.obs.take()
		b.badge(b.front, cardA)
		b.types("a real badge", access.GrantedCard)
		e := b.store.events[len(b.store.events)-1]
		if trace, ok := access.UnpackTrace(e.Why); !ok || trace.Answer().Rule != "grant" {
			t.Errorf("trace of %+v: %v", e, trace)
		}
	})
}
