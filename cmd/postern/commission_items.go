package main

import (
	"fmt"
	"slices"
	"time"

	"postern/access"
	"postern/api"
	"postern/config"
)

// proof is one thing that has to be seen before an installer leaves.
type proof struct {
	Item   string    `json:"item"`
	What   string    `json:"what"`
	ByHand bool      `json:"by_hand,omitempty"` // only people can see it
	Proved time.Time `json:"proved,omitzero"`   // by the panel's clock
	How    string    `json:"how,omitempty"`     // no card's number and no code in it
}

// Items that belong to no door, reader or input.
const (
	itemCentral = "central"
	itemOffline = "offline"
	itemClock   = "clock"
	itemDoctor  = "doctor"
)

// proofs lists what there is to prove on a panel. The configuration says what the
// status does not; without it fewer things are asked for.
func proofs(st api.Status, cfg *config.Config) []proof {
	out := []proof{
		{Item: itemCentral, What: "The panel is connected to central"},
		{Item: itemClock, What: "The clock can be trusted"},
	}
	for _, r := range st.Readers {
		out = append(out, proof{Item: "reader." + r.ID + ".card", What: "Reader " + r.ID + " reads a card"})
		if r.Keypad != "" {
			out = append(out, proof{Item: "reader." + r.ID + ".keypad", What: "The keypad of reader " + r.ID + " sends keys"})
		}
	}
	for _, d := range st.Doors {
		out = append(out, doorProofs(d, cfg)...)
	}
	for _, in := range st.Inputs {
		out = append(out, proof{Item: "input." + in.ID, What: fmt.Sprintf("Input %s (%s) becomes active, and goes back to rest", in.ID, in.Kind)})
	}
	return append(out,
		proof{Item: itemOffline, What: "A key opens a door while the network cable is out"},
		proof{Item: itemDoctor, What: "postern doctor finds nothing wrong"})
}

func doorProofs(d api.Door, cfg *config.Config) []proof {
	name := d.ID
	if d.Name != "" {
		name = d.Name
	}
	item := func(what string) string { return "door." + d.ID + "." + what }
	out := []proof{
		{Item: item("key"), What: name + ": a key opens it"},
		{Item: item("refused"), What: name + ": an unknown card does not"},
	}
	if d.HasContact {
		out = append(out,
			proof{Item: item("contact"), What: name + ": the contact sees it open and close"},
			proof{Item: item("forced"), What: name + ": opened without a reason, it is forced"},
			proof{Item: item("held"), What: name + ": held open, it says so, and stops when it is closed"})
	}
	way, dead := "without the panel", "as the fire plan asks"
	if cfg != nil {
		if c := cfg.Door(d.ID); c != nil {
			if c.REX != "" {
				out = append(out, proof{Item: item("exit"), What: name + ": the exit button opens it"})
			}
			switch c.Egress {
			case config.EgressHardwired:
				way = "by break-glass box and fire relay, each"
			case config.EgressMechanical:
				way = "by the handle"
			}
			dead = string(c.OnPanelDead)
		}
	}
	return append(out,
		proof{Item: item("egress"), What: name + ": with the panel off, people get out " + way, ByHand: true},
		proof{Item: item("dead"), What: name + ": with the panel off, and while it starts, it is " + dead, ByHand: true})
}

// evidence turns what happens into proofs.
type evidence struct {
	opened  map[string]bool // doors whose contact was seen open
	held    map[string]bool
	active  map[string]bool // inputs that were
	offline bool            // there was no link when it was last looked
}

func newEvidence() *evidence {
	return &evidence{opened: map[string]bool{}, held: map[string]bool{}, active: map[string]bool{}}
}

// sign is that an item is proved, and how.
type sign struct{ item, how string }

// status takes the panel as it is.
func (e *evidence) status(st api.Status) (out []sign) {
	e.offline = !st.Link.Connected
	if st.Link.Connected {
		out = append(out, sign{itemCentral, "connected to " + st.Link.Broker})
	}
	if st.Clock == access.ClockTrusted.String() {
		out = append(out, sign{itemClock, st.Clock})
	}
	for _, d := range st.Doors {
		e.opened[d.ID] = e.opened[d.ID] || d.Open // it may stand open at the start
	}
	for _, in := range st.Inputs {
		if !in.Active && e.active[in.ID] {
			out = append(out, sign{"input." + in.ID, "active, then at rest"})
		}
		e.active[in.ID] = in.Active
	}
	return out
}

// message takes what happened.
func (e *evidence) message(m api.Message) []sign {
	switch {
	case m.Read != nil:
		return readSigns(*m.Read)
	case m.Door != nil:
		return e.door(*m.Door)
	case m.Event != nil:
		return e.event(*m.Event)
	}
	return nil
}

func readSigns(r api.Read) []sign {
	switch {
	case r.Kind == api.ReadCard && r.Error == "" && len(r.Candidates) > 0:
		return []sign{{"reader." + r.Reader + ".card", fmt.Sprintf("%s, %s", r.Candidates[0].Format, count(r.Pulses, "bit"))}}
	case r.Kind == api.ReadKey && r.Error == "":
		return []sign{{"reader." + r.Reader + ".keypad", "a key was pressed"}}
	}
	return nil
}

func (e *evidence) door(d api.Door) []sign {
	was := e.opened[d.ID]
	e.opened[d.ID] = d.Open
	if was && !d.Open {
		return []sign{{"door." + d.ID + ".contact", "open, then closed"}}
	}
	return nil
}

func (e *evidence) event(ev api.Event) []sign {
	item := func(what string) string { return "door." + ev.Door + "." + what }
	switch ev.Type {
	case access.GrantedCard, access.GrantedCardPIN, access.GrantedCode, access.GrantedCommonCode:
		out := []sign{{item("key"), ev.Text}}
		if e.offline {
			out = append(out, sign{itemOffline, ev.Text + " at " + ev.Door + " without a link to central"})
		}
		return out
	case access.DeniedUnknown:
		return []sign{{item("refused"), ev.Text}}
	case access.GrantedREX:
		return []sign{{item("exit"), ev.Text}}
	case access.DoorForced:
		return []sign{{item("forced"), ev.Text}}
	case access.DoorHeldOpen:
		e.held[ev.Door] = true
	case access.DoorAlarmEnded:
		if e.held[ev.Door] {
			delete(e.held, ev.Door)
			return []sign{{item("held"), "held open, then closed"}}
		}
	}
	return nil
}

// merge takes proofs over from before, of items that there still are.
func merge(now, before []proof) []proof {
	out := slices.Clone(now)
	for i := range out {
		if j := slices.IndexFunc(before, func(p proof) bool { return p.Item == out[i].Item && p.What == out[i].What }); j >= 0 {
			out[i].Proved, out[i].How = before[j].Proved, before[j].How
		}
	}
	return out
}
