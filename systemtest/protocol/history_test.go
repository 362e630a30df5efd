package protocol

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

// The access levels: two of the first panel, one of the second, and one that
// the second announces too and an operator may share.
var levelIDs = []string{
	"ce8e881e-1392-4f53-b7c2-35eeb3ecaf31", "ce8e881e-1392-4f53-b7c2-35eeb3ecaf32", "ce8e881e-1392-4f53-b7c2-35eeb3ecaf33",
}

const panelA, panelB = "panel-a", "panel-b"

// world is one history as it happens.
type world struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	dir   string
	b     *broker
	o     *office
	m     *model
	owned map[string][]string
	pans  []*panel
	trail []string
	log   logs

	saved      string // copy of central's directory
	savedModel *model
	savedOwned map[string][]string
	cards      map[string]string // copies of panels' cards
	cardEvents map[string]int    // events made before the copy
	events     []string          // every event that was committed
	mayLack    map[string]bool
	restored   bool // central was, and an operator has to look
}

// logs keeps what both ends log, for a history that fails.
type logs struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestHistories plays random histories: changes and events, messages that are
// lost, doubled and late, cut and half-open links, a broker that forgets, crashes
// of both ends, restored cards and databases, other policies and device keys.
// However it went, once the way is open for a while both ends are where the
// model says. POSTERN_HISTORIES sets how many, POSTERN_SEED replays one.
func TestHistories(t *testing.T) {
	n, first := 60, uint64(1)
	if s := os.Getenv("POSTERN_HISTORIES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("POSTERN_SEED"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
		if os.Getenv("POSTERN_HISTORIES") == "" {
			n = 1
		}
	}
	tmpl, err := template()
	must(t, err)
	defer os.RemoveAll(tmpl)
	began := time.Now()
	var done int
	var mu sync.Mutex
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				if t.Failed() {
					continue
				}
				t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { play(t, tmpl, seed) })
				mu.Lock()
				if done++; done%1000 == 0 {
					fmt.Printf("%d histories in %s\n", done, time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		seeds <- first + uint64(i)
	}
	close(seeds)
	wg.Wait()
	t.Logf("%d histories in %s", done, time.Since(began).Round(time.Millisecond))
}

func play(t *testing.T, tmpl string, seed uint64) {
	dir, err := os.MkdirTemp(scratch(), "history-")
	must(t, err)
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tmpl, dir, seed)
		defer w.end()
		w.b.weather(0.02, 0.02, 300*time.Millisecond)
		for range 8 + w.rand.IntN(30) {
			w.step()
		}
		w.finish()
	})
}

func newWorld(t *testing.T, tmpl, dir string, seed uint64) *world {
	w := &world{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 7)), dir: dir, b: newBroker(seed), m: newModel(),
		owned: map[string][]string{panelA: levelIDs[:2], panelB: levelIDs[2:]}, cards: map[string]string{}, cardEvents: map[string]int{},
		mayLack: map[string]bool{},
	}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.o = newOffice(t, w.b, log.With("at", "central"), tmpl, filepath.Join(dir, "central"))
	w.o.start()
	for i, system := range []string{panelA, panelB} {
		must(t, w.o.store.AddPanel(t.Context(), system))
		p := &panel{
			t: t, b: w.b, log: log.With("at", system), rand: w.rand, system: system, dir: filepath.Join(dir, system),
			key: deviceKey(byte(i + 1)),
		}
		p.policy.Store(w.policy(system, false, 4))
		p.start()
		w.pans = append(w.pans, p)
		time.Sleep(5 * time.Second) // the first to announce a level owns it
	}
	w.o.link.Wake()
	return w
}

// policy gives a panel's policy, perhaps without its last level.
func (w *world) policy(system string, lacks bool, codeSize int) *access.Policy {
	var ids []access.ID
	for _, l := range w.owned[system] {
		ids = append(ids, access.MustParseID(l))
	}
	if lacks {
		ids = ids[:len(ids)-1]
	}
	return policyOf(codeSize, ids...)
}

