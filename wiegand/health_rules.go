package wiegand

import (
	"errors"
	"fmt"
	"time"
)

// HealthState is how a reader is.
type HealthState string

// The states, the gravest first: of several that hold at once, the first of them
// is the reader's.
const (
	HealthTampered      HealthState = "tampered"       // its case is open
	HealthStuck         HealthState = "stuck"          // a data line is held
	HealthLost          HealthState = "lost"           // its heartbeats stopped
	HealthSwapped       HealthState = "swapped"        // D0 and D1 change places
	HealthFaulty        HealthState = "faulty"         // no frame is right
	HealthDegraded      HealthState = "degraded"       // many frames are wrong, or there is noise
	HealthOK            HealthState = "ok"             // heard, and right
	HealthNotSupervised HealthState = "not supervised" // not heard, and silence tells nothing
)

// HealthRules are the thresholds of [Health]. A member that is zero has its
// default, but for Heartbeat.
type HealthRules struct {
	// Heartbeat is how often the reader sends a sign of life; 0 where it sends
	// none, as most do.
	Heartbeat time.Duration
	// Missed is how many heartbeats in a row are missing when it is lost;
	// default 3.
	Missed int
	// Quiet is for how long a right frame proves a reader without heartbeats;
	// default 7 days, so that a week-end changes nothing.
	Quiet time.Duration
	// Settle is how long a tamper contact must be closed and a line free before
	// they count for mended; default 10 s.
	Settle time.Duration
	// Wrong is how many of the last 16 frames are wrong in a degraded reader, 1
	// to 16; default 4.
	Wrong int
	// Row is how many frames in a row are wrong in a faulty reader; default 6. A
	// card of a foreign format looks the same, so it is not a small number.
	Row int
	// Mend is how many right frames in a row end both; default 4.
	Mend int
	// Strays is how many stray pulse trains, each within Calm of the one before,
	// degrade a reader; default 10.
	Strays int
	// Calm is how long without a stray train ends that; default 10 min.
	Calm time.Duration
}

// healthWindow is the number of frames that Wrong is of.
const healthWindow = 16

// The bounds of the rules.
const (
	maxHealthTime  = 366 * 24 * time.Hour
	maxHealthCount = 100
)

// DefaultHealthRules returns the defaults, for a reader without heartbeats.
func DefaultHealthRules() HealthRules {
	return HealthRules{
		Missed: 3,
		Quiet:  7 * 24 * time.Hour,
		Settle: 10 * time.Second,
		Wrong:  4,
		Row:    6,
		Mend:   4,
		Strays: 10,
		Calm:   10 * time.Minute,
	}
}

// Validate reports every fault of the rules at once, or nil.
func (r HealthRules) Validate() error {
	var faults []error
	for _, t := range []struct {
		name string
		v    time.Duration
	}{{"heartbeat", r.Heartbeat}, {"quiet", r.Quiet}, {"settle", r.Settle}, {"calm", r.Calm}} {
		if t.v < 0 || t.v > maxHealthTime {
			faults = append(faults, fmt.Errorf("%s: %v: want 0 to %v", t.name, t.v, maxHealthTime))
		}
	}
	for _, n := range []struct {
		name   string
		v, top int
	}{
		{"missed", r.Missed, maxHealthCount},
		{"wrong", r.Wrong, healthWindow},
		{"row", r.Row, maxHealthCount},
		{"mend", r.Mend, maxHealthCount},
		{"strays", r.Strays, maxHealthCount},
	} {
		if n.v < 0 || n.v > n.top {
			faults = append(faults, fmt.Errorf("%s: %d: want 0 to %d", n.name, n.v, n.top))
		}
	}
	return errors.Join(faults...)
}

// filled returns the rules with the defaults where they are zero.
func (r HealthRules) filled() HealthRules {
	d := DefaultHealthRules()
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&r.Missed, d.Missed)
	or(&r.Wrong, d.Wrong)
	or(&r.Row, d.Row)
	or(&r.Mend, d.Mend)
	or(&r.Strays, d.Strays)
	orTime(&r.Quiet, d.Quiet)
	orTime(&r.Settle, d.Settle)
	orTime(&r.Calm, d.Calm)
	return r
}
