package access

import (
	"strings"
	"testing"
	"time"
)

func goodPolicy() *Policy {
	return &Policy{
		Codes:     CodePolicy{Enabled: true, Size: 6},
		Schedules: []Schedule{{ID: "office", Intervals: []Interval{{Days: 62, From: 480, To: 1020}}}},
		Doors:     []DoorPolicy{{ID: "front", Times: DefaultDoorTimes()}, {ID: "lab", Times: DefaultDoorTimes()}},
		Points: []AccessPoint{
			{ID: "front", Door: "front", Reader: "front", Mode: ModeCardOrCode},
			{ID: "lab", Door: "lab", Reader: "lab", Mode: ModeCardAndPIN},
		},
		Levels: []Level{
			{ID: ID{1}, Name: "always", Grants: []Grant{{Points: []string{"front", "lab"}, Schedule: ScheduleAlways}}},
			{ID: ID{2}, Name: "office hours", Grants: []Grant{{Points: []string{"front"}, Schedule: "office"}}},
			{ID: ID{3}, Name: "nowhere"},
			{ID: ID{4}, Name: "never", Grants: []Grant{{Points: []string{"front"}, Schedule: ScheduleNever}}},
		},
	}
}

func TestCompile(t *testing.T) {
	if f := goodPolicy().Compile(); len(f) != 0 {
		t.Fatalf("a good policy has faults: %v", f)
	}
	for _, tt := range []struct {
		name string
		mend func(*Policy)
		want string // path and a part of the message
	}{
		{"code size", func(p *Policy) { p.Codes.Size = 3 }, "codes.size: a code has 4 to 10"},
		{"schedule twice", func(p *Policy) { p.Schedules = append(p.Schedules, p.Schedules[0]) }, `schedule[1].id: "office" is used twice`},
		{"built in", func(p *Policy) { p.Schedules[0].ID = "always" }, "schedule[0].id: \"always\" is built in"},
		{"bad id", func(p *Policy) { p.Schedules[0].ID = "a b" }, "schedule[0].id: \"a b\" has a character"},
		{"no interval", func(p *Policy) { p.Schedules[0].Intervals = nil }, "schedule[0].intervals: a schedule needs"},
		{"no day", func(p *Policy) { p.Schedules[0].Intervals[0].Days = 0 }, "schedule[0].intervals[0].days: names no day"},
		{"empty", func(p *Policy) { p.Schedules[0].Intervals[0].To = 480 }, "schedule[0].intervals[0].to: ends when it starts"},
		{"door times", func(p *Policy) { p.Doors[1].Times.HeldAlarm = time.Second }, "door[1].times.held_alarm: 1s is outside 30s"},
		{"strike", func(p *Policy) { p.Doors[0].Times.Strike = 0 }, "door[0].times.strike: 0s is outside"},
		{"extended", func(p *Policy) { p.Doors[0].Times.Extended = time.Second }, "door[0].times.extended: 1s is outside 3s"},
		{"no door", func(p *Policy) { p.Points[0].Door = "x" }, `access_point[0].door: no door has the id "x"`},
		{"no reader", func(p *Policy) { p.Points[0].Reader = "" }, "access_point[0].reader: is missing"},
		{"reader twice", func(p *Policy) { p.Points[1].Reader = "front" }, "access_point[1].reader: reader \"front\" serves another"},
		{"no mode", func(p *Policy) { p.Points[0].Mode = 0 }, "access_point[0].mode: is missing"},
		{"codes off", func(p *Policy) { p.Codes.Enabled = false; p.Points[0].Mode = ModeCode }, "access_point[0].mode: takes codes only"},
		{"level twice", func(p *Policy) { p.Levels[1].ID = ID{1} }, "access_level[1].id: 01000000-"},
		{"level id", func(p *Policy) { p.Levels[1].ID = ID{} }, "access_level[1].id: is missing"},
		{"level name", func(p *Policy) { p.Levels[0].Name = "" }, "access_level[0].name: a name has"},
		{"no point", func(p *Policy) { p.Levels[0].Grants[0].Points[1] = "x" }, `access_level[0].grants[0].access_points[1]: no access point has the id "x"`},
		{"point twice", func(p *Policy) { p.Levels[0].Grants[0].Points[1] = "front" }, "access_level[0].grants[0].access_points[1]: \"front\" is named twice"},
		{"no points", func(p *Policy) { p.Levels[0].Grants[0].Points = nil }, "access_level[0].grants[0].access_points: names no access point"},
		{"no schedule", func(p *Policy) { p.Levels[0].Grants[0].Schedule = "x" }, `access_level[0].grants[0].schedule: no schedule has the id "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := goodPolicy()
			tt.mend(p)
			faults := p.Compile()
			for _, f := range faults {
				if strings.HasPrefix(f.String(), tt.want) {
					return
				}
			}
			t.Errorf("faults %v, want one with %q", faults, tt.want)
		})
	}
}
