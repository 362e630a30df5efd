package scenarios

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
	"postern/controller"
	"postern/store"
	"postern/wiegand"
	"postern/wire"
)

var matchers = []access.Matcher{{Technology: access.EM, Match: access.Full}, {Technology: access.EM, Match: access.Low24}, {Match: access.Number}}

// How late a door may come into a mode: a little after an instant that is known
// ahead, and ten seconds after the clock was set, or central was away for too long.
const (
	late     = 10 * time.Millisecond
	veryLate = 10*time.Second + 10*time.Millisecond
)

// now is the bubble's time, without what only this process knows of it.
func now() time.Time { return time.Now().Round(0).UTC() }

// world is one panel in its run, and the model beside it.
type world struct {
	t         *testing.T
	rand      *rand.Rand
	dir       string
	simulated bool
	*model
	trail []string
	quiet bool      // no trail is kept
	whole hash.Hash // of all that ever stood in the trail

	fit     [doors]fitting
	swung   [doors]bool // the doors as they stand
	pressed [doors]bool
	known   map[string]card // what readers send, by its bits

	boot     access.ID
	revision uint64
	claims   uint64
	taps     *taps
	dev      *panelDevices
	store    *gate
	ctl      *controller.Controller
	began    time.Time // the controller's monotonic zero
	outside  atomic.Pointer[outside]
	policy   *access.Policy
	stop     func()
	lag      time.Time // until when modes may be behind
	blind    bool      // the power was cut before modes were told: locks can't be judged

	mu      sync.Mutex // guards told
	told    []access.Event
	journal []access.Event // every event that was committed
	boots   int
	seq     uint64 // of the last event that central has
	recover func() // takes over what a card holds, once
}

// outside is what the panel's goroutines are told of the time and of central; the
// model's own is for the test alone.
type outside struct {
	clock wallClock
	heard time.Time
}

func (w *world) publish() { w.outside.Store(&outside{w.clock, w.heard}) }

// Saw does nothing.
func (w *world) Saw(controller.Sighting) {}

// DoorChanged does nothing.
func (w *world) DoorChanged(controller.DoorState) {}

// Recorded takes an event that the panel says is committed.
func (w *world) Recorded(e access.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, e)
}

func newWorld(t *testing.T, dir string, seed uint64, quiet bool, st *stats) *world {
	w := &world{
		t: t, quiet: quiet, whole: sha256.New(), rand: rand.New(rand.NewPCG(seed, 11)), dir: filepath.Join(dir, "panel"), taps: &taps{}, stop: func() {}, known: map[string]card{},
		model: &model{keys: map[access.ID]*key{}, pads: map[string]tries{}, places: map[access.ID]access.Place{}, moved: map[access.ID][]access.Place{}, stats: st},
	}
	w.simulated = chance(w.rand, 3)
	w.now = now()
	day := one(w.rand, time.Date(2026, 3, 28, 22, 50, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 20, 0, 0, time.UTC), time.Date(2026, 11, 22, 8, 59, 0, 0, time.UTC), time.Date(2026, 12, 31, 23, 40, 0, 0, time.UTC))
	w.clock = wallClock{off: day.Sub(w.now), state: access.ClockTrusted, grace: access.UntrustedGrace}
	w.heard = w.now
	w.site = newSite(w.rand, w.wall())
	for _, em := range ems {
		w.known[card{em: em}.bits(0).String()], w.known[card{em: em}.bits(1).String()] = card{em: em}, card{em: em}
	}
	for _, n := range numbers {
		w.known[card{num: n}.bits(2).String()] = card{num: n}
	}
	must(t, os.MkdirAll(w.dir, 0o700))
	w.start()
	for n := range people {
		w.put(n)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) did(format string, args ...any) {
	if w.quiet {
		return
	}
	line := w.wall().Format("15:04:05.000 ") + fmt.Sprintf(format, args...)
	w.trail = append(w.trail, line)
	fmt.Fprintln(w.whole, line)
}

// failed ends the run, with what led to it.
func (w *world) failed(format string, args ...any) {
	w.t.Helper()
	w.flawed(otherWrong, format, args...)
}

// flawed ends the run with a flaw, and with what led to it.
func (w *world) flawed(f flaw, format string, args ...any) {
	w.t.Helper()
	w.stats.Wrong[f]++
	w.t.Logf("%+v", *w.site)
	for _, id := range slices.SortedFunc(maps.Keys(w.keys), func(a, b access.ID) int { return slices.Compare(a[:], b[:]) }) {
		w.t.Logf("%+v", *w.keys[id])
	}
	for _, l := range w.trail {
		w.t.Log(l)
	}
	w.t.Fatalf(format, args...)
}

// start starts the panel: new devices, the store, the controller.
func (w *world) start() {
	w.boots++
	w.boot = access.ID{0xCC, byte(w.boots >> 8), byte(w.boots)}
	for d := range w.fit {
		w.fit[d] = fitting{contact: chance(w.rand, 75), maglock: chance(w.rand, 30), shuntOnly: chance(w.rand, 20), fireRelease: chance(w.rand, 50), rex: true}
	}
	w.policy = w.site.policy()
	w.publish()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("POSTERN_TEST_LOGS") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s, rec, err := store.Open(context.Background(), store.Options{
		Dir: w.dir, DeviceKey: make([]byte, store.DeviceKeySize), BootID: w.boot, Policy: w.policy, Matchers: matchers,
		Keep: 5, Cap: 100_000, Now: func() time.Time { return now().Add(w.outside.Load().clock.off) }, Log: log, Decode: wire.DecodeSnapshotKey,
	})
	must(w.t, err)
	if len(rec.Quarantined) > 0 {
		w.failed("files put aside: %v", rec.Reasons)
	}
	w.store = &gate{Store: s, copy: w.image}
	if w.recover != nil {
		w.recover()
		w.recover = nil
	}
	w.dev = newDevices(w.taps, w.simulated, w.fit)
	o := controller.Options{Policy: w.policy, Store: w.store, Clock: func() access.Clock { return w.outside.Load().clock.at(now()) }, Observer: w, Log: log, Away: func() time.Duration { return time.Since(w.outside.Load().heard) }, AtRest: w.atRest}
	o.Readers, o.Doors, o.Inputs = w.readers(), w.doorWirings(), w.inputs()
	w.dev.comeUp()
	w.began = now()
	w.ctl = controller.New(o)
	w.setOrders()
	w.reset()
	ctx, cancel := context.WithCancel(context.Background())
	storeCtx, stopStore := context.WithCancel(context.Background())
	ran, stored := make(chan error, 1), make(chan error, 1)
	go func() { stored <- s.Run(storeCtx) }()
	go func() { ran <- w.ctl.Run(ctx) }()
	w.stop = func() {
		w.stop = func() {}
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			w.failed("the doors ended: %v", err)
		}
		stopStore()
		if err := <-stored; err != nil {
			w.failed("the store ended: %v", err)
		}
		must(w.t, s.Close())
	}
	w.did("start %+v, board %v", w.fit, w.simulated)
	w.settle()
}

