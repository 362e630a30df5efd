package wire

import (
	"encoding/json"
	"fmt"
	"time"

	"postern/access"
)

// State is whether a panel is online, and under which ids. It is retained, and
// the panel's last will is the same with Online false. A State counts as the
// present one only by its ids: a broker may hand out an older one.
type State struct {
	Online  bool      `json:"online"`
	BootID  access.ID `json:"boot_id"`  // random for each start of the daemon
	ConnSeq uint64    `json:"conn_seq"` // counts connections within a boot, from 1
	Version string    `json:"version"`
	Clock   string    `json:"clock"` // trusted, holdover or untrusted
	TS      time.Time `json:"ts"`
}

// Panel is what a panel is: what central may assign and how codes must look.
type Panel struct {
	Name           string       `json:"name,omitempty"`
	Doors          []Named      `json:"doors"`
	AccessPoints   []Point      `json:"access_points"`
	AccessLevels   []PanelLevel `json:"access_levels"`
	Codes          Codes        `json:"codes"`
	PolicyRevision uint64       `json:"policy_revision"` // 0: the panel's own first policy
	Limits         Limits       `json:"limits"`
}

// Named is an id with its name for people.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Point is an access point as announced.
type Point struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Door string `json:"door"`
	Mode string `json:"mode"`
}

// PanelLevel is an access level as announced.
type PanelLevel struct {
	ID   access.ID `json:"id"`
	Name string    `json:"name"`
}

// Codes is the panel's code policy.
type Codes struct {
	Enabled bool `json:"enabled"`
	Size    int  `json:"size"`
}

// Limits are what the panel takes at most.
type Limits struct {
	MaxPayload int `json:"max_payload"` // bytes
	MaxLevels  int `json:"max_levels"`  // of one key
}

// Reported is how far a panel has come, under the ids of its live State.
type Reported struct {
	BootID   access.ID     `json:"boot_id"`
	ConnSeq  uint64        `json:"conn_seq"`
	Epoch    uint64        `json:"epoch"`
	Revision uint64        `json:"revision"`
	Digest   access.Digest `json:"digest"`
	Count    uint64        `json:"count"`
	Policy   Version       `json:"policy"` // in force; zero is the panel's own first policy
	Modes    Version       `json:"modes"`  // of the door modes in force; zero is none
	// Statuses is the seq of the oldest status row that central has not confirmed
	// or, when there is none, of the next. A server that has not taken all rows
	// before it was restored, and lacks results.
	Statuses uint64 `json:"statuses,omitempty"`
	// StatusBoot is the start under which the row before Statuses was written, left
	// out unless that was confirmed since the panel's last start. A server that has
	// nothing of that start lacks results too: it was restored, and the panel's card
	// was put back.
	StatusBoot access.ID `json:"status_boot,omitzero"`
	// Unsigned says that the panel takes what nobody signed.
	Unsigned bool `json:"unsigned,omitempty"`
	// PINKeyLost says that PINs and codes can't be compared any more, as the
	// panel's device key is another one: it needs a snapshot.
	PINKeyLost bool `json:"pin_key_lost,omitempty"`
}

// Version is where a replaced-whole document stands; versions are ordered by
// epoch, then revision.
type Version struct {
	Epoch    uint64 `json:"epoch"`
	Revision uint64 `json:"revision"`
}

// Above reports whether v is newer than other.
func (v Version) Above(other Version) bool {
	return v.Epoch > other.Epoch || v.Epoch == other.Epoch && v.Revision > other.Revision
}

// Need asks for what the panel lacks.
type Need struct {
	Epoch        uint64 `json:"epoch"`
	HaveRevision uint64 `json:"have_revision"`
	Want         string `json:"want"` // "delta" or "snapshot"
	// SnapshotID and Chunks name what lacks of a snapshot that has begun to
	// arrive, at most MaxNeedChunks chunks, ascending; without them the panel
	// wants the present snapshot's manifest.
	SnapshotID access.ID `json:"snapshot_id,omitzero"`
	Chunks     []int     `json:"chunks,omitempty"`
}

