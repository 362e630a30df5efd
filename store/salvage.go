package store

import (
	"bytes"
	"cmp"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// saveAtOnce is how many events of a damaged journal go into one transaction: a
// transaction's pages lie in memory until it ends.
const saveAtOnce = 2000

// salvaged is what could be read from a damaged journal: where its newest events
// lie, since a full journal's events are more than a small board's memory has.
type salvaged struct {
	most      int // events held
	rows      []savedRow
	last      uint64
	confirmed uint64
}

// savedRow is where a good copy of an event lies.
type savedRow struct {
	seq      uint64
	page     uint32
	i, inner uint16 // the element of the page, and within that of a small bucket
}

// notInner is the inner element of a row that is right on its page.
const notInner = 1<<16 - 1

// salvage reads every leaf page of a damaged journal, reachable or not: events
// are never changed, so a copy on a page that is out of use is as good. It finds
// the newest events, at most most.
func salvage(f *os.File, most int) (salvaged, error) {
	out := salvaged{most: most}
	info, err := f.Stat()
	if err != nil {
		return out, err
	}
	pages := min(info.Size(), maxFile) / pageSize
	page := make([]byte, pageSize)
	for id := int64(2); id < pages; id++ {
		if _, err := f.ReadAt(page, id*pageSize); err != nil {
			continue // an unreadable sector; the next may be good
		}
		if le.Uint16(page[8:]) == pageLeaf && le.Uint64(page) == uint64(id) {
			out.leaf(uint32(id), page)
		}
	}
	out.prune()
	return out, nil
}

// leaf takes what is good from a page. An event is smaller than a page, so
// overflow pages need no thought.
func (s *salvaged) leaf(id uint32, page []byte) {
	for i := range int(le.Uint16(page[10:])) {
		e, err := parseElement(page, i, true)
		if err != nil {
			continue
		}
		at := savedRow{page: id, i: uint16(i), inner: notInner}
		inline := inlined(e)
		if inline == nil && e.flags == 0 {
			s.row(at, e)
		}
		if inline == nil {
			continue
		}
		for j := range int(le.Uint16(inline[10:])) {
			if e, err := parseElement(inline, j, true); err == nil && j < notInner {
				at.inner = uint16(j)
				s.row(at, e)
			}
		}
	}
}

// inlined is the page of a bucket that is small enough to lie in its element, nil
// where there is none.
func inlined(e element) []byte {
	if e.flags == 1 && len(e.value) > bucketSize+pageHeader && le.Uint64(e.value) == 0 {
		return e.value[bucketSize:]
	}
	return nil
}

func (s *salvaged) row(at savedRow, e element) {
	if bytes.Equal(e.key, metaState) {
		var st journalState
		payload, err := unseal(tagMeta, e.key, e.value)
		if err == nil && len(payload) > 1 && payload[1] == kindJournal && st.decode(payload) == nil {
			s.confirmed, s.last = max(s.confirmed, st.confirmed), max(s.last, st.last)
		}
		return
	}
	if at.seq = goodEvent(e); at.seq == 0 {
		return
	}
	s.last = max(s.last, at.seq)
	if len(s.rows) >= s.most+s.most/4+saveAtOnce {
		s.prune()
	}
	s.rows = append(s.rows, at)
}

// goodEvent is the number of an event that is as it was written, or 0.
func goodEvent(e element) uint64 {
	seq := seqOf(e.key)
	payload, err := unseal(tagEvent, e.key, e.value)
	if seq == 0 || err != nil {
		return 0
	}
	if _, err := decodeEvent(seq, payload); err != nil {
		return 0
	}
	return seq
}

// prune puts the rows in order, one of each event, and drops the oldest beyond
// most.
func (s *salvaged) prune() {
	slices.SortFunc(s.rows, func(a, b savedRow) int { return cmp.Compare(a.seq, b.seq) })
	s.rows = slices.CompactFunc(s.rows, func(a, b savedRow) bool { return a.seq == b.seq })
	if over := len(s.rows) - s.most; over > 0 {
		s.rows = slices.Delete(s.rows, 0, over)
	}
}

// copyTo puts the events of f into a journal without any, some at a time, and
// gives how many of them are confirmed and how many wait. One that can't be read
// again is left out.
func (s *salvaged) copyTo(db *bbolt.DB, f *os.File, confirmed uint64) (kept, waiting uint64, err error) {
	page, have := make([]byte, pageSize), uint32(0)
	for rows := range slices.Chunk(s.rows, saveAtOnce) {
		err := db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketEvents)
			b.FillPercent = 1
			for _, r := range rows {
				if r.page != have {
					if _, err := f.ReadAt(page, int64(r.page)*pageSize); err != nil {
						have = 0
						continue
					}
					have = r.page
				}
				e, ok := r.element(page)
				if !ok || goodEvent(e) != r.seq {
					continue
				}
				if err := b.Put(seqKey(r.seq), bytes.Clone(e.value)); err != nil {
					return err
				}
				if r.seq > confirmed {
					waiting++
				} else {
					kept++
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return kept, waiting, nil
}

// element finds a row on its page again.
func (r savedRow) element(page []byte) (e element, ok bool) {
	e, err := parseElement(page, int(r.i), true)
	if err != nil || r.inner == notInner {
		return e, err == nil
	}
	inline := inlined(e)
	if inline == nil {
		return e, false
	}
	e, err = parseElement(inline, int(r.inner), true)
	return e, err == nil
}
