package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postern/access"
	"postern/config"
)

const (
	clockEvery    = 10 * time.Second
	lastGoodEvery = 10 * time.Minute
	// clockStep is how far the clock and the time since the start may part from one
	// look to the next: further, and the clock was set.
	clockStep = 10 * time.Second
)

// lastGoodStore keeps the last time that was known to be right.
type lastGoodStore interface {
	LastGood() time.Time
	SetLastGood(ctx context.Context, t time.Time) error
}

// clock says how far the system's clock can be believed.
type clock struct {
	source config.ClockSource
	synced func() bool // by NTP
	rtc    func() bool
	log    *slog.Logger
	note   func(access.Event)
	began  time.Time // for the time since, which nobody can set

	mu       sync.Mutex // guards the rest
	state    access.ClockState
	told     access.ClockState // the last that news gave
	trusted  bool              // at some time since the start
	set      bool              // by something else than a time server, since the last that was heard
	lastGood time.Time
	seen     time.Time     // the clock at the last look
	seenMono time.Duration // the time since began then
}

func newClock(source config.ClockSource, log *slog.Logger) *clock {
	c := &clock{source: source, synced: kernelSynced, rtc: hasRTC, log: log, note: func(access.Event) {}, began: time.Now(), lastGood: builtTime()}
	c.judge(c.look())
	return c
}

// look reads the clock, and the time since the start.
func (c *clock) look() (time.Time, time.Duration) {
	now := time.Now()
	return now, now.Sub(c.began)
}

// now is the present time with its state.
func (c *clock) now() access.Clock {
	now, mono := c.look()
	c.mu.Lock()
	stepped := c.stepped(now, mono)
	c.mu.Unlock()
	if stepped {
		c.judge(now, mono)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return access.Clock{Now: now, State: c.state, LastGood: c.lastGood, Grace: access.UntrustedGrace}
}

// tlsTime is the time that certificates are checked at. A panel without a
// real-time clock boots in 1970, and must reach central to get on.
func (c *clock) tlsTime() time.Time {
	now := c.now()
	if now.State == access.ClockUntrusted && now.LastGood.After(now.Now) {
		return now.LastGood
	}
	return now.Now
}

// stepped reports whether the clock was set since the last look, forward or back.
// c.mu is held.
func (c *clock) stepped(now time.Time, mono time.Duration) bool {
	if c.seen.IsZero() {
		return false
	}
	return (now.Round(0).Sub(c.seen) - (mono - c.seenMono)).Abs() > clockStep
}

// judge works the state out, mono after the start.
func (c *clock) judge(now time.Time, mono time.Duration) {
	ntp := c.source == config.ClockSystem || c.synced()
	rtc := c.rtc()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = !ntp && (c.set || c.stepped(now, mono))
	c.seen, c.seenMono = now.Round(0), mono
	switch {
	case ntp:
		// A synchronised clock is right even where it is earlier than before.
		c.state, c.trusted = access.ClockTrusted, true
		if now.Before(c.lastGood) {
			c.lastGood = now
		}
	case c.set || now.Before(c.lastGood):
		c.state = access.ClockUntrusted
	case rtc:
		c.state, c.trusted = access.ClockTrusted, true
	case c.trusted:
		c.state = access.ClockHoldover
	default:
		c.state = access.ClockUntrusted
	}
}

// builtTime is when this program was made, as far as it knows: no right clock
// is earlier.
func builtTime() time.Time {
	t, err := time.Parse(time.RFC3339, builtAt)
	if err != nil {
		return time.Time{}
	}
	return t
}

// load takes the last good time from the store, unless the program is younger.
func (c *clock) load(s lastGoodStore) {
	c.mu.Lock()
	if kept := s.LastGood(); kept.After(c.lastGood) {
		c.lastGood = kept
	}
	c.mu.Unlock()
	c.judge(c.look())
	c.news()
}

// run keeps the state up to date and the last good time in the store.
func (c *clock) run(ctx context.Context, s lastGoodStore) error {
	kept := c.now().LastGood
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		now, mono := c.look()
		c.judge(now, mono)
		state, changed := c.news()
		if changed {
			c.log.Info("clock changed", "state", state.String())
			c.note(access.Event{Type: access.ClockChanged, Detail: state.String()})
		}
		if off := now.Sub(kept); state == access.ClockTrusted && (off >= lastGoodEvery || off < 0) {
			if err := s.SetLastGood(ctx, now); err != nil {
				c.log.Warn("keep last good time", "error", err)
			}
			kept = now
			c.mu.Lock()
			c.lastGood = now
			c.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// news is the state, and whether it is another than the last that news gave.
func (c *clock) news() (access.ClockState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.state != c.told
	c.told = c.state
	return c.state, changed
}

// kernelSynced reports whether the kernel's clock is synchronised (adjtimex(2)).
// The unit's sandbox forbids to ask; then what systemd-timesyncd says is taken.
func kernelSynced() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if errors.Is(err, unix.EPERM) {
		return timesyncSynced(timesyncFile, time.Now())
	}
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

// timesyncFile is touched by systemd-timesyncd each time that it has set the
// clock by a server, at least every 34 minutes while it reaches one.
const timesyncFile = "/run/systemd/timesync/synchronized"

// timesyncFor is how long a clock counts as synchronised since: what the kernel
// allows too, whose estimate of the error reaches 16 s at 500 ppm.
const timesyncFor = 8 * time.Hour

func timesyncSynced(path string, now time.Time) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	since := now.Sub(info.ModTime())
	return since < timesyncFor && since > -timesyncFor
}

// hasRTC reports whether the kernel set its clock from a real-time clock.
func hasRTC() bool {
	files, _ := filepath.Glob("/sys/class/rtc/rtc*/hctosys")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == "1" {
			return true
		}
	}
	return false
}
