package central

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/access"
	"postern/wire"
)

// documentKind is a document that a panel gets as a whole, each with versions of
// its own.
type documentKind int

// The kinds of documents.
const (
	policyDocument documentKind = iota
	modesDocument
	documentKinds = 2
)

// String is the kind in the database, which also begins its columns.
func (k documentKind) String() string { return [documentKinds]string{"policy", "modes"}[k] }

func (k documentKind) topic() wire.Topic {
	return [documentKinds]wire.Topic{wire.TopicPolicy, wire.TopicModes}[k]
}

// MaxDocument is the most bytes of a policy: signed, it has to fit into a message.
const MaxDocument = (wire.MaxPayload - 1024) / 4 * 3

// keepVersions is how many versions of a document are kept.
const keepVersions = 100

func documentPlace(system string, k documentKind, v wire.Version) string {
	return fmt.Sprintf("document/%s/%s/%d/%d", system, k, v.Epoch, v.Revision)
}

// documentState is where the versions of a document stand.
type documentState struct {
	newest, reported wire.Version
	epoch            uint64 // of the panel's log
}

func (t *tx) documentState(ctx context.Context, system string, k documentKind) (d documentState, err error) {
	query := fmt.Sprintf("SELECT epoch, %[1]s_epoch, %[1]s_revision, reported_%[1]s_epoch, reported_%[1]s_revision FROM panels WHERE system_id = $1", k)
	err = t.QueryRowContext(ctx, query, system).Scan(&d.epoch, &d.newest.Epoch, &d.newest.Revision, &d.reported.Epoch, &d.reported.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return d, fmt.Errorf("panel %.64q: %w", system, ErrNotFound)
	}
	return d, err
}

// next is the version above all that the panel may have seen.
func (d documentState) next() wire.Version {
	v := d.newest
	if d.reported.Above(v) {
		v = d.reported
	}
	if d.epoch > v.Epoch {
		v = wire.Version{Epoch: d.epoch}
	}
	v.Revision++
	return v
}

// writeDocument keeps a new version. The body lacks epoch and revision.
func (t *tx) writeDocument(ctx context.Context, system string, k documentKind, v wire.Version, body []byte) error {
	const insert = "INSERT INTO documents (system_id, kind, epoch, revision, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
	newest := fmt.Sprintf("UPDATE panels SET %[1]s_epoch = $1, %[1]s_revision = $2 WHERE system_id = $3", k)
	const forget = `DELETE FROM documents WHERE system_id = $1 AND kind = $2 AND (epoch, revision) NOT IN (
		SELECT epoch, revision FROM documents WHERE system_id = $1 AND kind = $2 ORDER BY epoch DESC, revision DESC LIMIT $3)`
	return errors.Join(
		t.exec(ctx, insert, system, k.String(), int64(v.Epoch), int64(v.Revision), t.s.seal.seal(documentPlace(system, k, v), body), t.now.UnixMicro()),
		t.exec(ctx, newest, int64(v.Epoch), int64(v.Revision), system),
		t.exec(ctx, forget, system, k.String(), keepVersions),
		t.changed(ctx),
	)
}

// document reads the newest version with its body, nil when there is none.
func (t *tx) document(ctx context.Context, system string, k documentKind) (documentState, []byte, error) {
	d, err := t.documentState(ctx, system, k)
	if err != nil || d.newest.Revision == 0 {
		return d, nil, err
	}
	var sealed []byte
	const query = "SELECT body FROM documents WHERE system_id = $1 AND kind = $2 AND epoch = $3 AND revision = $4"
	err = t.QueryRowContext(ctx, query, system, k.String(), int64(d.newest.Epoch), int64(d.newest.Revision)).Scan(&sealed)
	if err != nil {
		return d, nil, fmt.Errorf("read %s: %w", k, err)
	}
	body, err := t.s.seal.open(documentPlace(system, k, d.newest), sealed)
	if err != nil {
		return d, nil, fmt.Errorf("open %s of panel %s: %w", k, system, err)
	}
	return d, body, nil
}

// lift brings the newest version of a document, if any, into an epoch.
func (t *tx) lift(ctx context.Context, system string, k documentKind, epoch uint64) error {
	_, body, err := t.document(ctx, system, k)
	if err != nil || body == nil {
		return err
	}
	return t.writeDocument(ctx, system, k, wire.Version{Epoch: epoch, Revision: 1}, body)
}

// versioned is a body as it travels, with its version.
func versioned(v wire.Version, body []byte) []byte {
	out := fmt.Appendf(nil, `{"epoch":%d,"revision":%d`, v.Epoch, v.Revision)
	if rest := bytes.TrimSpace(body[1:]); rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, body[1:]...)
}

