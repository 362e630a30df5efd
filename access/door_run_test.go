package access

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// doorRun is one random history: the door, the model, and what the invariants
// need that neither of them knows.
type doorRun struct {
	r        *rand.Rand
	d        *Door
	m        doorModel
	now      time.Duration
	out      DoorOutput
	steps    int
	expected []EventType // of the model, since the last step
	trace    []doorTrace

	lastRelease, longest time.Duration // the latest grant or press, and the most that it may last

	standing map[EventType]int // how often each thing that has an end stands
	counts   map[EventType]int // of all runs
}

// doorTrace is one step of a run, for whoever has to find out why it failed.
type doorTrace struct {
	now time.Duration
	in  DoorInput
	out DoorOutput
}

func (t doorTrace) String() string {
	return fmt.Sprintf("%v %+v -> released %v, events %v", t.now, t.in, t.out.Release, t.out.Events)
}

func newDoorRun(seed uint64, counts map[EventType]int) *doorRun {
	r := rand.New(rand.NewPCG(seed, 1))
	u := someTimes(r, 1+r.IntN(12))
	coin := func() bool { return r.IntN(2) == 0 }
	cfg := DoorConfig{
		Times: u.times(), HasContact: r.IntN(8) > 0, RelockOnClose: coin(), REX: REXAction(r.IntN(2)),
		REXStuckAfter: time.Duration(u.stuck) * doorUnit, FireRelease: coin(),
	}
	return &doorRun{r: r, d: NewDoor(cfg), m: doorModel{cfg: cfg, times: u}, now: doorUnit, standing: map[EventType]int{}, counts: counts}
}

// someTimes are the default times, or short ones that meet each other more often.
func someTimes(r *rand.Rand, stuck int) doorUnits {
	if r.IntN(4) == 0 {
		return doorUnits{6, 20, 1, 60, 120, 10, stuck}
	}
	u := doorUnits{strike: 1 + r.IntN(6), relock: r.IntN(4), warning: 2 + r.IntN(8), shunt: r.IntN(5), stuck: stuck}
	u.extended = u.strike + r.IntN(8)
	u.alarm = u.warning + r.IntN(8)
	return u
}

func (h *doorRun) input() DoorInput {
	modes := [...]DoorMode{Locked, Locked, Unlocked, Blocked, LockedDown, LockedOpen}
	common := [...]DoorInputKind{DoorTick, DoorGrant, DoorGrant, DoorREX, DoorREXReleased, DoorContactOpen, DoorContactOpen, DoorContactClosed, DoorContactClosed}
	in := DoorInput{Kind: common[h.r.IntN(len(common))]}
	if h.r.IntN(3) == 0 {
		in.Kind = DoorInputKind(h.r.IntN(int(DoorSchedule) + 1))
	}
	in.Extended = in.Kind == DoorGrant && h.r.IntN(4) == 0
	if in.Kind == DoorSetMode || in.Kind == DoorSchedule {
		in.Mode = modes[h.r.IntN(len(modes))]
	}
	return in
}

// pass lets n units pass. With the timer served, the door is stepped whenever it
// asked for it, and must not have missed anything; without, all comes late.
func (h *doorRun) pass(n int, served bool) error {
	for range n {
		h.now += doorUnit
		h.m.told = nil
		h.m.unit()
		h.expected = append(h.expected, h.m.told...)
		switch {
		case !served:
		case h.out.HasNext && h.out.Next <= h.now:
			if err := h.step(DoorInput{}); err != nil {
				return err
			}
		case len(h.expected) > 0:
			return fmt.Errorf("at %v no step was asked for, and %v fell due", h.now, h.expected)
		case h.m.released() != h.out.Release || h.d.Released(h.now) != h.out.Release:
			return fmt.Errorf("at %v no step was asked for, and the lock is due to change", h.now)
		}
	}
	return nil
}

// step gives the door and the model one input and compares.
func (h *doorRun) step(in DoorInput) error {
	h.steps++
	h.m.told = nil
	h.m.happen(in)
	h.expected = append(h.expected, h.m.told...)
	h.out = h.d.Step(h.now, in)
	h.trace = append(h.trace, doorTrace{h.now, in, h.out})
	// Late steps tell in another order than things fell due in.
	if !slices.Equal(h.out.Events, h.expected) {
		got := slices.Sorted(slices.Values(h.out.Events))
		slices.Sort(h.expected)
		if !slices.Equal(got, h.expected) {
			return fmt.Errorf("events %v, want %v", got, h.expected)
		}
	}
	h.expected = h.expected[:0]
	if h.out.Release != h.m.released() {
		return fmt.Errorf("released %v, and the causes say %v", h.out.Release, h.m.released())
	}
	return h.invariants(in)
}