func (w *world) did(format string, args ...any) {
	w.trail = append(w.trail, time.Now().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

func (w *world) pick() *panel { return w.pans[w.rand.IntN(len(w.pans))] }

// step does one thing that people, time or bad luck do.
func (w *world) step() {
	switch n := w.rand.IntN(100); {
	case n < 26:
		w.put()
	case n < 34:
		w.remove()
	case n < 46:
		p := w.pick()
		e := fmt.Sprintf("event-%d", len(w.events))
		w.did("%s %s", p.system, e)
		p.happen(e)
		w.events = append(w.events, e)
	case n < 64:
		d := time.Duration(w.rand.IntN(40_000)) * time.Millisecond
		if w.rand.IntN(12) == 0 {
			d = time.Duration(w.rand.IntN(20)) * time.Minute
		}
		w.did("%s pass", d)
		time.Sleep(d)
	case n < 70:
		id := w.anyone()
		k := 1 + w.rand.IntN(30)
		w.did("cut %s after %d packets", id, k)
		w.b.cutAfter(id, k)
	case n < 73:
		id := w.anyone()
		w.did("%s half open", id)
		w.b.freeze(id, true)
		time.Sleep(time.Duration(w.rand.IntN(20)) * time.Second)
		w.b.freeze(id, false)
	case n < 77:
		wipe := w.rand.IntN(2) == 0
		w.did("broker killed, wiped %v", wipe)
		w.b.stop(wipe)
		time.Sleep(time.Duration(w.rand.IntN(30)) * time.Second)
		w.b.start()
	case n < 82:
		p := w.pick()
		w.did("%s killed", p.system)
		p.kill()
		p.start()
	case n < 86:
		w.did("central killed")
		w.o.kill()
		w.o.start()
	case n < 89:
		w.changePolicy()
	case n < 93:
		w.card()
	case n < 97:
		w.database()
	case n < 98:
		p := w.pick()
		w.did("%s gets another device key", p.system)
		p.kill()
		p.key = deviceKey(byte(10 + w.rand.IntN(200)))
		p.start()
	default:
		lose := []float64{0, 0.02, 0.3}[w.rand.IntN(3)]
		w.did("lose %v", lose)
		w.b.weather(lose, lose/2, 300*time.Millisecond)
	}
}

func (w *world) anyone() string {
	return []string{centralID, panelA, panelB}[w.rand.IntN(3)]
}

func (w *world) put() {
	k := modelKey{kind: "proximity", ident: fmt.Sprintf("0x0%d00%06x", w.rand.IntN(2), 1+w.rand.IntN(5))}
	if w.rand.IntN(4) == 0 {
		k = modelKey{kind: "code", ident: []string{"2847", "5912", "730164"}[w.rand.IntN(3)]}
	}
	for _, l := range levelIDs {
		if w.rand.IntN(2) == 0 {
			k.levels = append(k.levels, l)
		}
	}
	pin := ""
	if k.kind == "proximity" && w.rand.IntN(2) == 0 {
		pin = "4711"
	}
	id := w.o.put(k.kind, k.ident, pin, k.levels...)
	w.did("put %s %s %s %v", id[:4], k.kind, k.ident, len(k.levels))
	w.m.put(id, k, w.owned)
}

func (w *world) remove() {
	ids := slices.Sorted(maps.Keys(w.m.keys))
	if len(ids) == 0 {
		return
	}
	id := ids[w.rand.IntN(len(ids))]
	w.did("remove %s", id[:4])
	w.o.remove(id)
	w.m.remove(id)
}

func (w *world) changePolicy() {
	p := w.pick()
	lacks, size := w.rand.IntN(2) == 0, []int{0, 4, 6}[w.rand.IntN(3)]
	w.did("%s policy: lacks a level %v, code size %d", p.system, lacks, size)
	p.setPolicy(w.policy(p.system, lacks, size))
}

// card makes an image of a panel's card, or puts an earlier one back.
func (w *world) card() {
	p := w.pick()
	if saved, ok := w.cards[p.system]; ok && w.rand.IntN(2) == 0 {
		w.did("%s gets its card of before", p.system)
		p.kill()
		p.restore(saved)
		p.start()
		for _, e := range w.events[w.cardEvents[p.system]:] {
			w.mayLack[e] = true
		}
		return
	}
	w.did("%s card saved", p.system)
	w.cards[p.system], w.cardEvents[p.system] = p.copy(), len(w.events)
}

// database makes a backup of central, or goes back to one.
func (w *world) database() {
	if w.saved != "" && w.rand.IntN(2) == 0 {
		w.did("central restored")
		w.o.kill()
		w.o.restore(w.saved)
		w.m, w.owned = w.savedModel.clone(), w.savedOwned
		w.restored = true
		for _, e := range w.events {
			w.mayLack[e] = true
		}
		w.o.start()
		return
	}
	w.did("central backed up")
	w.saved, w.savedModel, w.savedOwned = w.o.copy(), w.m.clone(), maps.Clone(w.owned)
}

// finish opens the way and waits until both ends are where the model says.
func (w *world) finish() {
	w.did("the way is open")
	w.b.start()
	w.b.weather(0, 0, 10*time.Millisecond)
	for _, id := range []string{centralID, panelA, panelB} {
		w.b.freeze(id, false)
	}
	w.b.mu.Lock()
	w.b.cut = map[string]int{}
	w.b.mu.Unlock()
	var why string
	for range 12 * 60 {
		time.Sleep(20 * time.Second)
		w.operate()
		if why = w.wrong(); why == "" {
			return
		}
	}
	for _, l := range w.trail {
		w.t.Log(l)
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("postern-history-%d.log", w.seed))
	must(w.t, os.WriteFile(file, w.log.b.Bytes(), 0o600))
	w.t.Log("the log of both ends lies in " + file)
	w.t.Fatalf("after hours of calm: %s", why)
}

// operate does what an operator does about alarms after a restore.
func (w *world) operate() {
	panels, err := w.o.store.Panels(context.Background())
	must(w.t, err)
	for _, p := range panels {
		if p.Alarm != "" && w.restored {
			w.did("resync %s: %s", p.SystemID, p.Alarm)
			must(w.t, w.o.store.ResyncPanel(context.Background(), p.SystemID))
			w.o.link.Wake()
		}
	}
}

// wrong says what is not as the model has it, "" when all is.
func (w *world) wrong() string {
	for _, p := range w.pans {
		want := w.m.results(p.system, w.owned[p.system], p.policy.Load())
		if diff := cmp.Diff(want, p.keys()); diff != "" {
			return p.system + " (-model +panel):\n" + diff
		}
		for id, result := range want {
			if got := w.o.results(id)[p.system]; got != result {
				return fmt.Sprintf("central's status of %s on %s is %q, the model's %q", id, p.system, got, result)
			}
		}
	}
	stored := w.o.events()
	for _, e := range w.events {
		if n := stored[e]; n > 1 || n == 0 && !w.mayLack[e] {
			return fmt.Sprintf("%s is %d times at central", e, n)
		}
	}
	return ""
}

func (w *world) end() {
	w.o.close()
	for _, p := range w.pans {
		p.close()
	}
}
