//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"postern/access"
	"postern/api"
	"postern/systemtest/gpio/plan"
)

const (
	socketPath = "/run/postern/postern.sock"
	logPath    = "/tmp/posternd.log"
	logTold    = 40
)

// panel is a running posternd.
type panel struct {
	config   string
	cmd      *exec.Cmd
	started  time.Time // to the millisecond, as states are
	client   *api.Client
	messages chan api.Message
	stop     context.CancelFunc
	gone     chan struct{}
	err      error // how it ended; to be read after gone
}

// startPanel starts posternd and waits until it answers.
func startPanel(config string) (*panel, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, stop := context.WithCancel(context.Background())
	p := &panel{
		config: config, client: api.NewClient(socketPath), stop: stop,
		messages: make(chan api.Message, 1<<14), gone: make(chan struct{}),
	}
	p.cmd = exec.Command(plan.Posternd, "run", "--config", config)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.started = time.Now().Truncate(time.Millisecond)
	if err := p.cmd.Start(); err != nil {
		stop()
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	var seq func(func(api.Message, error) bool)
	err = until(20*time.Second, func() error {
		select {
		case <-p.gone:
			return nil
		default:
		}
		w, err := p.client.Watch(ctx)
		seq = w
		return err
	})
	if seq == nil {
		p.tellLog()
		return nil, errors.Join(fmt.Errorf("posternd with %s does not answer", config), err, p.kill(syscall.SIGKILL))
	}
	go func() {
		for m, err := range seq {
			if err != nil {
				return
			}
			p.messages <- m
		}
	}()
	return p, nil
}

// linked waits until the panel is connected to central. Its subscriptions may not
// stand yet: see heard.
func (p *panel) linked() error {
	return until(20*time.Second, func() error {
		st, err := p.client.Status(context.Background())
		if err == nil && !st.Link.Connected {
			err = fmt.Errorf("no link to central: %s", st.Link.LastError)
		}
		return err
	})
}

// kill ends the daemon by a signal and waits until it is gone.
func (p *panel) kill(sig syscall.Signal) error {
	p.stop()
	if err := p.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.gone:
		return nil
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
		return fmt.Errorf("it did not end within 10 s of %v", sig)
	}
}

// relayRest does what the unit does after every end of the daemon.
func (p *panel) relayRest() (said string, err error) {
	cmd := exec.Command(plan.Posternd, "relay-rest", "--config", p.config)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// drain forgets the messages that came so far, and gives those that f wants.
func (p *panel) drain(f func(api.Message) bool) (kept []api.Message) {
	for {
		select {
		case m := <-p.messages:
			if f != nil && f(m) {
				kept = append(kept, m)
			}
		default:
			return kept
		}
	}
}

// next gives the next message that f wants.
func (p *panel) next(limit time.Duration, f func(api.Message) bool) (api.Message, error) {
	end := time.After(limit)
	for {
		select {
		case m := <-p.messages:
			if m.Lost > 0 {
				return m, fmt.Errorf("%d messages of the daemon were lost", m.Lost)
			}
			if f(m) {
				return m, nil
			}
		case <-end:
			return api.Message{}, errNothing
		}
	}
}

var errNothing = errors.New("the daemon said nothing")

// event waits for an event of a type, of any door.
func (p *panel) event(want access.EventType, limit time.Duration) (api.Event, error) {
	return p.eventThat(want, limit, func(api.Event) bool { return true })
}

// eventOf waits for an event of a type and a door.
func (p *panel) eventOf(door string, want access.EventType, limit time.Duration) (api.Event, error) {
	return p.eventThat(want, limit, func(e api.Event) bool { return e.Door == door })
}

func (p *panel) eventThat(want access.EventType, limit time.Duration, is func(api.Event) bool) (api.Event, error) {
	m, err := p.next(limit, func(m api.Message) bool {
		return m.Kind == api.MessageEvent && m.Event.Type == want && is(*m.Event)
	})
	if err != nil {
		return api.Event{}, fmt.Errorf("wait for event %d (%s): %w", want, want.Text(), err)
	}
	return *m.Event, nil
}

// journal waits until an event of a type is among the newest of the journal, of
// the time before the panel was watched too.
func (p *panel) journal(want access.EventType, limit time.Duration) error {
	return until(limit, func() error {
		events, err := p.client.Events(context.Background(), 0, 50)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(events, func(e api.Event) bool { return e.Type == want }) {
			return fmt.Errorf("no event %d (%s) in the journal", want, want.Text())
		}
		return nil
	})
}

// tellLog tells the end of the daemon's log.
func (p *panel) tellLog() {
	raw, err := os.ReadFile(logPath)
	if err != nil {
		return
	}
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	for _, l := range lines[max(0, len(lines)-logTold):] {
		fmt.Println(plan.LogLine + strings.TrimSpace(string(l)))
	}
}
