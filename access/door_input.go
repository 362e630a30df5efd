package access

import "time"

// DoorInputKind says what happened to a door.
type DoorInputKind uint8

// The inputs of a door. A level that is told again changes nothing; a press that
// is told again is another press.
//
// This is what each input writes to the journal, and nothing else writes. In
// brackets stands what comes before or after an entry, where there is something
// to be ended.
//
//	input              entry                                          none when
//	DoorTick           those of time, below
//	DoorGrant                                                         always: the decision is the entry
//	DoorREX            [REXStuckEnded] GrantedREX
//	DoorREXFoundDown                                                  always: nobody pressed
//	DoorREXReleased    REXStuckEnded                                  it was not stuck
//	DoorContactOpen    [ContactFaultEnded], AccessTaken when a        it was open, a release had
//	                   release waits for its opening, DoorForced      been taken up, the mode or a
//	                   when nothing accounts for it                   fire lets it, or first word
//	DoorContactClosed  [ContactFaultEnded] DoorAlarmEnded             no alarm stood
//	DoorContactFault   ContactFault                                   it was at fault
//	DoorFireOn         FireAlarm [DoorAlarmEnded]                     it was on
//	DoorFireOff        FireCleared                                    it was off
//	DoorTamperOn       Tampered                                       it was on
//	DoorTamperOff      TamperEnded                                    it was off
//	DoorSetMode        DoorLocked, DoorUnlocked, DoorBlocked,         the mode in force is
//	DoorClearMode      DoorLockedDown or DoorLockedOpen               what it was
//	DoorSchedule       [DoorAlarmEnded]
//	time               AccessNotTaken when a release has not been     the contact is at fault
//	                   followed by an opening within the shunt
//	                   DoorHeldWarning, DoorHeldOpen                  an alarm stands, the mode
//	                                                                  or a fire lets it be open
//	                   REXStuck                                       told for this press
//
// A door without a contact takes no word of one, and tells of no access taken
// or not taken. An input takes place after what fell due before it, so the
// entries of time may come ahead of its own.
const (
	DoorTick          DoorInputKind = iota // time passed
	DoorGrant                              // access was granted; Extended holds for the key
	DoorREX                                // the exit button was pressed
	DoorContactOpen                        // the contact says open
	DoorContactClosed                      // the contact says closed
	DoorSetMode                            // a command sets Mode, which stands until another or DoorClearMode
	DoorREXFoundDown                       // the exit button is down, and nobody saw it pressed: a start, or a fault that ended
	DoorREXReleased                        // the exit button was let go
	DoorContactFault                       // the contact can't be read; its last word stands until it speaks again
	DoorFireOn                             // the fire input is active, at the start too
	DoorFireOff                            // the fire input is at rest
	DoorTamperOn                           // the tamper input is active
	DoorTamperOff                          // the tamper input is at rest
	DoorClearMode                          // no command any more: the schedule's mode is in force
	DoorSchedule                           // the schedule's mode is Mode, in force where no command is
)

// DoorInput is one thing that happened to a door.
type DoorInput struct {
	Kind     DoorInputKind
	Extended bool     // of DoorGrant
	Mode     DoorMode // of DoorSetMode and DoorSchedule; one that can't be set is Locked
}

// REXAction is what the exit button does.
type REXAction uint8

// The actions. REXShunt is for doors that open by hand from the inside: the
// button, or the sensor in the handle, only accounts for the opening.
const (
	REXUnlock REXAction = iota // releases the lock for the strike time
	REXShunt                   // releases nothing: an opening is not forced
)

// DefaultREXStuckAfter is how long an exit button is held before it is stuck.
const DefaultREXStuckAfter = time.Minute

// DoorConfig is how a door is built.
type DoorConfig struct {
	Times      DoorTimes
	HasContact bool
	// RelockOnClose is for a maglock, which would pull a door that is just
	// opening shut again: it is secured on closing, or when its time is over. A
	// strike is secured Times.Relock after opening.
	RelockOnClose bool
	REX           REXAction
	REXStuckAfter time.Duration // zero is DefaultREXStuckAfter
	FireRelease   bool          // a fire releases the lock for as long as it lasts
}

// DoorOutput is what a door wants after a step.
type DoorOutput struct {
	Release bool          // the lock's output
	Events  []EventType   // to be journalled, in order
	Next    time.Duration // when to step again with DoorTick, if HasNext; later than now
	HasNext bool
}
