package access

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// Every input in every situation leads to the journal entries of the table
// beside DoorInputKind, and to no other.
func TestDoorInputRules(t *testing.T) {
	type entries = map[DoorInputKind][]EventType
	// What the inputs write at a door that is closed and has nothing going on;
	// the modes are LockedDown by command and Unlocked by schedule.
	closed := entries{
		DoorTick:          nil,
		DoorGrant:         nil,
		DoorREX:           told(GrantedREX),
		DoorREXFoundDown:  nil,
		DoorREXReleased:   nil,
		DoorContactOpen:   told(DoorForced),
		DoorContactClosed: nil,
		DoorContactFault:  told(ContactFault),
		DoorFireOn:        told(FireAlarm),
		DoorFireOff:       nil,
		DoorTamperOn:      told(Tampered),
		DoorTamperOff:     nil,
		DoorSetMode:       told(DoorLockedDown),
		DoorClearMode:     nil,
		DoorSchedule:      told(DoorUnlocked),
	}
	for k := range DoorSchedule + 1 {
		if _, ok := closed[k]; !ok {
			t.Errorf("input %d has no rule", k)
		}
	}
	steps := func(kinds ...DoorInputKind) (in []DoorInput) {
		for _, k := range kinds {
			in = append(in, kind(k))
		}
		return in
	}
	for _, tt := range []struct {
		name      string
		noContact bool
		before    []DoorInput // a second apart, the probe a second after the last
		differ    entries     // from closed
	}{
		{name: "closed", before: steps(DoorContactClosed)},
		{name: "a contact that has not spoken", differ: entries{DoorContactOpen: nil}},
		{
			name: "no contact", noContact: true, before: steps(DoorGrant),
			differ: entries{DoorContactOpen: nil, DoorContactFault: nil},
		},
		{
			name: "a release waits for its opening", before: steps(DoorContactClosed, DoorGrant),
			differ: entries{DoorContactOpen: told(AccessTaken)},
		},
		{
			name: "taken up and closed again", before: steps(DoorContactClosed, DoorGrant, DoorContactOpen, DoorContactClosed),
			differ: entries{DoorContactOpen: nil},
		},
		{
			name: "open, rightly", before: steps(DoorContactClosed, DoorGrant, DoorContactOpen),
			differ: entries{DoorContactOpen: nil},
		},
		{
			name: "forced", before: steps(DoorContactClosed, DoorContactOpen),
			differ: entries{
				DoorContactOpen:   nil,
				DoorContactClosed: told(DoorAlarmEnded),
				DoorFireOn:        told(FireAlarm, DoorAlarmEnded),
				DoorSchedule:      told(DoorUnlocked, DoorAlarmEnded),
			},
		},
		{
			name: "contact at fault", before: steps(DoorContactClosed, DoorContactFault),
			differ: entries{
				DoorContactOpen:   told(ContactFaultEnded, DoorForced),
				DoorContactClosed: told(ContactFaultEnded),
				DoorContactFault:  nil,
			},
		},
		{name: "button down", before: steps(DoorContactClosed, DoorREXFoundDown)},
		{
			name: "button stuck", before: steps(DoorContactClosed, DoorREXFoundDown, DoorTick, DoorTick, DoorTick, DoorTick, DoorTick, DoorTick),
			differ: entries{
				DoorREX:         told(REXStuckEnded, GrantedREX),
				DoorREXReleased: told(REXStuckEnded),
			},
		},
		{
			name: "fire", before: steps(DoorContactClosed, DoorFireOn),
			differ: entries{DoorContactOpen: nil, DoorFireOn: nil, DoorFireOff: told(FireCleared)},
		},
		{
			name: "tampered", before: steps(DoorContactClosed, DoorTamperOn),
			differ: entries{DoorTamperOn: nil, DoorTamperOff: told(TamperEnded)},
		},
		{
			name: "locked down", before: []DoorInput{kind(DoorContactClosed), setMode(LockedDown)},
			differ: entries{DoorSetMode: nil, DoorClearMode: told(DoorLocked), DoorSchedule: nil},
		},
		{
			name: "locked by command, unlocked by schedule", before: []DoorInput{kind(DoorContactClosed), setMode(Locked), schedule(Unlocked)},
			differ: entries{DoorClearMode: told(DoorUnlocked), DoorSchedule: nil},
		},
		{
			name: "unlocked", before: []DoorInput{kind(DoorContactClosed), schedule(Unlocked)},
			differ: entries{DoorContactOpen: nil, DoorSchedule: nil},
		},
		{
			name: "locked open", before: []DoorInput{kind(DoorContactClosed), setMode(LockedOpen)},
			differ: entries{DoorContactOpen: nil, DoorClearMode: told(DoorLocked), DoorSchedule: nil},
		},
	} {
		want := maps.Clone(closed)
		maps.Copy(want, tt.differ)
		for k, events := range want {
			d := NewDoor(DoorConfig{Times: DefaultDoorTimes(), HasContact: !tt.noContact, REXStuckAfter: 5 * time.Second})
			now := t0
			for _, in := range tt.before {
				d.Step(now, in)
				now += time.Second
			}
			in := kind(k)
			switch k {
			case DoorSetMode:
				in.Mode = LockedDown
			case DoorSchedule:
				in.Mode = Unlocked
			}
			if out := d.Step(now, in); !slices.Equal(out.Events, events) {
				t.Errorf("%s: input %d writes %v, want %v", tt.name, k, out.Events, events)
			}
		}
	}
}
