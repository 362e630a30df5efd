package wiegand

import (
	"fmt"
	"strings"
)

// Explanation is what one format makes of a frame, for people who look for a
// fault.
type Explanation struct {
	// Format is the format's name.
	Format string
	// Passes is set when the frame is right in this format; Candidate is its
	// reading then, and zero otherwise.
	Passes    bool
	Candidate Candidate
	// Wrong are the parities that don't hold, in words.
	Wrong []string
	// Swapped is set when the frame doesn't pass and its complement does, in a
	// format where both together can't be: the sign of D0 and D1 swapped, or of
	// damage that looks like it.
	Swapped bool
}

// Explain tries a frame in every format of its length, in their order, and says
// of each what it makes of it. No explanation at all means that no format has
// this length. Readings are credentials: they are for the installer's screen,
// not for a log.
func Explain(b Bits, formats []Format) []Explanation {
	var out []Explanation
	for _, f := range formats {
		if f.Len != b.Len() {
			continue
		}
		e := Explanation{Format: f.Name}
		for _, p := range f.Parity {
			if !p.holds(b) {
				e.Wrong = append(e.Wrong, p.String())
			}
		}
		if c, err := f.Decode(b); err == nil {
			e.Passes, e.Candidate = true, c
		} else {
			e.Swapped = f.tellsSwap() && f.passes(b.Complement())
		}
		out = append(out, e)
	}
	return out
}

// String says it in one line.
func (e Explanation) String() string {
	switch {
	case e.Passes && e.Candidate.HasFacility:
		return fmt.Sprintf("%s: facility %d, number %d", e.Format, e.Candidate.Facility, e.Candidate.Number)
	case e.Passes:
		return fmt.Sprintf("%s: number %d", e.Format, e.Candidate.Number)
	case e.Swapped:
		return fmt.Sprintf("%s: %s wrong, but the inverted frame passes: D0 and D1 may be swapped", e.Format, strings.Join(e.Wrong, ", "))
	}
	return fmt.Sprintf("%s: %s wrong", e.Format, strings.Join(e.Wrong, ", "))
}
