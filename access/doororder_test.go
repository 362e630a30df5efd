package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDoorWish(t *testing.T) {
	p := house(t, Area{})
	at := func(hour int) time.Time { return noon.Add(time.Duration(hour-13) * time.Hour) } // in Stockholm, on a Friday
	lost := func(hour int) Clock { return Clock{Now: at(hour), State: ClockUntrusted, LastGood: at(13)} }
	monday8 := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		door   string
		orders []DoorOrder
		first  time.Time
		clock  Clock
		want   DoorWish
	}{
		{"waits for a first card", "main", nil, time.Time{}, Trusted(at(13)), DoorWish{Next: at(17)}},
		{"the first card came", "main", nil, at(17), Trusted(at(13)), DoorWish{Schedule: Unlocked, Next: at(17)}},
		{"closed at five", "main", nil, at(17), Trusted(at(17)), DoorWish{Next: monday8}},
		{"the first card was yesterday's", "main", nil, at(17 - 24), Trusted(at(13)), DoorWish{Next: at(17)}},
		{"no clock, no schedule", "main", nil, at(17), lost(13), DoorWish{}},
		{"an access point unlocks", "shop", nil, time.Time{}, Trusted(at(13)), DoorWish{Schedule: Unlocked, Next: at(17)}},
		{"and not without a clock", "shop", nil, time.Time{}, lost(13), DoorWish{}},
		{"no schedule", "vault", nil, time.Time{}, Trusted(at(13)), DoorWish{}},
		{"for all", "vault", []DoorOrder{{Door: AllDoors, Mode: LockedDown}}, time.Time{}, Trusted(at(13)), DoorWish{Ordered: true, Order: LockedDown}},
		{"its own before all", "vault", []DoorOrder{{Door: AllDoors, Mode: LockedDown}, {Door: "vault", Mode: Locked}}, time.Time{}, Trusted(at(13)), DoorWish{Ordered: true, Order: Locked}},
		{"its own is over", "vault", []DoorOrder{{"vault", Unlocked, at(13)}, {AllDoors, Blocked, at(14)}}, time.Time{}, Trusted(at(13)), DoorWish{Ordered: true, Order: Blocked, Next: at(14)}},
		{"another's", "vault", []DoorOrder{{Door: "main", Mode: Unlocked}}, time.Time{}, Trusted(at(13)), DoorWish{}},
		{"ends before the schedule", "main", []DoorOrder{{"main", LockedOpen, at(15)}}, time.Time{}, Trusted(at(13)), DoorWish{Ordered: true, Order: LockedOpen, Next: at(15)}},
		{"untrusted, unlocked until", "vault", []DoorOrder{{"vault", Unlocked, at(20)}}, time.Time{}, lost(13), DoorWish{}},
		{"untrusted, locked open until", "vault", []DoorOrder{{"vault", LockedOpen, at(20)}}, time.Time{}, lost(13), DoorWish{}},
		{"untrusted, unlocked for good", "vault", []DoorOrder{{Door: "vault", Mode: Unlocked}}, time.Time{}, lost(13), DoorWish{Ordered: true, Order: Unlocked}},
		{"untrusted, locked down until", "vault", []DoorOrder{{"vault", LockedDown, at(20)}}, time.Time{}, lost(23), DoorWish{Ordered: true, Order: LockedDown}},
		{"untrusted, lockdown known to be over", "vault", []DoorOrder{{"vault", LockedDown, at(13)}}, time.Time{}, lost(13), DoorWish{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := p.DoorWish(tt.door, tt.orders, tt.first, tt.clock)
			if got.Next.Equal(tt.want.Next) {
				got.Next = tt.want.Next
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Between now and Next, time alone changes nothing.
func TestDoorWishNext(t *testing.T) {
	p := house(t, Area{})
	rapid.Check(t, func(t *rapid.T) {
		hours := func(name string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, name)) * 30 * time.Minute)
		}
		now := hours("now")
		var orders []DoorOrder
		for range rapid.IntRange(0, 3).Draw(t, "orders") {
			orders = append(orders, DoorOrder{
				Door: rapid.SampledFrom([]string{"main", "shop", AllDoors}).Draw(t, "door"),
				Mode: rapid.SampledFrom([]DoorMode{Locked, Unlocked, Blocked, LockedDown, LockedOpen}).Draw(t, "mode"), Until: hours("until"),
			})
		}
		door, first := rapid.SampledFrom([]string{"main", "shop", "vault"}).Draw(t, "which"), hours("first")
		w := p.DoorWish(door, orders, first, Trusted(now))
		if !w.Next.IsZero() && !w.Next.After(now) {
			t.Fatalf("next is %s at %s", w.Next, now)
		}
		then := now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, "minutes")) * time.Minute)
		if !w.Next.IsZero() && !then.Before(w.Next) {
			return
		}
		if v := p.DoorWish(door, orders, first, Trusted(then)); v.Ordered != w.Ordered || v.Order != w.Order || v.Schedule != w.Schedule {
			t.Fatalf("%+v at %s became %+v at %s", w, now, v, then)
		}
	})
}

// A first card unlocks until the schedule closes, once, and only with a clock.
func TestFirstCard(t *testing.T) {
	p := house(t, Area{})
	ask := func(c Clock, o Options, first time.Time) time.Time {
		return Decide(Query{Clock: c, Policy: p, Point: p.Point("out"), Kind: CardKind, Keys: []Key{key(func(k *Key) { k.Options = o })}, FirstCard: first}).FirstCardUntil
	}
	five := noon.Add(4 * time.Hour)
	if got := ask(Trusted(noon), FirstCard, time.Time{}); !got.Equal(five) {
		t.Errorf("until %v, want %v", got, five)
	}
	for name, got := range map[string]time.Time{
		"another key": ask(Trusted(noon), 0, time.Time{}), "again": ask(Trusted(noon), FirstCard, five),
		"closed": ask(Trusted(five), FirstCard, time.Time{}), "no clock": ask(Clock{Now: noon, State: ClockUntrusted, LastGood: noon}, FirstCard, time.Time{}),
	} {
		if !got.IsZero() {
			t.Errorf("%s: until %v", name, got)
		}
	}
	if got := ask(Trusted(noon.AddDate(0, 0, 3)), FirstCard, five); got.IsZero() {
		t.Error("the next day's first card does nothing")
	}
}
