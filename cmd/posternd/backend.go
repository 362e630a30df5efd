package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"postern/access"
	"postern/api"
	"postern/config"
	"postern/controller"
	"postern/hal"
	"postern/store"
	"postern/wiegand"
)

// backend answers the local API from the running panel.
type backend struct{ p *panel }

// Status is the panel on one screen.
func (b *backend) Status(context.Context) (api.Status, error) {
	p := b.p
	cfg := p.config()
	clock := p.clock.now()
	s := api.Status{
		SystemID: cfg.Panel.SystemID, Name: cfg.Panel.Name, Version: buildVersion(), BootID: p.boot, Started: p.start.UTC(),
		Now: clock.Now.In(cfg.Location()), Clock: clock.State.String(), Simulated: p.sim != nil, Link: p.linkStatus(), Keys: p.keyStore(),
		Doors: []api.Door{}, Readers: []api.Reader{}, Problems: []api.Problem{},
	}
	if st := p.late.get(); st != nil {
		s.Journal.Last, s.Journal.Unconfirmed = p.hub.journal.state(st)
	}
	for _, d := range cfg.Doors {
		if state, ok := p.ctl.Door(d.ID); ok {
			s.Doors = append(s.Doors, doorOf(state, d.Name, p.ctl.Wish(d.ID)))
		}
	}
	for i := range cfg.Readers {
		s.Readers = append(s.Readers, p.reader(cfg, &cfg.Readers[i]))
	}
	for _, in := range cfg.Inputs {
		s.Inputs = append(s.Inputs, api.Input{ID: in.ID, Name: in.Name, Kind: string(in.Kind), Active: p.ctl.Active(in.ID)})
	}
	for _, o := range cfg.Outputs {
		if dev := p.board.Output(o.ID); dev != nil {
			s.Outputs = append(s.Outputs, api.Output{ID: o.ID, Name: o.Name, On: dev.State()})
		}
	}
	s.Certificates = p.certs.list(cfg.MQTT)
	s.Disk, _ = diskOf(cfg.Panel.DataDir) // postern doctor says why it can't be looked at
	s.Problems = append(s.Problems, p.problems()...)
	return s, nil
}

func (p *panel) reader(cfg *config.Config, r *config.Reader) api.Reader {
	out := api.Reader{
		ID: r.ID, Match: r.Match.String(), Keypad: string(r.Keypad), Formats: r.Formats, LastRead: p.hub.lastRead(r.ID),
	}
	if r.Technology != 0 {
		out.Technology = r.Technology.String()
	}
	if a := p.policy().PointOf(r.ID); a != nil {
		out.AccessPoint, out.Door, out.Mode = a.ID, a.Door, a.Mode.String()
	}
	h := p.ctl.Health(r.ID)
	out.Health, out.HealthWhy = string(h.State), h.Reason
	if p.sim != nil {
		out.Indication = string(p.sim.Indication(r.ID))
	}
	return out
}

func (p *panel) linkStatus() api.Link {
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	if link == nil {
		why := "not started: the key store is not open yet"
		p.mu.Lock()
		if p.linkErr != nil {
			why = p.linkErr.Error()
		}
		p.mu.Unlock()
		return api.Link{Broker: p.config().MQTT.Broker, LastError: why}
	}
	s := link.Status()
	return api.Link{Connected: s.Connected, Broker: s.Broker, Since: s.Since, LastError: s.LastError}
}

