package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"postern/access"
	"postern/api"
	"postern/config"
	"postern/controller"
	"postern/hal"
	"postern/store"
	psync "postern/sync"
	"postern/wire"
)

var (
	_ controller.Store  = (*store.Store)(nil)
	_ controller.Store  = (*lateStore)(nil)
	_ controller.Reader = boardReader{}
	_ controller.Lock   = (*hal.Output)(nil)
	_ controller.Input  = (*hal.Input)(nil)
	_ psync.Replica     = timedStore{}
	_ lastGoodStore     = (*store.Store)(nil)
	_ api.Backend       = (*backend)(nil)
	_ api.Simulator     = (*simulator)(nil)
)

// tryAgain is the pause before another try at what the doors can do without:
// the store, the link, the local API.
const tryAgain = 10 * time.Second

// newerAgain is the pause where a later version has written the store. Only
// somebody's hand changes that, and each try reads all of it.
const newerAgain = time.Minute

// panel is one running panel, from one configuration.
type panel struct {
	cfg   *config.Config // changes only in setPolicy, under mu
	log   *slog.Logger
	boot  access.ID
	start time.Time
	ready atomic.Bool
	first []access.Event // to journal at the start

	board *hal.Board
	sim   *hal.Sim
	ctl   *controller.Controller
	clock *clock
	hub   *hub
	late  *lateStore

	wants *desired
	away  *away

	metrics *metrics
	certs   certificates

	mu       sync.Mutex     // guards the rest
	rules    *access.Policy // in force: central's, or the first one of the configuration
	link     *psync.Client
	recovery store.Recovery
	storeErr error // why the store is not open
	linkErr  error // why the link could not be made
	apiErrs  map[string]error
	refusal  string // why the last reload was refused

	metricsMoved chan struct{} // closed when metrics are wanted elsewhere
}

func newPanel(cfg *config.Config, log *slog.Logger) *panel {
	p := &panel{cfg: cfg, log: log, boot: newUUID(), start: time.Now(), late: newLateStore(), apiErrs: map[string]error{}, metricsMoved: make(chan struct{})}
	p.hub = newHub(p.doorName, func(door string) controller.Wish { return p.ctl.Wish(door) })
	p.clock = newClock(cfg.Clock.Source, log)
	p.metrics = newMetrics(p)
	p.late.timed = p.metrics.committed
	return p
}

