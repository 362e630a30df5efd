package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Pattern is what a reader's lamp and beeper do for an indication. In the file it
// is a line of steps, one after the other:
//
//	granted = "led+beep:100ms led:2s"      lamp and beeper, then the lamp alone
//	denied  = "3x led+beep:100ms off:100ms" three times
//	pin_wanted = "repeat led:250ms off:250ms" until there is something else
//	idle    = "led"                        on until there is something else
//
// A step is off, led, beep or led+beep, and a time of 10ms to 10s. The last one
// may go without its time, and holds then until there is something else; with the
// beeper on it may not. In front may stand how often the line is gone through, 2x
// to 20x, or repeat. The zero Pattern is the indication's default.
type Pattern struct {
	Steps []PatternStep // at most 16
	// Times is how often the steps are gone through; 0 is until there is something
	// else.
	Times int
}

// PatternStep is one step.
type PatternStep struct {
	LED, Buzzer bool
	Length      time.Duration // 0 is until there is something else
}

// The bounds of a pattern.
const (
	maxSteps = 16
	maxTimes = 20
	minStep  = 10 * time.Millisecond
	maxStep  = 10 * time.Second
	// maxShow bounds an indication that ends, since it hides the next one's idle.
	maxShow = 30 * time.Second
)

func (p Pattern) isZero() bool { return len(p.Steps) == 0 }

// ends reports whether the pattern is over by itself.
func (p Pattern) ends() bool { return p.Times > 0 && p.Steps[len(p.Steps)-1].Length > 0 }

func (p Pattern) beeps() bool {
	for _, s := range p.Steps {
		if s.Buzzer {
			return true
		}
	}
	return false
}

// takes is how long a pattern that ends does.
func (p Pattern) takes() time.Duration {
	var once time.Duration
	for _, s := range p.Steps {
		once += s.Length
	}
	return once * time.Duration(p.Times)
}

// String gives the pattern as the file has it.
func (p Pattern) String() string {
	var words []string
	switch {
	case p.isZero():
		return ""
	case p.Times == 0:
		words = append(words, "repeat")
	case p.Times > 1:
		words = append(words, fmt.Sprintf("%dx", p.Times))
	}
	for _, s := range p.Steps {
		word := stepNames[s.LED][s.Buzzer]
		if s.Length > 0 {
			word += ":" + s.Length.String()
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// stepNames are the names of steps by lamp and beeper.
var stepNames = map[bool]map[bool]string{
	false: {false: "off", true: "beep"},
	true:  {false: "led", true: "led+beep"},
}

var errNoSteps = errors.New(`has no steps (want some such as "led+beep:100ms led:2s")`)

// parsePattern reads a pattern; "" is the zero one.
func parsePattern(s string) (Pattern, error) {
	p := Pattern{Times: 1}
	if s == "" {
		return Pattern{}, nil
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		return Pattern{}, errNoSteps
	}
	if times, ok := strings.CutSuffix(words[0], "x"); ok || words[0] == "repeat" {
		p.Times = 0
		if ok {
			n, err := strconv.Atoi(times)
			if err != nil || n < 2 || n > maxTimes || strconv.Itoa(n) != times {
				return Pattern{}, fmt.Errorf("%.20q is not 2x to %dx", words[0], maxTimes)
			}
			p.Times = n
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return Pattern{}, errNoSteps
	}
	if len(words) > maxSteps {
		return Pattern{}, fmt.Errorf("has %d steps, more than %d", len(words), maxSteps)
	}
	for i, word := range words {
		step, err := parseStep(word)
		if err != nil {
			return Pattern{}, err
		}
		if step.Length == 0 && (i < len(words)-1 || p.Times != 1) {
			return Pattern{}, fmt.Errorf("%q has no time, and more comes after it (want one such as %q)", word, word+":100ms")
		}
		if step.Length == 0 && step.Buzzer {
			return Pattern{}, fmt.Errorf("%q has no time: it would beep for ever (want one such as %q)", word, word+":100ms")
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}

func parseStep(word string) (PatternStep, error) {
	name, length, timed := strings.Cut(word, ":")
	var s PatternStep
	switch name {
	case "off":
	case "led":
		s.LED = true
	case "beep":
		s.Buzzer = true
	case "led+beep":
		s.LED, s.Buzzer = true, true
	default:
		return s, fmt.Errorf("%.20q is no step (want off, led, beep or led+beep, and a time such as led:2s)", word)
	}
	if !timed {
		return s, nil
	}
	d, err := time.ParseDuration(length)
	if err != nil {
		return s, fmt.Errorf("%.20q has no time after the ':' (want one such as %q)", word, name+":100ms")
	}
	if d < minStep || d > maxStep {
		return s, fmt.Errorf("%.20q: %v is outside %v to %v", word, d, minStep, maxStep)
	}
	s.Length = d
	return s, nil
}

// Indication is what readers show, see Pattern; a member that is left out is the
// default. Granted, Denied and Identify have to end, within 30s; the others have
// to go on.
type Indication struct {
	// Idle is for a reader that waits; default dark. It may not beep.
	Idle Pattern `toml:"idle"`
	// Granted is for a door that opens; default "led+beep:100ms led:2s".
	Granted Pattern `toml:"granted"`
	// Denied is for one that stays shut, whatever the reason; default
	// "3x led+beep:100ms off:100ms".
	Denied Pattern `toml:"denied"`
	// PINWanted asks for the PIN; default "repeat led:250ms off:250ms".
	PINWanted Pattern `toml:"pin_wanted"`
	// LockedDown is for a door in lockdown, in place of Idle; default
	// "repeat led:100ms off:1.9s".
	LockedDown Pattern `toml:"locked_down"`
	// Identify tells an installer which reader this is; default
	// "10x led+beep:100ms off:400ms".
	Identify Pattern `toml:"identify"`
}

// members gives the patterns by their names in the file.
func (i *Indication) members() []indicated {
	return []indicated{
		{"idle", &i.Idle, false},
		{"granted", &i.Granted, true},
		{"denied", &i.Denied, true},
		{"pin_wanted", &i.PINWanted, false},
		{"locked_down", &i.LockedDown, false},
		{"identify", &i.Identify, true},
	}
}

type indicated struct {
	name    string
	pattern *Pattern
	ends    bool
}

// Patterns gives the patterns that are set, by the names idle, granted, denied,
// pin_wanted, locked_down and identify.
func (i Indication) Patterns() map[string]Pattern {
	out := map[string]Pattern{}
	for _, m := range i.members() {
		if !m.pattern.isZero() {
			out[m.name] = *m.pattern
		}
	}
	return out
}

// inherit takes what is not set from another.
func (i *Indication) inherit(from *Indication) {
	for n, m := range from.members() {
		if into := i.members()[n].pattern; into.isZero() {
			*into = *m.pattern
		}
	}
}

// indication checks what one indication's pattern has to be.
func (v *checker) indication(path string, i *Indication) {
	for _, m := range i.members() {
		path, p := path+"."+m.name, *m.pattern
		switch {
		case p.isZero():
		case m.ends && !p.ends():
			v.fault(path, `never ends, and this one has to (give every step a time, without repeat, such as "led+beep:100ms led:2s")`)
		case m.ends && p.takes() > maxShow:
			v.fault(path, "takes %v, more than %v", p.takes(), maxShow)
		case !m.ends && p.ends():
			v.fault(path, `ends, and this one has to go on (begin with repeat, or leave out the last step's time)`)
		case m.name == "idle" && p.beeps():
			v.fault(path, "beeps, and a reader is idle for most of the day")
		}
	}
}
