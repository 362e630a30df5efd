package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"periph.io/x/conn/v3/gpio"

	"postern/wiegand"
)

// Sim is the world outside a simulated board: who badges, types, opens and
// presses, and how the locks and readers look. Its methods can be called by
// several goroutines at once. They return once their edges are queued, and an
// error that wraps os.ErrClosed after the board's Close. What they did is seen
// through the board as a real reader or contact is.
type Sim struct {
	chip    *simChip
	board   *Board
	readers map[string]simReader
	doors   map[string]simDoor
	inputs  map[string]simInput
	outputs map[string]simOutput
}

type simReader struct {
	wiring      ReaderWiring
	d0, d1      *simLine
	led, buzzer *simLine // nil when not wired, as is tamper
	tamper      *simLine
}

type simDoor struct {
	wiring  DoorWiring
	lock    *simLine
	contact *simLine // nil when not wired, as is rex
	rex     *simLine
}

type simInput struct {
	wiring InputWiring
	line   *simLine
}

type simOutput struct {
	wiring OutputWiring
	line   *simLine
}

// OpenSim makes a board of a wiring on simulated lines: doors closed, nothing
// pressed and no input active. Lines' names don't matter; contacts, REX, tampers,
// LEDs and buzzers are there where a line is named, the rest always. Ids have to
// be unique, see Validate.
func OpenSim(w Wiring, log *slog.Logger) (*Board, *Sim) {
	s := &Sim{
		chip:    &simChip{changed: make(chan struct{})},
		readers: map[string]simReader{},
		doors:   map[string]simDoor{},
		inputs:  map[string]simInput{},
		outputs: map[string]simOutput{},
	}
	b, err := newBoard([]chip{s.chip}, s.rewire(w), log)
	if err != nil {
		// The lines were made for this wiring a moment ago.
		panic(fmt.Sprintf("hal: simulated board: %v", err))
	}
	s.board = b
	return b, s
}

// rewire makes the lines of a wiring and returns it with their names.
func (s *Sim) rewire(w Wiring) Wiring {
	w.Readers, w.Doors = slices.Clone(w.Readers), slices.Clone(w.Doors)
	w.Inputs, w.Outputs = slices.Clone(w.Inputs), slices.Clone(w.Outputs)
	for i := range w.Readers {
		s.rewireReader(i, &w.Readers[i])
	}
	for i := range w.Doors {
		s.rewireDoor(i, &w.Doors[i])
	}
	for i := range w.Inputs {
		in := &w.Inputs[i]
		input := simInput{wiring: *in, line: s.chip.add(fmt.Sprintf("input%d", i))}
		in.Line = input.line.name
		input.line.rest(inputOf(*in))
		s.inputs[in.ID] = input
	}
	for i := range w.Outputs {
		o := &w.Outputs[i]
		output := simOutput{wiring: *o, line: s.chip.add(fmt.Sprintf("output%d", i))}
		o.Line = output.line.name
		s.outputs[o.ID] = output
	}
	return w
}

func (s *Sim) rewireReader(i int, r *ReaderWiring) {
	name := func(what string) string { return fmt.Sprintf("reader%d.%s", i, what) }
	lines := simReader{wiring: *r, d0: s.chip.add(name("d0")), d1: s.chip.add(name("d1"))}
	r.D0, r.D1 = lines.d0.name, lines.d1.name
	spare := make([]string, len(r.Spare))
	for j := range spare {
		spare[j] = s.chip.add(name(fmt.Sprintf("spare%d", j))).name
	}
	r.Spare = spare
	lines.led = s.optional(&r.LED, name("led"))
	lines.buzzer = s.optional(&r.Buzzer, name("buzzer"))
	lines.tamper = s.optional(&r.Tamper, name("tamper"))
	lines.tamper.rest(tamperSpec(*r))
	s.readers[r.ID] = lines
}

func (s *Sim) rewireDoor(i int, d *DoorWiring) {
	name := func(what string) string { return fmt.Sprintf("door%d.%s", i, what) }
	door := simDoor{wiring: *d, lock: s.chip.add(name("lock"))}
	d.Lock = door.lock.name
	door.contact = s.optional(&d.Contact, name("contact"))
	door.rex = s.optional(&d.REX, name("rex"))
	door.contact.rest(contactSpec(*d))
	door.rex.rest(rexSpec(*d))
	s.doors[d.ID] = door
}

// rest connects an input, where there is one, to the level that is not active.
func (l *simLine) rest(s inputSpec) {
	if l != nil {
		level := !s.active
		l.outside = &level
	}
}

// optional makes a line for one that is wired.
func (s *Sim) optional(line *string, name string) *simLine {
	if *line == "" {
		return nil
	}
	*line = name
	return s.chip.add(name)
}

// Badge sends bits as one frame, after any before it was read.
func (s *Sim) Badge(reader string, bits wiegand.Bits) error {
	if bits.Len() == 0 {
		return errors.New("badge: there are no bits to send")
	}
	if err := s.send(reader, bits); err != nil {
		return fmt.Errorf("badge: %w", err)
	}
	return nil
}

