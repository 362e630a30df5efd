package controller

import (
	"context"
	"fmt"
	"time"

	"postern/access"
	"postern/wiegand"
)

// strayPulses is how short a train is noise on the line and not a frame.
const strayPulses = 3

// hintEvery bounds how often a hint is looked for: it may read every key.
const hintEvery = 10 * time.Second

// watchWires takes note of what a frame says about the reader and its wires.
func (p *point) watchWires(f wiegand.Frame, right bool, why string) {
	now := p.c.mono()
	switch {
	case right:
		p.healthy(p.health.Right(now))
	case f.Pulses <= strayPulses:
		p.healthy(p.health.Stray(now))
		return
	default:
		p.healthy(p.health.Wrong(now, why))
	}
	if !f.Noise() {
		p.swapped(p.swap.Frame(f.Bits, p.w.Formats, p.knows))
	}
}

// knows reports whether a frame, had it come so, would be a key's.
func (p *point) knows(b wiegand.Bits) bool {
	candidates, err := wiegand.Decode(b, p.w.Formats)
	if err != nil {
		return false
	}
	for _, c := range p.credentials(candidates) {
		if keys, err := p.c.opts.Store.Lookup(c.Credential); err == nil && len(keys) > 0 {
			return true
		}
	}
	return false
}

func (p *point) swapped(s wiegand.SwapState) { p.healthy(p.health.Swap(p.c.mono(), s)) }

// wiresProblem says in words what a swap of the data lines looks like.
func (p *point) wiresProblem() string {
	switch p.swap.State() {
	case wiegand.SwapReported:
		return "D0 and D1 are swapped: change the two wires of this reader"
	case wiegand.SwapSuspected:
		return "D0 and D1 may be swapped: present another card"
	}
	return ""
}

// healthy journals a change of the reader's health.
func (p *point) healthy(r wiegand.HealthReport, changed bool) {
	if !changed {
		return
	}
	p.c.mu.Lock()
	p.c.health[p.w.ID] = r
	p.c.mu.Unlock()
	e := access.Event{Type: access.ReaderHealth, Detail: access.Clip(fmt.Sprintf("reader %s: %s: %s", p.w.ID, r.State, r.Reason))}
	if ap := p.c.policy.Load().PointOf(p.w.ID); ap != nil {
		e.Door, e.Point = ap.Door, ap.ID
	}
	p.c.Note(e)
}

// search is one look for a key that an unknown card would be, were the reader
// declared otherwise.
type search []wiegand.Candidate

// hint asks for a look, unless one was just made.
func (p *point) hint(candidates []wiegand.Candidate) {
	now := p.c.mono()
	if p.c.opts.Search == nil || p.w.Matcher.Match == access.Number || p.lastHint != 0 && now-p.lastHint < hintEvery {
		return
	}
	p.lastHint = now
	select {
	case p.searches <- candidates:
	default:
	}
}

func (p *point) search(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-p.searches:
			if text, ok := p.c.opts.Search(ctx, func(id access.Identification) (string, bool) { return p.otherwise(s, id) }); ok {
				p.c.opts.Observer.Saw(Sighting{At: p.c.opts.Clock().Now, Reader: p.w.ID, Kind: "hint", Problem: text})
				p.c.Note(access.Event{Type: access.ReaderHint, Detail: access.Clip("reader " + p.w.ID + ": " + text)})
			}
		}
	}
}

// otherwise says how the reader would have to be declared for the candidates to
// be this card.
func (p *point) otherwise(s search, id access.Identification) (string, bool) {
	for _, c := range s {
		for _, order := range []wiegand.Order{wiegand.MSB, wiegand.LSB} {
			v, err := order.Turn(c.Payload, c.PayloadBits)
			if err != nil {
				continue // its bits are no whole bytes
			}
			for _, m := range id.Matchers(v, c.PayloadBits) {
				return fmt.Sprintf("the card would be known with technology = %q, match = %q, byte_order = %q",
					m.Technology, m.Match, order), true
			}
		}
	}
	return "", false
}

// heldLine is a data line that is held low, or is no more.
type heldLine struct {
	line int
	held bool
}

// lines takes note of data lines that are held.
func (p *point) lines(ctx context.Context) error {
	for {
		line, held, err := p.w.Device.Line(ctx)
		if err != nil {
			return ctx.Err() // the board is closed
		}
		select {
		case p.stuck <- heldLine{line, held}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
