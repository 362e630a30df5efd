package controller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/access"
	"postern/wiegand"
)

// The fakes below stand for hardware and for the store's disk only; they run
// under synctest's clock.

type fakeReader struct {
	frames chan wiegand.Frame
	fail   chan error
	stuck  chan bool // D1

	mu      sync.Mutex
	signals []Signal
	at      []time.Time // of each signal
}

func newFakeReader() *fakeReader {
	return &fakeReader{frames: make(chan wiegand.Frame, 64), fail: make(chan error, 8), stuck: make(chan bool, 8)}
}

func (r *fakeReader) Read(ctx context.Context) (wiegand.Frame, error) {
	select {
	case f := <-r.frames:
		return f, nil
	case err := <-r.fail:
		return wiegand.Frame{}, err
	case <-ctx.Done():
		return wiegand.Frame{}, ctx.Err()
	}
}

func (r *fakeReader) Line(ctx context.Context) (int, bool, error) {
	select {
	case held := <-r.stuck:
		return 1, held, nil
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
}

func (r *fakeReader) Indicate(s Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signals = append(r.signals, s)
	r.at = append(r.at, time.Now())
}

func (r *fakeReader) last() Signal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.signals) == 0 {
		return SignalIdle
	}
	return r.signals[len(r.signals)-1]
}

type fakeLock struct {
	mu       sync.Mutex
	released bool
	times    int // it went from secured to released
	err      error
	stuck    chan struct{} // driving it takes until this is closed; nil for no time
}

func (l *fakeLock) Set(released bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stuck := l.stuck; stuck != nil {
		l.mu.Unlock()
		<-stuck
		l.mu.Lock()
	}
	if l.err != nil {
		return l.err
	}
	if released && !l.released {
		l.times++
	}
	l.released = released
	return nil
}

func (l *fakeLock) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times
}

func (l *fakeLock) get() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released
}

// holdUp has the next drive of the lock take until free is called.
func (l *fakeLock) holdUp() (free func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = make(chan struct{})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.stuck)
		l.stuck = nil
	}
}

func (l *fakeLock) breakIt(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

type fakeInput struct {
	levels chan bool
	fail   chan error
}

func newFakeInput(first bool) *fakeInput {
	in := &fakeInput{levels: make(chan bool, 16), fail: make(chan error, 8)}
	in.levels <- first
	return in
}

func (in *fakeInput) Next(ctx context.Context) (bool, error) {
	select {
	case v, ok := <-in.levels:
		if !ok {
			return false, os.ErrClosed
		}
		return v, nil
	case err := <-in.fail:
		return false, err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

type fakeStore struct {
	mu        sync.Mutex
	keys      map[access.Credential][]access.Key
	pins      map[access.ID]string
	lockouts  map[string]access.Lockout
	places    map[access.ID]access.Place
	events    []access.Event
	lookupErr error
	writeErr  error
	compared  int
	onCompare func()
	slow      time.Duration // of a lookup
	commit    time.Duration // of keeping a lockout
	hang      bool          // SetLockouts waits for its context
}

func newFakeStore() *fakeStore {
	return &fakeStore{keys: map[access.Credential][]access.Key{}, pins: map[access.ID]string{}, lockouts: map[string]access.Lockout{}, places: map[access.ID]access.Place{}}
}

func (s *fakeStore) Places() (map[access.ID]access.Place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.places), s.lookupErr
}

func (s *fakeStore) SetPlace(_ context.Context, who access.ID, at access.Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.writeErr != nil:
		return s.writeErr
	case who.IsZero():
		clear(s.places)
	case at.IsZero():
		delete(s.places, who)
	default:
		s.places[who] = at
	}
	return nil
}

func (s *fakeStore) Lookup(c access.Credential) ([]access.Key, error) {
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys[c]), s.lookupErr
}

func (s *fakeStore) PINMatches(k access.Key, pin string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compared++
	if s.onCompare != nil {
		s.onCompare()
	}
	return s.pins[k.ID] == pin && pin != "", nil
}

func (s *fakeStore) Lockout(subject string) (access.Lockout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lockouts[subject], nil
}

