package wiegand

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const (
	minute = time.Minute
	day    = 24 * time.Hour
)

// step is one thing that is told of a reader, and the state that it is to
// report; "" for no report.
type step struct {
	at   time.Duration
	do   string
	want HealthState
}

// tell does what a step says.
func tell(h *Health, now time.Duration, do string) (HealthReport, bool) {
	switch do {
	case "right":
		return h.Right(now)
	case "wrong":
		return h.Wrong(now, "H10301: odd parity in bit 25 is wrong")
	case "stray":
		return h.Stray(now)
	case "stuck 0":
		return h.Stuck(now, 0, true)
	case "free 0":
		return h.Stuck(now, 0, false)
	case "stuck 1":
		return h.Stuck(now, 1, true)
	case "free 1":
		return h.Stuck(now, 1, false)
	case "open":
		return h.Tamper(now, true)
	case "closed":
		return h.Tamper(now, false)
	case "swap reported":
		return h.Swap(now, SwapReported)
	case "swap suspected":
		return h.Swap(now, SwapSuspected)
	case "swap none":
		return h.Swap(now, SwapNone)
	case "beat":
		return h.Heartbeat(now)
	case "tick":
		return h.Tick(now)
	}
	panic("no such step: " + do)
}

// times repeats a thing, one each second, with a report of the last.
func times(n int, from time.Duration, do string, want HealthState) []step {
	var s []step
	for i := range n {
		s = append(s, step{from + time.Duration(i)*second, do, ""})
	}
	s[n-1].want = want
	return s
}

func steps(s ...[]step) []step {
	var all []step
	for _, one := range s {
		all = append(all, one...)
	}
	return all
}

func TestHealth(t *testing.T) {
	beats := HealthRules{Heartbeat: 10 * second}
	tests := []struct {
		name  string
		rules HealthRules
		steps []step
	}{
		{"a right frame proves it, for a week", HealthRules{}, []step{
			{0, "right", HealthOK},
			{7*day - 1, "tick", ""},
			{7 * day, "tick", HealthNotSupervised},
			{8 * day, "right", HealthOK},
			{9 * day, "right", ""},
			{15 * day, "tick", ""},
			{16 * day, "tick", HealthNotSupervised},
		}},
		{"six wrong in a row", HealthRules{}, steps(
			times(1, 0, "right", HealthOK),
			times(4, minute, "wrong", HealthDegraded),
			times(2, 2*minute, "wrong", HealthFaulty),
			times(3, 3*minute, "right", ""),
			times(1, 4*minute, "wrong", ""),
			times(3, 5*minute, "right", ""),
			times(1, 6*minute, "right", HealthOK),
			times(3, 7*minute, "wrong", ""),
		)},
		{"a wrong frame now and then", HealthRules{}, steps(
			times(1, 0, "right", HealthOK),
			times(3, minute, "wrong", ""),
			times(13, 2*minute, "right", ""),
			times(1, 3*minute, "wrong", ""),
			times(3, 4*minute, "wrong", HealthDegraded),
		)},
		{"silence mends no frames", HealthRules{Quiet: 365 * day}, steps(
			times(1, 0, "right", HealthOK),
			times(4, minute, "wrong", HealthDegraded),
			times(1, 300*day, "tick", ""),
			times(4, 301*day, "right", HealthOK),
		)},
		{"strays", HealthRules{}, steps(
			times(1, 0, "right", HealthOK),
			times(9, minute, "stray", ""),
			times(9, minute+20*minute, "stray", ""),
			times(1, 22*minute, "stray", HealthDegraded),
			times(4, 23*minute, "right", ""),
			[]step{{32*minute - 1, "tick", ""}, {32 * minute, "tick", HealthOK}},
		)},
		{"a stuck line", HealthRules{}, []step{
			{0, "stuck 0", HealthStuck},
			{1 * second, "stuck 1", ""},
			{2 * second, "free 0", ""},
			{20 * second, "free 1", ""},
			{29 * second, "stuck 1", ""},
			{31 * second, "free 1", ""},
			{32 * second, "free 1", ""},
			{41*second - 1, "tick", ""},
			{41 * second, "tick", HealthNotSupervised},
		}},
		{"tamper comes first, and the rest is still there after it", HealthRules{}, steps(
			times(4, 0, "wrong", HealthDegraded),
			[]step{
				{minute, "stuck 0", HealthStuck},
				{minute, "open", HealthTampered},
				{2 * minute, "free 0", ""},
				{3 * minute, "closed", ""},
				{3*minute + 5*second, "open", ""},
				{4 * minute, "closed", ""},
				{4*minute + 10*second, "tick", HealthDegraded},
			},
		)},
		{"a swap explains the frames before it", HealthRules{}, steps(
			times(4, 0, "wrong", HealthDegraded),
			times(1, minute, "swap suspected", ""),
			times(1, minute, "swap reported", HealthSwapped),
			times(4, 2*minute, "wrong", ""),
			times(1, 3*minute, "right", ""),
			times(1, 3*minute, "swap none", HealthOK),
		)},
		{"heartbeats", beats, []step{
			{5 * second, "beat", HealthOK},
			{15 * second, "beat", ""},
			{45*second - 1, "tick", ""},
			{45 * second, "tick", HealthLost},
			{46 * second, "beat", ""},
			{76 * second, "beat", ""}, // too long after the one before
			{86 * second, "right", HealthOK},
			{90 * second, "beat", ""},
			{300 * second, "beat", HealthLost}, // late: the silence comes first
			{301 * second, "beat", HealthOK},
		}},
		{"no heartbeat ever", beats, []step{{30*second - 1, "tick", ""}, {30 * second, "tick", HealthLost}, {31 * second, "tick", ""}}},
		{"wrong frames are no sign of life", beats, []step{{29 * second, "wrong", ""}, {30 * second, "wrong", HealthLost}}},
		{"a heartbeat where none is declared", HealthRules{}, []step{{1, "beat", ""}, {2, "beat", ""}}},
		{"time does not run backwards", beats, []step{{20 * second, "beat", HealthOK}, {0, "beat", ""}, {49 * second, "tick", ""}, {50 * second, "tick", HealthLost}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := NewHealth(0, tt.rules)
			if got := h.Report(); got.State != HealthNotSupervised || got.Reason == "" {
				t.Errorf("at first: %+v", got)
			}
			state := HealthNotSupervised
			for i, s := range tt.steps {
				got, changed := tell(h, s.at, s.do)
				if changed != (s.want != "") || changed && got.State != s.want {
					t.Fatalf("step %d, %s at %v: %+v, %v; want %q", i+1, s.do, s.at, got, changed, s.want)
				}
				if changed {
					state = s.want
					if got.Since != s.at || got.Reason == "" {
						t.Errorf("step %d: %+v, want it to begin at %v with a reason", i+1, got, s.at)
					}
				}
				if got != h.Report() || got.State != state {
					t.Errorf("step %d: returned %+v, Report %+v, want %s", i+1, got, h.Report(), state)
				}
			}
		})
	}
}

