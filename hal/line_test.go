package hal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"
)

// fakeChip is a chip with given names, whose lines can fail.
type fakeChip struct {
	label  string
	names  []string
	holder string
	err    error
	// spec is what the last LineSet was asked for.
	spec lineSetSpec
}

func (c *fakeChip) Label() string       { return c.label }
func (c *fakeChip) LineNames() []string { return c.names }
func (c *fakeChip) Holder(int) string   { return c.holder }
func (c *fakeChip) Line(int) line       { return fakeLine{c.err} }
func (c *fakeChip) LineSet(spec lineSetSpec) (lineSet, error) {
	c.spec = spec
	if c.err != nil {
		return nil, c.err
	}
	return &simSet{chip: &simChip{changed: make(chan struct{})}}, nil
}

type fakeLine struct{ err error }

func (l fakeLine) In(gpio.Pull, gpio.Edge) error { return l.err }
func (l fakeLine) Out(gpio.Level) error          { return l.err }
func (l fakeLine) Close()                        {}

func pi() []chip {
	return []chip{
		&fakeChip{label: "pinctrl-bcm2711", names: []string{"ID_SDA", "ID_SCL", "GPIO2", "GPIO3", "WAKE", "", "TWICE", "TWICE"}},
		&fakeChip{label: "raspberrypi-exp-gpio", names: []string{"BT_ON", "WAKE"}},
	}
}

func TestFindLine(t *testing.T) {
	chips := pi()
	tests := []struct {
		asked  string
		chip   int
		number int
		err    []string // parts of the error
	}{
		{asked: "GPIO3", chip: 0, number: 3},
		{asked: "BT_ON", chip: 1, number: 0},
		{asked: "pinctrl-bcm2711:3", chip: 0, number: 3},
		{asked: "raspberrypi-exp-gpio:1", chip: 1, number: 1},
		{asked: "GPIO99", err: []string{"no line GPIO99", "pinctrl-bcm2711 (lines 0 to 7): ID_SDA ID_SCL GPIO2", "BT_ON WAKE"}},
		{asked: "17", err: []string{"no line 17"}},
		{asked: "WAKE", err: []string{"more than once", "pinctrl-bcm2711:4 or raspberrypi-exp-gpio:1"}},
		{asked: "pinctrl:3", err: []string{"no chip pinctrl", "pinctrl-bcm2711, raspberrypi-exp-gpio"}},
		{asked: "pinctrl-bcm2711:8", err: []string{"lines 0 to 7"}},
		{asked: "pinctrl-bcm2711:-1", err: []string{"lines 0 to 7"}},
		{asked: "pinctrl-bcm2711:x", err: []string{"no line pinctrl-bcm2711:x"}},
		{asked: "", err: []string{"no line"}},
	}
	for _, tt := range tests {
		p, err := newLines(chips).take("lock", tt.asked)
		if tt.err == nil {
			if err != nil || p.chip != chips[tt.chip] || p.number != tt.number {
				t.Errorf("%s: got line %d, %v; want line %d", tt.asked, p.number, err, tt.number)
			}
			continue
		}
		for _, want := range append(tt.err, "lock: ") {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", tt.asked, err, want)
			}
		}
	}
}

func TestLineListIsBounded(t *testing.T) {
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf("L%d", i))
	}
	_, err := newLines([]chip{&fakeChip{label: "big", names: names}}).take("lock", "X")
	if err == nil || !strings.Contains(err.Error(), "L79 and 420 more") || strings.Contains(err.Error(), "L80") {
		t.Errorf("error = %v, want 80 names and the number of the rest", err)
	}
}

func TestLineTakenTwice(t *testing.T) {
	l := newLines(pi())
	if _, err := l.take(`lock of door "a"`, "GPIO3"); err != nil {
		t.Fatal(err)
	}
	_, err := l.take(`rex of door "b"`, "pinctrl-bcm2711:3")
	if err == nil || !strings.Contains(err.Error(), `is the lock of door "a" already`) {
		t.Errorf("the same line under another name: error %v", err)
	}
}

// openReaderLines opens a reader's lines as the board does.
func openReaderLines(l *lines, w ReaderWiring) (edgeSource, error) {
	set, err := takeReaderSet(l, w)
	if err != nil {
		return nil, err
	}
	return set.open()
}

