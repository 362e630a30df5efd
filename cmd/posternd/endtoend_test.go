package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/access"
)

const (
	card     = "0001234567890"
	cardHex  = "0x00499602d2"
	stranger = "0004329479323"
)

// The main job: a key added over HTTP opens a door, and its event comes back.
func TestEndToEndKeyOpensDoor(t *testing.T) {
	s := newSite(t)
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	to := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	a := s.add(fmt.Sprintf(`{"key": {"identification": %q, "type": "proximity"}, "pin": "1234",
		"valid_from_date": %q, "valid_to_date": %q, "access_levels": [%q],
		"person": {"first_name": "firstname", "last_name": "lastname"}}`, cardHex, from, to, levelAlways))
	if a.Key.Identification != card {
		t.Fatalf("identification %q, want %q", a.Key.Identification, card)
	}
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 102)
	if !s.released("front") {
		t.Error("the door is not released")
	}
	got := s.wantEvents(1, 102)
	if got[0].KeyID != a.ID || got[0].Door == "" {
		t.Errorf("event %+v, want key %s and a door", got[0], a.ID)
	}
	s.badge("front", stranger, 201)

	// The sample's own dates are over.
	s.add(fmt.Sprintf(`{"id": %q, "pin": null, "valid_from_date": "2020-09-01T00:00:00Z",
		"valid_to_date": "2020-10-01T14:00:00Z", "access_levels": [%q]}`, a.ID, levelAlways))
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 202)

	s.remove(a.ID)
	s.eventually("the panel has removed the key", func() error {
		if out := s.do("keys", "list"); strings.TrimSpace(out) != "" {
			return fmt.Errorf("keys %s", out)
		}
		return nil
	})
	s.badge("front", card, 201)
	s.wantEvents(4, 201)
}

func TestEndToEndCodesAndPINs(t *testing.T) {
	s := newSite(t)
	code := s.add(fmt.Sprintf(`{"key":{"identification":"482915","type":"code"},"access_levels":[%q]}`, levelAlways))
	s.wantStatus(code.ID, "Applied")
	s.do("sim", "keys", "--reader", "front", "482915#")
	s.wantLocal(1, 101)

	short := s.add(fmt.Sprintf(`{"key":{"identification":"4829","type":"code"},"access_levels":[%q]}`, levelAlways))
	if st := s.wantStatus(short.ID, "Failed"); len(st.Failed) != 1 || st.Failed[0].ErrorType != "InvalidCodeSize" {
		t.Errorf("status %+v", st)
	}
	pin := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":"7301","access_levels":[%q]}`, card, levelAlways))
	s.wantStatus(pin.ID, "Applied")
	s.do("sim", "badge", "--reader", "lab", "--identification", card)
	s.do("sim", "keys", "--reader", "lab", "7301")
	s.wantLocal(2, 103)
	if !s.released("lab") {
		t.Error("card and PIN do not release the lab")
	}
	s.do("sim", "badge", "--reader", "lab", "--identification", card)
	s.do("sim", "keys", "--reader", "lab", "0000")
	s.wantLocal(3, 200)
	// At the low24 reader the same card is known by its low 24 bits.
	s.badge("gate", card, 102)

	// Two cards with the same low 24 bits: the gate can't tell them apart.
	twin := s.addCard("EM:0xFF009602d2")
	if st := s.wantStatus(twin.ID, "Failed"); len(st.Failed) != 1 || st.Failed[0].ErrorType != "AccessKeyInUse" {
		t.Errorf("status %+v", st)
	}
	s.remove(pin.ID)
	// The credential is free now; the later key is judged again by itself.
	s.wantStatus(twin.ID, "Applied")
	for _, plain := range []string{"482915", "7301"} {
		for _, f := range []string{"data/keys.db", "data/journal.db", "central.db"} {
			if b, err := os.ReadFile(filepath.Join(s.dir, f)); err != nil || strings.Contains(string(b), plain) {
				t.Errorf("%s holds a secret in clear, or can't be read (%v)", f, err)
			}
		}
	}
}

