//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The lines of the reader, as the shipped configurations have them.
const lineD0, lineD1 = "GPIO17", "GPIO27"

// pulse is one frame to send.
type pulse struct {
	bits   uint64 // the first sent is bit count-1
	count  int
	period time.Duration
	// watch is a line to watch after the last pulse, "" for none: when it becomes
	// high is told.
	watch string
}

// sent is how a frame went.
type sent struct {
	// late is the most that a pulse was late by.
	late time.Duration
	// rise is from the last pulse's falling edge until the watched line was high;
	// 0 is that it was not.
	rise time.Duration
}

// sender is the process that sends pulses.
type sender struct {
	chip *chip
	in   io.WriteCloser
	out  *bufio.Scanner
}

func startSender(c *chip) (*sender, error) {
	cmd := exec.Command("/proc/self/exe", "send", c.file(lineD0, "pull"), c.file(lineD1, "pull"))
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
		return nil, fmt.Errorf("start the sender: %w", err)
	}
	return &sender{chip: c, in: in, out: bufio.NewScanner(out)}, nil
}

// send sends a frame and returns after its last pulse, or when the watched line
// is high.
func (s *sender) send(p pulse) (sent, error) {
	watch := "-"
	if p.watch != "" {
		watch = s.chip.file(p.watch, "value")
	}
	if _, err := fmt.Fprintln(s.in, p.bits, p.count, int64(p.period), watch); err != nil {
		return sent{}, fmt.Errorf("send: %w", err)
	}
	if !s.out.Scan() {
		return sent{}, errors.Join(errors.New("the sender has ended"), s.out.Err())
	}
	var late, rise int64
	if _, err := fmt.Sscan(s.out.Text(), &late, &rise); err != nil {
		return sent{}, fmt.Errorf("the sender said %q: %w", s.out.Text(), err)
	}
	return sent{late: time.Duration(late), rise: time.Duration(rise)}, nil
}

const (
	// width is how long a pulse lasts, of the 20 to 100 µs that readers use.
	width = 50 * time.Microsecond
	// watchEvery is how exact the time of a watched line is.
	watchEvery = 50 * time.Microsecond
	watchLimit = 2 * time.Second
)

// send is the sender process. A reader does not wait until a processor has time
// for it, so this process comes before all others, and its thread never enters
// Go's scheduler while it sends.
func send() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	param := struct{ priority int32 }{20}
	if _, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&param))); errno != 0 {
		fmt.Fprintln(os.Stderr, "sender: take precedence:", errno)
		os.Exit(1)
	}
	var lines [2]int
	for i := range lines {
		fd, err := unix.Open(os.Args[2+i], unix.O_WRONLY, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sender: open line:", err)
			os.Exit(1)
		}
		lines[i] = fd
		write(fd, up)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var p pulse
		var period int64
		if _, err := fmt.Sscan(in.Text(), &p.bits, &p.count, &period, &p.watch); err != nil {
			fmt.Fprintln(os.Stderr, "sender:", err)
			os.Exit(1)
		}
		p.period = time.Duration(period)
		watched := -1
		if p.watch != "-" {
			fd, err := unix.Open(p.watch, unix.O_RDONLY, 0)
			if err != nil {
				fmt.Fprintln(os.Stderr, "sender: open watched line:", err)
				os.Exit(1)
			}
			watched = fd
		}
		late, last := sendPulses(lines, p)
		var rise int64
		if watched >= 0 {
			rise = waitHigh(watched, last)
			_ = unix.Close(watched)
		}
		fmt.Println(late, rise)
	}
}

var up, down = []byte("pull-up"), []byte("pull-down")

// sendPulses sends a frame. A pulse that is late moves those after it: a reader
// never catches up in a burst.
func sendPulses(lines [2]int, p pulse) (late, last int64) {
	next := monotonic() + int64(200*time.Microsecond)
	for i := p.count - 1; i >= 0; i-- {
		sleepUntil(next)
		last = monotonic()
		late = max(late, last-next)
		fd := lines[p.bits>>i&1]
		write(fd, down)
		sleepUntil(last + int64(width))
		write(fd, up)
		next = max(next+int64(p.period), monotonic())
	}
	return late, last
}

// waitHigh gives the time from last until a line was seen high, 0 when it was not.
func waitHigh(fd int, last int64) int64 {
	buf := make([]byte, 8)
	for now := last; now < last+int64(watchLimit); {
		n, _, _ := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		now = monotonic()
		if n > 0 && buf[0] == '1' {
			return now - last
		}
		sleepUntil(now + int64(watchEvery))
	}
	return 0
}

func write(fd int, b []byte) {
	_, _, _ = unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
}

// monotonic is CLOCK_MONOTONIC in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func sleepUntil(t int64) {
	ts := unix.NsecToTimespec(t)
	for {
		_, _, errno := unix.RawSyscall6(
			unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&ts)), 0, 0, 0,
		)
		if errno != unix.EINTR {
			return
		}
	}
}
