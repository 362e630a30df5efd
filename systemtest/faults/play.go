package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"postern/access"
	"postern/systemtest/faults/site"
)

// doors of the panel, each with a reader; see site.Options. The first is for the
// trial at the end.
const (
	doors       = 9
	trialPoint  = "point0"
	trialReader = "reader0"
)

// How long things may take when the faults are over.
const (
	overtime    = 10 * time.Minute // for load that was held up
	convergence = 5 * time.Minute  // until both ends are in step
)

// result is what came out of a round.
type result struct {
	Round    string         `json:"round"`
	Seconds  float64        `json:"seconds"`
	Converge float64        `json:"converge_seconds"` // from the end of the last fault and of the last change until all was right
	Changes  int            `json:"changes"`
	Keys     int            `json:"keys"`   // on the panel at the end
	Events   int            `json:"events"` // in the panel's journal at the end
	Decided  int            `json:"decisions_about_cards"`
	Boots    int            `json:"panel_boots"` // that wrote events
	Kills    map[string]int `json:"kills"`
	Links    map[string]int `json:"link_faults"`
	Traffic  traffic        `json:"traffic"`
	Findings []finding      `json:"findings"`
	Faults   []string       `json:"faults"` // what is wrong, in words
}

// play plays a round in a folder.
func play(ctx context.Context, r round, p plan, seed uint64, dir, bin string) (res result, err error) {
	began := time.Now()
	streams := uint64(0)
	h := &harness{plan: p, witness: newWitness(), random: func() *rand.Rand {
		streams++
		return rand.New(rand.NewPCG(seed, streams))
	}}
	for range changers {
		h.models = append(h.models, &model{})
	}
	server := newProxyServer()
	h.site, err = site.New(ctx, site.Options{Dir: dir, Bin: bin, Doors: doors, LogLevel: "debug", Between: func(who, broker string) (string, error) {
		l, err := newLink(server, who, broker)
		if err != nil {
			return "", err
		}
		h.links = append(h.links, l)
		return l.proxy.Listen, nil
	}})
	if err != nil {
		return res, err
	}
	defer h.site.Close()
	defer func() {
		for _, l := range h.links {
			l.proxy.Stop()
		}
	}()
	if err := h.site.Start(ctx); err != nil {
		return res, err
	}
	h.observer = observe(h.site.MQTT)
	defer h.observer.close()
	listening, end := context.WithCancel(ctx)
	defer end()
	go h.witness.listen(listening, h.site)

	limited, cancel := context.WithTimeoutCause(ctx, p.Load+overtime, errors.New("the load did not come to its end"))
	defer cancel()
	if err := h.storm(limited, r.wipe); err != nil {
		return res, fmt.Errorf("%w (%w)\n%s", err, context.Cause(limited), h.tails())
	}
	fmt.Printf("  the faults are over after %.0f s\n", time.Since(began).Seconds())
	res, err = h.settle(ctx)
	res.Round, res.Seconds = r.name, round1(time.Since(began))
	return res, err
}

// settle waits until both ends are in step, and judges.
func (h *harness) settle(ctx context.Context) (res result, err error) {
	db, err := openCentral(h.site.Database())
	if err != nil {
		return res, err
	}
	defer db.close()
	calm := time.Now()
	step := func() error {
		return site.Eventually(ctx, "both ends are in step", convergence, 200*time.Millisecond, func() error { return inStep(ctx, h.site, db) })
	}
	late := step()
	statuses, err := askStatuses(ctx, h, time.Minute)
	if err != nil {
		return res, err
	}
	res.Converge = round1(time.Since(calm))
	wrongDoors, err := h.tryDoors(ctx)
	if err != nil {
		return res, err
	}
	var e evidence
	// A door that was released tells a moment later whether somebody went through.
	for range 5 {
		wait(ctx, 2*time.Second)
		late = errors.Join(late, step())
		if e, err = collect(ctx, h, db); err != nil {
			return res, err
		}
		e.statuses = statuses
		if len(e.journal) == len(e.stored) {
			break
		}
	}
	res.Findings = append(judge(h.models, e), wrongDoors)
	for _, m := range h.models {
		res.Changes += m.acked
	}
	boots := map[access.ID]bool{}
	for _, v := range e.journal {
		boots[v.BootID] = true
		if v.Type < 300 {
			res.Decided++
		}
	}
	res.Keys, res.Events, res.Boots, res.Traffic = len(e.keys), len(e.journal), len(boots), h.observer.seen()
	res.Kills, res.Links = map[string]int{}, map[string]int{}
	for _, p := range []*site.Process{h.site.Panel, h.site.CentralProcess, h.site.Broker} {
		res.Kills[p.Name] = p.Kills()
	}
	for _, l := range h.links {
		for kind, n := range l.counts {
			res.Links[kind] += n
		}
	}
	if late != nil {
		res.Faults = append(res.Faults, late.Error())
	}
	for _, f := range res.Findings {
		if f.Wrong > 0 {
			res.Faults = append(res.Faults, fmt.Sprintf("%s: %d of %d", f.Check, f.Wrong, f.Checked))
		}
	}
	return res, nil
}

// triedCards is how many keys are presented at a door in the end.
const triedCards = 120

// tryDoors presents the cards of some keys and compares what the panel decides
// with what the model says: neither has a removed key been kept, nor a valid one
// forgotten, where it matters.
func (h *harness) tryDoors(ctx context.Context) (finding, error) {
	f := finding{Check: "doors that decide wrongly"}
	messages, err := h.site.Local.Watch(ctx)
	if err != nil {
		return f, fmt.Errorf("watch the panel: %w", err)
	}
	decided := make(chan access.EventType, 100)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Event != nil && m.Event.AccessPoint == trialPoint && m.Event.Type < 300 {
				decided <- m.Event.Type
			}
		}
	}()
	r := h.random()
	for range triedCards {
		m := h.models[r.IntN(len(h.models))]
		if len(m.all) == 0 {
			continue
		}
		k := m.all[r.IntN(len(m.all))]
		if k.kind != access.Proximity {
			continue
		}
		f.Checked++
		if _, err := h.site.Local.Badge(ctx, trialReader, k.ident, ""); err != nil {
			return f, fmt.Errorf("badge: %w", err)
		}
		select {
		case t := <-decided:
			if granted := t < 200; granted != k.opens(time.Now()) {
				f.wrong("key %s (removed %v, %s): %s", k.id, k.removed, k.state, t.Text())
			}
		case <-time.After(20 * time.Second):
			f.wrong("key %s: no decision", k.id)
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
	return f, nil
}

// tails are the ends of the logs.
func (h *harness) tails() string {
	text := ""
	for _, p := range []*site.Process{h.site.Panel, h.site.CentralProcess, h.site.Broker} {
		text += fmt.Sprintf("%s:\n%s\n", p.Name, p.LogTail(15))
	}
	return text
}

func round1(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
