package sync

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
	"postern/wire"
)

// snapshotOf makes a snapshot of n chunks at a position, with its data.
func snapshotOf(id byte, epoch, revision uint64, n int) (access.Snapshot, []byte) {
	data := bytes.Repeat([]byte{id, 1, 2, 3, 5, 8, 13}, n*access.ChunkSize/7)
	m := access.Snapshot{
		ID: keyID(uint64(id)), Epoch: epoch, Revision: revision, Digest: access.Digest{}.Add(keyID(uint64(id)), revision),
		Count: min(2, revision), Bytes: int64(len(data)), Chunks: n, SHA256: sha256.Sum256(data),
	}
	return m, data
}

func desired(m access.Snapshot) []byte {
	return wire.Encode(wire.Desired{Epoch: m.Epoch, Revision: m.Revision, Digest: m.Digest, Count: m.Count, Snapshot: wire.SnapshotOf(m)})
}

// serve answers the newest need for chunks.
func (s *station) serve(m access.Snapshot, data []byte, chunks ...int) {
	for _, n := range chunks {
		end := min(len(data), (n+1)*access.ChunkSize)
		s.send(wire.ChunkTopic(m.ID, n), data[n*access.ChunkSize:end], false)
	}
	synctest.Wait()
}

// wantsChunks fails unless the panel's needs, from the first kept, are for these.
func (s *station) wantsChunks(m access.Snapshot, want ...[]int) {
	s.t.Helper()
	var got [][]int
	for _, n := range s.needs() {
		if n.Want != wire.WantSnapshot || n.SnapshotID != m.ID {
			s.t.Errorf("need is %+v, want chunks of %v", n, m.ID)
		}
		got = append(got, n.Chunks)
	}
	if d := cmp.Diff(want, got); d != "" {
		s.t.Fatalf("chunks asked for (-want +got):\n%s", d)
	}
}

func upTo(from, to int) []int {
	var list []int
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// A panel below central's epoch takes the snapshot that is offered, with at most
// 64 chunks on their way and the next asked for before the last have come, and
// reports where it stands then.
func TestSnapshot(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 100)
		s.forget()
		s.tell(wire.TopicDesired, desired(m))
		s.wantsChunks(m, upTo(0, 64))
		if n := s.needs()[0]; n.Epoch != 2 || n.HaveRevision != 40 {
			t.Errorf("need says %d/%d, want 2/40", n.Epoch, n.HaveRevision)
		}
		s.serve(m, data, upTo(1, 32)...)
		s.wantsChunks(m, upTo(0, 64))
		s.serve(m, data, 32)
		s.wantsChunks(m, upTo(0, 64), upTo(64, 96))
		s.serve(m, data, upTo(33, 64)...)
		s.wantsChunks(m, upTo(0, 64), upTo(64, 96))
		if st := s.Status(); !st.Fetching || st.Installing {
			t.Errorf("status is %+v, want fetching", st)
		}
		s.serve(m, data, 0)
		s.wantsChunks(m, upTo(0, 64), upTo(64, 96), upTo(96, 100))
		s.forget()
		s.serve(m, data, upTo(64, 100)...)
		if n := s.needs(); len(n) != 0 {
			t.Errorf("asked for more than there is: %+v", n)
		}
		if r := s.reportedNow(); r.Epoch != 3 || r.Revision != 50 || r.Digest != m.Digest || r.Count != m.Count || r.ConnSeq != 1 {
			t.Errorf("reported %+v, want the snapshot's position", r)
		}
		if rows := heard[wire.Statuses](s, wire.TopicStatus); len(rows) != 1 || rows[0].SnapshotID != m.ID || rows[0].Revision != 50 || rows[0].Of != 1 || len(rows[0].Results) != 0 {
			t.Errorf("status is %+v, want the snapshot's only part", rows)
		}
		if st := s.Status(); st.Snapshots != 1 || st.Fetching || st.Installing {
			t.Errorf("status is %+v, want one snapshot installed", st)
		}
		// What the broker keeps comes again.
		s.forget()
		s.tell(wire.TopicDesired, desired(m))
		s.pass(time.Hour)
		s.wantsChunks(m)
		if s.m.stages != 1 || s.m.installs != 1 || s.unackedNow() != 0 {
			t.Errorf("staged %d and installed %d times, %d messages not acknowledged", s.m.stages, s.m.installs, s.unackedNow())
		}
	})
}

