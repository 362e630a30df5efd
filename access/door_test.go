package access

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const t0 = time.Second // the door's clock starts above zero

func at(seconds float64) time.Duration { return t0 + time.Duration(seconds*float64(time.Second)) }

// doorStep is an input at a time, with what is wanted after it.
type doorStep struct {
	at      float64
	in      DoorInput
	release bool
	events  []EventType
}

func TestDoor(t *testing.T) {
	grant, rex := DoorInput{Kind: DoorGrant}, DoorInput{Kind: DoorREX}
	opened, closed, tick := DoorInput{Kind: DoorContactOpen}, DoorInput{Kind: DoorContactClosed}, DoorInput{}
	mode := func(m DoorMode) DoorInput { return DoorInput{Kind: DoorSetMode, Mode: m} }
	ev := func(e ...EventType) []EventType { return e }
	for _, tt := range []struct {
		name    string
		maglock bool
		steps   []doorStep
	}{
		{"granted, walked through", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, ev(AccessTaken)},
			{2.5, tick, false, nil}, // relocked half a second after opening
			{4, closed, false, nil},
			{20, tick, false, nil},
		}},
		{"granted, not taken", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{4, tick, false, nil},
			{9, tick, false, ev(AccessNotTaken)},
			{20, tick, false, nil},
		}},
		{"opened late, within the shunt", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{8, opened, false, ev(AccessTaken)},
			{9, closed, false, nil},
		}},
		{"forced", false, []doorStep{
			{0, closed, false, nil},
			{1, opened, false, ev(DoorForced)},
			{100, tick, false, nil}, // one alarm at a time
			{101, closed, false, ev(DoorAlarmEnded)},
		}},
		{"standing open at the start", false, []doorStep{
			{0, opened, false, nil},
			{30, tick, false, ev(DoorHeldWarning)},
			{60, tick, false, ev(DoorHeldOpen)},
			{61, closed, false, ev(DoorAlarmEnded)},
		}},
		{"held open counts from the end of the release", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, ev(AccessTaken)},
			{33.9, tick, false, nil},
			{34, tick, false, ev(DoorHeldWarning)},
			{64, tick, false, ev(DoorHeldOpen)},
			{65, closed, false, ev(DoorAlarmEnded)},
		}},
		{"late ticks tell everything that fell due", false, []doorStep{
			{0, opened, false, nil},
			{200, closed, false, ev(DoorHeldWarning, DoorHeldOpen, DoorAlarmEnded)},
		}},
		{"exit button", false, []doorStep{
			{0, closed, false, nil},
			{1, rex, true, ev(GrantedREX)},
			{2, opened, true, ev(AccessTaken)},
			{3, closed, false, nil},
		}},
		{"the end of one cause does not relock for another", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{3, rex, true, ev(GrantedREX)},
			{4, tick, true, nil},
			{6, tick, false, nil},
		}},
		{"lockdown ends a running grant, and the exit button opens all the same", false, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, mode(LockedDown), false, nil},
			{3, grant, false, nil},
			{4, rex, true, ev(GrantedREX)},
			{7, tick, false, nil},
			{8, mode(Locked), false, nil},
		}},
		{"blocked", false, []doorStep{
			{0, mode(Blocked), false, nil},
			{1, grant, false, nil},
			{2, rex, true, ev(GrantedREX)},
		}},
		{"unlocked is never forced nor held", false, []doorStep{
			{0, closed, false, nil},
			{1, mode(Unlocked), true, nil},
			{2, opened, true, nil},
			{500, tick, true, nil},
			{501, closed, true, nil},
			{502, mode(Locked), false, nil},
		}},
		{"extended", false, []doorStep{
			{0, closed, false, nil},
			{1, DoorInput{Kind: DoorGrant, Extended: true}, true, nil},
			{10.9, tick, true, nil},
			{11, tick, false, nil},
		}},
		{"a second grant lengthens, never shortens", false, []doorStep{
			{0, closed, false, nil},
			{1, DoorInput{Kind: DoorGrant, Extended: true}, true, nil},
			{2, grant, true, nil},
			{10.9, tick, true, nil},
			{11, tick, false, nil},
		}},
		{"a maglock pulls when the door has closed", true, []doorStep{
			{0, closed, false, nil},
			{1, DoorInput{Kind: DoorGrant, Extended: true}, true, nil},
			{2, opened, true, ev(AccessTaken)},
			{4, tick, true, nil},
			{5, closed, false, nil},
		}},
		{"a bouncing contact", false, []doorStep{
			{0, closed, false, nil},
			{0.5, closed, false, nil},
			{1, opened, false, ev(DoorForced)},
			{1.1, opened, false, nil},
			{2, closed, false, ev(DoorAlarmEnded)},
			{2.1, closed, false, nil},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDoor(DoorConfig{Times: DefaultDoorTimes(), HasContact: true, RelockOnClose: tt.maglock})
			for _, s := range tt.steps {
				out := d.Step(at(s.at), s.in)
				if out.Release != s.release || !slices.Equal(out.Events, s.events) {
					t.Fatalf("at %v: released %v, events %v; want %v, %v", s.at, out.Release, out.Events, s.release, s.events)
				}
			}
		})
	}
}

