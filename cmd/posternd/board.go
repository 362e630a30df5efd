package main

import (
	"fmt"
	"log/slog"

	"postern/access"
	"postern/config"
	"postern/controller"
	"postern/hal"
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
			Patterns: patternsOf(r.Indication),
			Tamper:   r.Tamper, TamperActiveLow: r.TamperActive == config.Low, TamperPull: hal.Pull(r.TamperPull),
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
			Contact:      d.Contact, ContactOpenLow: d.ContactOpen == config.Low, ContactDebounce: d.ContactDebounce,
			REX: d.REX, REXPressedHigh: d.REXActive == config.High, REXDebounce: d.REXDebounce,
		})
	}
	for _, in := range cfg.Inputs {
		w.Inputs = append(w.Inputs, hal.InputWiring{
			ID: in.ID, Line: in.Line, ActiveLow: in.Active == config.Low, Supervised: in.Supervised(),
			Pull: hal.Pull(in.Pull), Debounce: in.Debounce,
		})
	}
	for _, o := range cfg.Outputs {
		w.Outputs = append(w.Outputs, hal.OutputWiring{ID: o.ID, Line: o.Line, ActiveLow: o.ActiveLow})
	}
	return w
}

// patternsOf gives the board what the configuration has its lamps and beepers do.
func patternsOf(in config.Indication) map[hal.Indication]hal.Pattern {
	out := map[hal.Indication]hal.Pattern{}
	for name, p := range in.Patterns() {
		steps := make([]hal.Step, 0, len(p.Steps))
		for _, s := range p.Steps {
			steps = append(steps, hal.Step(s))
		}
		out[hal.Indication(name)] = hal.Pattern{Steps: steps, Times: p.Times}
	}
	return out
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
	case controller.SignalLocked:
		r.Reader.Indicate(hal.LockedDown)
	case controller.SignalIdentify:
		r.Reader.Indicate(hal.Identify)
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
		w := controller.ReaderWiring{
			ID: r.ID, Device: boardReader{dev}, Formats: cfg.FormatsOf(&r), Matcher: r.Matcher(),
			Order: r.ByteOrder, Part: r.Part, Keypad: r.Keypad,
		}
		if k, ok := r.Buffered(); ok {
			w.Keypad, w.Buffered = "", &k
		}
		if alive, ok := r.HeartbeatFrame(); ok {
			w.Heartbeat, w.Alive = r.Heartbeat, alive
		}
		// A nil *hal.Input must not become an Input that is not nil.
		if in := b.Tamper(r.ID); in != nil {
			w.Tamper = in
		}
		out = append(out, w)
	}
	return out
}

// inputsOf gives the controller its auxiliary inputs.
func inputsOf(cfg *config.Config, b *hal.Board) []controller.InputWiring {
	kinds := map[config.InputKind]controller.InputKind{
		config.FireInput: controller.Fire, config.LockdownInput: controller.Lockdown,
		config.TamperInput: controller.Tamper, config.AuxInput: controller.Aux,
	}
	var out []controller.InputWiring
	for _, in := range cfg.Inputs {
		if dev := b.Input(in.ID); dev != nil {
			out = append(out, controller.InputWiring{ID: in.ID, Kind: kinds[in.Kind], Device: dev})
		}
	}
	return out
}

// doorsOf gives the controller its doors.
func doorsOf(cfg *config.Config, b *hal.Board) []controller.DoorWiring {
	var out []controller.DoorWiring
	for _, d := range cfg.Doors {
		w := controller.DoorWiring{
			ID: d.ID, Lock: b.Lock(d.ID), RelockOnClose: d.Lock == config.Maglock, FireRelease: d.FireRelease,
		}
		if d.REXAction == config.REXShunt {
			w.REXAction = access.REXShunt
		}
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
