package api

import (
	"context"
	"encoding/json"
	"time"

	"postern/access"
)

// AllDoors is the id that orders a mode for every door.
const AllDoors = "*"

// ClearMode is the mode that takes the panel's order back: the door goes by central's
// order again, or by its schedule.
const ClearMode = "Clear"

// Rules is what the daemon offers about how doors are decided on.
type Rules interface {
	// SetMode orders a mode at a door or, for AllDoors, at every door; a mode that
	// is ClearMode takes the order back. ErrNotFound, or ErrInvalid for an end that
	// is over. An order outlives a restart; an error that is none of the sentinels
	// says where it does not.
	SetMode(ctx context.Context, door string, o ModeOrder) error
	// Explain answers what would come of a card or a code, and why, without
	// anything coming of it. ErrNotFound, or ErrInvalid for a card that the reader
	// can't read.
	Explain(ctx context.Context, q Question) (Explanation, error)
	// Trace is how the decision behind a journal entry came about; or ErrNotFound.
	Trace(ctx context.Context, seq uint64) (Trace, error)
	// Policy says which policy is in force, and what became of one that is not.
	Policy(ctx context.Context) (Policy, error)
	// PolicyDocument is the policy in force, as central sends one.
	PolicyDocument(ctx context.Context) (json.RawMessage, error)
	// Inside is who is in an area or, for "", in each; or ErrNotFound.
	Inside(ctx context.Context, area string) ([]Area, error)
	// Forgive has anti-passback forget where a person is or, for the zero id, where
	// everybody is, and gives how many that were known.
	Forgive(ctx context.Context, person access.ID) (int, error)
}

// ModeOrder is a mode that somebody at the panel wants a door in.
type ModeOrder struct {
	Mode  string    // as access.DoorMode, but Accessed; or ClearMode
	Until time.Time // zero: until it is taken back
}

// Question is a badge that nobody made: a card by its identification, or a code.
// Code and PIN are secrets.
type Question struct {
	Reader         string
	Identification string
	Code           string
	PIN            string    // "" is not typed yet
	At             time.Time // zero is now
}

// secret reports whether an answer says something about a secret.
func (q Question) secret() bool { return q.Code != "" || q.PIN != "" }

// Explanation is the answer to a Question, with the rules that led to it.
type Explanation struct {
	Granted bool             `json:"granted"`
	WantPIN bool             `json:"want_pin,omitempty"` // neither yet: a PIN is asked for
	Type    access.EventType `json:"type,omitempty"`     // of the entry that there would be
	Text    string           `json:"text"`
	Reason  string           `json:"reason,omitempty"`
	KeyID   access.ID        `json:"key_id,omitzero"`
	At      time.Time        `json:"at"` // the time that it holds for
	Steps   []Step           `json:"steps"`
}

// Step is one rule of a decision. It holds no secrets.
type Step struct {
	Number  int    `json:"number"` // in the order of decision, 1 to 11; rules may share one
	Rule    string `json:"rule"`
	Outcome string `json:"outcome"` // passed, noted or answer
	Text    string `json:"text"`
}

// Trace is how the decision behind a journal entry came about. Without steps Why
// says why there are none.
type Trace struct {
	Seq   uint64 `json:"seq"`
	Why   string `json:"why,omitempty"`
	Steps []Step `json:"steps"`
}

// The sources of a policy.
const (
	PolicyOfPanel   = "panel"   // the first one, of panel.toml
	PolicyOfCentral = "central" // one that central sent
)

// Policy is which policy is in force. Refused is the newest one from central, if
// that was not taken.
type Policy struct {
	Source   string         `json:"source"` // panel or central
	Epoch    uint64         `json:"epoch,omitempty"`
	Revision uint64         `json:"revision,omitempty"`
	Refused  *PolicyRefused `json:"refused,omitempty"`
}

// PolicyRefused is a policy that was not taken, with what is wrong in it. The
// revision is zero for one that could not be read so far.
type PolicyRefused struct {
	Epoch    uint64        `json:"epoch,omitempty"`
	Revision uint64        `json:"revision,omitempty"`
	Faults   []PolicyFault `json:"faults"`
}

// PolicyFault is one thing that is wrong with a policy.
type PolicyFault struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Area is an area with those in it, by person or, for a key that names nobody, by
// key.
type Area struct {
	ID     string      `json:"id"`
	Name   string      `json:"name,omitempty"`
	Inside []access.ID `json:"inside"`
}
