package controller

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"postern/access"
	"postern/wiegand"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBadgeOpens(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.badge(b.front, cardA)
		if !b.frontLock.get() || b.labLock.get() {
			t.Fatal("the badge does not release its door, and that door alone")
		}
		if s := b.front.last(); s != SignalGranted {
			t.Errorf("reader shows %q", s)
		}
		b.want("badge", told{access.GrantedCard, "", "front", keyA, "0001234567890"})
		b.pass(2999 * time.Millisecond)
		if !b.frontLock.get() {
			t.Fatal("secured before its time")
		}
		b.pass(2 * time.Millisecond)
		if b.frontLock.get() {
			t.Fatal("released past its time")
		}
	})
}

func TestUnknownCardStaysOut(t *testing.T) {
	run(t, func(b *bench) {
		b.badge(b.front, cardB)
		if b.frontLock.get() {
			t.Fatal("an unknown card opens")
		}
		if s := b.front.last(); s != SignalDenied {
			t.Errorf("reader shows %q", s)
		}
		b.want("badge", told{access.DeniedUnknown, "", "front", access.ID{}, access.CardCredential(access.EM, 40, cardB).String()})
	})
}

func TestCode(t *testing.T) {
	run(t, func(b *bench) {
		b.giveCode("482915")
		b.keys(b.front, wiegand.FourBit, "48291")
		if b.frontLock.get() {
			t.Fatal("five digits open")
		}
		b.keys(b.front, wiegand.FourBit, "5#")
		if !b.frontLock.get() {
			t.Fatal("the code does not open")
		}
		b.want("code", told{access.GrantedCode, "", "front", keyCode, ""})
		for _, s := range b.obs.sightings() {
			if s.Bits != "" {
				t.Errorf("typed bits are shown: %+v", s)
			}
		}
	})
}

func TestCardAndPIN(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		b.badge(b.lab, cardA)
		if b.labLock.get() || b.lab.last() != SignalPINWanted {
			t.Fatalf("after the card: released %v, shows %q", b.labLock.get(), b.lab.last())
		}
		b.want("card alone tells nothing yet")
		b.keys(b.lab, wiegand.EightBit, "1234")
		if !b.labLock.get() {
			t.Fatal("card and PIN do not open")
		}
		b.want("card and PIN", told{access.GrantedCardPIN, "", "lab", keyA, "0001234567890"})
		b.keys(b.lab, wiegand.EightBit, "1234")
		b.pass(10 * time.Second)
		b.want("a PIN without its card") // four digits of six, and their time ran out
	})
}

func TestPINNeverTyped(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		b.badge(b.lab, cardA)
		b.keys(b.lab, wiegand.EightBit, "12")
		b.pass(21 * time.Second)
		b.want("time-out", told{access.Denied, access.ReasonPINTimeout, "lab", access.ID{}, "0001234567890"})
		b.keys(b.lab, wiegand.EightBit, "34")
		if b.labLock.get() {
			t.Fatal("the rest of a PIN opens after its time")
		}
	})
}

func TestAnotherCardStartsAnew(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		b.give(cardB, keyB, "5678")
		b.badge(b.lab, cardA)
		b.keys(b.lab, wiegand.EightBit, "12")
		b.badge(b.lab, cardB)
		b.obs.take()
		b.keys(b.lab, wiegand.EightBit, "5678")
		b.want("second card", told{access.GrantedCardPIN, "", "lab", keyB, access.CardCredential(access.EM, 40, cardB).String()})
	})
}

func TestKeyRemovedBetweenCardAndPIN(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		b.badge(b.lab, cardA)
		b.store.set(func() { clear(b.store.keys) })
		b.keys(b.lab, wiegand.EightBit, "1234")
		if b.labLock.get() {
			t.Fatal("a removed key opens")
		}
		b.want("removed", told{access.DeniedUnknown, "", "lab", access.ID{}, "0001234567890"})
	})
}

func TestWrongPINsLockOut(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		for range access.KeyTries {
			b.badge(b.lab, cardA)
			b.keys(b.lab, wiegand.EightBit, "9999")
		}
		got := b.obs.take()
		if len(got) != access.KeyTries+1 || got[access.KeyTries-1].typ != access.KeyLockedOut {
			t.Fatalf("events %+v", got)
		}
		compared := b.store.compared
		b.badge(b.lab, cardA)
		b.want("locked out", told{access.Denied, access.ReasonLockedOut, "lab", keyA, "0001234567890"})
		b.keys(b.lab, wiegand.EightBit, "1234")
		if b.labLock.get() || b.store.compared != compared {
			t.Fatal("a locked-out PIN is compared")
		}
		b.pass(access.LockoutFirst)
		b.obs.take()
		b.badge(b.lab, cardA)
		b.keys(b.lab, wiegand.EightBit, "1234")
		if !b.labLock.get() {
			t.Fatal("the right PIN stays out after the lockout")
		}
	})
}

