package central

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

func TestAddMeaning(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1), level(2))
		a := k.add(`{"key":{"identification":"EM:7","type":"proximity"},"pin":"1234","valid_to_date":"2030-01-01T00:00:00+01:00","access_levels":["` + level(1).String() + `"]}`)
		if a.Key.Identification != "0000000000007" || a.ValidFrom != nil || *a.ValidTo != "2029-12-31T23:00:00Z" || a.State != "enabled" {
			t.Errorf("create: got %+v", a)
		}
		if name := regexp.MustCompile(`^[a-z0-9]{7}$`); !name.MatchString(a.Person.FirstName) || !name.MatchString(a.Person.LastName) {
			t.Errorf("made-up person: got %+v, want names of seven characters", a.Person)
		}
		// The same identification in another form means the same key; what is
		// omitted stays, null clears.
		b := k.add(`{"key":{"identification":"0x0000000007","type":"proximity"},"state":"disabled"}`)
		if b.ID != a.ID || b.State != "disabled" || b.ValidTo == nil || !cmp.Equal(b.Levels, []access.ID{level(1)}) || b.Person != a.Person {
			t.Errorf("update by identification: got %+v, want only the state of %+v changed", b, a)
		}
		if pin := k.lastPut("p1").pin; pin != "1234" {
			t.Errorf("PIN after an update without one: got %q, want it kept", pin)
		}
		c := k.add(fmt.Sprintf(`{"id":%q,"pin":null,"valid_to_date":null,"state":null,"person":{"first_name":"other"}}`, a.ID))
		if c.ValidTo != nil || c.State != "enabled" || c.Person != a.Person {
			t.Errorf("update with nulls: got %+v", c)
		}
		if p := k.lastPut("p1"); p.pin != "" || p.key.HasPIN {
			t.Errorf("PIN after null: got %q", p.pin)
		}
		// id together with key changes the identification.
		d := k.add(fmt.Sprintf(`{"id":%q,"key":{"identification":"EM:8|MC:9","type":"proximity"}}`, a.ID))
		if d.ID != a.ID || d.Key.Identification != "0000000000008|0000000009" {
			t.Errorf("change of identification: got %+v", d)
		}
		if n := k.add(`{"key":{"identification":"EM:7","type":"proximity"},"person":{"id":"` + a.Person.ID + `"}}`); n.ID == a.ID || n.Person != a.Person {
			t.Errorf("the old identification is free again: got %+v", n)
		}
		// The parts the other way are the same key.
		claim := k.lastPut("p1").Claim
		for _, body := range []string{
			fmt.Sprintf(`{"id":%q,"key":{"identification":"MC:9|EM:8","type":"proximity"}}`, a.ID),
			`{"key":{"identification":"MC:9|EM:8","type":"proximity"}}`,
		} {
			if e := k.add(body); e.ID != a.ID || e.Key != d.Key || k.lastPut("p1").Claim != claim {
				t.Errorf("%s: got %+v, want %+v as it was", body, e, d)
			}
		}
		// What an update says of the person is nobody's business.
		for _, person := range []string{`{"first_name":""}`, `{"id":"x"}`, `{"id":7}`, `{"name":[{}]}`, `{}`, `null`} {
			if e := k.add(fmt.Sprintf(`{"id":%q,"person":%s}`, a.ID, person)); e.Person != a.Person {
				t.Errorf("update with person %s: got %+v", person, e.Person)
			}
			if e := k.add(fmt.Sprintf(`{"key":{"identification":"EM:8|MC:9","type":"proximity"},"person":%s}`, person)); e.Person != a.Person {
				t.Errorf("update by key with person %s: got %+v", person, e.Person)
			}
		}
		// A key without identification keeps the one it has.
		if e := k.add(fmt.Sprintf(`{"id":%q,"key":{"type":"proximity"}}`, a.ID)); e.Key != d.Key {
			t.Errorf("no identification: got %+v, want %+v", e.Key, d.Key)
		}
		for name, body := range map[string]string{
			"a part of a composite": `{"key":{"identification":"MC:9","type":"proximity"}}`,
			"another key's":         fmt.Sprintf(`{"id":%q,"key":{"identification":"EM:7","type":"proximity"}}`, a.ID),
		} {
			if r := k.send(k.secret, "/v1/accesskeys/add", body); r.status != http.StatusConflict || !strings.Contains(r.body, "AccessKeyInUse") {
				t.Errorf("%s: got %d %s, want 409 AccessKeyInUse", name, r.status, r.body)
			}
		}
		// Another integration may have the same card.
		if r := k.send(k.key("other"), "/v1/accesskeys/add", `{"key":{"identification":"EM:7","type":"proximity"}}`); r.status != http.StatusOK {
			t.Errorf("another integration: got %d %s", r.status, r.body)
		}
	})
}

