package central

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/access"
	"postern/wire"
)

// TestContinuationProperty: events come in at random while somebody pages through
// them; whatever the filter and the size of pages, each event that fits is given
// exactly once, in the order of its sequence id.
func TestContinuationProperty(t *testing.T) {
	k, n := newKit(t), 0
	r := newRig(k)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := &pager{rt: rt, rig: r, panels: map[string]*fakePanel{}}
		for i := range 3 {
			system := fmt.Sprintf("s%d-%d", n, i)
			r.panel(system, 6)
			w.systems = append(w.systems, system)
			w.panels[system] = newFakePanel(r, system)
		}
		w.begin()
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "read") {
				w.read()
			} else {
				w.happens()
			}
		}
		for w.read() {
		}
		got, want := slices.Clone(w.got), w.expected()
		if !slices.Equal(got, want) {
			rt.Fatalf("%s gave %v, want each of %v once", w.filter, got, want)
		}
		if w.read() || len(w.got) != len(want) {
			rt.Fatalf("after the end it gives %v", w.got[len(want):])
		}
		w.happens()
		for w.read() {
		}
		if want := w.expected(); !slices.Equal(w.got, want) {
			rt.Fatalf("later %s gave %v, want %v", w.filter, w.got, want)
		}
	})
}

type pager struct {
	rt *rapid.T
	*rig
	systems []string
	panels  map[string]*fakePanel
	filter  string // of the request, without braces
	kinds   []string
	only    []string
	key     string // of the last page
	got     []int64
}

func (w *pager) begin() {
	w.only = w.systems
	if rapid.Bool().Draw(w.rt, "some systems") {
		w.only = w.systems[:rapid.IntRange(1, 2).Draw(w.rt, "systems")]
	}
	w.filter = `"from_date":"2020-01-01T00:00:00Z","systems":` + jsonText(w.only)
	granted, denied := rapid.Bool().Draw(w.rt, "granted"), rapid.Bool().Draw(w.rt, "denied")
	w.filter += fmt.Sprintf(`,"include_access_granted":%v,"include_access_denied":%v`, granted, denied)
	if granted || !denied {
		w.kinds = append(w.kinds, "accessgranted")
	}
	if denied || !granted {
		w.kinds = append(w.kinds, "accessdenied")
	}
	if rapid.Bool().Draw(w.rt, "system") {
		w.filter += `,"include_system":true`
		w.kinds = append(w.kinds, "system")
	}
}

// happens lets some events come in, of any time and of any panel.
func (w *pager) happens() {
	for range rapid.IntRange(1, 5).Draw(w.rt, "events") {
		p := w.panels[rapid.SampledFrom(w.systems).Draw(w.rt, "at")]
		p.happen(wire.Entry{
			Type: rapid.SampledFrom([]access.EventType{access.GrantedCard, access.GrantedREX, access.DeniedUnknown, access.DoorForced}).Draw(w.rt, "type"),
			At:   w.clock.now().Add(time.Duration(rapid.IntRange(-100, 100).Draw(w.rt, "minutes")) * time.Minute),
			Door: "front",
		})
	}
	for _, system := range w.systems {
		if rapid.Bool().Draw(w.rt, "arrives") {
			w.panels[system].settle()
		}
	}
}

// read takes a page, and reports whether there are more.
func (w *pager) read() bool {
	limit := rapid.IntRange(1, 4).Draw(w.rt, "limit")
	body := fmt.Sprintf(`{%s,"limit":%d}`, w.filter, limit)
	if w.key != "" {
		body = fmt.Sprintf(`{"limit":%d,"continuation_key":%q}`, limit, w.key)
		if rapid.Bool().Draw(w.rt, "repeats the filter") {
			body = fmt.Sprintf(`{%s,"limit":%d,"continuation_key":%q}`, w.filter, limit, w.key)
		}
	}
	a := w.events(body)
	if rapid.Bool().Draw(w.rt, "asks twice") {
		// The same page again has the same events first.
		b := w.events(body)
		for i, e := range a.Events {
			if b.Events[i].Sequence != e.Sequence {
				w.rt.Fatalf("the same page has other events: %v, then %v", types(a), types(b))
			}
		}
	}
	if len(a.Events) > limit || a.HasMore && len(a.Events) != limit {
		w.rt.Fatalf("a page of %d of at most %d events says has_more %v", len(a.Events), limit, a.HasMore)
	}
	for _, e := range a.Events {
		w.got = append(w.got, e.Sequence)
	}
	w.key = a.Continuation
	return a.HasMore
}

// expected are the events that are there and fit, from the database itself.
func (w *pager) expected() []int64 {
	var p params
	query := "SELECT sequence_id FROM events WHERE system_id IN " + addList(&p, w.only) + " AND category IN " + addList(&p, w.kinds) + " ORDER BY sequence_id"
	out, err := all(w.t.Context(), w.store.read, func(scan func(...any) error) (n int64, err error) {
		err = scan(&n)
		return n, err
	}, query, p...)
	if err != nil {
		w.rt.Fatal(err)
	}
	return out
}

// FuzzContinuation gives made-up continuation keys, most of all those that look
// like ours: they are refused, or give what the caller might have asked for.
func FuzzContinuation(f *testing.F) {
	for _, text := range []string{
		`{"a":0,"f":0}`, `{"a":9223372036854775807,"f":-9223372036854775808,"t":1}`, `{"a":1,"f":0,"s":["p2"],"g":true,"d":true,"y":true}`,
		`{"a":1,"f":0,"s":["p1","p1"]}`, `{"a":1}{"a":2}`, `{"a":-1}`, `null`, `{"x":1}`, `{"a":1,"s":["' OR 1=1 --"]}`, "",
	} {
		f.Add([]byte(text))
	}
	k := newKit(f)
	r := newRig(k)
	r.panel("p1", 6, level(1))
	r.panel("p2", 6, level(2))
	p := newFakePanel(r, "p2")
	p.happen(granted)
	p.settle()
	narrow := k.key("narrow", "p1")
	f.Fuzz(func(t *testing.T, text []byte) {
		k.t = t
		body := fmt.Sprintf(`{"continuation_key":%q}`, base64.RawURLEncoding.EncodeToString(text))
		got := k.send(narrow, "/v1/events/list", body)
		switch got.status {
		case http.StatusOK, http.StatusBadRequest, http.StatusForbidden:
		default:
			t.Fatalf("%q: got %d %s", text, got.status, got.body)
		}
		if k.count("SELECT COUNT(*) FROM events") != 1 || strings.Contains(got.body, `"system_id":"p2"`) {
			t.Fatalf("%q: got %s", text, got.body)
		}
	})
}