func (s *fakeStore) SetLockouts(ctx context.Context, all map[string]access.Lockout) error {
	s.mu.Lock()
	hang, commit := s.hang, s.commit
	s.mu.Unlock()
	time.Sleep(commit) // the bubble's clock
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr != nil {
		return s.writeErr
	}
	maps.Copy(s.lockouts, all)
	return nil
}

func (s *fakeStore) Record(_ context.Context, ev ...access.Event) ([]access.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr != nil {
		return nil, s.writeErr
	}
	out := slices.Clone(ev)
	for i := range out {
		out[i].Seq = uint64(len(s.events) + 1)
		s.events = append(s.events, out[i])
	}
	return out, nil
}

func (s *fakeStore) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

type observed struct {
	mu     sync.Mutex
	saw    []Sighting
	events []access.Event
	doors  []DoorState
	health []string
}

func (o *observed) Saw(s Sighting) { o.mu.Lock(); defer o.mu.Unlock(); o.saw = append(o.saw, s) }
func (o *observed) Recorded(e access.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *observed) DoorChanged(d DoorState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doors = append(o.doors, d)
}

// told is an event as the tests compare it.
type told struct {
	typ    access.EventType
	reason access.Reason
	door   string
	key    access.ID
	cred   string
}

// take gives the events recorded since the last take, without those of the
// readers' health.
func (o *observed) take() []told {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []told
	for _, e := range o.events {
		if e.Type == access.ReaderHealth {
			o.health = append(o.health, e.Detail)
			continue
		}
		out = append(out, told{e.Type, e.Reason, e.Door, e.Key, e.Credential})
	}
	o.events = nil
	return out
}

func (o *observed) sightings() []Sighting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.saw)
}

// bench is a panel of two doors: front takes card or code, lab card and PIN.
type bench struct {
	t                                  *testing.T
	c                                  *Controller
	store                              *fakeStore
	obs                                *observed
	front, lab                         *fakeReader
	gate, uid                          *fakeReader
	frontLock, labLock                 *fakeLock
	contact, rex                       *fakeInput
	fire, fire2, lockdown, aux, tamper *fakeInput
	clock                              func() access.Clock // set before it runs
	untrusted                          atomic.Bool
	away                               atomic.Int64
	atRest                             int
	cards                              []string // identifications of all keys, for hints
	stop                               func()
}

var level = access.ID{1}

func policy(t *testing.T) *access.Policy {
	t.Helper()
	p := &access.Policy{
		Codes: access.CodePolicy{Enabled: true, Size: 6},
		Doors: []access.DoorPolicy{{ID: "front", Times: access.DefaultDoorTimes()}, {ID: "lab", Times: access.DefaultDoorTimes()}},
		Points: []access.AccessPoint{
			{ID: "front-in", Door: "front", Reader: "front", Mode: access.ModeCardOrCode},
			{ID: "lab-in", Door: "lab", Reader: "lab", Mode: access.ModeCardAndPIN},
			{ID: "gate-in", Door: "lab", Reader: "gate", Mode: access.ModeCardOrCode},
			{ID: "uid-in", Door: "lab", Reader: "uid", Mode: access.ModeCard},
		},
		Levels: []access.Level{{ID: level, Name: "always", Grants: []access.Grant{{Points: []string{"front-in", "lab-in", "gate-in", "uid-in"}, Schedule: access.ScheduleAlways}}}},
	}
	if f := p.Compile(); len(f) > 0 {
		t.Fatal(f)
	}
	return p
}

