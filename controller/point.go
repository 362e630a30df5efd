package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/access"
	"postern/wiegand"
)

// pinWait is how long after its card a PIN may be begun and ended.
const pinWait = 20 * time.Second

// badReadEvery bounds how often unreadable frames of one reader are journalled,
// so that a noisy line can't fill the journal.
const badReadEvery = 10 * time.Second

// point is one reader at work: frames become credentials, credentials become
// decisions, and decisions move its door.
type point struct {
	c      *Controller
	w      ReaderWiring
	frames chan seen
	entry  *wiegand.Entry
	card   *cardEntry // a card that waits for its PIN
	last   lastCard
	pair   atomic.Pointer[access.Pair] // never nil

	heard   time.Duration // when the frame that is at work was read
	lastBad time.Duration
	bad     int // unreadable frames since the last that was journalled

	swap     wiegand.SwapWatch
	health   *wiegand.Health
	tampers  chan bool
	stuck    chan heldLine
	searches chan search // a hint is looked for, one at a time
	lastHint time.Duration
}

// maxAge is how old a frame may be when its turn comes. A door must not open
// minutes later, with nobody or somebody else before it.
const maxAge = 5 * time.Second

// repeatWithin is how soon the same card again is a card held to the reader.
const repeatWithin = 2 * time.Second

// seen is a frame with when it was read.
type seen struct {
	frame wiegand.Frame
	at    time.Duration
}

// cardEntry is a card that was read and waits for its PIN.
type cardEntry struct {
	credentials []access.Credential
	seen        time.Duration // last
	until       time.Duration
}

// lastCard is a card that was granted, when it was first, and where its holder was
// before.
type lastCard struct {
	credentials []access.Credential
	granted     time.Duration
	place       access.Place
}

func newPoint(c *Controller, w ReaderWiring) *point {
	rules := wiegand.DefaultHealthRules()
	rules.Heartbeat = w.Heartbeat
	p := &point{
		c: c, w: w, frames: make(chan seen, 64), entry: wiegand.NewEntry(0),
		health: wiegand.NewHealth(c.mono(), rules), searches: make(chan search, 1),
		tampers: make(chan bool, 16), stuck: make(chan heldLine, 16),
	}
	c.health[w.ID] = p.health.Report()
	p.pair.Store(&access.Pair{})
	return p
}

func (p *point) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.read(ctx) })
	g.Go(func() error { return p.loop(ctx) })
	g.Go(func() error { return p.search(ctx) })
	g.Go(func() error { return p.lines(ctx) })
	if p.w.Tamper != nil {
		g.Go(func() error {
			return p.c.watch(ctx, p.w.Tamper, p.c.opts.Log.With("reader", p.w.ID, "input", "tamper"), p.tamper, p.tamperFault)
		})
	}
	return g.Wait()
}

// read hands frames on. A reader that faults is told once and tried again.
func (p *point) read(ctx context.Context) error {
	log := p.c.opts.Log.With("reader", p.w.ID)
	return follow(ctx, log, p.w.Device.Read, func(f wiegand.Frame) {
		select {
		case p.frames <- seen{f, p.c.mono()}:
		default:
			log.Warn("frame dropped: decisions wait for the store")
		}
	}, func(err error) {
		p.c.Note(access.Event{Type: access.ReaderFault, Detail: access.Clip(p.w.ID + ": " + err.Error())})
	})
}

func (p *point) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f := <-p.frames:
			if age := p.c.mono() - f.at; age > maxAge {
				p.c.opts.Log.Warn("frame dropped: it waited too long", "reader", p.w.ID, "age", age)
				break
			}
			p.heard = f.at
			p.frame(ctx, f.frame)
		case l := <-p.stuck:
			p.healthy(p.health.Stuck(p.c.mono(), l.line, l.held))
		case open := <-p.tampers:
			p.healthy(p.health.Tamper(p.c.mono(), open))
		case <-timer.C:
		}
		p.expire()
		timer.Reset(p.next())
	}
}

// next is how long until an entry or a card's wait for its PIN is over.
func (p *point) next() time.Duration {
	now, at := p.c.mono(), time.Duration(0)
	if t, ok := p.entry.Deadline(); ok {
		at = t
	}
	if p.card != nil && (at == 0 || p.card.until < at) {
		at = p.card.until
	}
	if t, ok := p.health.Deadline(); ok && (at == 0 || t < at) {
		at = t
	}
	if at == 0 {
		return time.Hour
	}
	return max(at-now, 0)
}

