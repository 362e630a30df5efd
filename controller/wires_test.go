package controller

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
	"postern/wiegand"
)

func (b *bench) send(r *fakeReader, bits wiegand.Bits) {
	r.frames <- wiegand.Frame{Bits: bits, Pulses: bits.Len()}
	synctest.Wait()
}

func (b *bench) lastSighting() Sighting {
	b.t.Helper()
	all := b.obs.sightings()
	if len(all) == 0 {
		b.t.Fatal("nothing was seen")
	}
	return all[len(all)-1]
}

func TestSwappedWiresAreTold(t *testing.T) {
	run(t, func(b *bench) {
		for i, number := range []uint64{1603, 11223} {
			bits, err := format(t, "H10301").Encode(118, number)
			if err != nil {
				t.Fatal(err)
			}
			b.send(b.gate, bits.Complement())
			want := []string{"may be swapped", "are swapped"}[i]
			if got := b.lastSighting(); got.Bits != "" || !strings.Contains(got.Problem, want) {
				t.Fatalf("card %d: seen %+v, want %q", i+1, got, want)
			}
		}
		if h := b.c.Health("gate"); h.State != wiegand.HealthSwapped {
			t.Errorf("health %+v", h)
		}
		b.obs.take()
		if !slices.ContainsFunc(b.obs.health, func(s string) bool { return strings.Contains(s, "reader gate: swapped") }) {
			t.Errorf("health events %q", b.obs.health)
		}
		if b.labLock.get() {
			t.Fatal("a guess grants")
		}
	})
}

// Without parity only a key that the complement would be is a sign.
func TestSwappedWiresWithoutParity(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.give(cardB, keyB, "")
		b.send(b.front, wiegand.NewBits(cardA, 40).Complement())
		b.send(b.front, wiegand.NewBits(cardB, 40).Complement())
		if got := b.lastSighting(); !strings.Contains(got.Problem, "are swapped") {
			t.Fatalf("seen %+v", got)
		}
		if b.frontLock.get() {
			t.Fatal("a guess grants")
		}
		b.badge(b.front, cardA)
		if got := b.lastSighting(); got.Problem != "" || !b.frontLock.get() {
			t.Errorf("a good card does not clear it: %+v", got)
		}
	})
}

func TestHintOfAnotherDeclaration(t *testing.T) {
	run(t, func(b *bench) {
		b.cards = []string{"EM:1", "EM:0xD202964900"} // the bytes of card A, the other way round
		b.badge(b.front, cardA)
		b.want("unknown card", told{access.DeniedUnknown, "", "front", access.ID{}, "0001234567890"},
			told{access.ReaderHint, "", "", access.ID{}, ""})
		got := b.lastSighting()
		if got.Kind != "hint" || !strings.Contains(got.Problem, `byte_order = "lsb"`) {
			t.Fatalf("seen %+v", got)
		}
		b.badge(b.front, cardA)
		b.want("no second search at once", told{access.DeniedUnknown, "", "front", access.ID{}, "0001234567890"})
		b.pass(hintEvery)
		b.cards = []string{"MD:0x04A1B2C3D4E5F6"}
		b.badge(b.front, 5)
		b.want("nothing fits", told{access.DeniedUnknown, "", "front", access.ID{}, "0000000000005"})
	})
}

// A reader that sends the first four bytes of a UID, the last byte first.
func TestOrderAndPart(t *testing.T) {
	run(t, func(b *bench) {
		id, err := access.ParseIdentification(access.Proximity, "MD:0x04A1B2C3D4E5F6")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range id.Credentials([]access.Matcher{{Technology: access.MD, Match: access.High32}}) {
			b.store.keys[c] = []access.Key{{ID: keyA, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{level}}}
		}
		b.send(b.uid, wiegand.NewBits(0xC3B2A104, 32))
		if !b.labLock.get() {
			t.Fatalf("not granted: %+v", b.obs.take())
		}
		b.pass(time.Minute)
		b.obs.take()
		b.send(b.uid, wiegand.NewBits(0x04A1B2C3, 32))
		if b.labLock.get() {
			t.Fatal("granted in the wrong order")
		}
	})
}

