package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/api"
	"postern/api/apitest"
	"postern/config"
)

func itemsIn(all []proof, which func(proof) bool) (out []string) {
	for _, p := range all {
		if which(p) {
			out = append(out, p.Item)
		}
	}
	return out
}

func TestProofsOfAProfile(t *testing.T) {
	cfg, faults, err := config.Load("../../firmware-config/examples/two-doors.toml")
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	st := api.Status{SystemID: cfg.Panel.SystemID}
	for _, d := range cfg.Doors {
		st.Doors = append(st.Doors, api.Door{ID: d.ID, Name: d.Name, HasContact: d.Contact != ""})
	}
	for _, in := range cfg.Inputs {
		st.Inputs = append(st.Inputs, api.Input{ID: in.ID, Kind: string(in.Kind)})
	}
	all := proofs(st, cfg)
	byHand := itemsIn(all, func(p proof) bool { return p.ByHand })
	for _, d := range cfg.Doors {
		want := []string{"door." + d.ID + ".egress", "door." + d.ID + ".dead"}
		if d.REX != "" {
			want = append(want, "door."+d.ID+".exit")
		}
		for _, item := range want {
			if !slices.ContainsFunc(all, func(p proof) bool { return p.Item == item }) {
				t.Errorf("%s is not asked for", item)
			}
		}
		i := slices.IndexFunc(all, func(p proof) bool { return p.Item == "door."+d.ID+".dead" })
		if !strings.Contains(all[i].What, string(d.OnPanelDead)) {
			t.Errorf("%q does not say %s", all[i].What, d.OnPanelDead)
		}
	}
	if len(byHand) != 2*len(cfg.Doors) {
		t.Errorf("by hand %v", byHand)
	}
	for _, in := range cfg.Inputs {
		if !slices.ContainsFunc(all, func(p proof) bool { return p.Item == "input."+in.ID }) {
			t.Errorf("input %s is not asked for", in.ID)
		}
	}
}

// Each item is proved by what it says and by nothing less.
func TestEvidence(t *testing.T) {
	event := func(e access.EventType) api.Message {
		return api.Message{Event: &api.Event{Type: e, Door: "d", Text: e.Text()}}
	}
	door := func(open bool) api.Message { return api.Message{Door: &api.Door{ID: "d", Open: open}} }
	read := func(r api.Read) api.Message { r.Reader = "r"; return api.Message{Read: &r} }
	format := []api.Candidate{{Format: "raw40", Number: 1234567890, Identification: "0001234567890"}}
	for _, tt := range []struct {
		name string
		st   []api.Status
		in   []api.Message
		want []string
	}{
		{"a card", nil, []api.Message{read(api.Read{Kind: api.ReadCard, Pulses: 40, Candidates: format})}, []string{"reader.r.card"}},
		{"a card with a fault", nil, []api.Message{read(api.Read{Kind: api.ReadCard, Candidates: format, Error: "D0 and D1 may be swapped"})}, nil},
		{"bits without a format", nil, []api.Message{read(api.Read{Kind: api.ReadCard, Pulses: 37})}, nil},
		{"noise", nil, []api.Message{read(api.Read{Kind: api.ReadNoise, Pulses: 5})}, nil},
		{"a key", nil, []api.Message{read(api.Read{Kind: api.ReadKey})}, []string{"reader.r.keypad"}},
		{"a contact that opens", nil, []api.Message{door(true)}, nil},
		{"a contact that closes", nil, []api.Message{door(false)}, nil},
		{"a contact", nil, []api.Message{door(true), door(true), door(false)}, []string{"door.d.contact"}},
		{"a door that stands open", []api.Status{{Doors: []api.Door{{ID: "d", Open: true}}}}, []api.Message{door(false)}, []string{"door.d.contact"}},
		{"a grant", []api.Status{{Link: api.Link{Connected: true}}}, []api.Message{event(access.GrantedCard)}, []string{"central", "door.d.key"}},
		{"a grant without central", []api.Status{{}}, []api.Message{event(access.GrantedCardPIN)}, []string{"door.d.key", "offline"}},
		{"an operator's", nil, []api.Message{event(access.Granted)}, nil},
		{"a denial for another reason", nil, []api.Message{event(access.DeniedSchedule)}, nil},
		{"an unknown card", nil, []api.Message{event(access.DeniedUnknown)}, []string{"door.d.refused"}},
		{"the exit button", nil, []api.Message{event(access.GrantedREX)}, []string{"door.d.exit"}},
		{"forced, ended", nil, []api.Message{event(access.DoorForced), event(access.DoorAlarmEnded)}, []string{"door.d.forced"}},
		{"held", nil, []api.Message{event(access.DoorHeldOpen)}, nil},
		{"held, closed", nil, []api.Message{event(access.DoorHeldOpen), event(access.DoorAlarmEnded)}, []string{"door.d.held"}},
		{"clock", []api.Status{{Clock: "holdover"}, {Clock: "trusted"}}, nil, []string{"clock"}},
		{"an input", []api.Status{{Inputs: []api.Input{{ID: "i"}}}, {Inputs: []api.Input{{ID: "i", Active: true}}}, {Inputs: []api.Input{{ID: "i"}}}}, nil, []string{"input.i"}},
		{"an input that stays", []api.Status{{Inputs: []api.Input{{ID: "i"}}}, {Inputs: []api.Input{{ID: "i", Active: true}}}}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEvidence()
			var got []string
			take := func(signs []sign) {
				for _, s := range signs {
					got = append(got, s.item)
					if s.how == "" || strings.Contains(s.how, "1234567890") {
						t.Errorf("%s: %q", s.item, s.how)
					}
				}
			}
			for _, st := range tt.st {
				take(e.status(st))
			}
			for _, m := range tt.in {
				take(e.message(m))
			}
			if len(tt.st) > 1 { // a status says again what it said
				slices.Sort(got)
				got = slices.Compact(got)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("proved (-want +got):\n%s", diff)
			}
		})
	}
}

