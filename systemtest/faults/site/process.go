package site

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that is kept running: when it ends, it is started again.
type Process struct {
	Name string
	path string
	args []string
	log  string // file that it writes to

	mu      sync.Mutex // guards the rest
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	stopped bool          // it is not to run
	kills   int
	ended   []string // how it ended by itself
}

func newProcess(name, path, log string, args ...string) *Process {
	return &Process{Name: name, path: path, args: args, log: log, stopped: true}
}

// Start starts it, if it does not run.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = false
	if p.cmd != nil {
		return nil
	}
	return p.start()
}

func (p *Process) start() error {
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer f.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go p.watch(cmd, done)
	return nil
}

// restartPause keeps a program that ends at once from being started in a loop.
const restartPause = 500 * time.Millisecond

// watch starts it again when it has ended without having been told to.
func (p *Process) watch(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(done)
	if p.cmd != cmd {
		return // it was killed, and another runs
	}
	p.cmd = nil
	if p.stopped {
		return
	}
	p.ended = append(p.ended, fmt.Sprintf("%s ended by itself: %v", p.Name, err))
	time.AfterFunc(restartPause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.cmd == nil && !p.stopped {
			_ = p.start() // or it is missed, which shows
		}
	})
}

// Kill kills it with SIGKILL and starts it again at once; between runs while it
// is dead, and may be nil.
func (p *Process) Kill(between func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cmd, done := p.cmd, p.done; cmd != nil {
		p.cmd = nil
		_ = cmd.Process.Kill()
		p.mu.Unlock()
		<-done
		p.mu.Lock()
	}
	p.kills++
	if between != nil {
		if err := between(); err != nil {
			return err
		}
	}
	if p.cmd != nil || p.stopped {
		return nil
	}
	return p.start()
}

// Stop ends it with SIGTERM, or SIGKILL where it does not obey, and leaves it so.
func (p *Process) Stop() {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.stopped = true
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

// Kills is how often it was killed.
func (p *Process) Kills() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kills
}

// Ended tells of the times that it ended by itself.
func (p *Process) Ended() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ended...)
}

// PID is that of the running process, 0 when none runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// LogTail is the end of what it wrote.
func (p *Process) LogTail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Eventually tries until ok gives nil, every pause, for at most patience.
func Eventually(ctx context.Context, what string, patience, pause time.Duration, ok func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
