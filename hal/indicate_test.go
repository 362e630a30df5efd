package hal

import (
	"testing"
	"testing/synctest"
	"time"
)

// lights returns the levels of a simulated reader's LED and buzzer.
func lights(s *Sim) string {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	var on string
	for _, l := range s.chip.lines {
		for _, name := range []string{"led", "buzzer"} {
			if l.name == "reader0."+name && bool(l.level()) {
				on += name + " "
			}
		}
	}
	return on
}

func TestIndications(t *testing.T) {
	tests := []struct {
		show Indication
		at   map[time.Duration]string
		ends Indication
	}{
		{Granted, map[time.Duration]string{50 * ms: "led buzzer ", 150 * ms: "led ", 2050 * ms: "led ", 2150 * ms: ""}, Idle},
		{Denied, map[time.Duration]string{50 * ms: "led buzzer ", 150 * ms: "", 250 * ms: "led buzzer ", 450 * ms: "led buzzer ", 550 * ms: "", 650 * ms: ""}, Idle},
		{PINWanted, map[time.Duration]string{50 * ms: "led ", 300 * ms: "", 600 * ms: "led ", 900 * ms: "", time.Minute + 50*ms: "led "}, PINWanted},
		{Idle, map[time.Duration]string{50 * ms: ""}, Idle},
		{"unheard of", map[time.Duration]string{50 * ms: ""}, "unheard of"},
	}
	for _, tt := range tests {
		t.Run(string(tt.show), func(t *testing.T) {
			for at, want := range tt.at {
				inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
					synctest.Wait()
					reader(t, b, "front").Indicate(tt.show)
					if got := s.Indication("front"); got != tt.show {
						t.Errorf("Indication = %q right after %q", got, tt.show)
					}
					time.Sleep(at)
					synctest.Wait()
					if got := lights(s); got != want {
						t.Errorf("after %v: %q is on, want %q", at, got, want)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					if got := s.Indication("front"); got != tt.ends {
						t.Errorf("a minute later: %q, want %q", got, tt.ends)
					}
				})
			}
		})
	}
}

func TestIndicationLatestWins(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		r := reader(t, b, "front")
		for range 100 {
			r.Indicate(Denied)
			r.Indicate(PINWanted)
		}
		time.Sleep(10 * time.Second)
		if got := s.Indication("front"); got != PINWanted {
			t.Errorf("Indication = %q, want the latest", got)
		}
		// At the very end of a pattern another must not be lost.
		r.Indicate(Granted)
		time.Sleep(2100 * ms)
		r.Indicate(PINWanted)
		time.Sleep(10 * time.Second)
		if got := s.Indication("front"); got != PINWanted {
			t.Errorf("Indication = %q, want the one set as the pattern ended", got)
		}
		must(t, b.Close())
		if got := lights(s); got != "" {
			t.Errorf("%q is on after Close", got)
		}
		r.Indicate(Granted)
		if got := lights(s); got != "" {
			t.Errorf("%q is on after Close and Indicate", got)
		}
	})
}

func TestIndicatorActiveLow(t *testing.T) {
	w := Wiring{Readers: []ReaderWiring{{ID: "r", LED: "l", LEDActiveLow: true}}}
	inBubble(t, w, func(t *testing.T, b *Board, s *Sim) {
		synctest.Wait()
		if lights(s) != "led " {
			t.Error("the line of a dark LED is low, want high")
		}
		reader(t, b, "r").Indicate(Granted)
		synctest.Wait()
		if lights(s) != "" {
			t.Error("the line of a lit LED is high, want low")
		}
	})
}

// TestPatternEndsAsAnotherIsSet has both happen before the pattern's goroutine
// looks again.
func TestPatternEndsAsAnotherIsSet(t *testing.T) {
	n, err := openIndicator(newLines(nil), ReaderWiring{ID: "r"}, quietLog())
	must(t, err)
	n.set(PINWanted)
	n.finished()
	if got := n.current(); got != PINWanted {
		t.Errorf("current = %q, want the one set last", got)
	}
}
