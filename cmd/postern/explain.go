package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/api"
)

func newExplain(o *options) *cobra.Command {
	var q api.Question
	var code bool
	var pin, at string
	cmd := &cobra.Command{
		Use: "explain --reader R (--identification ID | --code)", Short: "What would come of a card or a code at a reader, and why",
		Long: "explain walks through the rules in their order and says which of them is the answer, as the doors stand now\n" +
			"or, by schedule and validity, at another time. Nothing comes of it, and no wrong PIN is counted. A code, and a\n" +
			"PIN with --pin alone, is asked for or read from what is piped in; --pin=1234 ends up in a shell's history.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // it may be a secret that slipped
				return usagef("explain takes flags alone; a PIN is given as --pin=DIGITS, or asked for with --pin (see postern explain --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case q.Reader == "":
				return usagef("--reader is missing; postern status lists the readers")
			case (q.Identification == "") == !code:
				return usagef("give --identification or --code, one of the two")
			case code && pin != "":
				return usagef("a PIN goes with a card, not with a code")
			}
			var err error
			if at != "" {
				if q.At, err = parseTime("--at", at, time.Now()); err != nil {
					return err
				}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if code {
				q.Code, err = o.askFor("code")
			} else {
				q.PIN, err = o.secretFlag("PIN", pin)
			}
			if err != nil {
				return err
			}
			e, err := c.Explain(cmd.Context(), q)
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(e)
			}
			return o.printExplanation(q, e)
		},
	}
	cmd.Flags().StringVar(&q.Reader, "reader", "", "the reader's id")
	cmd.Flags().StringVar(&q.Identification, "identification", "", "the card's, in any form (0001234567890, EM:1234567890, H10301:14-40091)")
	cmd.Flags().BoolVar(&code, "code", false, "a code, which is asked for")
	cmd.Flags().StringVar(&pin, "pin", "", "with a PIN, which is asked for unless it follows after =")
	cmd.Flags().Lookup("pin").NoOptDefVal = asked
	cmd.Flags().StringVar(&at, "at", "", "at this time (17:00, 2026-03-02 17:00, or with a zone 2026-03-02T17:00:00Z); without it now")
	return cmd
}

func (o *options) printExplanation(q api.Question, e api.Explanation) error {
	if err := o.printSteps(e.Steps); err != nil {
		return err
	}
	what := q.Identification
	if q.Code != "" {
		what = "a code"
	}
	text := e.Text
	if e.Reason != "" {
		text += ", " + e.Reason
	}
	if e.Type != 0 {
		text += fmt.Sprintf(" (%d)", e.Type)
	}
	return o.printf("\n%s at reader %s, %s: %s\n", what, q.Reader, stamp(e.At), text)
}

func (o *options) printSteps(steps []api.Step) error {
	return o.table(func(w io.Writer) {
		for _, s := range steps {
			mark := ""
			switch s.Outcome {
			case string(access.OutcomeAnswer):
				mark = "ANSWER"
			case string(access.OutcomeNoted):
				mark = "noted"
			}
			fmt.Fprintf(w, "%2d\t%s\t%s\t%s\n", s.Number, s.Rule, mark, s.Text)
		}
	})
}

// explainEntry prints a journal entry with how it came about.
func (o *options) explainEntry(cmd *cobra.Command, c *api.Client, seq uint64) error {
	t, err := c.Trace(cmd.Context(), seq)
	if err != nil {
		return err
	}
	if o.json {
		return o.printJSON(t)
	}
	events, err := c.Events(cmd.Context(), seq+1, 1)
	if err != nil {
		return err
	}
	if _, err := o.printEvents(events, 0); err != nil {
		return err
	}
	if t.Why != "" {
		return o.printf("\n%s\n", t.Why)
	}
	if err := o.printf("\n"); err != nil {
		return err
	}
	return o.printSteps(t.Steps)
}
