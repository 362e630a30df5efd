package api

import (
	"context"
	"errors"
	"time"

	"postern/access"
)

// What a Backend or Simulator answers with when it can't do what is asked.
// Either may be wrapped; the text is shown to the caller and must say what to do.
var (
	// ErrNotFound is a door, reader, key, input or output that this panel
	// doesn't have.
	ErrNotFound = errors.New("not found")
	// ErrRefused is something that is not done now, such as unlocking a door
	// that is locked down.
	ErrRefused = errors.New("refused")
	// ErrInvalid is an argument whose shape is right and whose content is not,
	// such as an identification with a digit missing.
	ErrInvalid = errors.New("invalid")
)

// Backend is what the daemon offers. Its methods may be called from many
// goroutines, and return promptly once ctx ends.
//
// Entries of the journal that are for central alone, such as of a PIN typed under
// duress, are in nothing that a Backend gives, nor can be told from what it leaves
// out: sequence numbers are without gaps.
type Backend interface {
	// Status is the panel as it is now.
	Status(ctx context.Context) (Status, error)
	// Events gives at most limit journal entries with a sequence number below
	// before, newest first; before 0 is from the newest.
	Events(ctx context.Context, before uint64, limit int) ([]Event, error)
	// Keys gives at most limit keys with an id above after, ascending; the zero
	// id is from the first.
	Keys(ctx context.Context, after access.ID, limit int) ([]Key, error)
	// Key gives one key, or ErrNotFound.
	Key(ctx context.Context, id access.ID) (Key, error)
	// Unlock releases a door once, as a grant does: ErrNotFound, or ErrRefused
	// when its mode holds every grant back.
	Unlock(ctx context.Context, door string) error
	// Identify shows "identify" at a reader's lamp and beeper for a few seconds,
	// so that somebody before it knows which one it is; or ErrNotFound.
	Identify(ctx context.Context, reader string) error
	// SetOutput turns an auxiliary output on or off; or ErrNotFound.
	SetOutput(ctx context.Context, id string, on bool) error
	// Watch gives what happens from now on, until ctx ends, when the channel is
	// closed. A slow reader loses messages, and the next one's Lost counts them.
	Watch(ctx context.Context) <-chan Message

	Rules
	LocalKeys
	Backups
}

// Simulator is what a simulated board offers beside the Backend: hands and
// cards. Its errors are as the Backend's; an identification or bits that can't
// be sent to this reader are ErrInvalid.
type Simulator interface {
	// Badge presents a card by its identification or as raw bits, one of the
	// two, and gives the bits that went over the line.
	Badge(ctx context.Context, reader, identification, bits string) (sent string, err error)
	// Keys presses keys (0-9, * and #) on a reader's keypad.
	Keys(ctx context.Context, reader, keys string) error
	// Contact opens or closes a door.
	Contact(ctx context.Context, door string, open bool) error
	// REX presses a door's exit button once.
	REX(ctx context.Context, door string) error
	// Tamper opens or closes a reader's tamper contact: open is tampered with.
	Tamper(ctx context.Context, reader string, open bool) error
	// Input makes an auxiliary input active, or puts it at rest.
	Input(ctx context.Context, id string, active bool) error
}

