package central

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

func TestImport(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1), level(2))
		old := k.addCard(1, level(1))
		var b strings.Builder
		b.WriteString("\ufeffidentification,type,pin,access_levels,person,first_name,last_name,valid_to_date\n")
		b.WriteString("EM:1,proximity,,level 00000001; " + level(2).String() + ",,,,\n")
		for i := 2; i <= importChunk+50; i++ {
			fmt.Fprintf(&b, "EM:%d,proximity,1234,level 00000001,p%d,Ann,\"Lee, jr\",2030-01-01T00:00:00Z\n", i, i/2)
		}
		before := k.dump()
		dry, err := k.store.Import(t.Context(), strings.NewReader(b.String()), ImportSpec{Integration: "main", DryRun: true})
		if err != nil || dry.Changed != 1 || dry.Added != importChunk+49 || len(dry.Faults) != 0 {
			t.Fatalf("dry run: got %+v, %v", dry, err)
		}
		if before != k.dump() {
			t.Error("a dry run changed something")
		}
		var told []int
		got, err := k.store.Import(WithDeed(t.Context(), Actor{Kind: ActorCommand, Name: "me"}, "import", "file.csv"), strings.NewReader(b.String()),
			ImportSpec{Integration: "main", Progress: func(done, all int) { told = append(told, done, all) }})
		if d := cmp.Diff(dry, got); d != "" || err != nil {
			t.Errorf("%v: not what the dry run said:\n%s", err, d)
		}
		if d := cmp.Diff([]int{200, 250, 250, 250}, told); d != "" {
			t.Errorf("progress:\n%s", d)
		}
		trail, err := k.store.Audit(t.Context(), AuditFilter{Actor: "me"})
		if err != nil || len(trail) != 2 || trail[1].Detail != "lines 202 to 251 of an import" {
			t.Errorf("trail: got %+v, %v", trail, err)
		}
		if a := k.add(fmt.Sprintf(`{"id":%q}`, old)); len(a.Levels) != 2 {
			t.Errorf("the key that was there: got %+v", a)
		}
		// Across two transactions, too: lines 201 and 202 are keys 200 and 201 of p100.
		one := k.add(`{"key":{"identification":"EM:200","type":"proximity"}}`)
		two := k.add(`{"key":{"identification":"EM:201","type":"proximity"}}`)
		if one.Person != two.Person || one.Person.LastName != "Lee, jr" || one.ValidTo == nil {
			t.Errorf("one person: got %+v and %+v", one, two)
		}
		// The same again finds all there, and no second person.
		again, err := k.store.Import(t.Context(), strings.NewReader(b.String()), ImportSpec{Integration: "main"})
		if err != nil || again.Added != 0 || again.Changed != importChunk+50 {
			t.Errorf("again: got %+v, %v", again, err)
		}
		if _, err := k.store.Import(t.Context(), strings.NewReader(b.String()), ImportSpec{Integration: "nobody"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown integration: got %v", err)
		}
	})
}

// TestImportFaults wants every fault with its line, and nothing taken in.
func TestImportFaults(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1))
		k.add(`{"key":{"identification":"EM:70|MC:70","type":"proximity"}}`)
		const file = "identification,type,pin,state,valid_from_date,access_levels,person_id,first_name\n" +
			"EM:1,proximity,1234,enabled,,level 00000001,,\n" + // 2: good
			"EM:1,proximity,,,,,,\n" + // 3
			"12345,proximity,,,,,,\n" +
			"EM:2,card,,,,,,\n" +
			"EM:3,proximity,97531,,,,,\n" +
			"EM:4,proximity,,lost,,,,\n" +
			"EM:5,proximity,,,yesterday,,,\n" +
			"EM:6,proximity,,,,nowhere,,\n" +
			"EM:7,proximity,,,,00000009-0000-4000-8000-000000000000,,\n" + // 10
			"EM:8,proximity,,,,,00000009-0000-4000-8000-000000000000,\n" +
			"EM:9,proximity,,,,,,\"" + "a very long name that nobody can have, can they?\"\n" +
			"EM:10,proximity\n" +
			",code,,,,,,\n" +
			"EM:70,proximity,,,,,,\n" + // 15
			"\"EM:11|\nEM:12\",proximity,,,,,,\n" + // 16 and 17
			"8642975,code,123,,,,,\n" +
			"54321,proximity,12345,gone,tomorrow,nowhere,7,\"" + "a very long name that nobody can have, can they?\"\n" + // 19
			"EM:1,proximity,12,,,,,\n"
		before := k.dump()
		for _, dry := range []bool{true, false} {
			got, err := k.store.Import(t.Context(), strings.NewReader(file), ImportSpec{Integration: "main", DryRun: dry})
			if err != nil {
				t.Fatal(err)
			}
			var at []string
			for _, f := range got.Faults {
				at = append(at, fmt.Sprintf("%d %s", f.Line, f.Column))
				if f.Message == "" || strings.Contains(f.Message, "97531") || strings.Contains(f.Message, "8642975") {
					t.Errorf("%+v: no message, or one with a secret", f)
				}
			}
			want := []string{
				"3 identification", "4 identification", "5 type", "6 pin", "7 state", "8 valid_from_date", "9 access_levels", "10 access_levels",
				"11 person_id", "12 first_name", "13 ", "14 identification", "15 identification", "16 identification", "18 pin",
				"19 access_levels", "19 identification", "19 pin", "19 valid_from_date", "19 state", "19 person_id", "19 first_name", "20 pin", "20 identification",
			}
			if d := cmp.Diff(want, at); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if before != k.dump() {
				t.Error("something was taken in")
			}
		}
	})
}