// A snapshot goes on over connections, and only for what lacks.
func TestSnapshotResumes(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 5)
		s.tell(wire.TopicDesired, desired(m))
		s.serve(m, data, 0, 3)
		s.forget()
		s.reconnect()
		s.wantsChunks(m, []int{1, 2, 4})
		s.serve(m, data, 1, 2, 4)
		if r := s.reportedNow(); r.Revision != 50 || r.ConnSeq != 2 {
			t.Errorf("reported %+v", r)
		}
	})
}

// After ten seconds of silence the chunks that are out are asked for again.
func TestSnapshotSilence(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 4)
		s.forget()
		s.tell(wire.TopicDesired, desired(m))
		s.pass(9 * time.Second)
		s.serve(m, data, 2)
		s.pass(9 * time.Second)
		s.wantsChunks(m, []int{0, 1, 2, 3})
		s.pass(time.Second)
		s.wantsChunks(m, []int{0, 1, 2, 3}, []int{0, 1, 3})
		s.m.set(func(m *memory) { m.chunkErr = errDisk })
		s.serve(m, data, 0)
		s.m.set(func(m *memory) { m.chunkErr = nil })
		s.pass(10 * time.Second)
		s.wantsChunks(m, []int{0, 1, 2, 3}, []int{0, 1, 3}, []int{0, 1, 3})
		if got := s.Status().ChunkErrors; got != 1 {
			t.Errorf("%d chunk errors counted, want 1", got)
		}
	})
}

// Which snapshots a panel at 3/50 takes.
func TestSnapshotWanted(t *testing.T) {
	same := func(m *access.Snapshot) { m.Digest, m.Count = access.Digest{}, 0 }
	for _, c := range []struct {
		name            string
		epoch, revision uint64
		change          func(*access.Snapshot)
		lostKey, want   bool
	}{
		{"higher epoch", 4, 1, nil, false, true},
		{"lower epoch", 2, 90, nil, false, false},
		{"lower epoch, key lost", 2, 90, nil, true, false},
		{"above", 3, 51, nil, false, true},
		{"below", 3, 49, nil, false, false},
		{"below, key lost", 3, 49, nil, true, false},
		{"here, other keys", 3, 50, nil, false, true},
		{"here, the same keys", 3, 50, same, false, false},
		{"here, another count", 3, 50, func(m *access.Snapshot) { m.Digest = access.Digest{} }, false, true},
		{"here, the same keys, key lost", 3, 50, same, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 50)(m); m.lostKey = c.lostKey }, func(s *station) {
				m, _ := snapshotOf(1, c.epoch, c.revision, 1)
				if c.change != nil {
					c.change(&m)
				}
				d := wire.Desired{Epoch: max(m.Epoch, 3), Revision: 60, Snapshot: wire.SnapshotOf(m)}
				if m.Count == 0 {
					d.Snapshot.Of, d.Snapshot.Bytes = 0, 0
				}
				s.tell(wire.TopicDesired, wire.Encode(d))
				if got := s.m.tries == 1; got != c.want || s.m.stages != s.m.tries {
					t.Errorf("staged: %v, want %v", got, c.want)
				}
				if st := s.Status(); st.BadEnvelopes != 0 {
					t.Errorf("the manifest was refused: %+v", s.journal.list())
				}
			})
		})
	}
}

