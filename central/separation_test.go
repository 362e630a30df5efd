package central

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/access"
)

// TestSeparationOfKeys: two levels that exclude each other are not held by one
// person through access keys either, in whatever way they would come to be.
func TestSeparationOfKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		s := newStaff(k)
		before := k.addCard(90, level(1), level(2)) // from before there was a rule
		x := s.exclude(level(1), level(2))
		refused := func(what, body string) {
			t.Helper()
			dump := k.dump()
			r := k.post(http.StatusConflict, "/v1/accesskeys/add", body)
			if code, field := r.code(t); code != separated || field != "access_levels" || !strings.Contains(r.body, x.Name) {
				t.Errorf("%s: got %s, want %s about access_levels that names the rule", what, r.body, separated)
			}
			if k.dump() != dump {
				t.Errorf("%s: it was refused, and something changed", what)
			}
		}
		levels := func(l ...access.ID) string { return jsonText(l) }
		refused("both in one key", `{"key":{"identification":"EM:50","type":"proximity"},"access_levels":`+levels(level(1), level(2))+`}`)
		one := k.add(`{"key":{"identification":"EM:51","type":"proximity"},"access_levels":` + levels(level(1)) + `}`)
		refused("another one to the same key", fmt.Sprintf(`{"id":%q,"access_levels":%s}`, one.ID, levels(level(2), level(1))))
		refused("another key of the person", fmt.Sprintf(`{"key":{"type":"code"},"person":{"id":%q},"access_levels":%s}`, one.Person.ID, levels(level(2))))
		if got := k.add(fmt.Sprintf(`{"id":%q,"access_levels":%s}`, one.ID, levels(level(2)))); got.Levels[0] != level(2) {
			t.Errorf("the one in place of the other: got %+v", got)
		}
		two := k.add(fmt.Sprintf(`{"key":{"identification":"EM:52","type":"proximity"},"person":{"id":%q},"state":"blacklisted","access_levels":%s}`,
			one.Person.ID, levels(level(1)))) // never opens
		refused("a barred key that is barred no more", fmt.Sprintf(`{"id":%q,"state":"disabled"}`, two.ID))
		k.add(fmt.Sprintf(`{"id":%q,"state":"blacklisted","valid_to_date":"2020-01-01T00:00:00Z"}`, two.ID))
		if got := k.add(fmt.Sprintf(`{"id":%q,"state":"enabled"}`, two.ID)); got.State != "enabled" {
			t.Errorf("one that has run out: got %+v", got)
		}
		refused("one that had run out", fmt.Sprintf(`{"id":%q,"valid_to_date":null}`, two.ID))

		// What was there before the rule stays, and can be changed otherwise.
		k.add(fmt.Sprintf(`{"id":%q,"pin":"1234"}`, before))
		k.add(fmt.Sprintf(`{"id":%q,"access_levels":%s}`, before, levels(level(2), level(1))))
		if _, err := k.store.ReplaceKey(t.Context(), ReplaceSpec{Integration: "main", Old: "EM:90", New: "EM:91", Type: "proximity"}); err != nil {
			t.Errorf("a lost card's rights: %v", err)
		}

		// What was granted to whoever has the card counts, and what the card has by
		// another integration.
		s.accept(s.bob, s.ask(s.ann, immediateBody(level(1), 2)))
		refused("a card whose user was granted the other", `{"key":{"identification":"EM:1|MC:5","type":"proximity"},"access_levels":`+levels(level(2))+`}`)
		other := k.key("other")
		if r := k.send(other, "/v1/accesskeys/add", `{"key":{"identification":"EM:77","type":"proximity"},"access_levels":`+levels(level(2))+`}`); r.status != 200 {
			t.Fatal(r)
		}
		refused("a card that has the other by another integration", `{"key":{"identification":"EM:77","type":"proximity"},"access_levels":`+levels(level(1))+`}`)
		s.clock.pass(2*time.Hour + time.Second)
		s.lapse()
		k.add(`{"key":{"identification":"EM:1","type":"proximity"},"access_levels":` + levels(level(2)) + `}`)

		if err := k.store.RemoveExclusion(t.Context(), level(2), level(1)); err != nil {
			t.Fatal(err)
		}
		k.add(`{"key":{"identification":"EM:50","type":"proximity"},"access_levels":` + levels(level(1), level(2)) + `}`)
	})
}

// TestSeparationOfImports: every line is judged with those before it, so that a
// dry run knows what taking in would meet.
func TestSeparationOfImports(t *testing.T) {
	k := newKit(t)
	k.panel("p1", 6, level(1), level(2))
	k.exclude(level(1), level(2))
	there := k.add(`{"key":{"identification":"EM:9","type":"proximity"},"access_levels":` + jsonText([]access.ID{level(1)}) + `}`)
	lines := []string{
		"identification,type,person,person_id,access_levels",
		fmt.Sprintf("EM:1,proximity,ann,,%s", level(1)),
		fmt.Sprintf("EM:2,proximity,ann,,%s", level(2)), // line 3
		fmt.Sprintf("EM:3,proximity,,,%s;%s", level(1), level(2)),
		fmt.Sprintf("EM:4,proximity,,%s,%s", there.Person.ID, level(2)),
		fmt.Sprintf("EM:5,proximity,bea,,%s", level(2)),
		fmt.Sprintf("EM:6,proximity,bea,,%s", level(2)),
		fmt.Sprintf("EM:9,proximity,carl,,%s", level(1)),
		fmt.Sprintf("EM:10,proximity,carl,,%s", level(2)), // line 9: carl is whose EM:9 is
	}
	before := k.dump()
	for _, dry := range []bool{true, false} {
		got, err := k.store.Import(t.Context(), strings.NewReader(strings.Join(lines, "\n")), ImportSpec{Integration: "main", DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		var at []int
		for _, f := range got.Faults {
			at = append(at, f.Line)
			if f.Column != "access_levels" {
				t.Errorf("got %+v", f)
			}
		}
		if want := "[3 4 5 9]"; fmt.Sprint(at) != want {
			t.Errorf("faults in lines %v, want %s: %+v", at, want, got.Faults)
		}
		if k.dump() != before {
			t.Fatal("lines with faults were taken in")
		}
	}
	good := strings.Join([]string{lines[0], lines[1], lines[5], lines[6], lines[7]}, "\n")
	got, err := k.store.Import(t.Context(), strings.NewReader(good), ImportSpec{Integration: "main"})
	if err != nil || len(got.Faults) != 0 || got.Added != 3 || got.Changed != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}
