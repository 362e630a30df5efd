package main

import (
	"fmt"
	"log/slog"

	"postern/config"
	"postern/controller"
	"postern/hal"
	"postern/wiegand"
)

// openBoard opens the board that the configuration names; the Sim is nil on a
// real one.
func openBoard(cfg *config.Config, log *slog.Logger) (*hal.Board, *hal.Sim, error) {
	w := wiringOf(cfg)
	if cfg.Board.Driver == config.Simulated {
		b, sim := hal.OpenSim(w, log)
		return b, sim, nil
	}
	b, err := hal.Open(w, log)
	if err != nil {
		return nil, nil, fmt.Errorf("open board: %w", err)
	}
	return b, nil, nil
}

func wiringOf(cfg *config.Config) hal.Wiring {
	var w hal.Wiring
	for _, r := range cfg.Readers {
		spare := r.Spare
		if len(spare) == 0 {
			// A simulated reader may leave its lines out, and has room for as
			// many pulses as a real one must have.
			spare = []string{"spare", "spare"}
		}
		w.Readers = append(w.Readers, hal.ReaderWiring{
			ID: r.ID, D0: r.D0, D1: r.D1, Spare: spare, Pull: hal.Pull(r.Pull), Silence: r.Silence,
			LED: r.LED, Buzzer: r.Buzzer, LEDActiveLow: r.LEDActiveLow, BuzzerActiveLow: r.BuzzerActiveLow,
		})
	}
	for _, d := range cfg.Doors {
		kind := hal.Strike
		if d.Lock == config.Maglock {
			kind = hal.Maglock
		}
		w.Doors = append(w.Doors, hal.DoorWiring{
			ID: d.ID, Lock: d.Output, LockKind: kind, LockActiveLow: d.OutputActiveLow,
			RestReleased: d.OnPanelDead == config.DeadReleased,
			Contact:      d.Contact, ContactOpenLow: d.ContactOpen == config.Low, ContactDebounce: d.Debounce,
			REX: d.REX, REXPressedHigh: d.REXActive == config.High, REXDebounce: d.Debounce,
		})
	}
	return w
}

// boardReader gives a hal.Reader the controller's signals.
type boardReader struct{ *hal.Reader }

// Indicate shows a signal.
func (r boardReader) Indicate(s controller.Signal) {
	switch s {
	case controller.SignalGranted:
		r.Reader.Indicate(hal.Granted)
	case controller.SignalDenied:
		r.Reader.Indicate(hal.Denied)
	case controller.SignalPINWanted:
		r.Reader.Indicate(hal.PINWanted)
	default:
		r.Reader.Indicate(hal.Idle)
	}
}

// readersOf gives the controller its readers.
func readersOf(cfg *config.Config, b *hal.Board) []controller.ReaderWiring {
	var out []controller.ReaderWiring
	for _, r := range cfg.Readers {
		dev, ok := b.Reader(r.ID)
		if !ok {
			continue
		}
		out = append(out, controller.ReaderWiring{
			ID: r.ID, Device: boardReader{dev}, Formats: formatsOf(r.Formats), Matcher: r.Matcher(), Keypad: r.Keypad,
		})
	}
	return out
}

// formatsOf looks formats up that the configuration has checked.
func formatsOf(names []string) []wiegand.Format {
	var out []wiegand.Format
	for _, n := range names {
		if f, ok := wiegand.Lookup(n); ok {
			out = append(out, f)
		}
	}
	return out
}

// doorsOf gives the controller its doors.
func doorsOf(cfg *config.Config, b *hal.Board) []controller.DoorWiring {
	var out []controller.DoorWiring
	for _, d := range cfg.Doors {
		w := controller.DoorWiring{ID: d.ID, Lock: b.Lock(d.ID), RelockOnClose: d.Lock == config.Maglock}
		// A nil *hal.Input must not become an Input that is not nil.
		if in := b.Contact(d.ID); in != nil {
			w.Contact = in
		}
		if in := b.REX(d.ID); in != nil {
			w.REX = in
		}
		out = append(out, w)
	}
	return out
}
