// Package apitest has a panel for the tests of what talks to one: an
// [api.Backend] and [api.Simulator] in memory, which answers at once, does what
// it is told, and remembers it.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/access"
	"postern/api"
)

// Panel is a panel in memory. Its methods may be called from many goroutines.
type Panel struct {
	mu     sync.Mutex // guards all below
	status api.Status
	events []api.Event // ascending
	keys   []api.Key   // ascending by id
	local  []api.Key
	policy api.Policy
	inside []access.ID // the area hall
	fault  error

	copyFault error
	looks     int
	done      []string
	watchers  []*watcher
}

type watcher struct {
	c    chan api.Message
	lost int
}

// Start is when the panel's time stands.
var Start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// New makes a panel with two doors, their readers, three keys and two events.
func New() *Panel {
	level := api.Level{ID: access.MustParseID("ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b"), Name: "always", Known: true}
	to := Start.Add(240 * time.Hour)
	boot := access.MustParseID("b0070000-0000-4000-8000-000000000001")
	card := access.MustParseID("11111111-1111-4111-8111-111111111111")
	p := &Panel{
		policy: api.Policy{Source: api.PolicyOfPanel}, inside: []access.ID{Person},
		status: api.Status{
			SystemID: "demo-001", Name: "Demo panel", Version: "1.2.3", BootID: boot,
			Started: Start.Add(-3 * time.Minute), Now: Start, Clock: "trusted", Simulated: true,
			Link:    api.Link{Connected: true, Broker: "tcp://127.0.0.1:8483", Since: Start.Add(-2 * time.Minute)},
			Keys:    api.KeyStore{Epoch: 1, Revision: 7, Count: 3},
			Journal: api.Journal{Last: 2},
			Doors: []api.Door{
				{ID: "front", Name: "Front door", Mode: "Locked", Alarm: "Normal", HasContact: true},
				{ID: "lab", Name: "Laboratory", Mode: "Locked", Alarm: "Normal", HasContact: true},
			},
			Readers: []api.Reader{
				{ID: "front", AccessPoint: "front", Door: "front", Mode: "card_or_code", Technology: "EM", Match: "full", Keypad: "4bit", Indication: "idle", Formats: []string{"raw40"}},
				{ID: "lab", AccessPoint: "lab", Door: "lab", Mode: "card_and_pin", Technology: "EM", Match: "full", Keypad: "4bit", Indication: "pin_wanted", Formats: []string{"raw40"}},
			},
		},
		events: []api.Event{
			{Seq: 1, BootID: boot, At: Start.Add(-3 * time.Minute), Clock: "trusted", Type: access.PanelStarted},
			{Seq: 2, BootID: boot, At: Start.Add(-time.Minute), Clock: "trusted", Type: access.GrantedCard, Door: "front", AccessPoint: "front", KeyID: card, KeyType: "proximity", Credential: "0001234567890"},
		},
		keys: []api.Key{
			{ID: card, Type: "proximity", Identification: "0001234567890", State: "enabled", ValidTo: &to, AccessLevels: []api.Level{level}, HasPIN: true, Options: []string{"extended"}, Revision: 5, Claim: 5, Result: "applied", At: Start},
			{ID: access.MustParseID("22222222-2222-4222-8222-222222222222"), Type: "code", State: "enabled", AccessLevels: []api.Level{level}, Revision: 6, Claim: 6, Result: "applied", At: Start},
			{ID: access.MustParseID("33333333-3333-4333-8333-333333333333"), Type: "proximity", Identification: "0000000000042", State: "blacklisted", AccessLevels: []api.Level{{ID: access.MustParseID("44444444-4444-4444-8444-444444444444")}}, Revision: 7, Claim: 7, Result: "failed", ErrorType: "AccessLevelNotFound", Detail: "1 of 1 levels is not in the policy", At: Start},
		},
	}
	for i := range p.events {
		describe(&p.events[i])
	}
	return p
}

func describe(e *api.Event) { e.Text, e.Category = e.Type.Text(), e.Type.Category() }

// Wire adds two auxiliary inputs, fire and gate, and an output, bell, to the
// panel, which begins without any.
func (p *Panel) Wire() {
	p.Change(func(st *api.Status) {
		st.Inputs = []api.Input{{ID: "fire", Name: "Fire relay", Kind: "fire"}, {ID: "gate", Kind: "aux"}}
		st.Outputs = []api.Output{{ID: "bell", Name: "Bell"}}
	})
}