// A keypad that sends whole codes: its frames never pass for cards, nor show.
func TestBufferedKeypad(t *testing.T) {
	run(t, func(b *bench) {
		p := policy(t)
		p.Codes.Size = 5
		p.Compile()
		b.c.SetPolicy(p)
		b.giveCode("00421")
		keypad := wiegand.Buffered{Facility: 255}
		bits, err := keypad.Encode("421")
		if err != nil {
			t.Fatal(err)
		}
		b.send(b.gate, bits)
		b.want("code", told{access.GrantedCode, "", "lab", keyCode, ""})
		if got := b.lastSighting(); got.Kind != "key" || got.Bits != "" || len(got.Candidates) != 0 {
			t.Errorf("a typed code shows: %+v", got)
		}
		b.pass(time.Minute)
		// The same number under a card's facility is a card.
		b.give24(0x0E01A5, keyA)
		card, err := format(t, "H10301").Encode(0x0E, 0x01A5)
		if err != nil {
			t.Fatal(err)
		}
		b.obs.take()
		b.send(b.gate, card)
		b.want("card", told{access.GrantedCard, "", "lab", keyA, "EM low24 14/421"})
	})
}

func (b *bench) give24(value uint64, id access.ID) {
	b.store.set(func() {
		b.store.keys[access.CardCredential(access.EM, 24, value)] = []access.Key{{ID: id, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{level}}}
	})
}

func TestFireReachesEveryDoor(t *testing.T) {
	run(t, func(b *bench) {
		fire := func(t access.EventType, door string) told { return told{t, "", door, access.ID{}, ""} }
		b.fire.levels <- true
		synctest.Wait()
		if !b.labLock.get() || b.frontLock.get() {
			t.Fatal("fire releases the doors that say so, and those alone")
		}
		got := b.obs.take()
		slices.SortFunc(got, func(a, c told) int { return strings.Compare(a.door, c.door) })
		if want := []told{fire(access.FireAlarm, "front"), fire(access.FireAlarm, "lab")}; !slices.Equal(got, want) {
			t.Fatalf("events %+v, want %+v", got, want)
		}
		b.fire.levels <- false
		synctest.Wait()
		if b.labLock.get() || len(b.obs.take()) != 2 {
			t.Fatal("the end of a fire is not the end of its release, or is not told")
		}
	})
}

func TestLockdownInput(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.lockdown.levels <- true
		synctest.Wait()
		if s := b.front.last(); s != SignalLocked {
			t.Errorf("the reader shows %q", s)
		}
		b.obs.take()
		b.badge(b.front, cardA)
		b.want("badge", told{access.Denied, access.ReasonLockedDown, "front", access.ID{}, "0001234567890"})
		if err := b.c.Unlock(b.t.Context(), "front"); err == nil || b.frontLock.get() {
			t.Fatal("an operator's unlock passes a lockdown")
		}
		b.rex.levels <- true
		synctest.Wait()
		if !b.frontLock.get() {
			t.Fatal("the exit button does not work in lockdown")
		}
		b.pass(time.Minute)
		b.rex.levels <- false
		b.lockdown.levels <- false
		synctest.Wait()
		if s := b.front.last(); s != SignalIdle {
			t.Errorf("after lockdown the reader shows %q", s)
		}
		b.badge(b.front, cardA)
		if !b.frontLock.get() {
			t.Fatal("the card stays out after the lockdown")
		}
	})
}

func TestAuxiliaryAndTamper(t *testing.T) {
	run(t, func(b *bench) {
		b.aux.levels <- true
		synctest.Wait()
		b.want("aux", told{access.InputActive, "", "", access.ID{}, ""})
		if !b.c.Active("bell") {
			t.Error("the input is not active")
		}
		b.aux.levels <- false
		synctest.Wait()
		b.want("aux", told{access.InputInactive, "", "", access.ID{}, ""})
		b.tamper.levels <- true
		synctest.Wait()
		if h := b.c.Health("front"); h.State != wiegand.HealthTampered {
			t.Errorf("health %+v", h)
		}
		if b.c.Identify("nobody") || !b.c.Identify("front") || b.front.last() != SignalIdentify {
			t.Error("identify does not reach its reader")
		}
	})
}

// What is typed on a keypad that sends whole codes never shows as a card, also
// where codes are off or the digits are too many.
func TestBufferedKeypadHidesWhatIsTyped(t *testing.T) {
	for _, codes := range []access.CodePolicy{{}, {Enabled: true, Size: 6}, {Enabled: true, Size: 4}} {
		run(t, func(b *bench) {
			p := policy(t)
			p.Codes = codes
			p.Compile()
			b.c.SetPolicy(p)
			for _, typed := range []string{"4711", "12345"} {
				bits, err := wiegand.Buffered{Facility: 255}.Encode(typed)
				if err != nil {
					t.Fatal(err)
				}
				b.send(b.gate, bits)
			}
			for _, s := range b.obs.sightings() {
				if s.Bits != "" || len(s.Candidates) > 0 || strings.Contains(s.Problem, "471") {
					t.Errorf("codes %+v: shown %+v", codes, s)
				}
			}
			for _, e := range b.store.events {
				if strings.Contains(e.Credential+e.Detail, "471") || strings.Contains(e.Credential+e.Detail, "1234") {
					t.Errorf("codes %+v: journalled %+v", codes, e)
				}
			}
		})
	}
}