// atRest secures every lock, as a board's Close does.
func (w *world) atRest() error {
	for d := range doors {
		_ = (&lock{t: w.taps, door: d}).Set(false)
	}
	if w.dev.board != nil {
		return w.dev.board.Close()
	}
	return nil
}

func (w *world) readers() []controller.ReaderWiring {
	out := []controller.ReaderWiring{
		{Formats: []wiegand.Format{format("raw40")}, Matcher: matchers[0]},
		{Formats: []wiegand.Format{format("H10301")}, Matcher: matchers[1]},
		{Formats: []wiegand.Format{format("H10304"), format("H10302")}, Matcher: matchers[2]},
		{Formats: []wiegand.Format{format("raw40")}, Matcher: matchers[0]},
	}
	for r := range out {
		out[r].ID, out[r].Device, out[r].Keypad = readerID(r), w.dev.reader(r), keypads[r]
	}
	return out
}

func (w *world) doorWirings() []controller.DoorWiring {
	var out []controller.DoorWiring
	for d, f := range w.fit {
		wire := controller.DoorWiring{ID: doorID(d), RelockOnClose: f.maglock, FireRelease: f.fireRelease}
		l := &lock{t: w.taps, door: d}
		if b := w.dev.board; b != nil {
			l.board = b.Lock(doorID(d))
		}
		wire.Lock = l
		if f.shuntOnly {
			wire.REXAction = access.REXShunt
		}
		if f.contact {
			wire.Contact = w.input("contact", d, "contact"+doorID(d), w.swung[d])
		}
		wire.REX = w.input("rex", d, "rex"+doorID(d), w.pressed[d])
		out = append(out, wire)
	}
	return out
}

func (w *world) inputs() []controller.InputWiring {
	return []controller.InputWiring{
		{ID: "fire0", Kind: controller.Fire, Device: w.input("fire", 0, "fire0", w.fires[0])},
		{ID: "fire1", Kind: controller.Fire, Device: w.input("fire", 1, "fire1", w.fires[1])},
		{ID: "lockdown0", Kind: controller.Lockdown, Device: w.input("lockdown", 0, "lockdown0", w.down)},
		{ID: "aux0", Kind: controller.Aux, Device: w.input("aux", 0, "aux0", w.aux)},
	}
}