func TestEndToEndPanelAway(t *testing.T) {
	s := newSite(t)
	s.panel.end(t, syscall.SIGTERM)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Pending")
	s.startPanel()
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 102)
	s.wantEvents(1, 102)
}

// The broker is stopped and comes back without its memory.
func TestEndToEndBrokerAway(t *testing.T) {
	s := newSite(t)
	known := s.addCard(card)
	s.wantStatus(known.ID, "Applied")
	stop, start := s.stopCentral, s.startCentral // with the embedded broker
	if s.kind != embedded {
		stop, start = func() { s.broker.end(t, syscall.SIGKILL) }, s.startBroker
	}
	// Neither the loss nor the return of the link moves a lock.
	linked := func(want bool) {
		t.Helper()
		s.eventually("the link", func() error {
			var st struct{ Link struct{ Connected bool } }
			if err := json.Unmarshal([]byte(s.do("status")), &st); err != nil || st.Link.Connected != want {
				return fmt.Errorf("connected is %v, want %v (%w)", st.Link.Connected, want, err)
			}
			return nil
		})
		for _, e := range s.journal() {
			if e.Door == "lab" && e.Type < 300 {
				t.Errorf("with the link %v there is %+v", want, e)
			}
		}
		if s.released("lab") {
			t.Errorf("with the link %v a door is released", want)
		}
	}
	linked(true)
	stop()
	linked(false)
	if s.released("front") {
		t.Error("the loss of the link releases a door")
	}
	// With the network down, known keys open and unknown ones don't.
	want := []int{}
	for range 3 {
		s.badge("front", card, 102)
		s.badge("front", stranger, 201)
		want = append(want, 102, 201)
	}
	var added string
	if s.kind != embedded {
		added = s.addCard("EM:77").ID
	}
	start()
	if added == "" {
		added = s.addCard("EM:77").ID
	}
	s.wantStatus(added, "Applied")
	linked(true)
	got := s.wantEvents(len(want), 201)
	for i, e := range got {
		if e.Type != want[i] {
			t.Fatalf("event %d is %d, want %d: order is lost", i, e.Type, want[i])
		}
	}
	s.badge("front", "0000000000077", 102)
}

func (s *site) stopCentral() { s.t.Helper(); s.central.end(s.t, syscall.SIGKILL) }

