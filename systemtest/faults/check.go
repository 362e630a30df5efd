package main

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"postern/access"
	"postern/api"
	"postern/systemtest/faults/site"
)

// finding is the outcome of one check: how much is wrong, and of what.
type finding struct {
	Check    string   `json:"check"`
	Checked  int      `json:"checked"`
	Wrong    int      `json:"wrong"`
	Examples []string `json:"examples,omitempty"`
}

// maxExamples of a finding are told.
const maxExamples = 5

func (f *finding) wrong(format string, args ...any) {
	f.Wrong++
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// judge compares what both ends say with what the models promise.
func judge(models []*model, e evidence) []finding {
	out := checkChanges(models, e)
	out = append(out, checkKeys(models, e)...)
	out = append(out, checkDigests(e), checkStatuses(models, e))
	out = append(out, checkEvents(e)...)
	return append(out, checkHealth(e))
}

// checkChanges counts: each change that HTTP confirmed is one revision, no more
// and no less.
func checkChanges(models []*model, e evidence) []finding {
	acked := 0
	for _, m := range models {
		acked += m.acked
	}
	lost, twice := finding{Check: "changes lost", Checked: acked}, finding{Check: "changes done twice", Checked: acked}
	for _, end := range []struct {
		name     string
		revision uint64
	}{{"central's log", e.info.Revision}, {"the panel", e.panel.Keys.Revision}} {
		if n := acked - int(end.revision); n > 0 {
			lost.wrong("%s has %d revisions, %d changes were confirmed", end.name, end.revision, acked)
			lost.Wrong = max(lost.Wrong, n)
		} else if n < 0 {
			twice.wrong("%s has %d revisions, %d changes were confirmed", end.name, end.revision, acked)
			twice.Wrong = max(twice.Wrong, -n)
		}
	}
	return []finding{lost, twice}
}

func checkKeys(models []*model, e evidence) []finding {
	missing, extra, other := finding{Check: "keys missing on the panel"}, finding{Check: "removed keys still on the panel"}, finding{Check: "keys not as last changed"}
	want := map[access.ID]*modelKey{}
	for _, m := range models {
		maps.Copy(want, m.live())
		extra.Checked += len(m.all)
	}
	missing.Checked, other.Checked = len(want), len(e.keys)
	for _, k := range e.keys {
		w := want[k.ID]
		if w == nil {
			extra.wrong("%s", k.ID)
			continue
		}
		delete(want, k.ID)
		if d := differs(w, k); d != "" {
			other.wrong("%s: %s", k.ID, d)
		}
	}
	for id := range want {
		missing.wrong("%s", id)
	}
	return []finding{missing, extra, other}
}

// differs says in what a key on the panel is not as it should be.
func differs(w *modelKey, k api.Key) string {
	var levels []string
	for _, l := range k.AccessLevels {
		levels = append(levels, l.ID.String())
	}
	ident := w.ident
	if w.kind == access.Code {
		ident = "" // secret
	}
	sameTime := func(got *time.Time, want time.Time) bool { return got != nil && got.Equal(want) }
	switch {
	case k.Type != string(w.kind) || k.Identification != ident:
		return fmt.Sprintf("is %s %s, want %s %s", k.Type, k.Identification, w.kind, ident)
	case k.State != w.state:
		return fmt.Sprintf("is %s, want %s", k.State, w.state)
	case k.HasPIN != w.pin:
		return fmt.Sprintf("has a PIN: %v, want %v", k.HasPIN, w.pin)
	case !sameLevels(levels, w.levels):
		return fmt.Sprintf("has levels %v, want %v", levels, w.levels)
	case !sameTime(k.ValidFrom, w.from) || !sameTime(k.ValidTo, w.to):
		return fmt.Sprintf("is valid from %v to %v, want %v to %v", k.ValidFrom, k.ValidTo, w.from, w.to)
	case k.ErrorType != string(w.fails()):
		return fmt.Sprintf("has the result %q, want %q", k.ErrorType, w.fails())
	}
	return ""
}

// checkDigests makes the digest anew from the keys, and compares all three.
func checkDigests(e evidence) finding {
	f := finding{Check: "digests that differ", Checked: 3}
	var made access.Digest
	for _, k := range e.keys {
		made = made.Add(k.ID, k.Revision)
	}
	if e.panel.Keys.Digest != made || e.panel.Keys.Count != uint64(len(e.keys)) {
		f.wrong("the panel says %s of %d keys, its %d keys make %s", e.panel.Keys.Digest, e.panel.Keys.Count, len(e.keys), made)
	}
	if e.digest != made || e.info.Keys != uint64(len(e.keys)) {
		f.wrong("central says %s of %d keys, the panel's %d keys make %s", e.digest, e.info.Keys, len(e.keys), made)
	}
	return f
}

func checkStatuses(models []*model, e evidence) finding {
	f := finding{Check: "statuses wrong"}
	for _, m := range models {
		for _, k := range m.all {
			f.Checked++
			if w := wrongStatus(k, e.statuses[k.id]); w != "" {
				f.wrong("%s (removed: %v): %s", k.id, k.removed, w)
			}
		}
	}
	return f
}

// wrongStatus says what of a status is not as the model has it.
func wrongStatus(k *modelKey, st site.Status) string {
	want := k.fails()
	text := func() string { return fmt.Sprintf("is %+v, want %q", st, want) }
	if want == access.Applied {
		if st.Status != "Applied" || len(st.Applied) != 1 || len(st.Failed)+len(st.Pending) > 0 {
			return text()
		}
		return ""
	}
	if st.Status != "Failed" || len(st.Failed) != 1 || st.Failed[0].ErrorType != string(want) || len(st.Applied)+len(st.Pending) > 0 {
		return text()
	}
	return ""
}

// like is what of an event both ends show, without its identity.
type like struct {
	at    int64
	kind  access.EventType
	point string
}

// checkEvents holds the panel's journal against central, by identity in its
// database and by content in what it lists, and what the witness heard against
// the journal.
func checkEvents(e evidence) []finding {
	vanished := finding{Check: "committed events lost on the panel", Checked: len(e.witness)}
	lost := finding{Check: "events lost at central", Checked: len(e.journal)}
	twice := finding{Check: "events twice", Checked: len(e.stored)}
	foreign := finding{Check: "events that no panel wrote", Checked: len(e.stored)}
	unlisted := finding{Check: "events listed otherwise than written", Checked: len(e.listed)}

	journal := map[eventID]like{}
	contents := map[like]int{}
	decisions := map[string]bool{} // each card is presented once at a reader, but for the trial's
	for _, v := range e.journal {
		l := like{v.At.UnixMicro(), v.Type, v.AccessPoint}
		journal[eventID{v.BootID, v.Seq}] = l
		contents[l]++
		if v.Type >= 300 || v.Credential == "" || v.AccessPoint == trialPoint {
			continue
		}
		if d := v.AccessPoint + " " + v.Credential; decisions[d] {
			twice.wrong("the panel decided twice about %s", d)
		} else {
			decisions[d] = true
		}
	}
	for id := range e.witness {
		if _, ok := journal[id]; !ok {
			vanished.wrong("%d of boot %s", id.Seq, id.Boot)
		}
	}
	stored := map[eventID]bool{}
	for _, v := range e.stored {
		if stored[v.id] {
			twice.wrong("central has %d of boot %s twice", v.id.Seq, v.id.Boot)
		}
		stored[v.id] = true
		switch l, ok := journal[v.id]; {
		case !ok:
			foreign.wrong("%d of boot %s, type %d", v.id.Seq, v.id.Boot, v.kind)
		case l != like{v.at, v.kind, v.point}:
			foreign.wrong("%d of boot %s is %+v, written as %+v", v.id.Seq, v.id.Boot, v, l)
		}
	}
	for id, l := range journal {
		if !stored[id] {
			lost.wrong("%d of boot %s, type %d at %s", id.Seq, id.Boot, l.kind, time.UnixMicro(l.at).Format(time.TimeOnly))
		}
	}
	sequences := map[int64]bool{}
	for _, v := range e.listed {
		l := like{v.Time.UnixMicro(), v.Type, v.AccessPoint}
		if contents[l]--; contents[l] < 0 {
			unlisted.wrong("%+v is listed once more than it was written", l)
		}
		if sequences[v.Sequence] {
			unlisted.wrong("sequence id %d is listed twice", v.Sequence)
		}
		sequences[v.Sequence] = true
	}
	for l, n := range contents {
		if n > 0 {
			unlisted.wrong("%+v was written and is not listed", l)
		}
	}
	return []finding{vanished, lost, twice, foreign, unlisted}
}

// checkHealth looks for what should not have been needed.
func checkHealth(e evidence) finding {
	f := finding{Check: "alarms, quarantines, crashes", Checked: 4}
	if e.info.Alarm != "" {
		f.wrong("central's alarm: %s", e.info.Alarm)
	}
	if e.info.LostEvents > 0 {
		f.wrong("central says that %d events were lost", e.info.LostEvents)
	}
	for _, p := range e.panel.Problems {
		if strings.Contains(p.What, "put aside") {
			f.wrong("the panel: %s", p.What)
		}
	}
	for _, v := range e.journal {
		switch v.Type {
		case access.StoreQuarantined, access.EventsDropped, access.StoreReadOnly, access.BadEnvelope:
			f.wrong("the panel's journal: %s: %s", v.Text, v.Detail)
		}
	}
	for _, text := range e.ended {
		f.wrong("%s", text)
	}
	return f
}
