// Package plan is what the host and the program in the guest say to each other:
// the host puts a Plan and the panel's configurations into the guest's first
// file system, and the guest writes a Result a line to its serial port.
package plan

import "time"

// Paths in the guest.
const (
	Path     = "/plan.json"
	Posternd = "/usr/bin/posternd"
	// Strike is a panel of one door with a strike, ActiveLow the same with a
	// relay that is on while its line is low, Maglock one of two doors.
	Strike    = "/etc/postern/strike.toml"
	ActiveLow = "/etc/postern/active-low.toml"
	Maglock   = "/etc/postern/maglock.toml"
)

// Plan says how much the guest does.
type Plan struct {
	// Modules are files to load, in this order.
	Modules []string
	// Frames is how many frames each cell has: a length at a bit period under a
	// load.
	Frames int
	// Badges is how many badges are timed under each load.
	Badges int
	// Changes is how many key changes the daemon has to have applied at the end of
	// the cells that have it apply them.
	Changes int
	Lengths []int
	Periods []time.Duration
}

// Result is one line of the table.
type Result struct {
	Check  string
	Result string
	Detail string `json:",omitempty"`
	OK     bool
	// Guest is how long it took by the guest's clock.
	Guest time.Duration
}

// What a line of the guest begins with.
const (
	ResultLine = "RESULT " // and a Result as JSON
	NoteLine   = "NOTE "   // and what is being done
	LogLine    = "LOG "    // and a line of the daemon's log, after a failure
	FatalLine  = "FATAL "  // and why nothing more comes
	DoneLine   = "DONE"
)
