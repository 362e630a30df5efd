package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// told is an entry of the journal as the panel shows it.
type told struct {
	Seq    uint64
	Type   int
	Reason string
	Door   string
	Detail string
}

func (s *site) journal() (out []told) {
	s.t.Helper()
	for line := range strings.Lines(s.do("events", "--limit", "1000")) {
		var e told
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("event %q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

// wantOrdered waits until every door is in a mode that somebody ordered.
func (s *site) wantOrdered(mode, by string) {
	s.t.Helper()
	s.eventually("the doors are "+mode, func() error {
		for line := range strings.Lines(s.do("doors")) {
			var d struct {
				ID, Mode string
				By       string `json:"mode_by"`
			}
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				return err
			}
			if d.Mode != mode || d.By != by {
				return fmt.Errorf("%s is %s by %q, want %s by %q", d.ID, d.Mode, d.By, mode, by)
			}
		}
		return nil
	})
}

type explanation struct {
	Granted bool
	Type    int
	Reason  string
	Steps   []struct{ Rule, Outcome, Text string }
}

func (e explanation) rules() (out []string) {
	for _, s := range e.Steps {
		out = append(out, s.Rule+" "+s.Outcome)
	}
	return out
}

func (s *site) explain(args ...string) (e explanation) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.do(append([]string{"explain"}, args...)...)), &e); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// wantAsExplained checks that the last decision was the one that was explained, by
// the same rules.
func (s *site) wantAsExplained(what string, want explanation) {
	s.t.Helper()
	entries := slices.DeleteFunc(s.journal(), func(e told) bool { return e.Type >= 300 || e.Type == 104 })
	last := entries[len(entries)-1]
	if last.Type != want.Type || last.Reason != want.Reason {
		s.t.Errorf("%s: journalled %+v, explained as %+v", what, last, want)
	}
	var trace explanation
	if err := json.Unmarshal([]byte(s.do("events", "--explain", fmt.Sprint(last.Seq))), &trace); err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(trace.rules(), want.rules()) {
		s.t.Errorf("%s: decided by %q, explained by %q", what, trace.rules(), want.rules())
	}
}

// A lockdown by an operator stands over a power cut, until it is ended; and what is
// explained is what a badge then brings.
func TestEndToEndLockdown(t *testing.T) {
	s := newSite(t)
	a := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":"7301","access_levels":[%q]}`, card, levelAlways))
	s.wantStatus(a.ID, "Applied")
	for _, id := range []string{card, stranger} {
		e := s.explain("--reader", "front", "--identification", id)
		s.badge("front", id, e.Type)
		s.wantAsExplained("card "+id, e)
	}
	e := s.explain("--reader", "lab", "--identification", card, "--pin=7301")
	s.do("sim", "badge", "--reader", "lab", "--identification", card)
	s.do("sim", "keys", "--reader", "lab", "7301")
	s.wantLocal(3, 103)
	s.wantAsExplained("card and PIN", e)

	s.do("lockdown")
	s.wantOrdered("LockedDown", "panel")
	s.panel.end(t, syscall.SIGKILL)
	s.startPanel()
	s.wantOrdered("LockedDown", "panel")
	s.wantAsExplained("card and PIN, before the start", e)
	if out, code := s.cli("unlock", "front"); code != 1 {
		t.Errorf("unlock while locked down: exit code %d: %s", code, out)
	}
	e = s.explain("--reader", "front", "--identification", card)
	s.badge("front", card, 200)
	s.wantAsExplained("locked down", e)
	if s.released("front") {
		t.Error("a card releases a door that is locked down")
	}
	s.do("sim", "rex", "front")
	s.eventually("the exit button releases it", func() error {
		if !s.released("front") {
			return fmt.Errorf("not released")
		}
		return nil
	})
	s.do("lockdown", "--end")
	s.wantOrdered("Locked", "")
	before := len(s.localEvents())
	s.do("sim", "badge", "--reader", "gate", "--identification", card)
	s.wantLocal(before+1, 102)

	var ordered, ended int
	for _, e := range s.journal() {
		switch {
		case e.Type == 318 && e.Reason == "Operator" && e.Detail == "ordered at the panel":
			ordered++
		case e.Type == 315 && e.Reason == "Operator":
			ended++
		}
	}
	if ordered != 4 || ended != 2 { // two doors, and again at the start
		t.Errorf("the journal has %d orders and %d ends by an operator, want 4 and 2", ordered, ended)
	}
	started := s.journal()
	started = slices.DeleteFunc(started, func(e told) bool { return e.Type != 320 })
	if out := s.do("events", "--explain", fmt.Sprint(started[0].Seq)); !strings.Contains(out, `"why":`) {
		t.Errorf("an entry that no decision is behind is explained: %s", out)
	}
}

