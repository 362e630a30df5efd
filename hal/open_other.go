//go:build !linux

package hal

import (
	"errors"
	"log/slog"
)

// Open fails: lines are reached through Linux alone. OpenSim works everywhere.
func Open(Wiring, *slog.Logger) (*Board, error) {
	return nil, errors.New("open board: GPIO lines need Linux: use simulated readers")
}

// Rest fails as Open does.
func Rest(Wiring, *slog.Logger) error {
	return errors.New("put outputs at rest: GPIO lines need Linux: there is nothing to do for simulated readers")
}