// published is the newest version of a document as it travels, nil for none.
func (s *Store) published(ctx context.Context, system string, k documentKind) (payload []byte, v wire.Version, err error) {
	err = s.view(ctx, func(t *tx) error {
		d, body, err := t.document(ctx, system, k)
		if body != nil {
			payload, v = versioned(d.newest, body), d.newest
		}
		return err
	})
	return payload, v, err
}

// PolicyInfo is a panel's policy as operators see it.
type PolicyInfo struct {
	wire.Version
	Reported wire.Version       `json:"reported"`         // in force on the panel; zero is its own first policy
	Status   *wire.PolicyStatus `json:"status,omitempty"` // what the panel said last
	Policy   json.RawMessage    `json:"policy"`           // null for none
}

// Policy gives the newest policy that was applied for a panel, and what the
// panel said of it. It gives ErrNotFound for an unknown panel.
func (s *Store) Policy(ctx context.Context, systemID string) (PolicyInfo, error) {
	var p PolicyInfo
	err := s.view(ctx, func(t *tx) error {
		d, body, err := t.document(ctx, systemID, policyDocument)
		if err != nil {
			return err
		}
		p = PolicyInfo{Version: d.newest, Reported: d.reported, Policy: body}
		var status string
		if err := t.QueryRowContext(ctx, "SELECT policy_status FROM panels WHERE system_id = $1", systemID).Scan(&status); err != nil || status == "" {
			return err
		}
		return json.Unmarshal([]byte(status), &p.Status)
	})
	if err != nil {
		return p, fmt.Errorf("read policy: %w", err)
	}
	return p, nil
}

// ApplyPolicy makes a document a panel's policy, and gives its version. Members
// epoch and revision are replaced. The panel has the last word: what it makes of
// the policy comes back in Policy.
func (s *Store) ApplyPolicy(ctx context.Context, systemID string, doc []byte) (wire.Version, error) {
	return s.applyPolicy(ctx, systemID, doc, nil)
}

// ErrVersion is a change of a document that has been changed since it was read.
var ErrVersion = errors.New("it has another version by now")

// applyPolicy is ApplyPolicy that gives ErrVersion unless the newest version is
// that of when, if that is not nil; the zero version is none.
func (s *Store) applyPolicy(ctx context.Context, systemID string, doc []byte, when *wire.Version) (wire.Version, error) {
	body, err := policyBody(doc)
	if err != nil {
		return wire.Version{}, fmt.Errorf("policy: %w", err)
	}
	var v wire.Version
	err = s.update(ctx, func(t *tx) error {
		d, err := t.documentState(ctx, systemID, policyDocument)
		if err != nil {
			return err
		}
		if when != nil && *when != d.newest {
			return ErrVersion
		}
		v = d.next()
		detail(ctx, "panel %s policy %d/%d", systemID, v.Epoch, v.Revision)
		return t.writeDocument(ctx, systemID, policyDocument, v, body)
	})
	if err != nil {
		return wire.Version{}, fmt.Errorf("apply policy: %w", err)
	}
	return v, nil
}

// policyBody checks that a policy can be read, and takes its version out. Whether
// it fits a panel is what that one says.
func policyBody(doc []byte) ([]byte, error) {
	if len(doc) > MaxDocument {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(doc), MaxDocument)
	}
	var members map[string]json.RawMessage
	if err := wire.Strict(doc, &members, false); err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, errors.New("is no JSON object with members")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if path := nullIn(name, members[name]); path != "" {
			return nil, &wire.FieldError{Field: path, Reason: "is null; leave it out"}
		}
	}
	for name := range members {
		if name == "epoch" || name == "revision" {
			delete(members, name)
		}
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	if len(body) > MaxDocument {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(body), MaxDocument)
	}
	// What every panel would refuse is refused here.
	members["epoch"], members["revision"] = json.RawMessage("1"), json.RawMessage("1")
	if _, err := wire.DecodePolicy(wire.Encode(members)); err != nil {
		return nil, err
	}
	return body, nil
}

// nullIn finds a null in a value at a path, "" when there is none. In a policy it
// would pass for what was left out, or for an empty text or list.
func nullIn(path string, value json.RawMessage) string {
	var items []json.RawMessage
	var members map[string]json.RawMessage
	switch value = bytes.TrimSpace(value); {
	case string(value) == "null":
		return path
	case json.Unmarshal(value, &items) == nil:
		for i, v := range items {
			if p := nullIn(fmt.Sprintf("%s[%d]", path, i), v); p != "" {
				return p
			}
		}
	case json.Unmarshal(value, &members) == nil:
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if p := nullIn(path+"."+name, members[name]); p != "" {
				return p
			}
		}
	}
	return ""
}

