package access

import (
	"fmt"
	"time"
)

// The schedules that every policy has.
const (
	ScheduleAlways = "always"
	ScheduleNever  = "never"
)

// Policy is everything that decides but the keys: codes, schedules, access
// levels, access points and the doors' times. Build it with Compile; it does
// not change afterwards, and may be shared between goroutines.
type Policy struct {
	Location  *time.Location // of schedules; nil is UTC
	Codes     CodePolicy
	Schedules []Schedule
	Levels    []Level
	Points    []AccessPoint
	Doors     []DoorPolicy

	schedules map[string]*Schedule
	levels    map[ID]*Level
	points    map[string]*AccessPoint
	doors     map[string]*DoorPolicy
}

// CodePolicy says whether codes are taken, and their number of digits.
type CodePolicy struct {
	Enabled bool
	Size    int // 4 to 10
}

// Bounds of the code size.
const (
	MinPanelCodeSize = 4
	MaxPanelCodeSize = 10
)

// Level is an access level: what its holders may enter, and when.
type Level struct {
	ID     ID
	Name   string
	Grants []Grant
}

// Grant gives access points during a schedule.
type Grant struct {
	Points   []string // ids of access points
	Schedule string   // id of a schedule; "always" and "never" are built in
}

// PointMode is what an access point asks for.
type PointMode uint8

// The modes of an access point.
const (
	ModeCard PointMode = iota + 1
	ModeCode
	ModeCardOrCode
	ModeCardAndPIN
)

var modeNames = [...]string{ModeCard: "card", ModeCode: "code", ModeCardOrCode: "card_or_code", ModeCardAndPIN: "card_and_pin"}

// ParsePointMode reads "card", "code", "card_or_code" or "card_and_pin".
func ParsePointMode(s string) (PointMode, error) {
	for i, n := range modeNames {
		if n != "" && n == s {
			return PointMode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown mode %.16q (one of card, code, card_or_code, card_and_pin)", s)
}

// String gives the name that ParsePointMode reads.
func (m PointMode) String() string {
	if int(m) < len(modeNames) && modeNames[m] != "" {
		return modeNames[m]
	}
	return "?"
}

// Takes reports whether the mode takes credentials of kind k.
func (m PointMode) Takes(k CredentialKind) bool {
	if k == CodeKind {
		return m == ModeCode || m == ModeCardOrCode
	}
	return m == ModeCard || m == ModeCardOrCode || m == ModeCardAndPIN
}

// AccessPoint is a reader at a side of a door.
type AccessPoint struct {
	ID     string
	Name   string
	Door   string
	Reader string
	Mode   PointMode
}

// DoorPolicy is a door's times.
type DoorPolicy struct {
	ID    string
	Name  string
	Times DoorTimes
}

// DoorTimes are how long a door's states last.
type DoorTimes struct {
	Strike      time.Duration // released by a grant; at least MinStrike unless set
	Extended    time.Duration // the same for keys with the extended option
	Relock      time.Duration // after opening, the lock is secured again
	HeldWarning time.Duration // open longer than this warns
	HeldAlarm   time.Duration // open longer than this alarms
	ShuntAfter  time.Duration // opening this long after the release is not forced
}

// DefaultDoorTimes are the times of a door that sets none.
func DefaultDoorTimes() DoorTimes {
	return DoorTimes{
		Strike: 3 * time.Second, Extended: 10 * time.Second, Relock: 500 * time.Millisecond,
		HeldWarning: 30 * time.Second, HeldAlarm: 60 * time.Second, ShuntAfter: 5 * time.Second,
	}
}

// Fault is one thing that is wrong with a policy. Path names the member in the
// words of panel.toml, such as access_level[1].grants[0].schedule.
type Fault struct {
	Path    string
	Message string
}

// String gives path and message.
func (f Fault) String() string { return f.Path + ": " + f.Message }

// Compile checks the policy and indexes it. It gives every fault at once; with
// faults the policy is not to be used.
func (p *Policy) Compile() []Fault {
	c := compiler{p: p}
	if p.Location == nil {
		p.Location = time.UTC
	}
	c.codes()
	c.schedules()
	c.doors()
	c.points()
	c.levels()
	return c.faults
}

// Level gives the access level with this id, or nil.
func (p *Policy) Level(id ID) *Level { return p.levels[id] }

// Point gives the access point with this id, or nil.
func (p *Policy) Point(id string) *AccessPoint { return p.points[id] }

// PointOf gives the access point that a reader serves, or nil.
func (p *Policy) PointOf(reader string) *AccessPoint {
	for i := range p.Points {
		if p.Points[i].Reader == reader {
			return &p.Points[i]
		}
	}
	return nil
}

// Door gives the door with this id, or nil.
func (p *Policy) Door(id string) *DoorPolicy { return p.doors[id] }

// Schedule gives the schedule with this id, or nil.
func (p *Policy) Schedule(id string) *Schedule { return p.schedules[id] }
