package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"postern/access"
	"postern/store"
	"postern/wire"
)

// others are the keys that the panel lacks and the snapshot brings.
const others = 300

// everyInstall is of how many states with a staged snapshot one goes on with it.
const everyInstall = 4

// shot is a snapshot as central has it.
type shot struct {
	access.Snapshot
	data []byte
	puts map[access.ID]access.Update
}

// snapshot is the arrival of a snapshot over two starts, its installation, and
// changes meanwhile and after. At every moment the keys are the old ones
// or the new, in both cases with all changes that were acknowledged; what has
// arrived is gone on with.
func snapshot(z size) scenario {
	first := newPlan(z.seed+2, 30, 0, 0)
	p := newPlan(z.seed+3, max(18, z.steps/4), first.last(), first.seqs[len(first.seqs)-1])
	p.before, p.files = first.updates, len(first.lanes[laneGood])
	sh := shoot(first)
	// The first start stages it, since what is below the panel's revision is too late,
	// and gets a part; the second gets the rest and installs.
	acts := p.lanes[laneKeys]
	const staged = 1
	part, installed := len(acts)/3, len(acts)*3/4
	acts = slices.Insert(acts, staged-1, act(func(ctx context.Context, s panel) error { return s.Stage(ctx, sh.Snapshot) }))
	acts = slices.Insert(acts, part-1, act(func(ctx context.Context, s panel) error { return sh.bring(ctx, s, 1) }))
	p.lanes[laneKeys] = slices.Insert(acts, installed-1, act(sh.install))
	tried := 0
	p.more = func(ctx context.Context, s panel, acked map[string]int) error {
		_, _, ok := s.Staged()
		switch have := acked[laneKeys]; {
		case have >= installed && ok:
			return errors.New("the snapshot is staged again")
		case have >= staged && have < installed-1 && !ok:
			return errors.New("the snapshot is no longer staged")
		case !ok:
			return nil
		}
		if tried++; tried%everyInstall != 0 {
			return nil
		}
		if err := sh.install(ctx, s); err != nil {
			return err
		}
		if got, want := s.Position().Digest, sh.digest(p.log(), s.Position().Revision); got != want {
			return fmt.Errorf("installed, the digest is %v, want %v", got, want)
		}
		return nil
	}
	return scenario{name: "a snapshot staged and installed", prepare: func(ctx context.Context, dir string) error {
		return first.run(ctx, dir, func(string, int) {})
	}, run: p.run, learn: p.learn}
}

// shoot is the snapshot of the keys after a plan, and of others.
func shoot(p *plan) *shot {
	sh := &shot{Snapshot: access.Snapshot{ID: number(0x5a), Epoch: 1, Revision: p.last()}, puts: map[access.ID]access.Update{}}
	for n := range uint64(others) {
		u := access.Update{Revision: 1 + n%p.last(), Op: access.Put, ID: number(5000 + n), Claim: 1 + n}
		u.Key = access.Key{ID: u.ID, Type: access.Proximity, State: access.Enabled, Levels: []access.ID{office}}
		u.Key.Identification = identification(access.Proximity, fmt.Sprintf("EM:%d", 200000+n))
		sh.puts[u.ID] = u
	}
	for _, u := range p.updates {
		if u.Op == access.Remove {
			delete(sh.puts, u.ID)
		} else {
			sh.puts[u.ID] = u
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(sh.puts), func(a, b access.ID) int { return bytes.Compare(a[:], b[:]) }) {
		u := sh.puts[id]
		sh.data = wire.AppendSnapshotKey(sh.data, wire.SnapshotKey{
			Revision: u.Revision, ID: id, Claim: u.Claim, Key: wire.EncodeKey(u.Key, u.PIN),
		})
	}
	sh.Digest, sh.Count = sh.digest(nil, 0), uint64(len(sh.puts))
	sh.Bytes, sh.SHA256 = int64(len(sh.data)), sha256.Sum256(sh.data)
	sh.Chunks = (len(sh.data) + access.ChunkSize - 1) / access.ChunkSize
	return sh
}

// digest is that of the snapshot's keys with a log's changes after it, up to a
// revision.
func (sh *shot) digest(log []access.Update, upTo uint64) (d access.Digest) {
	puts := maps.Clone(sh.puts)
	for _, u := range log {
		switch {
		case u.Revision <= sh.Revision || u.Revision > upTo:
		case u.Op == access.Remove:
			delete(puts, u.ID)
		default:
			puts[u.ID] = u
		}
	}
	for id, u := range puts {
		d = d.Add(id, u.Revision)
	}
	return d
}

// bring stages at most so many of the chunks that are missing.
func (sh *shot) bring(ctx context.Context, s panel, most int) error {
	_, missing, _ := s.Staged()
	for _, n := range missing[:min(most, len(missing))] {
		from := n * access.ChunkSize
		if err := s.StageChunk(ctx, sh.ID, n, sh.data[from:min(from+access.ChunkSize, len(sh.data))]); err != nil {
			return err
		}
	}
	return nil
}

// install brings what is missing, also what turns out to be torn, and installs.
func (sh *shot) install(ctx context.Context, s panel) error {
	for range 3 {
		if err := sh.bring(ctx, s, sh.Chunks); err != nil {
			return err
		}
		if _, err := s.Install(ctx); !errors.Is(err, store.ErrIncomplete) {
			return err
		}
	}
	return errors.New("chunks are missing that were brought")
}