func TestDoorWithoutContact(t *testing.T) {
	d := NewDoor(DoorConfig{Times: DefaultDoorTimes()})
	out := d.Step(at(0), DoorInput{Kind: DoorGrant})
	if !out.Release || !out.HasNext || out.Next != at(3) {
		t.Fatalf("got %+v", out)
	}
	if d.Mode(at(1)) != Accessed {
		t.Errorf("mode %v while released", d.Mode(at(1)))
	}
	out = d.Step(at(100), DoorInput{})
	if out.Release || len(out.Events) != 0 || out.HasNext {
		t.Errorf("a door without a contact tells %+v", out)
	}
}

// Random histories against what must always hold.
func TestDoorInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := DefaultDoorTimes()
		cfg := DoorConfig{Times: times, HasContact: rapid.Bool().Draw(t, "contact"), RelockOnClose: rapid.Bool().Draw(t, "maglock")}
		d := NewDoor(cfg)
		now := t0
		lastGrant, lastREX := -time.Hour, -time.Hour
		mode := Locked
		next, hasNext := time.Duration(0), false
		alarmed := false
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 20_000).Draw(t, fmt.Sprint("wait", i))) * time.Millisecond
			if hasNext && now > next {
				now = next // the controller's timer
			}
			in := DoorInput{Kind: DoorInputKind(rapid.IntRange(0, 5).Draw(t, fmt.Sprint("kind", i)))}
			if !cfg.HasContact && (in.Kind == DoorContactOpen || in.Kind == DoorContactClosed) {
				in.Kind = DoorTick
			}
			if in.Kind == DoorSetMode {
				in.Mode = rapid.SampledFrom([]DoorMode{Locked, Unlocked, Blocked, LockedDown}).Draw(t, fmt.Sprint("mode", i))
				mode = in.Mode
				if mode == Blocked || mode == LockedDown {
					lastGrant = -time.Hour
				}
			}
			in.Extended = in.Kind == DoorGrant && rapid.Bool().Draw(t, fmt.Sprint("extended", i))
			if in.Kind == DoorGrant && mode != Blocked && mode != LockedDown {
				lastGrant = now
			}
			if in.Kind == DoorREX {
				lastREX = now
			}
			out := d.Step(now, in)
			if in.Kind == DoorREX && !out.Release {
				t.Fatalf("the exit button does not release a door that is %v", mode)
			}
			if out.Release && mode != Unlocked && now >= lastGrant+times.Extended && now >= lastREX+times.Strike {
				t.Fatalf("released at %v without a cause (grant %v, exit %v, %v)", now, lastGrant, lastREX, mode)
			}
			if out.Release && (mode == Blocked || mode == LockedDown) && now >= lastREX+times.Strike {
				t.Fatalf("released while %v", mode)
			}
			if out.Release && mode != Unlocked && !out.HasNext {
				t.Fatal("released without an end")
			}
			if out.HasNext && out.Next <= now {
				t.Fatalf("next step %v is not after %v", out.Next, now)
			}
			for _, e := range out.Events {
				switch e {
				case DoorForced, DoorHeldOpen:
					if alarmed {
						t.Fatalf("%v in an alarm", e)
					}
					alarmed = true
				case DoorAlarmEnded:
					if !alarmed {
						t.Fatal("an alarm ends that did not stand")
					}
					alarmed = false
				}
			}
			if alarmed != (d.Alarm() != Normal) || alarmed && !d.Open() {
				t.Fatalf("alarm %v, told %v, open %v", d.Alarm(), alarmed, d.Open())
			}
			next, hasNext = out.Next, out.HasNext
		}
		// A closed door with nothing going on comes to rest.
		d.Step(now, DoorInput{Kind: DoorSetMode, Mode: Locked})
		out := d.Step(now, DoorInput{Kind: DoorContactClosed})
		for range 10 {
			if !out.HasNext {
				break
			}
			now = out.Next
			out = d.Step(now, DoorInput{})
		}
		if out.Release || out.HasNext || d.Alarm() != Normal {
			t.Fatalf("does not come to rest: %+v, alarm %v", out, d.Alarm())
		}
	})
}
