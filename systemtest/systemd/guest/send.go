//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The lines of the reader, as the shipped configurations have them.
const (
	lineD0 = 17
	lineD1 = 27
)

const (
	// bitTime is slow enough for an emulated processor, and well within SIA AC-01
	// (200 µs to 20 ms).
	bitTime   = 5 * time.Millisecond
	pulseTime = 100 * time.Microsecond
	// frameGap is silence between two frames, and leaves the daemon time to run.
	frameGap = 700 * time.Millisecond
)

// sent tells how well a sender kept its times.
type sent struct {
	Late time.Duration // the latest that a bit was
}

// realTime makes this thread a real-time one, which no other work of the guest
// keeps waiting, and keeps the garbage collector off it.
func realTime(priority uint32) error {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("set SCHED_FIFO: %w", err)
	}
	return nil
}

// now is the guest's monotonic clock, the same that systemd's times are of.
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // can't fail for this clock
	return time.Duration(t.Nano())
}

// spinUntil burns time: a sleep under emulation is too coarse for a pulse.
func spinUntil(t time.Duration) {
	for now() < t {
	}
}

// send puts frames on the lines, each a string of bits, and tells how late the
// latest bit was: a frame that was torn by a busy host proves nothing.
func send(frames []string) error {
	var pulls [2]int
	for i, number := range []int{lineD0, lineD1} {
		path, err := lineFile(number, "pull")
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		pulls[i] = int(f.Fd())
	}
	if err := realTime(20); err != nil {
		return err
	}
	var s sent
	for i, frame := range frames {
		if strings.Trim(frame, "01") != "" {
			return fmt.Errorf("frame %q: want bits", frame)
		}
		if i > 0 {
			time.Sleep(frameGap)
		}
		next := now() + time.Millisecond
		for _, bit := range frame {
			spinUntil(next)
			start := now()
			s.Late = max(s.Late, start-next)
			if err := pulse(pulls[bit-'0']); err != nil {
				return err
			}
			next = start + bitTime // never catches up in a burst
		}
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

func pulse(pull int) error {
	if _, err := unix.Pwrite(pull, []byte("pull-down"), 0); err != nil {
		return fmt.Errorf("pull a line: %w", err)
	}
	spinUntil(now() + pulseTime)
	if _, err := unix.Pwrite(pull, []byte("pull-up"), 0); err != nil {
		return fmt.Errorf("pull a line: %w", err)
	}
	return nil
}

// keypad4 returns the frames of digits and of # on a keypad with 4-bit bursts.
func keypad4(keys string) []string {
	var frames []string
	for _, k := range keys {
		v := 0xb
		if k != '#' {
			v = int(k - '0')
		}
		frames = append(frames, fmt.Sprintf("%04b", v))
	}
	return frames
}
