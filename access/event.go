package access

import (
	"strings"
	"time"
)

// EventType is the number of an event in the words of central's event list.
type EventType uint16

// Access granted (1xx) and denied (2xx).
const (
	Granted           EventType = 100 // unclassified; see the event's reason
	GrantedCode       EventType = 101
	GrantedCard       EventType = 102
	GrantedCardPIN    EventType = 103
	GrantedREX        EventType = 104
	GrantedCommonCode EventType = 105

	Denied            EventType = 200 // unclassified; see the event's reason
	DeniedUnknown     EventType = 201
	DeniedOutside     EventType = 202 // of its validity period
	DeniedBlacklisted EventType = 203
	DeniedDisabled    EventType = 204
	DeniedNoPIN       EventType = 205
	DeniedNoLevel     EventType = 206 // not authorized here
	DeniedSchedule    EventType = 207
)

// System events (above 300).
const (
	DoorForced      EventType = 301
	DoorHeldWarning EventType = 302
	DoorHeldOpen    EventType = 303
	DoorAlarmEnded  EventType = 304
	AccessTaken     EventType = 305
	AccessNotTaken  EventType = 306
	REXStuck        EventType = 307 // the exit button has been held too long
	REXStuckEnded   EventType = 308

	ContactFault      EventType = 309
	ContactFaultEnded EventType = 310
	FireAlarm         EventType = 311
	FireCleared       EventType = 312
	Tampered          EventType = 313
	TamperEnded       EventType = 314

	// A door came into a mode.
	DoorLocked     EventType = 315
	DoorUnlocked   EventType = 316
	DoorBlocked    EventType = 317
	DoorLockedDown EventType = 318
	DoorLockedOpen EventType = 319

	PanelStarted     EventType = 320
	PolicyReloaded   EventType = 321
	PolicyRefused    EventType = 322
	ClockChanged     EventType = 323
	PolicyApplied    EventType = 324 // one that central sent
	LocalKeysChanged EventType = 325 // those of this panel alone; how many there are, in the detail
	StoreQuarantined EventType = 330
	EventsDropped    EventType = 331
	StoreReadOnly    EventType = 332
	BadEnvelope      EventType = 340
	ReaderFault      EventType = 350
	BadRead          EventType = 351 // a frame that fits none of the reader's formats
	OutputFault      EventType = 352
	InputFault       EventType = 353
	ReaderHealth     EventType = 354 // its new state and why, in the detail
	ReaderHint       EventType = 355 // how a reader may be declared or wired wrong
	InputActive      EventType = 356 // an auxiliary input
	InputInactive    EventType = 357
	KeypadLockedOut  EventType = 360
	KeyLockedOut     EventType = 361

	Duress           EventType = 362 // a PIN typed under duress; told to central alone
	PassbackViolated EventType = 363 // let pass all the same
	PassbackForgiven EventType = 364 // of a person, or of everybody
	FirstCardCame    EventType = 365 // the unlock schedule of a door holds from now on
	CentralStale     EventType = 366 // away for so long that keys which need it are denied
	CentralBack      EventType = 367
)

// Category is granted, denied or system, as central's event list names them.
func (t EventType) Category() string {
	switch {
	case t >= 100 && t < 200:
		return "accessgranted"
	case t >= 200 && t < 300:
		return "accessdenied"
	}
	return "system"
}