// Status is a panel as it is at Now.
type Status struct {
	SystemID  string    `json:"system_id"`
	Name      string    `json:"name,omitempty"`
	Version   string    `json:"version"`
	BootID    access.ID `json:"boot_id"`
	Started   time.Time `json:"started"`
	Now       time.Time `json:"now"`
	Clock     string    `json:"clock"` // trusted, holdover or untrusted
	Simulated bool      `json:"simulated"`
	Link      Link      `json:"link"`
	Keys      KeyStore  `json:"keys"`
	Journal   Journal   `json:"journal"`
	Disk      Disk      `json:"disk"`
	Problems  []Problem `json:"problems"` // worst first
	Doors     []Door    `json:"doors"`
	Readers   []Reader  `json:"readers"`
	Inputs    []Input   `json:"inputs"`
	Outputs   []Output  `json:"outputs"`

	// Certificates are those of an encrypted link to central.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Disk is the file system that the panel's data are on, in bytes; zero when it
// can't be looked at.
type Disk struct {
	Free uint64 `json:"free"`
	Size uint64 `json:"size"`
}

// What a Certificate is used for.
const (
	CertificateAuthorities = "authorities" // that the broker's certificate has to come from
	CertificateOwn         = "own"         // by which the broker knows the panel
)

// Link is the connection to central.
type Link struct {
	Connected bool      `json:"connected"`
	Broker    string    `json:"broker"` // its URL, without credentials
	Since     time.Time `json:"since,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// KeyStore is how far the panel has come with its keys.
type KeyStore struct {
	Epoch    uint64        `json:"epoch"`
	Revision uint64        `json:"revision"`
	Count    uint64        `json:"count"`
	Digest   access.Digest `json:"digest"`
	Local    int           `json:"local,omitempty"` // kept at this panel alone, not in Count
	Codes    int           `json:"codes,omitempty"` // keypad codes that count at the doors, local ones too
	CodeSize int           `json:"code_size,omitempty"`
	ReadOnly bool          `json:"read_only"`
}

// Journal is the state of the event journal.
type Journal struct {
	Last        uint64 `json:"last"`        // sequence number of the newest entry
	Unconfirmed uint64 `json:"unconfirmed"` // entries that central has not confirmed
}

// Problem is what is wrong and what to do about it, in words for a person on a
// ladder.
type Problem struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

// Door is a door as it is now.
type Door struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Mode       string `json:"mode"`  // as access.DoorMode
	Alarm      string `json:"alarm"` // as access.DoorAlarm
	HasContact bool   `json:"has_contact"`
	Open       bool   `json:"open"` // false without a contact
	Released   bool   `json:"released"`
	Physical   string `json:"physical,omitempty"`  // as access.DoorPhysicalState
	Fire       bool   `json:"fire,omitempty"`      // a fire input is active
	REXStuck   bool   `json:"rex_stuck,omitempty"` // the exit button has been held too long

	ModeBy    string    `json:"mode_by,omitempty"`    // who wants it in its mode: central, panel, input or schedule
	ModeUntil time.Time `json:"mode_until,omitzero"`  // when that ends by itself
	FirstCard string    `json:"first_card,omitempty"` // awaited, or came: of an unlock schedule that is open
}

// Input is an auxiliary input, one that belongs to no door and no reader.
type Input struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Kind   string `json:"kind"` // fire, lockdown, tamper or aux
	Active bool   `json:"active"`
}

// Output is an auxiliary output.
type Output struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	On   bool   `json:"on"`
}

// Reader is a reader, how it is declared, and what it last read.
type Reader struct {
	ID          string   `json:"id"`
	AccessPoint string   `json:"access_point,omitempty"`
	Door        string   `json:"door,omitempty"`
	Mode        string   `json:"mode,omitempty"` // as access.PointMode
	Technology  string   `json:"technology,omitempty"`
	Match       string   `json:"match,omitempty"`
	Keypad      string   `json:"keypad,omitempty"`     // its encoding, "" without a keypad
	Indication  string   `json:"indication,omitempty"` // what LED and buzzer show now
	Formats     []string `json:"formats"`
	Health      string   `json:"health,omitempty"`        // as wiegand.HealthState
	HealthWhy   string   `json:"health_reason,omitempty"` // in words
	LastRead    *Read    `json:"last_read,omitempty"`
}

// The kinds of a Read.
const (
	ReadCard  = "card"
	ReadKey   = "key"
	ReadNoise = "noise"
	ReadHint  = "hint" // Error says how the reader may be declared wrong
)

// Read is one thing that came over a reader's lines. Bits are '0' and '1', the
// first received first, and empty for a keypad: digits are secret.
type Read struct {
	At         time.Time   `json:"at"`
	Reader     string      `json:"reader"`
	Kind       string      `json:"kind"` // card, key, noise or hint
	Bits       string      `json:"bits,omitempty"`
	Pulses     int         `json:"pulses"`
	Candidates []Candidate `json:"candidates,omitempty"`
	Error      string      `json:"error,omitempty"`
}

// Candidate is one way to understand a card's bits.
type Candidate struct {
	Format         string `json:"format"`
	Facility       uint64 `json:"facility,omitempty"`
	Number         uint64 `json:"number"`
	HasFacility    bool   `json:"has_facility"`
	Identification string `json:"identification,omitempty"` // to add the card with
}

// Event is one journal entry. Seq numbers the entries that the panel shows: it may
// be lower than the sequence number that central has for the same entry.
type Event struct {
	Seq         uint64           `json:"seq"`
	BootID      access.ID        `json:"boot_id"`
	At          time.Time        `json:"at"`
	Clock       string           `json:"clock"`
	Type        access.EventType `json:"type"`
	Text        string           `json:"text"`
	Category    string           `json:"category"`
	Reason      string           `json:"reason,omitempty"`
	Door        string           `json:"door,omitempty"`
	AccessPoint string           `json:"access_point,omitempty"`
	KeyID       access.ID        `json:"key_id,omitzero"`
	KeyType     string           `json:"key_type,omitempty"`
	Credential  string           `json:"credential,omitempty"` // a card's number, never a code
	Detail      string           `json:"detail,omitempty"`
}

// Level is an access level of a key. Known is false when the panel's policy
// has no such level.
type Level struct {
	ID    access.ID `json:"id"`
	Name  string    `json:"name,omitempty"`
	Known bool      `json:"known"`
}

// Key is an access key with the result of its latest change. Identification is
// empty for codes, which are secret.
type Key struct {
	ID             access.ID  `json:"id"`
	Type           string     `json:"type"`
	Identification string     `json:"identification,omitempty"`
	State          string     `json:"state"`
	ValidFrom      *time.Time `json:"valid_from,omitempty"` // nil: at once
	ValidTo        *time.Time `json:"valid_to,omitempty"`   // nil: never expires
	AccessLevels   []Level    `json:"access_levels"`
	Person         access.ID  `json:"person,omitzero"`
	HasPIN         bool       `json:"has_pin"`
	Options        []string   `json:"options,omitempty"`
	Revision       uint64     `json:"revision"`
	Claim          uint64     `json:"claim"`
	Result         string     `json:"result"` // applied or failed
	ErrorType      string     `json:"error_type,omitempty"`
	Detail         string     `json:"detail,omitempty"`
	At             time.Time  `json:"at,omitzero"` // of the result
}

// The kinds of a Message. MessageStatus carries nothing: what Status gives has
// changed in some other way, and is worth asking for again.
const (
	MessageRead   = "read"
	MessageEvent  = "event"
	MessageDoor   = "door"
	MessageLink   = "link"
	MessageKeys   = "keys"
	MessageStatus = "status"
)

// Message is one thing that happened; the member named by Kind is set. Lost is
// how many messages before it this reader was too slow for.
type Message struct {
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`
	Read  *Read     `json:"read,omitempty"`
	Event *Event    `json:"event,omitempty"`
	Door  *Door     `json:"door,omitempty"`
	Link  *Link     `json:"link,omitempty"`
	Keys  *KeyStore `json:"keys,omitempty"`
	Lost  int       `json:"lost,omitempty"`
}

// Unwell reports whether somebody should look at the reader.
func (r Reader) Unwell() bool {
	switch r.Health {
	case "", "ok", "not supervised":
		return false
	}
	return true
}
