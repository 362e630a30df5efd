package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// printable keeps what a name or a card brought along from steering the
// terminal.
type printable struct{ w io.Writer }

// Write writes with control characters replaced.
func (p printable) Write(b []byte) (int, error) {
	s := strings.Map(func(c rune) rune {
		if c != '\n' && unicode.IsControl(c) {
			return '?'
		}
		return c
	}, string(b))
	if _, err := io.WriteString(p.w, s); err != nil {
		return 0, err
	}
	return len(b), nil
}

// printJSON writes v as one line.
func (o *options) printJSON(v any) error { return json.NewEncoder(o.out).Encode(v) }

// printf writes for people.
func (o *options) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(printable{o.out}, format, args...)
	return err
}

// table aligns what f writes, columns with tabs between.
func (o *options) table(f func(io.Writer)) error {
	t := tabwriter.NewWriter(printable{o.out}, 0, 8, 2, ' ', 0)
	f(t)
	return t.Flush()
}

// report says that something was done: as text, or v as JSON.
func (o *options) report(v any, format string, args ...any) error {
	if o.json {
		return o.printJSON(v)
	}
	return o.printf(format+"\n", args...)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count is a number with its noun.
func count[T int | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if before, ok := strings.CutSuffix(noun, "y"); ok && !strings.HasSuffix(before, "e") {
		return fmt.Sprintf("%d %sies", n, before)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ago is a length of time in its largest units.
func ago(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}
