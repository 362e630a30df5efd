package access

import "fmt"

// Claim is what the judging of a key needs to know of its latest put, also
// where a store has kept no code in clear.
type Claim struct {
	Fault    string // why it can't be a key, "" when it can
	Type     Type
	CodeSize int // digits of a code
	Levels   []ID
}

// Judgement is what a panel makes of a key's latest put.
type Judgement struct {
	Error  ErrorType
	Detail string
	Opens  bool // the key counts at the doors, with those of its levels that the policy has
}

// Judge decides the result of a key's latest put. inUse says that a local key,
// or another key's latest put with a lower claim, has one of its credentials.
//
// The reasons are tried in the order of ErrorTypes, but a key whose credential
// belongs to another opens nothing whatever else is wrong with it.
func Judge(c Claim, p *Policy, inUse bool) Judgement {
	if c.Fault != "" {
		return Judgement{Error: InvalidKey, Detail: c.Fault}
	}
	if c.Type == Code {
		if !p.Codes.Enabled {
			return Judgement{Error: CodeNotEnabled, Detail: "codes are off on this panel"}
		}
		if c.CodeSize != p.Codes.Size {
			return Judgement{
				Error:  InvalidCodeSize,
				Detail: fmt.Sprintf("the code has %d digits, this panel takes %d", c.CodeSize, p.Codes.Size),
			}
		}
	}
	for _, l := range c.Levels {
		if p.Level(l) == nil {
			return Judgement{
				Error:  AccessLevelNotFound,
				Detail: "access level " + l.String() + " is not on this panel",
				Opens:  !inUse,
			}
		}
	}
	if inUse {
		return Judgement{Error: AccessKeyInUse, Detail: "another key on this panel has this credential"}
	}
	return Judgement{Opens: true}
}
