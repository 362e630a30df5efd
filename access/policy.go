package access

import (
	"slices"
	"time"
)

// The schedules that every policy has.
const (
	ScheduleAlways = "always"
	ScheduleNever  = "never"
)

// Policy is everything that decides but the keys: codes, schedules and
// holidays, access levels, access points with their modes and areas, and the
// doors' times and schedules. Build it with Compile; it does not change
// afterwards, and may be shared between goroutines.
type Policy struct {
	Location   *time.Location // of schedules; nil is UTC
	Codes      CodePolicy
	Holidays   []Holiday
	Schedules  []Schedule
	Areas      []Area
	Levels     []Level
	Points     []AccessPoint
	Doors      []DoorPolicy
	Interlocks []Interlock
	Lockout    LockoutRules // zero members are those of DefaultLockout
	// Duress takes a PIN whose last digit is one higher as right, and tells of it.
	Duress bool
	// StaleAfter is how long central may be away before keys with the option
	// NeedsCentral are denied; zero is never.
	StaleAfter time.Duration

	schedules map[string]*Schedule
	levels    map[ID]*Level
	points    map[string]*AccessPoint
	doors     map[string]*DoorPolicy
	areas     map[string]*Area
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

// AccessPoint is a reader at a side of a door.
type AccessPoint struct {
	ID     string
	Name   string
	Door   string
	Reader string
	Mode   PointMode
	// Modes go before Mode: the first whose schedule is open holds.
	Modes []ScheduledMode
	// From and To are the areas that it leads out of and into; Outside is none.
	From, To string
	// TwoPerson wants two persons, each with a key of their own, the second
	// within PairWithin of the first. One person's two cards are one person.
	TwoPerson  bool
	PairWithin time.Duration // also for escorts; zero is DefaultPairWithin
	NoKeypad   bool          // the reader has none
}

// DoorPolicy is a door's times, and when it is unlocked.
type DoorPolicy struct {
	ID    string
	Name  string
	Times DoorTimes
	// UnlockSchedule is when the door is unlocked; "" is never. With FirstCard it
	// waits, each time that the schedule opens, for a key with that option.
	UnlockSchedule string
	FirstCard      bool
}

// Interlock is doors of which one at a time may be open or released by a
// grant. REX and fire stand above it.
type Interlock struct {
	Name  string
	Doors []string
}

// DoorTimes are how long a door's states last.
type DoorTimes struct {
	Strike      time.Duration // released by a grant; 3 s unless set
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
	c.rules()
	c.holidays()
	c.schedules()
	c.areas()
	c.doors()
	c.points()
	c.levels()
	c.interlocks()
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

// Area gives the area with this id, or nil.
func (p *Policy) Area(id string) *Area { return p.areas[id] }

// Interlocked gives the doors that have to be closed and secured while this one
// is released.
func (p *Policy) Interlocked(door string) []string {
	var out []string
	for _, g := range p.Interlocks {
		if !slices.Contains(g.Doors, door) {
			continue
		}
		for _, d := range g.Doors {
			if d != door && !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	return out
}