var eventTexts = map[EventType]string{
	Granted: "access granted", GrantedCode: "access granted by code", GrantedCard: "access granted by card",
	GrantedCardPIN: "access granted by card and PIN", GrantedREX: "exit button", GrantedCommonCode: "access granted by a common code",
	Denied: "access denied", DeniedUnknown: "unknown key", DeniedOutside: "outside its validity period",
	DeniedBlacklisted: "blacklisted", DeniedDisabled: "disabled", DeniedNoPIN: "no PIN set, and one is asked for",
	DeniedNoLevel: "not authorized here", DeniedSchedule: "outside its schedule",
	DoorForced: "door forced", DoorHeldWarning: "door held open (warning)", DoorHeldOpen: "door held open",
	DoorAlarmEnded: "door alarm ended", AccessTaken: "access taken", AccessNotTaken: "access not taken",
	REXStuck: "exit button stuck", REXStuckEnded: "exit button no longer stuck",
	ContactFault: "door contact fault", ContactFaultEnded: "door contact fault ended",
	FireAlarm: "fire alarm", FireCleared: "fire alarm cleared", Tampered: "tamper", TamperEnded: "tamper ended",
	DoorLocked: "door locked", DoorUnlocked: "door unlocked", DoorBlocked: "door blocked",
	DoorLockedDown: "door locked down", DoorLockedOpen: "door locked open",
	PanelStarted:   "panel started",
	PolicyReloaded: "configuration reloaded", PolicyRefused: "configuration refused", ClockChanged: "clock state changed",
	PolicyApplied:    "policy from central in force",
	LocalKeysChanged: "keys of the panel alone changed",
	StoreQuarantined: "damaged key store put aside", EventsDropped: "events dropped, journal full", StoreReadOnly: "store is read-only",
	BadEnvelope: "undecodable message dropped", ReaderFault: "reader fault", BadRead: "unreadable card", OutputFault: "lock output fault", InputFault: "input fault",
	InputActive: "input active", InputInactive: "input inactive",
	ReaderHealth: "reader health changed", ReaderHint: "reader declared or wired wrong?",
	KeypadLockedOut: "keypad locked out", KeyLockedOut: "PIN locked out",
	Duress: "PIN typed under duress", PassbackViolated: "anti-passback violated, let pass", PassbackForgiven: "anti-passback forgiven",
	FirstCardCame: "first card: door unlocked by schedule", CentralStale: "central away too long", CentralBack: "central back in time",
}

// Text is the event type in words.
func (t EventType) Text() string {
	if s, ok := eventTexts[t]; ok {
		return s
	}
	return "event"
}

// Reason refines an event type, such as Blocked for a Denied.
type Reason string

// The reasons that are named.
const (
	ReasonLockedDown     Reason = "LockedDown"
	ReasonBlocked        Reason = "Blocked"
	ReasonLockedOut      Reason = "LockedOut"
	ReasonWrongMode      Reason = "WrongMode"
	ReasonAmbiguous      Reason = "Ambiguous"
	ReasonClockUntrusted Reason = "ClockUntrusted"
	ReasonPassback       Reason = "Passback"
	ReasonSecondPerson   Reason = "SecondPersonWanted"
	ReasonInterlock      Reason = "Interlock" // another door of its group is open or released
	ReasonStale          Reason = "Stale"     // the key needs central, which has been away for too long
	ReasonWrongPIN       Reason = "WrongPIN"
	ReasonPINTimeout     Reason = "PINTimeout"
	ReasonStore          Reason = "StoreFault"
	ReasonOperator       Reason = "Operator"
)

// Event is one entry of a panel's journal. Its identity is (BootID, Seq): a
// restored card may use a sequence number again, but never under the same boot.
type Event struct {
	Seq        uint64
	BootID     ID            // of the start of the daemon that wrote it
	At         time.Time     // wall clock, as far as Clock lets it be believed
	Mono       time.Duration // since the daemon started: orders events whatever the clock did
	Clock      ClockState
	Type       EventType
	Reason     Reason
	Door       string // id, "" when none
	Point      string // id of the access point, "" when none
	Key        ID     // zero when no key is known
	KeyType    Type   // "" when no key is known
	Credential string // a card's number for people, "" for codes
	Person     ID
	Detail     string // for people, at most MaxDetail bytes, never a secret
	// Why is how a decision came about, by TracePacker; "" for other events. It stays
	// at the panel.
	Why string
}

// MaxDetail bounds an event's detail, in bytes.
const MaxDetail = 200

// Clip bounds a text to be an event's detail.
func Clip(s string) string {
	if len(s) > MaxDetail {
		s = strings.ToValidUTF8(s[:MaxDetail], "")
	}
	return s
}
