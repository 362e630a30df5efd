package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// errorf is fmt.Errorf without a verb for errors.
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// freezer passes TCP connections on until it is told to freeze them: then they
// stay open, and nothing comes through any more, not even their end, as after a
// router has lost its memory.
type freezer struct {
	l  net.Listener
	to string

	mu     sync.Mutex // guards the rest
	pairs  []*frozenPair
	wait   sync.WaitGroup
	closed bool
}

type frozenPair struct {
	ends   [2]net.Conn
	frozen chan struct{}
	ended  [2]bool // which end hung up, guarded by the freezer
}

func newFreezer(t *testing.T, to string) *freezer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{l: l, to: to}
	f.wait.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

func (f *freezer) accept() {
	for {
		in, err := f.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", f.to)
		if err != nil {
			in.Close()
			continue
		}
		p := &frozenPair{ends: [2]net.Conn{in, out}, frozen: make(chan struct{})}
		f.mu.Lock()
		if f.closed {
			in.Close()
			out.Close()
		}
		f.pairs = append(f.pairs, p)
		f.mu.Unlock()
		f.wait.Go(func() { f.copy(p, 0, 1) })
		f.wait.Go(func() { f.copy(p, 1, 0) })
	}
}

// copy passes on what one end says. Of a frozen pair it goes on reading, and
// keeps what it read to itself.
func (f *freezer) copy(p *frozenPair, from, to int) {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.ends[from].Read(buf)
		select {
		case <-p.frozen:
			if err == nil {
				_, _ = io.Copy(io.Discard, p.ends[from])
			}
			f.mu.Lock()
			p.ended[from] = true
			f.mu.Unlock()
			return
		default:
		}
		if n > 0 {
			_, _ = p.ends[to].Write(buf[:n])
		}
		if err != nil {
			p.ends[0].Close()
			p.ends[1].Close()
			return
		}
	}
}

// freeze freezes the connections that are open and gives how many there are of
// all so far.
func (f *freezer) freeze() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pairs {
		select {
		case <-p.frozen:
		default:
			close(p.frozen)
		}
	}
	return len(f.pairs)
}

// since gives how many connections came after the first n, and how many of the
// first n their client has hung up.
func (f *freezer) since(n int) (later, ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pairs[:n] {
		if p.ended[0] {
			ended++
		}
	}
	return len(f.pairs) - n, ended
}

func (f *freezer) close() {
	f.l.Close()
	f.mu.Lock()
	f.closed = true
	for _, p := range f.pairs {
		p.ends[0].Close()
		p.ends[1].Close()
	}
	f.mu.Unlock()
	f.wait.Wait()
}

// A connection that is open and dead is given up by the end that nobody has told,
// and the next one makes up for what was lost on it.
func TestHalfOpenLink(t *testing.T) {
	for _, tt := range []struct {
		who  string
		kind brokerKind
	}{{"panel", embedded}, {"panel", mosquitto}, {"central", mosquitto}} {
		t.Run(tt.who+" "+string(tt.kind), func(t *testing.T) {
			t.Parallel()
			var f *freezer
			s := newSiteOn(t, tt.kind, func(who, broker string) string {
				if who != tt.who {
					return broker
				}
				f = newFreezer(t, broker)
				return f.l.Addr().String()
			})
			known := s.addCard(card)
			s.wantStatus(known.ID, "Applied")

			before := f.freeze()
			s.remove(known.ID)
			s.eventually("the dead connection is given up", func() error {
				later, ended := f.since(before)
				if ended != before || later == 0 {
					return errorf("%d of %d given up, %d new", ended, before, later)
				}
				return nil
			})
			s.eventually("the removal arrives on the next", func() error {
				if out := s.do("keys", "list"); out != "" {
					return errorf("keys %s", out)
				}
				return nil
			})
			s.badge("front", card, 201)
			s.wantEvents(1, 201)
		})
	}
}
