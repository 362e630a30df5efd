package hal

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/wiegand"
)

// scripted is an edgeSource that plays a script: '0' and '1' are pulses, 't' is
// a time-out, 'x' a fault of the line. At the end it blocks until it is closed.
type scripted struct {
	script string
	at     int
	// waits are the time-outs that Next was called with.
	waits  []time.Duration
	played chan struct{}
	closed chan struct{}
}

var errLineGone = errors.New("line gone")

func newScripted(script string) *scripted {
	return &scripted{script: script, played: make(chan struct{}), closed: make(chan struct{})}
}

func (s *scripted) Next(timeout time.Duration) (int, error) {
	if s.at == len(s.script) {
		close(s.played)
		<-s.closed
		return 0, os.ErrClosed
	}
	s.waits = append(s.waits, timeout)
	c := s.script[s.at]
	s.at++
	switch c {
	case 't':
		return 0, os.ErrDeadlineExceeded
	case 'x':
		return 0, errLineGone
	}
	return int(c - '0'), nil
}

func (s *scripted) Close() error {
	close(s.closed)
	return nil
}

// scriptedReader has a reader on scripts, each of which comes after a fault of
// the one before.
func scriptedReader(id string, log *slog.Logger, scripts ...*scripted) *Reader {
	next := 0
	open := func() (edgeSource, error) {
		if next++; next < len(scripts) {
			return scripts[next], nil
		}
		return nil, errLineGone
	}
	return newReader(id, DefaultSilence, newKeeper[edgeSource](`reader "`+id+`"`, scripts[0], open, log), nil, log)
}

// play runs a script through a reader and returns its frames as strings, noise
// as its number of pulses.
func play(t fataler, script string) (frames []string, src *scripted) {
	t.Helper()
	src = newScripted(script)
	r := scriptedReader("r", quietLog(), src)
	go r.run()
	<-src.played
	_ = src.Close()
	<-r.done
	for {
		f, err := r.Read(context.Background())
		if errors.Is(err, os.ErrClosed) {
			return frames, src
		}
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if f.Noise() {
			frames = append(frames, strings.Repeat("n", f.Pulses))
			if f.Bits.Len() != 0 {
				t.Fatalf("noise of %d pulses has %d bits", f.Pulses, f.Bits.Len())
			}
			continue
		}
		frames = append(frames, f.Bits.String())
	}
}

func TestReaderLoop(t *testing.T) {
	long := strings.Repeat("10", 64)
	tests := []struct {
		name, script string
		want         []string
	}{
		{"one frame", "0110tt", []string{"0110"}},
		{"two frames", "0110tt1tt", []string{"0110", "1"}},
		{"events queued behind a time-out are read", "01t10tt", []string{"0110"}},
		{"a stall after each bit does not cut", "0t1t1t0tt", []string{"0110"}},
		{"an unfinished frame is dropped at the end", "0110", nil},
		{"one time-out at the end is not silence", "0110t", nil},
		{"time-outs without pulses are nothing", "tttt0tt", []string{"0"}},
		{"128 bits", long + "tt", []string{long}},
		{"129 are noise, and what follows is not", long + "1tt01tt", []string{strings.Repeat("n", 129), "01"}},
		{"long noise", strings.Repeat(long, 8) + "tt", []string{strings.Repeat("n", 1024)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := play(t, tt.script)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestReaderWaits(t *testing.T) {
	const ms = time.Millisecond
	_, src := play(t, "01t1tt0")
	want := []time.Duration{lookEvery, 40 * ms, 40 * ms, ms, 40 * ms, ms, lookEvery}
	if diff := cmp.Diff(want, src.waits); diff != "" {
		t.Errorf("waits: -want +got\n%s", diff)
	}
}

// TestReaderTrains sends random trains, with time-outs that had events behind
// them anywhere.
func TestReaderTrains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			script strings.Builder
			want   []string
		)
		for range rapid.IntRange(1, 10).Draw(t, "trains") {
			bits := bitString(1, 140).Draw(t, "train")
			stalls := rapid.IntRange(0, 3).Draw(t, "stalls")
			at := rapid.SliceOfN(rapid.IntRange(1, len(bits)), stalls, stalls).Draw(t, "at")
			for i := range len(bits) {
				script.WriteByte(bits[i])
				for _, a := range at {
					if a == i+1 && i+1 < len(bits) {
						script.WriteByte('t')
						break
					}
				}
			}
			script.WriteString("tt")
			if len(bits) > wiegand.MaxBits {
				bits = strings.Repeat("n", len(bits))
			}
			want = append(want, bits)
		}
		got, _ := play(t, script.String())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("script %s: -want +got\n%s", script.String(), diff)
		}
	})
}

