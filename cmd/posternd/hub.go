package main

import (
	"context"
	"sync"
	"time"

	"postern/access"
	"postern/api"
	"postern/controller"
)

// watchQueue is how many messages wait for one who watches.
const watchQueue = 256

// hub hands what happens to everybody who watches, and never waits for them.
type hub struct {
	names   func(door string) string
	wish    func(door string) controller.Wish
	journal *localJournal

	mu       sync.Mutex     // guards the rest
	early    []access.Event // committed before the journal's numbers were known
	watchers map[*watcher]struct{}
	reads    map[string]api.Read // the last of each reader
}

type watcher struct {
	ch   chan api.Message
	lost int
}

func newHub(names func(door string) string, wish func(door string) controller.Wish) *hub {
	return &hub{names: names, wish: wish, journal: newLocalJournal(), watchers: map[*watcher]struct{}{}, reads: map[string]api.Read{}}
}

// watch gives what happens from now on, until ctx ends.
func (h *hub) watch(ctx context.Context) <-chan api.Message {
	w := &watcher{ch: make(chan api.Message, watchQueue)}
	h.mu.Lock()
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
		close(w.ch)
	})
	return w.ch
}

func (h *hub) publish(m api.Message) {
	m.At = time.Now().UTC()
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		m.Lost = w.lost
		select {
		case w.ch <- m:
			w.lost = 0
		default:
			w.lost++
		}
	}
}

// lastRead gives what a reader saw last.
func (h *hub) lastRead(reader string) *api.Read {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.reads[reader]; ok {
		return &r
	}
	return nil
}

// Saw tells what a reader saw.
func (h *hub) Saw(s controller.Sighting) {
	r := api.Read{At: s.At.UTC(), Reader: s.Reader, Kind: s.Kind, Bits: s.Bits, Pulses: s.Pulses, Error: s.Problem}
	for _, c := range s.Candidates {
		r.Candidates = append(r.Candidates, api.Candidate{
			Format: c.Format, Facility: c.Facility, Number: c.Number, HasFacility: c.HasFacility,
			Identification: c.Credential.String(),
		})
	}
	h.mu.Lock()
	h.reads[s.Reader] = r
	h.mu.Unlock()
	h.publish(api.Message{Kind: api.MessageRead, Read: &r})
}

// Recorded tells of a committed event, unless that is for central alone.
func (h *hub) Recorded(e access.Event) {
	h.journal.saw(e)
	if centralOnly(e.Type) {
		return
	}
	h.mu.Lock()
	if !h.journal.isReady() {
		if len(h.early) < watchQueue {
			h.early = append(h.early, e)
		}
		h.mu.Unlock()
		return
	}
	early := h.early
	h.early = nil
	h.mu.Unlock()
	for _, e := range append(early, e) {
		h.tell(e)
	}
}

// numbered tells of what was committed before the journal's numbers were known.
func (h *hub) numbered() {
	h.mu.Lock()
	early := h.early
	h.early = nil
	h.mu.Unlock()
	for _, e := range early {
		h.tell(e)
	}
}

func (h *hub) tell(e access.Event) {
	e.Seq = h.journal.shown(e.Seq)
	v := eventOf(e)
	h.publish(api.Message{Kind: api.MessageEvent, Event: &v})
}

// DoorChanged tells of a door.
func (h *hub) DoorChanged(s controller.DoorState) {
	d := doorOf(s, h.names(s.ID), h.wish(s.ID))
	h.publish(api.Message{Kind: api.MessageDoor, Door: &d})
}

func doorOf(s controller.DoorState, name string, w controller.Wish) api.Door {
	return api.Door{
		ModeBy: string(w.By), ModeUntil: w.Until, FirstCard: string(w.FirstCard),
		ID: s.ID, Name: name, Mode: s.Mode.String(), Alarm: s.Alarm.String(),
		HasContact: s.HasContact, Open: s.Open, Released: s.Released,
		Physical: s.Physical.String(), Fire: s.Fire, REXStuck: s.REXStuck,
	}
}

func eventOf(e access.Event) api.Event {
	return api.Event{
		Seq: e.Seq, BootID: e.BootID, At: e.At.UTC(), Clock: e.Clock.String(), Type: e.Type,
		Text: e.Type.Text(), Category: e.Type.Category(), Reason: string(e.Reason), Door: e.Door,
		AccessPoint: e.Point, KeyID: e.Key, KeyType: string(e.KeyType), Credential: e.Credential, Detail: e.Detail,
	}
}
