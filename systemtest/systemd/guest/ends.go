//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// backWithin is the most a door may be without its daemon after a kill.
const backWithin = 2 * time.Second

// hungFor is how long a test waits for the watchdog, which has to bite within the
// unit's WatchdogSec=.
const hungFor = 10 * time.Second

// killed kills the daemon at rest, and expects it back in time, and the strike
// at rest at every moment.
func (b *bench) killed() error {
	w, err := startWatch(lineStrike)
	if err != nil {
		return err
	}
	var back []time.Duration
	for range b.kills {
		u, err := show(service)
		if err != nil {
			return err
		}
		at := now()
		if err := kill(u.pid(), unix.SIGKILL); err != nil {
			return err
		}
		time.Sleep(backWithin)
		u, err = waitReady(service, u.restarts()+1, patience)
		if err != nil {
			return fmt.Errorf("after kill -9: %w", err)
		}
		back = append(back, u.at("ActiveEnter")-at)
	}
	s, err := w.stop()
	if err != nil {
		return err
	}
	slices.Sort(back)
	b.row(slices.Max(back) <= backWithin, fmt.Sprintf("killed with kill -9 (%d times), it is back within %s", b.kills, backWithin), seconds(slices.Max(back)),
		fmt.Sprintf("of guest time, to READY=1; the times: %v", rounded(back)))
	b.row(!s.everHigh(), "meanwhile the strike never leaves its rest", s.verdict(), s.detail())
	return nil
}

// killedWhileOpen kills the daemon while the strike is released.
func (b *bench) killedWhileOpen() error {
	fell, s, err := b.endWhileOpen(unix.SIGKILL, backWithin)
	if err != nil {
		return fmt.Errorf("after kill -9: %w", err)
	}
	b.row(s.inTime && fell <= backWithin && !s.again, "killed while the strike is released, it comes to rest and stays there",
		seconds(fell)+" after the kill", s.detail())
	return nil
}

// hangsWhileOpen stops the daemon while the strike is released: it stays so until
// the watchdog bites.
func (b *bench) hangsWhileOpen() error {
	fell, s, err := b.endWhileOpen(unix.SIGSTOP, hungFor)
	if err != nil {
		return fmt.Errorf("after a hang: %w", err)
	}
	bites, err := watchdogBites()
	if err != nil {
		return err
	}
	b.row(s.inTime && fell <= hungFor+backWithin && !s.again && bites == 2,
		"stopped while the strike is released, the watchdog puts it at rest and it stays there",
		seconds(fell)+" after SIGSTOP", fmt.Sprintf("%s; the watchdog bit %d times", s.detail(), bites))
	return nil
}

// ended is what a watcher saw of the strike while its daemon was ended.
type ended struct {
	samples
	inTime bool // whether the strike was at rest before the next daemon was started
	again  bool // whether it was released again after it came to rest
}

func (e ended) detail() string {
	return fmt.Sprintf("before the next daemon was started: %v; released again by itself: %v; %s", e.inTime, e.again, e.samples.detail())
}

// endWhileOpen releases the strike, sends the daemon a signal, and waits until
// systemd has it back. It returns how long after the signal the strike was at
// rest, 0 when it never was, and what was seen.
func (b *bench) endWhileOpen(signal unix.Signal, wait time.Duration) (fell time.Duration, seen ended, err error) {
	w, err := startWatch(lineStrike)
	if err != nil {
		return 0, seen, err
	}
	u, err := show(service)
	if err != nil {
		return 0, seen, err
	}
	if _, err := command("/usr/bin/postern", "unlock", "server"); err != nil {
		return 0, seen, err
	}
	at := now()
	if err := kill(u.pid(), signal); err != nil {
		return 0, seen, err
	}
	time.Sleep(wait)
	if u, err = waitReady(service, u.restarts()+1, patience); err != nil {
		return 0, seen, err
	}
	time.Sleep(strikeTime)
	if seen.samples, err = w.stop(); err != nil {
		return 0, seen, err
	}
	rest, ok := seen.fell(at)
	if _, rose := seen.rose(0); !rose || !ok {
		return 0, seen, nil
	}
	seen.inTime = rest < u.at("ExecMainStart")
	_, seen.again = seen.rose(rest)
	return rest - at, seen, nil
}

// hangs stops the daemon, as a deadlock would, and expects the watchdog to bite.
func (b *bench) hangs() error {
	u, err := show(service)
	if err != nil {
		return err
	}
	w, err := startWatch(lineStrike)
	if err != nil {
		return err
	}
	at := now()
	if err := kill(u.pid(), unix.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(hungFor)
	u, err = waitReady(service, u.restarts()+1, patience)
	if err != nil {
		return fmt.Errorf("after a hang: %w", err)
	}
	s, err := w.stop()
	if err != nil {
		return err
	}
	bites, err := watchdogBites()
	if err != nil {
		return err
	}
	back := u.at("ActiveEnter") - at
	b.row(bites == 1 && back <= hungFor+backWithin, "stopped with SIGSTOP, the watchdog restarts it", seconds(back),
		fmt.Sprintf("to READY=1; at most %s; systemd says %d times that it was the watchdog", hungFor+backWithin, bites))
	b.row(!s.everHigh(), "meanwhile the strike never leaves its rest", s.verdict(), s.detail())
	return nil
}

// watchdogBites is how often systemd says that the daemon's watchdog bit.
func watchdogBites() (int, error) {
	out, err := command("journalctl", "-u", service, "-o", "cat", "--no-pager")
	return strings.Count(out, "Watchdog timeout"), err
}

// rested counts how often relay-rest has done its work.
func (b *bench) rested() error {
	out, err := command("journalctl", "-u", service, "-o", "cat", "--no-pager")
	if err != nil {
		return err
	}
	want := b.kills + 3
	got := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, "output is at rest") && strings.Contains(line, "line=GPIO24 ") {
			got++
		}
	}
	b.row(got == want, "relay-rest puts the strike at rest after every end of the daemon", fmt.Sprintf("%d of %d times", got, want), "under the unit's sandbox, by ExecStopPost")
	return nil
}

func rounded(all []time.Duration) []time.Duration {
	var out []time.Duration
	for _, d := range all {
		out = append(out, d.Round(10*time.Millisecond))
	}
	return out
}

func (s samples) verdict() string {
	if s.everHigh() {
		return "released"
	}
	return "at rest in all samples"
}

func (s samples) detail() string {
	return fmt.Sprintf("%d samples, the longest pause %d ms", s.Count, s.Longest.Milliseconds())
}
