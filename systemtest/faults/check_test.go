package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"postern/access"
	"postern/api"
	"postern/systemtest/faults/site"
)

// id makes up an identity.
func id(n int) (out access.ID) {
	binary.BigEndian.PutUint64(out[8:], uint64(n))
	out[0] = 1
	return out
}

// grown is a model after so many confirmed changes.
func grown(seed uint64, changes int) *model {
	m, r := &model{}, rand.New(rand.NewPCG(seed, 0))
	for i := range changes {
		op := m.next(r, 100_000)
		if op.remove.IsZero() && op.add.ID.IsZero() {
			op.done(id(int(seed)*100_000 + i))
		} else {
			op.done(access.ID{})
		}
	}
	return m
}

// truth is the evidence of a site where nothing went wrong.
func truth(models ...*model) evidence {
	var e evidence
	e.statuses = map[access.ID]site.Status{}
	e.witness = map[eventID]access.EventType{}
	revision := uint64(0)
	for _, m := range models {
		revision += uint64(m.acked)
		for i, k := range m.all {
			e.statuses[k.id] = statusOf(k)
			if k.removed {
				continue
			}
			v := keyOf(k, uint64(i+1))
			e.keys = append(e.keys, v)
			e.digest = e.digest.Add(v.ID, v.Revision)
		}
	}
	e.info = site.PanelInfo{Revision: revision, Keys: uint64(len(e.keys))}
	e.panel.Keys = api.KeyStore{Revision: revision, Count: uint64(len(e.keys)), Digest: e.digest}
	for n := range 20 {
		v := api.Event{
			Seq: uint64(n + 1), BootID: id(n / 10), At: time.UnixMicro(int64(1_000_000 * (n / 2))), Type: access.GrantedCard,
			AccessPoint: "point1", Credential: fmt.Sprint(n),
		}
		e.journal = append(e.journal, v)
		i := eventID{v.BootID, v.Seq}
		e.witness[i] = v.Type
		e.stored = append(e.stored, storedEvent{i, v.Type, v.AccessPoint, v.At.UnixMicro()})
		e.listed = append(e.listed, site.Event{Time: v.At, Sequence: int64(n + 1), Type: v.Type, AccessPoint: v.AccessPoint})
	}
	return e
}

func statusOf(k *modelKey) (s site.Status) {
	if why := k.fails(); why != access.Applied {
		s.Status = "Failed"
		s.Failed = append(s.Failed, struct {
			SystemID  string `json:"system_id"`
			ErrorType string `json:"error_type"`
		}{site.SystemID, string(why)})
		return s
	}
	s.Status = "Applied"
	s.Applied = append(s.Applied, struct {
		SystemID string `json:"system_id"`
	}{site.SystemID})
	return s
}

func keyOf(k *modelKey, revision uint64) api.Key {
	v := api.Key{
		ID: k.id, Type: string(k.kind), Identification: k.ident, State: k.state, HasPIN: k.pin, Revision: revision,
		ValidFrom: &k.from, ValidTo: &k.to, ErrorType: string(k.fails()),
	}
	if k.kind == access.Code {
		v.Identification = ""
	}
	for _, text := range k.levels {
		l, err := access.ParseID(text)
		if err != nil {
			panic(err)
		}
		v.AccessLevels = append(v.AccessLevels, api.Level{ID: l, Known: true})
	}
	return v
}

func wrongs(findings []finding) map[string]int {
	out := map[string]int{}
	for _, f := range findings {
		if f.Wrong > 0 {
			out[f.Check] = f.Wrong
		}
	}
	return out
}

