package protocol

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
	"postern/store"
	psync "postern/sync"
	"postern/wire"
)

// panel is a panel without doors: its store in a directory, and its client.
type panel struct {
	t      testing.TB
	b      *broker
	log    *slog.Logger
	rand   *rand.Rand
	system string
	dir    string
	key    []byte                        // device key
	policy atomic.Pointer[access.Policy] // as announced, also by the client

	boot   access.ID
	store  *store.Store
	client *psync.Client
	stop   context.CancelFunc
	done   sync.WaitGroup
	put    []string // files put aside at the last start
}

// matchers are those of a reader that sends the low 24 bits of an EM card.
var matchers = []access.Matcher{{Technology: access.EM, Match: access.Low24}}

func (p *panel) start() {
	for i := range p.boot {
		p.boot[i] = byte(p.rand.Uint32())
	}
	p.boot[6], p.boot[8] = p.boot[6]&0x0f|0x40, p.boot[8]&0x3f|0x80
	must(p.t, os.MkdirAll(p.dir, 0o700))
	s, rec, err := store.Open(context.Background(), store.Options{
		Dir: p.dir, DeviceKey: p.key, BootID: p.boot, Policy: p.policy.Load(), Matchers: matchers, Keep: 10, Cap: 100_000,
		Log: p.log, Decode: wire.DecodeSnapshotKey,
	})
	must(p.t, err)
	p.store, p.put = s, rec.Quarantined
	p.client, err = psync.New(psync.Options{
		SystemID: p.system, Broker: "tcp://pipe:1", BootID: p.boot, Version: "test", Clock: func() string { return "trusted" },
		Panel: p.announcement, Replica: s, Log: p.log, NewClient: p.b.client,
	})
	must(p.t, err)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	client := p.client
	p.done.Go(func() { _ = s.Run(ctx) })
	p.done.Go(func() { _ = client.Run(ctx) })
}

func (p *panel) announcement() wire.Panel {
	w := wire.Panel{
		Name: p.system, Codes: wire.Codes{Enabled: p.policy.Load().Codes.Enabled, Size: p.policy.Load().Codes.Size},
		Doors: []wire.Named{}, AccessPoints: []wire.Point{}, AccessLevels: []wire.PanelLevel{},
		Limits: wire.Limits{MaxPayload: wire.MaxPayload, MaxLevels: access.MaxLevels},
	}
	for _, l := range p.policy.Load().Levels {
		w.AccessLevels = append(w.AccessLevels, wire.PanelLevel{ID: l.ID, Name: l.Name})
	}
	return w
}

// kill ends the panel as a power cut does: what it had committed is all that is left.
func (p *panel) kill() {
	synctest.Wait()
	left := p.copy()
	p.close()
	must(p.t, os.RemoveAll(p.dir))
	must(p.t, os.Rename(left, p.dir))
}

func (p *panel) close() {
	p.stop()
	p.done.Wait()
	must(p.t, p.store.Close())
}

func (p *panel) copy() string {
	synctest.Wait()
	return copyDir(p.t, p.dir)
}

// restore puts an earlier copy of the card in; the panel is not running.
func (p *panel) restore(from string) {
	must(p.t, os.RemoveAll(p.dir))
	copyInto(p.t, from, p.dir)
}

// setPolicy puts another policy in force while the panel runs.
func (p *panel) setPolicy(pol *access.Policy) {
	_, err := p.store.SetPolicy(context.Background(), pol, matchers)
	must(p.t, err)
	p.policy.Store(pol)
	p.client.PanelChanged()
}

// happen journals an event with its detail.
func (p *panel) happen(detail string) {
	_, err := p.store.Record(context.Background(), access.Event{At: time.Now(), Clock: access.ClockTrusted, Type: access.GrantedCard, Door: "d", Point: "d-in", Detail: detail})
	must(p.t, err)
}

// keys is what the panel holds, by id: whether each opens, and why not.
func (p *panel) keys() map[string]string {
	out := map[string]string{}
	list, err := p.store.Keys(access.ID{}, 10_000)
	must(p.t, err)
	for _, k := range list {
		out[k.Key.ID.String()] = resultText(k.Result.Error)
	}
	return out
}

func resultText(e access.ErrorType) string {
	if e == access.Applied {
		return "applied"
	}
	return string(e)
}

// policyOf makes a policy with the levels, and codes of a size (0: off).
func policyOf(codeSize int, levels ...access.ID) *access.Policy {
	p := &access.Policy{
		Codes:  access.CodePolicy{Enabled: codeSize > 0, Size: max(codeSize, access.MinPanelCodeSize)},
		Points: []access.AccessPoint{{ID: "d-in", Name: "in", Door: "d", Reader: "r", Mode: access.ModeCardOrCode}},
		Doors:  []access.DoorPolicy{{ID: "d", Name: "door", Times: access.DefaultDoorTimes()}},
	}
	for i, l := range levels {
		p.Levels = append(p.Levels, access.Level{
			ID: l, Name: fmt.Sprint("level ", i), Grants: []access.Grant{{Points: []string{"d-in"}, Schedule: access.ScheduleAlways}},
		})
	}
	if faults := p.Compile(); len(faults) > 0 {
		panic(faults[0].String())
	}
	return p
}

func deviceKey(n byte) []byte {
	k := make([]byte, store.DeviceKeySize)
	for i := range k {
		k[i] = n
	}
	return k
}
