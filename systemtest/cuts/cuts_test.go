package cuts

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postern/access"
	"postern/config"
	"postern/systemtest/cuts/history"
)

func TestPanelConfig(t *testing.T) {
	c, faults := config.Parse("panel.toml", panelConfig)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if c.Panel.SystemID != history.SystemID || c.Panel.DataDir != history.Data || c.API.Socket != history.Socket {
		t.Errorf("panel %s in %s on %s", c.Panel.SystemID, c.Panel.DataDir, c.API.Socket)
	}
	if c.Policy().Level(access.MustParseID(history.Level)) == nil {
		t.Errorf("there is no access level %s", history.Level)
	}
	if c.Readers[0].ID != history.Reader || c.Doors[0].ID != history.Door {
		t.Errorf("reader %s, door %s", c.Readers[0].ID, c.Doors[0].ID)
	}
}

func name(seq uint64) string { return fmt.Sprintf("%016x", seq) }

func TestMemoryTakesAcknowledgements(t *testing.T) {
	m := newMemory()
	for _, l := range []struct {
		text string
		told bool
	}{
		{fmt.Sprintf(history.LineReported, 7), true},
		{fmt.Sprintf(history.LineResults, 5, 9, 1), true},
		{fmt.Sprintf(history.LineEvent, 1, name(1)), true},
		{fmt.Sprintf(history.LineEvent, 2, name(2)), true},
		{fmt.Sprintf(history.LineEvent, 2, name(2)), true}, // once more, as it was not confirmed
		{history.LineReady, false},
		{"EXT4-fs (vda): mounted", false},
		// Cut off, at each place.
		{"cuts: reported 1234", false},
		{"cuts: results 10 1", false},
		{"cuts: results 10 12 0", false},
		{"cuts: event 3 00000000000000", false},
	} {
		if told, err := m.take(l.text); err != nil || told != l.told {
			t.Errorf("%s: told %t, %v", l.text, told, err)
		}
	}
	if m.revision != 9 || len(m.results) != 5 || m.failed != 1 || len(m.events) != 2 || m.gaps+m.changed != 0 {
		t.Errorf("%+v", m)
	}
	if n := m.unanswered(9); n != 4 {
		t.Errorf("%d revisions without a result, want 4", n)
	}
	for _, text := range []string{fmt.Sprintf(history.LineEvent, 2, name(8)), fmt.Sprintf(history.LineEvent, 9, name(9))} {
		if _, err := m.take(text); err != nil {
			t.Error(err)
		}
	}
	if m.gaps != 1 || m.changed != 1 {
		t.Errorf("%d gaps, %d changed, want one each", m.gaps, m.changed)
	}
}

func TestJudge(t *testing.T) {
	m := newMemory()
	for seq := range uint64(20) {
		m.event(seq+1, name(seq+1))
	}
	keys := history.After(50)
	good := history.Check{
		Revision: 50, Digest: keys.Digest(), Count: uint64(len(keys)), Keys: keys.Sum(), Events: history.Journal(m.events),
	}
	for _, c := range []struct {
		name   string
		change func(*history.Check)
		want   string
	}{
		{"good", func(*history.Check) {}, ""},
		{"behind", func(c *history.Check) {
			k := history.After(49)
			c.Revision, c.Digest, c.Count, c.Keys = 49, k.Digest(), uint64(len(k)), k.Sum()
		}, lostChanges},
		{"digest", func(c *history.Check) { c.Digest = history.After(49).Digest() }, wrongKeys},
		{"list", func(c *history.Check) { c.Keys = history.After(49).Sum() }, wrongKeys},
		{"count", func(c *history.Check) { c.Count++ }, wrongKeys},
		{"not applied", func(c *history.Check) { c.Failed = 1 }, wrongKeys},
		{"event gone", func(c *history.Check) { c.Missing, c.Events = 1, "" }, lostEvents},
		{"event other", func(c *history.Check) { c.Events = history.Journal(m.events[1:]) }, changedEvent},
		{"aside", func(c *history.Check) { c.Aside = []string{"keys.db.bad-0001"} }, putAside},
		{"kernel", func(c *history.Check) { c.Kernel = []string{"EXT4-fs error"} }, brokenDisk},
	} {
		check := good
		c.change(&check)
		var kinds []string
		for _, f := range m.judge(check, 20, 50) {
			kinds = append(kinds, f.kind)
		}
		if got := strings.Join(kinds, ","); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Whatever was counted as a fault makes its row fail.
func TestRows(t *testing.T) {
	whole := func() *site {
		s := &site{o: &Options{Cuts: 1}, memory: newMemory(), tally: tally{cuts: 1, working: 1}}
		s.memory.revision, s.memory.events = 1, []string{name(1)}
		return s
	}
	for _, r := range whole().rows(0) {
		if !r.OK {
			t.Errorf("without a fault: %+v", r)
		}
	}
	for _, kind := range []string{lostChanges, lostEvents, wrongKeys, putAside, brokenDisk, neverCame, changedEvent} {
		s := whole()
		s.faults = []fault{{kind, 3, "why"}}
		failed := 0
		for _, r := range s.rows(0) {
			if !r.OK {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%s: %d rows failed, want 1", kind, failed)
		}
	}
	s := whole()
	s.memory.events = nil
	if s.rows(0)[3].OK {
		t.Error("a run in which no event was acknowledged is good")
	}
}

func TestHistoryIsAFunctionOfTheRevision(t *testing.T) {
	for _, n := range []uint64{1, 2, 500} {
		if a, b := fmt.Sprint(history.Change(n)), fmt.Sprint(history.Change(n)); a != b {
			t.Errorf("revision %d is %s, then %s", n, a, b)
		}
	}
	keys := history.After(500)
	var digest access.Digest
	for id, revision := range keys {
		digest = digest.Add(id, revision)
		if c := history.Change(revision); c.ID != id {
			t.Errorf("revision %d put %s, not %s", revision, c.ID, id)
		}
	}
	if digest != keys.Digest() || len(keys) == 0 || len(keys) == 500 {
		t.Errorf("%d keys after 500 changes", len(keys))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		if _, err := access.ParseIdentification(access.Proximity, history.Card(history.Person(r))); err != nil {
			t.Error(err)
		}
	}
}