func (w *world) input(kind string, n int, name string, now bool) controller.Input {
	if b := w.dev.board; b != nil {
		switch kind {
		case "contact":
			return w.dev.input(kind, n, name, now, b.Contact(doorID(n)))
		case "rex":
			return w.dev.input(kind, n, name, now, b.REX(doorID(n)))
		}
		return w.dev.input(kind, n, name, now, b.Input(name))
	}
	return w.dev.input(kind, n, name, now, nil)
}

// reset forgets in the model what a start forgets: grants, first cards, pairs,
// entries and cards that wait for their PIN. Everything begins locked.
func (w *world) reset() {
	m := w.model
	m.now = now()
	for d := range m.doors {
		m.doors[d] = doorModel{m: m, n: d, fitting: w.fit[d], times: m.site.doors[d].times, now: m.now}
	}
	m.points = [readers]pointModel{}
	m.first = [doors]time.Time{}
	m.stale, m.last = false, [doors]wished{}
	// None is active before the start: an input tells its level.
	m.fires, m.down, m.aux = [2]bool{}, false, false
}

// apply tells the model what crossed an interface.
func (w *world) apply(i item) {
	m := w.model
	m.advance(i.at)
	switch i.kind {
	case "frame":
		w.frame(i)
	case "contact":
		if i.fault {
			m.doors[i.n].lose()
		} else {
			m.doors[i.n].swing(i.on)
		}
	case "rex":
		switch {
		case !i.on:
			m.doors[i.n].happen(m.doors[i.n].letGo)
		default:
			m.doors[i.n].press(i.first)
		}
	case "fire":
		m.fires[i.n] = i.on
		for d := range m.doors {
			m.doors[d].alarmFire(m.fires[0] || m.fires[1])
		}
	case "lockdown":
		m.down = i.on
	case "aux":
		if m.aux != i.on {
			m.aux = i.on
			e := event{at: m.now, typ: access.InputInactive}
			if i.on {
				e.typ = access.InputActive
			}
			m.expect(e)
		}
	}
}

func (w *world) frame(i item) {
	if enc := keypads[i.n]; enc != "" && i.frame.Pulses == enc.Bits() {
		k, err := enc.Key(i.frame.Bits)
		must(w.t, err)
		w.typed(i.n, k)
		return
	}
	c, ok := w.known[i.frame.Bits.String()]
	if !ok {
		w.failed("reader %d read %s, which nobody sent", i.n, i.frame.Bits)
	}
	w.badge(i.n, c)
}

// modeOf is the mode that an event tells of.
var modeOf = map[access.EventType]access.DoorMode{
	access.DoorLocked: access.Locked, access.DoorUnlocked: access.Unlocked, access.DoorBlocked: access.Blocked,
	access.DoorLockedDown: access.LockedDown, access.DoorLockedOpen: access.LockedOpen,
}

// settle waits until the panel has done all that it does now, and has the model
// judge it.
func (w *world) settle() {
	synctest.Wait()
	told := w.takeTold()
	locks, signals := w.catchUp(told)
	w.behind()
	for r, want := range w.signals {
		if want != "" && !slices.Contains(signals[r], want) {
			w.failed("reader %d showed %v, not %s", r, signals[r], want)
		}
	}
	w.signals = [readers]string{}
	w.checkEvents(told)
	w.events = nil
	clear(w.moved)
	w.checkLocks(locks)
}

func (w *world) takeTold() []access.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told
	w.told = nil
	return told
}

// checkLocks compares what the locks did by what each was at the end of every
// instant: of what happens in one, the order is the panel's.
func (w *world) checkLocks(got []change) {
	if want, got := net(w.locks), net(got); !slices.Equal(want, got) {
		w.flawed(wrongLock, "the locks did\n%v\nand had to do\n%v", got, want)
	}
	w.locks = nil
}

// net leaves out what was undone in its own instant.
func net(list []change) []change {
	slices.SortStableFunc(list, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), a.door-b.door) })
	var out []change
	for _, c := range list {
		if n := len(out); n > 0 && out[n-1].at.Equal(c.at) && out[n-1].door == c.door {
			out = out[:n-1]
			continue
		}
		out = append(out, c)
	}
	return out
}

// catchUp brings the model to now, by what crossed the interfaces and by the
// changes of mode that the panel told; it gives what locks and readers did.
func (w *world) catchUp(told []access.Event) ([]change, [readers][]string) {
	items, locks, signals := w.taps.take()
	modes := slices.DeleteFunc(slices.Clone(told), func(e access.Event) bool {
		_, ok := modeOf[e.Type]
		return !ok && e.Type != access.CentralStale && e.Type != access.CentralBack
	})
	for len(items) > 0 || len(modes) > 0 {
		if len(modes) == 0 || len(items) > 0 && !items[0].at.After(w.when(modes[0])) {
			w.apply(items[0])
			items = items[1:]
			continue
		}
		w.changed(modes[0])
		modes = modes[1:]
	}
	w.advance(now())
	return locks, signals
}

