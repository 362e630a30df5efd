package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/access"
	"postern/store"
)

// More lanes, of one step or a few: a device key made, a store opened.
const (
	laneDevice = "device"
	laneOpen   = "open"
)

const (
	deviceKey = "device.key"
	judgeBoot = 0xf // boot id of whoever opens what a power cut left
)

// judge gives what is wrong with a data directory that a power cut left so.
type judge func(ctx context.Context, dir string, acked map[string]int) *fault

// scenario is a program that is recorded, and what must be true of every state
// that a power cut can leave.
type scenario struct {
	name string
	// prepare fills a data directory; it is on the disk before the program starts.
	prepare func(ctx context.Context, dir string) error
	// run is the program. It says what it has been told is done.
	run func(ctx context.Context, dir string, say func(lane string, n int)) error
	// learn makes the judge: before is what prepare made, after what run left.
	learn func(ctx context.Context, before, after string) (judge, error)
}

// size is how much a run does.
type size struct {
	steps int    // of the plans
	depth int    // random states of a kind
	seed  uint64 // of the plans and the states
}

func scenarios(z size) []scenario {
	return []scenario{use(z), compaction(z), snapshot(z), quarantine()}
}

// use is a panel's first start, its work, and a second start: the device key and
// both databases are made, changes of every kind applied.
func use(z size) scenario {
	p := newPlan(z.seed, z.steps, 0, 0)
	return scenario{
		name:    "first start and use",
		prepare: func(context.Context, string) error { return nil },
		run:     p.run,
		learn:   p.learn,
	}
}

// run starts the panel as often as the plan wants.
func (p *plan) run(ctx context.Context, dir string, say func(string, int)) error {
	key, err := store.LoadDeviceKey(filepath.Join(dir, deviceKey))
	if err != nil {
		return err
	}
	say(laneDevice, 1)
	for start := 1; start <= starts; start++ {
		s, rec, err := store.Open(ctx, options(dir, key, uint64(start)))
		if err != nil {
			return err
		}
		if len(rec.Reasons) > 0 {
			return errors.New(strings.Join(rec.Reasons, "; "))
		}
		say(laneOpen, start)
		if err := errors.Join(p.play(ctx, panel{s, dir}, start, say), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) learn(ctx context.Context, before, after string) (judge, error) {
	key, err := store.LoadDeviceKey(filepath.Join(after, deviceKey))
	if err != nil {
		return nil, err
	}
	t, err := learn(ctx, p, before, key)
	if err != nil {
		return nil, fmt.Errorf("the run without a cut: %w", err)
	}
	return t.judge, nil
}

// What a store that wants compacting once held.
const (
	gone       = 4000 // keys
	goneEvents = 12000
)

// compaction is a start with files of which most pages are free, which makes the
// store write them anew, and some work.
func compaction(z size) scenario {
	p := newPlan(z.seed+1, z.steps/6, 2*gone, goneEvents)
	return scenario{name: "compaction at a start", prepare: bloat, run: p.run, learn: p.learn}
}

func bloat(ctx context.Context, dir string) error {
	key, err := store.LoadDeviceKey(filepath.Join(dir, deviceKey))
	if err != nil {
		return err
	}
	s, _, err := store.Open(ctx, options(dir, key, 0))
	if err != nil {
		return err
	}
	err = running(ctx, s, func(ctx context.Context) error {
		puts, removals, events := access.Batch{Epoch: 1}, access.Batch{Epoch: 1}, []access.Event{}
		for n := range uint64(gone) {
			u := access.Update{Revision: n + 1, Op: access.Put, ID: number(1000 + n), Claim: n + 1}
			u.Key = access.Key{ID: u.ID, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{office}}
			u.Key.Identification = identification(access.Proximity, fmt.Sprintf("EM:%d", 100000+n))
			puts.Updates = append(puts.Updates, u)
			removals.Updates = append(removals.Updates, access.Update{Revision: gone + n + 1, Op: access.Remove, ID: u.ID})
		}
		for seq := range uint64(goneEvents) {
			events = append(events, eventOf(seq+1))
		}
		_, putErr := s.Apply(ctx, puts)
		_, removeErr := s.Apply(ctx, removals)
		_, eventErr := s.Record(ctx, events...)
		return errors.Join(putErr, removeErr, eventErr, ackStatus(ctx, panel{Store: s}), s.AckEvents(ctx, number(0xb0), goneEvents))
	})
	return errors.Join(err, s.Close())
}

// quarantine is a start with two damaged files. Wherever it is cut, after the next
// start both lie aside as they were, once; no key opens; every event that could be
// saved is there; and the start after that has nothing to tell.
func quarantine() scenario {
	const steps = 24
	p := newPlan(7, steps, 0, 0)
	return scenario{
		name: "damaged files put aside",
		prepare: func(ctx context.Context, dir string) error {
			if err := p.run(ctx, dir, func(string, int) {}); err != nil {
				return err
			}
			return damage(dir)
		},
		run: func(ctx context.Context, dir string, say func(string, int)) error {
			key, err := store.LoadDeviceKey(filepath.Join(dir, deviceKey))
			if err != nil {
				return err
			}
			s, _, err := store.Open(ctx, options(dir, key, 3))
			if err != nil {
				return err
			}
			say(laneOpen, 1)
			err = running(ctx, s, func(ctx context.Context) error {
				if _, err := s.Apply(ctx, access.Batch{Epoch: 1, Updates: p.updates[:1]}); err != nil {
					return err
				}
				say(laneKeys, 1)
				return nil
			})
			return errors.Join(err, s.Close())
		},
		learn: learnQuarantine,
	}
}

// damage breaks one event of the journal, and has the keys found damaged when
// they were last in use.
func damage(dir string) error {
	path := filepath.Join(dir, "journal.db")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := []byte(eventOf(30).Detail)
	if !bytes.Contains(b, text) {
		return fmt.Errorf("%s has no %s", path, text)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, text, []byte("Event 30")), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "keys.db.damaged"), []byte("met by the test"), 0o600)
}

