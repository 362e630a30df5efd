// Package history is what both sides of the power cuts know: the log of changes
// that central has for the panel, which is a function of the revision alone, so
// that a central that has lost its memory goes on where the panel is; and the
// lines by which the guest tells the host what was acknowledged.
package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"math/rand/v2"
	"slices"

	"postern/access"
	"postern/wire"
)

// The panel, and what central sends it.
const (
	SystemID = "cuts-001"
	Level    = "2f0c4d0a-6b1e-4c55-9a52-3f6f0a9d1c01" // opens the door always
	Reader   = "front"
	Door     = "front"
	Epoch    = 1

	// MaxBatch is the most revisions of one message.
	MaxBatch = 20

	people    = 250
	firstCard = 100_000
)

// Where the guest finds its things.
const (
	Config   = "/etc/postern/panel.toml"
	Posternd = "/posternd"
	Modules  = "/modules/" // with a number before each name
	Data     = "/var/lib/postern"
	Socket   = "/run/postern/postern.sock"
)

// Card is what a badge of person n is known by; people beyond those of the log
// are strangers.
func Card(n uint64) string { return fmt.Sprintf("EM:%d", firstCard+n) }

// Person picks a person, one in five a stranger.
func Person(r *rand.Rand) uint64 { return 1 + r.Uint64N(people*5/4) }

// Change is a revision of the log.
func Change(revision uint64) wire.Change {
	r := rand.New(rand.NewPCG(revision, 41))
	n := 1 + r.Uint64N(people)
	id := access.ID{0: 0x70, 6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	if r.IntN(10) < 3 {
		return wire.Change{Revision: revision, Op: wire.OpRemove, ID: id}
	}
	key := wire.Key{Identification: Card(n), Type: string(access.Proximity), AccessLevels: []string{Level}}
	if r.IntN(4) == 0 {
		pin := fmt.Sprintf("%04d", r.IntN(10000))
		key.PIN = &pin
	}
	return wire.Change{Revision: revision, Op: wire.OpPut, ID: id, Claim: revision, Key: wire.Encode(key)}
}

// Keys are the keys after a revision, each with the revision that put it.
type Keys map[access.ID]uint64

// After gives the keys after a revision.
func After(revision uint64) Keys {
	k := Keys{}
	for n := uint64(1); n <= revision; n++ {
		if c := Change(n); c.Op == wire.OpRemove {
			delete(k, c.ID)
		} else {
			k[c.ID] = n
		}
	}
	return k
}

// Digest is the digest that a panel with these keys reports.
func (k Keys) Digest() (d access.Digest) {
	for id, revision := range k {
		d = d.Add(id, revision)
	}
	return d
}

// Sum names these keys.
func (k Keys) Sum() string {
	h := sha256.New()
	for _, id := range slices.SortedFunc(maps.Keys(k), func(a, b access.ID) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintln(h, id, k[id])
	}
	return short(h)
}

// Event names an event by all that is told of it on both ways, the link to
// central and the local socket.
func Event(boot access.ID, seq uint64, kind access.EventType, at int64, door, point string, key access.ID, credential, detail string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%v %d %d %d %q %q %v %q %q", boot, seq, kind, at, door, point, key, credential, detail)
	return short(h)
}

// Journal names the events 1 to len(events).
func Journal(events []string) string {
	h := sha256.New()
	for _, e := range events {
		fmt.Fprintln(h, e)
	}
	return short(h)
}

func short(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:8]) }

// The lines that the guest writes. Each ends with End, which a line that was cut
// off lacks.
const (
	End = " ."

	LineMounted  = "cuts: mounted" + End
	LineReady    = "cuts: ready" + End
	LineFatal    = "cuts: fatal: %s" + End
	LineReported = "cuts: reported %d" + End
	LineResults  = "cuts: results %d %d %d" + End // first and last revision, and how many of them failed
	LineEvent    = "cuts: event %d %s" + End
	LineChecked  = "cuts: checked %s" + End // JSON of a Check
	LineLog      = "cuts: log %s" + End     // a line of the daemon's log
)

// LineCheck is what the host asks: up to which event the journal is to be named.
const LineCheck = "check %d"

// Check is what the guest finds after a boot.
type Check struct {
	Revision uint64        // as reported
	Digest   access.Digest // as reported
	Count    uint64        // as reported
	Keys     string        // Sum of the keys that the local socket lists
	Failed   int           // of them, how many did not apply
	Events   string        // Journal of the events up to the number asked
	Missing  int           // of them, how many are not there
	Aside    []string      // files that were put aside, and marks of damage
	Kernel   []string      // what the kernel says of the disk that it should not
	Replayed bool          // whether the kernel played the file system's journal back
}
