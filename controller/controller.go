// Package controller runs the doors. For each door one goroutine owns its state
// machine, its lock and its one timer; for each reader another reads frames,
// looks credentials up, decides, and tells the door.
//
// The two are apart so that nothing a reader waits for (a look-up, the commit of
// a wrong PIN) can delay an exit button: a door's goroutine never touches the
// store. Events are handed to a recorder, which commits them in order while the
// strike is already moving; an event counts once it is committed.
//
// The hardware, the store and the clock are the small interfaces declared here.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/access"
	"postern/wiegand"
)

// Signal is what a reader shows to the person before it.
type Signal string

// The signals.
const (
	SignalIdle      Signal = "idle"
	SignalGranted   Signal = "granted"
	SignalDenied    Signal = "denied"
	SignalPINWanted Signal = "pin_wanted"
	SignalLocked    Signal = "locked_down"
	SignalIdentify  Signal = "identify"
)

// Reader is a card reader, with or without a keypad.
type Reader interface {
	// Read waits for the next frame; os.ErrClosed or the context's error ends it.
	Read(ctx context.Context) (wiegand.Frame, error)
	// Line waits until a data line (0 or 1) is found held, or no more.
	Line(ctx context.Context) (line int, held bool, err error)
	// Indicate shows a signal; it returns at once.
	Indicate(s Signal)
}

// Lock is a door's lock output; it returns at once.
type Lock interface{ Set(released bool) error }

// Input is a debounced input. The first Next gives its level, later ones wait
// for a change.
type Input interface {
	Next(ctx context.Context) (active bool, err error)
}

// Store is what decisions and the journal need. Lookup and PINMatches are
// quick; the others return after their commit.
type Store interface {
	Lookup(c access.Credential) ([]access.Key, error)
	PINMatches(k access.Key, pin string) (bool, error)
	Lockout(subject string) (access.Lockout, error)
	SetLockouts(ctx context.Context, all map[string]access.Lockout) error // all or none
	// Places gives where people were last known to go. SetPlace keeps one; a zero
	// place forgets that one, and everybody for the zero id.
	Places() (map[access.ID]access.Place, error)
	SetPlace(ctx context.Context, who access.ID, at access.Place) error
	Record(ctx context.Context, ev ...access.Event) ([]access.Event, error)
}

// Observer is told what happens, for people who watch. Its methods must not
// block.
type Observer interface {
	Saw(Sighting)
	Recorded(access.Event)
	DoorChanged(DoorState)
}

// Sighting is what a reader saw. Bits is empty for keys of a keypad and for
// anything that could hold typed digits.
type Sighting struct {
	At         time.Time
	Reader     string
	Kind       string // card, key, noise or hint
	Bits       string
	Pulses     int
	Candidates []Candidate
	Problem    string
	Stray      bool // noise of too few pulses to be a frame
}

// Candidate is one reading of a frame, with the credential that it means here.
type Candidate struct {
	wiegand.Candidate
	Credential access.Credential
}

// DoorState is a door as it stands.
type DoorState struct {
	ID         string
	Mode       access.DoorMode
	Alarm      access.DoorAlarm
	Physical   access.DoorPhysicalState
	HasContact bool
	Open       bool
	Released   bool
	Fire       bool
	REXStuck   bool
	LockFault  string // why the lock's output could not be driven, "" when it could
}

// ReaderWiring is a reader with what it declares. The zero Order is MSB, the
// zero Part the whole.
type ReaderWiring struct {
	ID       string
	Device   Reader
	Formats  []wiegand.Format
	Matcher  access.Matcher
	Order    wiegand.Order
	Part     wiegand.Part
	Keypad   wiegand.Encoding  // "" for none
	Buffered *wiegand.Buffered // a keypad that sends whole codes, nil for none
	Tamper   Input             // nil for none
	// Heartbeat is how often the reader sends Alive to say that it lives, 0 for
	// one that does not.
	Heartbeat time.Duration
	Alive     wiegand.Bits
}

// DoorWiring is a door with its devices; Contact and REX may be nil.
type DoorWiring struct {
	ID            string
	Lock          Lock
	Contact, REX  Input
	RelockOnClose bool
	REXAction     access.REXAction
	FireRelease   bool
}

// InputKind is what an auxiliary input means.
type InputKind string

// The kinds of auxiliary input. Fire reaches every door, Lockdown locks every
// door down while it is active, Tamper and Aux are told.
const (
	Fire     InputKind = "fire"
	Lockdown InputKind = "lockdown"
	Tamper   InputKind = "tamper"
	Aux      InputKind = "aux"
)