func (p *point) expire() {
	now := p.c.mono()
	p.healthy(p.health.Tick(now))
	if p.entry.Expire(now) && p.card == nil {
		p.idle(p.lockedDown())
	}
	if p.card != nil && now >= p.card.until {
		p.giveUp()
	}
}

// giveUp ends a card's wait for its PIN, and says so in the journal.
func (p *point) giveUp() {
	ap := p.c.policy.Load().PointOf(p.w.ID)
	credentials := p.card.credentials
	p.card = nil
	p.entry.Reset()
	p.w.Device.Indicate(SignalDenied)
	if ap != nil {
		p.journal(ap, credentials, access.Decision{Type: access.Denied, Reason: access.ReasonPINTimeout}, access.Trace{})
	}
}

// frame is one frame: a key of the keypad, a card, or noise.
func (p *point) frame(ctx context.Context, f wiegand.Frame) {
	if p.w.Heartbeat > 0 && f.Bits == p.w.Alive && !f.Noise() {
		p.healthy(p.health.Heartbeat(p.c.mono()))
		return
	}
	if p.w.Keypad != "" && f.Pulses == p.w.Keypad.Bits() {
		p.key(ctx, f)
		return
	}
	if p.typed(ctx, f) {
		return
	}
	candidates, err := wiegand.Decode(f.Bits, p.w.Formats)
	if f.Noise() || err != nil || len(candidates) == 0 {
		p.unreadable(f, err)
		return
	}
	p.watchWires(f, true, "")
	s := Sighting{At: p.c.opts.Clock().Now, Reader: p.w.ID, Kind: "card", Bits: f.Bits.String(), Pulses: f.Pulses}
	s.Candidates = p.credentials(candidates)
	s.Problem = p.wiresProblem()
	p.c.opts.Observer.Saw(s)
	ap := p.c.policy.Load().PointOf(p.w.ID)
	if ap == nil || len(s.Candidates) == 0 {
		return
	}
	var credentials []access.Credential
	for _, c := range s.Candidates {
		credentials = append(credentials, c.Credential)
	}
	if p.card != nil {
		if p.held(credentials) {
			return
		}
		p.giveUp()
	}
	p.entry.Reset()
	if d := p.decide(ctx, ap, credentials, nil); d.Type == access.DeniedUnknown {
		p.hint(candidates)
	}
}

// held reports whether the card that waits for its PIN is only being held to a
// reader that reads it again and again.
func (p *point) held(credentials []access.Credential) bool {
	now := p.c.mono()
	again := slices.Equal(p.card.credentials, credentials) && now-p.card.seen < repeatWithin
	p.card.seen = now
	return again
}

// credentials are what the candidates mean at this reader.
func (p *point) credentials(candidates []wiegand.Candidate) []Candidate {
	var out []Candidate
	for _, c := range candidates {
		payload := c.Payload
		if p.w.Matcher.Match != access.Number {
			var err error
			if payload, err = wiegand.FromReader(c.Payload, c.PayloadBits, cmp.Or(p.w.Order, wiegand.MSB), cmp.Or(p.w.Part, wiegand.Whole)); err != nil {
				continue
			}
		}
		if cred, ok := p.w.Matcher.Seen(c.Format, payload, c.PayloadBits, c.Facility, c.Number); ok {
			out = append(out, Candidate{c, cred})
		}
	}
	return out
}

// typed takes a frame of a keypad that sends whole codes, and reports whether
// it was one.
func (p *point) typed(ctx context.Context, f wiegand.Frame) bool {
	if p.w.Buffered == nil || f.Noise() {
		return false
	}
	policy := p.c.policy.Load()
	size := wiegand.MaxBufferedSize
	if policy.Codes.Enabled {
		size = min(size, policy.Codes.Size)
	}
	if p.card != nil {
		size = access.PINSize
	}
	digits, mine, err := p.w.Buffered.Digits(f.Bits, size)
	// What can't be told may hold what was typed, so it is not shown as a card.
	if !mine && err == nil {
		return false
	}
	s := Sighting{At: p.c.opts.Clock().Now, Reader: p.w.ID, Kind: "key", Pulses: f.Pulses}
	if err != nil {
		s.Problem = err.Error()
		if _, damaged := wiegand.Decode(f.Bits, p.w.Formats); damaged != nil {
			p.watchWires(f, false, s.Problem)
		}
		if wires := p.wiresProblem(); wires != "" {
			s.Problem += "; " + wires
		}
	}
	p.c.opts.Observer.Saw(s)
	ap := policy.PointOf(p.w.ID)
	switch {
	case ap == nil:
	case p.card != nil:
		p.pin(ctx, ap, digits) // none where there was an error: wrong
	case err != nil:
	default:
		p.decide(ctx, ap, []access.Credential{access.CodeCredential(digits)}, nil)
	}
	return true
}