// invariants are what always holds, said without the model where that is
// possible.
func (h *doorRun) invariants(in DoorInput) error {
	cfg, times := h.m.cfg, h.m.times.times()
	if in.Kind == DoorGrant || in.Kind == DoorREX {
		length := times.Strike
		if in.Extended {
			length = times.Extended
		}
		h.longest = max(h.longest-(h.now-h.lastRelease), length)
		h.lastRelease = h.now
	}
	fire, mode := h.d.Fire() && cfg.FireRelease, h.d.Mode(h.now)
	switch {
	case in.Kind == DoorREX && cfg.REX == REXUnlock && !h.out.Release:
		return fmt.Errorf("the exit button does not release a door that is %v", mode)
	case fire && !h.out.Release:
		return errors.New("a fire does not release")
	case h.out.Release && !fire && mode != Unlocked && mode != LockedOpen && h.now >= h.lastRelease+h.longest:
		return errors.New("released past its time")
	case h.out.Release && !fire && mode != Unlocked && mode != LockedOpen && !h.out.HasNext:
		return errors.New("released without an end")
	case h.out.Release && !fire && cfg.REX == REXShunt && (mode == Blocked || mode == LockedDown):
		return fmt.Errorf("released while %v", mode)
	case h.out.HasNext && h.out.Next <= h.now:
		return fmt.Errorf("next step %v is not after %v", h.out.Next, h.now)
	case (h.d.Alarm() != Normal) && !h.d.Open():
		return fmt.Errorf("%v at a closed door", h.d.Alarm())
	case (h.d.Alarm() == Normal) != (h.m.alarm == ""):
		return fmt.Errorf("alarm %v, want %q", h.d.Alarm(), h.m.alarm)
	}
	return h.nesting()
}

// nesting checks that what is told to begin ends before it begins again.
func (h *doorRun) nesting() error {
	for _, e := range h.out.Events {
		h.counts[e]++
		began, by := e, 1
		switch e {
		case DoorHeldOpen:
			began = DoorForced // both are the one alarm
		case DoorForced, REXStuck, FireAlarm, Tampered, ContactFault:
		case DoorAlarmEnded:
			began, by = DoorForced, -1
		case REXStuckEnded, FireCleared, TamperEnded, ContactFaultEnded:
			began, by = e-1, -1 // each is numbered after what it ends
		default:
			continue
		}
		h.standing[began] += by
		if n := h.standing[began]; n < 0 || n > 1 {
			return fmt.Errorf("%q stands %d times", began.Text(), n)
		}
	}
	return nil
}

// rest ends all that is going on; the door has to come to rest, with every
// alarm ended.
func (h *doorRun) rest() error {
	for _, k := range []DoorInputKind{DoorREXReleased, DoorContactClosed, DoorFireOff, DoorTamperOff, DoorSchedule, DoorClearMode} {
		if err := h.step(DoorInput{Kind: k}); err != nil {
			return err
		}
	}
	for range 10 {
		if !h.out.HasNext {
			break
		}
		if err := h.pass(int((h.out.Next-h.now)/doorUnit), true); err != nil {
			return err
		}
	}
	if h.out.Release || h.out.HasNext || h.d.Alarm() != Normal || h.d.Mode(h.now) != Locked {
		return fmt.Errorf("does not come to rest: %+v, %v, %v", h.out, h.d.Mode(h.now), h.d.Alarm())
	}
	for e, n := range h.standing {
		if n != 0 {
			return fmt.Errorf("%q has no end", e.Text())
		}
	}
	return nil
}

func (h *doorRun) history(inputs int) error {
	for range inputs {
		wait, served := h.r.IntN(4), h.r.IntN(4) > 0
		if h.r.IntN(16) == 0 {
			wait = h.r.IntN(130)
		}
		if err := h.pass(wait, served); err != nil {
			return err
		}
		in := h.input()
		if h.r.IntN(50) == 0 {
			// Between two ticks: the first tells what is late by the old times.
			if err := h.step(DoorInput{}); err != nil {
				return err
			}
			in = DoorInput{}
			h.m.times = someTimes(h.r, h.m.times.stuck)
			h.d.SetTimes(h.m.times.times())
		}
		if err := h.step(in); err != nil {
			return err
		}
	}
	// What was not served yet is late, and told now.
	if err := h.step(DoorInput{}); err != nil {
		return err
	}
	return h.rest()
}

// A million steps of random histories against the model and the invariants.
func TestDoorModel(t *testing.T) {
	const wanted = 1_000_000
	steps, counts := 0, map[EventType]int{}
	for seed := uint64(1); steps < wanted; seed++ {
		h := newDoorRun(seed, counts)
		if err := h.history(400); err != nil {
			t.Fatalf("seed %d, %+v: %v\n%v", seed, h.m.cfg, err, h.trace[max(0, len(h.trace)-30):])
		}
		steps += h.steps
	}
	// A history that never got somewhere has proved nothing about it.
	for e := DoorForced; e <= DoorLockedOpen; e++ {
		if counts[e] < 1000 {
			t.Errorf("%q came up only %d times", e.Text(), counts[e])
		}
	}
	t.Logf("%d steps", steps)
}