func TestHealthReasons(t *testing.T) {
	h := NewHealth(0, HealthRules{Heartbeat: 10 * second})
	for _, s := range []struct {
		at   time.Duration
		do   string
		want string
	}{
		{0, "beat", "signs of life"},
		{1 * second, "stuck 0", "D0 is held low"},
		{11 * second, "open", "tamper contact"},
		{41 * second, "closed", ""},
		{51 * second, "stuck 1", "D0 and D1 are held low"},
		{52 * second, "free 0", ""},
		{53 * second, "free 1", ""},
		{63 * second, "tick", "no heartbeat for 30s, and one is due every 10s"},
		{64 * second, "beat", ""},
		{65 * second, "beat", "signs of life"},
		{66 * second, "swap reported", "D0 and D1 are swapped"},
	} {
		got, changed := tell(h, s.at, s.do)
		if changed != (s.want != "") || changed && !strings.Contains(got.Reason, s.want) {
			t.Errorf("%s at %v: %+v, %v; want %q", s.do, s.at, got, changed, s.want)
		}
	}
	h = NewHealth(0, HealthRules{Row: 1, Wrong: 1})
	got, changed := h.Wrong(0, strings.Repeat("ü", 200)+"\xff")
	if !changed || !utf8.ValidString(got.Reason) || len(got.Reason) > 250 || !strings.Contains(got.Reason, "üüü") {
		t.Errorf("a long reason: %+v, %v", got, changed)
	}
}

var healthSteps = []string{
	"right", "right", "wrong", "wrong", "stray", "stuck 0", "free 0", "stuck 1", "free 1", "open", "closed",
	"swap reported", "swap suspected", "swap none", "beat", "beat", "tick",
}

