package main

import (
	"fmt"
	"io"
)

// The ends of a fault.
const (
	caught   = "caught"
	survived = "survived"
	noPatch  = "does not apply"
	noBuild  = "does not build"
)

// result is what became of one fault.
type result struct {
	Fault   string  `json:"fault"`
	End     string  `json:"end"`
	By      string  `json:"by,omitempty"` // the test that failed first
	Seconds float64 `json:"seconds"`
}

// table tells what became of each fault, and reports whether all were caught.
func table(w io.Writer, results []result) bool {
	count := map[string]int{}
	for _, r := range results {
		count[r.End]++
		fmt.Fprintf(w, "%-45s %-15s %6.1f s  %s\n", r.Fault, r.End, r.Seconds, r.By)
	}
	fmt.Fprintf(w, "%d faults: %d caught, %d survived, %d do not apply, %d do not build\n",
		len(results), count[caught], count[survived], count[noPatch], count[noBuild])
	return count[caught] == len(results)
}
