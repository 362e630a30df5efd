package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"postern/systemtest/machine"
)

// report is what came out of all parts.
type report struct {
	Full  bool          `json:"full"`
	Parts []partReport  `json:"parts"`
	Rows  []machine.Row `json:"rows"`
}

// partReport is how a part went as a whole.
type partReport struct {
	Part    string  `json:"part"`
	Seconds float64 `json:"seconds"`
	Skipped string  `json:"skipped,omitempty"` // why
	Error   string  `json:"error,omitempty"`   // why it did not come to its end
}

// add takes what a part gave.
func (r *report) add(name string, rows []machine.Row, err error, took time.Duration) {
	p := partReport{Part: name, Seconds: took.Round(100 * time.Millisecond).Seconds()}
	var missing *machine.MissingError
	switch {
	case errors.As(err, &missing):
		p.Skipped = missing.Error()
	case err != nil:
		p.Error = err.Error()
	case len(rows) == 0:
		p.Error = "it checked nothing"
	}
	r.Parts = append(r.Parts, p)
	r.Rows = append(r.Rows, rows...)
}

// print writes the table.
func (r *report) print(w io.Writer) error {
	part, check, result := len("part"), len("check"), len("result")
	for _, row := range r.Rows {
		part, check, result = max(part, runes(row.Part)), max(check, runes(row.Check)), max(result, runes(row.Result))
	}
	check, result = min(check, maxCheck), min(result, maxResult)
	var b strings.Builder
	line := func(state, a, c, d string) {
		fmt.Fprintf(&b, "%-6s  %s  %s  %s\n", state, pad(a, part), pad(c, check), strings.TrimRight(pad(d, result), " "))
	}
	line("", "part", "check", "result")
	for _, row := range r.Rows {
		line(state(row.OK), row.Part, row.Check, row.Result)
		if !row.OK && row.Detail != "" {
			fmt.Fprintf(&b, "%s    %s\n", pad("", len("FAILED  ")+part), row.Detail)
		}
	}
	b.WriteByte('\n')
	for _, p := range r.Parts {
		switch {
		case p.Skipped != "":
			fmt.Fprintf(&b, "%-8s skipped: %s\n", p.Part, p.Skipped)
		case p.Error != "":
			fmt.Fprintf(&b, "%-8s %6.1f s, did not come to its end: %s\n", p.Part, p.Seconds, p.Error)
		default:
			fmt.Fprintf(&b, "%-8s %6.1f s\n", p.Part, p.Seconds)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The widest that columns are filled to; what is longer stands out.
const maxCheck, maxResult = 90, 60

func state(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}

func runes(s string) int { return len([]rune(s)) }

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-runes(s))) }

// verdict is an error when a check failed or a part did not come to its end, and
// when one was skipped where none may be.
func (r *report) verdict(strict bool) error {
	failed := 0
	for _, row := range r.Rows {
		if !row.OK {
			failed++
		}
	}
	var errs []error
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d checks failed", failed, len(r.Rows)))
	}
	for _, p := range r.Parts {
		if p.Error != "" {
			errs = append(errs, fmt.Errorf("%s did not come to its end", p.Part))
		}
		if p.Skipped != "" && strict {
			errs = append(errs, fmt.Errorf("%s was skipped: %s", p.Part, p.Skipped))
		}
	}
	return errors.Join(errs...)
}
