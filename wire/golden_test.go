package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

var update = flag.Bool("update", false, "rewrite the golden messages")

var (
	boot  = access.MustParseID("5c1f2d3e-0a1b-4c2d-8e3f-102030405060")
	keyA  = access.MustParseID("e18574c0-0fde-475c-951f-265f0c2232ea")
	keyB  = access.MustParseID("5b0bdc43-56ba-4e1c-9b0a-6f2f3d9c1a10")
	level = access.MustParseID("ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b")
	who   = access.MustParseID("14f47083-7a5c-4b7f-9a57-7b5a1f0c8d21")
	noon  = time.Date(2020, 9, 1, 14, 0, 12, 0, time.UTC)
)

var sameIdentification = cmp.Comparer(func(a, b access.Identification) bool { return a == b })

// manifest is of a snapshot of two keys.
var manifest = access.Snapshot{
	ID: access.MustParseID("0b7c9a52-6d1e-4f3a-8b25-91c4d7e0f613"), Epoch: 3, Revision: 50,
	Digest: access.Digest{}.Add(keyA, 42).Add(keyB, 50), Count: 2, Bytes: 4*access.ChunkSize - 100, Chunks: 4, SHA256: sha256.Sum256([]byte("two keys")),
}

// signedExample is the acknowledgement of ack-minimal.json under the key whose
// seed is 32 zeros.
func signedExample() Signed {
	s, err := Decode[Signed](Sign(exampleSigner(), "2026-09", "gate-1", TopicAck, []byte("{}")))
	if err != nil {
		panic(err)
	}
	return s
}

func exampleSigner() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
}

