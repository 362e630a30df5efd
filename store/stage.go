package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"postern/access"
)

// A snapshot arrives in one file: a page with its manifest, then a slot for each
// chunk, which holds a nonce and the chunk as AES-256-GCM seals it under a key
// made of the device key and the snapshot's id. A chunk that a power cut tore
// doesn't open, and is asked for again; so nothing but the manifest is synced.

const (
	stagedName = "snapshot.staged"
	stageHead  = 4096 // bytes before the first slot
	nonceSize  = 12
	slotSize   = nonceSize + access.ChunkSize + 16

	maxSnapshotKeys  = 2_000_000
	maxSnapshotBytes = 2 << 30

	maxMissing = 64 // chunks that Staged names

	// spareRoom is what must be left on the card besides the snapshot, for events
	// above all.
	spareRoom = 16 << 20
)

var (
	// ErrNotStaged is a snapshot that is not, or no longer, staged.
	ErrNotStaged = errors.New("no such snapshot is staged")
	// ErrIncomplete is an Install of a snapshot of which chunks are missing.
	ErrIncomplete = errors.New("chunks of the snapshot are missing")
	// ErrInstalling is what must wait until a snapshot is installed.
	ErrInstalling = errors.New("a snapshot is being installed")
)

// stage is the snapshot that is arriving, if any.
type stage struct {
	path string
	turn sync.Mutex // held while what is staged is exchanged

	mu      sync.Mutex // guards the rest
	f       *os.File   // nil when nothing is staged
	m       access.Snapshot
	aead    cipher.AEAD
	have    []bool
	missing int
	stopped bool
	stopper context.CancelFunc // of the Install under way, nil when there is none
	ended   chan struct{}      // closed when it has ended
}

func checkManifest(m access.Snapshot) error {
	switch {
	case m.ID.IsZero() || m.Epoch == 0:
		return errors.New("the manifest has no id or no epoch")
	case m.Count > maxSnapshotKeys || m.Bytes < 0 || m.Bytes > maxSnapshotBytes:
		return fmt.Errorf("the snapshot has more than %d keys or %d bytes", maxSnapshotKeys, int64(maxSnapshotBytes))
	case int64(m.Chunks) != (m.Bytes+access.ChunkSize-1)/access.ChunkSize:
		return fmt.Errorf("the snapshot's %d bytes are not %d chunks of %d", m.Bytes, m.Chunks, access.ChunkSize)
	}
	return nil
}

func (g *stage) chunkSize(n int) int {
	if n == g.m.Chunks-1 {
		return int(g.m.Bytes - int64(n)*access.ChunkSize)
	}
	return access.ChunkSize
}

func slot(n int) int64 { return stageHead + int64(n)*slotSize }

// encodeManifest fills the page before the first slot.
func encodeManifest(m access.Snapshot, device hash16) []byte {
	b := append([]byte{recordVersion}, m.ID[:]...)
	b = appendUvarints(b, m.Epoch, m.Revision, m.Count, uint64(m.Bytes), uint64(m.Chunks))
	b = append(append(b, m.Digest[:]...), m.SHA256[:]...)
	b = seal(tagStage, []byte(stagedName), append(b, device[:]...))
	page := make([]byte, stageHead)
	copy(page[binary.PutUvarint(page, uint64(len(b))):], b)
	return page
}

func decodeManifest(page []byte) (m access.Snapshot, device hash16, err error) {
	d := decoder{b: page}
	value := d.bytes(d.size(stageHead))
	payload, err := unseal(tagStage, []byte(stagedName), value)
	if err != nil {
		return m, device, err
	}
	d = decoder{b: payload}
	d.u8()
	m = access.Snapshot{
		ID: d.id(), Epoch: d.uvarint(), Revision: d.uvarint(), Count: d.uvarint(),
		Bytes: int64(d.uvarint()), Chunks: int(d.uvarint()),
	}
	copy(m.Digest[:], d.bytes(len(m.Digest)))
	copy(m.SHA256[:], d.bytes(len(m.SHA256)))
	copy(device[:], d.bytes(len(device)))
	if err := d.done("manifest"); err != nil {
		return m, device, err
	}
	return m, device, checkManifest(m)
}

func appendUvarints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// enoughRoom says whether a snapshot would leave room on the card: it lies there
// as it came and as it is built, and is sorted in between.
func enoughRoom(dir string, m access.Snapshot) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	free, need := st.Bavail*uint64(st.Bsize), 2*uint64(m.Bytes)+spareRoom
	if free < need {
		return fmt.Errorf("%w: %d MB are free, the snapshot takes %d", syscall.ENOSPC, free>>20, need>>20)
	}
	return nil
}

// begin makes an empty file for a snapshot, in place of any other.
func (g *stage) begin(m access.Snapshot, secrets secrets) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return ErrStopped
	}
	g.drop()
	if err := writeFile(g.path, encodeManifest(m, secrets.check())); err != nil {
		return err
	}
	f, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	g.hold(f, m, secrets)
	return nil
}