func TestBelongsToAnother(t *testing.T) {
	k := newKit(t)
	k.panel("p1", 6, level(1))
	k.panel("p2", 6, level(2))
	a := k.add(`{"key":{"identification":"EM:7","type":"proximity"}}`)
	other, narrow := k.key("other"), k.key("narrow", "p2")
	for name, c := range map[string]struct {
		secret, path, body string
		want               int
	}{
		"add":            {other, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":"1111"}`, a.ID), 403},
		"remove":         {other, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, a.ID), 403},
		"status":         {other, "/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, a.ID), 403},
		"person":         {other, "/v1/accesskeys/add", `{"key":{"identification":"EM:9","type":"proximity"},"person":{"id":"` + a.Person.ID + `"}}`, 403},
		"level":          {narrow, "/v1/accesskeys/add", `{"key":{"identification":"EM:9","type":"proximity"},"access_levels":["` + level(1).String() + `"]}`, 403},
		"own level":      {narrow, "/v1/accesskeys/add", `{"key":{"identification":"EM:9","type":"proximity"},"access_levels":["` + level(2).String() + `"]}`, 200},
		"by key":         {other, "/v1/accesskeys/remove", `{"key":{"identification":"EM:7","type":"proximity"}}`, 404},
		"foreign system": {narrow, "/v1/events/list", `{"systems":["p1"]}`, 403},
	} {
		if r := k.send(c.secret, c.path, c.body); r.status != c.want {
			t.Errorf("%s: got %d %s, want %d", name, r.status, r.body, c.want)
		}
	}
	r := k.send(narrow, "/v1/accesslevels/list", "")
	if want := fmt.Sprintf(`{"levels":[{"id":%q,"name":"level 00000002","system_id":"p2"}]}`+"\n", level(2)); r.body != want {
		t.Errorf("levels in scope: got %s, want %s", r.body, want)
	}
}

func TestMalformed(t *testing.T) {
	const key = `"key":{"identification":"EM:99","type":"proximity"}`
	lv := level(1).String()
	k := newKit(t)
	k.panel("p1", 6, level(1))
	card := k.add(`{"key":{"identification":"EM:50|MC:51","type":"proximity"},"access_levels":["` + lv + `"]}`).ID
	code := k.add(`{"key":{"type":"code"}}`).ID
	before := k.dump()
	many := strings.TrimSuffix(strings.Repeat(`"`+lv+`",`, 257), ",")
	for name, c := range map[string]struct {
		path, body, code, field string
		status                  int
	}{
		"empty object":            {"add", `{}`, "KeyRequired", "key", 400},
		"not an object":           {"add", `[]`, "InvalidJSON", "", 400},
		"no JSON":                 {"add", `key=1`, "InvalidJSON", "", 400},
		"cut off":                 {"add", `{` + key, "InvalidJSON", "", 400},
		"two objects":             {"add", `{` + key + `}{}`, "InvalidJSON", "", 400},
		"not UTF-8":               {"add", "{\"pin\":\"\xff\"}", "InvalidJSON", "", 400},
		"unknown member":          {"add", `{` + key + `,"pni":"1234"}`, "UnknownField", "pni", 400},
		"unknown member inside":   {"add", `{"key":{"identification":"EM:99","type":"proximity","site":1}}`, "UnknownField", "key.site", 400},
		"unknown member person":   {"add", `{` + key + `,"person":{"name":"x"}}`, "UnknownField", "person.name", 400},
		"twice":                   {"add", `{` + key + `,"pin":"1234","pin":"4321"}`, "InvalidField", "pin", 400},
		"another case":            {"add", `{` + key + `,"Pin":"1234"}`, "InvalidField", "Pin", 400},
		"deep":                    {"add", strings.Repeat(`{"key":`, 40) + `1` + strings.Repeat(`}`, 40), "InvalidJSON", "", 400},
		"key null":                {"add", `{"key":null}`, "KeyRequired", "key", 400},
		"key a string":            {"add", `{"key":"EM:99"}`, "InvalidField", "key", 400},
		"no type":                 {"add", `{"key":{"identification":"EM:99"}}`, "InvalidType", "key.type", 400},
		"unknown type":            {"add", `{"key":{"identification":"EM:99","type":"face"}}`, "InvalidType", "key.type", 400},
		"no identification":       {"add", `{"key":{"type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"identification a number": {"add", `{"key":{"identification":99,"type":"proximity"}}`, "InvalidField", "key.identification", 400},
		"no specifier":            {"add", `{"key":{"identification":"12345","type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"too large":               {"add", `{"key":{"identification":"9999999999","type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"not a digit":             {"add", `{"key":{"identification":"00012345678x0","type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"three parts":             {"add", `{"key":{"identification":"EM:1|MC:2|MD:3","type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"code with letters":       {"add", `{"key":{"identification":"12a4","type":"code"}}`, "InvalidIdentification", "key.identification", 400},
		"code too long":           {"add", `{"key":{"identification":"12345678901234567","type":"code"}}`, "InvalidIdentification", "key.identification", 400},
		"pin of three":            {"add", `{` + key + `,"pin":"123"}`, "InvalidPin", "pin", 400},
		"pin of letters":          {"add", `{` + key + `,"pin":"12a4"}`, "InvalidPin", "pin", 400},
		"pin a number":            {"add", `{` + key + `,"pin":1234}`, "InvalidField", "pin", 400},
		"pin empty":               {"add", `{` + key + `,"pin":""}`, "InvalidPin", "pin", 400},
		"date without zone":       {"add", `{` + key + `,"valid_from_date":"2020-09-01T00:00:00"}`, "InvalidDate", "valid_from_date", 400},
		"date empty":              {"add", `{` + key + `,"valid_to_date":""}`, "InvalidDate", "valid_to_date", 400},
		"date far off":            {"add", `{` + key + `,"valid_to_date":"0001-01-01T00:00:00Z"}`, "InvalidDate", "valid_to_date", 400},
		"window backwards":        {"add", `{` + key + `,"valid_from_date":"2021-01-01T00:00:00Z","valid_to_date":"2020-01-01T00:00:00Z"}`, "InvalidDate", "valid_to_date", 400},
		"window empty":            {"add", `{` + key + `,"valid_from_date":"2021-01-01T00:00:00Z","valid_to_date":"2021-01-01T00:00:00Z"}`, "InvalidDate", "valid_to_date", 400},
		"level unknown":           {"add", `{` + key + `,"access_levels":["` + level(77).String() + `"]}`, "AccessLevelNotFound", "access_levels", 400},
		"level no uuid":           {"add", `{` + key + `,"access_levels":["` + lv + `","front"]}`, "InvalidAccessLevels", "access_levels[1]", 400},
		"level null":              {"add", `{` + key + `,"access_levels":[null]}`, "InvalidAccessLevels", "access_levels[0]", 400},
		"level a number":          {"add", `{` + key + `,"access_levels":[1]}`, "InvalidField", "access_levels", 400},
		"levels a string":         {"add", `{` + key + `,"access_levels":"` + lv + `"}`, "InvalidField", "access_levels", 400},
		"levels too many":         {"add", `{` + key + `,"access_levels":[` + many + `]}`, "InvalidAccessLevels", "access_levels", 400},
		"person unknown":          {"add", `{` + key + `,"person":{"id":"` + level(5).String() + `"}}`, "NotFound", "person.id", 404},
		"person id nil":           {"add", `{` + key + `,"person":{"id":"00000000-0000-0000-0000-000000000000"}}`, "InvalidId", "person.id", 400},
		"person name long":        {"add", `{` + key + `,"person":{"first_name":"` + strings.Repeat("é", 33) + `"}}`, "InvalidPerson", "person.first_name", 400},
		"person name empty":       {"add", `{` + key + `,"person":{"last_name":""}}`, "InvalidPerson", "person.last_name", 400},
		"person a string":         {"add", `{` + key + `,"person":"Ada"}`, "InvalidField", "person", 400},
		"person a list":           {"add", `{` + key + `,"person":[]}`, "InvalidField", "person", 400},
		"person id a number":      {"add", `{` + key + `,"person":{"id":7}}`, "InvalidField", "person.id", 400},
		"person name with NUL":    {"add", `{` + key + `,"person":{"last_name":"a\u0000b"}}`, "InvalidPerson", "person.last_name", 400},
		"state unknown":           {"add", `{` + key + `,"state":"lost"}`, "InvalidState", "state", 400},
		"id no uuid":              {"add", `{"id":"7"}`, "InvalidId", "id", 400},
		"id nil":                  {"add", `{"id":"00000000-0000-0000-0000-000000000000",` + key + `}`, "InvalidId", "id", 400},
		"id unknown":              {"add", `{"id":"` + level(5).String() + `"}`, "NotFound", "id", 404},
		"id, type, no card":       {"add", `{"id":"` + code.String() + `","key":{"type":"proximity"}}`, "InvalidIdentification", "key.identification", 400},
		"id, type, null":          {"add", `{"id":"` + card.String() + `","key":{"type":"proximity","identification":null}}`, "InvalidIdentification", "key.identification", 400},
		"id, person a string":     {"add", `{"id":"` + card.String() + `","person":"Ada"}`, "InvalidField", "person", 400},
		"remove nothing":          {"remove", `{}`, "KeyRequired", "id", 400},
		"remove unknown id":       {"remove", `{"id":"` + level(5).String() + `"}`, "NotFound", "id", 404},
		"remove unknown key":      {"remove", `{"key":{"identification":"EM:5","type":"proximity"}}`, "NotFound", "key", 404},
		"remove half a key":       {"remove", `{"key":{"type":"code"}}`, "InvalidIdentification", "key.identification", 400},
		"remove a part":           {"remove", `{"key":{"identification":"EM:50","type":"proximity"}}`, "NotFound", "key", 404},
		"status nothing":          {"status", `{}`, "InvalidId", "id", 400},
		"status unknown":          {"status", `{"id":"` + level(5).String() + `"}`, "NotFound", "id", 404},
		"status null":             {"status", `{"id":null}`, "InvalidId", "id", 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := k.send(k.secret, "/v1/accesskeys/"+c.path, c.body)
			code, field := r.code(t)
			if r.status != c.status || code != c.code || field != c.field {
				t.Errorf("got %d %s %q (%s), want %d %s %q", r.status, code, field, r.body, c.status, c.code, c.field)
			}
			if d := cmp.Diff(before, k.dump()); d != "" {
				t.Errorf("the database changed:\n%s", d)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1))
		id := k.addCard(1, level(1))
		byKey := k.addCard(2)
		// A key beside an id says which that is to be.
		for key, want := range map[string]int{`{"identification":"0000000000001","type":"card"}`: 400, `{"identification":"0000000000002","type":"proximity"}`: 404} {
			if r := k.send(k.secret, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q,"key":%s}`, id, key)); r.status != want {
				t.Errorf("remove of %s by its id: got %d, want %d", key, r.status, want)
			}
		}
		if r := k.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id)); r.body != "" {
			t.Errorf("remove answers a body: %s", r.body)
		}
		k.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
		k.post(http.StatusNoContent, "/v1/accesskeys/remove", `{"key":{"identification":"0000000000002","type":"proximity"}}`)
		if s := k.status(id); s.Status != "Pending" || len(s.Pending) != 1 {
			t.Errorf("status after removal: got %+v, want p1 pending", s)
		}
		if s := k.status(byKey); s.Status != "NotApplied" {
			t.Errorf("status of a key that was nowhere: got %+v", s)
		}
		if r := k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"pin":null}`, id)); r.status != http.StatusNotFound {
			t.Errorf("update of a removed key: got %d", r.status)
		}
		if next := k.addCard(1, level(1)); next == id {
			t.Error("a removed key came back under its old id")
		}
		k.clock.pass(keepRemoved)
		for _, purged := range []bool{false, true} {
			r := k.send(k.secret, "/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id))
			if r.status != http.StatusNotFound {
				t.Errorf("status 30 days after removal (purged %v): got %d", purged, r.status)
			}
			if err := k.store.purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		const body = `{"key":{"type":"code"}}`
		const path = "/v1/accesskeys/add"
		first := k.send(k.secret, path, body, "Idempotency-Key", "one")
		before := k.dump()
		if again := k.send(k.secret, path, body, "Idempotency-Key", "one"); again.body != first.body || again.status != 200 {
			t.Errorf("the same again: got %d %s, want %s", again.status, again.body, first.body)
		}
		if before != k.dump() {
			t.Error("a repeated request changed the database")
		}
		r := k.send(k.secret, path, `{"key":{"type":"code"} }`, "Idempotency-Key", "one")
		if code, _ := r.code(t); r.status != http.StatusConflict || code != "IdempotencyKeyReused" {
			t.Errorf("another body: got %d %s", r.status, r.body)
		}
		if other := k.send(k.key("other"), path, body, "Idempotency-Key", "one"); other.status != 200 || other.body == first.body {
			t.Errorf("another integration: got %d %s", other.status, other.body)
		}
		if r := k.send(k.secret, path, body, "Idempotency-Key", "a\x01"); r.status != 400 {
			t.Errorf("control character: got %d", r.status)
		}
		k.clock.pass(keepAnswers)
		if later := k.send(k.secret, path, body, "Idempotency-Key", "one"); later.status != 200 || later.body == first.body {
			t.Errorf("a day later: got %d %s, want a new key", later.status, later.body)
		}
		// What was refused may be tried again.
		bad := `{"key":{"identification":"EM:4","type":"proximity"},"access_levels":["` + level(1).String() + `"]}`
		if r := k.send(k.secret, path, bad, "Idempotency-Key", "two"); r.status != 400 {
			t.Fatalf("unknown level: got %d", r.status)
		}
		k.panel("p1", 6, level(1))
		if r := k.send(k.secret, path, bad, "Idempotency-Key", "two"); r.status != 200 {
			t.Errorf("the same after the level is known: got %d %s", r.status, r.body)
		}
	})
}