func (p *panel) keyStore() api.KeyStore {
	s := p.late.get()
	if s == nil {
		return api.KeyStore{}
	}
	pos, c := s.Position(), codes(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	return api.KeyStore{
		Epoch: pos.Epoch, Revision: pos.Revision, Count: pos.Count, Digest: pos.Digest, Local: len(s.LocalKeys()),
		Codes: c.Count, CodeSize: c.Size, ReadOnly: p.recovery.ReadOnly,
	}
}

// codes counts the codes, none where they can't be read: the store itself tells of
// that.
func codes(s *store.Store) store.Codes {
	c, _ := s.Codes()
	return c
}

// problems are what is wrong, worst first, with what to do about it.
func (p *panel) problems() []api.Problem {
	var out []api.Problem
	add := func(what, do string) { out = append(out, api.Problem{What: what, Do: do}) }
	p.mu.Lock()
	storeErr, rec, refusal, apiErrs := p.storeErr, p.recovery, p.refusal, maps.Clone(p.apiErrs)
	p.mu.Unlock()
	switch {
	case errors.Is(storeErr, store.ErrNewer):
		again := "the version that ran before"
		if v := writtenBy(p.config().Panel.DataDir); v != "" {
			again = "posternd " + v
		}
		add("The key store is of a later version of Postern, so no card or code opens: "+storeErr.Error(),
			"Install "+again+" again, or a later one; exit buttons work meanwhile, and nothing is lost.")
	case storeErr != nil:
		add("The key store can't be opened, so no card or code opens: "+storeErr.Error(),
			"Check the SD card and that no second posternd runs; the panel tries again by itself.")
	case p.late.get() == nil:
		add("The key store is still being opened, so no card or code opens yet.", "Wait some seconds.")
	case rec.ReadOnly:
		add("The SD card can't be written: known keys open, but changes and events are not kept.", "Replace the SD card.")
	}
	if d, err := diskOf(p.config().Panel.DataDir); err == nil && d.Free < littleOnDisk && !rec.ReadOnly {
		add(fmt.Sprintf("The SD card is nearly full: %d MB are free, so that changes and events may soon not be kept.", d.Free>>20),
			"Make room: journalctl --vacuum-size=50M, apt-get clean; or fit a larger SD card.")
	}
	for i, f := range rec.Quarantined {
		reason := ""
		if i < len(rec.Reasons) {
			reason = ": " + rec.Reasons[i]
		}
		add("A damaged file was put aside as "+f+reason,
			"Keys come back from central by themselves. If this happens again, replace the SD card.")
	}
	for _, d := range p.config().Doors {
		s, _ := p.ctl.Door(d.ID)
		if fault := lockFault(p.board, d.ID); fault != "" {
			add(fmt.Sprintf("The lock of door %s can't be driven: %s", d.ID, fault), "Check the output's line in panel.toml and what else uses it.")
		}
		if s.Alarm != access.Normal {
			add(fmt.Sprintf("Door %s: %s", d.ID, s.Alarm), "Close the door. If it is closed, check the contact and its polarity (contact_open).")
		}
	}
	for _, r := range p.config().Readers {
		h := p.ctl.Health(r.ID)
		if do, ok := readerRemedies[h.State]; ok {
			add(fmt.Sprintf("Reader %s is %s: %s", r.ID, h.State, h.Reason), do)
		}
	}
	if l := p.linkStatus(); !l.Connected {
		what := "No link to central at " + l.Broker
		if l.LastError != "" {
			what += ": " + l.LastError
		}
		add(what, "Doors work with the keys they have. Check the network cable, and mqtt.broker in panel.toml.")
	}
	for _, c := range p.certs.list(p.config().MQTT) {
		if _, what, do := c.State(p.clock.tlsTime()); what != "" {
			add("The certificate "+c.Where()+" "+what, do)
		}
	}
	for what, err := range apiErrs {
		if what == apiMetrics {
			add("The metrics are not served: "+err.Error(), "See what else listens there, or change metrics.listen in panel.toml.")
			continue
		}
		add("The local "+what+" is not served: "+err.Error(), "See what else listens there, or change api."+what+" in panel.toml.")
	}
	if c := p.clock.now(); c.State == access.ClockUntrusted {
		add("The clock can't be trusted, so schedules and some validity windows can't be decided.",
			"Give the panel NTP or a real-time clock.")
	}
	if refusal != "" {
		add("The last change of the configuration was refused: "+refusal, "Run posternd check, mend the file, and reload.")
	}
	if len(p.config().Trust.Keys) == 0 {
		add("Changes from central are taken unsigned: whoever controls the broker can open doors.",
			"Put central's signing keys into trust.keys in panel.toml.")
	}
	if st := p.late.get(); st != nil {
		if c := codes(st); access.CodeRisk(c.Size, c.Count) != "" {
			add("Codes can be guessed: "+access.CodeRisk(c.Size, c.Count)+".",
				"Raise the size of codes in the policy and give new ones out, or remove those that nobody needs.")
		}
	}
	if n := p.ctl.Pending(); n > 100 {
		add(fmt.Sprintf("%d events wait to be written.", n), "Check the SD card's space and health.")
	}
	return out
}

// lockFault says why a lock can't be driven, "" when it can. The board mends
// itself, so that it knows better than the door's last step.
func lockFault(b *hal.Board, door string) string {
	if out := b.Lock(door); out != nil {
		if err := out.Fault(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// readerRemedies are what to do about a reader that is not well.
var readerRemedies = map[wiegand.HealthState]string{
	wiegand.HealthTampered: "See who has opened the reader, and close it.",
	wiegand.HealthStuck:    "Check the reader's cable for a short, and its supply.",
	wiegand.HealthLost:     "Check the reader's supply and cable.",
	wiegand.HealthSwapped:  "Change the reader's two data wires, D0 and D1.",
	wiegand.HealthFaulty:   "Check the reader's formats in panel.toml with postern watch, then its cable, ground and pull-ups.",
	wiegand.HealthDegraded: "Check the reader's cable, ground and pull-ups; keep it away from the lock's supply.",
}

// Events gives journal entries, newest first, but those for central alone.
func (b *backend) Events(ctx context.Context, before uint64, limit int) ([]api.Event, error) {
	s, err := b.store()
	if err != nil {
		return nil, err
	}
	ev, err := b.p.hub.journal.recent(ctx, s, before, limit)
	if err != nil {
		return nil, err
	}
	out := make([]api.Event, 0, len(ev))
	for _, e := range ev {
		out = append(out, eventOf(e))
	}
	return out, nil
}

// Keys lists keys by id.
func (b *backend) Keys(_ context.Context, after access.ID, limit int) ([]api.Key, error) {
	s, err := b.store()
	if err != nil {
		return nil, err
	}
	keys, err := s.Keys(after, limit)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	out := make([]api.Key, 0, len(keys))
	for _, k := range keys {
		out = append(out, b.key(k))
	}
	return out, nil
}

// Key gives one key.
func (b *backend) Key(_ context.Context, id access.ID) (api.Key, error) {
	s, err := b.store()
	if err != nil {
		return api.Key{}, err
	}
	k, ok, err := s.Key(id)
	switch {
	case err != nil:
		return api.Key{}, fmt.Errorf("read key: %w", err)
	case !ok:
		for _, l := range s.LocalKeys() {
			if l.Key.ID == id {
				return b.key(l), nil
			}
		}
		return api.Key{}, fmt.Errorf("%w: this panel has no key %s", api.ErrNotFound, id)
	}
	return b.key(k), nil
}

// CopyStore hands over the store's files as of one moment.
func (b *backend) CopyStore(ctx context.Context, put func(name string, size int64, write func(io.Writer) error) error) error {
	s, err := b.store()
	if err != nil {
		return err
	}
	b.p.log.Info("the store is copied for a backup")
	if err := s.Copy(ctx, put); errors.Is(err, store.ErrBusy) {
		return fmt.Errorf("%w: another backup is being made, or a snapshot put in use; try again", api.ErrRefused)
	} else if err != nil {
		return err
	}
	b.p.log.Info("the store was copied")
	return nil
}

func (b *backend) store() (*store.Store, error) {
	if s := b.p.late.get(); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %w", api.ErrRefused, errOpening)
}

func (b *backend) key(k store.KeyInfo) api.Key {
	policy := b.p.policy()
	out := api.Key{
		ID: k.Key.ID, Type: string(k.Key.Type), State: k.Key.State.String(), Person: k.Key.Person, HasPIN: k.Key.HasPIN,
		Options: k.Key.Options.Names(), Revision: k.Revision, Claim: k.Claim, Result: "applied",
		Detail: k.Result.Detail, At: k.Result.At.UTC(), AccessLevels: []api.Level{},
		ValidFrom: timeOrNil(k.Key.ValidFrom), ValidTo: timeOrNil(k.Key.ValidTo),
	}
	if !k.Key.Identification.IsCode() {
		out.Identification = k.Key.Identification.Canonical()
	}
	if k.Result.Error != access.Applied {
		out.Result, out.ErrorType = "failed", string(k.Result.Error)
	}
	for _, id := range k.Key.Levels {
		l := api.Level{ID: id}
		if known := policy.Level(id); known != nil {
			l.Name, l.Known = known.Name, true
		}
		out.AccessLevels = append(out.AccessLevels, l)
	}
	return out
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Unlock releases a door once.
func (b *backend) Unlock(ctx context.Context, door string) error {
	err := b.p.ctl.Unlock(ctx, door)
	switch {
	case errors.Is(err, controller.ErrNoDoor):
		return fmt.Errorf("%w: this panel has no door %q (it has %s)", api.ErrNotFound, door, b.p.doorList())
	case errors.Is(err, controller.ErrRefused):
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return err
}

// Identify shows a reader to somebody who looks for it.
func (b *backend) Identify(_ context.Context, reader string) error {
	if !b.p.ctl.Identify(reader) {
		return fmt.Errorf("%w: this panel has no reader %q (it has %s)", api.ErrNotFound, reader, b.p.readerList())
	}
	return nil
}

// SetOutput drives an auxiliary output.
func (b *backend) SetOutput(_ context.Context, id string, on bool) error {
	out := b.p.board.Output(id)
	if out == nil {
		list := names(b.p.config().Outputs, func(o config.Output) string { return o.ID })
		return fmt.Errorf("%w: this panel has no output %q (it has %s)", api.ErrNotFound, id, cmp.Or(list, "none"))
	}
	if err := out.Set(on); err != nil {
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return nil
}

// Watch gives what happens from now on.
func (b *backend) Watch(ctx context.Context) <-chan api.Message { return b.p.hub.watch(ctx) }

func (p *panel) doorList() string {
	return names(p.config().Doors, func(d config.Door) string { return d.ID })
}

func (p *panel) readerList() string {
	return names(p.config().Readers, func(r config.Reader) string { return r.ID })
}

func names[T any](all []T, name func(T) string) string {
	out := make([]string, 0, len(all))
	for _, v := range all {
		out = append(out, name(v))
	}
	return strings.Join(out, ", ")
}
