package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what came out of all rounds.
type report struct {
	Short       bool     `json:"short"`
	Seed        uint64   `json:"seed"`
	Plan        plan     `json:"plan"`
	LoadSeconds float64  `json:"load_seconds"`
	Rounds      []result `json:"rounds"`
}

// print writes the table.
func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name string, cell func(result) string) {
		cells := []string{name}
		for _, v := range r.Rounds {
			cells = append(cells, cell(v))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row("\nbroker's store", func(v result) string { return v.Round })
	row("changes over HTTP", func(v result) string { return fmt.Sprint(v.Changes) })
	row("keys at the end", func(v result) string { return fmt.Sprint(v.Keys) })
	row("events committed", func(v result) string { return fmt.Sprintf("%d (%d about cards)", v.Events, v.Decided) })
	row("starts of the panel", func(v result) string { return fmt.Sprint(v.Boots) })
	row("kills", func(v result) string { return counts(v.Kills) })
	row("faults of the links", func(v result) string { return counts(v.Links) })
	row("connections of the panel", func(v result) string { return fmt.Sprint(v.Traffic.Connections) })
	row("revisions sent, again", func(v result) string { return fmt.Sprintf("%d, %d", v.Traffic.Changes, v.Traffic.ChangesAgain) })
	row("results sent, again", func(v result) string { return fmt.Sprintf("%d, %d", v.Traffic.StatusRows, v.Traffic.StatusesAgain) })
	row("events sent, again", func(v result) string { return fmt.Sprintf("%d, %d", v.Traffic.Events, v.Traffic.EventsAgain) })
	row("asked for changes", func(v result) string { return fmt.Sprint(v.Traffic.Needs) })
	row("seconds to converge", func(v result) string { return fmt.Sprint(v.Converge) })
	row("seconds in all", func(v result) string { return fmt.Sprint(v.Seconds) })
	if len(r.Rounds) > 0 {
		for i, f := range r.Rounds[0].Findings {
			row(f.Check, func(v result) string { return fmt.Sprintf("%d of %d", v.Findings[i].Wrong, v.Findings[i].Checked) })
		}
	}
	_ = t.Flush() // to a terminal
	for _, v := range r.Rounds {
		for _, f := range v.Findings {
			for _, e := range f.Examples {
				fmt.Fprintf(w, "round %q, %s: %s\n", v.Round, f.Check, e)
			}
		}
	}
	fmt.Fprintf(w, "seed %d\n", r.Seed)
}

func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// verdict is an error when anything was wrong.
func (r *report) verdict() error {
	var errs []error
	for _, v := range r.Rounds {
		for _, f := range v.Faults {
			errs = append(errs, fmt.Errorf("round %q: %s", v.Round, f))
		}
	}
	return errors.Join(errs...)
}
