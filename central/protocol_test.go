package central

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

// TestLevelsMove follows a key whose level goes from one panel to another.
func TestLevelsMove(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1), level(2))
		r.panel("p2", 6, level(1))
		p1, p2 := newFakePanel(r, "p1"), newFakePanel(r, "p2")
		p1.connect()
		p2.connect()
		both, one := r.addCard(1, level(1), level(2)), r.addCard(2, level(1))
		r.tick()
		p1.settle()
		for _, bad := range []struct {
			level    access.ID
			from, to string
		}{{level(1), "p2", "p1"}, {level(1), "p1", "p9"}, {level(9), "p1", "p2"}, {level(1), "p1", "p1"}} {
			before := r.dump()
			if err := r.store.MoveLevel(t.Context(), bad.level, bad.from, bad.to); err == nil || r.dump() != before {
				t.Errorf("move %v: got %v, want an error and nothing changed", bad, err)
			}
		}
		if err := r.store.MoveLevel(t.Context(), level(1), "p1", "p2"); err != nil {
			t.Fatal(err)
		}
		r.tick()
		p2.settle()
		if got := r.status(one); len(got.Pending) != 1 || got.Pending[0].SystemID != "p1" || len(got.Applied) != 1 {
			t.Errorf("got %+v, want the removal on p1 pending", got)
		}
		p1.settle()
		if got := r.status(one); len(got.Applied) != 1 || got.Applied[0].SystemID != "p2" || len(got.Pending) != 0 {
			t.Errorf("got %+v, want it on p2 alone", got)
		}
		if d := cmp.Diff([]access.ID{level(2)}, p1.keys[both].Key.Levels); d != "" {
			t.Errorf("the key that has another level on p1:\n%s", d)
		}
		if _, still := p1.keys[one]; still {
			t.Error("p1 still has the key that had no other level there")
		}
		for _, p := range []*fakePanel{p1, p2} {
			p.inStep()
		}
		// Dropped, the level is nobody's, however often it is announced.
		if err := r.store.DropLevel(t.Context(), level(1), "p2"); err != nil {
			t.Fatal(err)
		}
		r.announce("p2", 8, level(1))
		r.tick()
		p2.settle()
		if len(p2.keys) != 0 {
			t.Errorf("p2 still has %d keys", len(p2.keys))
		}
		if err := r.store.DropLevel(t.Context(), level(1), "p2"); !errors.Is(err, ErrNotFound) {
			t.Errorf("dropped twice: got %v", err)
		}
		if err := r.store.ShareLevel(t.Context(), level(1), "p1"); err != nil {
			t.Fatal(err)
		}
		r.tick()
		p1.settle()
		if len(p1.keys) != 2 || p1.keys[one].Claim <= 2 {
			t.Errorf("p1 has %+v, want both keys, with a later claim", p1.keys)
		}
	})
}

