package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"postern/access"
	"postern/api"
	"postern/config"
	"postern/store"
	psync "postern/sync"
	"postern/wire"
)

var _ psync.Site = (*desired)(nil)

// The documents that outlive a start, apart from the databases.
const (
	documentPolicy = "policy"
	documentModes  = "modes"
)

// desired is what central and operators want of the panel besides keys: the policy
// that takes the place of the first one in panel.toml, and the doors' modes.
type desired struct {
	p   *panel
	dir string
	log *slog.Logger

	turn sync.Mutex // held over a change of policy, so that they come one by one
	keep sync.Mutex // held while the modes are written

	mu     sync.Mutex // guards the rest; never held over the card, a lockdown waits for no policy
	doc    *wire.Policy
	status wire.PolicyStatus
	told   bool // there is a status
	modes  modesDocument

	changes, written uint64 // of the modes, and as far as they are on the card
}

// modesDocument is the doors' modes as they are kept. Local orders stand until
// central sends a higher version.
type modesDocument struct {
	wire.DoorModes
	Local []wire.DoorOrder `json:"local,omitempty"`
}

// loadDesired reads what was in force when the panel stopped. What can't be read or
// no longer fits the wiring is told and left out: the panel then goes by its own
// first policy, and central's comes again.
func loadDesired(p *panel) (*desired, *access.Policy) {
	s := &desired{p: p, dir: p.cfg.Panel.DataDir, log: p.log}
	policy := p.cfg.Policy()
	refused := func(what string, err error) {
		s.log.Error("not in force again after the start", "document", what, "error", err)
		p.first = append(p.first, access.Event{Type: access.PolicyRefused, Detail: access.Clip(what + " from before the start: " + err.Error())})
	}
	if doc, pol, err := s.keptPolicy(policy); err != nil {
		refused("policy", err)
	} else if doc != nil {
		s.doc, policy = doc, pol
		s.status, s.told = wire.PolicyStatus{Version: doc.Version, Applied: true}, true
	}
	if err := s.keptModes(); err != nil {
		refused("door modes", err)
	}
	return s, policy
}

func (s *desired) keptPolicy(base *access.Policy) (*wire.Policy, *access.Policy, error) {
	data, err := store.ReadDocument(s.dir, documentPolicy)
	if err != nil || data == nil {
		return nil, nil, err
	}
	doc, err := wire.DecodePolicy(data)
	if err != nil {
		return nil, nil, err
	}
	pol, faults := doc.Access(base)
	if len(faults) > 0 {
		s.status, s.told = refusal(doc.Version, faults), true
		return nil, nil, errors.New(faultText(faults))
	}
	return &doc, pol, nil
}

func (s *desired) keptModes() error {
	data, err := store.ReadDocument(s.dir, documentModes)
	if err != nil || data == nil {
		return err
	}
	var m modesDocument
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	s.modes = m
	return nil
}

func faultText(faults []access.Fault) string {
	return fmt.Sprintf("%s; the first: %s", count(len(faults), "fault"), faults[0])
}

func refusal(v wire.Version, faults []access.Fault) wire.PolicyStatus {
	st := wire.PolicyStatus{Version: v}
	for _, f := range faults[:min(len(faults), wire.MaxFaults)] {
		st.Faults = append(st.Faults, wire.PolicyFault{Path: access.Clip(f.Path), Message: access.Clip(f.Message)})
	}
	return st
}

