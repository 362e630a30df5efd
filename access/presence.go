package access

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// MaxPresence bounds the people that a Presence keeps.
const MaxPresence = 100_000

// Presence is who is where, by person, or by key for a key that names nobody.
// It is plain data, to be kept over restarts as it is; the zero value knows
// nobody. It is not safe for concurrent use.
type Presence struct {
	People map[ID]Place `json:"people"`
}

// Of gives where somebody is, the zero Place when it is not known.
func (p *Presence) Of(who ID) Place { return p.People[who] }

// Move puts somebody into an area, Outside too. Nobody (the zero ID) is not
// kept. When there are too many, those gone longest make place: from outside
// first.
func (p *Presence) Move(who ID, area string, at time.Time) {
	if who.IsZero() {
		return
	}
	if p.People == nil {
		p.People = map[ID]Place{}
	}
	if _, known := p.People[who]; !known && len(p.People) >= MaxPresence {
		delete(p.People, p.longest())
	}
	p.People[who] = Place{Area: area, At: at}
}

func (p *Presence) longest() (who ID) {
	var least Place
	for id, v := range p.People {
		out, leastOut := v.Area == Outside, least.Area == Outside
		if who.IsZero() || out && !leastOut || out == leastOut && v.At.Before(least.At) {
			who, least = id, v
		}
	}
	return who
}

// Forgive forgets where somebody is, or everybody for the zero ID; it reports
// how many that were known.
func (p *Presence) Forgive(who ID) int {
	if who.IsZero() {
		n := len(p.People)
		p.People = nil
		return n
	}
	n := len(p.People)
	delete(p.People, who)
	return n - len(p.People)
}

// Inside lists who is in an area, by id.
func (p *Presence) Inside(area string) []ID {
	var out []ID
	for _, id := range slices.SortedFunc(maps.Keys(p.People), func(a, b ID) int { return bytes.Compare(a[:], b[:]) }) {
		if p.People[id].Area == area {
			out = append(out, id)
		}
	}
	return out
}

// Keep forgets those in areas that a new policy does not have.
func (p *Presence) Keep(policy *Policy) {
	maps.DeleteFunc(p.People, func(_ ID, v Place) bool { return v.Area != Outside && policy.Area(v.Area) == nil })
}