// TestHealthReports holds for any story that reports are changes, that they come
// in order, and that a Tick at each Deadline, and no other, is enough.
func TestHealthReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := HealthRules{
			Heartbeat: rapid.SampledFrom([]time.Duration{0, 10 * second}).Draw(t, "heartbeat"),
			Strays:    2, Row: 3, Wrong: 2, Mend: 2, Quiet: minute, Calm: 20 * second,
		}
		lazy, eager := NewHealth(0, rules), NewHealth(0, rules)
		last := lazy.Report()
		var reports, eagerly []HealthReport
		now := time.Duration(0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			next := now + rapid.SampledFrom([]time.Duration{0, 1, second, 5 * second, 10 * second, 30 * second, 2 * minute}).Draw(t, "gap")
			do := rapid.SampledFrom(healthSteps).Draw(t, "do")
			for {
				at, ok := lazy.Deadline()
				if !ok || at > next {
					break
				}
				if r, changed := lazy.Tick(at); changed {
					reports = append(reports, r)
				}
				if again, ok := lazy.Deadline(); ok && again <= at {
					t.Fatalf("the deadline %v stays after its Tick", at)
				}
			}
			for now < next {
				if r, changed := eager.Tick(now); changed {
					eagerly = append(eagerly, r)
				}
				// Two ends may lie closer than two ticks, and each is a report.
				at, ok := eager.Deadline()
				now = min(next, now+second/2)
				if ok && at < now {
					now = at
				}
			}
			if r, changed := eager.Tick(next); changed {
				eagerly = append(eagerly, r)
			}
			if r, changed := tell(lazy, next, do); changed {
				reports = append(reports, r)
			}
			if r, changed := tell(eager, next, do); changed {
				eagerly = append(eagerly, r)
			}
			if lazy.Report().State != eager.Report().State {
				t.Fatalf("after %s at %v: %+v by deadlines, %+v by ticking", do, next, lazy.Report(), eager.Report())
			}
		}
		for _, r := range reports {
			if r.State == last.State || r.Since < last.Since {
				t.Fatalf("report %+v after %+v", r, last)
			}
			last = r
		}
		if len(reports) != len(eagerly) {
			t.Fatalf("%d reports by deadlines, %d by ticking", len(reports), len(eagerly))
		}
	})
}

// TestHealthDoesNotFlap sends every other frame wrong, then lets a contact
// chatter: one report each.
func TestHealthDoesNotFlap(t *testing.T) {
	h := NewHealth(0, HealthRules{})
	reports := 0
	for i := range 1000 {
		do := "right"
		if i%2 == 0 {
			do = "wrong"
		}
		if _, changed := tell(h, time.Duration(i)*second, do); changed {
			reports++
		}
	}
	if reports != 2 || h.Report().State != HealthDegraded {
		t.Errorf("%d reports, %+v; want it to be ok once and degraded then", reports, h.Report())
	}
	reports = 0
	for i := range 1000 {
		do := "open"
		if i%2 == 0 {
			do = "closed"
		}
		if _, changed := tell(h, 1000*second+time.Duration(i)*second, do); changed {
			reports++
		}
	}
	if reports != 1 {
		t.Errorf("a chattering contact made %d reports, want 1", reports)
	}
}

func TestHealthRules(t *testing.T) {
	if err := DefaultHealthRules().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if err := (HealthRules{}).Validate(); err != nil {
		t.Errorf("no rules: %v", err)
	}
	if got := (HealthRules{}).filled(); got != DefaultHealthRules() {
		t.Errorf("no rules are %+v, want the defaults", got)
	}
	own := HealthRules{Heartbeat: 1, Missed: 2, Quiet: 3, Settle: 4, Wrong: 5, Row: 6, Mend: 7, Strays: 8, Calm: 9}
	if got := own.filled(); got != own {
		t.Errorf("rules of one's own became %+v", got)
	}
	err := HealthRules{
		Heartbeat: -1, Quiet: 400 * day, Settle: -1, Calm: -1, Missed: -1, Wrong: 17, Row: 101, Mend: -1, Strays: -1,
	}.Validate()
	if err == nil {
		t.Fatal("rules full of faults are valid")
	}
	for _, name := range []string{"heartbeat", "quiet", "settle", "calm", "missed", "wrong: 17: want 0 to 16", "row", "mend", "strays"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error lacks %q:\n%v", name, err)
		}
	}
}