// ModesInfo is a panel's door modes as operators see them.
type ModesInfo struct {
	wire.Version
	Reported wire.Version     `json:"reported"` // in force on the panel; zero is none
	Doors    []wire.DoorOrder `json:"doors"`
}

// Modes gives the door modes that are wanted of a panel. It gives ErrNotFound
// for an unknown panel.
func (s *Store) Modes(ctx context.Context, systemID string) (ModesInfo, error) {
	var m ModesInfo
	err := s.view(ctx, func(t *tx) (err error) {
		m, err = t.modes(ctx, systemID)
		return err
	})
	if err != nil {
		return m, fmt.Errorf("read door modes: %w", err)
	}
	return m, nil
}

func (t *tx) modes(ctx context.Context, system string) (ModesInfo, error) {
	d, body, err := t.document(ctx, system, modesDocument)
	m := ModesInfo{Version: d.newest, Reported: d.reported, Doors: []wire.DoorOrder{}}
	if err != nil || body == nil {
		return m, err
	}
	return m, json.Unmarshal(body, &struct {
		Doors *[]wire.DoorOrder `json:"doors"`
	}{&m.Doors})
}

// ModeScheduled is no mode: with it SetMode leaves a door to its schedule.
const ModeScheduled = "Scheduled"

// SetMode sets the mode of one door of a panel, or of wire.AllDoors, until a
// time, the zero time for good, and gives the version of the door modes. The
// modes are those that access.ParseDoorMode knows, and ModeScheduled. Orders
// whose time is over are left out of what is sent from now on.
func (s *Store) SetMode(ctx context.Context, systemID, door, mode string, until time.Time) (wire.Version, error) {
	var v wire.Version
	err := s.update(ctx, func(t *tx) (err error) {
		v, err = t.setMode(ctx, systemID, door, mode, until)
		return err
	})
	if err != nil {
		return wire.Version{}, fmt.Errorf("set door mode: %w", err)
	}
	return v, nil
}

func (t *tx) setMode(ctx context.Context, system, door, mode string, until time.Time) (wire.Version, error) {
	if mode != ModeScheduled {
		if _, err := access.ParseDoorMode(mode); err != nil {
			return wire.Version{}, fmt.Errorf("%w, or %s", err, ModeScheduled)
		}
	}
	if err := t.checkDoor(ctx, system, door); err != nil {
		return wire.Version{}, err
	}
	m, err := t.modes(ctx, system)
	if err != nil {
		return wire.Version{}, err
	}
	doors := slices.DeleteFunc(m.Doors, func(o wire.DoorOrder) bool {
		// All of them is all of them: a door's own order goes before one for all, and
		// must not keep it out of a lockdown.
		return o.Door == door || door == wire.AllDoors || !o.Until.IsZero() && !o.Until.After(t.now)
	})
	if mode != ModeScheduled {
		doors = append(doors, wire.DoorOrder{Door: door, Mode: mode, Until: until.UTC()})
	}
	d, err := t.documentState(ctx, system, modesDocument)
	if err != nil {
		return wire.Version{}, err
	}
	v := d.next()
	body := wire.Encode(map[string][]wire.DoorOrder{"doors": doors})
	if _, err := wire.Decode[wire.DoorModes](versioned(v, body)); err != nil {
		return wire.Version{}, err
	}
	detail(ctx, "panel %s door %s %s", system, door, mode)
	return v, t.writeDocument(ctx, system, modesDocument, v, body)
}

// checkDoor says when a panel that has said which doors it has lacks this one.
func (t *tx) checkDoor(ctx context.Context, system, door string) error {
	var text string
	err := t.QueryRowContext(ctx, "SELECT announcement FROM panels WHERE system_id = $1", system).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("panel %.64q: %w", system, ErrNotFound)
	}
	doors := announced(text).Doors
	if err != nil || door == wire.AllDoors || len(doors) == 0 {
		return err
	}
	var names []string
	for _, d := range doors {
		if d.ID == door {
			return nil
		}
		names = append(names, d.ID)
	}
	return fmt.Errorf("door %.64q of panel %s: %w; its doors are %s, and %s is all of them", door, system, ErrNotFound, clean(strings.Join(names, ", ")), wire.AllDoors)
}

// savePolicyStatus keeps what a panel said of a policy.
func (s *Store) savePolicyStatus(ctx context.Context, system string, st wire.PolicyStatus) error {
	for i, f := range st.Faults {
		st.Faults[i] = wire.PolicyFault{Path: clean(f.Path), Message: clean(f.Message)}
	}
	_, err := s.write.ExecContext(ctx, "UPDATE panels SET policy_status = $1 WHERE system_id = $2", string(wire.Encode(st)), system)
	return err
}
