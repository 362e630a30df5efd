package hal

import (
	"errors"
	"fmt"
	"time"
)

// Indication is what a reader shows the person in front of it.
type Indication string

// The indications. Granted, Denied and Identify end by themselves, and leave
// what stood before them, Idle or LockedDown; the others go on until another is
// set.
const (
	Idle       Indication = "idle"
	Granted    Indication = "granted"
	Denied     Indication = "denied"
	PINWanted  Indication = "pin_wanted"
	LockedDown Indication = "locked_down"
	Identify   Indication = "identify" // which of the readers this one is
)

// ends reports whether the indication is over by itself.
func (i Indication) ends() bool { return i == Granted || i == Denied || i == Identify }

// stands reports whether another that ends leaves this one.
func (i Indication) stands() bool { return i == Idle || i == LockedDown }

// Pattern is what an indication looks like.
type Pattern struct {
	Steps []Step
	// Times is how often the steps are gone through; 0 is until another
	// indication is set.
	Times int
}

// Step is a part of a pattern.
type Step struct {
	LED, Buzzer bool
	// Length is at least 10 ms, or 0 for until another indication is set.
	Length time.Duration
}

// The bounds of a pattern.
const (
	maxSteps      = 16
	maxTimes      = 20
	minStepLength = 10 * time.Millisecond
	maxStepLength = 10 * time.Second
)

// check reports what is wrong with a pattern for an indication. What could not
// be left again, or would keep a goroutine busy, is.
func (p Pattern) check(i Indication) error {
	if n := len(p.Steps); n == 0 || n > maxSteps {
		return fmt.Errorf("%d steps: want 1 to %d", n, maxSteps)
	}
	if p.Times < 0 || p.Times > maxTimes {
		return fmt.Errorf("%d times: want 0 to %d", p.Times, maxTimes)
	}
	holds := false
	for n, s := range p.Steps {
		switch {
		case s.Length == 0 && n < len(p.Steps)-1:
			return fmt.Errorf("step %d has no length, and another follows", n+1)
		case s.Length == 0 && s.Buzzer:
			return fmt.Errorf("step %d has no length, and the buzzer on", n+1)
		case s.Length == 0:
			holds = true
		case s.Length < minStepLength || s.Length > maxStepLength:
			return fmt.Errorf("step %d takes %v: want %v to %v", n+1, s.Length, minStepLength, maxStepLength)
		}
	}
	switch goesOn := holds || p.Times == 0; {
	case i.ends() && goesOn:
		return errors.New("it never ends, and this indication has to")
	case !i.ends() && !goesOn:
		return errors.New("it ends, and this indication has to go on")
	}
	return nil
}

// DefaultPattern gives what an indication looks like where a wiring does not
// say; an unknown one is dark.
func DefaultPattern(i Indication) Pattern {
	const short, long = 100 * time.Millisecond, time.Second
	beep := Step{LED: true, Buzzer: true, Length: short}
	switch i {
	case Granted:
		return Pattern{Times: 1, Steps: []Step{beep, {LED: true, Length: 2 * long}}}
	case Denied:
		return Pattern{Times: 3, Steps: []Step{beep, {Length: short}}}
	case PINWanted:
		return Pattern{Steps: []Step{{LED: true, Length: long / 4}, {Length: long / 4}}}
	case LockedDown:
		return Pattern{Steps: []Step{{LED: true, Length: short}, {Length: 2*long - short}}}
	case Identify:
		return Pattern{Times: 10, Steps: []Step{beep, {Length: long/2 - short}}}
	}
	return Pattern{Times: 1, Steps: []Step{{}}}
}
