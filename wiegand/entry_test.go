package wiegand

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = time.Second

// press is a key at a time.
type press struct {
	at  time.Duration
	key byte
}

// typed makes presses of keys, one every gap from a start on.
func typed(start, gap time.Duration, keys string) []press {
	var p []press
	for i := range len(keys) {
		p = append(p, press{start + time.Duration(i)*gap, keys[i]})
	}
	return p
}

func join(p ...[]press) []press {
	var all []press
	for _, one := range p {
		all = append(all, one...)
	}
	return all
}

func TestEntry(t *testing.T) {
	tests := []struct {
		name string
		size int
		keys []press
		want string // what was submitted, joined by spaces
	}{
		{"by size", 4, typed(0, second, "1234"), "1234"},
		{"by hash before the size", 4, typed(0, second, "12#"), "12"},
		{"by hash only", 0, typed(0, second, "123456#"), "123456"},
		{"hash after size is ignored", 4, join(typed(0, second, "1234#"), typed(10*second, second, "56#")), "1234 56"},
		{"hash within two seconds is ignored even after a digit", 4, []press{{0, '1'}, {0, '2'}, {0, '3'}, {0, '4'}, {second, '5'}, {2*second - 1, '#'}, {3 * second, '#'}}, "1234 5"},
		{"hash at two seconds counts", 4, []press{{0, '1'}, {0, '2'}, {0, '3'}, {0, '4'}, {second, '5'}, {2 * second, '#'}}, "1234 5"},
		{"hash after a submission by hash counts", 0, []press{{0, '1'}, {0, '#'}, {1, '2'}, {2, '#'}}, "1 2"},
		{"empty entries count for nothing", 4, typed(0, second, "###"), ""},
		{"star clears", 4, typed(0, second, "12*3456"), "3456"},
		{"letters and control bytes are nothing", 4, typed(0, second, "1a2\x003\xff4"), "1234"},
		{"just under five seconds between keys", 4, typed(0, 5*second-1, "1234"), "1234"},
		{"five seconds between keys", 0, join(typed(0, second, "12"), typed(6*second, second, "34#")), "34"},
		{"twenty seconds in all", 0, join(typed(0, 4*second, "12345"), typed(20*second, second, "67#")), "67"},
		{"sixteen digits", 0, typed(0, second, "1234567890123456#"), "1234567890123456"},
		{"seventeen digits count for nothing", 0, typed(0, second/2, "12345678901234567#"), ""},
		{"what follows a spoiled entry's end counts", 0, typed(0, second/2, "12345678901234567#89#"), "89"},
		{"a spoiled entry's tail does not pass for a code", 0, typed(0, second/2, "1234567890123456789#"), ""},
		{"star ends a spoiled entry", 0, typed(0, second/2, "12345678901234567*55#"), "55"},
		{"time ends a spoiled entry", 0, join(typed(0, second/2, "12345678901234567"), typed(30*second, second, "1#")), "1"},
		{"size over the most means by hash only", 17, typed(0, second/2, "1234567890123456#"), "1234567890123456"},
		{"size below zero means by hash only", -1, typed(0, second, "12#"), "12"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEntry(tt.size)
			var got []string
			for _, p := range tt.keys {
				if digits, done := e.Key(p.at, p.key); done {
					got = append(got, digits)
				} else if digits != "" {
					t.Errorf("key %q gave digits without being done", p.key)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("submitted %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestEntryDeadline(t *testing.T) {
	e := NewEntry(0)
	if _, ok := e.Deadline(); ok {
		t.Error("an empty entry has a deadline")
	}
	for i, want := range []time.Duration{5, 9, 13, 17, 20, 20} {
		now := time.Duration(i) * 4 * second
		if i == 5 {
			now = 19 * second
		}
		e.Key(now, '1')
		if got, ok := e.Deadline(); !ok || got != want*second {
			t.Errorf("after %d keys: deadline %v, %v; want %v", i+1, got, ok, want*second)
		}
	}
	if e.Expire(20*second - 1) {
		t.Error("expired before its time")
	}
	if e.Len() != 6 {
		t.Errorf("Len = %d, want 6", e.Len())
	}
	if !e.Expire(20*second) || e.Len() != 0 || e.Expire(20*second) {
		t.Error("want it to expire once, and be empty then")
	}
	e.Key(30*second, '1')
	e.Reset()
	if _, ok := e.Deadline(); ok || e.Len() != 0 {
		t.Error("Reset left something")
	}
}

func TestEntrySetSize(t *testing.T) {
	e := NewEntry(0)
	e.Key(0, '1')
	e.SetSize(2)
	if digits, done := e.Key(1, '2'); !done || digits != "12" {
		t.Errorf("got %q, %v; want the digits typed before to count", digits, done)
	}
}

// TestEntryModel compares the entry with a slow account of its rules, in which
// each entry is the list of its keys.
func TestEntryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, EntryMax).Draw(t, "size")
		e := NewEntry(size)
		var (
			now   time.Duration
			keys  []press
			grace = time.Duration(-1)
		)
		for range rapid.IntRange(1, 60).Draw(t, "keys") {
			now += rapid.SampledFrom([]time.Duration{0, second / 2, second, 2 * second, 5*second - 1, 5 * second}).Draw(t, "gap")
			k := rapid.SampledFrom([]byte("01234567890123456789*#")).Draw(t, "key")
			if len(keys) > 0 && (now-keys[len(keys)-1].at >= KeyGap || now-keys[0].at >= EntryLimit) {
				keys = nil
			}
			want, wantDone := "", false
			submit := k == '#' && now >= grace
			switch {
			case k == '*':
				keys = nil
			case k != '#':
				keys = append(keys, press{now, k})
				if len(keys) == size {
					submit, grace = true, now+HashGrace
				}
			}
			if submit {
				if len(keys) > 0 && len(keys) <= EntryMax {
					for _, p := range keys {
						want += string(p.key)
					}
					wantDone = true
				}
				keys = nil
			}
			if got, done := e.Key(now, k); got != want || done != wantDone {
				t.Fatalf("key %q at %v: got %q, %v; want %q, %v", k, now, got, done, want, wantDone)
			}
		}
	})
}

func TestEntryNeverPrintsDigits(t *testing.T) {
	e := NewEntry(0)
	for _, k := range []byte("7777") {
		e.Key(0, k)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		for _, v := range []any{e, *e} {
			got := fmt.Sprintf(verb, v)
			if got != "entry with 4 digits" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
}
