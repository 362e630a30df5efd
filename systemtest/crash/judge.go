package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/access"
	"postern/store"
)

// The faults that a state can show.
const (
	faultPanic  = "panic"
	faultOpen   = "not opened"
	faultAside  = "put aside or unreadable"
	faultLost   = "acknowledged, lost"
	faultMixed  = "neither before nor after"
	faultGrant  = "grant for a removed key"
	faultDigest = "wrong position or digest"
	faultStuck  = "does not go on"
)

// faults lists them in the order of the table.
var faults = [...]string{faultPanic, faultOpen, faultAside, faultLost, faultMixed, faultGrant, faultDigest, faultStuck}

// fault is what is wrong with a state.
type fault struct{ kind, text string }

func faultf(kind, format string, args ...any) *fault {
	return &fault{kind, fmt.Sprintf(format, args...)}
}

// truth is what a store holds after each step of a plan, from a run that nothing
// cut: for people and programs, that is as its methods tell it.
type truth struct {
	plan    *plan
	key     []byte           // the recorded panel's device key
	keys    map[string][]int // what keys.db tells, after which steps
	journal map[string][]int
}

// tell gives all that both databases tell.
func tell(s *store.Store) (keys, journal string, err error) {
	if keys, err = tellKeys(s); err != nil {
		return "", "", err
	}
	journal, err = tellJournal(s)
	return keys, journal, err
}

func tellKeys(s *store.Store) (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, s.Position())
	infos, err := s.Keys(access.ID{}, 1<<20)
	if err != nil {
		return "", err
	}
	for _, k := range infos {
		fmt.Fprintf(&b, "%+v\n", k)
	}
	for _, c := range credentials() {
		opening, err := s.Lookup(c)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, c, opening)
	}
	for n := range subjects {
		l, err := s.Lockout(subject(n))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, l)
	}
	places, err := s.Places()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(&b, places) // sorted by key
	for after := uint64(0); ; {
		row, ok, err := s.NextStatus(after)
		if err != nil || !ok {
			return b.String(), err
		}
		fmt.Fprintf(&b, "%+v\n", row)
		after = row.Seq
	}
}

