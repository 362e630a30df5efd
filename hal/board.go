package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Board is a panel's readers, locks and inputs. It is safe for use by several
// goroutines.
type Board struct {
	readers  map[string]*Reader
	locks    map[string]*Output
	contacts map[string]*Input
	rexes    map[string]*Input

	// wg counts the goroutines that Close waits for.
	wg    sync.WaitGroup
	close func() error
}

// newBoard opens all lines on the chips, the locks first, and starts reading. On
// an error all is at rest and released again.
func newBoard(chips []chip, w Wiring, log *slog.Logger) (*Board, error) {
	b := &Board{
		readers: map[string]*Reader{}, locks: map[string]*Output{},
		contacts: map[string]*Input{}, rexes: map[string]*Input{},
	}
	b.close = sync.OnceValue(b.closeLines)
	l := newLines(chips)
	for _, open := range []func() error{
		func() error { return b.openLocks(l, w) },
		func() error { return b.openInputs(l, w, log) },
		func() error { return b.openReaders(l, w, log) },
	} {
		if err := open(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

func (b *Board) openLocks(l *lines, w Wiring) error {
	for _, d := range w.Doors {
		lock, err := openOutput(l, d)
		if err != nil {
			return err
		}
		b.locks[d.ID] = lock
	}
	return nil
}

func (b *Board) openInputs(l *lines, w Wiring, log *slog.Logger) error {
	for _, d := range w.Doors {
		for _, input := range []struct {
			spec inputSpec
			into map[string]*Input
		}{
			{contactSpec(d), b.contacts},
			{rexSpec(d), b.rexes},
		} {
			if input.spec.line == "" {
				continue
			}
			in, err := openInput(l, input.spec, log.With("input", input.spec.name))
			if err != nil {
				return err
			}
			input.into[d.ID] = in
			b.wg.Go(in.run)
		}
	}
	return nil
}

func (b *Board) openReaders(l *lines, w Wiring, log *slog.Logger) error {
	for _, rw := range w.Readers {
		log := log.With("reader", rw.ID)
		show, err := openIndicator(l, rw, log)
		if err != nil {
			return err
		}
		src, err := openReaderEdges(l, rw)
		if err != nil {
			return errors.Join(err, show.release())
		}
		if len(rw.Spare) < 2 {
			log.Warn("reader has fewer than two spare lines, a busy moment can lose bits", "queue", 16*(2+len(rw.Spare)))
		}
		r := newReader(rw.ID, orDefault(rw.Silence, DefaultSilence), src, show, log)
		b.readers[rw.ID] = r
		b.wg.Go(show.run)
		b.wg.Go(r.run)
	}
	return nil
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

// Close puts every output at rest, the locks first, ends all reading, and
// releases all lines. It returns when no goroutine of the board is left; Read
// and Next return errors that wrap os.ErrClosed from then on.
func (b *Board) Close() error { return b.close() }

func (b *Board) closeLines() error {
	var errs []error
	for _, o := range b.locks {
		errs = append(errs, o.close())
	}
	for _, inputs := range []map[string]*Input{b.contacts, b.rexes} {
		for _, in := range inputs {
			errs = append(errs, in.edges.Close())
		}
	}
	for _, r := range b.readers {
		errs = append(errs, r.src.Close())
		close(r.show.stop)
	}
	b.wg.Wait()
	for _, r := range b.readers {
		errs = append(errs, r.show.release())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close board: %w", err)
	}
	return nil
}
