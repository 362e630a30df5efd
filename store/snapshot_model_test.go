package store

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"postern/access"
)

// history is central, which sends changes and snapshots, and the panel that
// takes them, in any order and with any crash.
type history struct {
	t   *testing.T
	m   *model
	h   *harness
	all map[access.Credential]bool

	epoch  uint64 // central's
	log    []access.Update
	latest map[access.ID]access.Update
	sent   map[access.Position]access.Update // by epoch and revision
	staged *frozen
	nextID uint64
	locked access.Lockout
}

// crash goes on with a copy of the files as they are now.
func (y *history) crash(rt *rapid.T) {
	dir := y.t.TempDir()
	copyDir(rt, y.h.o.Dir, dir)
	y.h.stop()
	y.h.o.Dir = dir
}

func copyDir(tb failer, from, to string) {
	entries, err := os.ReadDir(from)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it goes while it is copied
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			tb.Fatalf("%v", err)
		}
	}
}

func (y *history) open(rt *rapid.T) {
	y.h.open()
	if len(y.h.rec.Reasons) > 0 {
		rt.Fatalf("recovered from %v", y.h.rec.Reasons)
	}
	if y.staged != nil && y.staged.Epoch < y.m.epoch { // adopted meanwhile
		y.staged = nil
	}
	y.wantStaged(rt)
}

func (y *history) wantStaged(rt *rapid.T) (missing []int) {
	got, missing, ok := y.h.s.Staged()
	if ok != (y.staged != nil) || ok && got != y.staged.Snapshot {
		rt.Fatalf("staged %+v, %v, want %+v", got, ok, y.staged)
	}
	return missing
}

// change is one more revision of central's log.
func (y *history) change(rt *rapid.T) {
	u := drawUpdate(rt, uint64(len(y.log)+1))
	y.log = append(y.log, u)
	if u.Op == access.Remove {
		delete(y.latest, u.ID)
	} else {
		y.latest[u.ID] = u
	}
}

