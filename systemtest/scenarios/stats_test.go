package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// stats counts what was played, and what was found wrong.
type stats struct {
	Scenarios int            `json:"scenarios"`
	Answers   int            `json:"answers"`
	Grants    int            `json:"grants"`
	Denials   int            `json:"denials"`
	Events    int            `json:"events"`
	Updates   int            `json:"updates"`
	Restarts  int            `json:"restarts"`
	Cuts      int            `json:"power_cuts"`
	Reasons   map[string]int `json:"reasons"`
	Wrong     map[flaw]int   `json:"wrong"`
	Failed    []uint64       `json:"failed,omitempty"` // seeds of the runs that did
}

// flaw is what a run failed by.
type flaw string

// What may be wrong; a run ends with the first.
const (
	wrongGrant  flaw = "wrong grants"
	wrongDenial flaw = "wrong denials"
	wrongLock   flaw = "locks wrongly driven"
	lostUpdate  flaw = "lost updates"
	lostEvent   flaw = "events lost or doubled"
	otherWrong  flaw = "other disagreements"
)

func newStats() *stats { return &stats{Reasons: map[string]int{}, Wrong: map[flaw]int{}} }

func (s *stats) add(o *stats) {
	s.Scenarios += o.Scenarios
	s.Answers += o.Answers
	s.Grants += o.Grants
	s.Denials += o.Denials
	s.Events += o.Events
	s.Updates += o.Updates
	s.Restarts += o.Restarts
	s.Cuts += o.Cuts
	for r, n := range o.Reasons {
		s.Reasons[r] += n
	}
	for r, n := range o.Wrong {
		s.Wrong[r] += n
	}
	s.Failed = append(s.Failed, o.Failed...)
}

// line is the counts in one line.
func (s *stats) line() string {
	n := 0
	for _, k := range s.Wrong {
		n += k
	}
	return fmt.Sprintf("%d scenarios: %d grants, %d denials, %d updates, %d events, %d restarts, %d power cuts at a commit; %d wrong",
		s.Scenarios, s.Grants, s.Denials, s.Updates, s.Events, s.Restarts, s.Cuts, n)
}

// String is the closing table.
func (s *stats) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.line())
	for _, r := range slices.Sorted(maps.Keys(s.Reasons)) {
		fmt.Fprintf(&b, "%9d %s\n", s.Reasons[r], r)
	}
	for _, w := range []flaw{wrongGrant, wrongDenial, wrongLock, lostUpdate, lostEvent, otherWrong} {
		fmt.Fprintf(&b, "%9d %s\n", s.Wrong[w], w)
	}
	return b.String()
}

// flawOf says what it is when the panel told events that were not to be, or none
// that were.
func flawOf(more []event) flaw {
	for _, e := range more {
		switch {
		case e.typ >= 100 && e.typ < 200:
			return wrongGrant
		case e.typ >= 200 && e.typ < 300:
			return wrongDenial
		}
	}
	return lostEvent
}
