package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/access"
)

// How much of each the page shows.
const (
	pageEvents = 30
	pageKeys   = 50 // that are looked through for cards to present
	pageCards  = 10
)

// view is what the page shows, at one moment.
type view struct {
	Status
	Sim     bool
	Notice  string // what went wrong with a form
	Reads   []Read
	Entries []entry
	Cards   []card
	NoDoor  []Reader // readers that belong to none
}

// entry is a journal entry with how it came about.
type entry struct {
	Event
	Trace Trace
}

// card is a card to present.
type card struct {
	Identification string
	Bits           string // instead, for one that no format fits
	Known          bool
}

func (s *Server) view(r *http.Request) (*view, error) {
	st, err := s.status(r)
	if err != nil {
		return nil, err
	}
	v := &view{Status: st, Sim: s.sim != nil, Reads: s.recent.last()}
	if v.Entries, err = s.entries(r); err != nil {
		return nil, err
	}
	if len(v.Reads) == 0 {
		v.Reads = lastReads(st.Readers)
	}
	for _, rd := range st.Readers {
		if !slices.ContainsFunc(st.Doors, func(d Door) bool { return d.ID == rd.Door }) {
			v.NoDoor = append(v.NoDoor, rd)
		}
	}
	if v.Sim {
		keys, err := s.backend.Keys(r.Context(), access.ID{}, pageKeys)
		if err != nil {
			return nil, err
		}
		v.Cards = cards(keys, v.Reads)
	}
	return v, nil
}

func (s *Server) entries(r *http.Request) ([]entry, error) {
	events, err := s.backend.Events(r.Context(), 0, pageEvents)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(events))
	for _, e := range events {
		if e.Category == access.PanelStarted.Category() || e.Type == access.GrantedREX || e.Reason == string(access.ReasonOperator) {
			out = append(out, entry{Event: e})
			continue
		}
		// One that is trimmed meanwhile has no trace, and will not be there next time.
		t, err := s.backend.Trace(r.Context(), e.Seq)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		out = append(out, entry{e, t})
	}
	return out, nil
}

func lastReads(readers []Reader) []Read {
	var out []Read
	for _, rd := range readers {
		if rd.LastRead != nil {
			out = append(out, *rd.LastRead)
		}
	}
	slices.SortFunc(out, func(a, b Read) int { return b.At.Compare(a.At) })
	return out
}

// cards are those worth presenting again: what was read and isn't a key, then
// the first keys.
func cards(keys []Key, reads []Read) []card {
	var known, unknown []card
	for _, k := range keys {
		if k.Type == string(access.Proximity) && k.Identification != "" {
			known = append(known, card{Identification: k.Identification, Known: true})
		}
	}
	for _, r := range reads {
		if r.Kind != ReadCard {
			continue
		}
		c := card{Bits: r.Bits}
		for _, cand := range r.Candidates {
			if cand.Identification != "" {
				c = card{Identification: cand.Identification}
				break
			}
		}
		is := func(k card) bool { return k.Identification == c.Identification && k.Bits == c.Bits }
		if c != (card{}) && !slices.ContainsFunc(known, is) && !slices.ContainsFunc(unknown, is) {
			unknown = append(unknown, c)
		}
	}
	unknown = unknown[:min(len(unknown), pageCards/2)]
	known = known[:min(len(known), pageCards-len(unknown))]
	return append(unknown, known...)
}

// Local is a time of day on the panel, with the date unless it is today's.
func (v *view) Local(t time.Time) string {
	t = t.In(v.Now.Location())
	if t.Format(time.DateOnly) == v.Now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// At is a time for a machine.
func (v *view) At(t time.Time) string { return t.Format(time.RFC3339) }

// DoorName is a door's name for people.
func (v *view) DoorName(id string) string {
	for _, d := range v.Doors {
		if d.ID == id && d.Name != "" {
			return d.Name
		}
	}
	return id
}

// ReadersOf are the readers at a door.
func (v *view) ReadersOf(door string) []Reader {
	var out []Reader
	for _, rd := range v.Readers {
		if rd.Door == door {
			out = append(out, rd)
		}
	}
	return out
}

// readerView is a reader with the page that it is on, as a template takes one
// argument.
type readerView struct {
	*view
	Reader
}

// With joins the page and one of its readers.
func (v *view) With(r Reader) readerView { return readerView{v, r} }

// doorView is a door with the page that it is on.
type doorView struct {
	*view
	Door Door
}

// WithDoor joins the page and one of its doors.
func (v *view) WithDoor(d Door) doorView { return doorView{v, d} }

// Ordered reports whether a door's mode is worth telling: it is ordered, or not
// the usual one.
func (d Door) Ordered() bool {
	return d.ModeBy != "" || d.Mode != access.Locked.String() && d.Mode != access.Accessed.String()
}

// Example is a card of the reader's technology to begin with.
func (r readerView) Example() string {
	switch r.Technology {
	case access.EM.String():
		return "0001234567890"
	case access.MC.String():
		return "0123456789"
	case access.MD.String():
		return "00012345678901234"
	}
	return "H10301:14-40091"
}

// State is a door's state in a word: forced, held open, open, unlocked or
// secured.
func (d Door) State() string {
	switch {
	case d.Alarm == access.ForcedOpen.String():
		return "forced"
	case d.Alarm == access.OpenTooLong.String():
		return "held open"
	case d.Open:
		return "open"
	case d.Released:
		return "unlocked"
	}
	return "secured"
}

// ByWhom are the words for who wants a door in its mode, "" where nobody does.
func (d Door) ByWhom() string {
	switch d.ModeBy {
	case "panel":
		return "at the panel"
	case "central":
		return "by central"
	case "input":
		return "by a lockdown input"
	case "schedule":
		return "by schedule"
	}
	return ""
}

// FirstCardText are the words for a first card, "" where none is waited for.
func (d Door) FirstCardText() string {
	switch d.FirstCard {
	case "awaited":
		return "the first card is awaited"
	case "came":
		return "the first card came"
	}
	return ""
}

// Contact is what a door's contact says, in a word: none without one, fault,
// unknown before it has spoken, open or closed.
func (d Door) Contact() string {
	switch {
	case !d.HasContact:
		return "none"
	case d.Physical == access.PhysicalFault.String(), d.Physical == access.PhysicalUnknown.String():
		return strings.ToLower(d.Physical)
	case d.Open:
		return "open"
	}
	return "closed"
}

// Troubles are what stands at a door beside its alarm, in words: a fire alarm,
// an exit button that is stuck.
func (d Door) Troubles() []string {
	var out []string
	if d.Fire {
		out = append(out, access.FireAlarm.Text())
	}
	if d.REXStuck {
		out = append(out, access.REXStuck.Text())
	}
	return out
}
