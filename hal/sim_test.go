package hal

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"pgregory.net/rapid"

	"postern/wiegand"
)

func TestSimCards(t *testing.T) {
	b, s := openSim(t, twoReaders())
	tests := []struct {
		format           string
		facility, number uint64
	}{
		{"H10301", 14, 40091},
		{"raw40", 0, 0x01020E9C9B},
		{"W34", 0x020E, 0x9C9B},
		{"raw56", 0, 0x04A1B2C3D4E5F6},
	}
	for _, tt := range tests {
		for _, id := range []string{"front", "bare"} {
			f, _ := wiegand.Lookup(tt.format)
			bits, err := f.Encode(tt.facility, tt.number)
			must(t, err)
			must(t, s.Badge(id, bits))
			frame := read(t, reader(t, b, id))
			c, err := wiegand.Decode(frame.Bits, []wiegand.Format{f})
			if err != nil || c[0].Facility != tt.facility || c[0].Number != tt.number {
				t.Errorf("%s at %s: %+v, %v", tt.format, id, c, err)
			}
		}
	}
}

func TestSimKeys(t *testing.T) {
	b, s := openSim(t, twoReaders())
	for _, enc := range []wiegand.Encoding{wiegand.FourBit, wiegand.EightBit} {
		const typed = "0123456789*#9876543210"
		must(t, s.Keys("front", typed, enc))
		var got []byte
		for range len(typed) {
			k, err := enc.Key(read(t, reader(t, b, "front")).Bits)
			must(t, err)
			got = append(got, k)
		}
		if string(got) != typed {
			t.Errorf("%s: typed %s, got %s", enc, typed, got)
		}
	}
}

// TestSimFrames sends any frames to both readers and wants them back unchanged.
func TestSimFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, s := OpenSim(twoReaders(), quietLog())
		defer b.Close()
		id := rapid.SampledFrom([]string{"front", "bare"}).Draw(t, "reader")
		var sent []wiegand.Bits
		for _, text := range rapid.SliceOfN(bitString(1, wiegand.MaxBits), 1, 20).Draw(t, "frames") {
			bits, err := wiegand.ParseBits(text)
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, bits)
			if err := s.Badge(id, bits); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range sent {
			if got := read(t, reader(t, b, id)); got.Bits != want || got.Pulses != want.Len() {
				t.Fatalf("frame %d is %s with %d pulses, want %s", i, got.Bits, got.Pulses, want)
			}
		}
	})
}

// TestSimTogether has several senders at one reader: frames may come in any
// order, but whole, and the keys of one call stay together.
func TestSimTogether(t *testing.T) {
	b, s := openSim(t, twoReaders())
	const callers, each = 4, 5
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			for range each {
				if err := s.Keys("front", strings.Repeat(string(rune('0'+n)), 3), wiegand.FourBit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	count := map[string]int{}
	for range callers * each {
		var keys []byte
		for range 3 {
			k, err := wiegand.FourBit.Key(read(t, reader(t, b, "front")).Bits)
			must(t, err)
			keys = append(keys, k)
		}
		count[string(keys)]++
	}
	wg.Wait()
	for _, keys := range []string{"000", "111", "222", "333"} {
		if count[keys] != each {
			t.Errorf("%s came %d times, want %d (all: %v)", keys, count[keys], each, count)
		}
	}
}

// TestSimStall shows what a stalled process makes of the line queue: the oldest
// bits are lost, and frames run together, but nothing is cut into two.
func TestSimStall(t *testing.T) {
	b, s := openSim(t, twoReaders())
	for id, room := range map[string]int{"front": 64, "bare": 32} {
		resume, err := s.Stall(id)
		must(t, err)
		f, _ := wiegand.Lookup("W34")
		first, _ := f.Encode(1, 2)
		second, _ := f.Encode(3, 4)
		must(t, s.Badge(id, first))
		must(t, s.Badge(id, second))
		resume()
		got := read(t, reader(t, b, id))
		all := first.String() + second.String()
		if want := all[len(all)-room:]; got.Bits.String() != want {
			t.Errorf("%s: got %s, want the last %d bits, %s", id, got.Bits, room, want)
		}
		must(t, s.Badge(id, first))
		if got := read(t, reader(t, b, id)); got.Bits != first {
			t.Errorf("%s: the frame after the stall is %s, want %s", id, got.Bits, first)
		}
	}
}

func TestSimStallMidFrame(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		bits := wiegand.NewBits(0x123456789, 40)
		resume, err := s.Stall("front")
		must(t, err)
		must(t, s.Badge("front", bits))
		// Far longer than the silence that ends a frame.
		time.Sleep(time.Minute)
		resume()
		if got := read(t, reader(t, b, "front")); got.Bits != bits {
			t.Errorf("got %s, want %s", got.Bits, bits)
		}
	})
}

