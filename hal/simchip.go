package hal

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// simChip is a chip made of memory. It behaves as the kernel and periph do: a
// line has one user, a first Out is low first, a queue drops its oldest events.
type simChip struct {
	mu    sync.Mutex
	lines []*simLine // guarded by mu with all that hangs on it
	// changed is closed and replaced at each change that a wait may be for.
	changed chan struct{}
}

// simLine is one line of a simChip, and guarded by its mutex.
type simLine struct {
	chip   *simChip
	number int
	name   string
	taken  bool
	holder string // of another program that has the line, if any
	failed bool
	output bool
	driven gpio.Level
	// outside is what the world connects: nothing lets the pull decide.
	outside *gpio.Level
	pull    gpio.Pull
	set     *simSet
	edge    gpio.Edge
}

// add makes one more line.
func (c *simChip) add(name string) *simLine {
	l := &simLine{chip: c, number: len(c.lines), name: name}
	c.lines = append(c.lines, l)
	return l
}

func (c *simChip) Label() string { return "simulated" }

func (c *simChip) LineNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, l := range c.lines {
		names = append(names, l.name)
	}
	return names
}

func (c *simChip) Holder(number int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[number].holder
}

func (c *simChip) Line(number int) line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[number]
}

func (c *simChip) LineSet(spec lineSetSpec) (lineSet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &simSet{chip: c, cap: 16 * (len(spec.lines) + len(spec.spare)), sending: make(chan struct{}, 1)}
	for _, name := range slices.Concat(spec.lines, spec.spare) {
		at := slices.IndexFunc(c.lines, func(l *simLine) bool { return l.name == name })
		if at < 0 {
			return nil, fmt.Errorf("line %s not found", name)
		}
		if err := c.lines[at].request(); err != nil {
			return nil, err
		}
		s.lines = append(s.lines, c.lines[at])
	}
	for i, l := range s.lines {
		l.taken, l.set, l.pull = true, s, spec.pull
		if i < len(spec.lines) {
			l.edge = spec.edge
		}
	}
	return s, nil
}

// The kernel's texts, which are all that periph hands on.
var (
	errSimBusy = fmt.Errorf("line_request ioctl: %s", "device or resource busy")
	errSimGone = fmt.Errorf("line ioctl: %s", "no such device")
)

// request tells whether the line can be had; the mutex is held.
func (l *simLine) request() error {
	switch {
	case l.failed:
		return errSimGone
	case l.taken || l.holder != "":
		return errSimBusy
	}
	return nil
}

// drivable tells whether the line can be moved; the mutex is held.
func (l *simLine) drivable() error {
	if l.taken && !l.failed && l.set == nil {
		return nil
	}
	return l.request()
}

// fail makes the line as good as gone, or brings it back. What was open on it
// stays useless, as it does in the kernel.
func (l *simLine) fail(failed bool) {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	l.failed = failed
	if failed && l.set != nil {
		l.set.failed = true
	}
	l.chip.wake()
}

// wake ends the waits for a change; the mutex is held.
func (c *simChip) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// level is what a meter would show; the mutex is held.
func (l *simLine) level() gpio.Level {
	switch {
	case l.output:
		return l.driven
	case l.outside != nil:
		return *l.outside
	}
	return l.pull == gpio.PullUp
}

// connect makes the outside world hold the line at a level, and queues the edge
// if there is one.
func (l *simLine) connect(level gpio.Level) error {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	if l.set != nil && l.set.closed && !l.set.failed {
		return os.ErrClosed
	}
	before := l.level()
	l.outside = &level
	// The world moves on while nobody can see it.
	if l.set == nil || l.set.closed || l.level() == before {
		return nil
	}
	edge := gpio.FallingEdge
	if level == gpio.High {
		edge = gpio.RisingEdge
	}
	if l.edge == gpio.BothEdges || l.edge == edge {
		l.set.push(simEvent{l.number, edge})
	}
	return nil
}

func (l *simLine) In(pull gpio.Pull, _ gpio.Edge) error {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	if err := l.drivable(); err != nil {
		return err
	}
	l.taken, l.output, l.pull = true, false, pull
	return nil
}

func (l *simLine) Out(level gpio.Level) error {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	if err := l.drivable(); err != nil {
		return err
	}
	l.taken, l.output, l.driven = true, true, level
	return nil
}

