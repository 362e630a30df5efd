package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/access"
	"postern/api"
	"postern/config"
	"postern/store"
)

func TestClockJudge(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name        string
		source      config.ClockSource
		synced, rtc bool
		before      bool // was trusted since the start
		lastGood    time.Time
		want        access.ClockState
		wantGood    time.Time
	}{
		{"synchronised", config.ClockNTP, true, false, false, now.Add(-time.Hour), access.ClockTrusted, now.Add(-time.Hour)},
		{"synchronised to an earlier time", config.ClockNTP, true, false, false, now.Add(time.Hour), access.ClockTrusted, now},
		{"RTC", config.ClockNTP, false, true, false, time.Time{}, access.ClockTrusted, time.Time{}},
		{"RTC that has stopped", config.ClockNTP, false, true, false, now.Add(time.Hour), access.ClockUntrusted, now.Add(time.Hour)},
		{"neither", config.ClockNTP, false, false, false, time.Time{}, access.ClockUntrusted, time.Time{}},
		{"was trusted", config.ClockNTP, false, false, true, now.Add(-time.Hour), access.ClockHoldover, now.Add(-time.Hour)},
		{"was trusted, jumped back", config.ClockNTP, false, false, true, now.Add(time.Hour), access.ClockUntrusted, now.Add(time.Hour)},
		{"system", config.ClockSystem, false, false, false, time.Time{}, access.ClockTrusted, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{
				source: tt.source, synced: func() bool { return tt.synced }, rtc: func() bool { return tt.rtc },
				trusted: tt.before, lastGood: tt.lastGood, log: slog.New(slog.DiscardHandler),
			}
			c.judge(now, 0)
			got, changed := c.news()
			if got != tt.want || !changed || !c.lastGood.Equal(tt.wantGood) {
				t.Errorf("got %v (changed %v), last good %v; want %v, %v", got, changed, c.lastGood, tt.want, tt.wantGood)
			}
			c.judge(now, 0)
			if _, changed := c.news(); changed {
				t.Error("the same again is a change")
			}
		})
	}
}

// A clock that somebody set, forward or back, by hand or by a fault, is not believed
// until a time server has been heard; one that only drifted is.
func TestClockThatWasSet(t *testing.T) {
	const day = 24 * time.Hour
	for _, jump := range []time.Duration{time.Second, 9 * time.Second, 11 * time.Second, time.Minute, time.Hour, day, 30 * day, 365 * day, 40 * 365 * day} {
		for _, by := range []time.Duration{jump, -jump} {
			for _, rtc := range []bool{false, true} {
				synced := true
				c := &clock{source: config.ClockNTP, synced: func() bool { return synced }, rtc: func() bool { return rtc }, log: slog.New(slog.DiscardHandler)}
				now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
				look := func(after time.Duration, want access.ClockState) {
					t.Helper()
					c.judge(now, after)
					if got, _ := c.news(); got != want {
						t.Errorf("set by %v, RTC %v, %v after the start: %v, want %v", by, rtc, after, got, want)
					}
				}
				look(0, access.ClockTrusted)
				runs := access.ClockHoldover
				if rtc {
					runs = access.ClockTrusted
				}
				synced, now = false, now.Add(time.Minute)
				look(time.Minute, runs)
				now = now.Add(time.Minute + by)
				if jump > clockStep {
					runs = access.ClockUntrusted
				}
				look(2*time.Minute, runs)
				now = now.Add(time.Hour)
				look(time.Hour+2*time.Minute, runs)
				synced, now = true, now.Add(-by)
				look(time.Hour+2*time.Minute, access.ClockTrusted)
				synced, now = false, now.Add(time.Minute)
				look(time.Hour+3*time.Minute, map[bool]access.ClockState{false: access.ClockHoldover, true: access.ClockTrusted}[rtc])
			}
		}
	}
}

type fixedGood time.Time

func (f fixedGood) LastGood() time.Time                          { return time.Time(f) }
func (f fixedGood) SetLastGood(context.Context, time.Time) error { return nil }

// A clock before the program was made is not believed, whatever it says of
// itself; the store's last good time counts when it is later.
func TestNoClockBeforeTheProgram(t *testing.T) {
	built := time.Now().Add(time.Hour)
	c := &clock{
		source: config.ClockNTP, synced: func() bool { return false }, rtc: func() bool { return true },
		lastGood: built, log: slog.New(slog.DiscardHandler),
	}
	c.load(fixedGood{})
	if now := c.now(); now.State != access.ClockUntrusted || !now.LastGood.Equal(built) {
		t.Errorf("an hour before the program was made: %+v", now)
	}
	later := built.Add(time.Hour)
	c.load(fixedGood(later))
	if now := c.now(); !now.LastGood.Equal(later) {
		t.Errorf("last good time %v, want the store's %v", now.LastGood, later)
	}
}

