package sync

import (
	"cmp"
	"slices"

	"postern/access"
)

const (
	// maxAhead bounds the revisions that are kept before their turn, maxAheadLen
	// the bytes that they came in. Central sends at most 1,000 ahead.
	maxAhead    = 1000
	maxAheadLen = 2 << 20
)

// ahead keeps changes that came before those that they follow. Mosquitto lets a
// message overtake others when it has as many on their way as it may have; left
// to central, each such case would cost NeedAfter. What is kept has been
// acknowledged to the broker: central sends again what gets lost here.
type ahead struct {
	kept      []batch // by revision
	revisions int
	bytes     int
}

// batch is what one message asks for, or several that continue each other.
type batch struct {
	access.Batch
	bytes int // of the messages
}

func (b batch) first() uint64 { return b.Updates[0].Revision }
func (b batch) last() uint64  { return b.Updates[len(b.Updates)-1].Revision }

// keep puts a batch by, unless there is no room.
func (a *ahead) keep(b batch) {
	if a.revisions+len(b.Updates) > maxAhead || a.bytes+b.bytes > maxAheadLen {
		return
	}
	i, _ := slices.BinarySearchFunc(a.kept, b.first(), func(k batch, first uint64) int { return cmp.Compare(k.first(), first) })
	a.kept = slices.Insert(a.kept, i, b)
	a.count(b, 1)
}

// turn takes out what continues p, and drops what p has overtaken.
func (a *ahead) turn(p access.Position) []batch {
	var now []batch
	next := p.Revision + 1
	a.kept = slices.DeleteFunc(a.kept, func(b batch) bool {
		switch {
		case b.Epoch == p.Epoch && b.first() > next:
			return false
		case b.Epoch == p.Epoch && b.last() >= next:
			now = append(now, b)
			next = b.last() + 1
		}
		a.count(b, -1)
		return true
	})
	return now
}

func (a *ahead) count(b batch, sign int) {
	a.revisions += sign * len(b.Updates)
	a.bytes += sign * b.bytes
}
