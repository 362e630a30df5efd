package wiegand

import (
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// maxHealthReason bounds the caller's words in a reason, in bytes.
const maxHealthReason = 120

// HealthReport is a reader's state.
type HealthReport struct {
	State HealthState
	// Reason says why in a few words, with the caller's own in them; at most 250
	// bytes. It is as it was when the state began.
	Reason string
	// Since is when the state began.
	Since time.Duration
}

// Health joins what is seen of one reader to one state. Every method takes the
// time, as a duration on a monotonic clock (an earlier time than before counts
// as the same), and returns the report and true when the state changed by it,
// and only then. What ends a state asks for more than what began it was short
// of, so that a reader on the edge doesn't flap:
//
//   - tampered and stuck begin at once and end when the contact is closed or the
//     line is free for Settle;
//   - lost begins when Missed heartbeats are missing and ends with the second
//     sign of life (a heartbeat or a right frame) within that time of the first;
//   - swapped is a [SwapWatch]'s report, and ends as it does; the frames that
//     were wrong by it are forgotten then;
//   - faulty begins when Row frames in a row are wrong, degraded when Wrong of
//     the last 16 are; both end with Mend right ones in a row, and with nothing
//     else: a night without cards mends no reader;
//   - degraded begins with Strays stray trains too, each within Calm of the one
//     before, and ends after Calm without any;
//   - with heartbeats it is ok from the first sign of life on; without, for
//     Quiet after each right frame. Otherwise it is not supervised: a reader
//     that sends nothing can't be told from one whose cable is cut.
//
// Health is for one goroutine. It never opens or locks anything.
type Health struct {
	rules HealthRules
	now   time.Duration
	last  HealthReport

	tamper  latch
	stuck   [2]latch
	swapped bool

	ever  bool          // a sign of life came since the start
	heard bool          // one came, and not too long ago
	sign  time.Duration // when it came, or the start
	lost  bool
	back  bool // one sign of life came since it was lost

	frames  uint16 // the last frames, newest lowest; a one is a wrong frame
	row     int    // wrong frames in a row
	right   int    // right frames in a row
	wrong   string // why the last wrong frame was
	faulty  bool
	failing bool

	strays int
	stray  time.Duration // when the last came
	noisy  bool
}

// latch is a condition that holds for a while after it went.
type latch struct {
	on, ending bool
	end        time.Duration
}

func (l *latch) set(now, settle time.Duration, holds bool) {
	switch {
	case holds:
		*l = latch{on: true}
	case l.on && !l.ending:
		l.ending, l.end = true, now+settle
	}
}

func (l *latch) tick(now time.Duration) {
	if l.ending && now >= l.end {
		*l = latch{}
	}
}

// NewHealth returns the health of a reader that was not heard yet. Rules that
// Validate refuses have no meaning.
func NewHealth(now time.Duration, r HealthRules) *Health {
	h := &Health{rules: r.filled(), now: now, sign: now}
	h.last = HealthReport{State: HealthNotSupervised, Since: now}
	h.last.Reason = h.reason(HealthNotSupervised)
	return h
}

// Report returns the state as it is.
func (h *Health) Report() HealthReport { return h.last }

// Right tells of a frame that is right: a card's, known or not, or a key.
func (h *Health) Right(now time.Duration) (HealthReport, bool) {
	h.tick(now)
	h.alive()
	h.frames <<= 1
	h.row, h.right = 0, min(h.right+1, h.rules.Mend)
	if h.right == h.rules.Mend && (h.faulty || h.failing) {
		h.forget()
	}
	return h.settle()
}

// Wrong tells of a frame that is none of the reader's and why, in words that
// have no bits of it in them: what a keypad sends is a secret.
func (h *Health) Wrong(now time.Duration, why string) (HealthReport, bool) {
	h.tick(now)
	h.frames = h.frames<<1 | 1
	h.row, h.right = min(h.row+1, h.rules.Row), 0
	h.wrong = clip(why)
	h.faulty = h.faulty || h.row >= h.rules.Row
	h.failing = h.failing || bits.OnesCount16(h.frames) >= h.rules.Wrong
	return h.settle()
}

// Stray tells of a train of pulses too short for any frame, or too long.
func (h *Health) Stray(now time.Duration) (HealthReport, bool) {
	h.tick(now)
	h.strays, h.stray = min(h.strays+1, h.rules.Strays), h.now
	h.noisy = h.noisy || h.strays >= h.rules.Strays
	return h.settle()
}

// Stuck tells that data line 0 or 1 is held, or free again. Other lines are
// ignored.
func (h *Health) Stuck(now time.Duration, line int, held bool) (HealthReport, bool) {
	h.tick(now)
	if line == 0 || line == 1 {
		h.stuck[line].set(h.now, h.rules.Settle, held)
	}
	return h.settle()
}

// Tamper tells that the reader's case was opened, or closed.
func (h *Health) Tamper(now time.Duration, open bool) (HealthReport, bool) {
	h.tick(now)
	h.tamper.set(h.now, h.rules.Settle, open)
	return h.settle()
}

// Swap tells the state of the reader's SwapWatch; a suspicion is none.
func (h *Health) Swap(now time.Duration, s SwapState) (HealthReport, bool) {
	h.tick(now)
	if h.swapped && s != SwapReported {
		h.forget()
	}
	h.swapped = s == SwapReported
	return h.settle()
}

// Heartbeat tells of a sign of life. Of a reader whose rules have no heartbeats
// it says nothing.
func (h *Health) Heartbeat(now time.Duration) (HealthReport, bool) {
	h.tick(now)
	if h.rules.Heartbeat > 0 {
		h.alive()
	}
	return h.settle()
}

// Tick tells that time went by without anything: silence. It is due at the
// Deadline, and harmless at any other time.
func (h *Health) Tick(now time.Duration) (HealthReport, bool) {
	h.tick(now)
	return h.settle()
}

// Deadline returns when Tick is due next, or false when silence changes nothing.
func (h *Health) Deadline() (time.Duration, bool) {
	var at []time.Duration
	for _, l := range []latch{h.tamper, h.stuck[0], h.stuck[1]} {
		if l.ending {
			at = append(at, l.end)
		}
	}
	if h.noisy {
		at = append(at, h.stray+h.rules.Calm)
	}
	if limit, ok := h.limit(); ok {
		at = append(at, h.sign+limit)
	}
	if len(at) == 0 {
		return 0, false
	}
	first := at[0]
	for _, t := range at[1:] {
		first = min(first, t)
	}
	return first, true
}

// limit is how long a silence may be before it means something.
func (h *Health) limit() (time.Duration, bool) {
	if h.rules.Heartbeat > 0 {
		return h.patience(), !h.lost || h.back
	}
	return h.rules.Quiet, h.heard
}

func (h *Health) patience() time.Duration {
	return h.rules.Heartbeat * time.Duration(h.rules.Missed)
}

// tick moves the time on and ends what ends by it.
func (h *Health) tick(now time.Duration) {
	h.now = max(h.now, now)
	h.tamper.tick(h.now)
	h.stuck[0].tick(h.now)
	h.stuck[1].tick(h.now)
	if h.strays > 0 && h.now-h.stray >= h.rules.Calm {
		h.strays, h.noisy = 0, false
	}
	limit, ok := h.limit()
	if !ok || h.now-h.sign < limit {
		return
	}
	if h.rules.Heartbeat > 0 {
		h.lost, h.back = true, false
	} else {
		h.heard = false
	}
}

// alive takes a sign of life.
func (h *Health) alive() {
	h.ever, h.heard, h.sign = true, true, h.now
	if h.lost {
		h.lost, h.back = !h.back, !h.back
	}
}

// forget drops what was wrong with frames.
func (h *Health) forget() {
	h.frames, h.row, h.faulty, h.failing = 0, 0, false, false
}

func (h *Health) settle() (HealthReport, bool) {
	state := h.state()
	if state == h.last.State {
		return h.last, false
	}
	h.last = HealthReport{State: state, Reason: h.reason(state), Since: h.now}
	return h.last, true
}

func (h *Health) state() HealthState {
	switch {
	case h.tamper.on:
		return HealthTampered
	case h.stuck[0].on || h.stuck[1].on:
		return HealthStuck
	case h.lost:
		return HealthLost
	case h.swapped:
		return HealthSwapped
	case h.faulty:
		return HealthFaulty
	case h.failing, h.noisy:
		return HealthDegraded
	case h.heard:
		return HealthOK
	}
	return HealthNotSupervised
}

func (h *Health) reason(s HealthState) string {
	switch s {
	case HealthTampered:
		return "its tamper contact is open"
	case HealthStuck:
		switch {
		case h.stuck[0].on && h.stuck[1].on:
			return "D0 and D1 are held low: look at its supply and cable"
		case h.stuck[0].on:
			return "D0 is held low: look at its cable"
		}
		return "D1 is held low: look at its cable"
	case HealthLost:
		return fmt.Sprintf("no heartbeat for %v, and one is due every %v", h.patience(), h.rules.Heartbeat)
	case HealthSwapped:
		return "two different frames are right only when inverted: D0 and D1 are swapped"
	case HealthFaulty:
		return fmt.Sprintf("%d frames in a row were wrong: %s", h.rules.Row, h.wrong)
	case HealthDegraded:
		if h.failing {
			return fmt.Sprintf("%d of the last %d frames were wrong: %s", bits.OnesCount16(h.frames), healthWindow, h.wrong)
		}
		return fmt.Sprintf("%d stray pulse trains within %v of each other", h.rules.Strays, h.rules.Calm)
	case HealthOK:
		if h.rules.Heartbeat > 0 {
			return "it gives signs of life"
		}
		return "its frames are right"
	}
	if !h.ever {
		return "nothing was heard of it yet"
	}
	return fmt.Sprintf("no right frame for %v, and silence tells nothing of its cable", h.rules.Quiet)
}

// clip cuts text to the bound, at a whole character.
func clip(text string) string {
	if len(text) > maxHealthReason {
		text = text[:maxHealthReason]
	}
	return strings.ToValidUTF8(text, "")
}