// TestDocuments: policy and door modes reach a panel that has older ones.
func TestDocuments(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		h := r.head("p1")
		v1 := wire.Version{Epoch: h.epoch, Revision: 1}
		for _, bad := range []string{``, `[]`, `{}`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `nonsense`, `{"Epoch":1}`, `{"access_levels":[],"rulse":{}}`, `{"a":"` + strings.Repeat("x", MaxDocument) + `"}`} {
			if _, err := r.store.ApplyPolicy(t.Context(), "p1", []byte(bad)); err == nil {
				t.Errorf("policy %.20s: no error", bad)
			}
		}
		if _, err := r.store.ApplyPolicy(t.Context(), "p9", []byte(`{"access_levels":[]}`)); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown panel: got %v", err)
		}
		if v, err := r.store.ApplyPolicy(t.Context(), "p1", []byte(`{"revision":99,"access_levels":[]}`)); err != nil || v != v1 {
			t.Errorf("got version %+v, %v; want %+v", v, err, v1)
		}
		p := newFakePanel(r, "p1")
		r.tick()
		p.connect()
		policies := r.take("p1", wire.TopicPolicy)
		want := fmt.Sprintf(`{"epoch":%d,"revision":1,"access_levels":[]}`, h.epoch)
		if len(policies) != 1 || string(policies[0]) != want {
			t.Errorf("on state: got %s, want %s", policies, want)
		}
		none := func(what string) {
			t.Helper()
			r.tick()
			if got, m := r.take("p1", wire.TopicPolicy), r.take("p1", wire.TopicModes); got != nil || m != nil {
				t.Errorf("%s: got %s and %s, want nothing", what, got, m)
			}
		}
		none("once is enough")
		// It takes it.
		r.give("p1", wire.TopicPolicyStatus, wire.PolicyStatus{Version: v1, Faults: []wire.PolicyFault{{Path: "a\x00b", Message: "no such level"}}})
		r.clock.pass(time.Hour)
		none("the panel has said what is wrong with it")
		info, err := r.store.Policy(t.Context(), "p1")
		if err != nil || info.Version != v1 || info.Status == nil || info.Status.Faults[0].Path != "ab" || string(info.Policy) != `{"access_levels":[]}` {
			t.Errorf("got %+v, %v", info, err)
		}
		p.policy = v1
		p.connect()
		none("it is in force")

		// A lockdown goes out at once, also to a panel whose log is in alarm.
		p.epoch = h.epoch + 1
		p.connect()
		if got := r.info("p1"); got.Alarm != alarmNewEpoch || got.ReportedPolicy != v1 {
			t.Errorf("got %+v", got)
		}
		set := func(door, mode string, until time.Time) wire.DoorModes {
			t.Helper()
			if _, err := r.store.SetMode(t.Context(), "p1", door, mode, until); err != nil {
				t.Fatal(err)
			}
			r.tick()
			got := r.take("p1", wire.TopicModes)
			if len(got) != 1 {
				t.Fatalf("%s %s: got %d messages, want 1", door, mode, len(got))
			}
			m, err := wire.Decode[wire.DoorModes](got[0])
			if err != nil {
				t.Fatal(err)
			}
			r.clock.pass(changesSettle)
			return m
		}
		soon := r.clock.now().Add(time.Minute)
		m := set(wire.AllDoors, "LockedDown", soon)
		if d := cmp.Diff([]wire.DoorOrder{{Door: "*", Mode: "LockedDown", Until: soon}}, m.Doors); d != "" || m.Version != v1 {
			t.Errorf("got %+v:\n%s", m, d)
		}
		m = set("front", "Blocked", time.Time{})
		if len(m.Doors) != 2 || m.Revision != 2 {
			t.Errorf("got %+v, want both orders in revision 2", m)
		}
		r.clock.pass(time.Hour)
		r.out = nil
		m = set("front", ModeScheduled, time.Time{})
		if len(m.Doors) != 0 || m.Revision != 3 {
			t.Errorf("got %+v, want none, as the other is over", m)
		}
		for _, bad := range [][2]string{{"back", "Blocked"}, {"front", "Ajar"}, {"front", "Accessed"}, {"", "Blocked"}} {
			if _, err := r.store.SetMode(t.Context(), "p1", bad[0], bad[1], time.Time{}); err == nil {
				t.Errorf("%v: no error", bad)
			}
		}
		if got, err := r.store.Modes(t.Context(), "p1"); err != nil || got.Revision != 3 || len(got.Doors) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		// What is not taken comes again, not often.
		none("too soon")
		r.clock.pass(documentResend * DefaultResend)
		r.tick()
		if got := r.take("p1", wire.TopicModes); len(got) != 1 {
			t.Errorf("got %d, want it sent again", len(got))
		}
		// What the panel has is higher, as after central was restored: the next goes above.
		p.modes = wire.Version{Epoch: h.epoch, Revision: 40}
		p.connect()
		none("the panel has a higher one")
		if m = set("front", "Unlocked", time.Time{}); m.Revision != 41 {
			t.Errorf("got revision %d, want 41", m.Revision)
		}
		// Changes in a row go out at most every five seconds.
		p.modes = m.Version
		p.connect()
		set("front", "Locked", time.Time{})
		for range 3 {
			if _, err := r.store.SetMode(t.Context(), "p1", "front", "Blocked", time.Time{}); err != nil {
				t.Fatal(err)
			}
			r.tick()
		}
		if got := r.take("p1", wire.TopicModes); len(got) != 1 {
			t.Errorf("got %d messages, want one", len(got))
		}
		r.clock.pass(changesSettle)
		r.tick()
		if got := r.take("p1", wire.TopicModes); len(got) != 1 || !strings.Contains(string(got[0]), `"revision":45`) {
			t.Errorf("got %s, want the last of them", got)
		}
		// The history is kept, within bounds.
		for range keepVersions {
			if _, err := r.store.SetMode(t.Context(), "p1", "front", "Locked", time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.count("SELECT COUNT(*) FROM documents WHERE kind = 'modes'"); n != keepVersions {
			t.Errorf("%d versions are kept, want %d", n, keepVersions)
		}
	})
}