// Chunks that were not asked for are left alone.
func TestForeignChunks(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 2)
		other, _ := snapshotOf(9, 3, 50, 2)
		s.serve(m, data, 0, 1) // before the manifest
		s.tell(wire.TopicDesired, desired(m))
		s.serve(other, data, 0, 1)
		s.tell(wire.ChunkTopic(m.ID, 2), data[:access.ChunkSize])
		s.tell("keys/snapshot/x/1", data[:10])
		if n := len(s.m.chunks); n != 0 {
			t.Errorf("%d chunks were stored, want none", n)
		}
		if st := s.Status(); st.ChunkErrors != 0 || s.unackedNow() != 0 {
			t.Errorf("%d chunk errors, %d messages not acknowledged", st.ChunkErrors, s.unackedNow())
		}
	})
}

// Everything goes on while a snapshot is installed, over connections too.
func TestInstallBeside(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 50)(m); m.hold = make(chan struct{}) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 1)
		s.tell(wire.TopicDesired, desired(m))
		s.serve(m, data, 0)
		if st := s.Status(); !st.Installing || s.m.installs != 1 {
			t.Fatalf("status is %+v, want installing", st)
		}
		s.tell(wire.TopicChange, changesOf(3, 51, 51))
		s.tell(wire.TopicCommand, wire.Encode(wire.Command{ID: keyID(1), Name: wire.CommandIdentify, Target: "in"}))
		s.pass(time.Second)
		if r := s.reportedNow(); r.Revision != 51 {
			t.Errorf("reported %d, want the change at 51 taken meanwhile", r.Revision)
		}
		if len(s.site.done) != 1 || s.unackedNow() != 0 {
			t.Errorf("commands %v, %d messages not acknowledged", s.site.done, s.unackedNow())
		}
		s.tell(wire.TopicDesired, desired(m))
		s.reconnect()
		next, _ := snapshotOf(2, 3, 60, 1)
		s.tell(wire.TopicDesired, desired(next)) // has to wait
		if s.m.installs != 1 || s.m.stages != 1 {
			t.Fatalf("staged %d, installed %d times, want once", s.m.stages, s.m.installs)
		}
		s.forget()
		s.m.free()
		synctest.Wait()
		if r := s.reportedNow(); r.Revision != 51 || r.Digest != m.Digest || r.ConnSeq != 2 {
			t.Errorf("reported %+v, want 51 with the snapshot's digest", r)
		}
		s.wantsChunks(next, []int{0})
	})
}

// A snapshot that turns out bad is fetched anew, after ever longer pauses.
func TestBadSnapshot(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 1)
		bad := slices.Clone(data)
		bad[5] ^= 1
		s.forget()
		s.tell(wire.TopicDesired, desired(m))
		s.serve(m, bad, 0)
		if st := s.Status(); st.SnapshotErrors != 1 || s.m.pos.Epoch != 2 {
			t.Fatalf("status is %+v, want a snapshot error", st)
		}
		s.tell(wire.TopicDesired, desired(m))
		s.pass(4 * time.Second)
		s.wantsChunks(m, []int{0})
		s.pass(6 * time.Second)
		s.wantsChunks(m, []int{0}, []int{0})
		s.serve(m, bad, 0)
		s.reconnect() // forgets nothing of it
		s.tell(wire.TopicDesired, desired(m))
		s.forget()
		s.pass(8 * time.Second)
		s.wantsChunks(m)
		for i := 0; i < 12 && len(s.needs()) == 0; i++ {
			s.pass(time.Second)
		}
		s.wantsChunks(m, []int{0})
		s.serve(m, data, 0)
		if r := s.reportedNow(); r.Revision != 50 || s.Status().SnapshotErrors != 2 {
			t.Errorf("reported %+v after %d errors", r, s.Status().SnapshotErrors)
		}
		// Another snapshot is tried at once.
		s.m.set(func(m *memory) { m.failOnce = errHash })
		next, data := snapshotOf(2, 3, 60, 1)
		s.tell(wire.TopicDesired, desired(next))
		s.serve(next, data, 0)
		other, data := snapshotOf(3, 3, 61, 1)
		s.tell(wire.TopicDesired, desired(other))
		s.serve(other, data, 0)
		if s.m.pos.Revision != 61 {
			t.Errorf("the panel is at %d, want 61", s.m.pos.Revision)
		}
	})
}

