package hal

import (
	"errors"
	"fmt"
	"log/slog"

	"periph.io/x/conn/v3/gpio"
)

// restChips puts every output of a wiring at rest, the locks first, and releases
// it. One that can't be driven does not keep the others from it.
func restChips(chips []chip, w Wiring, log *slog.Logger) error {
	l := newLines(chips)
	var errs []error
	rest := func(purpose, line string, level gpio.Level) {
		d, err := openDriver(l, purpose, line, level, log)
		if err != nil {
			errs = append(errs, err)
			return
		}
		d.line.Close()
		log.Info("output is at rest", "output", purpose, "line", line, "level", level.String())
	}
	for _, d := range w.Doors {
		rest(lockPurpose(d), d.Lock, d.lockLevel(d.RestReleased))
	}
	for _, o := range w.Outputs {
		rest(outputPurpose(o), o.Line, o.level(false))
	}
	for _, r := range w.Readers {
		if r.LED != "" {
			rest(ledPurpose(r), r.LED, gpio.Level(r.LEDActiveLow))
		}
		if r.Buzzer != "" {
			rest(buzzerPurpose(r), r.Buzzer, gpio.Level(r.BuzzerActiveLow))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("put outputs at rest: %w", err)
	}
	return nil
}