// deliver sends the panel what it lacks of the log, or some of it.
func (y *history) deliver(rt *rapid.T) {
	m := y.m
	b := access.Batch{Epoch: y.epoch}
	if m.epoch == y.epoch || m.epoch == 0 {
		if m.revision >= uint64(len(y.log)) {
			return
		}
		rest := y.log[m.revision:]
		b.Updates = rest[:rapid.IntRange(1, len(rest)).Draw(rt, "some")]
	} else if len(y.log) > 0 {
		b.Updates = y.log[:1]
	} else {
		return
	}
	_, err := y.h.s.Apply(y.t.Context(), b)
	if m.epoch != 0 && m.epoch != y.epoch {
		if !errors.Is(err, access.ErrNewEpoch) {
			rt.Fatalf("Apply of another epoch: %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("Apply: %v", err)
	}
	m.epoch = y.epoch
	for _, u := range b.Updates {
		m.consume(u)
		y.sent[access.Position{Epoch: y.epoch, Revision: u.Revision}] = u
	}
}

// freeze offers a snapshot of the log's head, or of a head of before.
func (y *history) freeze(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "differs") == 0 {
		for id := range y.latest { // the panel has a key that central hasn't
			delete(y.latest, id)
			break
		}
	}
	y.nextID++
	s := freeze(testID(y.nextID), y.epoch, uint64(len(y.log)), slices.Collect(maps.Values(y.latest)))
	s.widen(rapid.SampledFrom([]int{0, 25_000}).Draw(rt, "width"))
	if rapid.IntRange(0, 5).Draw(rt, "old") == 0 && s.Revision > 0 {
		s.Revision--
		for _, u := range s.puts {
			if u.Revision > s.Revision {
				return
			}
		}
	}
	if rapid.IntRange(0, 9).Draw(rt, "older") == 0 && s.Epoch > 1 {
		s.Epoch--
	}
	err := y.h.s.Stage(y.t.Context(), s.Snapshot)
	switch m := y.m; {
	case s.Epoch < m.epoch:
		if !errors.Is(err, access.ErrOldEpoch) {
			rt.Fatalf("Stage of an old epoch: %v", err)
		}
	case s.Epoch == m.epoch && s.Revision < m.revision:
		if !errors.Is(err, access.ErrStale) {
			rt.Fatalf("Stage of an old revision: %v", err)
		}
	case err != nil:
		rt.Fatalf("Stage: %v", err)
	default:
		y.staged = s
	}
	y.wantStaged(rt)
}

// install does so when all is there, and the model is what the rules say.
func (y *history) install(rt *rapid.T) {
	missing := y.wantStaged(rt)
	s, m := y.staged, y.m
	pos, err := y.h.s.Install(y.t.Context())
	switch {
	case s == nil:
		if !errors.Is(err, ErrNotStaged) {
			rt.Fatalf("Install of nothing: %v", err)
		}
		return
	case len(missing) > 0:
		if !errors.Is(err, ErrIncomplete) {
			rt.Fatalf("Install without %v: %v", missing, err)
		}
		return
	case s.Epoch < m.epoch: // adopted meanwhile
		if !errors.Is(err, access.ErrOldEpoch) {
			rt.Fatalf("Install of an old epoch: %v", err)
		}
		y.staged = nil
		return
	case errors.Is(err, ErrIncomplete): // torn in a crash
		if len(y.wantStaged(rt)) == 0 {
			rt.Fatalf("nothing is missing: %v", err)
		}
		return
	case err != nil:
		rt.Fatalf("Install: %v", err)
	}
	later := []access.Update(nil)
	if m.epoch == s.Epoch && m.revision > s.Revision {
		for rev := s.Revision + 1; rev <= m.revision; rev++ {
			later = append(later, y.sent[access.Position{Epoch: s.Epoch, Revision: rev}])
		}
	}
	m.hear(rt, nil)
	m.epoch, m.revision, m.latest, m.snapshot, m.part = s.Epoch, s.Revision, map[access.ID]access.Update{}, s, 0
	for _, u := range s.puts {
		m.latest[u.ID] = u
	}
	for _, u := range later {
		m.consume(u)
	}
	if pos != m.position() {
		rt.Fatalf("Install gave %+v, want %+v", pos, m.position())
	}
	y.staged = nil
	y.wantStaged(rt)
}

// Whatever comes in whatever order, with whatever crash, the store is what the
// snapshot and the changes after it say, and central is told so.
func TestSnapshotModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := testOptions(t, t.TempDir())
		m := &model{latest: map[access.ID]access.Update{}, told: map[access.ID]access.Result{}}
		m.policy, m.matchers = drawPolicy(rt)
		o.Policy, o.Matchers = m.policy, m.matchers
		y := &history{t: t, m: m, h: &harness{tb: rt, o: o}, all: map[access.Credential]bool{}, epoch: 1, latest: map[access.ID]access.Update{}, sent: map[access.Position]access.Update{}}
		y.h.open()
		defer y.h.stop()
		rt.Repeat(map[string]func(*rapid.T){
			"change": func(rt *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(rt, "changes") {
					y.change(rt)
				}
			},
			"deliver":  y.deliver,
			"deliver2": y.deliver,
			"freeze":   y.freeze,
			"chunks": func(rt *rapid.T) {
				if y.staged == nil {
					rt.Skip()
				}
				y.h.stageChunks(y.staged, rapid.IntRange(1, 9).Draw(rt, "chunks"))
			},
			"install":  y.install,
			"install2": y.install,
			"unstage": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
					if err := y.h.s.Unstage(t.Context()); err != nil {
						rt.Fatalf("Unstage: %v", err)
					}
					y.staged = nil
				}
			},
			"epoch": func(rt *rapid.T) {
				if rapid.IntRange(0, 4).Draw(rt, "really") != 0 {
					rt.Skip()
				}
				y.epoch, y.log = max(y.epoch, m.epoch)+1, nil
				for _, id := range slices.SortedFunc(maps.Keys(y.latest), func(a, b access.ID) int { return slices.Compare(a[:], b[:]) }) {
					u := y.latest[id]
					u.Revision = uint64(len(y.log) + 1)
					y.log, y.latest[id] = append(y.log, u), u
				}
			},
			"lockout": func(rt *rapid.T) {
				y.locked = access.Lockout{Failures: rapid.IntRange(1, 3).Draw(rt, "failures")}
				if err := y.h.s.SetLockout(t.Context(), "point:front", y.locked); err != nil {
					rt.Fatalf("SetLockout: %v", err)
				}
			},
			"policy": func(rt *rapid.T) {
				m.policy, m.matchers = drawPolicy(rt)
				if _, err := y.h.s.SetPolicy(t.Context(), m.policy, m.matchers); err != nil {
					rt.Fatalf("SetPolicy: %v", err)
				}
				y.h.o.Policy, y.h.o.Matchers = m.policy, m.matchers
			},
			"reopen": func(rt *rapid.T) {
				y.h.stop()
				y.open(rt)
			},
			"crash": func(rt *rapid.T) {
				y.crash(rt)
				m.crashed = true
				y.tear(rt)
				y.open(rt)
			},
			"": func(rt *rapid.T) {
				m.compare(rt, y.h, y.all)
				if l, err := y.h.s.Lockout("point:front"); err != nil || l != y.locked {
					rt.Fatalf("lockout %+v, %v", l, err)
				}
			},
		})
		y.h.stop()
		if err := CheckFile(y.h.path("keys.db")); err != nil {
			rt.Fatalf("CheckFile: %v", err)
		}
	})
}

// tear does to a staged chunk what a power cut may.
func (y *history) tear(rt *rapid.T) {
	if y.staged == nil || y.staged.Chunks == 0 || rapid.Bool().Draw(rt, "whole") {
		return
	}
	f, err := os.OpenFile(y.h.path(stagedName), os.O_RDWR, 0)
	if err != nil {
		rt.Fatalf("%v", err)
	}
	defer f.Close()
	at := slot(rapid.IntRange(0, y.staged.Chunks-1).Draw(rt, "torn"))
	if rapid.Bool().Draw(rt, "cut") {
		info, _ := f.Stat()
		err = f.Truncate(min(info.Size(), at+50))
	} else {
		_, err = f.WriteAt(make([]byte, 20), at+nonceSize)
	}
	if err != nil {
		rt.Fatalf("%v", err)
	}
}