// Change changes the panel's status and tells those who watch.
func (p *Panel) Change(f func(*api.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.status)
	p.tell(api.Message{Kind: api.MessageStatus})
}

// Fail makes every method answer err from now on, until nil.
func (p *Panel) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = err
}

// Done is what was asked of the panel's locks, readers, outputs and simulated
// hands, one line each.
func (p *Panel) Done() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.done)
}

// Looks is how often the panel's status was asked for.
func (p *Panel) Looks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looks
}

// Watchers is how many watch now.
func (p *Panel) Watchers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watchers)
}

// Append adds an entry to the journal, with the next sequence number.
func (p *Panel) Append(e api.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.append(e)
}

func (p *Panel) append(e api.Event) {
	p.status.Journal.Last++
	e.Seq, e.BootID, e.At, e.Clock = p.status.Journal.Last, p.status.BootID, p.status.Now, p.status.Clock
	describe(&e)
	p.events = append(p.events, e)
	p.tell(api.Message{Kind: api.MessageEvent, Event: &e})
}

// tell must be called with mu held.
func (p *Panel) tell(m api.Message) {
	m.At = p.status.Now
	for _, w := range p.watchers {
		m.Lost = w.lost
		select {
		case w.c <- m:
			w.lost = 0
		default:
			w.lost++
		}
	}
}

// Status is part of api.Backend.
func (p *Panel) Status(context.Context) (api.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	st := p.status
	st.Doors, st.Readers = slices.Clone(st.Doors), slices.Clone(st.Readers)
	st.Inputs, st.Outputs = slices.Clone(st.Inputs), slices.Clone(st.Outputs)
	return st, p.fault
}

// Events is part of api.Backend.
func (p *Panel) Events(_ context.Context, before uint64, limit int) ([]api.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Event
	for _, e := range slices.Backward(p.events) {
		if (before == 0 || e.Seq < before) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, p.fault
}

// Keys is part of api.Backend.
func (p *Panel) Keys(_ context.Context, after access.ID, limit int) ([]api.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Key
	for _, k := range p.keys {
		if k.ID.String() > after.String() || after.IsZero() {
			out = append(out, k)
		}
	}
	return out[:min(limit, len(out))], p.fault
}

// Key is part of api.Backend.
func (p *Panel) Key(_ context.Context, id access.ID) (api.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		if k.ID == id {
			return k, p.fault
		}
	}
	return api.Key{}, fmt.Errorf("key %s: %w on this panel", id, api.ErrNotFound)
}

// Unlock is part of api.Backend. A door that is locked down stays so.
func (p *Panel) Unlock(_ context.Context, door string) error {
	return p.do(door, "unlock "+door, func(d *api.Door) error {
		if d.Mode == "LockedDown" {
			return fmt.Errorf("unlock %s: %w: it is locked down; end the lockdown first", door, api.ErrRefused)
		}
		d.Released, d.Mode = true, "Accessed"
		return nil
	})
}

// Contact is part of api.Simulator.
func (p *Panel) Contact(_ context.Context, door string, open bool) error {
	return p.do(door, fmt.Sprintf("contact %s %t", door, open), func(d *api.Door) error {
		d.Open = open
		return nil
	})
}

// REX is part of api.Simulator.
func (p *Panel) REX(_ context.Context, door string) error {
	return p.do(door, "rex "+door, func(d *api.Door) error {
		d.Released = true
		p.append(api.Event{Type: access.GrantedREX, Door: door})
		return nil
	})
}

func (p *Panel) do(door, what string, f func(*api.Door) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	i := slices.IndexFunc(p.status.Doors, func(d api.Door) bool { return d.ID == door })
	if i < 0 {
		return fmt.Errorf("door %q: %w on this panel", door, api.ErrNotFound)
	}
	d := &p.status.Doors[i]
	if err := f(d); err != nil {
		return err
	}
	p.done = append(p.done, what)
	told := *d
	p.tell(api.Message{Kind: api.MessageDoor, Door: &told})
	return nil
}

// Identify is part of api.Backend.
func (p *Panel) Identify(_ context.Context, reader string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reader(reader); err != nil {
		return err
	}
	for i := range p.status.Readers {
		if p.status.Readers[i].ID == reader {
			p.status.Readers[i].Indication = "identify"
		}
	}
	p.done = append(p.done, "identify "+reader)
	p.tell(api.Message{Kind: api.MessageStatus})
	return nil
}

