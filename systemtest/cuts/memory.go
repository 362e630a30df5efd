package cuts

import (
	"encoding/json"
	"fmt"
	"regexp"

	"postern/systemtest/cuts/history"
)

// memory is what the host knows to be acknowledged. It outlives every cut.
type memory struct {
	revision uint64          // the highest that was reported, or answered with a result
	results  map[uint64]bool // revisions whose result came up
	failed   int             // of them, how many did not apply
	events   []string        // the events that came up, from number 1 on
	gaps     int             // events that came up after one that did not
	changed  int             // events that came up twice, and otherwise than before
}

func newMemory() memory { return memory{results: map[uint64]bool{}} }

var (
	reMounted  = line(history.LineMounted)
	reReady    = line(history.LineReady)
	reFatal    = regexp.MustCompile(`cuts: fatal: (.*) \.$`)
	reReported = regexp.MustCompile(`^cuts: reported (\d+) \.$`)
	reResults  = regexp.MustCompile(`^cuts: results (\d+) (\d+) (\d+) \.$`)
	reEvent    = regexp.MustCompile(`^cuts: event (\d+) ([0-9a-f]+) \.$`)
	reChecked  = regexp.MustCompile(`^cuts: checked (.*) \.$`)
)

func line(text string) *regexp.Regexp {
	return regexp.MustCompile("^" + regexp.QuoteMeta(text) + "$")
}

// take remembers what a line acknowledges, and reports whether it does. A line
// that was cut off acknowledges nothing.
func (m *memory) take(text string) (bool, error) {
	var a, b uint64
	var c int
	var name string
	switch {
	case reReported.MatchString(text):
		_, err := fmt.Sscanf(text, history.LineReported, &a)
		m.revision = max(m.revision, a)
		return true, err
	case reResults.MatchString(text):
		_, err := fmt.Sscanf(text, history.LineResults, &a, &b, &c)
		m.revision = max(m.revision, b)
		m.failed += c
		for n := a; n <= b; n++ {
			m.results[n] = true
		}
		return true, err
	case reEvent.MatchString(text):
		_, err := fmt.Sscanf(text, history.LineEvent, &a, &name)
		m.event(a, name)
		return true, err
	}
	return false, nil
}

func (m *memory) event(seq uint64, name string) {
	switch have := uint64(len(m.events)); {
	case seq > have+1:
		m.gaps++
	case seq == have+1:
		m.events = append(m.events, name)
	case m.events[seq-1] != name:
		m.changed++
	}
}

// unanswered is how many revisions up to one have no result.
func (m *memory) unanswered(revision uint64) (n int) {
	for r := uint64(1); r <= revision; r++ {
		if !m.results[r] {
			n++
		}
	}
	return n
}

// fault is something that a boot found wrong.
type fault struct {
	kind  string
	count int
	text  string
}

// The kinds of faults.
const (
	lostChanges  = "changes lost"
	lostEvents   = "events lost"
	wrongKeys    = "wrong keys"
	putAside     = "files put aside"
	brokenDisk   = "file system errors"
	neverCame    = "results that never came"
	changedEvent = "events changed or out of order"
)

// judge holds what a boot found against the memory as it was before: the events
// asked for, the revision acknowledged.
func (m *memory) judge(c history.Check, upTo int, was uint64) (faults []fault) {
	add := func(kind string, count int, format string, args ...any) {
		if count > 0 {
			faults = append(faults, fault{kind, count, fmt.Sprintf(format, args...)})
		}
	}
	if c.Revision < was {
		add(lostChanges, int(was-c.Revision), "the panel is at %d, %d was acknowledged", c.Revision, was)
	}
	want := history.After(c.Revision)
	if c.Digest != want.Digest() || c.Count != uint64(len(want)) || c.Keys != want.Sum() || c.Failed > 0 {
		add(wrongKeys, 1, "at revision %d: %d keys, want %d; digest right %t, list right %t, %d failed",
			c.Revision, c.Count, len(want), c.Digest == want.Digest(), c.Keys == want.Sum(), c.Failed)
	}
	add(lostEvents, c.Missing, "%d of the first %d", c.Missing, upTo)
	if c.Missing == 0 && c.Events != history.Journal(m.events[:upTo]) {
		add(changedEvent, 1, "the first %d are not those that came up", upTo)
	}
	add(putAside, len(c.Aside), "%q", c.Aside)
	add(brokenDisk, len(c.Kernel), "%q", c.Kernel)
	return faults
}

func decodeCheck(text string) (c history.Check, err error) {
	err = json.Unmarshal([]byte(text), &c)
	return c, err
}