// What is staged whole and could not be installed, for want of room say, is
// installed later without being fetched anew.
func TestInstallAgain(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(2, 40)(m); m.failOnce = errDisk }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 1)
		s.forget()
		s.tell(wire.TopicDesired, desired(m))
		s.serve(m, data, 0)
		s.pass(10 * time.Second)
		if r := s.reportedNow(); r.Revision != 50 || s.m.installs != 2 {
			t.Errorf("reported %+v after %d tries", r, s.m.installs)
		}
		s.wantsChunks(m, []int{0})
	})
}

// A snapshot is given up when central wants it no more, when another takes its
// place, and when changes have brought the panel there.
func TestSnapshotAbandoned(t *testing.T) {
	for name, end := range map[string]func(s *station, m access.Snapshot){
		"withdrawn": func(s *station, m access.Snapshot) {
			s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: m.Epoch, Revision: m.Revision + 1}))
		},
		"replaced": func(s *station, m access.Snapshot) {
			other, _ := snapshotOf(2, 3, 55, 2)
			s.tell(wire.TopicDesired, desired(other))
		},
		"overtaken": func(s *station, m access.Snapshot) {
			s.m.set(func(r *memory) { r.pos = access.Position{Epoch: 3, Revision: 50, Digest: m.Digest, Count: m.Count} })
			s.reconnect()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 40)(m) }, func(s *station) {
				m, data := snapshotOf(1, 3, 50, 2)
				s.tell(wire.TopicDesired, desired(m))
				s.serve(m, data, 1)
				end(s, m)
				if got := fmt.Sprint(s.m.dropped); got != fmt.Sprint([]access.ID{m.ID}) {
					t.Errorf("dropped %v, want %v", got, m.ID)
				}
				if s.m.installs != 0 {
					t.Error("half a snapshot was installed")
				}
			})
		})
	}
}

// Central learns at once where a panel stands that must refuse a snapshot.
func TestSnapshotRefused(t *testing.T) {
	for _, err := range []error{access.ErrStale, access.ErrOldEpoch} {
		inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 40)(m); m.stageErr = err }, func(s *station) {
			m, _ := snapshotOf(1, 3, 50, 2)
			s.forget()
			s.tell(wire.TopicDesired, desired(m))
			if r := s.reportedNow(); r.Revision != 40 || s.Status().Fetching {
				t.Errorf("%v: reported %+v", err, r)
			}
			s.pass(time.Minute)
			for _, n := range s.needs() {
				if n.Want != wire.WantDelta {
					t.Errorf("%v: need is %+v", err, n)
				}
			}
		})
	}
}

// Where only a snapshot helps and none is offered, the panel asks for one, ever
// more rarely.
func TestManifestNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		at   func(*memory)
		what func(s *station)
	}{
		"a higher epoch":             {stand(2, 40), func(s *station) { s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 3, Revision: 5})) }},
		"changes of a higher epoch":  {stand(2, 40), func(s *station) { s.tell(wire.TopicChange, changesOf(3, 1, 2)) }},
		"another device key":         {func(m *memory) { m.lostKey = true }, func(*station) {}},
		"another device key, in use": {func(m *memory) { stand(3, 40)(m); m.lostKey = true }, func(*station) {}},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(_ *Options, m *memory) { c.at(m) }, func(s *station) {
				c.what(s)
				s.pass(9 * time.Second)
				if n := s.needs(); len(n) != 0 {
					t.Fatalf("needs are %+v, want none so soon", n)
				}
				s.pass(time.Second)
				p := s.m.Position()
				want := wire.Need{Epoch: p.Epoch, HaveRevision: p.Revision, Want: wire.WantSnapshot}
				if n := s.needs(); len(n) != 1 || !cmp.Equal(n[0], want) {
					t.Fatalf("needs are %+v, want %+v", n, want)
				}
				s.pass(time.Hour)
				if n := len(s.needs()); n < 5 || n > 12 {
					t.Errorf("%d needs in an hour", n)
				}
				m, data := snapshotOf(1, 3, 50, 1)
				s.tell(wire.TopicDesired, desired(m))
				s.serve(m, data, 0)
				s.forget()
				s.pass(6 * time.Hour)
				if n := s.needs(); len(n) != 0 || s.m.pos.Revision != 50 {
					t.Errorf("at %d, needs are %+v, want 50 and none", s.m.pos.Revision, n)
				}
			})
		})
	}
}

