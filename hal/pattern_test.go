package hal

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var allIndications = []Indication{Idle, Granted, Denied, PINWanted, LockedDown, Identify}

func TestDefaultPatternsAreGood(t *testing.T) {
	for _, i := range allIndications {
		if err := DefaultPattern(i).check(i); err != nil {
			t.Errorf("%s: %v", i, err)
		}
	}
}

func TestPatternCheck(t *testing.T) {
	led := func(length time.Duration) Step { return Step{LED: true, Length: length} }
	tests := []struct {
		name string
		i    Indication
		p    Pattern
		want string // "" is good
	}{
		{"on until another", Idle, Pattern{Times: 1, Steps: []Step{led(0)}}, ""},
		{"a beep and on", PINWanted, Pattern{Times: 1, Steps: []Step{{Buzzer: true, Length: 50 * ms}, led(0)}}, ""},
		{"again and again", LockedDown, Pattern{Steps: []Step{led(10 * ms), {Length: 10 * time.Second}}}, ""},
		{"no steps", Idle, Pattern{}, "0 steps"},
		{"too many steps", Granted, Pattern{Times: 1, Steps: make([]Step, 17)}, "17 steps"},
		{"too often", Granted, Pattern{Times: 21, Steps: []Step{led(ms)}}, "21 times"},
		{"less than never", Granted, Pattern{Times: -1, Steps: []Step{led(ms)}}, "-1 times"},
		{"too short", Granted, Pattern{Times: 1, Steps: []Step{led(9 * ms)}}, "takes 9ms"},
		{"too long", Granted, Pattern{Times: 1, Steps: []Step{led(11 * time.Second)}}, "takes 11s"},
		{"a hold before the end", Idle, Pattern{Times: 1, Steps: []Step{led(0), led(10 * ms)}}, "step 1 has no length, and another follows"},
		{"a beep for ever", Idle, Pattern{Times: 1, Steps: []Step{{Buzzer: true}}}, "the buzzer on"},
		{"granted for ever", Granted, Pattern{Steps: []Step{led(10 * ms)}}, "never ends"},
		{"denied until another", Denied, Pattern{Times: 1, Steps: []Step{led(0)}}, "never ends"},
		{"idle for a while", Idle, Pattern{Times: 1, Steps: []Step{led(10 * ms)}}, "has to go on"},
	}
	for _, tt := range tests {
		err := tt.p.check(tt.i)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestPatternsOfAWiring(t *testing.T) {
	w := twoReaders()
	w.Readers[0].Patterns = map[Indication]Pattern{
		Idle:    {Times: 1, Steps: []Step{{LED: true}}},
		Granted: {Times: 2, Steps: []Step{{Buzzer: true, Length: 50 * ms}, {Length: 50 * ms}}},
	}
	inBubble(t, w, func(t *testing.T, b *Board, s *Sim) {
		expect := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := lights(s); got != want {
				t.Errorf("%q is on, want %q", got, want)
			}
		}
		expect(ms, "led ")
		reader(t, b, "front").Indicate(Granted)
		expect(ms, "buzzer ")
		expect(50*ms, "")
		expect(50*ms, "buzzer ")
		expect(50*ms, "")
		expect(50*ms, "led ")
		// One that the wiring leaves out has its default.
		reader(t, b, "front").Indicate(Denied)
		expect(ms, "led buzzer ")
	})
}

func TestLockdownStands(t *testing.T) {
	inBubble(t, twoReaders(), func(t *testing.T, b *Board, s *Sim) {
		r := reader(t, b, "front")
		for _, tt := range []struct{ show, want Indication }{
			{LockedDown, LockedDown},
			{Denied, LockedDown},
			{Identify, LockedDown},
			{PINWanted, PINWanted},
			{Denied, LockedDown},
			{Idle, Idle},
			{Granted, Idle},
		} {
			r.Indicate(tt.show)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := s.Indication("front"); got != tt.want {
				t.Errorf("a minute after %s: %s, want %s", tt.show, got, tt.want)
			}
		}
	})
}
