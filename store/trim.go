package store

import (
	"fmt"
	"sync/atomic"

	"postern/access"
)

// trimBatch is how many confirmed events past Keep are let gather before they
// are deleted together.
const trimBatch = 64

// trim deletes the oldest confirmed events beyond Keep.
func (u *journalTx) trim() error {
	keep := uint64(u.s.keep)
	if u.st.kept <= keep+min(trimBatch, keep/8) {
		return nil
	}
	seqs, err := u.oldest(0, u.st.kept-keep)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := u.events.Delete(seqKey(seq)); err != nil {
			return err
		}
		u.st.kept--
	}
	return nil
}

// oldest gives the first n events held after seq; the counts say that there are
// so many. They are collected before any is deleted: a cursor gets lost when its
// bucket changes, and a new one would pass all emptied pages each time.
func (u *journalTx) oldest(after, n uint64) ([]uint64, error) {
	var out []uint64
	c := u.events.Cursor()
	for k, _ := c.Seek(seqKey(after + 1)); uint64(len(out)) < n; k, _ = c.Next() {
		if seqOf(k) == 0 {
			return nil, fmt.Errorf("%w: the journal counts more events than it holds", ErrDamaged)
		}
		out = append(out, seqOf(k))
	}
	return out, nil
}

// drop deletes the oldest unconfirmed events beyond Cap, and has one event say
// how many. While it goes on that event counts up, until it has been handed
// out: what was sent must not change.
func (u *journalTx) drop() error {
	most := uint64(u.s.cap)
	if u.st.waiting <= most {
		return nil
	}
	said, err := u.said()
	if err != nil {
		return err
	}
	count, room := uint64(0), uint64(1) // room that a new event takes
	if said != nil {
		room = 0
	}
	seqs, err := u.oldest(u.st.confirmed, u.st.waiting-most+1)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if u.st.waiting+room <= most {
			break
		}
		if err := u.events.Delete(seqKey(seq)); err != nil {
			return err
		}
		u.st.waiting--
		if seq != u.st.dropSeq {
			count++
			u.dropped++
			continue
		}
		// The event that counted is the oldest itself: its count goes on in a
		// new one.
		count += u.st.dropCount
		said, room, u.st.dropSeq = nil, 1, 0
	}
	if said != nil {
		u.st.dropCount += count
		said.Detail = dropText(u.st.dropCount)
		return u.put(*said)
	}
	// The store can't tell how far the clock is to be believed: the event that was
	// one too many lends its times. There is none when Cap was lowered.
	e := access.Event{At: u.latest.At, Mono: u.latest.Mono, Clock: u.latest.Clock, Type: access.EventsDropped, Detail: dropText(count)}
	if u.latest.Seq == 0 {
		e.At, e.Clock = u.s.now(), access.ClockUntrusted
	}
	if err := u.record(&e); err != nil {
		return err
	}
	u.st.dropSeq, u.st.dropCount = e.Seq, count
	return nil
}

func dropText(n uint64) string { return fmt.Sprintf("%d dropped, the oldest first", n) }

// said is the event that may still count up, nil when there is none.
func (u *journalTx) said() (*access.Event, error) {
	seq := u.st.dropSeq
	if seq <= max(u.st.confirmed, u.s.handed.Load()) {
		return nil, nil
	}
	v := u.events.Get(seqKey(seq))
	if v == nil {
		return nil, nil
	}
	e, err := decodeEventRow(seqKey(seq), v)
	if err != nil || e.BootID != u.s.boot {
		return nil, err
	}
	return &e, nil
}

// atLeast raises v to n.
func atLeast(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n; old = v.Load() {
		if v.CompareAndSwap(old, n) {
			return
		}
	}
}
