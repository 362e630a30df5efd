package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quoted is a string as strace -xx writes it.
func quoted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString(`\x` + hex.EncodeToString([]byte{s[i]}))
	}
	return `"` + b.String() + `"`
}

func TestParseTrace(t *testing.T) {
	text := strings.Join([]string{
		`7  openat(AT_FDCWD, ` + quoted("/d/a") + `, O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3`,
		`7  pwrite64(3, ` + quoted("xy") + `, 2, 4096 <unfinished ...>`,
		`8  openat(AT_FDCWD, ` + quoted("/d/none") + `, O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)`,
		`7  <... pwrite64 resumed>)     = 2`,
		`8  write(1, ` + quoted("ack keys 1\n") + `, 11) = 11`,
		`8  +++ exited with 0 +++`,
	}, "\n")
	calls, err := parseTrace(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Name       string
		Result     int64
		Start, End int
	}
	var got []brief
	for _, c := range calls {
		got = append(got, brief{c.name, c.result, c.start, c.end})
	}
	want := []brief{{"openat", 3, 0, 0}, {"openat", -1, 2, 2}, {"pwrite64", 2, 1, 3}, {"write", 11, 4, 4}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("calls (-want +got):\n%s", d)
	}
	if data, err := calls[2].text(1); err != nil || string(data) != "xy" {
		t.Errorf("text %q, %v", data, err)
	}
	if at, err := calls[2].number(3); err != nil || at != 4096 {
		t.Errorf("number %d, %v", at, err)
	}
	if path, err := calls[0].path(1); err != nil || path != "/d/a" || !calls[0].flag(2, "O_CREAT") {
		t.Errorf("path %q, %v", path, err)
	}
	for _, bad := range []string{"7  nonsense", `7  write(1, "\x41", 1) = one`} {
		if _, err := parseTrace(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if _, err := calls[0].text(0); err == nil {
		t.Error("what is no string is read as one")
	}
	cut := call{name: "write", args: []string{"1", quoted("abc") + "..."}}
	if _, err := cut.text(1); err == nil {
		t.Error("a string that strace cut off is taken for whole")
	}
}

// script is a program's calls on the directory /d, in short: what it does to its
// files, and "ack" when it says that it is done.
func script(t *testing.T, lines ...string) []call {
	t.Helper()
	fd := map[string]int{"dir": 9}
	calls := []string{`openat(AT_FDCWD, ` + quoted("/d") + `, O_RDONLY|O_CLOEXEC) = 9`}
	for _, l := range lines {
		w := strings.Fields(l)
		switch w[0] {
		case "open":
			fd[w[1]] = 10 + len(fd)
			calls = append(calls, fmt.Sprintf(`openat(AT_FDCWD, %s, O_RDWR|O_CREAT|O_CLOEXEC, 0600) = %d`, quoted("/d/"+w[1]), fd[w[1]]))
		case "write": // name, position, letter, count
			var at, n int
			if _, err := fmt.Sscan(w[2]+" "+w[4], &at, &n); err != nil {
				t.Fatal(err)
			}
			calls = append(calls, fmt.Sprintf(`pwrite64(%d, %s, %d, %d) = %d`, fd[w[1]], quoted(strings.Repeat(w[3], n)), n, at, n))
		case "sync":
			calls = append(calls, fmt.Sprintf(`fdatasync(%d) = 0`, fd[w[1]]))
		case "rename":
			calls = append(calls, fmt.Sprintf(`renameat(AT_FDCWD, %s, AT_FDCWD, %s) = 0`, quoted("/d/"+w[1]), quoted("/d/"+w[2])))
		case "remove":
			calls = append(calls, fmt.Sprintf(`unlinkat(AT_FDCWD, %s, 0) = 0`, quoted("/d/"+w[1])))
		case "ack":
			calls = append(calls, `write(1, `+quoted("ack keys 1\n")+`, 11) = 11`)
		default:
			calls = append(calls, fmt.Sprintf(l, fd["a"]))
		}
	}
	text := ""
	for _, c := range calls {
		text += "7  " + c + "\n"
	}
	out, err := parseTrace(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// left lists what the file a can be after a power cut, before the
// acknowledgement and after it: "" for no file, "-" for an empty one.
func left(t *testing.T, calls []call, flush func(*disk, *node, mark)) (before, after []string) {
	t.Helper()
	d := newDisk("/d")
	acked := map[string]int{}
	c := newCutter(d, acked, 1, 8, func(_ string, state tree) error {
		text := ""
		if content, ok := state["a"]; ok {
			text = "-" + string(content)
			// In short: a letter for each sector.
			if len(content) > 0 {
				text = ""
				for s := range slices.Chunk(content, sector) {
					if s[0] == 0 {
						s[0] = '0'
					}
					text += string(s[0])
				}
			}
		}
		if acked["keys"] > 0 {
			after = append(after, text)
		} else {
			before = append(before, text)
		}
		return nil
	})
	p := &player{disk: d, acked: acked, flush: flush, cut: c.cut}
	if err := p.play(calls); err != nil {
		t.Fatal(err)
	}
	slices.Sort(before)
	slices.Sort(after)
	return slices.Compact(before), slices.Compact(after)
}

// After an acknowledgement there must be one state alone; where a flush is
// missing, there are more.
func TestStates(t *testing.T) {
	full := []string{"open a", "write a 0 x 512", "sync a", "sync dir", "ack"}
	over := append(slices.Clone(full[:4]), "write a 0 y 512", "write a 512 z 512")
	moved := []string{"open b", "write b 0 x 512", "sync b", "rename b a", "sync dir", "ack"}
	for _, c := range []struct {
		name  string
		calls []string
		want  []string // after the acknowledgement
	}{
		{"all flushed", full, []string{"x"}},
		{"content not flushed", slices.Concat(full[:2], full[3:]), []string{"-", "x"}},
		{"name not flushed", slices.Concat(full[:3], full[4:]), []string{"", "x"}},
		{"told too early", []string{"open a", "write a 0 x 512", "ack", "sync a", "sync dir"}, []string{"", "-", "x"}},
		{"renamed", moved, []string{"x"}},
		{"renamed, content not flushed", slices.Concat(moved[:2], moved[3:]), []string{"-", "x"}},
		{"renamed, name not flushed", slices.Concat(moved[:4], moved[5:]), []string{"", "x"}},
		{"removed", append(slices.Clone(full[:4]), "remove a", "sync dir", "ack"), []string{""}},
		{"removed, name not flushed", append(slices.Clone(full[:4]), "remove a", "ack"), []string{"", "x"}},
		{"written over in any order", append(slices.Clone(over), "ack", "sync a"), []string{"x", "xz", "y", "yz", "y0"}},
		{"written over and flushed", append(slices.Clone(over), "sync a", "ack"), []string{"yz"}},
	} {
		_, after := left(t, script(t, c.calls...), honest)
		for _, w := range c.want {
			if !slices.Contains(after, w) {
				t.Errorf("%s: %q can't be left, got %q", c.name, w, after)
			}
		}
		if len(c.want) == 1 && len(after) > 1 {
			t.Errorf("%s: %q can be left, want %q alone", c.name, after, c.want)
		}
	}
}

func TestTornWrite(t *testing.T) {
	_, after := left(t, script(t, "open a", "write a 0 x 2048", "sync a", "sync dir", "write a 0 y 2048", "ack", "sync a"), honest)
	torn := 0
	for _, s := range after {
		if strings.Contains(s, "x") && strings.Contains(s, "y") {
			torn++
		}
	}
	if torn == 0 {
		t.Errorf("no write is torn in %q", after)
	}
}

func TestControlsLoseWhatWasFlushed(t *testing.T) {
	for _, c := range controls {
		_, after := left(t, script(t, "open a", "write a 0 x 512", "sync a", "sync dir", "ack"), c.flush)
		if len(after) < 2 {
			t.Errorf("%s: only %q can be left", c.name, after)
		}
	}
}

// A call that the disk has no model of must not pass unseen.
func TestUnknownCallsAreRefused(t *testing.T) {
	for _, l := range []string{`fallocate(%d, 0, 0, 4096) = 0`, `ftruncate(%d, many) = 0`, `pwritev(%d, [], 1, 0) = 5`, `sync() = 0%.0d`} {
		d := newDisk("/d")
		p := &player{disk: d, acked: map[string]int{}, flush: honest, cut: func(*node) error { return nil }}
		if err := p.play(script(t, "open a", l)); err == nil {
			t.Errorf("%s: no error", l)
		}
	}
}

func TestPlanIsTheSameEachTime(t *testing.T) {
	a, b := newPlan(3, 40, 0, 0), newPlan(3, 40, 0, 0)
	if d := cmp.Diff(fmt.Sprint(a.updates), fmt.Sprint(b.updates)); d != "" || a.last() == 0 {
		t.Errorf("the plans of one seed differ:\n%s", d)
	}
	if c := newPlan(4, 40, 0, 0); fmt.Sprint(c.updates) == fmt.Sprint(a.updates) {
		t.Error("the plans of two seeds are the same")
	}
}
