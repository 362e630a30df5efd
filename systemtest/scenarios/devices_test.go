package scenarios

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"postern/controller"
	"postern/hal"
	"postern/wiegand"
)

// item is something that crossed a device's interface.
type item struct {
	at    time.Time
	kind  string // frame, contact, rex, fire, lockdown or aux
	n     int
	frame wiegand.Frame
	on    bool
	first bool
	fault bool // it could not be read
}

// taps note what crosses the devices' interfaces, with its instant.
type taps struct {
	mu      sync.Mutex // guards the rest
	items   []item
	locks   []change
	signals [readers][]string
	level   [doors]bool
}

func (t *taps) add(i item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i.at = now()
	t.items = append(t.items, i)
}

// take gives what was noted since the last take, in order.
func (t *taps) take() (items []item, locks []change, signals [readers][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	items, locks, signals = t.items, t.locks, t.signals
	t.items, t.locks, t.signals = nil, nil, [readers][]string{}
	slices.SortStableFunc(items, func(a, b item) int { return a.at.Compare(b.at) })
	return items, locks, signals
}

// lock is a door's lock, and its line on a board.
type lock struct {
	t     *taps
	door  int
	board controller.Lock
}

func (l *lock) Set(released bool) error {
	l.t.mu.Lock()
	if l.t.level[l.door] != released {
		l.t.level[l.door] = released
		l.t.locks = append(l.t.locks, change{now(), l.door, released})
	}
	l.t.mu.Unlock()
	if l.board != nil {
		return l.board.Set(released)
	}
	return nil
}

// device is a reader or an input; next waits for what comes from it.
type device[T any] struct {
	next func(context.Context) (T, error)
	note func(T, error)
}

func (d device[T]) Next(ctx context.Context) (T, error) {
	v, err := d.next(ctx)
	if ctx.Err() == nil {
		d.note(v, err)
	}
	return v, err
}

// said is what a device made by hand says.
type said[T any] struct {
	value T
	err   error
}

func from[T any](ch chan said[T]) func(context.Context) (T, error) {
	return func(ctx context.Context) (v T, err error) {
		select {
		case s := <-ch:
			return s.value, s.err
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

type reader struct {
	device[wiegand.Frame]
	n     int
	t     *taps
	board *hal.Reader // nil without one
}

func (r *reader) Read(ctx context.Context) (wiegand.Frame, error) { return r.Next(ctx) }

func (r *reader) Line(ctx context.Context) (int, bool, error) {
	if r.board != nil {
		return r.board.Line(ctx)
	}
	<-ctx.Done()
	return 0, false, ctx.Err()
}

func (r *reader) Indicate(s controller.Signal) {
	r.t.mu.Lock()
	r.t.signals[r.n] = append(r.t.signals[r.n], string(s))
	r.t.mu.Unlock()
	if r.board != nil {
		r.board.Indicate(cmp.Or(map[controller.Signal]hal.Indication{
			controller.SignalGranted: hal.Granted, controller.SignalDenied: hal.Denied, controller.SignalPINWanted: hal.PINWanted, controller.SignalLocked: hal.LockedDown,
		}[s], hal.Idle))
	}
}

// panelDevices are one start's devices, simulated by a board or made by hand.
type panelDevices struct {
	t     *taps
	board *hal.Board
	sim   *hal.Sim
	up    []func() // when a board has come up

	frames [readers]chan said[wiegand.Frame]
	inputs map[string]chan said[bool]
}

func newDevices(t *taps, simulated bool, fit [doors]fitting) *panelDevices {
	d := &panelDevices{t: t, inputs: map[string]chan said[bool]{}}
	if !simulated {
		return d
	}
	var w hal.Wiring
	for r := range readers {
		w.Readers = append(w.Readers, hal.ReaderWiring{ID: readerID(r), Spare: []string{"spare", "spare"}})
	}
	for n, f := range fit {
		door := hal.DoorWiring{ID: doorID(n)}
		if f.contact {
			door.Contact = "contact"
		}
		if f.rex {
			door.REX = "rex"
		}
		w.Doors = append(w.Doors, door)
	}
	for _, id := range []string{"fire0", "fire1", "lockdown0", "aux0"} {
		w.Inputs = append(w.Inputs, hal.InputWiring{ID: id})
	}
	d.board, d.sim = hal.OpenSim(w, slog.New(slog.DiscardHandler))
	return d
}

func (d *panelDevices) reader(r int) *reader {
	out := &reader{n: r, t: d.t}
	if d.board != nil {
		out.board, _ = d.board.Reader(readerID(r))
		out.next = out.board.Read
	} else {
		d.frames[r] = make(chan said[wiegand.Frame], 16)
		out.next = from(d.frames[r])
	}
	out.note = func(f wiegand.Frame, err error) {
		if err == nil {
			d.t.add(item{kind: "frame", n: r, frame: f})
		}
	}
	return out
}

// input is an input of a kind whose level is now.
func (d *panelDevices) input(kind string, n int, name string, now bool, board *hal.Input) controller.Input {
	first := true
	note := func(on bool, err error) {
		d.t.add(item{kind: kind, n: n, on: on, first: first, fault: err != nil})
		first = first && err != nil
	}
	if board != nil {
		d.drive(name, n, now)
		return device[bool]{d.after(board), note}
	}
	ch := make(chan said[bool], 16)
	ch <- said[bool]{value: now}
	d.inputs[name] = ch
	return device[bool]{from(ch), note}
}

// after gives an input from the level on that it has when the board has come up.
func (d *panelDevices) after(board *hal.Input) func(context.Context) (bool, error) {
	var level *bool
	d.up = append(d.up, func() {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			v, err := board.Next(ctx)
			cancel()
			if err != nil {
				return
			}
			level = &v
		}
	})
	return func(ctx context.Context) (bool, error) {
		if v := level; v != nil {
			level = nil
			return *v, nil
		}
		return board.Next(ctx)
	}
}

// comeUp waits until a board has seen the levels that its inputs have.
func (d *panelDevices) comeUp() {
	if d.sim == nil {
		return
	}
	time.Sleep(reading)
	for _, f := range d.up {
		f()
	}
}

// drive sets the level of an input.
func (d *panelDevices) drive(name string, n int, on bool) {
	if d.sim == nil {
		d.inputs[name] <- said[bool]{value: on}
		return
	}
	var err error
	switch name {
	case "contact" + doorID(n):
		err = d.sim.Contact(doorID(n), on)
	case "rex" + doorID(n):
		err = d.sim.REX(doorID(n), on)
	default:
		err = d.sim.Input(name, on)
	}
	if err != nil {
		panic(err)
	}
}

// spoil has an input that is made by hand be unreadable for some seconds; then it
// tells its level, as all do.
func (d *panelDevices) spoil(name string, seconds int, on bool) {
	for range seconds {
		d.inputs[name] <- said[bool]{err: errFault}
	}
	d.drive(name, 0, on)
}

var errFault = errors.New("the line can't be read")

// present sends bits from a reader.
func (d *panelDevices) present(r int, b wiegand.Bits) {
	if d.sim == nil {
		d.frames[r] <- said[wiegand.Frame]{value: wiegand.Frame{Bits: b, Pulses: b.Len()}}
		return
	}
	if err := d.sim.Badge(readerID(r), b); err != nil {
		panic(err)
	}
}