// TestCommands has an operator's commands on their way through the link.
func TestCommands(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		p := newFakePanel(r, "p1")
		p.connect()
		give := func(name, target string) (access.ID, func() (string, string)) {
			t.Helper()
			o, err := r.store.giveCommand(t.Context(), "p1", name, target)
			if err != nil {
				t.Fatal(err)
			}
			return o.ID, func() (state, text string) {
				t.Helper()
				if err := r.store.read.QueryRowContext(t.Context(), "SELECT state, error FROM commands WHERE id = $1", o.ID.String()).Scan(&state, &text); err != nil {
					t.Fatal(err)
				}
				return state, text
			}
		}
		sent := func() []wire.Command {
			t.Helper()
			r.tick()
			var out []wire.Command
			for _, payload := range r.take("p1", wire.TopicCommand) {
				c, err := wire.Decode[wire.Command](payload)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, c)
			}
			return out
		}
		id, state := give(wire.CommandUnlock, "front")
		got := sent()
		if len(got) != 1 || got[0].Name != wire.CommandChallenge || got[0].ID == id || got[0].Nonce != "" {
			t.Fatalf("got %+v, want a challenge", got)
		}
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: newBoot(), Result: wire.CommandDone, Nonce: "other"})
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: id, Result: wire.CommandDone})
		if got := sent(); got != nil {
			t.Errorf("answers to what was not sent: got %+v", got)
		}
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: got[0].ID, Result: wire.CommandDone, Nonce: "n1"})
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: got[0].ID, Result: wire.CommandDone, Nonce: "n2"})
		want := []wire.Command{{ID: id, Name: wire.CommandUnlock, Target: "front", Nonce: "n1"}}
		if got := sent(); !cmp.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if s, _ := state(); s != commandSent {
			t.Errorf("got %s, want it sent", s)
		}
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: id, Result: wire.CommandDone})
		if s, _ := state(); s != CommandDone {
			t.Errorf("got %s, want it done", s)
		}
		if got := sent(); got != nil {
			t.Errorf("sent twice: %+v", got)
		}

		// The panel refuses; says nothing; the nonce comes late.
		id, state = give(wire.CommandIdentify, "in")
		if got := sent(); len(got) != 1 || got[0] != (wire.Command{ID: id, Name: wire.CommandIdentify, Target: "in"}) {
			t.Errorf("got %+v", got)
		}
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: id, Result: wire.CommandRefused, Error: "no such\x00 reader"})
		if s, text := state(); s != CommandRefused || text != "no such reader" {
			t.Errorf("got %s %q", s, text)
		}
		_, state = give(wire.CommandUnlock, "front")
		got = sent()
		r.clock.pass(CommandTime)
		r.give("p1", wire.TopicResult, wire.CommandResult{ID: got[0].ID, Result: wire.CommandDone, Nonce: "late"})
		if got := sent(); got != nil {
			t.Errorf("an unlock went out late: %+v", got)
		}
		if s, _ := state(); s != CommandExpired {
			t.Errorf("got %s, want it expired", s)
		}
		_, state = give(wire.CommandForgive, "")
		r.clock.pass(CommandTime) // before the link sees it
		if got := sent(); got != nil {
			t.Errorf("went out late: %+v", got)
		}
		if s, _ := state(); s != CommandExpired {
			t.Errorf("got %s, want it expired", s)
		}
		// No room: it waits, and its time goes on.
		_, state = give(wire.CommandForgive, "")
		r.full = true
		if got := sent(); got != nil {
			t.Fatal(got)
		}
		r.full = false
		if got := sent(); len(got) != 1 {
			t.Errorf("got %+v, want it once there is room", got)
		}
		// The link is lost, and central starts again: it never comes.
		r.restart()
		if s, _ := state(); s != CommandExpired {
			t.Errorf("got %s, want it expired", s)
		}
		// A panel that is away is not given it later.
		_, state = give(wire.CommandUnlock, "front")
		r.tick()
		if s, text := state(); s != CommandRefused || !strings.Contains(text, "offline") {
			t.Errorf("got %s %q", s, text)
		}
		p.connect()
		if got := sent(); got != nil {
			t.Errorf("got %+v after the panel came back", got)
		}
		for _, bad := range [][3]string{
			{"p9", wire.CommandUnlock, "front"},
			{"p1", wire.CommandChallenge, ""},
			{"p1", wire.CommandUnlock, ""},
			{"p1", wire.CommandUnlock, "back"},
			{"p1", wire.CommandUnlock, wire.AllDoors},
			{"p1", wire.CommandIdentify, "a\nb"},
			{"p1", wire.CommandForgive, strings.Repeat("x", 65)},
		} {
			if _, err := r.store.giveCommand(t.Context(), bad[0], bad[1], bad[2]); err == nil {
				t.Errorf("%q: no error", bad)
			}
		}
	})
}