// InputWiring is an input that belongs to no door and no reader.
type InputWiring struct {
	ID     string
	Kind   InputKind
	Device Input
}

// Options are what a controller needs.
type Options struct {
	Readers  []ReaderWiring
	Doors    []DoorWiring
	Inputs   []InputWiring
	Policy   *access.Policy
	Store    Store
	Clock    func() access.Clock
	Observer Observer
	// Away is how long ago central was last heard of, over restarts too; nil is
	// never away.
	Away func() time.Duration
	// Search gives the first hint that match finds among the identifications of
	// all cards. It may take seconds; nil finds nothing.
	Search func(ctx context.Context, match func(access.Identification) (string, bool)) (string, bool)
	// Decided is told how long each decision took, from the last frame of what it
	// is about; it must not block. Nil is told nothing.
	Decided func(took time.Duration)
	// AtRest puts the board's outputs to rest when the doors have stopped,
	// before the last events are committed; nil does nothing.
	AtRest func() error
	Log    *slog.Logger
}

// Errors of Unlock.
var (
	ErrNoDoor  = errors.New("no such door")
	ErrRefused = errors.New("refused")
)

// Controller runs the doors of one panel.
type Controller struct {
	opts    Options
	started time.Time
	policy  atomic.Pointer[access.Policy]
	doors   map[string]*door
	points  []*point
	journal *recorder

	moved chan struct{} // there are moves
	poked chan struct{} // what the doors are wanted to be has to be worked out again

	granting sync.Mutex // held over a decision about doors that exclude each other

	mu       sync.Mutex // guards the rest
	states   map[string]DoorState
	orders   []access.DoorOrder              // the panel's own first
	local    int                             // how many of them are the panel's own
	changer  Source                          // who changed them last
	first    map[string]time.Time            // until when each door's first card unlocks it
	reserved map[string]reservation          // doors granted a moment ago
	people   *access.Presence                // nil until it was read
	moves    []movement                      // not yet kept
	stale    bool                            // central has been away for too long
	health   map[string]wiegand.HealthReport // of the readers
	inputs   map[string]bool                 // auxiliary inputs that are active
	lockouts map[string]access.Lockout       // those that the store could not keep
}

// New makes a controller; nothing moves before Run.
func New(o Options) *Controller {
	c := &Controller{opts: o, started: time.Now(), doors: map[string]*door{}, states: map[string]DoorState{}, lockouts: map[string]access.Lockout{}, health: map[string]wiegand.HealthReport{}, inputs: map[string]bool{}}
	c.poked, c.moved = make(chan struct{}, 1), make(chan struct{}, 1)
	c.first, c.reserved = map[string]time.Time{}, map[string]reservation{}
	c.policy.Store(o.Policy)
	c.journal = newRecorder(o.Store, o.Observer, o.Log)
	for _, w := range o.Doors {
		c.doors[w.ID] = newDoor(c, w)
		c.states[w.ID] = DoorState{ID: w.ID, HasContact: w.Contact != nil}
	}
	for _, w := range o.Readers {
		c.points = append(c.points, newPoint(c, w))
	}
	return c
}

// Run runs every door and reader until ctx ends; then the outputs are put at
// rest and the events handed over are committed, as far as the store takes them.
func (c *Controller) Run(ctx context.Context) error {
	recorded := make(chan struct{})
	recordCtx, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(recorded); c.journal.run(recordCtx) }()
	defer func() {
		c.journal.close()
		giveUp := time.AfterFunc(flushAtTheEnd, stopRecording)
		<-recorded
		giveUp.Stop()
		stopRecording()
	}()

	g, ctx := errgroup.WithContext(ctx)
	for _, d := range c.doors {
		g.Go(func() error { return d.run(ctx) })
	}
	for _, p := range c.points {
		g.Go(func() error { return p.run(ctx) })
	}
	for _, in := range c.opts.Inputs {
		g.Go(func() error { return c.input(ctx, in) })
	}
	g.Go(func() error { return c.wishes(ctx) })
	g.Go(func() error { return c.keepPlaces(ctx) })
	err := g.Wait()
	if c.opts.AtRest != nil {
		if rest := c.opts.AtRest(); rest != nil {
			return fmt.Errorf("put outputs to rest: %w", rest)
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("run doors: %w", err)
	}
	return nil
}