// learnQuarantine judges by what lay in the directory before and by a start that
// nothing cut.
func learnQuarantine(ctx context.Context, before, after string) (judge, error) {
	bad := map[string][]byte{}
	for _, name := range []string{"keys.db", "journal.db"} {
		b, err := os.ReadFile(filepath.Join(before, name))
		if err != nil {
			return nil, err
		}
		bad[name] = b
	}
	key, err := store.LoadDeviceKey(filepath.Join(before, deviceKey))
	if err != nil {
		return nil, err
	}
	s, rec, err := store.Open(ctx, options(after, key, judgeBoot))
	if err != nil {
		return nil, err
	}
	saved, err := tellJournal(s)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if len(rec.Reasons) > 0 || saved == "" {
		return nil, fmt.Errorf("the start that nothing cut left %q", rec.Reasons)
	}
	return func(ctx context.Context, dir string, acked map[string]int) *fault {
		return judgeQuarantine(ctx, dir, key, bad, saved, acked)
	}, nil
}

func judgeQuarantine(ctx context.Context, dir string, key []byte, bad map[string][]byte, saved string, acked map[string]int) (f *fault) {
	defer func() {
		if r := recover(); r != nil {
			f = faultf(faultPanic, "%v", r)
		}
	}()
	for again := range 2 {
		s, rec, err := store.Open(ctx, options(dir, key, judgeBoot))
		if err != nil {
			return faultf(faultOpen, "%v", err)
		}
		pos := s.Position()
		journal, tellErr := tellJournal(s)
		if err := errors.Join(tellErr, s.Close()); err != nil {
			return faultf(faultStuck, "%v", err)
		}
		switch {
		case again > 0 && len(rec.Reasons)+len(rec.Quarantined) > 0:
			return faultf(faultStuck, "told again: %q", rec.Reasons)
		case acked[laneOpen] > 0 && len(rec.Quarantined) > 0:
			return faultf(faultAside, "put aside again: %q", rec.Reasons)
		case pos.Revision < uint64(acked[laneKeys]):
			return faultf(faultLost, "revision %d, %d was acknowledged", pos.Revision, acked[laneKeys])
		case pos.Revision > 1:
			return faultf(faultGrant, "keys of a damaged file are in force, up to revision %d", pos.Revision)
		case journal != saved:
			return faultf(faultLost, "the events are others than a start without a cut saves")
		}
	}
	for name, want := range bad {
		aside, err := filepath.Glob(filepath.Join(dir, name+".bad-*"))
		if err != nil || len(aside) != 1 {
			return faultf(faultMixed, "%s lies aside %d times", name, len(aside))
		}
		if got, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(got, want) {
			return faultf(faultMixed, "what lies aside of %s is not what it was", name)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(names, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".damaged")
	}) {
		return faultf(faultStuck, "a mark of damage is left")
	}
	return nil
}
