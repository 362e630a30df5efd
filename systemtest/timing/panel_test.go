package timing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/access"
	"postern/controller"
	"postern/store"
	"postern/wiegand"
	"postern/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	card  = 0x01020E9C9B
	right = "4719"
	point = "point:in"
)

var (
	level   = access.ID{1}
	holder  = access.ID{2}
	matcher = access.Matcher{Technology: access.EM, Match: access.Full}
)

// keyStore is a store with some keys, the holder's with a PIN. Its files are in
// memory where the machine has such a place: a disk's noise is not the question.
func keyStore(t *testing.T, p *access.Policy) *store.Store {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "postern-timing-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, _, err := store.Open(t.Context(), store.Options{
		Dir: dir, DeviceKey: make([]byte, store.DeviceKeySize), BootID: access.ID{9}, Policy: p, Matchers: []access.Matcher{matcher},
		Keep: 100, Cap: 1000, Now: time.Now, Log: slog.New(slog.DiscardHandler), Decode: wire.DecodeSnapshotKey,
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; must(t, s.Close()) })
	var batch access.Batch
	batch.Epoch = 1
	for i := range 200 {
		up := access.Update{Op: access.Put, Revision: uint64(i + 1), Claim: uint64(i + 1), ID: access.ID{7, byte(i)}, PIN: fmt.Sprintf("%04d", 1000+i)}
		number := uint64(card + 1 + i)
		if i == 100 {
			up.ID, up.PIN, number = holder, right, card
		}
		up.Key = access.Key{ID: up.ID, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{level}, HasPIN: true}
		up.Key.Identification, err = access.ParseIdentification(access.Proximity, fmt.Sprintf("%013d", number))
		must(t, err)
		batch.Updates = append(batch.Updates, up)
	}
	_, err = s.Apply(t.Context(), batch)
	must(t, err)
	return s
}