// SetPolicy puts another policy in force from the next decision on. Doors that
// it does not name keep their times.
func (c *Controller) SetPolicy(p *access.Policy) {
	if len(c.policy.Load().Areas) > 0 {
		if err := c.loadPeople(); err != nil {
			c.opts.Log.Error("put policy in force", "error", err)
		}
	}
	c.policy.Store(p)
	for id, d := range c.doors {
		if dp := p.Door(id); dp != nil {
			d.send(doorMessage{times: &dp.Times})
		}
	}
	c.mu.Lock()
	c.forgetLost(p)
	c.mu.Unlock()
	c.wakePlaces()
	c.poke()
}

// Unlock releases a door once, as an operator. ErrNoDoor or ErrRefused, with
// the reason, says why not.
func (c *Controller) Unlock(ctx context.Context, id string) error {
	d, ok := c.doors[id]
	if !ok {
		return fmt.Errorf("%w: %q", ErrNoDoor, id)
	}
	if c.policy.Load().Interlocked(id) != nil {
		// As with cards: of doors that exclude each other one is decided on at a time.
		if !c.granting.TryLock() {
			return fmt.Errorf("%w: another door of the same interlock is being decided on; try again", ErrRefused)
		}
		defer c.granting.Unlock()
	}
	if other := c.interlocked(id); other != "" {
		return fmt.Errorf("%w: door %q, of the same interlock, is open or released", ErrRefused, other)
	}
	answer := make(chan error, 1)
	c.reserve(id)
	if !d.send(doorMessage{unlock: answer, ctx: ctx}) {
		c.unreserve(id)
		return fmt.Errorf("%w: the door is not answering", ErrRefused)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Door gives a door as it stands.
func (c *Controller) Door(id string) (DoorState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.states[id]
	return s, ok
}

// Health gives a reader's state, with its reason.
func (c *Controller) Health(reader string) wiegand.HealthReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.health[reader]
}

// Beat reports whether every door's goroutine takes messages, for a watchdog to
// be fed with. It asks each door and waits for the answers until ctx ends.
func (c *Controller) Beat(ctx context.Context) error {
	for id, d := range c.doors {
		answer := make(chan struct{}, 1)
		if !d.send(doorMessage{ping: answer}) {
			return fmt.Errorf("door %q takes no messages", id)
		}
		select {
		case <-answer:
		case <-ctx.Done():
			return fmt.Errorf("door %q does not answer: %w", id, ctx.Err())
		}
	}
	return nil
}

// Pending is how many events wait to be committed.
func (c *Controller) Pending() int { return c.journal.pending() }

// Dropped is how many events were given up since the start because the store took
// none for too long.
func (c *Controller) Dropped() uint64 { return c.journal.lost() }

// Note journals an event that does not come from a door, such as a start.
func (c *Controller) Note(e access.Event) { c.journal.add(entry{Event: c.stamp(e)}) }

// NoteKept journals an event as Note does, and returns when it is committed, or
// with the context's error when ctx ends first; it may be committed later then.
func (c *Controller) NoteKept(ctx context.Context, e access.Event) error {
	done := make(chan struct{})
	c.journal.add(entry{Event: c.stamp(e), done: done})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mono is the monotonic time since the controller was made; above zero, as the
// door's clock must be.
func (c *Controller) mono() time.Duration { return time.Since(c.started) + 1 }

func (c *Controller) stamp(e access.Event) access.Event {
	clock := c.opts.Clock()
	e.At, e.Clock, e.Mono = clock.Now, clock.State, c.mono()
	return e
}

func (c *Controller) setState(s DoorState) {
	c.mu.Lock()
	was := c.states[s.ID]
	c.states[s.ID] = s
	c.mu.Unlock()
	if was != s {
		c.opts.Observer.DoorChanged(s)
	}
	if locked := s.Mode == access.LockedDown; locked != (was.Mode == access.LockedDown) {
		for _, p := range c.points {
			if ap := c.policy.Load().PointOf(p.w.ID); ap != nil && ap.Door == s.ID {
				p.idle(locked)
			}
		}
	}
}

// Identify shows a reader to somebody who looks for it; false when there is no
// such reader.
func (c *Controller) Identify(reader string) bool {
	for _, p := range c.points {
		if p.w.ID == reader {
			p.w.Device.Indicate(SignalIdentify)
			return true
		}
	}
	return false
}

// Active reports whether an auxiliary input is active.
func (c *Controller) Active(input string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inputs[input]
}

func (c *Controller) doorMode(id string) access.DoorMode {
	s, _ := c.Door(id)
	return s.Mode
}

// sortedKeys merges keys found under several credentials, each once.
func sortedKeys(keys []access.Key) []access.Key {
	slices.SortFunc(keys, func(a, b access.Key) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return slices.CompactFunc(keys, func(a, b access.Key) bool { return a.ID == b.ID })
}
