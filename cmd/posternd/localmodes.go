package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"postern/access"
	"postern/api"
	"postern/wire"
)

// SetMode orders a mode at a door, or at all, as an operator at the panel.
func (b *backend) SetMode(_ context.Context, door string, o api.ModeOrder) error {
	p := b.p
	if door != api.AllDoors && p.config().Door(door) == nil {
		return fmt.Errorf("%w: this panel has no door %q (it has %s)", api.ErrNotFound, door, p.doorList())
	}
	var mode *access.DoorMode
	if o.Mode != api.ClearMode {
		m, err := access.ParseDoorMode(o.Mode)
		if err != nil {
			return fmt.Errorf("%w: %w", api.ErrInvalid, err)
		}
		mode = &m
		if err := p.checkUntil(m, o.Until); err != nil {
			return err
		}
	}
	if err := p.wants.setMode(door, mode, o.Until); err != nil {
		p.log.Error("door mode not kept", "error", err)
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return nil
}

// checkUntil says why an order can't hold until a time.
func (p *panel) checkUntil(m access.DoorMode, until time.Time) error {
	clock := p.clock.now()
	switch {
	case until.IsZero():
		return nil
	case clock.State == access.ClockUntrusted && (m == access.Unlocked || m == access.LockedOpen):
		return fmt.Errorf("%w: the clock can't be trusted, so that a door can't be opened until a time; leave the time out", api.ErrRefused)
	case clock.State != access.ClockUntrusted && !until.After(clock.Now):
		return fmt.Errorf("%w: until is over: it is %s here", api.ErrInvalid, clock.Now.In(p.config().Location()).Format(time.RFC3339))
	}
	return nil
}

// Policy says which policy is in force.
func (b *backend) Policy(context.Context) (api.Policy, error) {
	s := b.p.wants
	s.mu.Lock()
	defer s.mu.Unlock()
	out := api.Policy{Source: api.PolicyOfPanel}
	if s.doc != nil {
		out = api.Policy{Source: api.PolicyOfCentral, Epoch: s.doc.Epoch, Revision: s.doc.Revision}
	}
	if s.told && !s.status.Applied {
		out.Refused = &api.PolicyRefused{Epoch: s.status.Epoch, Revision: s.status.Revision, Faults: []api.PolicyFault{}}
		for _, f := range s.status.Faults {
			out.Refused.Faults = append(out.Refused.Faults, api.PolicyFault{Path: f.Path, Message: f.Message})
		}
	}
	return out, nil
}

// PolicyDocument is the policy in force, as central sends one.
func (b *backend) PolicyDocument(context.Context) (json.RawMessage, error) {
	version, _ := b.p.wants.Versions()
	return wire.Encode(wire.PolicyOf(b.p.policy(), version)), nil
}

// Inside gives who is in an area, or in each.
func (b *backend) Inside(_ context.Context, area string) ([]api.Area, error) {
	policy := b.p.policy()
	if area != "" && policy.Area(area) == nil {
		list := names(policy.Areas, func(a access.Area) string { return a.ID })
		if list == "" {
			list = "none"
		}
		return nil, fmt.Errorf("%w: the policy has no area %q (it has %s)", api.ErrNotFound, area, list)
	}
	out := []api.Area{}
	for _, a := range policy.Areas {
		if area != "" && a.ID != area {
			continue
		}
		in, err := b.p.ctl.Inside(a.ID)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrRefused, err)
		}
		out = append(out, api.Area{ID: a.ID, Name: a.Name, Inside: in})
	}
	return out, nil
}

// Forgive has anti-passback forget where somebody is.
func (b *backend) Forgive(ctx context.Context, person access.ID) (int, error) {
	if _, err := b.store(); err != nil {
		return 0, err
	}
	return b.p.ctl.Forgive(ctx, person)
}
