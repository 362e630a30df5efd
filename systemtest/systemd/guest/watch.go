//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sampleTime is the pause between two samples of a line.
const sampleTime = 2 * time.Millisecond

// level is what a line had from a time on.
type level struct {
	At   time.Duration // of the monotonic clock
	High bool
}

// samples is what a watcher saw.
type samples struct {
	Count   int
	Longest time.Duration // the longest between two samples
	Levels  []level       // the first, and every change
}

// maxLevels bounds the changes that are kept; a line of a door has few.
const maxLevels = 10_000

// watch samples a line's value until standard input ends, and prints samples.
func watch(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var stop atomic.Bool
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); stop.Store(true) }()
	if err := realTime(30); err != nil {
		return err
	}
	var s samples
	fmt.Println("watching")
	fd, buf, last := int(f.Fd()), make([]byte, 8), now()
	for !stop.Load() && len(s.Levels) < maxLevels {
		if _, err := unix.Pread(fd, buf, 0); err != nil {
			return fmt.Errorf("sample: %w", err)
		}
		at, high := now(), buf[0] == '1'
		if s.Count > 0 {
			s.Longest = max(s.Longest, at-last)
		}
		last = at
		s.Count++
		if n := len(s.Levels); n == 0 || s.Levels[n-1].High != high {
			s.Levels = append(s.Levels, level{at, high})
		}
		t := unix.NsecToTimespec(int64(sampleTime))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil)
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// watcher is a running watch.
type watcher struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startWatch watches a line until stop; it returns once samples are taken.
func startWatch(number int) (*watcher, error) {
	file, err := lineFile(number, "value")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "watch", file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	first := make([]byte, len("watching\n"))
	if _, err := io.ReadFull(out, first); err != nil {
		return nil, fmt.Errorf("start to watch: %w", err)
	}
	return &watcher{cmd, in, json.NewDecoder(out)}, nil
}

// stop returns what was seen.
func (w *watcher) stop() (samples, error) {
	var s samples
	_ = w.in.Close() // ends the watch
	if err := w.out.Decode(&s); err != nil {
		return s, fmt.Errorf("read samples: %w", err)
	}
	return s, w.cmd.Wait()
}

// rose returns when the line first became high after a time.
func (s samples) rose(after time.Duration) (time.Duration, bool) { return s.turned(after, true) }

// fell returns when the line first became low after a time.
func (s samples) fell(after time.Duration) (time.Duration, bool) { return s.turned(after, false) }

func (s samples) turned(after time.Duration, high bool) (time.Duration, bool) {
	for i, l := range s.Levels {
		if i > 0 && l.At >= after && l.High == high {
			return l.At, true
		}
	}
	return 0, false
}

// everHigh reports whether any sample found the line high.
func (s samples) everHigh() bool {
	for _, l := range s.Levels {
		if l.High {
			return true
		}
	}
	return false
}