// newUUID makes a random UUID (version 4).
func newUUID() access.ID {
	var id access.ID
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// run brings the panel up and keeps it until ctx ends or a part of it fails.
// reloads runs beside it and may end it.
func (p *panel) run(ctx context.Context, reloads func(context.Context) error) error {
	cfg := p.cfg // a reload may change p.cfg while this one runs
	if err := os.MkdirAll(cfg.Panel.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	board, sim, err := openBoard(cfg, p.log)
	if err != nil {
		return err
	}
	defer board.Close()
	p.board, p.sim = board, sim
	wants, policy := loadDesired(p)
	p.away = newAway(cfg.Panel.DataDir, p.clock.now, p.heard, p.log)
	p.wants = wants
	p.mu.Lock()
	p.rules = policy
	p.mu.Unlock()
	p.ctl = controller.New(controller.Options{
		Readers: readersOf(cfg, board), Doors: doorsOf(cfg, board), Inputs: inputsOf(cfg, board), Policy: policy,
		Store: p.late, Clock: p.clock.now, Away: p.away.long, Observer: observer{p.hub, p.metrics}, AtRest: board.Close, Log: p.log,
		Search: p.search, Decided: p.metrics.decided,
	})
	p.ctl.SetOrders(ordersOf(wants.modes.Doors, p.log), ordersOf(wants.modes.Local, p.log)...)
	p.clock.note = p.ctl.Note
	p.ctl.Note(access.Event{Type: access.PanelStarted, Detail: "posternd " + buildVersion()})
	for _, e := range p.first {
		p.ctl.Note(e)
	}

	// The store outlives the doors, whose last events go into it.
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	doorsDone := make(chan struct{})
	outer, ctx := errgroup.WithContext(ctx)
	outer.Go(func() error { defer close(doorsDone); return p.ctl.Run(ctx) })
	outer.Go(func() error {
		// Beyond ctx too: what happened while it was being opened is to be kept.
		s, err := p.openStore(storeCtx)
		if err != nil {
			return err // only when storeCtx ended
		}
		// Beside keepStore, not inside it: it ends after the doors, and the doors
		// end when keepStore gives a damaged store up.
		outer.Go(func() error { return s.Run(storeCtx) })
		return p.keepStore(ctx, s)
	})
	outer.Go(func() error { <-doorsDone; stopStore(); return nil })
	outer.Go(func() error { return reloads(ctx) })
	outer.Go(func() error { return p.watchdog(ctx) })
	outer.Go(func() error { return p.away.run(ctx) })
	outer.Go(func() error { return p.wants.run(ctx) })
	server := p.server()
	outer.Go(func() error { return server.Run(ctx) })
	outer.Go(func() error {
		return p.serve(ctx, "socket", server.Socket(), func() (net.Listener, error) { return api.ListenSocket(cfg.API.Socket) })
	})
	if addr := cfg.API.Page; addr != "" {
		outer.Go(func() error {
			return p.serve(ctx, apiPage, server.Page(), func() (net.Listener, error) { return api.ListenPage(addr) })
		})
	}
	outer.Go(func() error { return p.keepMetrics(ctx) })
	p.ready.Store(true)
	p.log.Info("panel is up", "system_id", cfg.Panel.SystemID, "doors", len(cfg.Doors), "readers", len(cfg.Readers))
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	err = outer.Wait()
	if s := p.late.get(); s != nil {
		s.Close()
	}
	return err
}

// watchdog feeds systemd's watchdog while every door answers.
func (p *panel) watchdog(ctx context.Context) error {
	every := watched()
	if every == 0 {
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		beat, cancel := context.WithTimeout(ctx, every/3)
		err := p.ctl.Beat(beat)
		cancel()
		if err != nil {
			p.metrics.missed.Inc()
			p.log.Error("watchdog not fed", "error", err)
			continue
		}
		p.metrics.fed.Inc()
		_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
	}
}

// watched is how often systemd wants to hear of the daemon, 0 where it does not.
func watched() time.Duration {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0 // not run by systemd
	}
	return every
}

// keepStore gives the doors a store that was opened, runs the link to central,
// and gives the store up when it turns out damaged.
func (p *panel) keepStore(ctx context.Context, s *store.Store) error {
	g, ctx := errgroup.WithContext(ctx)
	p.clock.load(s)
	p.late.set(s)
	g.Go(func() error { return p.numberJournal(ctx, s) })
	g.Go(func() error { return p.clock.run(ctx, s) })
	g.Go(func() error { return p.keepLink(ctx, s) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Damaged():
			return &errAgain{why: "the store is damaged; it is checked and put aside at the start"}
		}
	})
	return g.Wait()
}

