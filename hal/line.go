package hal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// chip, line and lineSet are what this package needs of a GPIO chip. They have
// the shape, and the traps, of periph's types, so that the simulated chip can
// stand in for the kernel's.
type chip interface {
	// Label is the driver's name for the chip, alike on all panels of a model.
	Label() string
	// LineNames are the kernel's names by line number, "" where there is none.
	LineNames() []string
	// Line returns a line that is not taken yet, by its number.
	Line(number int) line
	// Holder names the program that holds a line, "" when that is not known.
	Holder(number int) string
	// LineSet takes several lines as inputs with one queue of events.
	LineSet(spec lineSetSpec) (lineSet, error)
}

type line interface {
	// In lets the line go and biases it.
	In(pull gpio.Pull, edge gpio.Edge) error
	// Out drives the line. The first time, or after In, it is low first.
	Out(level gpio.Level) error
	Close()
}

// lineSetSpec has the lines by name, since periph takes nothing else.
type lineSetSpec struct {
	lines []string
	edge  gpio.Edge
	pull  gpio.Pull
	// spare lines come after lines in the set and have no events.
	spare []string
}

type lineSet interface {
	// WaitForEdge returns the number of the line on its chip. A timeout of 0 is
	// for ever, a negative one returns at once.
	WaitForEdge(timeout time.Duration) (int, gpio.Edge, error)
	// Halt ends a wait that is going on, and none that begins later.
	Halt() error
	// Read returns the levels, the first line in bit 0.
	Read(mask gpio.GPIOValue) (gpio.GPIOValue, error)
	Close() error
}

// place is where a line was found.
type place struct {
	chip   chip
	number int
	// asked is the name by which it was asked for.
	asked string
}

// lines finds lines and remembers which are taken: periph would hand the same
// one out twice without a word.
type lines struct {
	chips []chip
	taken map[place]string
}

func newLines(chips []chip) *lines {
	return &lines{chips: chips, taken: map[place]string{}}
}

// take finds a line for a purpose, such as `lock of door "front"`.
func (l *lines) take(purpose, asked string) (place, error) {
	p, err := l.find(asked)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", purpose, err)
	}
	key := place{chip: p.chip, number: p.number}
	if other, ok := l.taken[key]; ok {
		return place{}, fmt.Errorf("%s: line %s is the %s already: give each its own line", purpose, asked, other)
	}
	l.taken[key] = purpose
	return p, nil
}

func (l *lines) find(asked string) (place, error) {
	if len(l.chips) == 0 {
		return place{}, fmt.Errorf("line %s: there is no GPIO chip", asked)
	}
	var found []place
	for _, c := range l.chips {
		for number, name := range c.LineNames() {
			if name == asked && name != "" {
				found = append(found, place{chip: c, number: number, asked: asked})
			}
		}
	}
	if len(found) == 0 {
		return l.findNumber(asked)
	}
	if len(found) > 1 {
		var choices []string
		for _, p := range found {
			choices = append(choices, fmt.Sprintf("%s:%d", p.chip.Label(), p.number))
		}
		return place{}, fmt.Errorf("line %s is there more than once: say which, %s", asked, strings.Join(choices, " or "))
	}
	return found[0], nil
}

// findNumber finds "label:number".
func (l *lines) findNumber(asked string) (place, error) {
	label, digits, numbered := cutLast(asked, ":")
	number, err := strconv.Atoi(digits)
	if !numbered || err != nil {
		return place{}, fmt.Errorf("there is no line %s: there are %s", asked, l.list())
	}
	var labels []string
	var found []chip
	for _, c := range l.chips {
		labels = append(labels, c.Label())
		if c.Label() == label {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 0:
		return place{}, fmt.Errorf("line %s: there is no chip %s: there are %s", asked, label, strings.Join(labels, ", "))
	case len(found) > 1:
		return place{}, fmt.Errorf("line %s: there are %d chips %s: use a line's name", asked, len(found), label)
	}
	if count := len(found[0].LineNames()); number < 0 || number >= count {
		return place{}, fmt.Errorf("line %s: the chip has lines 0 to %d", asked, count-1)
	}
	return place{chip: found[0], number: number, asked: asked}, nil
}

// maxListed bounds how many names of a chip an error lists.
const maxListed = 80

// list tells which lines there are.
func (l *lines) list() string {
	var all []string
	for _, c := range l.chips {
		var names []string
		for _, name := range c.LineNames() {
			if name != "" {
				names = append(names, name)
			}
		}
		text := strings.Join(names[:min(len(names), maxListed)], " ")
		if more := len(names) - maxListed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		if text == "" {
			text = "no line with a name"
		}
		all = append(all, fmt.Sprintf("on %s (lines 0 to %d): %s", c.Label(), len(c.LineNames())-1, text))
	}
	return strings.Join(all, "; ")
}

// setName returns the name by which a set takes the line. periph takes the
// first line of a chip that has the name, so it must be the only one.
func (p place) setName() (string, error) {
	names := p.chip.LineNames()
	own := names[p.number]
	if own == "" {
		return "", fmt.Errorf("line %s has no name, and readers and inputs are opened by name: use a line with a name", p.asked)
	}
	for number, name := range names {
		if name == own && number != p.number {
			return "", fmt.Errorf("line %s shares the name %s with line %d of its chip, and readers and inputs are opened by name: use another line", p.asked, own, number)
		}
	}
	return own, nil
}

// errLine names the line in an error of periph, whose own are bare texts of the
// kernel, and says what to do.
func errLine(purpose string, err error, places ...place) error {
	var names, holders []string
	for _, p := range places {
		names = append(names, p.asked)
		if h := p.chip.Holder(p.number); h != "" {
			holders = append(holders, fmt.Sprintf("%s by %q", p.asked, h))
		}
	}
	advice := ""
	switch text := err.Error(); {
	case strings.Contains(text, "resource busy"):
		advice = "in use; stop the other program, or the overlay in config.txt, that holds it (gpioinfo tells), or wire another line"
		if len(holders) > 0 {
			advice = "held, " + strings.Join(holders, ", ") + "; " + advice
		}
		advice += ": "
	case strings.Contains(text, "no such device"):
		advice = "its chip is gone; put it back, and if that is not enough restart the daemon, which looks for chips at its start: "
	case strings.Contains(text, "permission denied"), strings.Contains(text, "not permitted"):
		advice = "no permission; the daemon's user needs to be in the group of /dev/gpiochip*: "
	}
	return fmt.Errorf("%s: line %s: %s%w", purpose, strings.Join(names, " and "), advice, err)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// errTwoChips is returned for a reader whose lines have no common queue.
var errTwoChips = errors.New("its lines are on two chips: a reader's lines, spare ones too, must be on one")