// What a panel may need.
const (
	WantDelta     = "delta"    // the revisions after HaveRevision
	WantSnapshot  = "snapshot" // all keys at once
	MaxNeedChunks = 64
)

// Ack confirms rows up to and including Through.Seq; what is nil is not
// confirmed.
type Ack struct {
	Status *Through `json:"status,omitempty"`
	Events *Through `json:"events,omitempty"`
}

// Through names a row: a panel trims nothing unless the row that it holds under
// Seq was written under BootID.
type Through struct {
	BootID access.ID `json:"boot_id"`
	Seq    uint64    `json:"through"`
}

// Bounds on a Panel message.
const maxAnnounced = 4096

type checker interface{ check() error }

// Decode reads one message of type T strictly; see Strict. T is one of the
// message types of this package.
func Decode[T any](payload []byte) (T, error) {
	var v T
	if len(payload) > MaxPayload {
		return v, tooLong(len(payload))
	}
	if err := Strict(payload, &v, false); err != nil {
		return v, err
	}
	if c, ok := any(&v).(checker); ok {
		if err := c.check(); err != nil {
			return v, err
		}
	}
	return v, nil
}

func tooLong(n int) error { return fmt.Errorf("%d bytes, more than %d", n, MaxPayload) }

// Encode writes a message of this package.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("wire: message can't be encoded: " + err.Error())
	}
	return b
}

func (s *State) check() error {
	switch {
	case s.BootID.IsZero():
		return &FieldError{"boot_id", "is missing"}
	case s.ConnSeq == 0:
		return &FieldError{"conn_seq", "is missing or zero"}
	case len(s.Version) > 64 || len(s.Clock) > 16:
		return &FieldError{"version", "is too long"}
	}
	return nil
}

func (p *Panel) check() error {
	if len(p.Doors) > maxAnnounced || len(p.AccessPoints) > maxAnnounced || len(p.AccessLevels) > maxAnnounced {
		return &FieldError{"panel", fmt.Sprintf("announces more than %d of a kind", maxAnnounced)}
	}
	for _, l := range p.AccessLevels {
		if l.ID.IsZero() {
			return &FieldError{"access_levels.id", "is missing"}
		}
		if len(l.Name) > 256 {
			return &FieldError{"access_levels.name", "is longer than 256 bytes"}
		}
	}
	if c := p.Codes; c.Enabled && (c.Size < access.MinPanelCodeSize || c.Size > access.MaxPanelCodeSize) {
		return &FieldError{"codes.size", "is out of range"}
	}
	return nil
}

func (r *Reported) check() error {
	if r.BootID.IsZero() {
		return &FieldError{"boot_id", "is missing"}
	}
	if r.Revision > 0 && r.Epoch == 0 {
		return &FieldError{"epoch", "is missing"}
	}
	return nil
}

func (n *Need) check() error {
	switch {
	case n.Want != WantDelta && n.Want != WantSnapshot:
		return &FieldError{"want", `unknown (want "delta" or "snapshot")`}
	case len(n.Chunks) > MaxNeedChunks:
		return &FieldError{"chunks", fmt.Sprintf("are more than %d", MaxNeedChunks)}
	case len(n.Chunks) > 0 && (n.SnapshotID.IsZero() || n.Want != WantSnapshot):
		return &FieldError{"snapshot_id", "is missing, or want is not snapshot"}
	}
	for i, c := range n.Chunks {
		if c < 0 || i > 0 && c <= n.Chunks[i-1] {
			return &FieldError{"chunks", "are not ascending numbers from 0"}
		}
	}
	return nil
}

func (a *Ack) check() error {
	for _, t := range []*Through{a.Status, a.Events} {
		if t != nil && (t.BootID.IsZero() || t.Seq == 0) {
			return &FieldError{"through", "names no row"}
		}
	}
	return nil
}