func (p *panel) openStore(ctx context.Context) (*store.Store, error) {
	for {
		s, rec, err := p.tryStore(ctx)
		p.mu.Lock()
		p.recovery, p.storeErr = rec, err
		p.mu.Unlock()
		if err == nil {
			p.recovered(rec)
			return s, nil
		}
		pause := tryAgain
		if errors.Is(err, store.ErrNewer) {
			pause = newerAgain
		}
		p.log.Error("open store; doors grant nothing meanwhile, exit buttons work", "error", err, "again_after", pause)
		p.hub.publish(api.Message{Kind: api.MessageStatus})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (p *panel) tryStore(ctx context.Context) (*store.Store, store.Recovery, error) {
	cfg := p.config()
	key, err := store.LoadDeviceKey(deviceKeyFile(cfg))
	if err != nil {
		return nil, store.Recovery{}, fmt.Errorf("load device key: %w", err)
	}
	s, rec, err := store.Open(ctx, store.Options{
		Dir: cfg.Panel.DataDir, DeviceKey: key, BootID: p.boot, Policy: p.policy(), Matchers: cfg.Matchers(),
		Keep: cfg.Journal.Keep, Cap: cfg.Journal.Cap, Now: time.Now, Check: checkInChild, Log: p.log,
		Decode: wire.DecodeSnapshotKey,
	})
	if err != nil {
		return nil, rec, err
	}
	if err := noteWrittenBy(cfg.Panel.DataDir); err != nil && !rec.ReadOnly {
		p.log.Warn("a program that is older will not know which one to name", "error", err)
	}
	return s, rec, nil
}

func deviceKeyFile(cfg *config.Config) string {
	if f := cfg.Panel.DeviceKeyFile; f != "" {
		return f
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if f := filepath.Join(dir, "device-key"); fileExists(f) {
			return f
		}
	}
	return filepath.Join(cfg.Panel.DataDir, "device.key")
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// recovered journals what the opening of the store put aside.
func (p *panel) recovered(rec store.Recovery) {
	for i, f := range rec.Quarantined {
		reason := ""
		if i < len(rec.Reasons) {
			reason = rec.Reasons[i]
		}
		p.log.Error("damaged file put aside", "file", f, "reason", reason)
		p.ctl.Note(access.Event{Type: access.StoreQuarantined, Detail: access.Clip(filepath.Base(f) + ": " + reason)})
	}
	if rec.ReadOnly {
		p.ctl.Note(access.Event{Type: access.StoreReadOnly, Detail: "the card can't be written; known keys go on opening"})
	}
}

// keepLink makes the link to central and runs it. One that can't be made, for a
// certificate that can't be read say, is tried again: the doors go on.
func (p *panel) keepLink(ctx context.Context, s *store.Store) error {
	for {
		link, err := p.newLink(s)
		p.mu.Lock()
		p.linkErr = err
		p.mu.Unlock()
		if err == nil {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return link.Run(ctx) })
			g.Go(func() error { return p.follow(ctx, s, link) })
			return g.Wait()
		}
		p.log.Error("link to central not made; trying again", "error", err, "after", tryAgain)
		p.hub.publish(api.Message{Kind: api.MessageStatus})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tryAgain):
		}
	}
}

func (p *panel) newLink(s *store.Store) (*psync.Client, error) {
	cfg := p.config()
	o, err := linkOptions(cfg, p.clock.tlsTime, p.log)
	if err != nil {
		return nil, err
	}
	o.BootID, o.Version, o.Log, o.Replica = p.boot, buildVersion(), p.log, timedStore{s, p.metrics.committed}
	o.Clock = func() string { return p.clock.now().State.String() }
	o.Now = time.Now
	o.Panel, o.Site = p.announcement, p.wants
	o.Journal = p.ctl.Note
	link, err := psync.New(o)
	if err != nil {
		return nil, fmt.Errorf("prepare link to central: %w", err)
	}
	p.mu.Lock()
	p.link = link
	p.mu.Unlock()
	return link, nil
}

// search looks through all cards for the first that match has a hint about.
func (p *panel) search(ctx context.Context, match func(access.Identification) (string, bool)) (string, bool) {
	const atOnce = 500
	s := p.late.get()
	if s == nil {
		return "", false
	}
	var after access.ID
	for ctx.Err() == nil {
		keys, err := s.Keys(after, atOnce)
		if err != nil || len(keys) == 0 {
			return "", false
		}
		for _, k := range keys {
			if hint, ok := match(k.Key.Identification); ok {
				return hint, true
			}
			after = k.Key.ID
		}
	}
	return "", false
}

// announcement is what the panel tells central about itself.
func (p *panel) announcement() wire.Panel {
	cfg := p.config()
	policy := p.policy()
	version, _ := p.wants.Versions()
	w := wire.Panel{
		PolicyRevision: version.Revision,
		Name:           cfg.Panel.Name, Codes: wire.Codes{Enabled: policy.Codes.Enabled, Size: policy.Codes.Size},
		Doors: []wire.Named{}, AccessPoints: []wire.Point{}, AccessLevels: []wire.PanelLevel{},
		Limits: wire.Limits{MaxPayload: wire.MaxPayload, MaxLevels: access.MaxLevels},
	}
	for _, d := range policy.Doors {
		w.Doors = append(w.Doors, wire.Named{ID: d.ID, Name: d.Name})
	}
	for _, a := range policy.Points {
		w.AccessPoints = append(w.AccessPoints, wire.Point{ID: a.ID, Name: a.Name, Door: a.Door, Mode: a.Mode.String()})
	}
	for _, l := range policy.Levels {
		w.AccessLevels = append(w.AccessLevels, wire.PanelLevel{ID: l.ID, Name: l.Name})
	}
	return w
}

