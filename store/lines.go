package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"postern/access"
)

// Bounds of reading a snapshot's lines.
const (
	maxLine    = 32 << 10 // bytes
	maxReaders = 4        // goroutines that decode; half the processors are left to the doors
)

// parcel is the lines of one chunk on their way: read, decoded by one of several
// goroutines, and put in order by the one that builds.
type parcel struct {
	lines []byte // whole ones, with their newlines
	err   error  // why there is nothing more
	keys  []prepared
	ready chan struct{} // closed when keys are there
}

// prepared is a key as it will be stored, judged as if it were alone.
type prepared struct {
	id       access.ID
	claim    uint64
	revision uint64
	failed   bool
	row      []byte
	creds    [][]byte
	err      error // its line can't be read
}

// readLines takes up all lines, and holds their hash against the manifest.
func (b *build) readLines(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	readers := min(max(1, runtime.GOMAXPROCS(0)/2), maxReaders)
	todo, inOrder := make(chan *parcel), make(chan *parcel, readers)
	wg.Go(func() {
		defer close(todo)
		defer close(inOrder)
		b.cut(ctx, todo, inOrder)
	})
	prepare := prepare{s: b.s, policy: b.policy, matchers: b.matchers, now: b.u.now}
	for range readers {
		wg.Go(func() {
			for p := range todo {
				p.keys = prepare.lines(p.lines)
				close(p.ready)
			}
		})
	}
	for p := range inOrder {
		if p.err != nil {
			return p.err
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range p.keys {
			if err := b.take(&p.keys[i]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// cut sends the data as parcels of whole lines, to those who decode and to the
// one who keeps the order. The last one is without lines, and says whether all is
// as it should be.
func (b *build) cut(ctx context.Context, todo, inOrder chan<- *parcel) {
	h := sha256.New()
	var rest []byte // of a line that goes on in the next chunk
	buf := make([]byte, slotSize)
	send := func(p *parcel, to chan<- *parcel) bool {
		select {
		case to <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for n := range b.m.Chunks {
		data, err := b.s.stage.chunk(n, buf)
		if err != nil {
			send(&parcel{err: err}, inOrder)
			return
		}
		h.Write(data)
		end := bytes.LastIndexByte(data, '\n') + 1
		p := &parcel{lines: slices.Concat(rest, data[:end]), ready: make(chan struct{})}
		if end == 0 {
			rest, p.lines = p.lines, nil
		} else {
			rest = rest[:0]
		}
		if rest = append(rest, data[end:]...); len(rest) > maxLine {
			send(&parcel{err: fmt.Errorf("%w: a line is longer than %d bytes", ErrBadSnapshot, maxLine)}, inOrder)
			return
		}
		if !send(p, inOrder) || !send(p, todo) {
			return
		}
	}
	switch {
	case [sha256.Size]byte(h.Sum(nil)) != b.m.SHA256:
		send(&parcel{err: fmt.Errorf("%w: its hash is not that of its manifest", ErrBadSnapshot)}, inOrder)
	case len(rest) > 0:
		send(&parcel{err: fmt.Errorf("%w: its last line has no end", ErrBadSnapshot)}, inOrder)
	}
}

// prepare makes of lines what is stored of them.
type prepare struct {
	s        *Store
	policy   *access.Policy
	matchers []access.Matcher
	now      time.Time
}

func (p *prepare) lines(data []byte) []prepared {
	out := make([]prepared, 0, bytes.Count(data, []byte{'\n'}))
	for line := range bytes.Lines(data) {
		out = append(out, p.line(line[:len(line)-1]))
	}
	return out
}

func (p *prepare) line(line []byte) prepared {
	if len(line) > maxLine {
		return prepared{err: fmt.Errorf("is longer than %d bytes", maxLine)}
	}
	up, err := p.s.decode(line)
	if err != nil {
		return prepared{err: err}
	}
	row, dec := p.s.latest(up, p.matchers)
	dec.at = p.now
	dec.judge(p.policy, false, p.now)
	return prepared{
		id: up.ID, claim: row.claim, revision: up.Revision, failed: dec.err != access.Applied,
		row: sealKey(up.ID, &row, &dec), creds: row.creds,
	}
}

// take puts one key into the tree, and into the index.
func (b *build) take(k *prepared) error {
	b.line++
	switch {
	case k.err != nil:
		return fmt.Errorf("%w: line %d: %w", ErrBadSnapshot, b.line, k.err)
	case bytes.Compare(k.id[:], b.last[:]) <= 0:
		return fmt.Errorf("%w: line %d: ids are not ascending", ErrBadSnapshot, b.line)
	case k.revision == 0 || k.revision > b.m.Revision:
		return fmt.Errorf("%w: line %d: it is not of revision %d", ErrBadSnapshot, b.line, k.revision)
	case b.u.st.count == b.m.Count:
		return fmt.Errorf("%w: it has more than %d keys", ErrBadSnapshot, b.m.Count)
	}
	b.last = k.id
	st := &b.u.st
	st.digest = st.digest.Add(k.id, k.revision)
	st.count++
	st.creds += uint64(len(k.creds))
	if k.failed {
		b.failed.add(k.id)
	}
	for _, c := range k.creds {
		other, shared := b.index.add(b.index.entry(c, claimed{k.claim, k.id}))
		if !other.id.IsZero() {
			b.contend.add(other.id)
		}
		if shared || b.u.local.has(c) {
			b.contend.add(k.id)
		}
	}
	if err := b.u.keys.Put(k.id[:], k.row); err != nil {
		return err
	}
	return b.put(len(k.id) + len(k.row))
}
