package wire

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
)

// site is a panel's own policy, as its panel.toml gives it.
func site(t testing.TB) *access.Policy {
	t.Helper()
	p := &access.Policy{
		Codes: access.CodePolicy{Enabled: true, Size: 4},
		Doors: []access.DoorPolicy{
			{ID: "front", Name: "Front door", Times: access.DefaultDoorTimes()},
			{ID: "lab", Times: access.DefaultDoorTimes()},
			{ID: "side", Times: access.DefaultDoorTimes()},
		},
		Points: []access.AccessPoint{
			{ID: "front-in", Name: "Front, outside", Door: "front", Reader: "r1", Mode: access.ModeCardOrCode},
			{ID: "front-out", Door: "front", Reader: "r2", Mode: access.ModeCard, NoKeypad: true},
			{ID: "lab-in", Door: "lab", Reader: "r3", Mode: access.ModeCardAndPIN},
		},
		Levels: []access.Level{{ID: access.ID{9}, Name: "installer", Grants: []access.Grant{{Points: []string{"front-in"}, Schedule: access.ScheduleAlways}}}},
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	return p
}

func policyFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../testdata/wire/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustPolicy(t testing.TB, doc []byte) Policy {
	t.Helper()
	p, err := DecodePolicy(doc)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyFile(t *testing.T) {
	base := site(t)
	before := PolicyOf(base, Version{1, 1})
	doc := mustPolicy(t, policyFile(t, "policy.json"))
	p, faults := doc.Access(base)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if d := cmp.Diff(before, PolicyOf(base, Version{1, 1})); d != "" {
		t.Errorf("the panel's own policy changed:\n%s", d)
	}
	// The file says all that can be said, but for what is the panel's own.
	want := doc
	want.AccessPoints = append(want.AccessPoints, PolicyPoint{ID: "lab-in", Mode: "card_and_pin"})
	want.Doors = append(want.Doors, PolicyOf(base, Version{}).Doors[2])
	if d := cmp.Diff(want, PolicyOf(p, doc.Version)); d != "" {
		t.Errorf("the document is not what it became (-document +policy):\n%s", d)
	}
	a := p.Point("front-in")
	if a.Reader != "r1" || a.Door != "front" || !p.Point("front-out").NoKeypad || p.Level(access.ID{9}) != nil {
		t.Errorf("the wiring is not the panel's: %+v", a)
	}
	open := func(at string) bool {
		v, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		return p.Schedule("office").Open(v, p.Location)
	}
	if !open("2026-11-20T07:00:00Z") || open("2026-12-24T11:30:00Z") || !open("2026-12-24T10:30:00Z") || open("2031-01-02T10:00:00Z") {
		t.Error("the office hours are not those of the document")
	}
}

func TestPolicyMinimal(t *testing.T) {
	base := site(t)
	p, faults := mustPolicy(t, policyFile(t, "policy-minimal.json")).Access(base)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if len(p.Levels) != 0 || p.Codes.Enabled || p.Point("front-in").Mode != access.ModeCardOrCode || p.Door("lab") == nil {
		t.Errorf("got %+v", p)
	}
}

func TestPolicyRefused(t *testing.T) {
	for _, tt := range []struct{ name, doc, want string }{
		{"no version", `{"access_levels":[]}`, "revision: epoch or revision is missing"},
		{"no levels", `{"epoch":1,"revision":1}`, "access_levels: is missing"},
		{"unknown member", `{"epoch":1,"revision":1,"access_levels":[],"scheduls":[]}`, "scheduls: unknown member"},
		{"unknown member inside", `{"epoch":1,"revision":1,"access_levels":[],"areas":[{"id":"a","pasback":"hard"}]}`, "pasback: unknown member"},
		{"member twice", `{"epoch":1,"epoch":2,"revision":1,"access_levels":[]}`, "epoch: appears twice"},
		{"wrong type", `{"epoch":1,"revision":1,"access_levels":[],"rules":{"duress":"yes"}}`, "rules.duress: want true or false"},
		{"too long", `{"epoch":1,"revision":1,"access_levels":[],"time_zone":"` + strings.Repeat("x", MaxPayload) + `"}`, "bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodePolicy([]byte(tt.doc))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Every fault of a document is told at once, in the document's own places.
func TestPolicyFaults(t *testing.T) {
	doc := mustPolicy(t, policyFile(t, "policy-faulty.json"))
	_, faults := doc.Access(site(t))
	var got strings.Builder
	for _, f := range faults {
		got.WriteString(f.String() + "\n")
	}
	const golden = "../testdata/wire/policy-faulty.faults"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, f := range faults {
		if len(f.Path) > 256 || len(f.Message) > 512 {
			t.Errorf("%s does not fit into a policy status", f)
		}
	}
}

// What a panel tells of its policy is a document that gives the same policy.
func TestPolicyRoundTrip(t *testing.T) {
	base := site(t)
	rapid.Check(t, func(t *rapid.T) {
		want := drawPolicy(t)
		p, faults := want.Access(base)
		if len(faults) > 0 {
			t.Fatalf("%v in %s", faults, Encode(want))
		}
		told := PolicyOf(p, want.Version)
		again, err := DecodePolicy(Encode(told))
		if err != nil {
			t.Fatal(err)
		}
		p2, faults := again.Access(base)
		if len(faults) > 0 {
			t.Fatalf("%v in %s", faults, Encode(told))
		}
		if d := cmp.Diff(told, PolicyOf(p2, want.Version)); d != "" {
			t.Errorf("-told +again:\n%s", d)
		}
		// What was said comes back as it was said.
		told.Lockout, told.TimeZone, told.Doors, told.AccessPoints = want.Lockout, want.TimeZone, want.Doors, want.AccessPoints
		if d := cmp.Diff(want, told); d != "" {
			t.Errorf("-said +told:\n%s", d)
		}
	})
}

func drawPolicy(t *rapid.T) Policy {
	day := rapid.SampledFrom([]string{"2026-12-24", "2027-02-28", "2030-01-01"})
	minute := rapid.Custom(func(t *rapid.T) string {
		return access.TimeOfDay(rapid.IntRange(0, 1439).Draw(t, "minute")).String()
	})
	span := rapid.Custom(func(t *rapid.T) PolicyInterval {
		v := PolicyInterval{From: minute.Draw(t, "from"), To: minute.Draw(t, "to")}
		if v.From == v.To {
			v.To = "24:00"
		}
		return v
	})
	spans := func(t *rapid.T) []PolicyInterval {
		if v := rapid.SliceOfN(span, 0, 2).Draw(t, "spans"); len(v) > 0 {
			return v
		}
		return nil
	}
	p := Policy{
		Version: Version{rapid.Uint64Range(1, 9).Draw(t, "epoch"), rapid.Uint64Range(1, 9).Draw(t, "revision")}, TimeZone: "Europe/Stockholm",
		Codes: Codes{Enabled: true, Size: rapid.IntRange(4, 10).Draw(t, "size")}, AccessLevels: []PolicyLevel{},
	}
	p.Rules.Duress = rapid.Bool().Draw(t, "duress")
	for range rapid.IntRange(0, 2).Draw(t, "holidays") {
		p.Holidays = append(p.Holidays, PolicyHoliday{Kind: rapid.SampledFrom([]string{"bank", "school"}).Draw(t, "kind"), From: day.Draw(t, "day")})
	}
	week := span.Draw(t, "week")
	week.Days = []string{"mon", "sun"}
	s := PolicySched{ID: "s", Intervals: []PolicyInterval{week}, Holidays: []PolicyHolidayRule{{Kinds: []string{"*"}, Intervals: spans(t)}}}
	if rapid.Bool().Draw(t, "special") {
		s.SpecialDays = []PolicySpecialDay{{From: day.Draw(t, "special day"), Intervals: spans(t)}}
	}
	p.Schedules = []PolicySched{s}
	p.Areas = []PolicyArea{{ID: "in", Passback: rapid.SampledFrom([]string{"off", "soft", "hard"}).Draw(t, "passback"), ForgiveAt: []string{minute.Draw(t, "forgive")}}}
	for i := range rapid.IntRange(0, 2).Draw(t, "levels") {
		p.AccessLevels = append(p.AccessLevels, PolicyLevel{ID: access.ID{byte(i + 1)}.String(), Name: "x", Grants: []PolicyGrant{{AccessPoints: []string{"lab-in"}, Schedule: "s"}}})
	}
	p.AccessPoints = []PolicyPoint{{ID: "front-in", Modes: []PolicyMode{{Schedule: "s", Mode: "blocked"}}, To: "in", TwoPerson: rapid.Bool().Draw(t, "two")}}
	p.Interlocks = []PolicyLock{{Doors: []string{"front", "lab"}}}
	return p
}

func FuzzDecodePolicy(f *testing.F) {
	seed(f, "policy*.json")
	base := site(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := DecodePolicy(doc)
		if err != nil {
			return
		}
		p, faults := d.Access(base)
		if (p == nil) != (len(faults) > 0) {
			t.Fatalf("got %v with faults %v", p, faults)
		}
		for _, v := range faults {
			if v.Path == "" || v.Message == "" || len(v.Path) > 256 {
				t.Fatalf("fault %+v", v)
			}
		}
		if p == nil {
			return
		}
		told := PolicyOf(p, d.Version)
		again, err := DecodePolicy(Encode(told))
		if err != nil {
			t.Fatalf("what is told can't be read: %v", err)
		}
		if _, faults := again.Access(base); len(faults) > 0 {
			t.Fatalf("what is told has faults: %v", faults)
		}
		p.Schedule("always").Open(time.Unix(0, 0), p.Location)
	})
}
