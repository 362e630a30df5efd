package access

import (
	"fmt"
	"strings"
)

// Outcome is how one rule of a decision ended.
type Outcome string

// The outcomes.
const (
	OutcomePassed Outcome = "passed" // nothing against it
	OutcomeNoted  Outcome = "noted"  // it goes on, and something is to be told or remembered
	OutcomeAnswer Outcome = "answer" // this rule is the answer
)

// Step is one rule of a decision, with what it found, in words and without
// secrets.
type Step struct {
	Number  int    // place in the order of decision, 1 to 11; rules may share one
	Rule    string // the rule in words, such as "anti-passback"
	Outcome Outcome
	Text    string
}

// Trace is how a decision came about: its rules up to the one that answered, in
// their order. It holds neither PINs nor codes, and not whether a PIN was typed
// under duress.
type Trace struct {
	Steps []Step
}

// String gives one line for each step.
func (t Trace) String() string {
	var b strings.Builder
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "%2d %-15s %-7s %s\n", s.Number, s.Rule, s.Outcome, s.Text)
	}
	return b.String()
}

// Answer is the step that answered.
func (t Trace) Answer() Step {
	if len(t.Steps) == 0 {
		return Step{}
	}
	return t.Steps[len(t.Steps)-1]
}
