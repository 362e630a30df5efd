package cuts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/systemtest/machine"
)

// rows is the table: what was acknowledged, and what of it was lost.
func (s *site) rows(took time.Duration) []machine.Row {
	m := &s.memory
	if m.gaps+m.changed > 0 {
		s.faults = append(s.faults, fault{changedEvent, m.gaps + m.changed, fmt.Sprintf("%d came up after a gap, %d came up changed", m.gaps, m.changed)})
	}
	row := func(check, result, detail string, ok bool) machine.Row {
		return machine.Row{Part: "cuts", Check: check, Result: result, Detail: detail, OK: ok}
	}
	rows := []machine.Row{
		row("power cuts", fmt.Sprint(s.cuts),
			fmt.Sprintf("seed %d; %d at work, %d while starting; to the check of a boot %s", s.o.Seed, s.working, s.starting, spread(s.boot)),
			s.cuts == s.o.Cuts && s.working > 0),
		s.row("changes acknowledged", fmt.Sprintf("%d, lost %d", m.revision, s.count(lostChanges)), lostChanges),
		s.row("results that came up", fmt.Sprintf("%d, failed %d, never came %d", len(m.results), m.failed, s.count(neverCame)), neverCame),
		s.row("events acknowledged", fmt.Sprintf("%d, lost %d, changed %d", len(m.events), s.count(lostEvents), s.count(changedEvent)), lostEvents, changedEvent),
		s.row("keys and digest are the log's", fmt.Sprintf("wrong %d", s.count(wrongKeys)), wrongKeys),
		s.row("files put aside", fmt.Sprint(s.count(putAside)), putAside),
		s.row("ext4 after its journal was played back", fmt.Sprintf("errors %d", s.count(brokenDisk)), brokenDisk),
	}
	rows[0].Took = took
	rows[1].OK = rows[1].OK && m.revision > 0
	rows[2].OK = rows[2].OK && m.failed == 0
	rows[3].OK = rows[3].OK && len(m.events) > 0
	rows[6].Detail = strings.TrimPrefix(rows[6].Detail+fmt.Sprintf("; the kernel played %d back", s.replayed), "; ")
	return rows
}

// row is right when none of some kinds of faults was found.
func (s *site) row(check, result string, kinds ...string) machine.Row {
	r := machine.Row{Part: "cuts", Check: check, Result: result, OK: true}
	for _, f := range s.faults {
		if slices.Contains(kinds, f.kind) {
			r.OK = false
			if r.Detail == "" {
				r.Detail = f.text
			}
		}
	}
	return r
}

func (s *site) count(kind string) (n int) {
	for _, f := range s.faults {
		if f.kind == kind {
			n += f.count
		}
	}
	return n
}

func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f to %.1f s", slices.Min(d).Seconds(), slices.Max(d).Seconds())
}