func TestReaderLineFaults(t *testing.T) {
	busy := errors.New("LineSetFromConfig: device or resource busy")
	tests := []struct {
		name  string
		chips []chip
		w     ReaderWiring
		want  []string
	}{
		{"two chips", pi(), ReaderWiring{ID: "r", D0: "GPIO2", D1: "BT_ON"}, []string{`reader "r"`, "two chips"}},
		{"spare on another chip", pi(), ReaderWiring{ID: "r", D0: "GPIO2", D1: "GPIO3", Spare: []string{"BT_ON"}}, []string{"two chips"}},
		{"no name", pi(), ReaderWiring{ID: "r", D0: "GPIO2", D1: "pinctrl-bcm2711:5"}, []string{`d1 of reader "r"`, "has no name"}},
		{"shared name", pi(), ReaderWiring{ID: "r", D0: "pinctrl-bcm2711:7", D1: "GPIO2"}, []string{`d0 of reader "r"`, "shares the name TWICE with line 6"}},
		{"missing", pi(), ReaderWiring{ID: "r", D0: "GPIO2", D1: "GPIO4"}, []string{`d1 of reader "r"`, "no line GPIO4"}},
		{"no chips", nil, ReaderWiring{ID: "r", D0: "GPIO2", D1: "GPIO4"}, []string{"no GPIO chip"}},
		{
			"busy",
			[]chip{&fakeChip{label: "c", names: []string{"A", "B"}, holder: "spi0 CS1", err: busy}},
			ReaderWiring{ID: "r", D0: "A", D1: "B"},
			[]string{`reader "r": line A and B`, `A by "spi0 CS1"`, "stop the other program", "device or resource busy"},
		},
		{
			"not permitted",
			[]chip{&fakeChip{label: "c", names: []string{"A", "B"}, err: errors.New("operation not permitted")}},
			ReaderWiring{ID: "r", D0: "A", D1: "B"},
			[]string{"group of /dev/gpiochip"},
		},
		{
			"chip gone",
			[]chip{&fakeChip{label: "c", names: []string{"A", "B"}, err: errors.New("LineSetFromConfig: no such device")}},
			ReaderWiring{ID: "r", D0: "A", D1: "B"},
			[]string{"its chip is gone", "restart the daemon"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := openReaderLines(newLines(tt.chips), tt.w)
			if err == nil {
				_ = src.Close()
				t.Fatal("it opened")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestReaderSet(t *testing.T) {
	c := &fakeChip{label: "c", names: []string{"A", "B", "C", "D"}}
	for pull, want := range map[Pull]gpio.Pull{"": gpio.PullUp, PullUp: gpio.PullUp, PullNone: gpio.PullNoChange} {
		src, err := openReaderLines(newLines([]chip{c}), ReaderWiring{ID: "r", D0: "c:1", D1: "A", Spare: []string{"D", "C"}, Pull: pull})
		if err != nil {
			t.Fatal(err)
		}
		_ = src.Close()
		if got, want := fmt.Sprint(c.spec), fmt.Sprint(lineSetSpec{[]string{"B", "A"}, gpio.FallingEdge, want, []string{"D", "C"}}); got != want {
			t.Errorf("pull %q: the set is %s, want %s", pull, got, want)
		}
		if e := src.(*readerEdges); e.d0 != 1 || e.d1 != 0 {
			t.Errorf("d0 is line %d and d1 line %d, want 1 and 0", e.d0, e.d1)
		}
	}
}

func TestOutputBusy(t *testing.T) {
	c := &fakeChip{label: "c", names: []string{"A"}, err: errors.New("GPIOLine.Out(): line_request ioctl: device or resource busy")}
	_, err := newBoard([]chip{c}, Wiring{Doors: []DoorWiring{{ID: "main", Lock: "A"}}}, quietLog())
	for _, want := range []string{`lock of door "main": line A`, "in use", "wire another line"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q in it", err, want)
		}
	}
}

func TestWiringValidate(t *testing.T) {
	good := Wiring{
		Readers: []ReaderWiring{{ID: "a", D0: "1", D1: "2", Spare: []string{"3", "4"}, LED: "5", Silence: 25e6, Pull: PullNone}},
		Doors:   []DoorWiring{{ID: "a", Lock: "6", Contact: "7", REX: "8", LockKind: Maglock, ContactDebounce: 20e6, REXDebounce: 400e6}},
	}
	if err := good.Validate(); err != nil {
		t.Errorf("a good wiring: %v", err)
	}
	bad := Wiring{
		Readers: []ReaderWiring{
			{ID: "a", D0: "1", D1: "1", Silence: 1, Pull: "down"},
			{ID: "a", D0: "2", D1: " 3", Spare: make([]string, 63), Tamper: "2", TamperPull: "x", Patterns: map[Indication]Pattern{Granted: {Steps: []Step{{}}}}},
			{D0: "4", D1: strings.Repeat("x", 65)},
		},
		Doors: []DoorWiring{
			{ID: "d", Lock: "2", LockKind: "bolt", REXDebounce: 401e6},
			{ID: "d", Contact: "7"},
			{Lock: "9", ContactDebounce: 19e6},
		},
		Inputs:  []InputWiring{{ID: "i", Line: "9"}, {ID: "i", Pull: "left", Debounce: 1}},
		Outputs: []OutputWiring{{ID: "i", Line: "4"}, {Line: "11"}, {Line: "12"}},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("a bad wiring is valid")
	}
	for _, want := range []string{
		`reader "a": d1: line 1 is the d0 of reader "a" already`,
		`reader "a": silence 1ns: want 10ms to 1s`,
		`reader "a": pull "down": want "up" or "none"`,
		`reader "a": another reader has this id`,
		`d1: " 3" is no name`,
		`spare 1 has no line`,
		`63 spare lines`,
		`reader 3: it has no id`,
		`door "d": lock: line 2 is the d0 of reader "a" already`,
		`door "d": lock kind "bolt": want "strike" or "maglock"`,
		`rex debounce 401ms: want 20ms to 400ms`,
		`door "d": lock has no line`,
		`door "d": another door has this id`,
		`door 3: contact debounce 19ms`,
		`reader "a": tamper: line 2 is the d0 of reader "a" already`,
		`reader "a": tamper pull "x": want "up", "down" or "none"`,
		`reader "a": indication granted: it never ends`,
		`input "i": line: line 9 is the lock of door 3 already`,
		`input "i": another input has this id`,
		`input "i": line has no line`,
		`input "i": pull "left"`,
		`input "i": debounce 1ns`,
		`output "i": line: line 4 is the d0 of reader 3 already`,
		`output 3: it has no id`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}
