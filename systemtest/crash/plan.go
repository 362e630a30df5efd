package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/access"
	"postern/store"
	"postern/wire"
)

// The panel that is recorded: small numbers of everything, so that keys meet.
const (
	people     = 48 // keys that come and go
	cards      = 36 // that they share
	journalled = 40 // confirmed events that stay
)

var (
	began  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	office = number(0xa1)
	vault  = number(0xa2)
)

// number is an id whose last bytes are n.
func number(n uint64) (id access.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// policy is one of the two that the recorded panel is given in turn.
func policy(n int) *access.Policy {
	p := &access.Policy{
		Codes:  access.CodePolicy{Enabled: true, Size: 4 + n},
		Levels: []access.Level{{ID: office, Name: "Office"}},
	}
	if n == 1 {
		p.Levels = append(p.Levels, access.Level{ID: vault, Name: "Vault"})
	}
	if faults := p.Compile(); len(faults) > 0 {
		panic(fmt.Sprint(faults)) // it is written above
	}
	return p
}

func matchers(n int) []access.Matcher {
	return []access.Matcher{{Technology: access.EM, Match: []access.Match{access.Full, access.Low24}[n]}}
}

// options are those that the recorded panel opens its store with.
func options(dir string, key []byte, boot uint64) store.Options {
	return store.Options{
		Dir: dir, DeviceKey: key, BootID: number(0xb0 + boot), Policy: policy(0), Matchers: matchers(0),
		Keep: journalled, Cap: 1 << 20, Now: func() time.Time { return began }, Log: slog.New(slog.DiscardHandler),
		Decode: wire.DecodeSnapshotKey,
	}
}

// panel is a store in use, and where it lies.
type panel struct {
	*store.Store
	dir string
}

// act is one step of a lane: one call of the store, which is one transaction.
type act func(ctx context.Context, s panel) error

// plan is what the recorded panel does, on four lanes at once: keys, journal, the
// last good time and a document. The steps of a lane are numbered from 1, and are
// acknowledged by their number.
type plan struct {
	first   uint64          // revision before those of the lane
	before  []access.Update // what an earlier plan applied
	files   int             // last good times and documents that an earlier plan kept
	updates []access.Update // all that the lane of keys applies
	ends    map[uint64]bool // revisions that a batch ends with, and first
	lanes   map[string][]act
	seqs    []uint64 // after each step of the journal, its last event
	// more is what else must be true and must go on, nil for nothing.
	more func(ctx context.Context, s panel, acked map[string]int) error
}

// The lanes of a plan.
const (
	laneKeys    = "keys"
	laneJournal = "journal"
	laneGood    = "good"
	laneDoc     = "document"
)

// newPlan makes a plan for a store at a revision, with so many events.
func newPlan(seed uint64, steps int, revision, events uint64) *plan {
	p := &plan{first: revision, ends: map[uint64]bool{revision: true}, lanes: map[string][]act{}, seqs: []uint64{events}}
	r := rand.New(rand.NewPCG(seed, 2))
	for n := 1; n <= steps; n++ {
		p.lanes[laneKeys] = append(p.lanes[laneKeys], p.keyStep(r, n))
		p.lanes[laneJournal] = append(p.lanes[laneJournal], p.journalStep(r, n))
	}
	for n := range steps / 8 {
		p.lanes[laneGood] = append(p.lanes[laneGood], func(ctx context.Context, s panel) error {
			return s.SetLastGood(ctx, good(p.files+n+1))
		})
		p.lanes[laneDoc] = append(p.lanes[laneDoc], func(_ context.Context, s panel) error {
			return store.WriteDocument(s.dir, docName, document(p.files+n+1))
		})
	}
	return p
}

// good is the time number n that is kept; zero before the first.
func good(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return began.Add(time.Duration(n) * time.Minute)
}

const docName = "policy"

// document is the one number n that is kept, of up to two pages; none before the
// first.
func document(n int) []byte {
	if n == 0 {
		return nil
	}
	return []byte(strings.Repeat(fmt.Sprintf("policy %d\n", n), 1+n*317%800))
}

func (p *plan) keyStep(r *rand.Rand, n int) act {
	switch {
	case n%9 == 5:
		return ackStatus
	case n%13 == 7:
		which := n / 13 % 2
		return func(ctx context.Context, s panel) error {
			_, err := s.SetPolicy(ctx, policy(1-which), matchers(1-which))
			return err
		}
	case n%11 == 3:
		l := access.Lockout{Failures: n%4 + 1, Last: began}
		return func(ctx context.Context, s panel) error { return s.SetLockout(ctx, subject(n), l) }
	}
	if n%11 == 8 {
		who, at := number(1+uint64(n%7)), access.Place{Area: "inside", At: began.Add(time.Duration(n) * time.Minute)}
		if n%3 == 0 {
			who, at = access.ID{}, access.Place{} // everybody is forgotten
		}
		return func(ctx context.Context, s panel) error { return s.SetPlace(ctx, who, at) }
	}
	size := 1 + r.IntN(4)
	if n%10 == 0 {
		size = 60
	}
	b := p.batch(r, size)
	return func(ctx context.Context, s panel) error {
		_, err := s.Apply(ctx, b)
		return err
	}
}

// subjects are who is locked out.
const subjects = 3

func subject(n int) string { return fmt.Sprintf("point:%d", n%subjects) }

// ackStatus confirms all results but those of the last commit.
func ackStatus(ctx context.Context, s panel) error {
	var confirmed, last access.StatusRow
	for {
		row, ok, err := s.NextStatus(last.Seq)
		if err != nil {
			return err
		}
		if !ok {
			return s.AckStatus(ctx, confirmed.BootID, confirmed.Seq)
		}
		confirmed, last = last, row
	}
}

// batch continues the log of changes.
func (p *plan) batch(r *rand.Rand, size int) access.Batch {
	b := access.Batch{Epoch: 1}
	for range size {
		u := update(r, p.last()+1)
		p.updates = append(p.updates, u)
		b.Updates = append(b.Updates, u)
	}
	p.ends[p.last()] = true
	return b
}

// last is the revision that the lane of keys ends with.
func (p *plan) last() uint64 { return p.first + uint64(len(p.updates)) }

// log is all that was ever applied.
func (p *plan) log() []access.Update { return slices.Concat(p.before, p.updates) }

// update is one change: a card that may be another's, a code, or a removal.
func update(r *rand.Rand, revision uint64) access.Update {
	u := access.Update{Revision: revision, Op: access.Put, ID: number(1 + r.Uint64N(people))}
	if r.IntN(3) == 0 {
		u.Op = access.Remove
		return u
	}
	u.Claim = revision
	u.Key = access.Key{ID: u.ID, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{office}}
	u.Key.Identification = identification(access.Proximity, fmt.Sprintf("EM:%d", 1+r.Uint64N(cards)))
	switch r.IntN(6) {
	case 0:
		u.Key.Type = access.Code
		u.Key.Identification = identification(access.Code, fmt.Sprintf("%04d", 1000+r.IntN(cards)))
	case 1:
		u.PIN = fmt.Sprintf("%04d", r.IntN(10000))
	case 2:
		u.Key.Levels = []access.ID{vault}
	}
	return u
}

func identification(t access.Type, text string) access.Identification {
	id, err := access.ParseIdentification(t, text)
	if err != nil {
		panic(err) // it is made above
	}
	return id
}

// credentials are all that any key of a plan has ever had.
func credentials() (out []access.Credential) {
	for n := range uint64(cards) {
		out = append(out, access.CardCredential(access.EM, 40, n+1))
		out = append(out, access.CodeCredential(fmt.Sprintf("%04d", 1000+n)))
	}
	return out
}

func (p *plan) journalStep(r *rand.Rand, n int) act {
	last := p.seqs[len(p.seqs)-1]
	if n%6 == 4 {
		p.seqs = append(p.seqs, last)
		return ackEvents
	}
	var events []access.Event
	for range 1 + r.IntN(10) {
		last++
		events = append(events, eventOf(last))
	}
	p.seqs = append(p.seqs, last)
	return func(ctx context.Context, s panel) error {
		_, err := s.Record(ctx, events...)
		return err
	}
}

// eventOf is the event that has a number.
func eventOf(seq uint64) access.Event {
	return access.Event{
		At: began.Add(time.Duration(seq) * time.Second), Clock: access.ClockTrusted, Type: access.GrantedCard,
		Door: "front", Point: "front-in", Key: number(1 + seq%people), Detail: fmt.Sprintf("event %d", seq),
	}
}

// ackEvents confirms about half of the events that wait.
func ackEvents(ctx context.Context, s panel) error {
	run, ok, err := s.NextEvents(0, 500)
	if err != nil || !ok {
		return err
	}
	e := run.Events[len(run.Events)/2]
	return s.AckEvents(ctx, e.BootID, e.Seq)
}

// starts is how often the recorded panel starts; its plan is cut into as many
// parts.
const starts = 2

// part gives the steps of a lane that a start does, as [from, to).
func (p *plan) part(lane string, start int) (from, to int) {
	n := len(p.lanes[lane])
	return n * (start - 1) / starts, n * start / starts
}

// play does a start's steps of all lanes at once, and says each when it is done.
func (p *plan) play(ctx context.Context, s panel, start int, say func(lane string, n int)) error {
	return running(ctx, s.Store, func(ctx context.Context) error {
		var lanes errgroup.Group
		for lane, acts := range p.lanes {
			from, to := p.part(lane, start)
			lanes.Go(func() error {
				for n := from; n < to; n++ {
					if err := acts[n](ctx, s); err != nil {
						return fmt.Errorf("%s, step %d: %w", lane, n+1, err)
					}
					say(lane, n+1)
				}
				return nil
			})
		}
		return lanes.Wait()
	})
}

// running runs a store while do works with it.
func running(ctx context.Context, s *store.Store, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var runs errgroup.Group
	runs.Go(func() error { return s.Run(ctx) })
	err := do(ctx)
	stop()
	return errors.Join(err, runs.Wait())
}