func tellJournal(s *store.Store) (string, error) {
	var b strings.Builder
	events, err := s.Recent(0, 1<<20)
	if err != nil {
		return "", err
	}
	for _, e := range events {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	for after := uint64(0); ; {
		run, ok, err := s.NextEvents(after, 1<<20)
		if err != nil || !ok {
			return b.String(), err
		}
		after = run.Events[len(run.Events)-1].Seq
		fmt.Fprintln(&b, "waiting", run.BootID, run.After, run.Oldest, after)
	}
}

// judge opens the store in dir, which a power cut left so, and gives the first
// thing that is wrong with it, nil for none.
func (t *truth) judge(ctx context.Context, dir string, acked map[string]int) (f *fault) {
	defer func() {
		if r := recover(); r != nil {
			f = faultf(faultPanic, "%v", r)
		}
	}()
	key, err := store.LoadDeviceKey(filepath.Join(dir, deviceKey))
	if err != nil {
		return faultf(faultOpen, "%v", err)
	}
	if acked[laneDevice] > 0 && !bytes.Equal(key, t.key) {
		return faultf(faultLost, "the device key is another")
	}
	s, rec, err := store.Open(ctx, options(dir, key, judgeBoot))
	if err != nil {
		return faultf(faultOpen, "%v", err)
	}
	defer func() {
		if err := s.Close(); err != nil && f == nil {
			f = faultf(faultStuck, "%v", err)
		}
	}()
	if len(rec.Reasons)+len(rec.Quarantined) > 0 || rec.ReadOnly {
		return faultf(faultAside, "%s", strings.Join(rec.Reasons, "; "))
	}
	for _, check := range []func(*store.Store, map[string]int) *fault{t.grants, t.position, t.events, t.lastGood, t.whole} {
		if f := check(s, acked); f != nil {
			return f
		}
	}
	if f := t.document(dir, acked); f != nil {
		return f
	}
	if err := t.goesOn(ctx, s, dir, acked); err != nil {
		return faultf(faultStuck, "%v", err)
	}
	return nil
}

// whole compares with the run that nothing cut. A state is that after the last
// step acknowledged, or after the one that was on its way.
func (t *truth) whole(s *store.Store, acked map[string]int) *fault {
	keys, journal, err := tell(s)
	if err != nil {
		return faultf(faultAside, "%v", err)
	}
	for _, c := range []struct {
		lane, got string
		truth     map[string][]int
	}{{laneKeys, keys, t.keys}, {laneJournal, journal, t.journal}} {
		after, known := c.truth[c.got]
		switch have := acked[c.lane]; {
		case !known:
			return faultf(faultMixed, "%s are as after no step; %d were acknowledged", c.lane, have)
		case slices.Max(after) < have:
			return faultf(faultLost, "%s are as after step %d, %d were acknowledged", c.lane, slices.Max(after), have)
		case slices.Min(after) > have+1:
			return faultf(faultMixed, "%s are as after step %d, %d were acknowledged", c.lane, slices.Min(after), have)
		}
	}
	return nil
}

// grants holds what opens against the log of changes alone.
func (t *truth) grants(s *store.Store, _ map[string]int) *fault {
	latest := map[access.ID]access.Update{}
	for _, u := range t.plan.log() {
		if u.Revision <= s.Position().Revision {
			latest[u.ID] = u
		}
	}
	m := matchers(0)
	for _, c := range credentials() {
		opening, err := s.Lookup(c)
		if err != nil {
			return faultf(faultAside, "%v", err)
		}
		for _, k := range opening {
			u := latest[k.ID]
			if u.Op != access.Put || !slices.Contains(u.Key.Identification.Credentials(m), c) {
				return faultf(faultGrant, "%v opens with key %s, whose latest change is %v", c, k.ID, u)
			}
		}
	}
	return nil
}

// position holds revision, count and digest against the keys and the log.
func (t *truth) position(s *store.Store, _ map[string]int) *fault {
	pos := s.Position()
	keys, err := s.Keys(access.ID{}, 1<<20)
	if err != nil {
		return faultf(faultAside, "%v", err)
	}
	var digest access.Digest
	for _, k := range keys {
		digest = digest.Add(k.Key.ID, k.Revision)
	}
	if digest != pos.Digest || uint64(len(keys)) != pos.Count {
		return faultf(faultDigest, "%d keys don't make the position %+v", len(keys), pos)
	}
	if !t.plan.ends[pos.Revision] {
		return faultf(faultMixed, "revision %d is inside a batch", pos.Revision)
	}
	return nil
}

// events holds the journal against the numbers acknowledged.
func (t *truth) events(s *store.Store, acked map[string]int) *fault {
	events, err := s.Recent(0, 1<<20)
	if err != nil {
		return faultf(faultAside, "%v", err)
	}
	var last uint64
	for i, e := range events {
		if i == 0 {
			last = e.Seq
		} else if e.Seq+1 != events[i-1].Seq {
			return faultf(faultLost, "between the events %d and %d there is none", e.Seq, events[i-1].Seq)
		}
		if e.Detail != eventOf(e.Seq).Detail {
			return faultf(faultMixed, "event %d is %q", e.Seq, e.Detail)
		}
	}
	if want := t.plan.seqs[acked[laneJournal]]; last < want {
		return faultf(faultLost, "the last event is %d, %d was acknowledged", last, want)
	}
	return nil
}

func (t *truth) lastGood(s *store.Store, acked map[string]int) *fault {
	have := t.plan.files + acked[laneGood]
	switch got := s.LastGood(); {
	case got.Equal(good(have)), got.Equal(good(have + 1)):
		return nil
	default:
		return faultf(faultLost, "the last good time is %v, %v was acknowledged", got, good(have))
	}
}

func (t *truth) document(dir string, acked map[string]int) *fault {
	have := t.plan.files + acked[laneDoc]
	got, err := store.ReadDocument(dir, docName)
	switch {
	case err != nil:
		return faultf(faultAside, "%v", err)
	case !bytes.Equal(got, document(have)) && !bytes.Equal(got, document(have+1)):
		return faultf(faultLost, "the document has %d bytes, number %d was acknowledged", len(got), have)
	}
	return nil
}

// goesOn does a little more of everything.
func (t *truth) goesOn(ctx context.Context, s *store.Store, dir string, acked map[string]int) error {
	return running(ctx, s, func(ctx context.Context) error {
		if t.plan.more != nil {
			if err := t.plan.more(ctx, panel{s, dir}, acked); err != nil {
				return err
			}
		}
		next := s.Position().Revision + 1
		b := access.Batch{Epoch: 1, Updates: []access.Update{{Revision: next, Op: access.Remove, ID: number(1)}}}
		if pos, err := s.Apply(ctx, b); err != nil || pos.Revision != next {
			return errors.Join(err, fmt.Errorf("applied %d, now at %d", next, pos.Revision))
		}
		ev, err := s.Record(ctx, eventOf(0))
		if err != nil || len(ev) != 1 {
			return errors.Join(err, fmt.Errorf("recorded %d events of 1", len(ev)))
		}
		return s.SetLastGood(ctx, good(1000))
	})
}

// learn runs a plan on the store in dir without a cut, and keeps what it tells
// after each step.
func learn(ctx context.Context, p *plan, dir string, key []byte) (*truth, error) {
	t := &truth{plan: p, key: key, keys: map[string][]int{}, journal: map[string][]int{}}
	for start := 1; start <= starts; start++ {
		s, rec, err := store.Open(ctx, options(dir, key, uint64(start)))
		if err != nil || len(rec.Reasons) > 0 {
			return nil, errors.Join(err, errors.New(strings.Join(rec.Reasons, "; ")))
		}
		err = running(ctx, s, func(ctx context.Context) error {
			done := map[string]int{}
			for lane := range p.lanes {
				done[lane], _ = p.part(lane, start)
			}
			if err := t.note(ctx, dir, done); err != nil {
				return err
			}
			for _, lane := range slices.Sorted(maps.Keys(p.lanes)) {
				_, to := p.part(lane, start)
				for n := done[lane]; n < to; n++ {
					if err := p.lanes[lane][n](ctx, panel{s, dir}); err != nil {
						return fmt.Errorf("%s, step %d: %w", lane, n+1, err)
					}
					done[lane] = n + 1
					if err := t.note(ctx, dir, done); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// note opens a copy of a store that is between two commits.
func (t *truth) note(ctx context.Context, dir string, done map[string]int) error {
	again, err := os.MkdirTemp(filepath.Dir(dir), "copy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(again)
	if err := copyTree(dir, again); err != nil {
		return err
	}
	s, _, err := store.Open(ctx, options(again, t.key, judgeBoot))
	if err != nil {
		return err
	}
	keys, journal, err := tell(s)
	t.keys[keys] = append(t.keys[keys], done[laneKeys])
	t.journal[journal] = append(t.journal[journal], done[laneJournal])
	return errors.Join(err, s.Close())
}