func (g *stage) hold(f *os.File, m access.Snapshot, secrets secrets) {
	block, err := aes.NewCipher(secrets.stage(m.ID))
	if err != nil {
		panic("store: " + err.Error()) // the size of the key is right
	}
	if g.aead, err = cipher.NewGCM(block); err != nil {
		panic("store: " + err.Error())
	}
	g.f, g.m, g.have, g.missing = f, m, make([]bool, m.Chunks), m.Chunks
}

// load finds what an earlier start staged. It reads no chunk: those that turn out
// not to open are missed when the snapshot is installed.
func (g *stage) load(secrets secrets) error {
	f, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	page := make([]byte, stageHead)
	if _, err = io.ReadFull(f, page); err != nil {
		err = fmt.Errorf("%w: is cut off", ErrDamaged)
	}
	var m access.Snapshot
	var device hash16
	if err == nil {
		m, device, err = decodeManifest(page)
	}
	if err == nil && device != secrets.check() {
		err = errors.New("was encrypted under another device key")
	}
	if err != nil {
		f.Close()
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold(f, m, secrets)
	var nonce [nonceSize]byte
	for n := range g.have {
		if _, err := f.ReadAt(nonce[:], slot(n)); err == nil && nonce != [nonceSize]byte{} {
			g.have[n] = true
			g.missing--
		}
	}
	return nil
}

// drop forgets what is staged and removes it.
func (g *stage) drop() {
	if g.f != nil {
		g.f.Close()
	}
	g.f, g.m, g.aead, g.have, g.missing = nil, access.Snapshot{}, nil, nil, 0
	_ = os.Remove(g.path) // one that stays is overwritten by the next, or dropped at the next start
}

// forget drops a snapshot, if it is the one staged.
func (g *stage) forget(id access.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped && g.m.ID == id {
		g.drop()
	}
}

// free says why what is staged can't be changed now, nil when it can.
func (g *stage) free() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped:
		return ErrStopped
	case g.stopper != nil:
		return ErrInstalling
	}
	return nil
}

func (g *stage) manifest() (m access.Snapshot, missing []int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for n, have := range g.have {
		if !have {
			if missing = append(missing, n); len(missing) == maxMissing {
				break
			}
		}
	}
	return g.m, missing, g.f != nil
}

// put keeps a chunk. One that is there already changes nothing.
func (g *stage) put(id access.ID, n int, data []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped:
		return ErrStopped
	case g.f == nil || g.m.ID != id:
		return ErrNotStaged
	case n < 0 || n >= g.m.Chunks:
		return fmt.Errorf("there is no chunk %d of %d", n, g.m.Chunks)
	case len(data) != g.chunkSize(n):
		return fmt.Errorf("chunk %d has %d bytes, want %d", n, len(data), g.chunkSize(n))
	case g.have[n]:
		return nil
	}
	b := make([]byte, nonceSize, slotSize)
	rand.Read(b) // never fails
	if _, err := g.f.WriteAt(g.aead.Seal(b, b, data, chunkName(id, n)), slot(n)); err != nil {
		return fmt.Errorf("keep chunk %d: %w", n, err)
	}
	g.have[n] = true
	g.missing--
	return nil
}

// chunkName is what a chunk is bound to, besides its key.
func chunkName(id access.ID, n int) []byte {
	return binary.BigEndian.AppendUint32(id[:], uint32(n))
}

// chunk reads a chunk into buf, which has room for a slot. One that doesn't open
// is missing from then on.
func (g *stage) chunk(n int, buf []byte) ([]byte, error) {
	g.mu.Lock()
	f, aead, id, size := g.f, g.aead, g.m.ID, g.chunkSize(n)
	g.mu.Unlock()
	if f == nil {
		return nil, ErrNotStaged // it was given up
	}
	buf = buf[:nonceSize+size+aead.Overhead()]
	_, err := f.ReadAt(buf, slot(n))
	var data []byte
	if err == nil {
		data, err = aead.Open(buf[nonceSize:nonceSize], buf[:nonceSize], buf[nonceSize:], chunkName(id, n))
	}
	if err == nil {
		return data, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.f != f {
		return nil, ErrNotStaged
	}
	if g.have[n] {
		g.have[n] = false
		g.missing++
	}
	return nil, fmt.Errorf("%w: chunk %d was torn or damaged", ErrIncomplete, n)
}

// install reserves what is staged, complete, for an Install, until release.
func (g *stage) install(ctx context.Context) (_ context.Context, m access.Snapshot, release func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped:
		return nil, m, nil, ErrStopped
	case g.stopper != nil:
		return nil, m, nil, ErrInstalling
	case g.f == nil:
		return nil, m, nil, ErrNotStaged
	case g.missing > 0:
		return nil, m, nil, fmt.Errorf("%w: %d of %d", ErrIncomplete, g.missing, g.m.Chunks)
	}
	ctx, g.stopper = context.WithCancel(ctx)
	stop, ended := g.stopper, make(chan struct{})
	g.ended = ended
	return ctx, g.m, func() {
		stop()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.stopper = nil
		close(ended)
	}, nil
}

// stop ends an Install and refuses what comes later: the files may be another
// process's by then.
func (g *stage) stop() {
	g.mu.Lock()
	g.stopped = true
	stop, ended := g.stopper, g.ended
	g.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.f != nil {
		g.f.Close()
		g.f = nil
	}
}