// Close frees the line. Its level stays, as it does on a Raspberry Pi.
func (l *simLine) Close() {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	l.taken = false
}

// simEvent is an edge on a line.
type simEvent struct {
	number int
	edge   gpio.Edge
}

// simSet is a set of lines with the kernel's queue of events, guarded by its
// chip's mutex.
//
// What the kernel does not have is bursts. A burst is a train of pulses with
// silence after it, however long that takes to tell: the set answers the time-
// outs that mean silence itself, at once, and takes no other burst before. So
// no host is too busy for two key presses to be two frames, and no test has to
// sleep between them.
type simSet struct {
	chip   *simChip
	lines  []*simLine
	events []simEvent
	cap    int
	halts  int
	closed bool
	failed bool

	// sending is held by whoever sends bursts.
	sending chan struct{}
	// bursting is set while a burst comes in: no silence, however slow it is.
	bursting bool
	// silences is how many time-outs are still to be told after a burst.
	silences int
	// stalled is set while the process is not to get events.
	stalled bool
}

// push queues an event as the kernel does; the mutex is held.
func (s *simSet) push(e simEvent) {
	if len(s.events) == s.cap {
		s.events = s.events[1:]
	}
	s.events = append(s.events, e)
	s.chip.wake()
}

func (s *simSet) WaitForEdge(timeout time.Duration) (int, gpio.Edge, error) {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	if timeout < 0 && !s.closed {
		return 0, gpio.NoEdge, os.ErrDeadlineExceeded
	}
	var over <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		over = timer.C
	}
	halts, late := s.halts, false
	for {
		switch {
		case s.closed:
			return 0, gpio.NoEdge, os.ErrClosed
		case s.failed:
			return 0, gpio.NoEdge, errSimGone
		case s.halts != halts:
			return 0, gpio.NoEdge, os.ErrDeadlineExceeded
		case s.stalled:
		case len(s.events) > 0:
			e := s.events[0]
			s.events = s.events[1:]
			s.chip.wake()
			return e.number, e.edge, nil
		case s.bursting:
		case s.silences > 0 && timeout > 0:
			s.silences--
			s.chip.wake()
			return 0, gpio.NoEdge, os.ErrDeadlineExceeded
		case s.silences > 0 && timeout == 0:
			// Whoever waits for ever has no frame to close.
			s.silences = 0
			s.chip.wake()
		case late:
			return 0, gpio.NoEdge, os.ErrDeadlineExceeded
		}
		changed := s.chip.changed
		s.chip.mu.Unlock()
		select {
		case <-changed:
		case <-over:
			over, late = nil, true
		}
		s.chip.mu.Lock()
	}
}

func (s *simSet) Halt() error {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	s.halts++
	s.chip.wake()
	return nil
}

func (s *simSet) Read(mask gpio.GPIOValue) (gpio.GPIOValue, error) {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	if s.failed {
		return 0, errSimGone
	}
	var bits gpio.GPIOValue
	for i, l := range s.lines {
		if l.level() {
			bits |= 1 << i
		}
	}
	return bits & mask, nil
}

func (s *simSet) Close() error {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	s.closed = true
	for _, l := range s.lines {
		l.taken = false
	}
	s.chip.wake()
	return nil
}

// until waits for a condition, which is asked with the mutex held, as until
// itself is called.
func (s *simSet) until(ok func() bool) error {
	for !s.closed && !s.failed && !ok() {
		changed := s.chip.changed
		s.chip.mu.Unlock()
		<-changed
		s.chip.mu.Lock()
	}
	switch {
	case s.failed:
		return errSimGone
	case s.closed:
		return os.ErrClosed
	}
	return nil
}

// burst queues pulses with silence before and after. While the process is
// stalled there is no silence to be seen, and the queue overflows.
func (s *simSet) burst(pulses []simEvent) error {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	quiet := func() bool { return s.stalled || len(s.events) == 0 && s.silences == 0 }
	if err := s.until(quiet); err != nil {
		return err
	}
	s.bursting = true
	defer func() {
		s.bursting = false
		s.chip.wake()
	}()
	room := func() bool { return s.stalled || len(s.events) < s.cap }
	for _, p := range pulses {
		if err := s.until(room); err != nil {
			return err
		}
		s.push(p)
	}
	s.silences = 2
	return nil
}
