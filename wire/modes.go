package wire

import (
	"fmt"
	"time"

	"postern/access"
)

// DoorModes are the door modes that central wants, as a whole: a door that is
// not named, by itself or by AllDoors, is left to its schedule.
type DoorModes struct {
	Version
	Doors []DoorOrder `json:"doors"`
}

// DoorOrder sets one door's mode. A door's own order goes before one for
// AllDoors.
type DoorOrder struct {
	Door  string    `json:"door"`           // its id, or AllDoors
	Mode  string    `json:"mode"`           // as access.DoorMode names it: Locked, Unlocked, Blocked, LockedDown or LockedOpen
	Until time.Time `json:"until,omitzero"` // without one it stands until a newer version
}

// AllDoors names every door of the panel.
const AllDoors = "*"

func (m *DoorModes) check() error {
	if m.Epoch == 0 || m.Revision == 0 {
		return &FieldError{"revision", "epoch or revision is missing"}
	}
	if len(m.Doors) > maxAnnounced {
		return &FieldError{"doors", fmt.Sprintf("are more than %d", maxAnnounced)}
	}
	seen := map[string]bool{}
	for i, d := range m.Doors {
		path := fmt.Sprintf("doors[%d]", i)
		switch _, err := access.ParseDoorMode(d.Mode); {
		case d.Door == "" || len(d.Door) > 64:
			return &FieldError{path + ".door", "is missing or too long"}
		case seen[d.Door]:
			return &FieldError{path + ".door", "is there twice"}
		case err != nil:
			return &FieldError{path + ".mode", err.Error()}
		case d.Until.Year() < 0 || d.Until.Year() > maxYear:
			return &FieldError{path + ".until", "is out of range"}
		}
		seen[d.Door] = true
	}
	return nil
}
