package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern/access"
)

const (
	bootText = `"boot_id":"5c1f2d3e-0a1b-4c2d-8e3f-102030405060"`
	keyText  = `"id":"e18574c0-0fde-475c-951f-265f0c2232ea"`
	applied  = `{"revision":1,` + keyText + `,"result":"applied","at":"2020-09-01T14:00:12Z"}`
	entry    = `{"seq":5,"at":"2020-09-01T14:00:12Z","mono_ms":1,"clock":"trusted","type":100}`
)

const (
	idOnly = `"id":"0b7c9a52-6d1e-4f3a-8b25-91c4d7e0f613"`
	snapID = `"snapshot_id":"0b7c9a52-6d1e-4f3a-8b25-91c4d7e0f613"`
	hash   = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// desired is a message about a snapshot with these members.
func desired(members string) string { return `{"epoch":1,"snapshot":{` + members + `}}` }

func manifestOf(revision, count, bytes int64, of int) string {
	return fmt.Sprintf(`%s,"epoch":1,"sha256":%q,"revision":%d,"count":%d,"bytes":%d,"of":%d`, idOnly, hash, revision, count, bytes, of)
}

// part is a snapshot's status row.
func part(members, results string) string {
	return `{` + bootText + `,"seq":1,"oldest":1,"epoch":1,` + snapID + `,"revision":4,` + members + `,"results":[` + results + `]}`
}

func changes(b []byte) (any, error) { return DecodeChanges(b) }

// Bad messages of every type, each with the whole error.
func TestBadMessages(t *testing.T) {
	for _, c := range []struct {
		name, text string
		read       func([]byte) (any, error)
		want       string
	}{
		// Any message.
		{"empty", "", read[State], "line 1: the JSON text ends too early"},
		{"cut off", `{"online":true`, read[State], "line 1: the JSON text ends too early"},
		{"not JSON", "\n{\"online\":yes}", read[State], "line 2: not valid JSON (check commas, quotes and brackets)"},
		{"an array", `[1]`, read[State], "line 1: want a JSON object"},
		{"null", `null`, read[State], "line 1: want a JSON object"},
		{"trailing text", `{"want":"delta"} {}`, read[Need], "line 1: text after the JSON object"},
		{"trailing junk", `{"want":"delta"} x`, read[Need], "line 1: text after the JSON object"},
		{"twice", `{"online":true,"online":false}`, read[State], "online: appears twice"},
		{"twice in an unknown member", `{"want":"delta","x":{"y":1,"y":2}}`, read[Need], "x.y: appears twice"},
		{"twice in an array", `{"want":"delta","x":[{"y":1,"y":2}]}`, read[Need], "x.y: appears twice"},
		{"upper case", `{"Online":true}`, read[State], "Online: members are written in lower case"},
		{"both cases", `{"online":true,"ONLINE":false}`, read[State], "ONLINE: appears twice"},
		{"a long s", `{"conn_ſeq":1}`, read[State], "conn_ſeq: members are written in lower case"},
		{"a Kelvin sign", `{"cloc` + "\u212a" + `":"trusted"}`, read[State], "cloc\u212a: members are written in lower case"},
		{"both s", `{"conn_seq":1,"conn_ſeq":2}`, read[State], "conn_ſeq: appears twice"},
		{"UTF-8", "{\"version\":\"\xff\"}", read[State], "line 1: not valid UTF-8"},
		{"deep arrays", `{"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, read[Need], "line 1: nested deeper than 16"},
		{
			"deep objects", `{"x":` + strings.Repeat(`{"x":`, 16) + "1" + strings.Repeat("}", 17),
			read[Need], "line 1: nested deeper than 16",
		},
		{"large", `{"want":"` + strings.Repeat("x", MaxPayload) + `"}`, read[Need], "262155 bytes, more than 262144"},
		{"control in a name", `{"a\u0007B":1}`, read[Need], "a?B: members are written in lower case"},

		{"state without boot", `{"online":true,"conn_seq":1}`, read[State], "boot_id: is missing"},
		{"state with a null boot", `{"boot_id":null,"conn_seq":1}`, read[State], "boot_id: is missing"},
		{"state with a bad boot", `{"boot_id":"5c1f2d3e","conn_seq":1}`, read[State], "(an id): not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"state with a number for boot", `{"boot_id":7,"conn_seq":1}`, read[State], "boot_id: want a string, got number"},
		{"state without conn_seq", `{` + bootText + `}`, read[State], "conn_seq: is missing or zero"},
		{"state with conn_seq below 0", `{` + bootText + `,"conn_seq":-1}`, read[State], "conn_seq: want a whole number in range, got number"},
		{"state with half a conn_seq", `{` + bootText + `,"conn_seq":1.5}`, read[State], "conn_seq: want a whole number in range, got number"},
		{"state with online text", `{"online":"yes"}`, read[State], "online: want true or false, got string"},
		{"state with a bad time", `{"ts":"yesterday"}`, read[State], "(value): can't be read: parsing time"},
		{"state with a long version", `{` + bootText + `,"conn_seq":1,"version":"` + strings.Repeat("v", 65) + `"}`, read[State], "version: is too long"},

		{"panel with a level without id", `{"access_levels":[{"name":"Staff"}]}`, read[Panel], "access_levels.id: is missing"},
		{
			"panel with a long level", `{"access_levels":[{` + keyText + `,"name":"` + strings.Repeat("n", 257) + `"}]}`,
			read[Panel], "access_levels.name: is longer than 256 bytes",
		},
		{"panel with many doors", `{"doors":[` + strings.Repeat("{},", 4096) + `{}]}`, read[Panel], "panel: announces more than 4096 of a kind"},
		{"panel with long codes", `{"codes":{"enabled":true,"size":11}}`, read[Panel], "codes.size: is out of range"},
		{"panel with an object for doors", `{"doors":{}}`, read[Panel], "doors: want an array, got object"},

		{"reported without boot", `{"conn_seq":1}`, read[Reported], "boot_id: is missing"},
		{"reported without epoch", `{` + bootText + `,"revision":4}`, read[Reported], "epoch: is missing"},
		{"reported with a short digest", `{` + bootText + `,"digest":"00"}`, read[Reported], "(value): can't be read: a digest has"},
		{
			"reported with a bad digest", `{` + bootText + `,"digest":"` + strings.Repeat("g", 64) + `"}`,
			read[Reported], "(value): can't be read: encoding/hex: invalid byte: U+",
		},

		{"changes without epoch", `{"changes":[{}]}`, changes, "epoch: is missing"},
		{"changes without any", `{"epoch":1}`, changes, "changes: want 1 to 4096 of them"},
		{"too many changes", `{"epoch":1,"changes":[` + strings.Repeat("{},", 4096) + `{}]}`, changes, "changes: want 1 to 4096 of them"},
		{"change without revision", `{"epoch":1,"changes":[{"op":"put",` + keyText + `}]}`, changes, "changes[0].revision: is missing"},
		{"change without id", `{"epoch":1,"changes":[{"op":"put","revision":1}]}`, changes, "changes[0].id: is missing"},
		{"change without op", `{"epoch":1,"changes":[{"revision":1,` + keyText + `}]}`, changes, "changes[0].op: is missing"},
		{
			"changes with a hole", `{"epoch":1,"changes":[{"revision":1,"op":"remove",` + keyText + `},{"revision":3,"op":"remove",` + keyText + `}]}`,
			changes, "changes[1].revision: does not follow the one before it",
		},
		{
			"changes backwards", `{"epoch":1,"changes":[{"revision":2,"op":"remove",` + keyText + `},{"revision":1,"op":"remove",` + keyText + `}]}`,
			changes, "changes[1].revision: does not follow the one before it",
		},
		{"change with two revisions", `{"epoch":1,"changes":[{"revision":1,"revision":2}]}`, changes, "changes.revision: appears twice"},
		{"change with text for revision", `{"epoch":1,"changes":[{"revision":"1"}]}`, changes, "changes.revision: want a whole number in range, got string"},
		{"change with a cut key", `{"epoch":1,"changes":[{"revision":1,"key":{"pin":}}]}`, changes, "line 1: not valid JSON (check commas, quotes and brackets)"},
		{"large changes", `{"epoch":"` + strings.Repeat("x", MaxPayload) + `"}`, changes, "262156 bytes, more than 262144"},

		{"need of nothing", `{"have_revision":4}`, read[Need], `want: unknown (want "delta" or "snapshot")`},
		{"need of all", `{"want":"all"}`, read[Need], `want: unknown (want "delta" or "snapshot")`},

		{"statuses without boot", `{"seq":1,"oldest":1,"results":[` + applied + `]}`, read[Statuses], "boot_id: is missing"},
		{"statuses without seq", `{` + bootText + `,"oldest":1,"results":[` + applied + `]}`, read[Statuses], "seq: seq and oldest count from 1"},
		{"statuses after themselves", `{` + bootText + `,"seq":2,"after":2,"oldest":1}`, read[Statuses], "after: after and oldest must not lie past the row"},
		{"statuses with a late oldest", `{` + bootText + `,"seq":2,"after":1,"oldest":3}`, read[Statuses], "after: after and oldest must not lie past the row"},
		{"statuses without results", `{` + bootText + `,"seq":1,"oldest":1,"epoch":1}`, read[Statuses], "results: want 1 to 512 of them"},
		{"result of nothing", `{` + bootText + `,"seq":1,"oldest":1,"results":[{"result":"applied"}]}`, read[Statuses], "results[0]: names no revision and id"},
		{
			"result undecided", `{` + bootText + `,"seq":1,"oldest":1,"results":[{"revision":1,` + keyText + `,"result":"pending"}]}`,
			read[Statuses], "results[0].result: want applied or failed",
		},
		{
			"failed without reason", `{` + bootText + `,"seq":1,"oldest":1,"results":[` + applied + `,{"revision":1,` + keyText + `,"result":"failed"}]}`,
			read[Statuses], "results[1].error_type: is there if and only if it failed",
		},
		{
			"result with a long detail", `{` + bootText + `,"seq":1,"oldest":1,"results":[{"revision":1,` + keyText +
				`,"result":"applied","detail":"` + strings.Repeat("d", 513) + `"}]}`,
			read[Statuses], "results[0].detail: is too long",
		},

		{"events without any", `{` + bootText + `,"after":0,"oldest":1,"entries":[]}`, read[Events], "entries: want 1 to 500 of them"},
		{"too many events", `{` + bootText + `,"after":0,"oldest":1,"entries":[` + strings.Repeat("{},", 500) + `{}]}`, read[Events], "entries: want 1 to 500 of them"},
		{"events without boot", `{"after":4,"oldest":1,"entries":[` + entry + `]}`, read[Events], "boot_id: is missing"},
		{"events after themselves", `{` + bootText + `,"after":5,"oldest":1,"entries":[` + entry + `]}`, read[Events], "after: after and oldest must not lie past the row"},
		{"events with one twice", `{` + bootText + `,"after":4,"oldest":1,"entries":[` + entry + `,` + entry + `]}`, read[Events], "entries[1].seq: does not follow the one before it"},
		{"event without type", `{` + bootText + `,"after":0,"oldest":1,"entries":[{"seq":1}]}`, read[Events], "entries[0].type: is missing"},
		{
			"event with a long door", `{` + bootText + `,"after":0,"oldest":1,"entries":[{"seq":1,"type":100,"door":"` + strings.Repeat("d", 129) + `"}]}`,
			read[Events], "entries[0]: has a text that is too long",
		},
		{
			"event with a large type", `{` + bootText + `,"after":0,"oldest":1,"entries":[{"seq":1,"type":70000}]}`,
			read[Events], "entries.type: want a whole number in range, got number",
		},

		{"need of chunks without a snapshot", `{"want":"snapshot","chunks":[1]}`, read[Need], "snapshot_id: is missing, or want is not snapshot"},
		{"need of chunks for a delta", `{"want":"delta",` + snapID + `,"chunks":[1]}`, read[Need], "snapshot_id: is missing, or want is not snapshot"},
		{"need of chunks backwards", `{"want":"snapshot",` + snapID + `,"chunks":[2,1]}`, read[Need], "chunks: are not ascending numbers from 0"},
		{"need of a chunk twice", `{"want":"snapshot",` + snapID + `,"chunks":[2,2]}`, read[Need], "chunks: are not ascending numbers from 0"},
		{"need of a chunk below 0", `{"want":"snapshot",` + snapID + `,"chunks":[-1]}`, read[Need], "chunks: are not ascending numbers from 0"},
		{"need of many chunks", `{"want":"snapshot",` + snapID + `,"chunks":[` + strings.Repeat("0,", MaxNeedChunks) + `0]}`, read[Need], "chunks: are more than 64"},

		{"desired without epoch", `{"revision":4}`, read[Desired], "epoch: is missing"},
		{"snapshot without id", desired(`"epoch":1,"sha256":"` + hash + `"`), read[Desired], "snapshot.id: is missing"},
		{"snapshot without epoch", desired(idOnly + `,"sha256":"` + hash + `"`), read[Desired], "snapshot.epoch: is missing"},
		{"snapshot without hash", desired(idOnly + `,"epoch":1`), read[Desired], "snapshot.sha256: is not 64 hexadecimal digits"},
		{"snapshot with a bad hash", desired(idOnly + `,"epoch":1,"sha256":"` + hash[1:] + `g"`), read[Desired], "snapshot.sha256: is not 64 hexadecimal digits"},
		{"snapshot of too many keys", desired(manifestOf(9_000_000, 2_000_001, 70_000, 2)), read[Desired], "snapshot.count: is more than 2000000 keys or 2147483648 bytes"},
		{"snapshot of too many bytes", desired(manifestOf(9, 9, 2<<30+1, 32769)), read[Desired], "snapshot.count: is more than 2000000 keys or 2147483648 bytes"},
		{"snapshot of negative bytes", desired(manifestOf(9, 9, -1, 0)), read[Desired], "snapshot.count: is more than 2000000 keys or 2147483648 bytes"},
		{"snapshot of more keys than revisions", desired(manifestOf(8, 9, 70_000, 2)), read[Desired], "snapshot.count: does not fit its revision or bytes"},
		{"snapshot of keys without bytes", desired(manifestOf(8, 1, 0, 0)), read[Desired], "snapshot.count: does not fit its revision or bytes"},
		{"snapshot of bytes without keys", desired(manifestOf(8, 0, 10, 1)), read[Desired], "snapshot.count: does not fit its revision or bytes"},
		{"snapshot with few chunks", desired(manifestOf(9, 9, 65537, 1)), read[Desired], "snapshot.of: is not bytes in chunks of 65536"},
		{"snapshot with many chunks", desired(manifestOf(9, 9, 65536, 2)), read[Desired], "snapshot.of: is not bytes in chunks of 65536"},
		{"snapshot twice", `{"epoch":1,"snapshot":{},"snapshot":{}}`, read[Desired], "snapshot: appears twice"},

		{"snapshot's row of applied", part(`"part":1,"of":2`, applied), read[Statuses], "results[0].result: a snapshot's rows list the failed alone"},
		{"snapshot's row without part", part(`"of":2`, ""), read[Statuses], "part: snapshot_id, revision, part and of belong together"},
		{"snapshot's row past the last", part(`"part":3,"of":2`, ""), read[Statuses], "part: snapshot_id, revision, part and of belong together"},
		{"snapshot's row of too many", part(`"part":3,"of":2000001`, ""), read[Statuses], "part: snapshot_id, revision, part and of belong together"},
		{"part without snapshot", `{` + bootText + `,"seq":1,"oldest":1,"part":1,"of":1,"revision":4,"results":[]}`, read[Statuses], "part: snapshot_id, revision, part and of belong together"},

		{"modes without revision", `{"epoch":1,"doors":[]}`, read[DoorModes], "revision: epoch or revision is missing"},
		{"modes with two revisions", `{"epoch":1,"revision":1,"revision":2}`, read[DoorModes], "revision: appears twice"},
		{"modes with an upper case epoch", `{"Epoch":1,"revision":1}`, read[DoorModes], "Epoch: members are written in lower case"},
		{"modes with a text for revision", `{"epoch":1,"revision":"1"}`, read[DoorModes], "revision: want a whole number in range, got string"},
		{"modes of a door without id", `{"epoch":1,"revision":1,"doors":[{"mode":"Locked"}]}`, read[DoorModes], "doors[0].door: is missing or too long"},
		{"modes of a door twice", `{"epoch":1,"revision":1,"doors":[{"door":"a","mode":"Locked"},{"door":"a","mode":"Blocked"}]}`, read[DoorModes], "doors[1].door: is there twice"},
		{"modes of an unknown mode", `{"epoch":1,"revision":1,"doors":[{"door":"a","mode":"Accessed"}]}`, read[DoorModes], `doors[0].mode: unknown door mode "Accessed" (one of Locked, Unlocked, Blocked, LockedDown, LockedOpen)`},
		{"modes of many doors", `{"epoch":1,"revision":1,"doors":[` + strings.Repeat("{},", 4096) + `{}]}`, read[DoorModes], "doors: are more than 4096"},
		{"modes until no time", `{"epoch":1,"revision":1,"doors":[{"door":"a","mode":"Unlocked","until":"noon"}]}`, read[DoorModes], "(value): can't be read: parsing time"},

		{"command without id", `{"name":"unlock"}`, read[Command], "id: is missing"},
		{"command without name", `{` + keyText + `}`, read[Command], "name: is missing or too long"},
		{"command with a long name", `{` + keyText + `,"name":"` + strings.Repeat("n", 33) + `"}`, read[Command], "name: is missing or too long"},
		{"command with a long nonce", `{` + keyText + `,"name":"unlock","nonce":"` + strings.Repeat("n", 129) + `"}`, read[Command], "nonce: is too long"},
		{"command with a long target", `{` + keyText + `,"name":"unlock","target":"` + strings.Repeat("n", 65) + `"}`, read[Command], "target: is too long"},
		{"command with two names", `{` + keyText + `,"name":"identify","name":"unlock"}`, read[Command], "name: appears twice"},
		{"result without id", `{"result":"done"}`, read[CommandResult], "id: is missing"},
		{"result unknown", `{` + keyText + `,"result":"maybe"}`, read[CommandResult], "result: unknown (want done or refused)"},
		{"result with a long error", `{` + keyText + `,"result":"refused","error":"` + strings.Repeat("n", 513) + `"}`, read[CommandResult], "error: is too long"},

		{"policy applied with faults", `{"epoch":1,"revision":1,"applied":true,"faults":[{"path":"a","message":"b"}]}`, read[PolicyStatus], "applied: is true, and there are faults"},
		{"policy with many faults", `{"epoch":1,"revision":1,"faults":[` + strings.Repeat("{},", MaxFaults) + `{}]}`, read[PolicyStatus], "faults: are more than 100"},
		{"policy with a long fault", `{"epoch":1,"revision":1,"faults":[{"path":"a","message":"` + strings.Repeat("n", 513) + `"}]}`, read[PolicyStatus], "faults[0]: is too long"},
		{"policy status with two epochs", `{"epoch":1,"EPOCH":2}`, read[PolicyStatus], "EPOCH: appears twice"},

		{"ack of nothing", `{"status":{}}`, read[Ack], "through: names no row"},
		{"ack without boot", `{"events":{"through":4}}`, read[Ack], "through: names no row"},
		{"ack with a list", `{"events":[]}`, read[Ack], "events: want an object, got array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.read([]byte(c.text))
			if err == nil {
				t.Fatalf("taken, want %q", c.want)
			}
			if got := err.Error(); got != c.want {
				t.Errorf("error is\n%q, want\n%q", got, c.want)
			}
		})
	}
}

// Errors can be told apart by type.
func TestErrorTypes(t *testing.T) {
	var syn *SyntaxError
	_, err := Decode[Need]([]byte("{\n\"want\":\n}"))
	if !errors.As(err, &syn) || syn.Line != 3 {
		t.Errorf("got %v, want a SyntaxError in line 3", err)
	}
	var field *FieldError
	if _, err := Decode[Need]([]byte(`{"want":7}`)); !errors.As(err, &field) || field.Field != "want" {
		t.Errorf("got %v, want a FieldError for want", err)
	}
	var v struct {
		A int `json:"a"`
	}
	if err := Strict([]byte(`{"a":1,"b":2}`), &v, true); err == nil || err.Error() != "b: unknown member" {
		t.Errorf("got %v, want b refused as unknown", err)
	}
	if err := Strict([]byte(`{"a":1,"b":2}`), &v, false); err != nil || v.A != 1 {
		t.Errorf("an unknown member was not ignored: %v", err)
	}
	deepest := `{"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`
	if err := Strict([]byte(deepest), &v, false); err != nil {
		t.Errorf("16 levels were refused: %v", err)
	}
}

func change(key string) string {
	return `{"epoch":1,"changes":[{"revision":7,"op":"put",` + keyText + `,"claim":1,"key":` + key + `},` +
		`{"revision":8,"op":"remove",` + keyText + `}]}`
}

// A bad key is consumed with its fault, and holds up nothing after it.
func TestFaultyKeys(t *testing.T) {
	card := func(members string) string {
		return `{"identification":"0001234567890","type":"proximity","access_levels":[]` + members + `}`
	}
	for _, c := range []struct{ name, key, want string }{
		{"null", `null`, "line 1: want a JSON object"},
		{"a string", `"x"`, "line 1: want a JSON object"},
		{"empty", `{}`, "identification: unknown type (one of proximity, code)"},
		{"unknown type", `{"identification":"1","type":"face"}`, "identification: unknown type (one of proximity, code)"},
		{"no identification", `{"type":"proximity"}`, "identification: is empty"},
		{"size of a card", `{"identification":"123","type":"proximity"}`, "identification: has the wrong size: want 10 (MC), 13 (EM) or 17 (MD) decimal digits, " +
			"0x and 8, 10 or 14 hexadecimal digits, or a specifier such as EM:12345"},
		{"letters in a code", `{"identification":"12x4","type":"code"}`, "identification: a code has decimal digits only"},
		{"a code too long", `{"identification":"12345678901234567","type":"code"}`, "identification: a code has 1 to 16 digits"},
		{"state", card(`,"state":"lost"`), `state: unknown state "lost" (one of enabled, disabled, blacklisted)`},
		{"time", card(`,"valid_from_date":"2020-13-01"`), "valid_from_date: not a time (want RFC 3339, such as 2020-09-01T14:00:12Z)"},
		{"early", card(`,"valid_to_date":"1969-12-31T23:59:59Z"`), "valid_to_date: not a time (want RFC 3339, such as 2020-09-01T14:00:12Z)"},
		{"window", card(`,"valid_from_date":"2020-02-01T00:00:00Z","valid_to_date":"2020-01-01T00:00:00Z"`), "valid_to_date: the window ends (2020-01-01T00:00:00Z) before it starts (2020-02-01T00:00:00Z)"},
		{"PIN too short", card(`,"pin":"123"`), "pin: a PIN has 4 decimal digits"},
		{"empty PIN", card(`,"pin":""`), "pin: a PIN has 4 decimal digits"},
		{"PIN as number", card(`,"pin":1234`), "pin: want a string, got number"},
		{"level", card(`,"access_levels":["x"]`), "access_levels: appears twice"},
		{"option", card(`,"options":["fly"]`), `options: unknown option "fly"`},
		{"option twice", card(`,"options":["escort","escort"]`), `options: option "escort" twice`},
		{"person", card(`,"person_id":"me"`), "person_id: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{"member twice", card(`,"pin":"1234","pin":"4321"`), "pin: appears twice"},
		{"upper case", card(`,"PIN":"1234"`), "PIN: members are written in lower case"},
		{"deep", card(`,"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20)), "line 1: nested deeper than 16"},
		{"large", card(`,"x":"` + strings.Repeat("x", MaxKey) + `"`), "key has more than 16384 bytes"},
		{"bad level", `{"identification":"1234","type":"code","access_levels":["x"]}`, "access_levels[0]: not a uuid (want 8-4-4-4-12 hexadecimal digits)"},
		{
			"many levels", `{"identification":"1234","type":"code","access_levels":["` + strings.Repeat(`","`, access.MaxLevels) + `"]}`,
			"access_levels: more than 256",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := DecodeChanges([]byte(change(c.key)))
			if err != nil {
				t.Fatalf("the batch was refused: %v", err)
			}
			if len(b.Updates) != 2 || b.Updates[1].Op != access.Remove || b.Updates[1].Fault != "" {
				t.Fatalf("the change after it is %+v", b.Updates[1:])
			}
			u := b.Updates[0]
			if u.Fault != c.want {
				t.Errorf("fault is\n%q, want\n%q", u.Fault, c.want)
			}
			if u.Revision != 7 || u.Op != access.Put || u.ID != keyA || u.PIN != "" || !u.Key.Identification.IsZero() {
				t.Errorf("update is revision %d, op %v, id %v, with a PIN %v, with a key %v",
					u.Revision, u.Op, u.ID, u.PIN != "", !u.Key.Identification.IsZero())
			}
		})
	}
	for text, want := range map[string]string{
		`{"epoch":1,"changes":[{"revision":1,"op":"swap",` + keyText + `}]}`:            "unknown op (want put or remove)",
		`{"epoch":1,"changes":[{"revision":1,"op":"put",` + keyText + `}]}`:             "claim is missing",
		`{"epoch":1,"changes":[{"revision":1,"op":"put","claim":1,` + keyText + `}]}`:   "key is missing",
		`{"epoch":1,"changes":[{"revision":1,"op":"remove","key":5,` + keyText + `}]}`:  "",
		`{"epoch":1,"changes":[{"revision":1,"op":"PUT","claim":1,` + keyText + `}]}`:   "unknown op (want put or remove)",
		`{"epoch":1,"changes":[{"revision":1,"op":"remove","more":5,` + keyText + `}]}`: "",
	} {
		b, err := DecodeChanges([]byte(text))
		if err != nil || b.Updates[0].Fault != want {
			t.Errorf("%s: got %v, fault %q, want fault %q", text, err, b.Updates[0].Fault, want)
		}
	}
}

// No error repeats a secret, wherever it was put.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "73915"
	for _, key := range []string{
		`{"pin":%s}`,
		`{"pin":"%s"}`,
		`{"pin":["%s"]}`,
		`{"pin":{"x":%s}}`,
		`{"pin":%s00000000000000000000000000000}`,
		`{"pin":%se99999}`,
		`{"pin":-%s.5}`,
		`{"identification":%s,"type":"code"}`,
		`{"identification":"%s","type":"kode"}`,
		`{"identification":"x%s","type":"code"}`,
		`{"identification":"%s-","type":"code"}`,
		`{"identification":"1111111111111%s","type":"code"}`,
		`{"identification":"%s","type":"proximity"}`,
		`{"identification":"%s|%[1]s","type":"proximity"}`,
		`{"identification":"EM:%s000000000000000","type":"proximity"}`,
		`{"identification":["%s"]}`,
		`{"identification":"1234","type":"code","pin":"%s"}`,
		`{"identification":"1234","type":"code","person_id":"%s"}`,
		`{"identification":"1234","type":"code","access_levels":["%s"]}`,
		`{"identification":"1234","type":"code","valid_from_date":"%s"}`,
		`{"pin":"%s",}`,
		`{"pin":"%s" "x"}`,
		`{"pin":"%s","pin":"%[1]s"}`,
		`{"pin":%sx}`,
		`{"pin":"%s`,
	} {
		key = fmt.Sprintf(key, secret)
		if _, _, err := DecodeKey(keyA, []byte(key)); err == nil {
			t.Errorf("%s: was taken as a key", key)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error repeats it: %v", key, err)
		}
		b, err := DecodeChanges([]byte(change(key)))
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: batch error repeats it: %v", key, err)
		}
		for _, u := range b.Updates {
			if strings.Contains(u.Fault, secret) {
				t.Errorf("%s: fault repeats it: %s", key, u.Fault)
			}
		}
	}
	for _, text := range []string{
		`{"boot_id":%s}`, `{"boot_id":"%s"}`, `{"conn_seq":"%s"}`, `{"conn_seq":-%s}`, `{"conn_seq":%s00000000000000000000}`,
		`{"ts":"%s"}`, `{"ts":%s}`, `{"ts":"2020-09-01T14:00:12Z%s"}`, `{"digest":"%s"}`, `{"digest":%s}`, `%s`, `{"clock":%s}`,
	} {
		text = fmt.Sprintf(text, secret)
		for name, read := range map[string]func([]byte) (any, error){"state": read[State], "reported": read[Reported]} {
			if _, err := read([]byte(text)); err == nil {
				t.Errorf("%s: was taken as %s", text, name)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: error of %s repeats it: %v", text, name, err)
			}
		}
	}
}
