package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
)

// modes gives the events of doors' modes since the last take, as the journal has
// them, with who wanted them.
func (b *bench) modes() []access.Event {
	b.obs.mu.Lock()
	defer b.obs.mu.Unlock()
	var out []access.Event
	for _, e := range b.obs.events {
		if e.Type >= access.DoorLocked && e.Type <= access.DoorLockedOpen && e.Door == "front" {
			out = append(out, access.Event{Type: e.Type, Reason: e.Reason, Detail: e.Detail})
		}
	}
	b.obs.events = nil
	return out
}

// Each change of a mode says in the journal who wanted it, those by an operator
// also where the door stays as it is.
func TestModesSayWho(t *testing.T) {
	run(t, func(b *bench) { // the bubble begins on Saturday 2000-01-01 at midnight
		until := time.Now().Add(time.Hour)
		const stamp = "2000-01-01T01:00:00Z"
		down := access.DoorOrder{Door: "front", Mode: access.LockedDown}
		lockedBy := func(r access.Reason, detail string) []access.Event {
			return []access.Event{{Type: access.DoorLocked, Reason: r, Detail: detail}}
		}
		downBy := func(r access.Reason, detail string) []access.Event {
			return []access.Event{{Type: access.DoorLockedDown, Reason: r, Detail: detail}}
		}
		input := func(active bool) func() { return func() { b.lockdown.levels <- active } }
		orders := func(central []access.DoorOrder, local ...access.DoorOrder) func() {
			return func() { b.c.SetOrders(central, local...) }
		}
		all := []access.DoorOrder{{Door: access.AllDoors, Mode: access.LockedDown}}
		for _, step := range []struct {
			name string
			do   func()
			want []access.Event
			wish Wish
		}{
			{"panel", orders(nil, down), downBy(access.ReasonOperator, "ordered at the panel"), Wish{Mode: access.LockedDown, By: ByPanel}},
			{"panel, until", orders(nil, access.DoorOrder{Door: "front", Mode: access.LockedDown, Until: until}), downBy(access.ReasonOperator, "ordered at the panel, until "+stamp), Wish{access.LockedDown, ByPanel, until, ""}},
			{"the same again", orders(nil, access.DoorOrder{Door: "front", Mode: access.LockedDown, Until: until}), nil, Wish{access.LockedDown, ByPanel, until, ""}},
			{"input above it", input(true), nil, Wish{Mode: access.LockedDown, By: ByInput}},
			{"input ends", input(false), downBy(access.ReasonOperator, "ordered at the panel, until "+stamp), Wish{access.LockedDown, ByPanel, until, ""}},
			{"taken back", orders(nil), lockedBy(access.ReasonOperator, "its order was taken back at the panel"), Wish{}},
			{"central", orders(all), downBy("", "ordered by central"), Wish{Mode: access.LockedDown, By: ByCentral}},
			{"panel over central", orders(all, access.DoorOrder{Door: "front", Mode: access.Locked}), lockedBy(access.ReasonOperator, "ordered at the panel"), Wish{By: ByPanel}},
			{"panel no more", orders(all), downBy("", "ordered by central"), Wish{Mode: access.LockedDown, By: ByCentral}},
			{"central no more", orders(nil), lockedBy("", "its order was taken back by central"), Wish{}},
			{"input", input(true), downBy("", "a lockdown input is active"), Wish{Mode: access.LockedDown, By: ByInput}},
			{"no input", input(false), lockedBy("", "no lockdown input is active any more"), Wish{}},
			{"for a time", orders(nil, access.DoorOrder{Door: "front", Mode: access.LockedDown, Until: until}), downBy(access.ReasonOperator, "ordered at the panel, until "+stamp), Wish{access.LockedDown, ByPanel, until, ""}},
			{"which is over", func() { b.pass(time.Hour + time.Second) }, lockedBy("", "the time of its order is over"), Wish{}},
			{"kept locked", orders(nil, access.DoorOrder{Door: "front", Mode: access.Locked}), lockedBy(access.ReasonOperator, "ordered at the panel"), Wish{By: ByPanel}},
			{"no longer kept", orders(nil), lockedBy(access.ReasonOperator, "its order was taken back at the panel"), Wish{}},
		} {
			b.modes()
			step.do()
			synctest.Wait()
			got := b.modes()
			if len(got) != len(step.want) || len(got) > 0 && got[0] != step.want[0] {
				t.Errorf("%s: journalled %+v, want %+v", step.name, got, step.want)
			}
			if got := b.c.Wish("front"); got != step.wish {
				t.Errorf("%s: wish %+v, want %+v", step.name, got, step.wish)
			}
		}
	})
}

func TestWishOfASchedule(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardB, keyB, "")
		b.option(cardB, access.FirstCard)
		b.rule(func(p *access.Policy) {
			p.Schedules = []access.Schedule{{ID: "day", Intervals: []access.Interval{{Days: 127, From: 60, To: 120}}}}
			p.Doors[0].UnlockSchedule, p.Doors[0].FirstCard = "day", true
			p.Doors[1].UnlockSchedule = "day"
		})
		end := time.Now().Add(2 * time.Hour)
		want := func(what, door string, want Wish) {
			t.Helper()
			got := b.c.Wish(door)
			if !got.Until.Equal(want.Until) {
				t.Errorf("%s: %s until %v, want %v", what, door, got.Until, want.Until)
			}
			if got.Until = want.Until; got != want {
				t.Errorf("%s: %s %+v, want %+v", what, door, got, want)
			}
		}
		want("at night", "front", Wish{})
		b.modes()
		b.pass(61 * time.Minute)
		want("by day", "lab", Wish{access.Unlocked, BySchedule, end, ""})
		want("by day, nobody came", "front", Wish{FirstCard: FirstCardAwaited})
		b.badge(b.front, cardB)
		want("by day, somebody came", "front", Wish{access.Unlocked, BySchedule, end, FirstCardIn})
		b.pass(time.Hour)
		want("in the evening", "front", Wish{})
		if got := b.modes(); len(got) != 2 || got[0].Detail != "by schedule" || got[1].Detail != "by schedule" {
			t.Errorf("journalled %+v, want it unlocked and locked by schedule", got)
		}
	})
}
