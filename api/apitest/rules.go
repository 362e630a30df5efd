package apitest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"postern/access"
	"postern/api"
)

// Person is who is in the panel's area, hall.
var Person = access.MustParseID("77777777-7777-4777-8777-777777777777")

// Steps are how the entry 2 of the panel's journal came about.
var Steps = []api.Step{
	{Number: 1, Rule: "door", Outcome: "passed", Text: "the door is Locked"},
	{Number: 11, Rule: "grant", Outcome: "answer", Text: "access granted by card"},
}

// SetMode is part of api.Backend. The panel is the only one that orders modes.
func (p *Panel) SetMode(_ context.Context, door string, o api.ModeOrder) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	if !o.Until.IsZero() && !o.Until.After(p.status.Now) {
		return fmt.Errorf("%w: until is over", api.ErrInvalid)
	}
	found := false
	for i := range p.status.Doors {
		d := &p.status.Doors[i]
		if door != api.AllDoors && d.ID != door {
			continue
		}
		found = true
		d.Mode, d.ModeBy, d.ModeUntil = o.Mode, "panel", o.Until
		if o.Mode == api.ClearMode {
			d.Mode, d.ModeBy = "Locked", ""
		}
	}
	if !found {
		return fmt.Errorf("door %q: %w on this panel", door, api.ErrNotFound)
	}
	p.done = append(p.done, fmt.Sprintf("mode %s %s", door, o.Mode))
	if !o.Until.IsZero() {
		p.done[len(p.done)-1] += " until " + o.Until.UTC().Format("2006-01-02T15:04:05Z")
	}
	p.tell(api.Message{Kind: api.MessageStatus})
	return nil
}

// Explain is part of api.Backend: cards that are keys are granted, a PIN that is
// given is wrong, and so is every code.
func (p *Panel) Explain(_ context.Context, q api.Question) (api.Explanation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reader(q.Reader); err != nil {
		return api.Explanation{}, err
	}
	e := api.Explanation{Type: access.DeniedUnknown, At: q.At}
	if q.At.IsZero() {
		e.At = p.status.Now
	}
	for _, k := range p.keys {
		if q.Identification != "" && k.Identification == q.Identification {
			e.KeyID, e.Type, e.Granted = k.ID, access.GrantedCard, true
		}
	}
	if q.PIN != "" {
		e.Type, e.Reason, e.Granted = access.Denied, string(access.ReasonWrongPIN), false
	}
	e.Text = e.Type.Text()
	e.Steps = []api.Step{Steps[0], {Number: 4, Rule: "key", Outcome: "answer", Text: e.Text}}
	// What was asked with is told by its length alone, as a test may print it.
	p.done = append(p.done, fmt.Sprintf("explain %s %s code %d pin %d", q.Reader, cmp.Or(q.Identification, "-"), len(q.Code), len(q.PIN)))
	return e, nil
}

// Trace is part of api.Backend.
func (p *Panel) Trace(_ context.Context, seq uint64) (api.Trace, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch i := slices.IndexFunc(p.events, func(e api.Event) bool { return e.Seq == seq }); {
	case p.fault != nil:
		return api.Trace{}, p.fault
	case i < 0:
		return api.Trace{}, fmt.Errorf("entry %d: %w in the journal", seq, api.ErrNotFound)
	case seq == 2:
		return api.Trace{Seq: seq, Steps: Steps}, nil
	}
	return api.Trace{Seq: seq, Why: "no decision is behind this entry"}, nil
}

// RefusePolicy makes a policy from central one that was not taken.
func (p *Panel) RefusePolicy(r api.PolicyRefused) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy.Refused = &r
}

// Policy is part of api.Backend.
func (p *Panel) Policy(context.Context) (api.Policy, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy, p.fault
}

// PolicyDocument is part of api.Backend.
func (p *Panel) PolicyDocument(context.Context) (json.RawMessage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return json.RawMessage(`{"codes":{"enabled":true,"size":6},"access_levels":[]}`), p.fault
}

// Inside is part of api.Backend. The panel has the areas hall and yard.
func (p *Panel) Inside(_ context.Context, area string) ([]api.Area, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Area
	for _, a := range []api.Area{{ID: "hall", Name: "Great hall", Inside: p.inside}, {ID: "yard"}} {
		if area == "" || a.ID == area {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("area %q: %w on this panel", area, api.ErrNotFound)
	}
	return out, p.fault
}

// Forgive is part of api.Backend.
func (p *Panel) Forgive(_ context.Context, person access.ID) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return 0, p.fault
	}
	before := len(p.inside)
	p.inside = slices.DeleteFunc(p.inside, func(id access.ID) bool { return person.IsZero() || id == person })
	p.done = append(p.done, "forgive "+person.String())
	return before - len(p.inside), nil
}

// LocalKeys is part of api.Backend.
func (p *Panel) LocalKeys(context.Context) ([]api.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.local), p.fault
}

// AddLocal is part of api.Backend.
func (p *Panel) AddLocal(_ context.Context, k api.NewKey) (api.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return api.Key{}, p.fault
	}
	for _, other := range slices.Concat(p.keys, p.local) {
		if k.Identification != "" && other.Identification == k.Identification {
			return api.Key{}, fmt.Errorf("%w: another key on this panel has this card", api.ErrRefused)
		}
	}
	out := api.Key{
		ID: access.ID{0x10, 0xca, 15: byte(len(p.local) + 1)}, Type: "proximity", Identification: k.Identification,
		State: "enabled", HasPIN: k.PIN != "", Result: "applied", AccessLevels: []api.Level{},
	}
	if k.Code != "" {
		out.Type = "code"
	}
	if !k.ValidTo.IsZero() {
		out.ValidTo = &k.ValidTo
	}
	for _, l := range k.Levels {
		out.AccessLevels = append(out.AccessLevels, api.Level{ID: l})
	}
	p.local = append(p.local, out)
	return out, nil
}

// RemoveLocal is part of api.Backend.
func (p *Panel) RemoveLocal(_ context.Context, id access.ID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.local)
	p.local = slices.DeleteFunc(p.local, func(k api.Key) bool { return k.ID == id })
	if p.fault == nil && len(p.local) == before {
		return fmt.Errorf("local key %s: %w on this panel", id, api.ErrNotFound)
	}
	return p.fault
}