// A last change that got lost shows in what central wants.
func TestDesiredAhead(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 40)(m) }, func(s *station) {
		s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 3, Revision: 42}))
		s.pass(9 * time.Second)
		if n := s.needs(); len(n) != 0 {
			t.Fatalf("needs are %+v, want none so soon", n)
		}
		s.pass(time.Second)
		want := wire.Need{Epoch: 3, HaveRevision: 40, Want: wire.WantDelta}
		if n := s.needs(); len(n) != 1 || !cmp.Equal(n[0], want) {
			t.Fatalf("needs are %+v, want %+v", n, want)
		}
		s.tell(wire.TopicChange, changesOf(3, 41, 42))
		s.pass(time.Hour)
		if n := s.needs(); len(n) != 1 {
			t.Errorf("%d needs, want no more", len(n))
		}
	})
}

// Other keys at the same revision are for central to see: the panel reports at
// once, and waits.
func TestMismatch(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 40)(m) }, func(s *station) {
		same := wire.Desired{Epoch: 3, Revision: 40}
		s.forget()
		s.tell(wire.TopicDesired, wire.Encode(same))
		if n := len(s.reports()); n != 0 {
			t.Errorf("%d reports of the same keys", n)
		}
		other := same
		other.Count = 1
		s.tell(wire.TopicDesired, wire.Encode(other))
		if n := len(s.reports()); n != 1 || s.Status().Mismatches != 1 {
			t.Errorf("%d reports, %d mismatches, want one of each", n, s.Status().Mismatches)
		}
		// What is older than what was said already, as a broker may keep it, is not heard.
		m, _ := snapshotOf(1, 3, 50, 1)
		s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 3, Revision: 39, Snapshot: wire.SnapshotOf(m)}))
		s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 2, Revision: 99, Snapshot: wire.SnapshotOf(m)}))
		if s.m.stages != 0 || len(s.needs()) != 0 {
			t.Errorf("a snapshot of the past was staged")
		}
		s.tell(wire.TopicDesired, []byte(`{"epoch":0}`))
		if s.Status().BadEnvelopes != 1 {
			t.Error("a bad manifest was not counted")
		}
	})
}

// A revocation does not wait for a snapshot's chunks.
func TestChangesPassChunks(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(3, 40)(m); m.chunkHold = make(chan struct{}) }, func(s *station) {
		m, data := snapshotOf(1, 3, 50, 2)
		s.tell(wire.TopicDesired, desired(m))
		s.serve(m, data, 0, 1)
		s.tell(wire.TopicChange, changesOf(3, 41, 41))
		if got := s.m.Position().Revision; got != 41 {
			t.Errorf("the panel is at %d, want 41", got)
		}
		if got := s.unackedNow(); got != 2 {
			t.Errorf("%d messages not acknowledged, want the two chunks", got)
		}
	})
}

// A server that was restored wants fewer changes than it did before. A panel that
// has lost its keys goes by what it wants now.
func TestSnapshotOfARestoredServer(t *testing.T) {
	inVirtualTime(t, func(_ *Options, m *memory) { stand(0, 0)(m) }, func(s *station) {
		s.tell(wire.TopicDesired, wire.Encode(wire.Desired{Epoch: 3, Revision: 40}))
		m, _ := snapshotOf(1, 3, 20, 1)
		s.tell(wire.TopicDesired, desired(m))
		if s.m.stages != 1 {
			t.Errorf("staged %d times, want once", s.m.stages)
		}
	})
}