func TestReadEnds(t *testing.T) {
	src := newScripted("")
	r := scriptedReader("r", quietLog(), src)
	go r.run()
	<-src.played
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read with an ended context: %v", err)
	}
	_ = src.Close()
	for range 2 {
		if _, err := r.Read(t.Context()); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after the end: %v", err)
		}
	}
}

func TestReaderFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := newLog()
		first, second := newScripted("01tt11x"), newScripted("10tt")
		r := scriptedReader("front", log, first, second)
		go r.run()
		if got := read(t, r).Bits.String(); got != "01" {
			t.Errorf("the frame before the fault is %s, want 01", got)
		}
		_, err := r.Read(t.Context())
		if !errors.Is(err, ErrFault) || !errors.Is(err, errLineGone) || !strings.Contains(err.Error(), "front") {
			t.Errorf("Read = %v, want the fault with the reader's name", err)
		}
		if err := r.Fault(); !errors.Is(err, errLineGone) {
			t.Errorf("Fault = %v, want what Read told", err)
		}
		if !strings.Contains(text.String(), "line gone") {
			t.Errorf("the log is %q, want the fault", text.String())
		}
		select {
		case <-first.closed:
		default:
			t.Error("the lines that failed were not closed")
		}
		// The bits before the fault are no part of the frame after it.
		start := time.Now()
		if got := read(t, r).Bits.String(); got != "10" {
			t.Errorf("the frame after the fault is %s, want 10", got)
		}
		if took := time.Since(start); took != firstPause {
			t.Errorf("the lines were opened again after %v, want %v", took, firstPause)
		}
		if r.Fault() != nil {
			t.Errorf("Fault = %v once the lines are open again", r.Fault())
		}
		must(t, r.keep.Close())
		if _, err := r.Read(t.Context()); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

func TestFramesNobodyReads(t *testing.T) {
	log, text := newLog()
	src := newScripted(strings.Repeat("1tt", frameQueue) + "0tt")
	r := scriptedReader("r", log, src)
	go r.run()
	<-src.played
	_ = src.Close()
	<-r.done
	for i := range frameQueue {
		if got := read(t, r).Bits.String(); got != "1" {
			t.Fatalf("frame %d is %s", i, got)
		}
	}
	if _, err := r.Read(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("one frame too many was kept, error %v", err)
	}
	if !strings.Contains(text.String(), "frame dropped") {
		t.Errorf("the log is %q, want the dropped frame", text.String())
	}
}

// bitString draws a string of bits. The length is drawn apart, since slices and
// strings are mostly drawn short.
func bitString(from, to int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(from, to).Draw(t, "length")
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte("01")), n, n).Draw(t, "bits"))
	})
}

// A data line that stays low is told once, and told when it is let go; pulses
// are not held lines.
func TestHeldLine(t *testing.T) {
	w := Wiring{Readers: []ReaderWiring{{ID: "front", Spare: []string{"a", "b"}}}}
	inBubble(t, w, func(t *testing.T, b *Board, s *Sim) {
		r, _ := b.Reader("front")
		type told struct {
			line int
			held bool
		}
		got := make(chan told, 8)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for {
				line, held, err := r.Line(ctx)
				if err != nil {
					return
				}
				got <- told{line, held}
			}
		}()
		for range 20 {
			must(t, s.Badge("front", wiegand.NewBits(0x5A5A5A, 26)))
			read(t, r)
			time.Sleep(lookEvery)
		}
		must(t, s.Hold("front", 1, true))
		time.Sleep(4 * lookEvery)
		must(t, s.Hold("front", 1, false))
		time.Sleep(4 * lookEvery)
		synctest.Wait()
		if len(got) != 2 || <-got != (told{1, true}) || <-got != (told{1, false}) {
			t.Errorf("told %d things, want D1 held and let go", len(got))
		}
		if err := s.Hold("nobody", 0, true); err == nil {
			t.Error("a reader that is not there has a line")
		}
	})
}