// golden is an example of each message: all that it can say, and the least.
var golden = []struct {
	file string
	msg  any
	read func([]byte) (any, error)
}{
	{"state.json", State{Online: true, BootID: boot, ConnSeq: 4, Version: "1.2.0", Clock: "trusted", TS: noon}, read[State]},
	{"state-will.json", State{BootID: boot, ConnSeq: 4}, read[State]},
	{"panel.json", Panel{
		Name:         "Gate house",
		Doors:        []Named{{ID: "front", Name: "Front door"}},
		AccessPoints: []Point{{ID: "front-in", Name: "Front, outside", Door: "front", Mode: "card_and_pin"}},
		AccessLevels: []PanelLevel{{ID: level, Name: "Staff"}}, Codes: Codes{Enabled: true, Size: 6}, PolicyRevision: 3,
		Limits: Limits{MaxPayload: MaxPayload, MaxLevels: access.MaxLevels},
	}, read[Panel]},
	{"panel-minimal.json", Panel{Doors: []Named{}, AccessPoints: []Point{}, AccessLevels: []PanelLevel{}}, read[Panel]},
	{"reported.json", Reported{
		BootID: boot, ConnSeq: 4, Epoch: 3, Revision: 43,
		Digest: access.Digest{}.Add(keyA, 42), Count: 1, Policy: Version{3, 7}, Modes: Version{3, 2}, Statuses: 18, StatusBoot: boot, Unsigned: true, PINKeyLost: true,
	}, read[Reported]},
	{"reported-minimal.json", Reported{BootID: boot, ConnSeq: 1}, read[Reported]},
	{"keys-change.json", Changes{Epoch: 3, Changes: []Change{
		{Revision: 42, Op: OpPut, ID: keyA, Claim: 17, Key: Encode(Key{
			Identification: "0001234567890", Type: "proximity", State: "enabled", PIN: new("1234"),
			ValidFrom: "2020-09-01T00:00:00Z", ValidTo: "2020-10-01T14:00:00Z",
			AccessLevels: []string{level.String()}, PersonID: who.String(), Options: []string{"extended", "pin_exempt"},
		})},
		{Revision: 43, Op: OpRemove, ID: keyB},
	}}, read[Changes]},
	{"keys-change-minimal.json", Changes{Epoch: 1, Changes: []Change{
		{Revision: 1, Op: OpPut, ID: keyA, Claim: 1, Key: Encode(Key{
			Identification: "482913", Type: "code", AccessLevels: []string{},
		})},
	}}, read[Changes]},
	{"keys-desired.json", Desired{
		Epoch: 3, Revision: 50, Digest: access.Digest{}.Add(keyA, 42).Add(keyB, 50), Count: 2, Snapshot: SnapshotOf(manifest),
	}, read[Desired]},
	{"keys-desired-minimal.json", Desired{Epoch: 1}, read[Desired]},
	{"keys-snapshot-line.json", SnapshotKey{Revision: 42, ID: keyA, Claim: 17, Key: Encode(Key{
		Identification: "0001234567890", Type: "proximity", State: "enabled", AccessLevels: []string{level.String()}, Options: []string{},
	})}, read[SnapshotKey]},
	{"keys-need-snapshot.json", Need{
		Epoch: 3, HaveRevision: 41, Want: WantSnapshot, SnapshotID: manifest.ID, Chunks: []int{0, 2, 3},
	}, read[Need]},
	{"keys-need.json", Need{Epoch: 3, HaveRevision: 41, Want: WantDelta}, read[Need]},
	{"keys-need-minimal.json", Need{Want: WantDelta}, read[Need]},
	{"keys-status.json", Statuses{BootID: boot, Seq: 17, After: 16, Oldest: 12, Epoch: 3, Results: []Result{
		{Revision: 42, ID: keyA, Result: ResultApplied, At: noon},
		{
			Revision: 43, ID: keyB, Result: ResultFailed, ErrorType: string(access.CodeNotEnabled),
			Detail: "codes are off on this panel", At: noon.Add(1500 * time.Millisecond),
		},
	}}, read[Statuses]},
	{"keys-status-minimal.json", Statuses{BootID: boot, Seq: 1, Oldest: 1, Epoch: 1, Results: []Result{
		{Revision: 1, ID: keyA, Result: ResultApplied, At: noon},
	}}, read[Statuses]},
	{"keys-status-snapshot.json", Statuses{
		BootID: boot, Seq: 18, After: 17, Oldest: 12, Epoch: 3, SnapshotID: manifest.ID, Revision: 50, Part: 1, Of: 2,
		Results: []Result{{
			Revision: 50, ID: keyB, Result: ResultFailed, ErrorType: string(access.AccessLevelNotFound), Detail: "unknown access level", At: noon,
		}},
	}, read[Statuses]},
	{"policy-status.json", PolicyStatus{
		Version: Version{3, 8}, Faults: []PolicyFault{{Path: "access_levels[2].schedule", Message: "there is no such schedule"}},
	}, read[PolicyStatus]},
	{"policy-status-minimal.json", PolicyStatus{Version: Version{3, 7}, Applied: true}, read[PolicyStatus]},
	{"doors-mode.json", DoorModes{Version: Version{3, 2}, Doors: []DoorOrder{
		{Door: AllDoors, Mode: "LockedDown"}, {Door: "front", Mode: "Unlocked", Until: noon},
	}}, read[DoorModes]},
	{"doors-mode-minimal.json", DoorModes{Version: Version{1, 1}, Doors: []DoorOrder{}}, read[DoorModes]},
	{"command.json", Command{ID: keyA, Name: CommandUnlock, Nonce: "3f6c1d0a9b8e7f50", Target: "front"}, read[Command]},
	{"command-minimal.json", Command{ID: keyA, Name: CommandChallenge}, read[Command]},
	{"command-result.json", CommandResult{ID: keyA, Result: CommandRefused, Error: "the door is locked down"}, read[CommandResult]},
	{"command-result-challenge.json", CommandResult{ID: keyA, Result: CommandDone, Nonce: "3f6c1d0a9b8e7f50"}, read[CommandResult]},
	{"command-result-minimal.json", CommandResult{ID: keyA, Result: CommandDone}, read[CommandResult]},
	{"signed.json", signedExample(), read[Signed]},
	{"events.json", Events{BootID: boot, After: 80, Oldest: 75, Entries: []Entry{
		{
			Seq: 81, At: noon, Mono: 123456, Clock: "trusted", Type: access.GrantedCardPIN, Reason: "Operator", Door: "front",
			Point: "front-in", KeyID: keyA, KeyType: "proximity", Credential: "EM 1234567890", PersonID: who, Detail: "extended time",
		},
		{Seq: 82, At: noon.Add(3 * time.Second), Mono: 126456, Clock: "trusted", Type: access.DoorForced, Door: "front"},
	}}, read[Events]},
	{"events-minimal.json", Events{BootID: boot, Oldest: 1, Entries: []Entry{
		{Seq: 1, At: noon, Clock: "untrusted", Type: access.PanelStarted},
	}}, read[Events]},
	{"ack.json", Ack{Status: &Through{boot, 17}, Events: &Through{boot, 82}}, read[Ack]},
	{"ack-minimal.json", Ack{}, read[Ack]},
}