func policy(t *testing.T) *access.Policy {
	t.Helper()
	p := &access.Policy{
		Doors:   []access.DoorPolicy{{ID: "door", Times: access.DefaultDoorTimes()}},
		Points:  []access.AccessPoint{{ID: "in", Door: "door", Reader: "reader", Mode: access.ModeCardAndPIN}},
		Levels:  []access.Level{{ID: level, Name: "all", Grants: []access.Grant{{Points: []string{"in"}, Schedule: access.ScheduleAlways}}}},
		Lockout: access.LockoutRules{KeyTries: access.MaxTries, PointTries: access.MaxTries},
		Duress:  true,
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wrongPIN is one of those that are neither right nor of somebody under duress.
func wrongPIN(r *rand.Rand) string {
	for {
		if pin := fmt.Sprintf("%04d", r.IntN(10_000)); pin != right && access.DuressFor(pin) != right {
			return pin
		}
	}
}

// reader is a reader with a keypad and its light.
type reader struct {
	frames chan wiegand.Frame
	shown  chan shown
}

type shown struct {
	signal controller.Signal
	at     time.Time
}

func (r *reader) Read(ctx context.Context) (wiegand.Frame, error) {
	select {
	case f := <-r.frames:
		return f, nil
	case <-ctx.Done():
		return wiegand.Frame{}, ctx.Err()
	}
}

func (r *reader) Line(ctx context.Context) (int, bool, error) {
	<-ctx.Done()
	return 0, false, ctx.Err()
}

func (r *reader) Indicate(s controller.Signal) {
	at := time.Now()
	if s == controller.SignalGranted || s == controller.SignalDenied || s == controller.SignalPINWanted {
		r.shown <- shown{s, at}
	}
}

type lock struct{}

func (lock) Set(bool) error { return nil }

type nobody struct{}

func (nobody) Saw(controller.Sighting)          {}
func (nobody) Recorded(access.Event)            {}
func (nobody) DoorChanged(controller.DoorState) {}

// panel is a controller with a reader and a door.
type panel struct {
	t   *testing.T
	s   *store.Store
	ctl *controller.Controller
	dev *reader
	n   int
}

// newPanel runs a controller on the store, which compare may stand before.
func newPanel(t *testing.T, compare func(*store.Store) controller.Store) *panel {
	t.Helper()
	pol := policy(t)
	p := &panel{t: t, s: keyStore(t, pol), dev: &reader{frames: make(chan wiegand.Frame), shown: make(chan shown, 1)}}
	raw40, ok := wiegand.Lookup("raw40")
	if !ok {
		t.Fatal("no format raw40")
	}
	p.ctl = controller.New(controller.Options{
		Readers: []controller.ReaderWiring{{ID: "reader", Device: p.dev, Formats: []wiegand.Format{raw40}, Matcher: matcher, Keypad: wiegand.FourBit}},
		Doors:   []controller.DoorWiring{{ID: "door", Lock: lock{}}},
		Policy:  pol, Store: compare(p.s), Clock: func() access.Clock { return access.Trusted(time.Now()) },
		Observer: nobody{}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.ctl.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return p
}

func (p *panel) send(f wiegand.Frame) { p.dev.frames <- f }

func (p *panel) key(k byte) {
	bits, err := wiegand.FourBit.Encode(k)
	must(p.t, err)
	p.send(wiegand.Frame{Bits: bits, Pulses: bits.Len()})
}

func (p *panel) want(s controller.Signal) shown {
	select {
	case got := <-p.dev.shown:
		if got.signal != s {
			p.t.Fatalf("the reader shows %s, want %s", got.signal, s)
		}
		return got
	case <-time.After(10 * time.Second):
		p.t.Fatalf("no answer, want %s", s)
	}
	return shown{}
}

// enter shows the card, types a PIN, and gives the time from its last key to the
// answer.
func (p *panel) enter(pin string, want controller.Signal) time.Duration {
	if p.n++; p.n%20 == 0 { // wrong ones must not lock it out
		must(p.t, p.s.SetLockout(p.t.Context(), point, access.Lockout{}))
	}
	p.send(wiegand.Frame{Bits: wiegand.NewBits(card, 40), Pulses: 40})
	p.want(controller.SignalPINWanted)
	for _, k := range []byte(pin[:len(pin)-1]) {
		p.key(k)
	}
	for p.ctl.Pending() > 0 { // the journal of the try before
		time.Sleep(50 * time.Microsecond)
	}
	began := time.Now()
	p.key(pin[len(pin)-1])
	return p.want(want).at.Sub(began)
}

// pins are the classes of a right and of a wrong PIN at a panel.
func pins(name string, p *panel) classes {
	r := rand.New(rand.NewPCG(3, 4))
	return classes{name, func(second bool) time.Duration {
		if second {
			return p.enter(wrongPIN(r), controller.SignalDenied)
		}
		return p.enter(right, controller.SignalGranted)
	}}
}

// TestPanelAnswersAlike measures from the last key to the answer: reader, lookup,
// rules, the commit of the count, and the comparison.
func TestPanelAnswersAlike(t *testing.T) {
	p := newPanel(t, func(s *store.Store) controller.Store { return s })
	if pins("right and wrong PIN at the panel", p).differ(t, tries(200)) {
		t.Error("the time of an answer tells a right PIN from a wrong one")
	}
}

// hasty ends a comparison at the first wrong digit.
type hasty struct{ *store.Store }

func (h hasty) PINMatches(k access.Key, pin string) (bool, error) {
	for i := range len(right) {
		if len(pin) != len(right) || pin[i] != right[i] {
			return false, nil
		}
	}
	return h.Store.PINMatches(k, pin)
}

func TestPanelOfHastyComparisonIsFound(t *testing.T) {
	if !full() {
		t.Skip("it takes many tries to find a few microseconds in those of a panel: POSTERN_PIN_TIMING=full")
	}
	p := newPanel(t, func(s *store.Store) controller.Store { return hasty{s} })
	if !pins("control: a comparison that ends early, at the panel", p).differ(t, tries(200)) {
		t.Error("a comparison that ends early is not found, so that the other test shows nothing")
	}
}
