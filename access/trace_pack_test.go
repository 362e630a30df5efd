package access

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Packed traces lie on panels: what they are told in terms of must stay as it is.
func TestTraceWordsStay(t *testing.T) {
	const want = "25901d66fa440bf7"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(traceWords)))[:16]; got != want {
		t.Errorf("the words of packed traces are %s, and were %s: add another form instead", got, want)
	}
}

func TestPackedTraces(t *testing.T) {
	p := &Policy{
		Doors:  []DoorPolicy{{ID: "front", Times: DefaultDoorTimes()}},
		Points: []AccessPoint{{ID: "in", Door: "front", Reader: "r", Mode: ModeCardAndPIN}},
		Levels: []Level{{ID: ID{1}, Name: "Everybody who works here", Grants: []Grant{{Points: []string{"in"}, Schedule: ScheduleAlways}}}},
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	noon := time.Date(2026, 11, 22, 12, 34, 56, 0, time.UTC)
	k := Key{ID: MustParseID("5b8d6c1e-0f4a-4f0e-9d0c-2f6a1b3c4d5e"), Type: Proximity, State: Enabled, Levels: []ID{{1}}, HasPIN: true, ValidFrom: noon.AddDate(0, -3, -4), ValidTo: noon.AddDate(1, 0, 9)}
	q := Query{Clock: Trusted(noon), Policy: p, Point: p.Point("in"), DoorMode: Locked, Kind: CardKind}
	var packer TracePacker
	most := 0
	for _, tt := range []struct {
		name string
		keys []Key
		pin  PINEntry
	}{{"unknown", nil, PINNone}, {"wrong PIN", []Key{k}, PINWrong}, {"right PIN", []Key{k}, PINRight}} {
		q.Keys, q.PIN = tt.keys, tt.pin
		_, trace := Explain(q)
		packed := packer.Pack(trace)
		got, ok := UnpackTrace(packed)
		if diff := cmp.Diff(trace, got); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", tt.name, ok, diff)
		}
		most = max(most, len(packed))
		t.Logf("%s: %d bytes of %d", tt.name, len(packed), len(trace.String()))
	}
	if most > 140 {
		t.Errorf("a trace takes %d bytes", most)
	}
}

func TestPackedTracesAreBounded(t *testing.T) {
	var packer TracePacker
	rapid.Check(t, func(t *rapid.T) {
		var trace Trace
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			trace.Steps = append(trace.Steps, Step{
				rapid.IntRange(1, 11).Draw(t, "number"), rapid.StringN(0, 20, 60).Draw(t, "rule"),
				rapid.SampledFrom([]Outcome{OutcomePassed, OutcomeNoted, OutcomeAnswer}).Draw(t, "outcome"), rapid.StringN(0, 80, 200).Draw(t, "text"),
			})
		}
		packed := packer.Pack(trace)
		if len(packed) > MaxWhy {
			t.Fatalf("%d bytes", len(packed))
		}
		if packed == "" {
			return
		}
		got, ok := UnpackTrace(packed)
		if !ok || len(got.Steps) != len(trace.Steps) || got.Answer().Outcome != trace.Answer().Outcome {
			t.Errorf("%+v became %+v", trace, got)
		}
	})
}

func FuzzUnpackTrace(f *testing.F) {
	f.Add(new(TracePacker).Pack(Trace{Steps: []Step{{1, "door", OutcomeAnswer, "the door is blocked"}}}))
	f.Add("\x01" + strings.Repeat("a", 100))
	f.Fuzz(func(t *testing.T, why string) {
		trace, ok := UnpackTrace(why)
		if !ok {
			return
		}
		if len(trace.Steps) > maxSteps || len(trace.String()) > 4*maxTraceText {
			t.Errorf("%d bytes became %d steps", len(why), len(trace.Steps))
		}
	})
}

func BenchmarkPackTrace(b *testing.B) {
	var packer TracePacker
	trace := Trace{}
	for i := range 14 {
		trace.Steps = append(trace.Steps, Step{i, "anti-passback", OutcomePassed, fmt.Sprintf("nothing against it, %d", i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		packer.Pack(trace)
	}
}
