package access

import "fmt"

// DoorMode is what a door is set to, in the words of ONVIF's Door Control
// service.
type DoorMode uint8

// The door modes. Accessed is Locked with a release running: a door is found
// Accessed, never set to it. Unlocked and LockedOpen release the lock for as
// long as they last; Blocked and LockedDown suspend every cause of a release
// but REX and fire.
const (
	Locked DoorMode = iota
	Unlocked
	Accessed
	Blocked
	LockedDown
	LockedOpen
)

var doorModeNames = [...]string{"Locked", "Unlocked", "Accessed", "Blocked", "LockedDown", "LockedOpen"}

// String gives the mode's name.
func (m DoorMode) String() string { return wordOf(doorModeNames[:], m) }

// ParseDoorMode reads the name of a mode that a door can be set to.
func ParseDoorMode(s string) (DoorMode, error) {
	for i, n := range doorModeNames {
		if m := DoorMode(i); n == s && m != Accessed {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown door mode %.16q (one of Locked, Unlocked, Blocked, LockedDown, LockedOpen)", s)
}

// suspends reports whether the mode holds back every cause but REX and fire.
func (m DoorMode) suspends() bool { return m == Blocked || m == LockedDown }

// holdsOpen reports whether the mode itself releases the lock.
func (m DoorMode) holdsOpen() bool { return m == Unlocked || m == LockedOpen }

// settable gives the mode that setting m means: what can't be set locks.
func (m DoorMode) settable() DoorMode {
	if m == Accessed || int(m) >= len(doorModeNames) {
		return Locked
	}
	return m
}

// event is the journal entry of a door that comes into the mode.
func (m DoorMode) event() EventType {
	switch m {
	case Unlocked:
		return DoorUnlocked
	case Blocked:
		return DoorBlocked
	case LockedDown:
		return DoorLockedDown
	case LockedOpen:
		return DoorLockedOpen
	}
	return DoorLocked
}

// DoorPhysicalState is what the contact says of the door leaf, in ONVIF's words.
type DoorPhysicalState uint8

// The physical states. Unknown is a door without a contact, or one whose
// contact has not spoken yet; Fault is a contact that says neither.
const (
	PhysicalUnknown DoorPhysicalState = iota
	PhysicalOpen
	PhysicalClosed
	PhysicalFault
)

var physicalNames = [...]string{"Unknown", "Open", "Closed", "Fault"}

// String gives the state's name.
func (s DoorPhysicalState) String() string { return wordOf(physicalNames[:], s) }

// DoorAlarm is the alarm that stands at a door.
type DoorAlarm uint8

// The alarms. One stands at a time, and each ends with DoorAlarmEnded.
const (
	Normal DoorAlarm = iota
	ForcedOpen
	OpenTooLong
)

var doorAlarmNames = [...]string{"Normal", "DoorForcedOpen", "DoorOpenTooLong"}

// String gives the alarm's name in ONVIF's words.
func (a DoorAlarm) String() string { return wordOf(doorAlarmNames[:], a) }

func wordOf[T ~uint8](names []string, i T) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "?"
}