// TestCommandWaits: the caller hears what became of it, from another process.
func TestCommandWaits(t *testing.T) {
	k := newKit(t)
	if err := k.store.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, BrokerOptions{})
	k.store.now = time.Now
	runLink(t, k, LinkOptions{Broker: "tcp://" + b.Addr(), Resend: 200 * time.Millisecond})
	p := newMQTTPanel(t, k, b.Addr(), "p1")
	p.answer = func(c wire.Command) wire.CommandResult {
		switch {
		case c.Name == wire.CommandChallenge:
			return wire.CommandResult{ID: c.ID, Result: wire.CommandDone, Nonce: "once"}
		case c.Nonce == "once":
			return wire.CommandResult{ID: c.ID, Result: wire.CommandDone}
		}
		return wire.CommandResult{ID: c.ID, Result: wire.CommandRefused, Error: "not now"}
	}
	until(t, "the panel is online", func() bool {
		panels, err := k.store.Panels(t.Context())
		return err == nil && panels[0].Online
	})
	s, err := Open(t.Context(), StoreOptions{Database: k.opts.Database, SecretKeyFile: k.opts.SecretKeyFile})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Command(t.Context(), "p1", wire.CommandUnlock, "front"); err != nil || got.Result != CommandDone {
		t.Errorf("unlock: got %+v, %v", got, err)
	}
	if got, err := s.Command(t.Context(), "p1", wire.CommandForgive, ""); err != nil || got.Result != CommandDone {
		t.Errorf("forgive: got %+v, %v", got, err)
	}
	if got, err := s.Command(t.Context(), "p1", wire.CommandIdentify, "in"); err != nil || got.Result != CommandRefused || got.Error != "not now" {
		t.Errorf("identify: got %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Command(ctx, "p1", wire.CommandForgive, ""); err == nil {
		t.Error("no error although the caller has gone")
	}
	var open int
	if err := s.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM commands WHERE state IN ('waiting', 'sent')").Scan(&open); err != nil || open != 0 {
		t.Errorf("%d commands are open (%v)", open, err)
	}
}

