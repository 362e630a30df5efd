package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/access"
)

// line is a snapshot's line of a put as decodeLine reads it. It says of a key
// what these tests vary, and a secret where one would stand.
func line(u access.Update) string {
	ident := u.Key.Identification.Canonical()
	var levels []string
	for _, l := range u.Key.Levels {
		levels = append(levels, l.String())
	}
	return fmt.Sprintf("%d\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%s\n", u.Revision, u.ID, u.Claim, u.Key.Type, ident,
		strings.Join(levels, ","), u.PIN, u.Key.State, u.Fault)
}

func decodeLine(b []byte) (u access.Update, err error) {
	f := strings.Split(string(b), "\t")
	if len(f) < 9 {
		return u, errors.New("want nine fields, and what fills the line")
	}
	id, err := access.ParseID(f[1])
	if err != nil {
		return u, err
	}
	rev, err1 := strconv.ParseUint(f[0], 10, 64)
	claim, err2 := strconv.ParseUint(f[2], 10, 64)
	state, err3 := strconv.Atoi(f[7])
	if err := cmp.Or(err1, err2, err3); err != nil {
		return u, errors.New("a number can't be read")
	}
	u = access.Update{Revision: rev, Op: access.Put, ID: id, Claim: claim, PIN: f[6], Fault: f[8]}
	if u.Fault != "" {
		return u, nil
	}
	u.Key = access.Key{ID: id, Type: access.Type(f[3]), State: access.State(state)}
	if u.Key.Identification, err = access.ParseIdentification(u.Key.Type, f[4]); err != nil {
		return u, err
	}
	for l := range strings.SplitSeq(f[5], ",") {
		if l != "" {
			u.Key.Levels = append(u.Key.Levels, access.MustParseID(l))
		}
	}
	return u, nil
}

// frozen is a snapshot as central has it.
type frozen struct {
	access.Snapshot
	puts []access.Update
	data []byte
}

// widen makes every line longer, so that a few keys are several chunks.
func (s *frozen) widen(n int) {
	s.data = bytes.ReplaceAll(s.data, []byte("\n"), append(append([]byte("\t"), bytes.Repeat([]byte("x"), n)...), '\n'))
	s.seal()
}

// freeze makes a snapshot of the latest puts at a revision.
func freeze(id access.ID, epoch, revision uint64, puts []access.Update) *frozen {
	s := &frozen{Snapshot: access.Snapshot{ID: id, Epoch: epoch, Revision: revision, Count: uint64(len(puts))}}
	puts = slices.Clone(puts)
	slices.SortFunc(puts, func(a, b access.Update) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	s.puts = puts
	for _, u := range puts {
		s.data = append(s.data, line(u)...)
		s.Digest = s.Digest.Add(u.ID, u.Revision)
	}
	s.seal()
	return s
}

// seal makes the manifest fit the data.
func (s *frozen) seal() {
	s.Bytes = int64(len(s.data))
	s.Chunks = (len(s.data) + access.ChunkSize - 1) / access.ChunkSize
	s.SHA256 = sha256.Sum256(s.data)
}

func (s *frozen) chunk(n int) []byte {
	from := n * access.ChunkSize
	return s.data[from:min(from+access.ChunkSize, len(s.data))]
}

// stage gives the store all that it lacks of a snapshot.
func (h *harness) stage(s *frozen) {
	h.tb.Helper()
	if err := h.s.Stage(h.ctx(), s.Snapshot); err != nil {
		h.tb.Fatalf("Stage: %v", err)
	}
	h.stageChunks(s, s.Chunks)
}

// stageChunks gives at most n chunks of what is missing.
func (h *harness) stageChunks(s *frozen, n int) {
	h.tb.Helper()
	for n > 0 {
		m, missing, ok := h.s.Staged()
		if !ok || m != s.Snapshot {
			h.tb.Fatalf("Staged: %+v, %v", m, ok)
		}
		if len(missing) == 0 {
			return
		}
		for _, c := range missing[:min(n, len(missing))] {
			if err := h.s.StageChunk(h.ctx(), s.ID, c, s.chunk(c)); err != nil {
				h.tb.Fatalf("StageChunk %d: %v", c, err)
			}
			n--
		}
	}
}

func (h *harness) install(s *frozen) access.Position {
	h.tb.Helper()
	h.stage(s)
	pos, err := h.s.Install(h.ctx())
	if err != nil {
		h.tb.Fatalf("Install: %v", err)
	}
	if m, _, ok := h.s.Staged(); ok {
		h.tb.Fatalf("still staged: %+v", m)
	}
	return pos
}