func TestKilledCheckSaysNothing(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   bool
	}{
		{"kill -KILL $$", true},
		{"kill -TERM $$", true},
		{"kill -SEGV $$", false},
		{"exit 1", false},
	} {
		cmd := exec.Command("sh", "-c", tt.script)
		_ = cmd.Run()
		if got := killed(cmd.ProcessState); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.script, got, tt.want)
		}
	}
}

func TestTLSTimeInTheSeventies(t *testing.T) {
	good := time.Now().Add(24 * time.Hour)
	c := &clock{state: access.ClockUntrusted, lastGood: good}
	if got := c.tlsTime(); !got.Equal(good) {
		t.Errorf("certificates are checked at %v, want the last good time %v", got, good)
	}
	c.state = access.ClockTrusted
	if got := c.tlsTime(); !got.Before(good) {
		t.Errorf("a trusted clock is overruled: %v", got)
	}
}

func TestHubCountsWhatASlowWatcherLost(t *testing.T) {
	h := newHub(func(string) string { return "" }, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ch := h.watch(ctx)
	for range watchQueue + 5 {
		h.publish(api.Message{Kind: api.MessageStatus})
	}
	for range watchQueue {
		<-ch
	}
	h.publish(api.Message{Kind: api.MessageStatus})
	if m := <-ch; m.Lost != 5 {
		t.Errorf("lost %d, want 5", m.Lost)
	}
	cancel()
	if _, open := <-ch; open {
		t.Error("the channel stays open after its context")
	}
	h.publish(api.Message{Kind: api.MessageStatus}) // must not panic
}

const small = `[panel]
system_id = "p-1"
data_dir = "/tmp/x"
[mqtt]
broker = "tcp://127.0.0.1:1883"
[board]
driver = "simulated"
[[door]]
id = "front"
lock = "strike"
on_panel_dead = "locked"
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, faults := config.Parse("panel.toml", []byte(text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return c
}

func TestSameWiring(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           bool
	}{
		{"nothing", "x", "x", true},
		{"door times", `id = "front"`, "id = \"front\"\ntimes = { strike = \"5s\" }", true},
		{"a name", `id = "front"`, "id = \"front\"\nname = \"Front\"", true},
		{"codes", "[board]", "[codes]\nenabled = true\n[board]", true},
		{"time zone", "data_dir", "timezone = \"Europe/Stockholm\"\ndata_dir", true},
		{"metrics", "[board]", "[metrics]\nlisten = \"127.0.0.1:9482\"\n[board]", true},
		{"broker", "1883", "1884", false},
		{"a contact", `id = "front"`, "id = \"front\"\ncontact = \"c\"", false},
		{"rest state", "locked", "released", false},
		{"data", "/tmp/x", "/tmp/y", false},
		{"trust", "[board]", "[trust]\nunsigned = true\n[board]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sameWiring(parse(t, small), parse(t, strings.Replace(small, tt.old, tt.new, 1))); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	if err := errors.Join(os.WriteFile(good, []byte(small), 0o600), os.WriteFile(bad, []byte("[panel]\nsystm_id = 3\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{}, 2},
		{[]string{"frobnicate"}, 2},
		{[]string{"run", "--frobnicate"}, 2},
		{[]string{"run", "extra"}, 2},
		{[]string{"run", "--config", bad}, 2},
		{[]string{"run", "--config", filepath.Join(dir, "none.toml")}, 2},
		{[]string{"run", "--config", good, "--log-level", "loud"}, 2},
		{[]string{"check", "--config", good}, 0},
		{[]string{"check", "--config", bad}, 2},
		{[]string{"check", "--config", bad, "--json"}, 2},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if got := execute(tt.args); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCheckInChildSaysOneLine(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct{ out, want string }{
		{"posternd: keys.db: page 7 is damaged\n", "keys.db: page 7 is damaged"},
		{"panic: page 3\n\ngoroutine 1 [running]:\n", "panic: page 3"},
		{"", "exit status 1"},
		{long, long[:300]},
	} {
		if got := childSays(tt.out, errors.New("exit status 1")); got != tt.want {
			t.Errorf("%.40q gives %.80q, want %.80q", tt.out, got, tt.want)
		}
	}
}

func TestLateStoreGrantsNothing(t *testing.T) {
	l := newLateStore()
	if keys, err := l.Lookup(access.CardCredential(access.EM, 40, 1)); err == nil || len(keys) != 0 {
		t.Errorf("before it is open: %v, %v", keys, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Record(ctx, access.Event{}); !errors.Is(err, context.Canceled) {
		t.Errorf("record gives %v", err)
	}
	if _, err := l.PINMatches(access.Key{}, "1234"); err == nil {
		t.Error("a PIN is compared before the store is open")
	}
	if _, err := l.Lockout("x"); err == nil {
		t.Error("a lockout is read before the store is open")
	}
	l.set(&store.Store{})
	if l.get() == nil {
		t.Error("not open after set")
	}
}
