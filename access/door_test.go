package access

import (
	"slices"
	"testing"
	"time"
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

func kind(k DoorInputKind) DoorInput       { return DoorInput{Kind: k} }
func setMode(m DoorMode) DoorInput         { return DoorInput{Kind: DoorSetMode, Mode: m} }
func schedule(m DoorMode) DoorInput        { return DoorInput{Kind: DoorSchedule, Mode: m} }
func told(events ...EventType) []EventType { return events }

func TestDoor(t *testing.T) {
	grant, extended, tick := kind(DoorGrant), DoorInput{Kind: DoorGrant, Extended: true}, kind(DoorTick)
	rex, letGo := kind(DoorREX), kind(DoorREXReleased)
	opened, closed := kind(DoorContactOpen), kind(DoorContactClosed)
	fire, cleared := kind(DoorFireOn), kind(DoorFireOff)
	strike, maglock := DoorConfig{}, DoorConfig{RelockOnClose: true}
	shunt, releasing := DoorConfig{REX: REXShunt}, DoorConfig{FireRelease: true}
	for _, tt := range []struct {
		name  string
		cfg   DoorConfig // with a contact and the default times
		steps []doorStep
	}{
		{"granted, walked through", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, told(AccessTaken)},
			{2.4, tick, true, nil},
			{2.5, tick, false, nil}, // relocked half a second after opening
			{4, closed, false, nil},
			{20, tick, false, nil},
		}},
		{"granted, not taken", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{4, tick, false, nil},
			{9, tick, false, told(AccessNotTaken)},
			{20, tick, false, nil},
		}},
		{"taken is told once", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, told(AccessTaken)},
			{3, closed, false, nil},
			{4, opened, false, nil}, // within the shunt
			{5, closed, false, nil},
			{20, tick, false, nil},
		}},
		{"opened late, within the shunt", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{8, opened, false, told(AccessTaken)},
			{9, closed, false, nil},
		}},
		{"opened too late", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{9, opened, false, told(AccessNotTaken, DoorForced)},
			{10, closed, false, told(DoorAlarmEnded)},
		}},
		{"forced", strike, []doorStep{
			{0, closed, false, nil},
			{1, opened, false, told(DoorForced)},
			{100, tick, false, nil}, // one alarm at a time
			{101, closed, false, told(DoorAlarmEnded)},
		}},
		{"standing open at the start", strike, []doorStep{
			{0, opened, false, nil},
			{29.9, tick, false, nil},
			{30, tick, false, told(DoorHeldWarning)},
			{60, tick, false, told(DoorHeldOpen)},
			{61, closed, false, told(DoorAlarmEnded)},
		}},
		{"held open counts from the end of the release", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, told(AccessTaken)},
			{33.9, tick, false, nil},
			{34, tick, false, told(DoorHeldWarning)},
			{64, tick, false, told(DoorHeldOpen)},
			{65, closed, false, told(DoorAlarmEnded)},
		}},
		{"held open is longer for extended", strike, []doorStep{
			{0, closed, false, nil},
			{1, extended, true, nil},
			{2, opened, true, told(AccessTaken)},
			{40.9, tick, false, nil},
			{41, tick, false, told(DoorHeldWarning)},
			{71, tick, false, told(DoorHeldOpen)},
			{72, closed, false, told(DoorAlarmEnded)},
		}},
		{"a grant at an open door puts the warning off", strike, []doorStep{
			{0, opened, false, nil},
			{30, tick, false, told(DoorHeldWarning)},
			{40, grant, true, nil},
			{72.9, tick, false, nil},
			{73, tick, false, told(DoorHeldWarning)},
			{74, closed, false, nil}, // a warning has no end
		}},
		{"late ticks tell everything that fell due", strike, []doorStep{
			{0, opened, false, nil},
			{200, closed, false, told(DoorHeldWarning, DoorHeldOpen, DoorAlarmEnded)},
		}},
		{"exit button", strike, []doorStep{
			{0, closed, false, nil},
			{1, rex, true, told(GrantedREX)},
			{2, opened, true, told(AccessTaken)},
			{3, closed, false, nil},
			{4, letGo, false, nil},
		}},
		{"an exit button held is one activation, and stuck once", strike, []doorStep{
			{0, closed, false, nil},
			{1, rex, true, told(GrantedREX)},
			{4, tick, false, nil},
			{9, tick, false, told(AccessNotTaken)},
			{60.9, tick, false, nil},
			{61, tick, false, told(REXStuck)},
			{200, tick, false, nil},
			{201, letGo, false, told(REXStuckEnded)},
			{202, letGo, false, nil},
			{300, tick, false, nil},
		}},
		{"a press whose letting go was lost opens all the same", strike, []doorStep{
			{0, closed, false, nil},
			{1, rex, true, told(GrantedREX)},
			{70, rex, true, told(AccessNotTaken, REXStuck, REXStuckEnded, GrantedREX)},
			{129, tick, false, told(AccessNotTaken)},
			{130, tick, false, told(REXStuck)},
		}},
		{"an exit button down at the start", strike, []doorStep{
			{0, kind(DoorREXFoundDown), false, nil},
			{30, kind(DoorREXFoundDown), false, nil}, // told again after a fault: held all along
			{60, tick, false, told(REXStuck)},
			{61, letGo, false, told(REXStuckEnded)},
			{62, rex, true, told(GrantedREX)},
		}},
		{"an exit button that only shunts", shunt, []doorStep{
			{0, closed, false, nil},
			{1, rex, false, told(GrantedREX)},
			{2, opened, false, nil},
			{3, closed, false, nil},
			{4, letGo, false, nil},
			{8.9, opened, false, nil},
			{8.95, closed, false, nil},
			{9, opened, false, told(DoorForced)},
		}},
		{"an exit button that only shunts is not waited for", shunt, []doorStep{
			{0, closed, false, nil},
			{1, rex, false, told(GrantedREX)},
			{20, tick, false, nil},
			{21, grant, true, nil},
			{24, rex, false, told(GrantedREX)},
			{29, tick, false, told(AccessNotTaken)},
			{30, opened, false, nil},
		}},
		{"the end of one cause does not relock for another", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{3, rex, true, told(GrantedREX)},
			{4, tick, true, nil},
			{6, tick, false, nil},
		}},
		{"the end of a mode does not relock for a grant", strike, []doorStep{
			{0, setMode(Unlocked), true, told(DoorUnlocked)},
			{1, grant, true, nil},
			{2, setMode(Locked), true, told(DoorLocked)},
			{4, tick, false, nil},
		}},
		{"lockdown ends a running grant, and the exit button opens all the same", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, setMode(LockedDown), false, told(DoorLockedDown)},
			{3, grant, false, nil},
			{4, rex, true, told(GrantedREX)},
			{7, tick, false, nil},
			{8, setMode(Locked), false, told(DoorLocked)},
		}},
		{"a grant does not come back after a lockdown", strike, []doorStep{
			{0, closed, false, nil},
			{1, extended, true, nil},
			{2, setMode(LockedDown), false, told(DoorLockedDown)},
			{3, setMode(Locked), false, told(DoorLocked)},
			{7, opened, false, told(AccessNotTaken, DoorForced)}, // its shunt is over too
		}},
		{"lockdown leaves a running exit button alone", strike, []doorStep{
			{0, closed, false, nil},
			{1, rex, true, told(GrantedREX)},
			{2, setMode(LockedDown), true, told(DoorLockedDown)},
			{4, tick, false, nil},
		}},
		{"blocked", strike, []doorStep{
			{0, setMode(Blocked), false, told(DoorBlocked)},
			{1, grant, false, nil},
			{2, rex, true, told(GrantedREX)},
		}},
		{"unlocked is never forced nor held", strike, []doorStep{
			{0, closed, false, nil},
			{1, setMode(Unlocked), true, told(DoorUnlocked)},
			{2, opened, true, nil},
			{500, tick, true, nil},
			{501, closed, true, nil},
			{502, setMode(Locked), false, told(DoorLocked)},
		}},
		{"held open counts from the end of the unlocking", strike, []doorStep{
			{0, closed, false, nil},
			{1, setMode(LockedOpen), true, told(DoorLockedOpen)},
			{2, opened, true, nil},
			{500, setMode(Locked), false, told(DoorLocked)},
			{529.9, tick, false, nil},
			{530, tick, false, told(DoorHeldWarning)},
			{560, tick, false, told(DoorHeldOpen)},
			{561, setMode(Unlocked), true, told(DoorUnlocked, DoorAlarmEnded)},
			{562, closed, true, nil},
		}},
		{"a schedule is the base that a command overrides", strike, []doorStep{
			{0, schedule(Unlocked), true, told(DoorUnlocked)},
			{1, setMode(LockedDown), false, told(DoorLockedDown)},
			{2, schedule(Locked), false, nil},
			{3, schedule(Unlocked), false, nil},
			{4, kind(DoorClearMode), true, told(DoorUnlocked)},
			{5, kind(DoorClearMode), true, nil},
			{6, schedule(Locked), false, told(DoorLocked)},
			{7, setMode(Locked), false, nil},
			{8, schedule(Unlocked), false, nil},
			{9, setMode(Accessed), false, nil}, // can't be set: locked
			{10, setMode(99), false, nil},
		}},
		{"fire tells, silences and does not release", strike, []doorStep{
			{0, closed, false, nil},
			{1, fire, false, told(FireAlarm)},
			{2, fire, false, nil},
			{3, opened, false, nil},
			{100, tick, false, nil},
			{200, cleared, false, told(FireCleared)},
			{201, cleared, false, nil},
			{229.9, tick, false, nil}, // what is present counts from the end
			{230, tick, false, told(DoorHeldWarning)},
			{260, tick, false, told(DoorHeldOpen)},
			{261, fire, false, told(FireAlarm, DoorAlarmEnded)},
			{262, closed, false, nil},
		}},
		{"fire ends a forced alarm, and a new opening is forced again", strike, []doorStep{
			{0, closed, false, nil},
			{1, opened, false, told(DoorForced)},
			{2, fire, false, told(FireAlarm, DoorAlarmEnded)},
			{3, closed, false, nil},
			{4, cleared, false, told(FireCleared)},
			{5, opened, false, told(DoorForced)},
		}},
		{"fire releases where configured, in every mode, at the start too", releasing, []doorStep{
			{0, fire, true, told(FireAlarm)},
			{1, setMode(LockedDown), true, told(DoorLockedDown)},
			{2, setMode(Blocked), true, told(DoorBlocked)},
			{600, tick, true, nil},
			{601, cleared, false, told(FireCleared)},
		}},
		{"the end of a fire does not relock for another cause", releasing, []doorStep{
			{0, closed, false, nil},
			{1, fire, true, told(FireAlarm)},
			{2, rex, true, told(GrantedREX)},
			{3, cleared, true, told(FireCleared)},
			{4, setMode(Unlocked), true, told(DoorUnlocked)},
			{5, fire, true, told(FireAlarm)},
			{6, cleared, true, told(FireCleared)},
			{10, setMode(Locked), false, told(AccessNotTaken, DoorLocked)},
		}},
		{"tamper is told on both edges", strike, []doorStep{
			{0, kind(DoorTamperOff), false, nil},
			{1, kind(DoorTamperOn), false, told(Tampered)},
			{2, kind(DoorTamperOn), false, nil},
			{3, kind(DoorTamperOff), false, told(TamperEnded)},
		}},
		{"a contact at fault tells nothing that it can't know", strike, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, kind(DoorContactFault), true, told(ContactFault)},
			{3, kind(DoorContactFault), true, nil},
			{20, tick, false, nil}, // neither taken nor not taken
			{21, closed, false, told(ContactFaultEnded)},
		}},
		{"a fault of the contact does not wash an opening", strike, []doorStep{
			{0, closed, false, nil},
			{1, kind(DoorContactFault), false, told(ContactFault)},
			{2, opened, false, told(ContactFaultEnded, DoorForced)},
			{3, kind(DoorContactFault), false, told(ContactFault)},
			{4, closed, false, told(ContactFaultEnded, DoorAlarmEnded)},
		}},
		{"extended", strike, []doorStep{
			{0, closed, false, nil},
			{1, extended, true, nil},
			{10.9, tick, true, nil},
			{11, tick, false, nil},
			{15.9, opened, false, told(AccessTaken)},
		}},
		{"a second grant lengthens, never shortens", strike, []doorStep{
			{0, closed, false, nil},
			{1, extended, true, nil},
			{2, grant, true, nil},
			{10.9, tick, true, nil},
			{11, tick, false, nil},
		}},
		{"a maglock pulls when the door has closed", maglock, []doorStep{
			{0, closed, false, nil},
			{1, extended, true, nil},
			{2, opened, true, told(AccessTaken)},
			{4, tick, true, nil},
			{5, closed, false, nil},
		}},
		{"a maglock pulls when its time is over", maglock, []doorStep{
			{0, closed, false, nil},
			{1, grant, true, nil},
			{2, opened, true, told(AccessTaken)},
			{4, tick, false, nil},
		}},
		{"a bouncing contact", strike, []doorStep{
			{0, closed, false, nil},
			{0.5, closed, false, nil},
			{1, opened, false, told(DoorForced)},
			{1.1, opened, false, nil},
			{2, closed, false, told(DoorAlarmEnded)},
			{2.1, closed, false, nil},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Times, tt.cfg.HasContact = DefaultDoorTimes(), true
			d := NewDoor(tt.cfg)
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
	for _, k := range []DoorInputKind{DoorContactOpen, DoorContactFault, DoorContactClosed} {
		if out := d.Step(at(200), kind(k)); len(out.Events) != 0 || out.HasNext || d.Open() || d.Physical() != PhysicalUnknown {
			t.Errorf("input %d: a door without a contact takes its word: %+v, %v", k, out, d.Physical())
		}
	}
}
