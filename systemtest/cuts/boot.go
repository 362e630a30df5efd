package cuts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"postern/systemtest/cuts/history"
	"postern/systemtest/machine"
)

// boot is one life of the machine. One goroutine reads what it says.
type boot struct {
	s    *site
	vm   *machine.VM
	from time.Time // when it began
	asks int       // how many events the journal is asked for
	was  uint64    // the revision acknowledged before

	mu      sync.Mutex // guards the rest, and the site's memory
	changed chan struct{}
	mounted bool
	ready   bool
	check   *history.Check
	fatal   string
	told    int // acknowledgements in this life
	ended   bool
	err     error
}

var reAny = regexp.MustCompile(`(?s)^.*$`)

func (s *site) start(ctx context.Context) (*boot, error) {
	vm, err := machine.Start(ctx, machine.Options{
		Arch: arch, Kernel: s.kernel.Image, Initrd: s.initrd, Log: s.log,
		Append: fmt.Sprintf("quiet now=%d", time.Now().Unix()),
		Drives: []machine.Drive{{File: s.image}},
	})
	if err != nil {
		return nil, err
	}
	b := &boot{s: s, vm: vm, from: time.Now(), asks: len(s.memory.events), was: s.memory.revision, changed: make(chan struct{})}
	go b.read()
	return b, nil
}

// read takes every line, also those that came before a cut and are read after it.
func (b *boot) read() {
	for {
		// The machine's end ends this: Kill and the context of Start see to it.
		m, err := b.vm.Expect(context.Background(), reAny)
		b.mu.Lock()
		if err != nil {
			b.ended = true
		} else {
			b.line(strings.TrimRight(m[0], "\r"))
		}
		close(b.changed)
		b.changed = make(chan struct{})
		ended := b.ended
		b.mu.Unlock()
		if ended {
			return
		}
	}
}

func (b *boot) line(text string) {
	switch {
	case reMounted.MatchString(text):
		b.mounted = true
	case reReady.MatchString(text):
		b.ready = true
	case reChecked.MatchString(text):
		c, err := decodeCheck(reChecked.FindStringSubmatch(text)[1])
		b.check, b.err = &c, errors.Join(b.err, err)
	case reFatal.MatchString(text):
		b.fatal = reFatal.FindStringSubmatch(text)[1]
	default:
		told, err := b.s.memory.take(text)
		b.err = errors.Join(b.err, err)
		if told {
			b.told++
		}
	}
}

// wait waits until f, which is called under the lock, is true.
func (b *boot) wait(ctx context.Context, what string, f func() bool) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		b.mu.Lock()
		done, changed := f(), b.changed
		err := b.err
		if b.fatal != "" {
			err = errors.Join(err, errors.New(b.fatal))
		} else if b.ended && !done {
			err = errors.Join(err, machine.ErrEnded)
		}
		b.mu.Unlock()
		if err != nil {
			return fmt.Errorf("wait for %s: %w; the last lines:\n%s", what, err, b.vm.Last())
		}
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; the last lines:\n%s", what, ctx.Err(), b.vm.Last())
		}
	}
}

// count is how many acknowledgements came in this life.
func (b *boot) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// cut boots, and takes the power: while the panel works, or one time in five while
// it starts.
func (s *site) cut(ctx context.Context) error {
	b, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer b.vm.Kill()
	after := time.Duration(s.rand.IntN(400)) * time.Millisecond
	if s.rand.IntN(5) == 0 && s.working > 0 {
		if err := b.wait(ctx, "the disk", func() bool { return b.mounted }); err != nil {
			return err
		}
		// The daemon takes some seconds to start.
		after *= 10
		s.starting++
	} else {
		if err := b.checked(ctx); err != nil {
			return err
		}
		s.boot = append(s.boot, time.Since(b.from))
		enough, from, changes := 20+s.rand.IntN(150), b.count(), 1+s.rand.Uint64N(60)
		if err := b.wait(ctx, "acknowledgements", func() bool {
			return b.told >= from+enough && s.memory.revision >= b.was+changes
		}); err != nil {
			return err
		}
		s.working++
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(after):
	}
	return s.take(ctx, b)
}

// take takes the power, and looks the disk over.
func (s *site) take(ctx context.Context, b *boot) error {
	b.vm.Kill()
	s.cuts++
	if err := b.wait(ctx, "the end", func() bool { return b.ended }); err != nil {
		return err
	}
	fmt.Fprintf(s.o.Progress, "    cut %d: %d acknowledgements in this life of %.1f s; in all revision %d, %d events\n",
		s.cuts, b.count(), time.Since(b.from).Seconds(), s.memory.revision, len(s.memory.events))
	return s.checkDisk(ctx)
}

// checkDisk has e2fsck play back the journal of a copy, and look it over.
func (s *site) checkDisk(ctx context.Context) error {
	again := filepath.Join(s.o.Work, "disk-copy.img")
	if err := machine.CopyDisk(ctx, s.image, again); err != nil {
		return err
	}
	defer os.Remove(again)
	if err := machine.CheckDisk(ctx, again); err != nil {
		s.faults = append(s.faults, fault{brokenDisk, 1, fmt.Sprintf("after cut %d: %v", s.cuts, err)})
	}
	return nil
}

// checked waits for the panel to start, and judges what it has.
func (b *boot) checked(ctx context.Context) error {
	if err := b.wait(ctx, "the panel's report", func() bool { return b.ready }); err != nil {
		return err
	}
	if err := b.vm.Send(fmt.Sprintf(history.LineCheck, b.asks)); err != nil {
		return err
	}
	if err := b.wait(ctx, "the check", func() bool { return b.check != nil }); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, c := b.s, b.check
	if c.Replayed {
		s.replayed++
	}
	for _, f := range s.memory.judge(*c, b.asks, b.was) {
		f.text = fmt.Sprintf("after cut %d: %s", s.cuts, f.text)
		s.faults = append(s.faults, f)
		fmt.Fprintf(s.o.Progress, "    FAULT: %s: %s\n", f.kind, f.text)
	}
	return nil
}

// last boots once more, and lets everything come up that has not.
func (s *site) last(ctx context.Context) error {
	b, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer b.vm.Kill()
	if err := b.checked(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	upTo := b.check.Revision
	b.mu.Unlock()
	missing := 0
	err = b.wait(ctx, "the results", func() bool {
		missing = s.memory.unanswered(upTo)
		return missing == 0
	})
	if missing > 0 {
		s.faults = append(s.faults, fault{neverCame, missing, err.Error()})
		return nil
	}
	return err
}