// when is an event's instant.
func (w *world) when(e access.Event) time.Time { return w.began.Add(e.Mono - 1) }

// changed is a door that was told another mode, or central that is away for too
// long, or no more: there has to be a cause.
func (w *world) changed(e access.Event) {
	w.advance(w.when(e))
	if mode, ok := modeOf[e.Type]; ok {
		d := slices.IndexFunc(w.doors[:], func(d doorModel) bool { return doorID(d.n) == e.Door })
		// At a start an order that locks need not wait for the lockdown inputs.
		starting := w.when(e).Equal(w.began) && suspends(mode) && w.down
		if want := w.wanted(d); mode != want && !starting {
			w.failed("%s came into mode %s at %s, and has to be %s", e.Door, mode, e.At.Format(time.RFC3339Nano), want)
		}
		was, is := w.last[d], w.wish(d)
		w.last[d] = is
		switch {
		case w.doors[d].mode != mode:
			w.doors[d].set(mode)
		case is.untold(was):
			w.expect(event{at: w.now, typ: e.Type, door: e.Door})
		default:
			w.failed("%s came into mode %s again", e.Door, mode)
		}
		return
	}
	stale := e.Type == access.CentralStale
	if stale == w.stale || stale != w.isStale() {
		w.failed("central is said to be away for too long: %v, at %s", stale, e.At)
	}
	w.stale = stale
	w.expect(event{at: w.now, typ: e.Type})
}

func (m *model) isStale() bool { return m.site.stale > 0 && m.now.Sub(m.heard) > m.site.stale }

// behind fails when a door is not in the mode that it has to be.
func (w *world) behind() {
	if w.now.Before(w.lag) {
		return
	}
	for d := range w.doors {
		is := w.wish(d)
		if w.doors[d].mode != is.mode {
			w.failed("%s is %s, and has to be %s", doorID(d), w.doors[d].mode, is.mode)
		}
		if is.untold(w.last[d]) {
			w.failed("%s was ordered as %+v, now %+v, and nothing tells", doorID(d), w.last[d], is)
		}
		w.last[d] = is
	}
	if after := w.site.stale; w.stale != w.isStale() && (w.stale || w.now.Sub(w.heard) > after+veryLate) {
		w.failed("central is away for too long: %v, and nothing tells", w.isStale())
	}
}

// plain is an event as the model would have it.
func (w *world) plain(e access.Event) event {
	out := event{at: w.when(e), typ: e.Type, reason: e.Reason, door: e.Door, point: e.Point, key: e.Key, person: e.Person, cred: e.Credential}
	if e.Key.IsZero() {
		out.cred = ""
	}
	if _, mode := modeOf[e.Type]; mode {
		out.reason = "" // who ordered it is for people
	}
	return out
}

// aside are events that the model does not follow.
func aside(e access.Event) bool {
	return e.Type == access.ReaderHealth || e.Type == access.PanelStarted
}

func (w *world) checkEvents(told []access.Event) {
	var got []event
	for i, e := range told {
		w.genuine(e)
		if i > 0 && e.Mono < told[i-1].Mono {
			w.failed("%s is out of order", e.Type.Text())
		}
		if !aside(e) {
			got = append(got, w.plain(e))
		}
	}
	w.stats.Events += len(told)
	w.journal = append(w.journal, told...)
	missing, more := slices.Clone(w.events), []event(nil)
	for _, e := range got {
		if i := slices.Index(missing, e); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			more = append(more, e)
		}
	}
	if len(missing) > 0 || len(more) > 0 {
		w.flawed(flawOf(more), "events too many: %v\nmissing: %v\nof %v", more, missing, got)
	}
	if w.quiet {
		return
	}
	// In one instant the doors' order is no matter.
	slices.SortStableFunc(got, func(a, b event) int { return cmp.Compare(a.String(), b.String()) })
	for _, e := range got {
		w.did("  %s", e)
	}
}

// genuine checks what the panel stamps an event with.
func (w *world) genuine(e access.Event) {
	switch {
	case e.Clock != w.clock.state || !e.At.Equal(w.when(e).Add(w.clock.off)):
		w.failed("%s is stamped %s %s at %s", e.Type.Text(), e.At, e.Clock, w.when(e).Add(w.clock.off))
	case e.BootID != w.boot:
		w.failed("%s is of boot %s", e.Type.Text(), e.BootID)
	}
	for _, c := range codes {
		if e.Credential == c {
			w.failed("a code stands in an event")
		}
	}
}

func (e event) String() string {
	return fmt.Sprintf("%s %d %s%q %s %s %x %x %s", e.at.Format("04:05.000"), e.typ, e.typ.Text(), e.reason, e.door, e.point, e.key[:2], e.person[:2], e.cred)
}
