package access

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxWhy bounds a packed trace, in bytes; most have less than half of it.
const MaxWhy = 250

// Bounds of what a packed trace may become.
const (
	maxTraceText = 4 << 10
	maxSteps     = 32
)

// traceForm is the form of a packed trace, its first byte.
const traceForm = 1

// traceWords are what traces are made of. Packed traces are told in its terms, so
// that it can't be changed: another one is another form.
const traceWords = `1	door	a	the access point is blocked
1	door	a	the door is blocked
1	door	a	the door is locked down
2	keypad lockout	a	the keypad is locked out
3	mode	n	the mode is one of [card card_or_code code card_and_pin]: the clock can't say which
3	mode	a	the mode is blocked, and this is a code
3	mode	a	the mode is code, and this is a card
4	key	a	no key has this code
4	key	a	2 keys have this card
4	key	a	no key has this card
5	state	a	the key is blacklisted
5	state	a	the key is disabled
6	validity	n	the clock can't say whether it is within
6	validity	a	2026-01-01T00:00:00Z is outside 2026-01-01T00:00:00Z to ever
7	level	n	the clock can't say whether schedule "" of level "" is open
7	level	a	none of its 1 levels gives this access point
7	level	a	its levels give this access point, and none of their schedules is open
8	clock	a	the clock is untrusted, and this depends on the time
8	clock	p	the clock is holdover
8	central	a	central has been away for more than 24h0m0s, and the key needs it
9	anti-passback	p	the key is exempt
9	anti-passback	a	last seen going outside, and the clock can't say how long ago
9	anti-passback	n	last seen going into area : let pass, and told
9	second person	a	two persons are wanted, and the key names nobody
9	second person	a	another person is wanted
9	second person	a	an escort is wanted
9	interlock	a	door "" is open or released
10	PIN	a	a PIN is asked for, and the key has none
10	PIN	a	the key's PIN is locked out
10	PIN	a	the keypad is locked out
10	PIN	a	the PIN is wrong
10	PIN	p	the PIN is right
11	grant	a	access granted by a common code
11	grant	a	access granted by code
11	grant	a	access granted by card and PIN
1	door	p	the door is Unlocked
1	door	p	the door is Locked
2	keypad lockout	p	no code is refused for wrong ones before it
3	mode	p	the mode is card_and_pin
3	mode	p	the mode is card
4	key	p	key
5	state	p	the key is enabled
6	validity	p	2026-11-22T12:00:00Z is within always to ever
7	level	p	level "" gives it by schedule "always"
8	clock	p	the clock is trusted
8	central	p	nothing here needs central
9	anti-passback	p	nothing against it
9	second person	p	nobody else is wanted
9	interlock	p	no other door of its group is open or released
10	PIN	p	no PIN is asked for
11	grant	a	access granted by card
`

// TracePacker packs traces, for one goroutine. The zero value is ready to use; it
// takes about a megabyte from the first use on.
type TracePacker struct {
	w    *flate.Writer
	out  bytes.Buffer
	text strings.Builder
}

// Pack is the trace in few bytes, at most MaxWhy; "" where there is nothing to keep.
// The texts of rules that only say that they passed are left out where it would not
// fit otherwise, and the whole trace where that doesn't do.
func (p *TracePacker) Pack(t Trace) string {
	if len(t.Steps) == 0 || len(t.Steps) > maxSteps {
		return ""
	}
	for _, brief := range []bool{false, true} {
		p.write(t, brief)
		if p.text.Len() <= maxTraceText && p.out.Len() <= MaxWhy {
			return p.out.String()
		}
	}
	return ""
}

func (p *TracePacker) write(t Trace, brief bool) {
	p.text.Reset()
	for _, s := range t.Steps {
		said := s.Text
		if brief && s.Outcome == OutcomePassed {
			said = ""
		}
		fmt.Fprintf(&p.text, "%d\t%s\t%c\t%s\n", s.Number, clean(s.Rule), s.Outcome[0], clean(said))
	}
	p.out.Reset()
	p.out.WriteByte(traceForm)
	if p.w == nil {
		// The error is of a level that is none.
		p.w, _ = flate.NewWriterDict(&p.out, flate.BestCompression, []byte(traceWords))
	} else {
		p.w.Reset(&p.out)
	}
	_, _ = io.WriteString(p.w, p.text.String()) // a Buffer takes all
	_ = p.w.Close()
}

// clean keeps a text on its line and within its field.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, s)
}

// UnpackTrace reads what Pack gave; false for anything else.
func UnpackTrace(why string) (t Trace, ok bool) {
	if why == "" || len(why) > MaxWhy || why[0] != traceForm {
		return t, false
	}
	r := flate.NewReaderDict(strings.NewReader(why[1:]), []byte(traceWords))
	text, err := io.ReadAll(io.LimitReader(r, maxTraceText+1))
	if err != nil || len(text) > maxTraceText {
		return t, false
	}
	outcomes := map[string]Outcome{"p": OutcomePassed, "n": OutcomeNoted, "a": OutcomeAnswer}
	for line := range strings.Lines(string(text)) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 4 || outcomes[field[2]] == "" || len(t.Steps) == maxSteps {
			return Trace{}, false
		}
		n, err := strconv.Atoi(field[0])
		if err != nil {
			return Trace{}, false
		}
		t.Steps = append(t.Steps, Step{n, field[1], outcomes[field[2]], field[3]})
	}
	return t, len(t.Steps) > 0
}