// A card that has become read-only must not give unlimited tries.
func TestLockoutWithoutDisk(t *testing.T) {
	run(t, func(b *bench) {
		b.store.set(func() { b.store.writeErr = errors.New("read-only file system") })
		for range access.PointTries {
			b.keys(b.front, wiegand.FourBit, "000000")
		}
		b.giveCode("482915")
		b.keys(b.front, wiegand.FourBit, "482915")
		if b.frontLock.get() {
			t.Fatal("the keypad is not locked out")
		}
		b.give(cardA, keyA, "")
		b.badge(b.front, cardA)
		if !b.frontLock.get() {
			t.Fatal("a card is locked out with the keypad")
		}
	})
}

func TestUnknownCodesLockTheKeypad(t *testing.T) {
	run(t, func(b *bench) {
		b.giveCode("482915")
		for range access.PointTries {
			b.keys(b.front, wiegand.FourBit, "000000")
		}
		b.obs.take()
		b.keys(b.front, wiegand.FourBit, "482915")
		b.want("locked out", told{access.Denied, access.ReasonLockedOut, "front", access.ID{}, ""})
		b.pass(access.LockoutFirst)
		b.keys(b.front, wiegand.FourBit, "482915")
		if !b.frontLock.get() {
			t.Fatal("the right code stays out after the lockout")
		}
	})
}

func TestExitButtonNeedsNoStore(t *testing.T) {
	run(t, func(b *bench) {
		b.store.set(func() {
			b.store.lookupErr, b.store.writeErr = errors.New("damaged"), errors.New("damaged")
			b.store.slow = time.Hour
		})
		b.front.frames <- wiegand.Frame{Bits: wiegand.NewBits(cardA, 40), Pulses: 40}
		synctest.Wait() // the look-up hangs
		b.rex.levels <- true
		synctest.Wait()
		if !b.frontLock.get() {
			t.Fatal("the exit button waits for the store")
		}
		b.store.set(func() { b.store.slow = 0 })
		b.pass(2 * time.Hour)
	})
}

func TestStoreFaultDenies(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.store.set(func() { b.store.lookupErr = errors.New("bad checksum") })
		b.badge(b.front, cardA)
		if b.frontLock.get() {
			t.Fatal("a damaged store opens a door")
		}
		b.want("fault", told{access.Denied, access.ReasonStore, "front", access.ID{}, "0001234567890"})
	})
}

func TestButtonDownAtStartIsNotAPress(t *testing.T) {
	run(t, func(b *bench) {
		b.want("start")
		b.rex.levels <- false
		b.rex.levels <- true
		synctest.Wait()
		b.want("press", told{access.GrantedREX, "", "front", access.ID{}, ""})
	})
}

func TestStuckButton(t *testing.T) {
	run(t, func(b *bench) {
		press := told{access.GrantedREX, "", "front", access.ID{}, ""}
		b.rex.levels <- true
		b.pass(time.Second)
		b.rex.levels <- false
		b.pass(2 * time.Minute)
		b.want("pressed and let go", press, told{access.AccessNotTaken, "", "front", access.ID{}, ""})
		b.rex.levels <- true
		b.pass(2 * time.Minute)
		b.want("held", press, told{access.AccessNotTaken, "", "front", access.ID{}, ""}, told{access.REXStuck, "", "front", access.ID{}, ""})
	})
}

func TestContactFault(t *testing.T) {
	run(t, func(b *bench) {
		b.contact.fail <- errors.New("lines lost")
		b.contact.fail <- errors.New("lines lost")
		b.pass(10 * time.Second)
		b.want("fault", told{access.ContactFault, "", "front", access.ID{}, ""})
		b.contact.levels <- false
		synctest.Wait()
		b.want("mended", told{access.ContactFaultEnded, "", "front", access.ID{}, ""})
		b.rex.fail <- errors.New("lines lost")
		b.pass(10 * time.Second)
		b.want("exit button", told{access.InputFault, "", "front", access.ID{}, ""})
		b.rex.levels <- false
		b.rex.levels <- true
		synctest.Wait()
		if !b.frontLock.get() {
			t.Fatal("the exit button does not come back")
		}
	})
}

func TestForcedDoorIsTold(t *testing.T) {
	run(t, func(b *bench) {
		b.contact.levels <- true
		synctest.Wait()
		b.want("forced", told{access.DoorForced, "", "front", access.ID{}, ""})
		if s, _ := b.c.Door("front"); s.Alarm != access.ForcedOpen || !s.Open {
			t.Errorf("door %+v", s)
		}
	})
}

