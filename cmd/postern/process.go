package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTime is how long a program has after SIGTERM before it is killed.
const stopTime = 10 * time.Second

// process is a program that runs in a process group of its own: the terminal's
// Ctrl-C reaches the demo alone, which then stops the programs in their order.
type process struct {
	name    string
	log     string // path of what it wrote
	cmd     *exec.Cmd
	err     error         // how it ended; read after done
	done    chan struct{} // closed when it has ended
	started chan error
}

// startProcess starts a program, its output appended to a log. It is sent to
// died when it ends, stopped or not; died must have room.
func startProcess(died chan<- *process, log, path string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	p := &process{name: filepath.Base(path), log: log, cmd: exec.Command(path, args...), done: make(chan struct{}), started: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = childAttr()
	go func() {
		defer close(p.done)
		defer f.Close()
		_, p.err = onThread(func() (struct{}, error) {
			err := p.cmd.Start()
			p.started <- err
			if err == nil {
				err = p.cmd.Wait()
			}
			return struct{}{}, err
		})
		died <- p
	}()
	if err := <-p.started; err != nil {
		<-p.done
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// onThread runs f with its goroutine's thread kept alive until f returns: the
// kernel takes the death of the thread that started a program for that of the
// parent.
func onThread[T any](f func() (T, error)) (T, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// stop ends the program and whatever it started: asked first, then killed.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTime)
	}
	// What it left behind, if anything.
	p.signal(syscall.SIGKILL)
	return nil
}

func (p *process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, sig) }

// failure is that the program ended though it should have gone on.
func (p *process) failure() error {
	<-p.done
	how := "by itself"
	if p.err != nil {
		how = "with " + p.err.Error()
	}
	return fmt.Errorf("%s ended %s; its log ends: %s", p.name, how, p.tail())
}

// The end of a log that is worth telling.
const (
	tailLines = 5
	tailBytes = 4 << 10
)

// tail is the last lines of the log.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	if text := strings.Join(lines, " | "); text != "" {
		return text
	}
	return "(nothing)"
}