// unreadable is a frame that is none of the reader's formats.
func (p *point) unreadable(f wiegand.Frame, err error) {
	s := Sighting{At: p.c.opts.Clock().Now, Reader: p.w.ID, Kind: "noise", Pulses: f.Pulses, Stray: f.Pulses <= strayPulses}
	if p.showable(f) {
		s.Bits = f.Bits.String()
	}
	s.Problem = fmt.Sprintf("%d pulses", f.Pulses)
	if err != nil {
		s.Problem = err.Error()
	}
	p.watchWires(f, false, s.Problem)
	if wires := p.wiresProblem(); wires != "" {
		s.Problem += "; " + wires
	}
	p.c.opts.Observer.Saw(s)
	p.bad++
	now := p.c.mono()
	if p.lastBad != 0 && now-p.lastBad < badReadEvery {
		return
	}
	detail := fmt.Sprintf("reader %s: %s", p.w.ID, s.Problem)
	if p.bad > 1 {
		detail += fmt.Sprintf(" (%d frames)", p.bad)
	}
	p.lastBad, p.bad = now, 0
	e := access.Event{Type: access.BadRead, Detail: access.Clip(detail)}
	if ap := p.c.policy.Load().PointOf(p.w.ID); ap != nil {
		e.Door, e.Point = ap.Door, ap.ID
	}
	p.c.Note(e)
}

// showable reports whether a frame's bits may be shown: keys that ran together
// must not show what was typed.
func (p *point) showable(f wiegand.Frame) bool {
	if f.Noise() {
		return false
	}
	if p.w.Keypad == "" {
		return true
	}
	for _, format := range p.w.Formats {
		if f.Pulses == format.Len {
			return f.Pulses >= 24
		}
	}
	return false
}

// key is one key of the keypad.
func (p *point) key(ctx context.Context, f wiegand.Frame) {
	k, err := p.w.Keypad.Key(f.Bits)
	p.swapped(p.swap.Key(f.Bits, p.w.Keypad))
	if err != nil {
		p.unreadable(f, err)
		return
	}
	p.healthy(p.health.Right(p.c.mono()))
	p.c.opts.Observer.Saw(Sighting{At: p.c.opts.Clock().Now, Reader: p.w.ID, Kind: "key", Pulses: f.Pulses})
	policy := p.c.policy.Load()
	ap := policy.PointOf(p.w.ID)
	if ap == nil {
		return
	}
	switch {
	case p.card != nil:
		p.entry.SetSize(access.PINSize)
	case policy.Codes.Enabled:
		p.entry.SetSize(policy.Codes.Size)
	default:
		p.entry.SetSize(0)
	}
	digits, done := p.entry.Key(p.c.mono(), k)
	if !done {
		return
	}
	if p.card != nil {
		p.pin(ctx, ap, digits)
		return
	}
	p.decide(ctx, ap, []access.Credential{access.CodeCredential(digits)}, nil)
}

// pin is a PIN that was typed after a card. The key is looked up anew: it may
// have been removed meanwhile.
func (p *point) pin(ctx context.Context, ap *access.AccessPoint, digits string) {
	credentials := p.card.credentials
	p.card = nil
	p.decide(ctx, ap, credentials, &digits)
}

// comparePIN compares a PIN as typed. Both ways in which it may be right are
// tried always: how long it takes must not tell which fits.
func (p *point) comparePIN(k access.Key, digits string) (access.PINEntry, error) {
	right, err := p.c.opts.Store.PINMatches(k, digits)
	duress, err2 := p.c.opts.Store.PINMatches(k, access.DuressFor(digits))
	switch {
	case err != nil || err2 != nil:
		return access.PINWrong, errors.Join(err, err2)
	case right:
		return access.PINRight, nil
	case duress:
		return access.PINDuress, nil
	}
	return access.PINWrong, nil
}

func (p *point) lookup(credentials []access.Credential) ([]access.Key, error) {
	var keys []access.Key
	for _, c := range credentials {
		found, err := p.c.opts.Store.Lookup(c)
		if err != nil {
			return nil, fmt.Errorf("look credential up: %w", err)
		}
		keys = append(keys, found...)
	}
	return sortedKeys(keys), nil
}