// A PIN typed under duress opens as ever and goes up to central; at the panel
// nothing tells it from another.
func TestEndToEndDuress(t *testing.T) {
	s := newSite(t)
	s.panel.end(t, syscall.SIGTERM)
	s.write("panel.toml", s.panelConfig()+"[rules]\nduress = true\n")
	s.startPanel()
	a := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":"7301","access_levels":[%q]}`, card, levelAlways))
	s.wantStatus(a.ID, "Applied")
	for i, pin := range []string{"7301", "7302", "7301"} {
		s.do("sim", "badge", "--reader", "lab", "--identification", card)
		s.do("sim", "keys", "--reader", "lab", pin)
		s.wantLocal(i+1, 103)
	}
	s.eventually("central hears of duress", func() error {
		var page struct{ Events []event }
		if err := s.post("/v1/events/list", `{"include_system":true}`, 200, &page); err != nil {
			return err
		}
		n := 0
		for _, e := range page.Events {
			if e.Type == 362 {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%d events of duress in %+v", n, page.Events)
		}
		return nil
	})
	for range 2 {
		s.eventually("the status has as many entries as the journal", func() error { // one may come in between
			seq := uint64(0)
			for _, e := range s.journal() {
				seq++
				if e.Seq != seq || e.Type == 362 {
					t.Errorf("entry %+v, want number %d and no duress", e, seq)
				}
			}
			var st struct{ Journal struct{ Last uint64 } }
			if err := json.Unmarshal([]byte(s.do("status")), &st); err != nil {
				return err
			}
			if st.Journal.Last != seq {
				return fmt.Errorf("status says %d entries, want %d", st.Journal.Last, seq)
			}
			return nil
		})
		s.panel.end(t, syscall.SIGKILL)
		s.startPanel()
	}
	for _, pin := range []string{"7301", "7302"} {
		var e explanation
		s.eventually("explained", func() error { // once a second
			out, code := s.cli("explain", "--reader", "lab", "--identification", card, "--pin="+pin)
			if code != 0 {
				return fmt.Errorf("exit code %d: %s", code, out)
			}
			return json.Unmarshal([]byte(out), &e)
		})
		if e.Type != 103 || e.Steps[len(e.Steps)-2].Text != "the PIN is right" {
			t.Errorf("explained as %+v", e)
		}
	}
}

// A key of the panel alone opens, is in central's way, and outlives a power cut;
// central learns no more than that there is one.
func TestEndToEndLocalKey(t *testing.T) {
	s := newSite(t)
	var local struct{ ID string }
	if err := json.Unmarshal([]byte(s.do("keys", "add-local", "--identification", card, "--levels", levelAlways)), &local); err != nil {
		t.Fatal(err)
	}
	s.panel.end(t, syscall.SIGKILL)
	s.startPanel()
	s.badge("front", card, 102)
	a := s.addCard(card)
	if st := s.wantStatus(a.ID, "Failed"); len(st.Failed) != 1 || st.Failed[0].ErrorType != "AccessKeyInUse" {
		t.Errorf("status %+v", st)
	}
	s.badge("front", card, 102)
	s.do("keys", "remove-local", local.ID)
	s.wantStatus(a.ID, "Applied")
	if out := strings.TrimSpace(s.do("keys", "list-local")); out != "" {
		t.Errorf("local keys %s", out)
	}
	var notes []string
	for _, e := range s.journal() {
		if e.Type == 325 {
			notes = append(notes, e.Detail)
		}
	}
	if len(notes) != 2 || strings.Contains(strings.Join(notes, " "), card) || !strings.HasSuffix(notes[0], "it has 1 key of its own now") {
		t.Errorf("journalled %q", notes)
	}
}
