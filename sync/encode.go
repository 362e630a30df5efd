package sync

import (
	"strings"
	"time"

	"postern/access"
	"postern/wire"
)

// Bounds of texts at central; see the checks of wire.Statuses, wire.Events and wire.PolicyStatus.
const (
	maxText   = 128
	maxDetail = 512
	maxPath   = 256
	maxYear   = 9999
)

// encodeStatus is a row as it travels. A row can't be split, so that one that
// is too long loses what is only for people.
func encodeStatus(row access.StatusRow) []byte {
	w := wire.Statuses{
		BootID: row.BootID, Seq: row.Seq, After: row.After, Oldest: row.Oldest, Epoch: row.Epoch, Results: []wire.Result{},
		SnapshotID: row.Snapshot, Revision: row.Revision, Part: row.Part, Of: row.Of,
	}
	for _, r := range row.Results {
		r.Detail, r.At = clip(r.Detail, maxDetail), sane(r.At)
		w.Results = append(w.Results, wire.ResultOf(r))
	}
	payload := wire.Encode(w)
	if len(payload) <= wire.MaxBatch {
		return payload
	}
	for i := range w.Results {
		w.Results[i].Detail = ""
	}
	return wire.Encode(w)
}

// encodeEvents is a run as it travels, as far as it fits into a batch, and the
// sequence number of the last entry in it.
func encodeEvents(run access.EventRun) (payload []byte, last uint64) {
	w := wire.Events{BootID: run.BootID, After: run.After, Oldest: run.Oldest}
	left := wire.MaxBatch - len(wire.Encode(w))
	for _, e := range run.Events {
		entry := entryOf(e)
		left -= len(wire.Encode(entry)) + 1
		if len(w.Entries) > 0 && (left < 0 || len(w.Entries) == wire.MaxEntries) {
			break
		}
		w.Entries = append(w.Entries, entry)
	}
	return wire.Encode(w), w.Entries[len(w.Entries)-1].Seq
}

// entryOf is an event that central will take: one that it must refuse would
// hold up all that come after it.
func entryOf(e access.Event) wire.Entry {
	e.At = sane(e.At)
	w := wire.EntryOf(e)
	for _, s := range []*string{&w.Reason, &w.Door, &w.Point, &w.KeyType, &w.Credential} {
		*s = clip(*s, maxText)
	}
	w.Detail = clip(w.Detail, maxDetail)
	return w
}

// sane is a time that JSON can hold, and none where a clock has run wild.
func sane(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > maxYear {
		return time.Time{}
	}
	return t
}

// clip cuts a text to at most n bytes of UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// encodePolicy is what became of a policy as central will take it: of many
// faults the first, of long texts the beginning.
func encodePolicy(st wire.PolicyStatus) []byte {
	faults := st.Faults[:min(len(st.Faults), wire.MaxFaults)]
	st.Faults = nil
	for _, f := range faults {
		st.Faults = append(st.Faults, wire.PolicyFault{Path: clip(f.Path, maxPath), Message: clip(f.Message, maxDetail)})
	}
	return wire.Encode(st)
}
