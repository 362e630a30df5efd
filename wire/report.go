package wire

import (
	"fmt"
	"time"

	"postern/access"
)

// Statuses is one row of a panel's status outbox: the results of one commit.
// Rows have one sequence over all boots; each keeps the boot that wrote it.
//
// After a snapshot its results come in rows that carry SnapshotID and are
// numbered Part 1 … Of: they list the failed keys alone, possibly none, and when
// all parts are there every key of the snapshot that is not listed is applied.
type Statuses struct {
	BootID  access.ID `json:"boot_id"`
	Seq     uint64    `json:"seq"`
	After   uint64    `json:"after"`  // seq of the row before it
	Oldest  uint64    `json:"oldest"` // oldest row still held
	Epoch   uint64    `json:"epoch"`
	Results []Result  `json:"results"`

	SnapshotID access.ID `json:"snapshot_id,omitzero"`
	Revision   uint64    `json:"revision,omitempty"` // of the snapshot
	Part       uint64    `json:"part,omitempty"`
	Of         uint64    `json:"of,omitempty"`
}

// Result is how one revision ended.
type Result struct {
	Revision  uint64    `json:"revision"`
	ID        access.ID `json:"id"`
	Result    string    `json:"result"` // "applied" or "failed"
	ErrorType string    `json:"error_type,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	At        time.Time `json:"at"`
}

// The results of a revision.
const (
	ResultApplied = "applied"
	ResultFailed  = "failed"
)

// MaxResults is the most results in one Statuses.
const MaxResults = 512

// ResultOf is a result as it travels.
func ResultOf(r access.Result) Result {
	w := Result{Revision: r.Revision, ID: r.ID, Result: ResultApplied, At: r.At.UTC()}
	if r.Error != access.Applied {
		w.Result, w.ErrorType, w.Detail = ResultFailed, string(r.Error), r.Detail
	}
	return w
}

// Access is the domain's result.
func (r Result) Access() access.Result {
	return access.Result{Revision: r.Revision, ID: r.ID, Error: access.ErrorType(r.ErrorType), Detail: r.Detail, At: r.At}
}

func (s *Statuses) check() error {
	if err := checkRow(s.BootID, s.Seq, s.After, s.Oldest); err != nil {
		return err
	}
	snapshot := !s.SnapshotID.IsZero()
	if snapshot != (s.Of > 0) || s.Part > s.Of || snapshot && s.Part == 0 || s.Of > MaxSnapshotKeys {
		return &FieldError{"part", "snapshot_id, revision, part and of belong together"}
	}
	if len(s.Results) == 0 && !snapshot || len(s.Results) > MaxResults {
		return &FieldError{"results", fmt.Sprintf("want 1 to %d of them", MaxResults)}
	}
	for i, r := range s.Results {
		failed := r.Result == ResultFailed
		switch {
		case snapshot && !failed:
			return &FieldError{fmt.Sprintf("results[%d].result", i), "a snapshot's rows list the failed alone"}
		case r.Revision == 0 || r.ID.IsZero():
			return &FieldError{fmt.Sprintf("results[%d]", i), "names no revision and id"}
		case !failed && r.Result != ResultApplied:
			return &FieldError{fmt.Sprintf("results[%d].result", i), "want applied or failed"}
		case failed != (r.ErrorType != ""):
			return &FieldError{fmt.Sprintf("results[%d].error_type", i), "is there if and only if it failed"}
		case len(r.ErrorType) > 64 || len(r.Detail) > 512:
			return &FieldError{fmt.Sprintf("results[%d].detail", i), "is too long"}
		}
	}
	return nil
}

func checkRow(boot access.ID, seq, after, oldest uint64) error {
	switch {
	case boot.IsZero():
		return &FieldError{"boot_id", "is missing"}
	case seq == 0 || oldest == 0:
		return &FieldError{"seq", "seq and oldest count from 1"}
	case after >= seq || oldest > seq:
		return &FieldError{"after", "after and oldest must not lie past the row"}
	}
	return nil
}

// Events is a run of journal entries written under one boot.
type Events struct {
	BootID  access.ID `json:"boot_id"`
	After   uint64    `json:"after"`  // seq of the row before the first entry
	Oldest  uint64    `json:"oldest"` // oldest row not yet confirmed that is still held
	Entries []Entry   `json:"entries"`
}

// MaxEntries is the most entries in one Events.
const MaxEntries = 500

// Entry is one journal entry.
type Entry struct {
	Seq        uint64           `json:"seq"`
	At         time.Time        `json:"at"`
	Mono       int64            `json:"mono_ms"` // since the daemon started
	Clock      string           `json:"clock"`
	Type       access.EventType `json:"type"`
	Reason     string           `json:"reason,omitempty"`
	Door       string           `json:"door,omitempty"`
	Point      string           `json:"access_point,omitempty"`
	KeyID      access.ID        `json:"key_id,omitzero"`
	KeyType    string           `json:"key_type,omitempty"`
	Credential string           `json:"credential,omitempty"`
	PersonID   access.ID        `json:"person_id,omitzero"`
	Detail     string           `json:"detail,omitempty"`
}

// EntryOf is an event as it travels.
func EntryOf(e access.Event) Entry {
	return Entry{
		Seq: e.Seq, At: e.At.UTC(), Mono: e.Mono.Milliseconds(), Clock: e.Clock.String(), Type: e.Type,
		Reason: string(e.Reason), Door: e.Door, Point: e.Point, KeyID: e.Key, KeyType: string(e.KeyType),
		Credential: e.Credential, PersonID: e.Person, Detail: e.Detail,
	}
}

// Event is the domain's event, written under boot.
func (e Entry) Event(boot access.ID) access.Event {
	clock, err := access.ParseClockState(e.Clock)
	if err != nil {
		clock = access.ClockUntrusted
	}
	return access.Event{
		Seq: e.Seq, BootID: boot, At: e.At, Mono: time.Duration(e.Mono) * time.Millisecond, Clock: clock, Type: e.Type,
		Reason: access.Reason(e.Reason), Door: e.Door, Point: e.Point, Key: e.KeyID, KeyType: access.Type(e.KeyType),
		Credential: e.Credential, Person: e.PersonID, Detail: e.Detail,
	}
}

func (e *Events) check() error {
	if len(e.Entries) == 0 || len(e.Entries) > MaxEntries {
		return &FieldError{"entries", fmt.Sprintf("want 1 to %d of them", MaxEntries)}
	}
	if err := checkRow(e.BootID, e.Entries[0].Seq, e.After, e.Oldest); err != nil {
		return err
	}
	for i, v := range e.Entries {
		path := fmt.Sprintf("entries[%d]", i)
		switch {
		case i > 0 && v.Seq != e.Entries[i-1].Seq+1:
			return &FieldError{path + ".seq", "does not follow the one before it"}
		case v.Type == 0:
			return &FieldError{path + ".type", "is missing"}
		case max(len(v.Reason), len(v.Door), len(v.Point), len(v.KeyType), len(v.Credential)) > 128, len(v.Detail) > 512:
			return &FieldError{path, "has a text that is too long"}
		case v.At.Year() < 0 || v.At.Year() > maxYear:
			return &FieldError{path + ".at", "is out of range"}
		}
	}
	return nil
}