func TestJudgeSeesEveryFault(t *testing.T) {
	models := func() []*model { return []*model{grown(1, 300), grown(2, 200)} }
	for _, tt := range []struct {
		name  string
		spoil func(e *evidence)
		want  string // "" for nothing
	}{
		{"nothing wrong", func(*evidence) {}, ""},
		{"a revision missing at central", func(e *evidence) { e.info.Revision-- }, "changes lost"},
		{"a revision missing on the panel", func(e *evidence) { e.panel.Keys.Revision-- }, "changes lost"},
		{"a change in the log twice", func(e *evidence) { e.info.Revision++ }, "changes done twice"},
		{"a key missing", func(e *evidence) { e.keys = e.keys[1:] }, "keys missing on the panel"},
		{"a removed key there", func(e *evidence) { e.keys = append(e.keys, api.Key{ID: id(99_999)}) }, "removed keys still on the panel"},
		{"an old state", func(e *evidence) { e.keys[3].State = "lost" }, "keys not as last changed"},
		{"an old PIN", func(e *evidence) { e.keys[3].HasPIN = !e.keys[3].HasPIN }, "keys not as last changed"},
		{"an old window", func(e *evidence) { e.keys[3].ValidTo = nil }, "keys not as last changed"},
		{"old levels", func(e *evidence) { e.keys[3].AccessLevels = nil }, "keys not as last changed"},
		{"another card", func(e *evidence) { e.keys[3].Identification = "0" }, "keys not as last changed"},
		{"a result that should have been judged again", func(e *evidence) { e.keys[3].ErrorType = "InvalidKey" }, "keys not as last changed"},
		{"the panel's digest", func(e *evidence) { e.panel.Keys.Digest[0]++ }, "digests that differ"},
		{"central's digest", func(e *evidence) { e.digest[0]++ }, "digests that differ"},
		{"an old revision of a key", func(e *evidence) { e.keys[5].Revision++ }, "digests that differ"},
		{"a pending key", func(e *evidence) {
			for id := range e.statuses {
				e.statuses[id] = site.Status{Status: "Pending"}
				return
			}
		}, "statuses wrong"},
		{"an event gone from the panel", func(e *evidence) { e.witness[eventID{id(7), 7}] = 1 }, "committed events lost on the panel"},
		{"an event missing at central", func(e *evidence) { e.stored = e.stored[1:] }, "events lost at central"},
		{"an event of another boot", func(e *evidence) { e.stored[4].id.Boot = id(8) }, "events lost at central"},
		{"an event twice under one identity", func(e *evidence) { e.stored = append(e.stored, e.stored[0]) }, "events twice"},
		{"a card decided about twice", func(e *evidence) { e.journal[1].Credential = e.journal[0].Credential }, "events twice"},
		{"an event out of nowhere", func(e *evidence) { e.stored = append(e.stored, storedEvent{id: eventID{id(8), 1}}) }, "events that no panel wrote"},
		{"an event with another content", func(e *evidence) { e.stored[2].kind++ }, "events that no panel wrote"},
		{"an event listed twice", func(e *evidence) { e.listed = append(e.listed, e.listed[0]) }, "events listed otherwise than written"},
		{"an event not listed", func(e *evidence) { e.listed = e.listed[1:] }, "events listed otherwise than written"},
		{"a crash", func(e *evidence) { e.ended = []string{"panel ended by itself"} }, "alarms, quarantines, crashes"},
		{"an alarm", func(e *evidence) { e.info.Alarm = "x" }, "alarms, quarantines, crashes"},
		{"a lost event that central knows of", func(e *evidence) { e.info.LostEvents = 1 }, "alarms, quarantines, crashes"},
		{"a quarantine", func(e *evidence) { e.journal[0].Type = access.StoreQuarantined }, "alarms, quarantines, crashes"},
	} {
		m := models()
		e := truth(m...)
		tt.spoil(&e)
		got := wrongs(judge(m, e))
		if tt.want == "" && len(got) > 0 || tt.want != "" && got[tt.want] == 0 {
			t.Errorf("%s: got %v, want %q", tt.name, got, tt.want)
		}
	}
}

// The models have something of everything that is to be tested.
func TestModelIsVaried(t *testing.T) {
	m := grown(3, 2000)
	count := map[string]int{}
	for _, k := range m.all {
		count[string(k.kind)]++
		count["result "+string(k.fails())]++
		count["state "+k.state]++
		if k.removed {
			count["removed"]++
		}
		if k.puts > 1 {
			count["changed"]++
		}
		if k.opens(time.Now()) {
			count["opens"]++
		}
	}
	for _, want := range []string{
		"proximity", "code", "result ", "result AccessKeyInUse", "result InvalidCodeSize", "state enabled", "state disabled",
		"state blacklisted", "removed", "changed", "opens",
	} {
		if count[want] < 10 {
			t.Errorf("%d of %q in %v", count[want], want, count)
		}
	}
	if m.acked != 2000 {
		t.Errorf("%d changes confirmed", m.acked)
	}
}

// Of keys with one card for a reader, the one with the lowest claim has it, and
// the next one gets it when that is removed.
func TestModelClaims(t *testing.T) {
	g := &group{}
	for i := range 3 {
		g.keys = append(g.keys, &modelKey{of: g, kind: access.Proximity, claim: uint64(i + 1), state: "disabled"})
	}
	want := func(results ...access.ErrorType) {
		t.Helper()
		for i, k := range g.keys {
			if got := k.fails(); got != results[i] {
				t.Errorf("key %d: got %q, want %q", i, got, results[i])
			}
		}
	}
	const inUse = access.AccessKeyInUse
	want("", inUse, inUse)
	g.keys[0].removed = true
	want("", "", inUse)
	g.keys[1].removed = true
	want("", "", "")
}