func TestStuckLine(t *testing.T) {
	run(t, func(b *bench) {
		b.front.stuck <- true
		synctest.Wait()
		if h := b.c.Health("front"); h.State != wiegand.HealthStuck || !strings.Contains(h.Reason, "D1") {
			t.Fatalf("health %+v", h)
		}
		b.front.stuck <- false
		b.pass(time.Minute)
		if h := b.c.Health("front"); h.State == wiegand.HealthStuck {
			t.Errorf("health %+v after the line was let go", h)
		}
	})
}

// Heartbeats are no cards and no noise, and a reader whose heartbeats stop is
// lost until they come back.
func TestHeartbeat(t *testing.T) {
	run(t, func(b *bench) {
		alive := wiegand.NewBits(0xAA, 8)
		for range 5 {
			b.send(b.uid, alive)
			b.pass(10 * time.Second)
		}
		if h := b.c.Health("uid"); h.State != wiegand.HealthOK {
			t.Fatalf("health %+v with heartbeats", h)
		}
		if seen := b.obs.sightings(); len(seen) != 0 || len(b.obs.take()) != 0 {
			t.Errorf("a heartbeat is shown or journalled: %+v", seen)
		}
		b.pass(5 * time.Minute)
		if h := b.c.Health("uid"); h.State != wiegand.HealthLost || !strings.Contains(h.Reason, "no heartbeat") {
			t.Fatalf("health %+v without heartbeats", h)
		}
		for range 3 {
			b.send(b.uid, alive)
			b.pass(10 * time.Second)
		}
		if h := b.c.Health("uid"); h.State != wiegand.HealthOK {
			t.Errorf("health %+v after they came back", h)
		}
	})
}

// A card held to a reader that reads it again and again is one card.
func TestHeldCard(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		for range 5 {
			b.badge(b.lab, cardA)
			b.pass(500 * time.Millisecond)
		}
		b.keys(b.lab, wiegand.EightBit, "12")
		b.badge(b.lab, cardA)
		b.keys(b.lab, wiegand.EightBit, "34")
		if !b.labLock.get() {
			t.Fatalf("a held card breaks its PIN: %+v", b.obs.take())
		}
	})
}

// A commit that hangs delays nobody for long, and opens nothing later.
func TestHangingCommit(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.store.set(func() { b.store.hang = true })
		b.keys(b.front, wiegand.FourBit, "000000")
		b.badge(b.front, cardA)
		b.pass(lockoutWait)
		if !b.frontLock.get() {
			t.Fatal("a known card waits for another's lockout")
		}
		b.pass(time.Minute)
		b.store.set(func() { b.store.slow = time.Minute })
		b.front.frames <- wiegand.Frame{Bits: wiegand.NewBits(5, 40), Pulses: 40}
		b.front.frames <- wiegand.Frame{Bits: wiegand.NewBits(cardA, 40), Pulses: 40}
		b.pass(30 * time.Second)
		b.store.set(func() { b.store.slow = 0 })
		b.pass(10 * time.Minute)
		if n := b.frontLock.count(); n != 1 {
			t.Fatalf("the door was released %d times, want once: the second card came long before", n)
		}
	})
}

func TestOneOfTwoFires(t *testing.T) {
	run(t, func(b *bench) {
		b.fire.levels <- true
		b.fire2.levels <- true
		synctest.Wait()
		b.fire2.levels <- false
		synctest.Wait()
		if !b.labLock.get() {
			t.Fatal("the end of one fire ends the other's release")
		}
		b.fire.levels <- false
		synctest.Wait()
		if b.labLock.get() {
			t.Fatal("the end of all does not")
		}
	})
}

// An input that fails while it is active, and comes back inactive, has ended.
func TestInputFaultsWhileActive(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.lockdown.levels <- true
		synctest.Wait()
		b.lockdown.fail <- errors.New("lines lost")
		b.pass(2 * time.Second)
		b.lockdown.levels <- false
		synctest.Wait()
		b.badge(b.front, cardA)
		if !b.frontLock.get() {
			t.Fatal("the lockdown never ends")
		}
		b.pass(time.Minute)
		// The first press after a fault is a press.
		b.rex.fail <- errors.New("lines lost")
		b.pass(2 * time.Second)
		b.rex.levels <- true
		synctest.Wait()
		if !b.frontLock.get() {
			t.Fatal("the first press after a fault is ignored")
		}
	})
}