func TestImportNoCSV(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "header",
		"a,b\n":                                  `"a" is not known`,
		"identification\n":                       "type is missing",
		"identification,type,type\n":             "twice",
		"identification,type\nEM:1,\"proxi\"x\n": "line 2",
	} {
		if _, _, err := readImport(strings.NewReader(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add("identification,type,pin\nEM:1,proximity,1234\n")
	f.Add("identification,type,access_levels,person\n\"EM:1|MC:2\",proximity,a;b,x\n")
	f.Add("type,identification\ncode,\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, faults, err := readImport(strings.NewReader(text), map[string][]string{"a": {level(1).String()}, "b": {"x", "y"}})
		var bad *csv.ParseError
		if err != nil && errors.As(err, &bad) {
			t.Errorf("an error of the library came out: %v", err)
		}
		for _, l := range lines {
			if l.number < 2 || l.change.ident.IsZero() {
				t.Errorf("line %d: %+v", l.number, l.change)
			}
		}
		for _, f := range faults {
			if f.Line < 2 || f.Message == "" {
				t.Errorf("fault %+v", f)
			}
		}
	})
}

func TestReplaceKey(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1))
		old := k.add(fmt.Sprintf(`{"key":{"identification":"EM:1","type":"proximity"},"pin":"1234","valid_to_date":"2030-01-01T00:00:00Z","access_levels":[%q]}`, level(1)))
		k.addCard(3)
		var p *Problem
		for _, c := range []ReplaceSpec{
			{"main", "EM:9", "EM:2", "proximity", false},
			{"main", "EM:1", "EM:3", "proximity", false},
			{"main", "EM:1", "EM:1", "proximity", false},
			{"main", "EM:1", "2", "proximity", false},
			{"main", "EM:1", "EM:2", "", false},
		} {
			before := k.dump()
			if _, err := k.store.ReplaceKey(t.Context(), c); !errors.As(err, &p) || before != k.dump() {
				t.Errorf("%+v: got %v, or the database changed", c, err)
			}
		}
		id, err := k.store.ReplaceKey(t.Context(), ReplaceSpec{"main", "EM:1", "EM:2", "proximity", false})
		if err != nil {
			t.Fatal(err)
		}
		was, is := k.add(fmt.Sprintf(`{"id":%q}`, old.ID)), k.add(fmt.Sprintf(`{"id":%q}`, id))
		if was.State != "blacklisted" || is.State != "enabled" || is.Person != was.Person || len(is.Levels) != 1 || *is.ValidTo != *old.ValidTo {
			t.Errorf("got %+v and %+v", was, is)
		}
		err = k.store.view(t.Context(), func(tx *tx) error {
			n, err := tx.key(t.Context(), id.String())
			if err == nil && n.pin != "1234" {
				t.Error("the new card has not the PIN of the old one")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		next, err := k.store.ReplaceKey(t.Context(), ReplaceSpec{"main", "EM:2", "EM:4", "proximity", true})
		if err != nil || k.status(id).Status != "Pending" {
			t.Errorf("got %v, and %+v", err, k.status(id))
		}
		if r := k.send(k.secret, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q}`, id)); r.status != 404 {
			t.Errorf("the removed one: got %d", r.status)
		}
		if a := k.add(fmt.Sprintf(`{"id":%q}`, next)); a.Person != old.Person {
			t.Errorf("the third: got %+v", a)
		}
	})
}

func TestAdoptKey(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		p := newFakePanel(r, "p1")
		p.happen(wire.Entry{Type: access.DeniedUnknown, Point: "in", Credential: "0000000000098", KeyType: "proximity"})
		p.happen(wire.Entry{Type: access.DeniedUnknown, Point: "in", Credential: "0000000000099"})
		p.happen(wire.Entry{Type: access.DeniedUnknown, Point: "in", KeyType: "code"})
		p.happen(wire.Entry{Type: access.DeniedUnknown, Point: "out", Credential: "EM low24 1/2"})
		p.settle()
		var bad *Problem
		spec := AdoptSpec{Integration: "main", SystemID: "p1", Point: "out", Levels: []string{"level 00000001"}, FirstName: "Ann", LastName: "Lee"}
		if _, err := k.store.AdoptKey(t.Context(), spec); !errors.As(err, &bad) || !strings.Contains(bad.Message, "part of the card's number") {
			t.Errorf("a part of a number: got %v", err)
		}
		spec.Point = "in"
		got, err := k.store.AdoptKey(t.Context(), spec)
		if err != nil || got.Identification != "0000000000099" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if a := k.add(fmt.Sprintf(`{"id":%q}`, got.ID)); a.Person.FirstName != "Ann" || len(a.Levels) != 1 {
			t.Errorf("got %+v", a)
		}
		if _, err := k.store.AdoptKey(t.Context(), spec); !errors.As(err, &bad) || bad.Code != "AccessKeyInUse" {
			t.Errorf("again: got %v", err)
		}
		k.clock.pass(DefaultAdopt + time.Second)
		if _, err := k.store.AdoptKey(t.Context(), spec); !errors.As(err, &bad) || bad.Code != "NotFound" {
			t.Errorf("too long ago: got %v", err)
		}
	})
}
