package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"postern/access"
	"postern/systemtest/faults/site"
)

// changers is how many goroutines change keys, each those of its own model.
const changers = 4

// cardsOf is the first card number of a changer.
func cardsOf(worker int) uint32 { return uint32(worker+1) * 100_000 }

// change makes a worker's share of the changes, spread over the time.
func change(ctx context.Context, c *site.Client, m *model, known *cards, r *rand.Rand, worker, n int, over time.Duration) error {
	start := time.Now()
	for i := range n {
		if err := sleepUntil(ctx, start.Add(over*time.Duration(i)/time.Duration(n))); err != nil {
			return err
		}
		op := m.next(r, cardsOf(worker))
		if !op.remove.IsZero() {
			if err := c.Remove(ctx, op.remove); err != nil {
				return fmt.Errorf("change %d of worker %d: %w", i, worker, err)
			}
			op.done(op.remove)
			continue
		}
		id, err := c.Add(ctx, fmt.Sprintf("worker-%d-change-%d", worker, i), op.add)
		if err != nil {
			return fmt.Errorf("change %d of worker %d: %w", i, worker, err)
		}
		op.done(id)
		if op.card != "" {
			known.add(op.card)
		}
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	wait := time.NewTimer(time.Until(t))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// eventID is an event's identity.
type eventID struct {
	Boot access.ID
	Seq  uint64
}

// witness listens to the panel and remembers what it said to have committed.
type witness struct {
	mu      sync.Mutex // guards the rest
	seen    map[eventID]access.EventType
	decided int // of them, decisions about a card
}

func newWitness() *witness { return &witness{seen: map[eventID]access.EventType{}} }

// listen takes in what the panel commits, over all its starts, until ctx ends.
func (w *witness) listen(ctx context.Context, s *site.Site) {
	for ctx.Err() == nil {
		messages, err := s.Local.Watch(ctx)
		if err != nil {
			_ = sleepUntil(ctx, time.Now().Add(20*time.Millisecond))
			continue
		}
		for m, err := range messages {
			if err != nil {
				break
			}
			if m.Event != nil {
				w.add(eventID{m.Event.BootID, m.Event.Seq}, m.Event.Type)
			}
		}
	}
}

func (w *witness) add(id eventID, t access.EventType) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.seen[id]; ok {
		return
	}
	w.seen[id] = t
	if t < 300 {
		w.decided++
	}
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decided
}

// badger presents cards at one reader, each card once.
type badger struct {
	reader    int
	known     *cards // that are or were keys, nil for none
	nextKnown int
	unknown   uint32
}

// present presents a card; whether that was seen by a panel that is being killed
// is told by its journal alone.
func (b *badger) present(ctx context.Context, s *site.Site, r *rand.Rand) error {
	card, ok := "", false
	if b.known != nil && r.IntN(2) == 0 {
		if card, ok = b.known.at(b.nextKnown); ok {
			b.nextKnown++
		}
	}
	if !ok {
		b.unknown++
		card = fmt.Sprintf("%013d", 8_000_000+uint32(b.reader)*100_000+b.unknown)
	}
	_, err := s.Local.Badge(ctx, fmt.Sprintf("reader%d", b.reader), card, "")
	return err
}

// cards are the cards of all keys so far, for the badgers.
type cards struct {
	mu   sync.Mutex // guards list
	list []string
}

func (c *cards) add(card string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, card)
}

func (c *cards) at(i int) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i >= len(c.list) {
		return "", false
	}
	return c.list[i], true
}

// run presents cards at one reader until the panel has committed so many
// decisions about all readers, not faster than the time asks for.
func (b *badger) run(ctx context.Context, s *site.Site, w *witness, r *rand.Rand, readers, total int, over time.Duration) error {
	start := time.Now()
	for i := 0; w.count() < total; i++ {
		// As many as were to come by now, and a pause that leaves room for a kill.
		at := start.Add(over * time.Duration(i*readers) / time.Duration(total))
		if err := sleepUntil(ctx, at); err != nil {
			return err
		}
		if err := b.present(ctx, s, r); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			i-- // it does not answer
			start = start.Add(20 * time.Millisecond)
			if err := sleepUntil(ctx, time.Now().Add(20*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return nil
}