// run runs f against a controller inside a synctest bubble.
func run(t *testing.T, f func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{
			t: t, store: newFakeStore(), obs: &observed{}, front: newFakeReader(), lab: newFakeReader(),
			gate: newFakeReader(), uid: newFakeReader(),
			frontLock: &fakeLock{}, labLock: &fakeLock{}, contact: newFakeInput(false), rex: newFakeInput(false),
			fire: newFakeInput(false), fire2: newFakeInput(false), lockdown: newFakeInput(false), aux: newFakeInput(false), tamper: newFakeInput(false),
		}
		b.clock = func() access.Clock { return access.Trusted(time.Now()) }
		raw40, raw32, h10301 := format(t, "raw40"), format(t, "raw32"), format(t, "H10301")
		em := access.Matcher{Technology: access.EM, Match: access.Full}
		b.c = New(Options{
			Readers: []ReaderWiring{
				{ID: "front", Device: b.front, Formats: []wiegand.Format{raw40}, Matcher: em, Keypad: wiegand.FourBit, Tamper: b.tamper},
				{ID: "lab", Device: b.lab, Formats: []wiegand.Format{raw40}, Matcher: em, Keypad: wiegand.EightBit},
				{ID: "gate", Device: b.gate, Formats: []wiegand.Format{h10301}, Matcher: access.Matcher{Technology: access.EM, Match: access.Low24}, Buffered: &wiegand.Buffered{Facility: 255}},
				{ID: "uid", Device: b.uid, Formats: []wiegand.Format{raw32}, Matcher: access.Matcher{Technology: access.MD, Match: access.High32}, Order: wiegand.LSB, Part: wiegand.First4, Heartbeat: 10 * time.Second, Alive: wiegand.NewBits(0xAA, 8)},
			},
			Doors: []DoorWiring{
				{ID: "front", Lock: b.frontLock, Contact: b.contact, REX: b.rex},
				{ID: "lab", Lock: b.labLock, FireRelease: true},
			},
			Inputs: []InputWiring{
				{ID: "fire", Kind: Fire, Device: b.fire},
				{ID: "fire2", Kind: Fire, Device: b.fire2},
				{ID: "lockdown", Kind: Lockdown, Device: b.lockdown},
				{ID: "bell", Kind: Aux, Device: b.aux},
			},
			Policy: policy(t), Store: b.store, Clock: func() access.Clock {
				if b.untrusted.Load() {
					return access.Clock{Now: time.Now(), State: access.ClockUntrusted}
				}
				return b.clock()
			}, Away: func() time.Duration { return time.Duration(b.away.Load()) }, Observer: b.obs,
			AtRest: func() error { b.atRest++; _ = b.frontLock.Set(false); _ = b.labLock.Set(false); return nil },
			Search: func(_ context.Context, match func(access.Identification) (string, bool)) (string, bool) {
				for _, text := range b.cards {
					id, err := access.ParseIdentification(access.Proximity, text)
					if err != nil {
						t.Error(err)
					}
					if hint, ok := match(id); ok {
						return hint, true
					}
				}
				return "", false
			},
			Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.c.Run(ctx) }()
		b.stop = func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("run: %v", err)
			}
		}
		synctest.Wait()
		f(b)
		b.stop()
	})
}

func format(t *testing.T, name string) wiegand.Format {
	t.Helper()
	f, ok := wiegand.Lookup(name)
	if !ok {
		t.Fatalf("no format %s", name)
	}
	return f
}

const (
	cardA = 0x00499602d2
	cardB = 0x01020E9C9B
)

var keyA, keyB, keyCode = access.ID{0xA}, access.ID{0xB}, access.ID{0xC}

// give adds a card key; pin "" is none.
func (b *bench) give(card uint64, id access.ID, pin string) {
	b.store.set(func() {
		c := access.CardCredential(access.EM, 40, card)
		b.store.keys[c] = append(b.store.keys[c], access.Key{ID: id, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{level}, HasPIN: pin != ""})
		b.store.pins[id] = pin
	})
}

func (b *bench) giveCode(code string) {
	b.store.set(func() {
		b.store.keys[access.CodeCredential(code)] = []access.Key{{ID: keyCode, Type: access.Code, State: access.Enabled, Levels: []access.ID{level}}}
	})
}

func frame40(card uint64) wiegand.Frame {
	return wiegand.Frame{Bits: wiegand.NewBits(card, 40), Pulses: 40}
}

func (b *bench) badge(r *fakeReader, card uint64) {
	r.frames <- frame40(card)
	synctest.Wait()
}

func (b *bench) keys(r *fakeReader, enc wiegand.Encoding, keys string) {
	for _, k := range []byte(keys) {
		bits, err := enc.Encode(k)
		if err != nil {
			b.t.Fatal(err)
		}
		r.frames <- wiegand.Frame{Bits: bits, Pulses: bits.Len()}
		synctest.Wait()
	}
}

func (b *bench) pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func (b *bench) want(what string, want ...told) {
	b.t.Helper()
	if got := b.obs.take(); !slices.Equal(got, want) {
		b.t.Fatalf("%s: events %+v, want %+v", what, got, want)
	}
}