func read[T any](b []byte) (any, error) { return Decode[T](b) }

func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range golden {
		t.Run(g.file, func(t *testing.T) {
			path := filepath.Join("../testdata/wire", g.file)
			if *update {
				text, err := json.MarshalIndent(g.msg, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.read(text)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			// A raw key keeps the spaces of its file, so both are compared as they travel.
			want := Encode(g.msg)
			if d := cmp.Diff(string(want), string(Encode(got))); d != "" {
				t.Errorf("file and message differ (-message +file):\n%s", d)
			}
			again, err := g.read(want)
			if err != nil {
				t.Fatalf("decode of the encoding: %v", err)
			}
			if d := cmp.Diff(g.msg, again, cmp.Comparer(func(a, b access.Digest) bool { return a == b })); d != "" {
				t.Errorf("round trip (-want +got):\n%s", d)
			}
		})
		seen[g.file] = true
	}
	files, err := filepath.Glob("../testdata/wire/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if policy, _ := filepath.Match("policy*.json", filepath.Base(f)); !seen[filepath.Base(f)] && !policy {
			t.Errorf("%s belongs to no message", f)
		}
	}
}

// The examples of batches say what they mean to the domain, too.
func TestGoldenChanges(t *testing.T) {
	text, err := os.ReadFile("../testdata/wire/keys-change.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeChanges(text)
	if err != nil {
		t.Fatal(err)
	}
	if b.Epoch != 3 || len(b.Updates) != 2 {
		t.Fatalf("got epoch %d with %d updates, want 3 with 2", b.Epoch, len(b.Updates))
	}
	put, remove := b.Updates[0], b.Updates[1]
	want := access.Key{
		ID: keyA, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{level}, Person: who, HasPIN: true,
		Options:   access.Extended | access.PINExempt,
		ValidFrom: time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC), ValidTo: time.Date(2020, 10, 1, 14, 0, 0, 0, time.UTC),
	}
	if got := put.Key.Identification.Canonical(); got != "0001234567890" {
		t.Errorf("identification is %q", got)
	}
	put.Key.Identification = access.Identification{}
	if d := cmp.Diff(want, put.Key, sameIdentification); d != "" {
		t.Errorf("key (-want +got):\n%s", d)
	}
	if put.Revision != 42 || put.Op != access.Put || put.Claim != 17 || put.PIN != "1234" || put.Fault != "" {
		t.Errorf("put is revision %d, op %v, claim %d, fault %q", put.Revision, put.Op, put.Claim, put.Fault)
	}
	if d := cmp.Diff(access.Update{Revision: 43, Op: access.Remove, ID: keyB}, remove, sameIdentification); d != "" {
		t.Errorf("remove (-want +got):\n%s", d)
	}
}