// Keys types keys ('0' to '9', '*', '#') in an encoding, each as a frame of its
// own. Nothing is typed when one of them is no key.
func (s *Sim) Keys(reader, keys string, enc wiegand.Encoding) error {
	var frames []wiegand.Bits
	for i := range len(keys) {
		bits, err := enc.Encode(keys[i])
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		frames = append(frames, bits)
	}
	if err := s.send(reader, frames...); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// send sends frames one after the other, with none of another call between.
func (s *Sim) send(reader string, frames ...wiegand.Bits) error {
	r, ok := s.readers[reader]
	if !ok {
		return unknown("reader", reader, s.readers)
	}
	set := r.set()
	set.sending <- struct{}{}
	defer func() { <-set.sending }()
	for _, bits := range frames {
		var pulses []simEvent
		for i := range bits.Len() {
			line := r.d0
			if bits.Bit(i) == 1 {
				line = r.d1
			}
			pulses = append(pulses, simEvent{line.number, gpio.FallingEdge})
		}
		if err := set.burst(pulses); err != nil {
			return fmt.Errorf("reader %s: %w", reader, err)
		}
	}
	return nil
}

// set is the reader's lines as they are open now.
func (r simReader) set() *simSet {
	r.d0.chip.mu.Lock()
	defer r.d0.chip.mu.Unlock()
	return r.d0.set
}

// Stall makes the process get nothing from a reader until resume is called, as
// on a panel that is too busy: bits pile up in the line queue, bursts run
// together, and what doesn't fit is lost, the oldest first.
func (s *Sim) Stall(reader string) (resume func(), err error) {
	r, ok := s.readers[reader]
	if !ok {
		return nil, fmt.Errorf("stall: %w", unknown("reader", reader, s.readers))
	}
	lines := r.set()
	set := func(stalled bool) {
		s.chip.mu.Lock()
		defer s.chip.mu.Unlock()
		lines.stalled = stalled
		s.chip.wake()
	}
	set(true)
	return func() { set(false) }, nil
}

// Contact opens or closes a door's contact.
func (s *Sim) Contact(door string, open bool) error {
	d, ok := s.doors[door]
	if !ok {
		return fmt.Errorf("contact: %w", unknown("door", door, s.doors))
	}
	return connect("contact: door", door, d.contact, contactSpec(d.wiring), open)
}

// REX presses or lets go a door's REX.
func (s *Sim) REX(door string, pressed bool) error {
	d, ok := s.doors[door]
	if !ok {
		return fmt.Errorf("rex: %w", unknown("door", door, s.doors))
	}
	return connect("rex: door", door, d.rex, rexSpec(d.wiring), pressed)
}

// Tamper tampers with a reader, or ends that.
func (s *Sim) Tamper(reader string, tampered bool) error {
	r, ok := s.readers[reader]
	if !ok {
		return fmt.Errorf("tamper: %w", unknown("reader", reader, s.readers))
	}
	return connect("tamper: reader", reader, r.tamper, tamperSpec(r.wiring), tampered)
}

// Hold holds a data line of a reader low (0 is D0, 1 is D1), as a short or a
// reader without its supply does, or lets it go.
func (s *Sim) Hold(reader string, line int, held bool) error {
	r, ok := s.readers[reader]
	if !ok {
		return fmt.Errorf("hold: %w", unknown("reader", reader, s.readers))
	}
	if line != 0 && line != 1 {
		return fmt.Errorf("hold: a reader has the data lines 0 and 1")
	}
	return [2]*simLine{r.d0, r.d1}[line].connect(gpio.Level(!held))
}

// Input makes an auxiliary input active, or not.
func (s *Sim) Input(id string, active bool) error {
	in, ok := s.inputs[id]
	if !ok {
		return unknown("input", id, s.inputs)
	}
	return connect("input", id, in.line, inputOf(in.wiring), active)
}

// Output reports whether an auxiliary output is on, by the level of its line;
// false for an unknown one.
func (s *Sim) Output(id string) bool {
	o, ok := s.outputs[id]
	if !ok {
		return false
	}
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	return o.line.level() == o.wiring.level(true)
}

func connect(what, id string, line *simLine, spec inputSpec, active bool) error {
	if line == nil {
		return fmt.Errorf("%s %s has none wired", what, id)
	}
	if err := line.connect(gpio.Level(active == bool(spec.active))); err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// Lock reports whether a door's lock is released, by the level of its line; false
// for an unknown door.
func (s *Sim) Lock(door string) bool {
	d, ok := s.doors[door]
	if !ok {
		return false
	}
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	return d.lock.level() == d.wiring.lockLevel(true)
}

// Indication returns what a reader shows now; "" for an unknown reader.
func (s *Sim) Indication(reader string) Indication {
	r, ok := s.board.Reader(reader)
	if !ok {
		return ""
	}
	return r.show.current()
}

// unknown lists the names there are.
func unknown[T any](what, name string, all map[string]T) error {
	names := slices.Sorted(maps.Keys(all))
	if len(names) == 0 {
		return fmt.Errorf("there is no %s %q, nor any other", what, name)
	}
	return fmt.Errorf("there is no %s %q: there are %s", what, name, strings.Join(names, ", "))
}
