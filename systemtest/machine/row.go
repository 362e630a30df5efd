package machine

import "time"

// Row is one line of the table at the end: a check of a part, what came out,
// and whether that is what must come out.
type Row struct {
	Part   string        // the part that made the check: gpio, cuts, systemd
	Check  string        // what was tried
	Result string        // what came out, in a few words
	Detail string        // more of it, where Result is not enough; may be empty
	OK     bool          // whether Result is what must come out
	Took   time.Duration // how long the check took for the host; 0 where it was not measured alone
}