// follow tells those who watch when the keys or the link change.
func (p *panel) follow(ctx context.Context, s *store.Store, link *psync.Client) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := s.Position()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-link.Changed():
			l := p.linkStatus()
			p.hub.publish(api.Message{Kind: api.MessageLink, Link: &l})
		case <-tick.C:
			if now := s.Position(); now != last {
				last = now
				k := p.keyStore()
				p.hub.publish(api.Message{Kind: api.MessageKeys, Keys: &k})
			}
		}
	}
}

// setPolicy puts the policy of another configuration in force while the doors
// run: keys are judged again, and central is told.
func (p *panel) setPolicy(ctx context.Context, next *config.Config) error {
	s := p.late.get()
	if s == nil {
		return errOpening
	}
	p.wants.turn.Lock() // central's policy must not change meanwhile
	defer p.wants.turn.Unlock()
	policy, err := p.wants.over(next)
	if err != nil {
		return err
	}
	changed, err := s.SetPolicy(ctx, policy, next.Matchers())
	if err != nil {
		return fmt.Errorf("judge keys by the new policy: %w", err)
	}
	p.mu.Lock()
	if p.cfg.Metrics != next.Metrics {
		close(p.metricsMoved)
		p.metricsMoved = make(chan struct{})
	}
	p.cfg, p.refusal = next, ""
	p.mu.Unlock()
	p.inForce(policy)
	p.log.Info("configuration reloaded", "keys_judged_differently", changed)
	p.ctl.Note(access.Event{Type: access.PolicyReloaded, Detail: count(changed, "key") + " judged differently"})
	p.hub.publish(api.Message{Kind: api.MessageStatus})
	return nil
}

// inForce has the doors go by a policy that the keys were judged by, and tells
// central of it.
func (p *panel) inForce(policy *access.Policy) {
	p.ctl.SetPolicy(policy)
	p.mu.Lock()
	p.rules = policy
	link := p.link
	p.mu.Unlock()
	if link != nil {
		link.PanelChanged()
	}
	p.hub.publish(api.Message{Kind: api.MessageStatus})
}

// heard is when central was last heard of since the start, zero when it was not.
func (p *panel) heard() time.Time {
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	if link == nil {
		return time.Time{}
	}
	return link.Status().Heard
}

// policy is the one in force.
func (p *panel) policy() *access.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules
}

// refused keeps why a new configuration was not taken.
func (p *panel) refused(why string) {
	p.mu.Lock()
	p.refusal = why
	p.mu.Unlock()
	p.ctl.Note(access.Event{Type: access.PolicyRefused, Detail: access.Clip(why)})
	p.hub.publish(api.Message{Kind: api.MessageStatus})
}

func (p *panel) config() *config.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg
}

func (p *panel) doorName(id string) string {
	if d := p.config().Door(id); d != nil {
		return d.Name
	}
	return ""
}

// server answers the postern command and the page.
func (p *panel) server() *api.Server {
	var sim api.Simulator
	if p.sim != nil {
		sim = &simulator{p: p}
	}
	return api.NewServer(&backend{p: p}, sim, p.log)
}

// What is served beside the socket, as the configuration names it.
const (
	apiPage    = "page"
	apiMetrics = "metrics"
)

// serve listens and answers. A port that is taken is told and tried again: no
// door waits for it.
func (p *panel) serve(ctx context.Context, what string, h http.Handler, listen func() (net.Listener, error)) error {
	for {
		l, err := listen()
		if err == nil {
			p.apiFault(what, nil)
			if err = api.Serve(ctx, l, h, p.log); ctx.Err() != nil {
				return nil
			}
		}
		p.log.Error("not served; trying again", "what", what, "error", err, "after", tryAgain)
		p.apiFault(what, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tryAgain):
		}
	}
}

func (p *panel) apiFault(what string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.apiErrs, what)
		return
	}
	p.apiErrs[what] = err
}
