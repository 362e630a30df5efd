//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		text, secret string
		want         bool
	}{
		{"pin=0683 ok", "0683", true},
		{"0683", "0683", true},
		{`"PIN":"0683#"`, "0683", true},
		{"at 10683 and 06831", "0683", false},
		{"at 10683, pin 0683", "0683", true},
		{"at 0068306830", "0683", false},
		{"x482915736482915736", "0482915736", false},
		{"_BOOT_ID=5ea0683bd1", "0683", false},
		{"id 2f0c4d0a-0683-4c55-9a52", "0683", false},
		{"took 1.0683 s", "0683", false},
		{"[10683-0683]", "0683", true},
		{"the end. 0683", "0683", true},
		{".0683", "0683", true},
		{"typed:0683,", "0683", true},
		{"code 0482915736.", "0482915736", true},
		{"code0482915736", "0482915736", true},
		{"1long-secret-of-central2", "long-secret-of-central", true},
		{"", "0683", false},
	} {
		got := find([]byte(tt.text), []byte(tt.secret))
		if (got != "") != tt.want || tt.want && !strings.Contains(got, tt.secret) {
			t.Errorf("%q in %q: %q, want found: %v", tt.secret, tt.text, got, tt.want)
		}
	}
}

func TestDecimals(t *testing.T) {
	b := []byte{0, 7, 255}
	if got := "[" + string(decimals(b)) + "]"; got != fmt.Sprintf("%v", b) {
		t.Errorf("%s, want %v", got, b)
	}
}

func TestNumber(t *testing.T) {
	for cmdline, want := range map[string]int{"quiet postern.boot=2 x": 2, "postern.boot=1\n": 1, "": 0, "postern.boot=x": 0, "xpostern.boot=3": 0} {
		if got := number(cmdline, "postern.boot="); got != want {
			t.Errorf("%q: %d, want %d", cmdline, got, want)
		}
	}
}

func TestSamples(t *testing.T) {
	ms := time.Millisecond
	s := samples{Levels: []level{{10 * ms, false}, {50 * ms, true}, {90 * ms, false}}}
	if at, ok := s.rose(0); !ok || at != 50*ms {
		t.Errorf("rose at %v, %v", at, ok)
	}
	if at, ok := s.fell(50 * ms); !ok || at != 90*ms {
		t.Errorf("fell at %v, %v", at, ok)
	}
	if at, ok := s.rose(60 * ms); ok {
		t.Errorf("rose again at %v", at)
	}
	if !s.everHigh() {
		t.Error("never high")
	}
	// High from the first sample on is no rise, and is high all the same.
	held := samples{Levels: []level{{0, true}}}
	if _, ok := held.rose(0); ok || !held.everHigh() {
		t.Error("a line that is held rose, or is not high")
	}
	if (samples{Levels: []level{{0, false}}}).everHigh() {
		t.Error("a line at rest is high")
	}
}

func TestKeypad4(t *testing.T) {
	if got, want := keypad4("09#"), []string{"0000", "1001", "1011"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFields(t *testing.T) {
	f := fields("Name:\tposternd\nUid:\t996\t996\t996\t996\nSeccomp:\t2\nodd\n")
	if first(f["Uid"]) != "996" || f["Seccomp"] != "2" || f["Name"] != "posternd" {
		t.Errorf("%v", f)
	}
}

func TestUnit(t *testing.T) {
	u := unit{"ActiveState": "active", "SubState": "running", "MainPID": "42", "NRestarts": "3", "ActiveEnterTimestampMonotonic": "1500000"}
	if !u.ready() || u.pid() != 42 || u.restarts() != 3 || u.at("ActiveEnter") != 1500*time.Millisecond {
		t.Errorf("%v: %v %d %d %v", u, u.ready(), u.pid(), u.restarts(), u.at("ActiveEnter"))
	}
	for _, state := range []string{"start", "auto-restart", "stop-post"} {
		if (unit{"ActiveState": "activating", "SubState": state}).ready() {
			t.Errorf("a unit in %s is ready", state)
		}
	}
}

func TestSendRefusesWhatIsNoFrame(t *testing.T) {
	if strings.Trim(cardBits, "01") != "" || len(cardBits) != 32 {
		t.Errorf("the card's frame is %q", cardBits)
	}
}
