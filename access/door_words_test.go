package access

import (
	"slices"
	"testing"
	"time"
)

func TestDoorWords(t *testing.T) {
	d := NewDoor(DoorConfig{Times: DefaultDoorTimes(), HasContact: true, FireRelease: true})
	step := func(seconds float64, in DoorInput, mode, physical, alarm string) {
		t.Helper()
		d.Step(at(seconds), in)
		if m, p, a := d.Mode(at(seconds)).String(), d.Physical().String(), d.Alarm().String(); m != mode || p != physical || a != alarm {
			t.Errorf("at %v: %s, %s, %s; want %s, %s, %s", seconds, m, p, a, mode, physical, alarm)
		}
	}
	step(0, kind(DoorTick), "Locked", "Unknown", "Normal")
	step(1, kind(DoorContactClosed), "Locked", "Closed", "Normal")
	step(2, kind(DoorGrant), "Accessed", "Closed", "Normal")
	step(3, setMode(LockedDown), "LockedDown", "Closed", "Normal")
	step(4, kind(DoorREX), "LockedDown", "Closed", "Normal")
	step(30, kind(DoorContactOpen), "LockedDown", "Open", "DoorForcedOpen")
	step(31, setMode(LockedOpen), "LockedOpen", "Open", "Normal")
	step(32, setMode(Blocked), "Blocked", "Open", "Normal")
	step(99, kind(DoorContactFault), "Blocked", "Fault", "DoorOpenTooLong")
	step(100, setMode(Unlocked), "Unlocked", "Fault", "Normal")
	step(101, kind(DoorClearMode), "Locked", "Fault", "Normal")
	step(102, kind(DoorFireOn), "Locked", "Fault", "Normal") // released, but nobody was let in
	if DoorMode(99).String() != "?" || DoorAlarm(99).String() != "?" {
		t.Error("words for what has none")
	}
}

func TestDoorShowsItsInputs(t *testing.T) {
	d := NewDoor(DoorConfig{Times: DefaultDoorTimes(), REXStuckAfter: time.Second})
	for _, k := range []DoorInputKind{DoorFireOn, DoorTamperOn, DoorREXFoundDown} {
		d.Step(at(0), kind(k))
	}
	d.Step(at(1), kind(DoorTick))
	if !d.Fire() || !d.Tampered() || !d.REXStuck() {
		t.Errorf("fire %v, tamper %v, stuck %v", d.Fire(), d.Tampered(), d.REXStuck())
	}
	for _, k := range []DoorInputKind{DoorFireOff, DoorTamperOff, DoorREXReleased} {
		d.Step(at(2), kind(k))
	}
	if d.Fire() || d.Tampered() || d.REXStuck() {
		t.Errorf("fire %v, tamper %v, stuck %v after their end", d.Fire(), d.Tampered(), d.REXStuck())
	}
}

func TestSetTimesMovesTheDeadline(t *testing.T) {
	times := DefaultDoorTimes()
	d := NewDoor(DoorConfig{Times: times, HasContact: true})
	d.Step(at(0), kind(DoorContactOpen))
	times.HeldWarning, times.HeldAlarm = 5*time.Second, 10*time.Second
	d.SetTimes(times)
	if out := d.Step(at(1), kind(DoorTick)); len(out.Events) != 0 || out.Next != at(5) {
		t.Errorf("got %+v, want the next step at %v", out, at(5))
	}
	times.HeldWarning, times.HeldAlarm = time.Second, time.Second
	d.SetTimes(times)
	if out := d.Step(at(2), kind(DoorTick)); !slices.Equal(out.Events, told(DoorHeldWarning, DoorHeldOpen)) || out.HasNext {
		t.Errorf("got %+v, want both told at once", out)
	}
}
