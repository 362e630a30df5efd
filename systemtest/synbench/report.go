package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// report is all that was measured.
type report struct {
	Keys     int       `json:"keys"`
	Deltas   int       `json:"deltas"`
	Counted  string    `json:"bytes_counted_by"`
	Snapshot ratio     `json:"snapshot"`
	InPlace  []inPlace `json:"snapshots_in_place"`
	Backlog  struct {
		ratio
		Messages int       `json:"messages"`
		During   latencies `json:"decisions"`
	} `json:"backlog"`
	Single        []ratio   `json:"single_changes"`
	SingleDuring  latencies `json:"single_changes_decisions"`
	Idle          latencies `json:"idle_decisions"`
	AloneBytes    float64   `json:"bytes_per_change_alone"`
	SnapshotBytes float64   `json:"bytes_per_key_in_snapshot"`
	Memory        []memory  `json:"memory"` // after the snapshots, and then after each run of changes

	plainSnapshot time.Duration
}

// ratio is how long something took beside bbolt alone.
type ratio struct {
	Seconds float64 `json:"seconds"`
	Plain   float64 `json:"plain_seconds"`
	Ratio   float64 `json:"ratio"`
}

// inPlace is a snapshot that a working panel took.
type inPlace struct {
	ratio
	During latencies `json:"decisions"`
}

// memory is the anonymous memory of a panel with so many keys.
type memory struct {
	Keys  int   `json:"keys"`
	Bytes int64 `json:"anonymous_bytes"`
}

func newRatio(took, plain time.Duration) ratio {
	return ratio{took.Seconds(), plain.Seconds(), took.Seconds() / plain.Seconds()}
}

// The goals.
const (
	goalRatio         = 3
	goalAloneBytes    = 32 << 10
	goalSnapshotBytes = 1 << 10
	goalAnonymous     = 40 << 20
)

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}

// print writes the table.
func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nwhat\tmeasured\tbbolt alone\tratio\tgoal\t\n")
	speed := func(what string, v ratio) {
		fmt.Fprintf(t, "%s\t%.2f s\t%.2f s\t%.2f\t%d\t%s\n", what, v.Seconds, v.Plain, v.Ratio, goalRatio, verdict(v.Ratio <= goalRatio))
	}
	speed(fmt.Sprintf("snapshot of %d keys onto an empty panel", r.Keys), r.Snapshot)
	for _, s := range r.InPlace {
		speed("snapshot in place of all keys, doors in use", s.ratio)
	}
	for i, s := range r.Single {
		speed(fmt.Sprintf("%d single changes%s", r.Deltas, []string{"", ", doors in use"}[i]), s)
	}
	speed(fmt.Sprintf("%d changes from central in %d messages, doors in use", r.Deltas, r.Backlog.Messages), r.Backlog.ratio)
	fmt.Fprintf(t, "bytes for a change alone\t%.0f\t\t\t%d\t%s\n", r.AloneBytes, goalAloneBytes, verdict(r.AloneBytes < goalAloneBytes))
	fmt.Fprintf(t, "bytes for a key in a snapshot\t%.0f\t\t\t%d\t%s\n", r.SnapshotBytes, goalSnapshotBytes, verdict(r.SnapshotBytes < goalSnapshotBytes))
	for _, m := range r.Memory {
		fmt.Fprintf(t, "anonymous memory with %d keys\t%.1f MB\t\t\t%d MB\t%s\n", m.Keys, float64(m.Bytes)/(1<<20), goalAnonymous>>20,
			verdict(m.Bytes < goalAnonymous))
	}
	fmt.Fprintf(t, "\na door's decision\tframe to strike p50\tp99\tcard to strike p50\tp99\tcards (missed)\n")
	door := func(what string, l latencies) {
		fmt.Fprintf(t, "%s\t%.2f ms\t%.2f ms\t%.1f ms\t%.1f ms\t%d (%d)\n", what, l.DecisionP50, l.DecisionP99, l.CardP50, l.CardP99, l.Samples, l.Missed)
	}
	door("idle", r.Idle)
	for _, s := range r.InPlace {
		door("during a snapshot", s.During)
	}
	door("during single changes", r.SingleDuring)
	door("during changes from central", r.Backlog.During)
	_ = t.Flush() // to a terminal
	fmt.Fprintf(w, "bytes counted by: %s\n", r.Counted)
}