func TestUnlock(t *testing.T) {
	run(t, func(b *bench) {
		if err := b.c.Unlock(b.t.Context(), "cellar"); !errors.Is(err, ErrNoDoor) {
			t.Errorf("unlock of a door that is not there: %v", err)
		}
		if err := b.c.Unlock(b.t.Context(), "lab"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !b.labLock.get() {
			t.Fatal("not released")
		}
		b.want("unlock", told{access.Granted, access.ReasonOperator, "lab", access.ID{}, ""})
		b.frontLock.breakIt(errors.New("line busy"))
		if err := b.c.Unlock(b.t.Context(), "front"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "line busy") {
			t.Errorf("unlock of a lock that can't be driven: %v", err)
		}
	})
}

// Events wait for a journal that takes none, and come in order, each once.
func TestEventsWaitForTheJournal(t *testing.T) {
	run(t, func(b *bench) {
		b.store.set(func() { b.store.writeErr = errors.New("no space left on device") })
		for i := range 20 {
			b.badge(b.front, uint64(i))
		}
		b.want("nothing is committed")
		b.store.set(func() { b.store.writeErr = nil })
		b.pass(time.Minute)
		got := b.obs.take()
		if len(got) != 20 {
			t.Fatalf("%d events, want 20", len(got))
		}
		for i, e := range got {
			if want := access.CardCredential(access.EM, 40, uint64(i)).String(); e.cred != want {
				t.Fatalf("event %d is of %s, want %s", i, e.cred, want)
			}
		}
	})
}

func TestJournalIsBounded(t *testing.T) {
	run(t, func(b *bench) {
		b.store.set(func() { b.store.writeErr = errors.New("no space left on device") })
		for range maxPending + 7 {
			b.c.Note(access.Event{Type: access.DoorForced})
		}
		synctest.Wait()
		if n := b.c.Pending(); n != maxPending {
			t.Fatalf("%d events wait, want %d", n, maxPending)
		}
		b.store.set(func() { b.store.writeErr = nil })
		b.pass(time.Minute)
		events := b.store.events
		last := events[len(events)-1]
		if last.Type != access.EventsDropped || !strings.HasPrefix(last.Detail, "7 events") {
			t.Fatalf("the last event is %+v, want one that counts what was dropped", last)
		}
	})
}

func TestShutdownPutsLocksAtRestAndKeepsEvents(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.badge(b.front, cardA)
		b.front.frames <- wiegand.Frame{Bits: wiegand.NewBits(cardA, 40), Pulses: 40}
		stop := b.stop
		stop()
		b.stop = func() {}
		if b.frontLock.get() || b.atRest != 1 {
			t.Errorf("after the end: released %v, put at rest %d times", b.frontLock.get(), b.atRest)
		}
		if n := len(b.store.events); n < 1 {
			t.Errorf("%d events are kept", n)
		}
	})
}

func TestNoiseIsShownAndBounded(t *testing.T) {
	run(t, func(b *bench) {
		for range 100 {
			b.front.frames <- wiegand.Frame{Bits: wiegand.NewBits(1, 24), Pulses: 24}
			synctest.Wait()
		}
		if got := b.obs.take(); len(got) != 1 || got[0].typ != access.BadRead {
			t.Fatalf("events %+v, want one for a hundred unreadable frames", got)
		}
		for _, s := range b.obs.sightings() {
			// 24 bits are six keys of four: what was typed must not show.
			if s.Kind != "noise" || s.Bits != "" || s.Problem == "" {
				t.Fatalf("shown %+v", s)
			}
		}
	})
}

func TestReaderFaultIsToldOnceAndSurvived(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		for range 5 {
			b.front.fail <- errors.New("lines lost")
		}
		b.pass(10 * time.Second)
		b.want("fault", told{access.ReaderFault, "", "", access.ID{}, ""})
		b.badge(b.front, cardA)
		if !b.frontLock.get() {
			t.Fatal("the reader does not come back")
		}
		b.front.fail <- os.ErrClosed
		synctest.Wait()
	})
}

func TestSetPolicy(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		p := policy(t)
		p.Levels = nil
		p.Doors[0].Times.Strike = 5 * time.Second
		p.Compile()
		b.c.SetPolicy(p)
		b.badge(b.front, cardA)
		b.want("level gone", told{access.DeniedNoLevel, "", "front", keyA, "0001234567890"})
		if err := b.c.Unlock(b.t.Context(), "front"); err != nil {
			t.Fatal(err)
		}
		b.pass(4 * time.Second)
		if !b.frontLock.get() {
			t.Error("the new times are not in force")
		}
	})
}

func TestBeat(t *testing.T) {
	run(t, func(b *bench) {
		if err := b.c.Beat(b.t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		_ = b.c.Beat(ctx) // must not hang
	})
	stuck := New(Options{Doors: []DoorWiring{{ID: "d", Lock: &fakeLock{}}}, Policy: &access.Policy{}, Observer: &observed{}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := stuck.Beat(ctx); err == nil || !strings.Contains(err.Error(), `"d"`) {
		t.Errorf("a door that does not run answers: %v", err)
	}
}
