package wire

import (
	"postern/access"
)

// Command asks a panel to do something once, now. It is never retained.
type Command struct {
	ID    access.ID `json:"id"`   // a repeated id gets the stored result
	Name  string    `json:"name"` // one of the Command constants
	Nonce string    `json:"nonce,omitempty"`
	// Target is a door's id for unlock, an access point's for identify, a
	// person's for forgive ("" is everybody).
	Target string `json:"target,omitempty"`
}

// The commands.
const (
	CommandChallenge = "challenge" // answers with a nonce
	CommandUnlock    = "unlock"    // one release of a door; needs a nonce
	CommandIdentify  = "identify"  // a reader shows itself
	CommandForgive   = "forgive"   // anti-passback forgets where a person is; needs a nonce
)

// NeedsNonce reports whether a command counts only with the nonce of a
// challenge: those that let somebody in, who could otherwise replay an old one.
func NeedsNonce(name string) bool { return name == CommandUnlock || name == CommandForgive }

// CommandResult is what became of a Command.
type CommandResult struct {
	ID     access.ID `json:"id"`
	Result string    `json:"result"` // "done" or "refused"
	Error  string    `json:"error,omitempty"`
	Nonce  string    `json:"nonce,omitempty"` // of a challenge
}

// The results of a command.
const (
	CommandDone    = "done"
	CommandRefused = "refused"
)

func (c *Command) check() error {
	switch {
	case c.ID.IsZero():
		return &FieldError{"id", "is missing"}
	case c.Name == "" || len(c.Name) > 32:
		return &FieldError{"name", "is missing or too long"}
	case len(c.Nonce) > 128:
		return &FieldError{"nonce", "is too long"}
	case len(c.Target) > 64:
		return &FieldError{"target", "is too long"}
	}
	return nil
}

func (r *CommandResult) check() error {
	switch {
	case r.ID.IsZero():
		return &FieldError{"id", "is missing"}
	case r.Result != CommandDone && r.Result != CommandRefused:
		return &FieldError{"result", "unknown (want done or refused)"}
	case len(r.Error) > 512 || len(r.Nonce) > 128:
		return &FieldError{"error", "is too long"}
	}
	return nil
}
