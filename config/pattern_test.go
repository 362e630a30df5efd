package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/wiegand"
)

// Patterns are written as they are read.
func TestPatternRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := Pattern{Times: rapid.IntRange(0, maxTimes).Draw(rt, "times")}
		for range rapid.IntRange(1, maxSteps).Draw(rt, "steps") {
			p.Steps = append(p.Steps, PatternStep{
				LED: rapid.Bool().Draw(rt, "led"), Buzzer: rapid.Bool().Draw(rt, "buzzer"),
				Length: time.Duration(rapid.Int64Range(int64(minStep), int64(maxStep)).Draw(rt, "length")),
			})
		}
		if last := &p.Steps[len(p.Steps)-1]; p.Times == 1 && rapid.Bool().Draw(rt, "hold") {
			last.Buzzer, last.Length = false, 0
		}
		got, err := parsePattern(p.String())
		if diff := cmp.Diff(p, got); err != nil || diff != "" {
			rt.Fatalf("%q: error %v, -want +got\n%s", p, err, diff)
		}
	})
}

// The defaults that the fields' comments tell can be written in a file.
func TestPatternsOfTheComments(t *testing.T) {
	c := mustParse(t, minimal+`[indication]
		idle = "off"
		granted = "led+beep:100ms led:2s"
		denied = "3x led+beep:100ms off:100ms"
		pin_wanted = "repeat led:250ms off:250ms"
		locked_down = "repeat led:100ms off:1.9s"
		identify = "10x led+beep:100ms off:400ms"
	`)
	for name, p := range c.Indication.Patterns() {
		if again, err := parsePattern(p.String()); err != nil || !cmp.Equal(p, again) {
			t.Errorf("%s = %q: %v", name, p, err)
		}
	}
	if got := len(c.Indication.Patterns()); got != 6 {
		t.Errorf("%d patterns are set, want 6", got)
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"", "led", "2x beep:1s", "repeat led+beep:10ms off:10s", "x", "+1x led:1s", "led:1e9s", "off:\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePattern(s)
		if err != nil {
			if len(err.Error()) > len(s)+200 {
				t.Errorf("an error of %d bytes for a text of %d", len(err.Error()), len(s))
			}
			return
		}
		if p.isZero() {
			if s != "" {
				t.Errorf("%q says nothing", s)
			}
			return
		}
		if p.takes() > maxTimes*maxSteps*maxStep || len(p.Steps) > maxSteps {
			t.Errorf("%q is out of bounds: %+v", s, p)
		}
		if again, err := parsePattern(p.String()); err != nil || !cmp.Equal(p, again) {
			t.Errorf("%q became %q and %+v, error %v", s, p, again, err)
		}
	})
}

func TestFormatsOfReaders(t *testing.T) {
	c, faults, err := Load(testFiles + "/full.toml")
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	formats := c.FormatsOf(c.Reader("back"))
	if len(formats) != 2 || formats[0].Name != "H10301" || formats[1].Name != "Site36" {
		t.Fatalf("got %+v, want H10301 and Site36", formats)
	}
	bits, err := formats[1].Encode(7, 1234)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wiegand.Decode(bits, formats)
	if err != nil || len(got) != 1 || got[0].Facility != 7 || got[0].Number != 1234 || got[0].Format != "Site36" {
		t.Errorf("a card of the file's own format is %+v, %v", got, err)
	}
	if _, ok := c.Format("none"); ok {
		t.Error("there is a format that nobody describes")
	}
	if b, ok := c.Reader("store").Buffered(); !ok || b.Facility != 200 {
		t.Errorf("the buffered keypad is %+v, %v", b, ok)
	}
	if _, ok := c.Reader("front").Buffered(); ok {
		t.Error("a 4-bit keypad is buffered")
	}
}