// kill -9 of either side at any moment: nothing lost, nothing twice.
func TestEndToEndKills(t *testing.T) {
	s := newSite(t)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	rng := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	var ids []string
	badges := 0
	for round := range rounds {
		for i := range 10 {
			ids = append(ids, s.addCard(fmt.Sprintf("EM:%d", 1000+round*10+i)).ID)
		}
		if round > 0 {
			s.do("sim", "badge", "--reader", "front", "--identification", fmt.Sprintf("EM:%d", 1000+(round-1)*10))
			badges++
			s.wantLocal(badges, 102)
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		if round%2 == 0 {
			s.panel.end(t, syscall.SIGKILL)
			s.startPanel()
		} else {
			s.central.end(t, syscall.SIGKILL)
			s.startCentral()
		}
		for _, id := range ids {
			s.wantStatus(id, "Applied")
		}
	}
	if keys := strings.Count(s.do("keys", "list"), "\n"); keys != len(ids) {
		t.Errorf("the panel has %d keys, want %d", keys, len(ids))
	}
	got := s.wantEvents(badges, 102)
	for i := 1; i < len(got); i++ {
		if got[i].Sequence <= got[i-1].Sequence || got[i].KeyID == got[i-1].KeyID {
			t.Errorf("events out of order or twice: %+v", got)
		}
	}
}

// A damaged key store opens nothing, is put aside, and comes back from central.
func TestEndToEndDamagedStore(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	s.panel.end(t, syscall.SIGKILL)
	path := filepath.Join(s.dir, "data", "keys.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if i >= 8192 && i%7 == 0 {
			b[i] ^= 0x55
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startPanel()
	if aside, _ := filepath.Glob(path + "*"); len(aside) < 2 {
		t.Errorf("the damaged file is not put aside: %v", aside)
	}
	s.eventually("the key comes back", func() error {
		if out := s.do("keys", "list"); !strings.Contains(out, a.ID) {
			return fmt.Errorf("keys %q", out)
		}
		return nil
	})
	before := len(s.localEvents())
	s.do("sim", "badge", "--reader", "front", "--identification", card)
	s.wantLocal(before+1, 102)
}

// Damage that is met while the panel runs: the doors deny, and the panel checks
// its store and starts anew by itself.
func TestEndToEndDamagedWhileRunning(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	f, err := os.OpenFile(filepath.Join(s.dir, "data", "keys.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	// The pages after the two headers, which the daemon has mapped.
	page := bytes.Repeat([]byte{0x55}, 4096)
	for at := int64(2 * 4096); at < info.Size(); at += 4096 {
		if _, err := f.WriteAt(page, at); err != nil {
			t.Fatal(err)
		}
	}
	// The badge meets it, unless another read was first and the panel is starting anew.
	out, code := s.cli("sim", "badge", "--reader", "front", "--identification", card)
	s.eventually("the badge is journalled", func() error {
		events, _ := s.cli("events", "--limit", "1000")
		if !strings.Contains(events, "StoreFault") && strings.Count(events, `"type":320`) < 2 {
			return fmt.Errorf("badge %d, %s: %s", code, out, events)
		}
		return nil
	})
	s.eventually("the panel starts anew", func() error { // and until then may know the key, and go
		out, code := s.cli("events", "--limit", "1000")
		if n := strings.Count(out, `"type":320`); code != 0 || n < 2 {
			return fmt.Errorf("exit code %d, %d starts", code, n)
		}
		return nil
	})
	s.eventually("the key comes back", func() error {
		if out, code := s.cli("keys", "list"); code != 0 || !strings.Contains(out, a.ID) {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	before := len(s.localEvents())
	s.do("sim", "badge", "--reader", "front", "--identification", card)
	s.wantLocal(before+1, 102)
}

func TestEndToEndReload(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	good := s.panelConfig()

	s.write("panel.toml", strings.Replace(good, `mode = "card_or_code"`, `mode = "nonsense"`, 1))
	s.hup()
	s.eventually("the refusal is told", func() error {
		if out := s.do("status"); !strings.Contains(out, "refused") || !strings.Contains(out, "panel.toml:") {
			return fmt.Errorf("status %s", out)
		}
		return nil
	})
	s.badge("front", card, 102) // the running one stays in force

	// Without its level the key fails, and central is told.
	cut := strings.Index(good, "[[access_level]]")
	rest := strings.Replace(good[cut:], levelAlways, "11111111-1111-4111-8111-111111111111", 1)
	s.write("panel.toml", good[:cut]+rest)
	s.hup()
	if st := s.wantStatus(a.ID, "Failed"); st.Failed[0].ErrorType != "AccessLevelNotFound" {
		t.Errorf("status %+v", st)
	}
	s.badge("front", card, 206)

	// Another door time is policy, another contact is wiring: the panel starts
	// anew by itself.
	s.write("panel.toml", strings.Replace(good, `contact = "c1"`, `contact = "c2"`, 1))
	s.hup()
	s.wantStatus(a.ID, "Applied")
	s.eventually("the level is back at the door", func() error {
		before := len(s.localEvents())
		if _, code := s.cli("sim", "badge", "--reader", "front", "--identification", card); code != 0 {
			return fmt.Errorf("exit code %d", code)
		}
		s.eventually("journal", func() error {
			if len(s.localEvents()) == before {
				return fmt.Errorf("no event")
			}
			return nil
		})
		if got := s.localEvents(); got[len(got)-1] != 102 {
			return fmt.Errorf("event %d", got[len(got)-1])
		}
		return nil
	})
}

func (s *site) hup() {
	s.t.Helper()
	if err := s.panel.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// What is wired wrong is told in words; fire, tamper and auxiliary lines work.
func TestEndToEndReadersAndInputs(t *testing.T) {
	s := newSite(t)
	said := func(what string, want ...string) {
		t.Helper()
		s.eventually(what, func() error {
			out := s.do("status")
			for _, w := range want {
				if !strings.Contains(out, w) {
					return fmt.Errorf("no %q in %s", w, out)
				}
			}
			return nil
		})
	}
	// Two H10301 cards, every bit inverted.
	for _, bits := range []string{"01000100111111001101111001", "11000100111010100001010001"} {
		s.do("sim", "badge", "--reader", "gate", "--bits", bits)
	}
	said("swapped wires", "Reader gate is swapped", "D0 and D1")
	s.do("sim", "tamper", "front", "open")
	said("tamper", "Reader front is tampered")
	s.do("sim", "tamper", "front", "closed")

	s.do("sim", "input", "fire", "on")
	s.eventually("the lab is released", func() error {
		if !s.released("lab") || s.released("front") {
			return fmt.Errorf("lab %v, front %v", s.released("lab"), s.released("front"))
		}
		return nil
	})
	s.do("sim", "input", "fire", "off")
	s.eventually("the lab is secured", func() error {
		if s.released("lab") {
			return fmt.Errorf("released")
		}
		return nil
	})
	s.do("output", "bell", "on")
	said("output", `"on":true`)
	s.do("identify", "front")
	said("identify", `"indication":"identify"`)

	// A card that is known the other way round: its bytes reversed.
	a := s.addCard("EM:0xD202964900")
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 201)
	s.eventually("the hint", func() error {
		if out := s.do("events", "--limit", "50"); !strings.Contains(out, `byte_order = \"lsb\"`) {
			return fmt.Errorf("events %s", out)
		}
		return nil
	})
	var upstream struct{ Events []event }
	s.eventually("all of it goes upstream", func() error {
		if err := s.post("/v1/events/list", `{"include_system":true}`, 200, &upstream); err != nil {
			return err
		}
		seen := map[int]bool{}
		for _, e := range upstream.Events {
			seen[e.Type] = true
		}
		for _, want := range []int{int(access.ReaderHealth), int(access.ReaderHint), int(access.FireAlarm), int(access.FireCleared)} {
			if !seen[want] {
				return fmt.Errorf("no event %d", want)
			}
		}
		return nil
	})
}

// Doors wait for nothing that they can do without: a taken port, a file that is
// missing, a broker that is away.
func TestEndToEndDoorsNeedNothing(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := strings.Replace(s.panelConfig(), "[api]", "username = \"x\"\npassword_file = \""+s.dir+"/none\"\n[api]\npage = \""+taken.Addr().String()+"\"", 1)
	s.write("panel.toml", text)
	s.hup() // other wiring: the panel starts anew
	s.eventually("the problems are told", func() error {
		out, code := s.cli("status")
		if code != 0 || !strings.Contains(out, "password_file") || !strings.Contains(out, "page is not served") {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	s.eventually("the store is open", func() error {
		if out, code := s.cli("keys", "list"); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	s.badge("front", card, 102)
	before := len(s.localEvents())
	s.do("sim", "rex", "front")
	s.wantLocal(before+1, 104)
}

func TestEndToEndContactAndExit(t *testing.T) {
	s := newSite(t)
	s.do("sim", "rex", "front")
	s.wantLocal(1, 104)
	if !s.released("front") {
		t.Error("the exit button does not release the door")
	}
	s.do("unlock", "lab")
	s.wantLocal(2, 100)
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"unlock", "cellar"}, 1},
		{[]string{"sim", "contact", "lab", "open"}, 1}, // it has none
		{[]string{"sim", "keys", "--reader", "gate", "1"}, 1},
		{[]string{"sim", "badge", "--reader", "front", "--identification", "12345"}, 1},
		{[]string{"sim", "badge", "--reader", "nowhere", "--identification", card}, 1},
		{[]string{"sim", "contact", "front", "ajar"}, 2},
		{[]string{"frobnicate"}, 2},
	} {
		if out, code := s.cli(tt.args...); code != tt.code {
			t.Errorf("postern %v: exit code %d, want %d: %s", tt.args, code, tt.code, out)
		}
	}
	s.panel.end(t, syscall.SIGTERM)
	if out, code := s.cli("status"); code != 3 {
		t.Errorf("without a daemon: exit code %d, want 3: %s", code, out)
	}
	s.startPanel()
}