// Policy puts a policy from central in force, or says what is wrong with it.
func (s *desired) Policy(ctx context.Context, data []byte) wire.PolicyStatus {
	s.turn.Lock()
	defer s.turn.Unlock()
	doc, err := wire.DecodePolicy(data)
	if err != nil {
		return s.refuse(wire.Version{}, []access.Fault{{Path: "policy", Message: err.Error()}})
	}
	s.mu.Lock()
	have, status := s.doc, s.status
	s.mu.Unlock()
	if have != nil && !doc.Above(have.Version) {
		return status
	}
	pol, faults := doc.Access(s.p.config().Policy())
	if len(faults) > 0 {
		return s.refuse(doc.Version, faults)
	}
	if err := s.enforce(ctx, doc, data, pol); err != nil {
		s.log.Error("policy not put in force", "error", err)
		return s.refuse(doc.Version, []access.Fault{{Path: "panel", Message: err.Error()}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc = &doc
	s.status, s.told = wire.PolicyStatus{Version: doc.Version, Applied: true}, true
	return s.status
}

// enforce judges the keys by a policy, keeps it, and tells the doors. When it
// can't be kept, the one before stays.
func (s *desired) enforce(ctx context.Context, doc wire.Policy, data []byte, pol *access.Policy) error {
	keys := s.p.late.get()
	if keys == nil {
		return errOpening
	}
	matchers, before := s.p.config().Matchers(), s.p.policy()
	changed, err := keys.SetPolicy(ctx, pol, matchers)
	if err != nil {
		return fmt.Errorf("judge keys: %w", err)
	}
	if err := store.WriteDocument(s.dir, documentPolicy, data); err != nil {
		_, undo := keys.SetPolicy(context.WithoutCancel(ctx), before, matchers)
		return errors.Join(err, undo)
	}
	s.p.inForce(pol)
	s.log.Info("policy from central in force", "epoch", doc.Epoch, "revision", doc.Revision, "keys_judged_differently", changed)
	s.p.ctl.Note(access.Event{
		Type: access.PolicyApplied, Detail: fmt.Sprintf("revision %d; %s judged differently", doc.Revision, count(changed, "key")),
	})
	return nil
}

// refuse tells why a policy was not taken; once for each.
func (s *desired) refuse(v wire.Version, faults []access.Fault) wire.PolicyStatus {
	st := refusal(v, faults)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told || s.status.Version != v || s.status.Applied || len(s.status.Faults) == 0 || s.status.Faults[0] != st.Faults[0] {
		s.p.ctl.Note(access.Event{Type: access.PolicyRefused, Detail: access.Clip("from central: " + faultText(faults))})
	}
	s.status, s.told = st, true
	return st
}

// over gives the policy in force for another configuration: central's, where
// there is one.
func (s *desired) over(cfg *config.Config) (*access.Policy, error) {
	s.mu.Lock()
	doc := s.doc
	s.mu.Unlock()
	if doc == nil {
		return cfg.Policy(), nil
	}
	pol, faults := doc.Access(cfg.Policy())
	if len(faults) > 0 {
		return nil, fmt.Errorf("the policy from central does not fit it: %s", faultText(faults))
	}
	return pol, nil
}

// PolicyStatus is what became of the newest policy from central.
func (s *desired) PolicyStatus() (wire.PolicyStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.told
}

// Versions are those of central's policy and modes in force.
func (s *desired) Versions() (policy, modes wire.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doc != nil {
		policy = s.doc.Version
	}
	return policy, s.modes.Version
}

// Modes puts door modes from central in force. They end local ones.
func (s *desired) Modes(_ context.Context, m wire.DoorModes) error {
	s.mu.Lock()
	newer := m.Above(s.modes.Version)
	if newer {
		s.setModes(modesDocument{DoorModes: m})
	}
	s.mu.Unlock()
	if !newer {
		return nil
	}
	return s.keepModes()
}

// setMode sets one door, or all for wire.AllDoors, as an operator at the panel; a
// nil mode takes earlier local orders back.
func (s *desired) setMode(door string, mode *access.DoorMode, until time.Time) error {
	s.setLocal(door, mode, until)
	return s.keepModes()
}

func (s *desired) setLocal(door string, mode *access.DoorMode, until time.Time) {
	doors := s.p.config().Doors
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.modes
	next.Local = slices.Clone(next.Local)
	for _, d := range doors {
		if door != wire.AllDoors && door != d.ID {
			continue
		}
		next.Local = slices.DeleteFunc(next.Local, func(o wire.DoorOrder) bool { return o.Door == d.ID })
		if mode != nil {
			next.Local = append(next.Local, wire.DoorOrder{Door: d.ID, Mode: mode.String(), Until: until})
		}
	}
	s.setModes(next)
}

// setModes has modes in force at once: a lockdown waits for no card. s.mu is held.
func (s *desired) setModes(m modesDocument) {
	s.modes = m
	s.changes++
	s.p.ctl.SetOrders(ordersOf(m.Doors, s.log), ordersOf(m.Local, s.log)...)
	s.p.hub.publish(api.Message{Kind: api.MessageStatus})
}

// keepModes writes the newest modes; an error is that they would not outlive a
// restart yet.
func (s *desired) keepModes() error {
	s.keep.Lock()
	defer s.keep.Unlock()
	s.mu.Lock()
	m, changes := s.modes, s.changes
	s.mu.Unlock()
	if err := store.WriteDocument(s.dir, documentModes, wire.Encode(m)); err != nil {
		return fmt.Errorf("in force, but lost at a restart; it is tried again: %w", err)
	}
	s.mu.Lock()
	s.written = max(s.written, changes)
	s.mu.Unlock()
	return nil
}

// run writes again what could not be kept.
func (s *desired) run(ctx context.Context) error {
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		owed := s.changes != s.written
		s.mu.Unlock()
		if !owed {
			continue
		}
		if err := s.keepModes(); err != nil {
			s.log.Error("door modes not kept", "error", err)
		}
	}
}

// ordersOf are orders as the doors take them.
func ordersOf(orders []wire.DoorOrder, log *slog.Logger) []access.DoorOrder {
	var out []access.DoorOrder
	for _, o := range orders {
		mode, err := access.ParseDoorMode(o.Mode)
		if err != nil {
			log.Error("door mode left out", "door", o.Door, "error", err)
			continue
		}
		out = append(out, access.DoorOrder{Door: o.Door, Mode: mode, Until: o.Until})
	}
	return out
}

// Command does what central asks for now.
func (s *desired) Command(ctx context.Context, name, target string) error {
	switch name {
	case wire.CommandUnlock:
		return s.p.ctl.Unlock(ctx, target)
	case wire.CommandIdentify:
		return s.identify(target)
	case wire.CommandForgive:
		return s.forgive(ctx, target)
	}
	return fmt.Errorf("this panel knows no command %.32q", name)
}

// identify shows the reader of an access point, or one by its own id.
func (s *desired) identify(target string) error {
	reader := target
	if ap := s.p.policy().Point(target); ap != nil {
		reader = ap.Reader
	}
	if !s.p.ctl.Identify(reader) {
		return fmt.Errorf("this panel has no access point %q", target)
	}
	return nil
}

func (s *desired) forgive(ctx context.Context, target string) error {
	var who access.ID
	if target != "" {
		var err error
		if who, err = access.ParseID(target); err != nil {
			return fmt.Errorf("the person: %w", err)
		}
	}
	_, err := s.p.ctl.Forgive(ctx, who)
	return err
}