// SetOutput is part of api.Backend.
func (p *Panel) SetOutput(_ context.Context, id string, on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	i := slices.IndexFunc(p.status.Outputs, func(o api.Output) bool { return o.ID == id })
	if i < 0 {
		return fmt.Errorf("output %q: %w on this panel", id, api.ErrNotFound)
	}
	p.status.Outputs[i].On = on
	p.done = append(p.done, fmt.Sprintf("output %s %t", id, on))
	p.tell(api.Message{Kind: api.MessageStatus})
	return nil
}

// Tamper is part of api.Simulator.
func (p *Panel) Tamper(_ context.Context, reader string, open bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reader(reader); err != nil {
		return err
	}
	p.done = append(p.done, fmt.Sprintf("tamper %s %t", reader, open))
	e := api.Event{Type: access.TamperEnded, AccessPoint: reader}
	if open {
		e.Type = access.Tampered
	}
	p.append(e)
	return nil
}

// Input is part of api.Simulator.
func (p *Panel) Input(_ context.Context, id string, active bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	i := slices.IndexFunc(p.status.Inputs, func(in api.Input) bool { return in.ID == id })
	if i < 0 {
		return fmt.Errorf("input %q: %w on this panel", id, api.ErrNotFound)
	}
	p.status.Inputs[i].Active = active
	p.done = append(p.done, fmt.Sprintf("input %s %t", id, active))
	p.tell(api.Message{Kind: api.MessageStatus})
	return nil
}

// Badge is part of api.Simulator. It sends an EM number of 13 digits as 40 bits.
func (p *Panel) Badge(_ context.Context, reader, identification, bits string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reader(reader); err != nil {
		return "", err
	}
	read := api.Read{At: p.tick(), Reader: reader, Kind: api.ReadCard, Bits: bits}
	if identification != "" {
		var n uint64
		if _, err := fmt.Sscanf(identification, "%013d", &n); err != nil || len(identification) != 13 {
			return "", fmt.Errorf("badge: %w identification: this reader sends EM cards, 13 digits", api.ErrInvalid)
		}
		read.Bits = fmt.Sprintf("%040b", n)
		read.Candidates = []api.Candidate{{Format: "raw40", Number: n, Identification: identification}}
	} else {
		read.Error = fmt.Sprintf("%d bits fit none of this reader's formats (raw40)", len(bits))
	}
	read.Pulses = len(read.Bits)
	p.done = append(p.done, "badge "+reader+" "+read.Bits)
	p.tell(api.Message{Kind: api.MessageRead, Read: &read})
	e := api.Event{Type: access.DeniedUnknown, Door: reader, AccessPoint: reader, Credential: identification}
	for _, k := range p.keys {
		if k.Identification != "" && k.Identification == identification {
			e.Type, e.KeyID, e.KeyType = access.GrantedCard, k.ID, k.Type
		}
	}
	p.append(e)
	return read.Bits, nil
}

// press is what Hands.Keys does: api.Backend has that name already.
func (p *Panel) press(reader, keys string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reader(reader); err != nil {
		return err
	}
	p.done = append(p.done, fmt.Sprintf("keys %s %s", reader, keys))
	for range keys {
		p.tell(api.Message{Kind: api.MessageRead, Read: &api.Read{At: p.tick(), Reader: reader, Kind: api.ReadKey, Pulses: 4}})
	}
	return nil
}

// tick lets a moment pass: no two reads are of one instant.
func (p *Panel) tick() time.Time {
	p.status.Now = p.status.Now.Add(time.Millisecond)
	return p.status.Now
}

func (p *Panel) reader(id string) error {
	if p.fault != nil {
		return p.fault
	}
	if !slices.ContainsFunc(p.status.Readers, func(r api.Reader) bool { return r.ID == id }) {
		return fmt.Errorf("reader %q: %w on this panel", id, api.ErrNotFound)
	}
	return nil
}

// Watch is part of api.Backend.
func (p *Panel) Watch(ctx context.Context) <-chan api.Message {
	w := &watcher{c: make(chan api.Message, 64)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = append(p.watchers, w)
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watchers = slices.DeleteFunc(p.watchers, func(x *watcher) bool { return x == w })
		close(w.c)
	})
	return w.c
}

// Hands is the panel's api.Simulator: its Keys presses a keypad's.
type Hands struct{ *Panel }

// Keys is part of api.Simulator.
func (h Hands) Keys(_ context.Context, reader, keys string) error {
	return h.press(reader, keys)
}