// newCommissioned proves a panel with looks that are soon.
func newCommissioned(d *daemon, out lineWriter, file string, confirmed ...string) *commission {
	return &commission{
		o: &options{out: out, err: io.Discard, json: true}, client: api.NewClient(d.socket), file: file, config: "/nowhere", confirmed: confirmed,
		doctor: func(context.Context, api.Status) int { return 0 }, every: 10 * time.Millisecond,
	}
}

// A panel is proved in two sessions; what was proved in the first is not asked for
// again, and the file has no card's number in it.
func TestCommission(t *testing.T) {
	d := newDaemon(t)
	d.Wire()
	hands := apitest.Hands{Panel: d.Panel}
	file := filepath.Join(t.TempDir(), "demo.json")
	lines := make(chan string, 100)
	before := d.Watchers()
	session := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		eventually(t, "nobody else watches", func() bool { return d.Watchers() == before })
		go func() { done <- newCommissioned(d, lineWriter(lines), file).run(ctx, false) }()
		eventually(t, "it watches", func() bool { return d.Watchers() > before })
		return done
	}
	proved := func(want ...string) {
		t.Helper()
		eventually(t, "proved "+strings.Join(want, ", "), func() bool {
			c, err := readCommission(file)
			have := itemsIn(c.Proofs, func(p proof) bool { return !p.Proved.IsZero() })
			return err == nil && !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := session(ctx)
	if _, err := hands.Badge(ctx, "front", "0000000000005", ""); err != nil {
		t.Fatal(err)
	}
	if err := hands.Keys(ctx, "lab", "7"); err != nil {
		t.Fatal(err)
	}
	proved("central", "clock", "doctor", "reader.front.card", "reader.lab.keypad", "door.front.refused")
	cancel()
	if err := <-first; err == nil || !strings.Contains(err.Error(), "not proved yet") {
		t.Errorf("after the first session: %v", err)
	}

	second := session(t.Context())
	d.Change(func(st *api.Status) { st.Link.Connected = false })
	for _, door := range []string{"front", "lab"} {
		for _, e := range []access.EventType{access.GrantedCard, access.DeniedUnknown, access.DoorForced, access.DoorHeldOpen, access.DoorAlarmEnded} {
			d.Append(api.Event{Type: e, Door: door})
		}
		for _, open := range []bool{true, false} {
			if err := hands.Contact(t.Context(), door, open); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, reader := range []string{"front", "lab"} {
		_ = hands.Keys(t.Context(), reader, "1")
		_, _ = hands.Badge(t.Context(), reader, "0000000000005", "")
	}
	for _, active := range []bool{true, false} {
		for _, in := range []string{"fire", "gate"} {
			if err := hands.Input(t.Context(), in, active); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the inputs are looked at", func() bool { return looked(d) })
	}
	if err := <-second; err == nil || !strings.HasPrefix(err.Error(), "4 items of ") {
		t.Fatalf("after the second session: %v, want four left for people", err)
	}
	byHand := []string{"door.front.egress", "door.front.dead", "door.lab.egress", "door.lab.dead"}
	c, err := readCommission(file)
	if diff := cmp.Diff(byHand, itemsIn(c.Proofs, func(p proof) bool { return p.Proved.IsZero() })); err != nil || diff != "" {
		t.Errorf("left: %v\n%s", err, diff)
	}
	for _, wrong := range []string{"door.cellar.egress", "door.front.key"} {
		if err := newCommissioned(d, lineWriter(lines), file, wrong).run(t.Context(), false); err == nil {
			t.Errorf("%s was confirmed", wrong)
		}
	}
	if err := newCommissioned(d, lineWriter(lines), file, byHand...).run(t.Context(), false); err != nil {
		t.Errorf("all is proved: %v", err)
	}
	if text := string(source(t, file)); strings.Contains(text, "0000000000005") || !strings.Contains(text, "confirmed by the installer") {
		t.Errorf("the file: %s", text)
	}
}

// The daemon is stopped and started in the middle: that is a part of it.
func TestCommissionOutlivesTheDaemon(t *testing.T) {
	one, two := newDaemon(t), newDaemon(t)
	dir, err := os.MkdirTemp("", "cli") // a test's own folder is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "f.json")
	if err := os.Symlink(one.socket, socket); err != nil {
		t.Fatal(err)
	}
	lines, done := make(chan string, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	c := newCommissioned(one, lineWriter(lines), file)
	c.client = api.NewClient(socket)
	before, beforeTwo := one.Watchers(), two.Watchers()
	go func() { done <- c.run(ctx, false) }()
	eventually(t, "it watches", func() bool { return one.Watchers() > before })
	one.stop()
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(two.socket, socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it watches again", func() bool { return two.Watchers() > beforeTwo })
	two.Append(api.Event{Type: access.GrantedREX, Door: "front"})
	two.Append(api.Event{Type: access.GrantedCard, Door: "front"})
	eventually(t, "it goes on", func() bool {
		c, err := readCommission(file)
		return err == nil && slices.Contains(itemsIn(c.Proofs, func(p proof) bool { return !p.Proved.IsZero() }), "door.front.key")
	})
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "not proved yet") {
		t.Errorf("it ends with %v", err)
	}
}

// looked gives a session time for a look at the panel as it is.
func looked(d *daemon) bool {
	before := d.Looks()
	for end := time.Now().Add(5 * time.Second); d.Looks() < before+2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func TestCommissionFile(t *testing.T) {
	d := newDaemon(t)
	dir := t.TempDir()
	lines := lineWriter(make(chan string, 100))
	run := func(text string) error {
		file := filepath.Join(dir, "f.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := newCommissioned(d, lines, file).run(t.Context(), true)
		if got := string(source(t, file)); err != nil && !strings.Contains(err.Error(), "not proved yet") && got != text {
			t.Errorf("the file was changed to %s", got)
		}
		return err
	}
	for text, want := range map[string]string{
		"":                           "no file of postern commission",
		"a backup":                   "no file of postern commission",
		`{"system_id":"demo-002"}`:   "is of panel demo-002, and this is demo-001",
		`{"system_id":"x","y":true}`: "no file of postern commission",
		`{"system_id":"demo-001","proofs":[{"item":"gone","what":"x","proved":"2026-01-01T00:00:00Z"}]}`: "not proved yet",
	} {
		if err := run(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	var c commissioned
	if err := json.Unmarshal(source(t, filepath.Join(dir, "f.json")), &c); err == nil && slices.ContainsFunc(c.Proofs, func(p proof) bool { return p.Item == "gone" }) {
		t.Error("an item that there is no more is kept")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".commission-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