func TestSimLock(t *testing.T) {
	w := Wiring{Doors: []DoorWiring{
		{ID: "strike"},
		{ID: "low", LockActiveLow: true},
		{ID: "maglock", LockKind: Maglock, RestReleased: true},
	}}
	b, s := OpenSim(w, quietLog())
	for _, d := range w.Doors {
		if s.Lock(d.ID) != d.RestReleased {
			t.Errorf("%s: released = %v at start", d.ID, s.Lock(d.ID))
		}
		for _, on := range []bool{true, false, true} {
			must(t, b.Lock(d.ID).Set(on))
			if s.Lock(d.ID) != on {
				t.Errorf("%s: Set(%v) leaves released = %v", d.ID, on, s.Lock(d.ID))
			}
		}
	}
	must(t, b.Lock("maglock").Set(false))
	must(t, b.Close())
	must(t, b.Close())
	for _, d := range w.Doors {
		if s.Lock(d.ID) != d.RestReleased {
			t.Errorf("%s: released = %v after Close, want the rest state", d.ID, s.Lock(d.ID))
		}
	}
}

func TestSimUnknownNames(t *testing.T) {
	b, s := openSim(t, twoReaders())
	card := wiegand.NewBits(1, 26)
	_, stall := s.Stall("back")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"badge":      {s.Badge("back", card), `badge: there is no reader "back": there are bare, front`},
		"keys":       {s.Keys("back", "1", wiegand.FourBit), `keys: there is no reader "back"`},
		"stall":      {stall, `stall: there is no reader "back"`},
		"contact":    {s.Contact("back", true), `contact: there is no door "back": there are main, plain`},
		"rex":        {s.REX("back", true), `rex: there is no door "back": there are main, plain`},
		"no contact": {s.Contact("plain", true), "contact: door plain has none wired"},
		"no rex":     {s.REX("plain", true), "rex: door plain has none wired"},
		"no bits":    {s.Badge("front", wiegand.Bits{}), "no bits"},
		"no key":     {s.Keys("front", "12x", wiegand.FourBit), "only the keys 0 to 9"},
		"encoding":   {s.Keys("front", "1", ""), "encoding"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", name, tt.err, tt.want)
		}
	}
	if b.Contact("plain") != nil || b.REX("plain") != nil || b.Lock("back") != nil || b.Contact("back") != nil {
		t.Error("there is something that is not wired")
	}
	if _, ok := b.Reader("back"); ok {
		t.Error("there is an unknown reader")
	}
	if s.Lock("back") || s.Indication("back") != "" {
		t.Error("something unknown has a state")
	}
}

func TestSimCloseEndsAll(t *testing.T) {
	b, s := OpenSim(twoReaders(), quietLog())
	r := reader(t, b, "front")
	if _, err := s.Stall("front"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := r.Read(context.Background())
		ended <- err
	}()
	must(t, b.Close())
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read ended with %v", err)
	}
	if err := s.Badge("front", wiegand.NewBits(1, 26)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Badge after Close: %v", err)
	}
	if err := s.Keys("front", "12", wiegand.FourBit); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Keys after Close: %v", err)
	}
	if err := s.Contact("main", true); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Contact after Close: %v", err)
	}
}

func TestSpareLinesAreMissed(t *testing.T) {
	log, text := newLog()
	b, _ := OpenSim(twoReaders(), log)
	must(t, b.Close())
	if got := strings.Count(text.String(), "spare lines"); got != 1 || !strings.Contains(text.String(), "reader=bare queue=32") {
		t.Errorf("the log is %q, want a word on the reader without spare lines alone", text.String())
	}
}

// TestSimSlowBurst stops in the middle of a burst for longer than any silence,
// as a busy host does.
func TestSimSlowBurst(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		set := s.readers["front"].d0.set
		pulse := func(bursting bool) {
			s.chip.mu.Lock()
			defer s.chip.mu.Unlock()
			set.bursting = bursting
			set.push(simEvent{s.readers["front"].d1.number, gpio.FallingEdge})
			if !bursting {
				set.silences = 2
			}
		}
		pulse(true)
		time.Sleep(time.Minute)
		pulse(true)
		time.Sleep(time.Minute)
		pulse(false)
		if got := read(t, reader(t, b, "front")).Bits.String(); got != "111" {
			t.Errorf("got %s, want 111", got)
		}
	})
}
