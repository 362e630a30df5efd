package store

import (
	"bytes"
	"os"
)

// salvaged is what could be read from a damaged journal.
type salvaged struct {
	events    map[uint64][]byte // seq to value, checksum verified
	last      uint64
	confirmed uint64
}

// salvage reads every leaf page of a damaged journal, reachable or not: events
// are never changed, so a copy on a page that is out of use is as good.
func salvage(path string) (salvaged, error) {
	out := salvaged{events: map[uint64][]byte{}}
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
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
			out.leaf(page)
		}
	}
	for seq := range out.events {
		out.last = max(out.last, seq)
	}
	return out, nil
}

// leaf takes what is good from a page. An event is smaller than a page, so
// overflow pages need no thought.
func (s *salvaged) leaf(page []byte) {
	for i := range int(le.Uint16(page[10:])) {
		e, err := parseElement(page, i, true)
		if err != nil {
			continue
		}
		switch {
		case e.flags == 1 && len(e.value) > bucketSize+pageHeader && le.Uint64(e.value) == 0:
			s.leafRows(e.value[bucketSize:])
		case e.flags == 0:
			s.row(e)
		}
	}
}

func (s *salvaged) leafRows(inline []byte) {
	for i := range int(le.Uint16(inline[10:])) {
		if e, err := parseElement(inline, i, true); err == nil {
			s.row(e)
		}
	}
}

func (s *salvaged) row(e element) {
	if bytes.Equal(e.key, metaState) {
		var st journalState
		payload, err := unseal(tagMeta, e.key, e.value)
		if err == nil && len(payload) > 1 && payload[1] == kindJournal && st.decode(payload) == nil {
			s.confirmed, s.last = max(s.confirmed, st.confirmed), max(s.last, st.last)
		}
		return
	}
	seq := seqOf(e.key)
	payload, err := unseal(tagEvent, e.key, e.value)
	if seq == 0 || err != nil {
		return
	}
	if _, err := decodeEvent(seq, payload); err == nil {
		s.events[seq] = bytes.Clone(e.value)
	}
}