// Results and events survive the way to central and back.
func TestDomainRoundTrip(t *testing.T) {
	for _, r := range []access.Result{
		{Revision: 1, ID: keyA, At: noon},
		{Revision: 2, ID: keyB, Error: access.InvalidKey, Detail: "identification: is empty", At: noon},
	} {
		if got := ResultOf(r).Access(); got != r {
			t.Errorf("result %+v came back as %+v", r, got)
		}
	}
	e := access.Event{
		Seq: 7, BootID: boot, At: noon, Mono: 1500 * time.Millisecond, Clock: access.ClockHoldover, Type: access.DeniedUnknown,
		Reason: access.ReasonWrongPIN, Door: "front", Point: "front-in", Key: keyA, KeyType: access.Proximity,
		Credential: "EM 1", Person: who, Detail: "x",
	}
	if d := cmp.Diff(e, EntryOf(e).Event(boot)); d != "" {
		t.Errorf("event (-want +got):\n%s", d)
	}
	odd := Entry{Seq: 1, Clock: "sundial", Type: access.Granted}
	if got := odd.Event(boot).Clock; got != access.ClockUntrusted {
		t.Errorf("an unknown clock state became %v, want untrusted", got)
	}
}

func TestTopics(t *testing.T) {
	for _, c := range []struct {
		topic, id string
		sub       Topic
		ok        bool
	}{
		{"postern/v1/gate-1/keys/change", "gate-1", TopicChange, true},
		{"postern/v1/gate-1/state", "gate-1", TopicState, true},
		{"postern/v1/gate-1", "", "", false},
		{"postern/v2/gate-1/state", "", "", false},
		{"postern/v1//state", "", "", false},
		{"postern/v1/+/state", "", "", false},
		{"postern/v1/a b/state", "", "", false},
		{"", "", "", false},
	} {
		id, sub, ok := SplitTopic(c.topic)
		if id != c.id || sub != c.sub || ok != c.ok {
			t.Errorf("SplitTopic(%q) = %q, %q, %v, want %q, %q, %v", c.topic, id, sub, ok, c.id, c.sub, c.ok)
		}
	}
	if got := TopicStatus.Of("+"); got != "postern/v1/+/keys/status" {
		t.Errorf("the topic of every panel is %q", got)
	}
	if err := CheckSystemID(strings.Repeat("a", 65)); err == nil {
		t.Error("a system id of 65 characters was taken")
	}
	for _, c := range []struct {
		topic Topic
		n     int
		ok    bool
	}{
		{ChunkTopic(keyA, 0), 0, true},
		{ChunkTopic(keyA, 32767), 32767, true},
		{"keys/snapshot/" + Topic(keyA.String()), 0, false},
		{"keys/snapshot/" + Topic(keyA.String()) + "/", 0, false},
		{"keys/snapshot/" + Topic(keyA.String()) + "/01", 0, false},
		{"keys/snapshot/" + Topic(keyA.String()) + "/+1", 0, false},
		{"keys/snapshot/" + Topic(keyA.String()) + "/-1", 0, false},
		{"keys/snapshot/" + Topic(keyA.String()) + "/99999999", 0, false},
		{"keys/snapshot/" + Topic(strings.ToUpper(keyA.String())) + "/1", 0, false},
		{"keys/snapshot/x/1", 0, false},
		{TopicDesired, 0, false},
	} {
		id, n, ok := c.topic.Chunk()
		if ok != c.ok || ok && (n != c.n || id != keyA) {
			t.Errorf("%s is chunk %d of %v, %v; want %d, %v", c.topic, n, id, ok, c.n, c.ok)
		}
	}
	up, down := UpTopics(), DownTopics()
	for _, u := range up {
		for _, d := range down {
			if u == d {
				t.Errorf("%s goes both ways", u)
			}
		}
	}
}