func TestSigner(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "signing")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, err := NewSigningKey(file, "", now, now)
	if err != nil || first.KID != "20260301" {
		t.Fatalf("got %v, %v", first, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	later, err := NewSigningKey(file, "", now.Add(time.Hour), now)
	if err != nil || later.KID != "20260301b" {
		t.Fatalf("got %v, %v", later, err)
	}
	if _, err := NewSigningKey(file, first.KID, now, now); err == nil {
		t.Error("the same name twice: no error")
	}
	if _, err := NewSigningKey(file, "a b", now, now); err == nil {
		t.Error("a bad name: no error")
	}
	keys, err := ReadSigningKeys(file)
	if err != nil || len(keys) != 2 || keys[0].Public() != first.Public() || keys[1].Public() != later.Public() {
		t.Fatalf("got %v, %v", keys, err)
	}
	trust := wire.Trust{}
	for _, k := range keys {
		trust[k.KID] = k.private.Public().(ed25519.PublicKey)
	}
	var faults []error
	s, err := NewSigner(file, func(err error) { faults = append(faults, err) })
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(at time.Time) string {
		t.Helper()
		message := s.sign(at, "p1", wire.TopicChange, []byte(`{"x":1}`))
		payload, err := trust.Open("p1", wire.TopicChange, message)
		if err != nil || string(payload) != `{"x":1}` {
			return fmt.Sprint(err)
		}
		var m wire.Signed
		if err := json.Unmarshal(message, &m); err != nil {
			t.Fatal(err)
		}
		return m.KID
	}
	for at, want := range map[time.Duration]string{0: first.KID, time.Hour - 1: first.KID, time.Hour: later.KID, -1: wire.ErrUnsigned.Error()} {
		if got := signedBy(now.Add(at)); got != want {
			t.Errorf("at %v: signed by %s, want %s", at, got, want)
		}
	}
	// A file that turned bad changes nothing, and is complained of once.
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	s.refresh()
	if len(faults) != 1 || signedBy(now) != first.KID {
		t.Errorf("got faults %v, signed by %s", faults, signedBy(now))
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RetireSigningKey(file, first.KID); err != nil {
		t.Fatal(err)
	}
	if err := RetireSigningKey(file, first.KID); !errors.Is(err, ErrNotFound) {
		t.Errorf("retired twice: got %v", err)
	}
	s.refresh()
	if got := signedBy(now.Add(time.Hour)); got != later.KID || signedBy(now) != wire.ErrUnsigned.Error() {
		t.Errorf("after the first was retired: signed by %s", got)
	}
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable": {string(good), 0o644, "chmod"},
		"words":    {"a b\n", 0o600, ":1: want name"},
		"time":     {"\na noon AAAA\n", 0o600, ":2: "},
		"short":    {"a 2026-03-01T12:00:00Z AAAA\n", 0o600, "no key"},
		"name":     {"a:b 2026-03-01T12:00:00Z " + strings.Repeat("A", 43) + "=\n", 0o600, "name"},
		"long":     {strings.Repeat("#", maxSigningFile+1), 0o600, "more than"},
	} {
		file := filepath.Join(t.TempDir(), "signing")
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSigner(file, nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := NewSigner(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("no file: no error")
	}
}

// TestSignedLink: what panels act on is signed, the rest is not, and the
// documents are kept by the broker.
func TestSignedLink(t *testing.T) {
	k := newKit(t)
	k.store.now = time.Now
	if err := k.store.AddPanel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "signing")
	key, err := NewSigningKey(file, "k1", time.Now().Add(-time.Minute), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewSigner(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.store.SetMode(t.Context(), "p1", "front", "Blocked", time.Time{}); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, BrokerOptions{})
	l, _ := runLink(t, k, LinkOptions{Broker: "tcp://" + b.Addr(), Signer: signer, Resend: 200 * time.Millisecond})
	k.api = NewAPI(k.store, APIOptions{Wake: l.Wake})
	p := newMQTTPanel(t, k, b.Addr(), "p1")
	p.with(func(f *fakePanel) {
		f.trust = wire.Trust{"k1": key.private.Public().(ed25519.PublicKey)}
		f.unsigned = true
	})
	p.client.Disconnect(50)
	p.connect(b.Addr())
	until(t, "the panel's level is known", func() bool {
		levels, err := k.store.Levels(t.Context())
		return err == nil && len(levels) == 1
	})
	id := k.addCard(1, level(1))
	until(t, "the key is applied", func() bool { return k.status(id).Status == statusApplied })
	until(t, "the panel's warning is known", func() bool {
		panels, err := k.store.Panels(t.Context())
		return err == nil && panels[0].Unsigned && len(panels[0].Warnings) == 1
	})
	// Somebody who comes later finds the documents at the broker.
	late := make(chan string, 10)
	c, err := dial(t, b.Addr(), "late", "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(50)
	for _, topic := range []wire.Topic{wire.TopicModes, wire.TopicDesired, wire.TopicChange, wire.TopicAck} {
		waitFor(t, c.Subscribe(topic.Of("p1"), 1, func(_ mqtt.Client, m mqtt.Message) {
			if m.Retained() {
				late <- string(topic)
			}
		}))
	}
	kept := map[string]bool{}
	until(t, "both documents are there", func() bool {
		select {
		case topic := <-late:
			kept[topic] = true
		default:
		}
		return len(kept) == 2
	})
	if !kept[string(wire.TopicModes)] || !kept[string(wire.TopicDesired)] {
		t.Errorf("the broker kept %v", kept)
	}
}
