package access

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
	"time"
)

// Op is what one revision does to a key.
type Op uint8

// The operations. What can't be read is consumed as a put that fails.
const (
	Put Op = iota + 1
	Remove
)

// Update is one revision of a panel's log. Revisions count from 1 within an
// epoch and each puts or removes one key.
type Update struct {
	Revision uint64
	Op       Op
	ID       ID
	Claim    uint64 // order in which keys took their identification on this panel
	Key      Key    // for Put, when Fault is empty
	PIN      string // in clear; "" is none. A secret
	Fault    string // why it can't be a key, "" when it can; never a secret
}

// Batch is a run of revisions of one epoch, ascending.
type Batch struct {
	Epoch   uint64
	Updates []Update
}

// ErrorType is why an update failed, in the words that go upstream.
type ErrorType string

// The reasons, in the order in which they are judged.
const (
	Applied             ErrorType = "" // it did not fail
	InvalidKey          ErrorType = "InvalidKey"
	CodeNotEnabled      ErrorType = "CodeNotEnabled"
	InvalidCodeSize     ErrorType = "InvalidCodeSize"
	AccessLevelNotFound ErrorType = "AccessLevelNotFound"
	AccessKeyInUse      ErrorType = "AccessKeyInUse"
)

// ErrorTypes lists every reason for failure.
func ErrorTypes() []ErrorType {
	return []ErrorType{InvalidKey, CodeNotEnabled, InvalidCodeSize, AccessLevelNotFound, AccessKeyInUse}
}

// Result is how one revision ended on a panel.
type Result struct {
	Revision uint64
	ID       ID
	Error    ErrorType // Applied ("") or why it failed
	Detail   string    // for people, never a secret
	At       time.Time
}

// Position is how far a panel has come.
type Position struct {
	Epoch    uint64
	Revision uint64
	Digest   Digest
	Count    uint64 // keys present, failed ones too
}

// Digest is the sum modulo 2^256 of SHA-256(id ‖ revision) over the latest put
// of each key, applied or failed: 16 bytes of id, then the revision as 8 bytes,
// big-endian. Being a sum it can be kept up to date by addition and
// subtraction, and does not depend on order.
type Digest [32]byte

func digestOf(id ID, revision uint64) Digest {
	var b [24]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[16:], revision)
	return sha256.Sum256(b[:])
}

// Add counts the latest put of id in.
func (d Digest) Add(id ID, revision uint64) Digest {
	return d.combine(digestOf(id, revision), bits.Add64)
}

// Sub takes a put that is no longer the latest out.
func (d Digest) Sub(id ID, revision uint64) Digest {
	return d.combine(digestOf(id, revision), bits.Sub64)
}

func (d Digest) combine(x Digest, op func(a, b, carry uint64) (uint64, uint64)) Digest {
	var carry, v uint64
	for i := 24; i >= 0; i -= 8 {
		v, carry = op(binary.BigEndian.Uint64(d[i:]), binary.BigEndian.Uint64(x[i:]), carry)
		binary.BigEndian.PutUint64(d[i:], v)
	}
	return d
}

// String gives 64 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText gives 64 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 64 {
		return errors.New("a digest has 64 hexadecimal digits")
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Why a panel takes nothing of a batch. The replica is unchanged from the
// first revision that it could not take.
var (
	// ErrGap is a revision past the next one: those between were lost on the way.
	ErrGap = errors.New("revisions are missing before this one")
	// ErrOldEpoch is an epoch below the panel's own: a replay, or a server that
	// was restored.
	ErrOldEpoch = errors.New("epoch is lower than this panel's")
	// ErrNewEpoch is another epoch on a panel that has one; only a snapshot may
	// bring it.
	ErrNewEpoch = errors.New("epoch is another than this panel's and needs a snapshot")
	// ErrStale is a snapshot of the panel's epoch below its revision: a replay.
	ErrStale = errors.New("snapshot is below this panel's revision")
)

// StatusRow is one row of the status outbox: the results of one commit. Rows
// have one sequence over all boots, and each keeps the boot that wrote it.
type StatusRow struct {
	BootID  ID
	Seq     uint64
	After   uint64 // seq of the row before it
	Oldest  uint64 // oldest row still held
	Epoch   uint64
	Results []Result // at most MaxRowResults

	// A snapshot's results come in rows 1 … Of, which list the failed alone;
	// zeros in all other rows.
	Snapshot ID
	Revision uint64 // of the snapshot
	Part, Of uint64
}

// Snapshot names all keys of a panel as they are at one revision. Its data is
// cut into Chunks pieces of ChunkSize bytes, the last one shorter.
type Snapshot struct {
	ID       ID
	Epoch    uint64
	Revision uint64
	Digest   Digest
	Count    uint64   // keys
	Bytes    int64    // of the data
	Chunks   int      // pieces
	SHA256   [32]byte // of the data
}

// ChunkSize is the size of a snapshot's chunks, in bytes.
const ChunkSize = 64 << 10

// MaxRowResults bounds a StatusRow.
const MaxRowResults = 500

// EventRun is a run of journal entries without a gap, written under one boot.
type EventRun struct {
	BootID ID
	After  uint64 // seq of the row before the first
	Oldest uint64 // oldest row not yet confirmed that is still held
	Events []Event
}
