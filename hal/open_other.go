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
