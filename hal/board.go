package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Board is a panel's readers, locks and inputs. It is safe for use by several
// goroutines.
type Board struct {
	readers  map[string]*Reader
	locks    map[string]*Output
	outputs  map[string]*Output
	contacts map[string]*Input
	rexes    map[string]*Input
	inputs   map[string]*Input

	// wg counts the goroutines that Close waits for.
	wg    sync.WaitGroup
	close func() error
}

// newBoard opens all lines on the chips, the locks first, and starts reading. On
// an error all is at rest and released again.
func newBoard(chips []chip, w Wiring, log *slog.Logger) (*Board, error) {
	b := &Board{
		readers: map[string]*Reader{}, locks: map[string]*Output{}, outputs: map[string]*Output{},
		contacts: map[string]*Input{}, rexes: map[string]*Input{}, inputs: map[string]*Input{},
	}
	b.close = sync.OnceValue(b.closeLines)
	l := newLines(chips)
	for _, open := range []func() error{
		func() error { return b.openOutputs(l, w, log) },
		func() error { return b.openInputs(l, w, log) },
		func() error { return b.openReaders(l, w, log) },
	} {
		if err := open(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

func (b *Board) openOutputs(l *lines, w Wiring, log *slog.Logger) error {
	for _, d := range w.Doors {
		lock, err := openLock(l, d, log)
		if err != nil {
			return err
		}
		b.locks[d.ID] = lock
		b.wg.Go(lock.run)
	}
	for _, o := range w.Outputs {
		out, err := openOutput(l, o, log)
		if err != nil {
			return err
		}
		b.outputs[o.ID] = out
		b.wg.Go(out.run)
	}
	return nil
}

func (b *Board) openInputs(l *lines, w Wiring, log *slog.Logger) error {
	for _, d := range w.Doors {
		if err := b.openInput(l, contactSpec(d), d.ID, b.contacts, log); err != nil {
			return err
		}
		if err := b.openInput(l, rexSpec(d), d.ID, b.rexes, log); err != nil {
			return err
		}
	}
	for _, i := range w.Inputs {
		if err := b.openInput(l, inputOf(i), i.ID, b.inputs, log); err != nil {
			return err
		}
	}
	return nil
}

// openInput opens an input that is wired.
func (b *Board) openInput(l *lines, s inputSpec, id string, into map[string]*Input, log *slog.Logger) error {
	if s.line == "" {
		return nil
	}
	in, err := openInput(l, s, log.With("input", s.name))
	if err != nil {
		return err
	}
	into[id] = in
	b.wg.Go(in.run)
	return nil
}

func (b *Board) openReaders(l *lines, w Wiring, log *slog.Logger) error {
	for _, rw := range w.Readers {
		if err := b.openReader(l, rw, log.With("reader", rw.ID)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Board) openReader(l *lines, w ReaderWiring, log *slog.Logger) error {
	show, err := openIndicator(l, w, log)
	if err != nil {
		return err
	}
	set, err := takeReaderSet(l, w)
	if err != nil {
		return errors.Join(err, show.release())
	}
	src, err := set.open()
	if err != nil {
		return errors.Join(err, show.release())
	}
	if len(w.Spare) < 2 {
		log.Warn("reader has fewer than two spare lines, a busy moment can lose bits", "queue", 16*(2+len(w.Spare)))
	}
	keep := newKeeper(set.purpose, src, set.open, log)
	r := newReader(w.ID, orDefault(w.Silence, DefaultSilence), keep, show, log)
	b.readers[w.ID] = r
	b.wg.Go(r.run)
	for _, run := range []func(){show.run, show.led.run, show.buzzer.run} {
		b.wg.Go(run)
	}
	tampers := map[string]*Input{}
	err = b.openInput(l, tamperSpec(w), w.ID, tampers, log)
	r.tamper = tampers[w.ID]
	return err
}

// Reader returns the reader of an id.
func (b *Board) Reader(id string) (*Reader, bool) {
	r, ok := b.readers[id]
	return r, ok
}

// Lock returns the lock output of a door, or nil when there is no such door.
func (b *Board) Lock(door string) *Output { return b.locks[door] }

// Contact returns the contact of a door, or nil when none is wired.
func (b *Board) Contact(door string) *Input { return b.contacts[door] }

// REX returns the REX input of a door, or nil when none is wired.
func (b *Board) REX(door string) *Input { return b.rexes[door] }

// Tamper returns the tamper input of a reader, or nil when none is wired: the
// reader is not supervised.
func (b *Board) Tamper(reader string) *Input {
	if r, ok := b.readers[reader]; ok {
		return r.tamper
	}
	return nil
}

// Input returns an auxiliary input, or nil when there is none of that id.
func (b *Board) Input(id string) *Input { return b.inputs[id] }

// Output returns an auxiliary output, or nil when there is none of that id.
func (b *Board) Output(id string) *Output { return b.outputs[id] }

// Faults returns what is at fault now, sorted by text. Each error names its part
// and wraps ErrFault.
func (b *Board) Faults() []error {
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	for _, in := range b.everyInput() {
		add(in.Fault())
	}
	for _, d := range b.everyDriver() {
		_, err := d.state()
		add(err)
	}
	for _, r := range b.readers {
		add(r.Fault())
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

func (b *Board) everyInput() []*Input {
	var all []*Input
	for _, inputs := range []map[string]*Input{b.contacts, b.rexes, b.inputs} {
		all = slices.AppendSeq(all, maps.Values(inputs))
	}
	for _, r := range b.readers {
		if r.tamper != nil {
			all = append(all, r.tamper)
		}
	}
	return all
}

// everyDriver returns all outputs, the locks first.
func (b *Board) everyDriver() []*driver {
	var all []*driver
	for _, outputs := range []map[string]*Output{b.locks, b.outputs} {
		for _, o := range outputs {
			all = append(all, o.driver)
		}
	}
	for _, r := range b.readers {
		for _, d := range []*driver{r.show.led, r.show.buzzer} {
			if d != nil {
				all = append(all, d)
			}
		}
	}
	return all
}

// Close puts every output at rest, the locks first, ends all reading, and
// releases all lines. It returns when no goroutine of the board is left; Read
// and Next return errors that wrap os.ErrClosed from then on.
func (b *Board) Close() error { return b.close() }

func (b *Board) closeLines() error {
	var errs []error
	for _, d := range b.everyDriver() {
		errs = append(errs, d.close())
	}
	for _, in := range b.everyInput() {
		errs = append(errs, in.keep.Close())
	}
	for _, r := range b.readers {
		errs = append(errs, r.keep.Close())
		close(r.show.stop)
	}
	b.wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close board: %w", err)
	}
	return nil
}
