package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"postern/access"
)

// Desired is where central wants a panel's keys to be, and the snapshot that
// brings it there at once, if one is ready.
type Desired struct {
	Epoch    uint64        `json:"epoch"`
	Revision uint64        `json:"revision"`
	Digest   access.Digest `json:"digest"`
	Count    uint64        `json:"count"`
	Snapshot *Snapshot     `json:"snapshot,omitempty"`
}

// Snapshot is the manifest of a snapshot. Its data is one SnapshotKey a line,
// ascending by id, in chunks of access.ChunkSize bytes.
type Snapshot struct {
	ID       access.ID     `json:"id"`
	Epoch    uint64        `json:"epoch"`
	Revision uint64        `json:"revision"`
	Digest   access.Digest `json:"digest"`
	Count    uint64        `json:"count"`
	Bytes    int64         `json:"bytes"`
	Of       int           `json:"of"`     // chunks
	SHA256   string        `json:"sha256"` // of the data, 64 hexadecimal digits
}

// Bounds of a snapshot.
const (
	MaxSnapshotKeys  = 2_000_000
	MaxSnapshotBytes = 2 << 30
	maxLine          = MaxKey + 256
)

// SnapshotKey is one key of a snapshot: the latest put of its id.
type SnapshotKey struct {
	Revision uint64          `json:"revision"`
	ID       access.ID       `json:"id"`
	Claim    uint64          `json:"claim"`
	Key      json.RawMessage `json:"key"` // a Key
}

// SnapshotOf is a manifest as it travels.
func SnapshotOf(s access.Snapshot) *Snapshot {
	return &Snapshot{
		ID: s.ID, Epoch: s.Epoch, Revision: s.Revision, Digest: s.Digest, Count: s.Count, Bytes: s.Bytes, Of: s.Chunks,
		SHA256: hex.EncodeToString(s.SHA256[:]),
	}
}

// Access is the domain's manifest. It was checked by Decode.
func (s *Snapshot) Access() access.Snapshot {
	out := access.Snapshot{
		ID: s.ID, Epoch: s.Epoch, Revision: s.Revision, Digest: s.Digest, Count: s.Count, Bytes: s.Bytes, Chunks: s.Of,
	}
	_, _ = hex.Decode(out.SHA256[:], []byte(s.SHA256))
	return out
}

// DecodeSnapshotKey reads one line of a snapshot, without its newline. An error
// makes the snapshot bad; a key that can't be one is an Update with a Fault.
func DecodeSnapshotKey(line []byte) (access.Update, error) {
	if len(line) > maxLine {
		return access.Update{}, fmt.Errorf("%d bytes, more than %d", len(line), maxLine)
	}
	k, w, ok := plainLine(line)
	read := func() (access.Key, string, error) { return w.access(k.ID) }
	if !ok {
		k = SnapshotKey{}
		if err := strict(line, &k, false, "key"); err != nil {
			return access.Update{}, err
		}
		read = func() (access.Key, string, error) { return DecodeKey(k.ID, k.Key) }
	}
	if k.Revision == 0 || k.ID.IsZero() {
		return access.Update{}, &FieldError{"revision", "revision or id is missing"}
	}
	return put(k.Revision, k.ID, k.Claim, read), nil
}

// AppendSnapshotKey appends one line of a snapshot, with its newline. The key is
// taken as it is, which has to be one JSON object, such as EncodeKey gives.
func AppendSnapshotKey(b []byte, k SnapshotKey) []byte {
	b = strconv.AppendUint(append(b, `{"revision":`...), k.Revision, 10)
	b = append(append(append(b, `,"id":"`...), k.ID.String()...), '"')
	b = strconv.AppendUint(append(b, `,"claim":`...), k.Claim, 10)
	b = append(b, `,"key":`...)
	if bytes.ContainsAny(k.Key, "\r\n") {
		// Only between members: in a string they are not JSON.
		k.Key = bytes.ReplaceAll(bytes.ReplaceAll(k.Key, []byte{'\r'}, nil), []byte{'\n'}, nil)
	}
	return append(append(b, k.Key...), "}\n"...)
}

func (d *Desired) check() error {
	if d.Epoch == 0 {
		return &FieldError{"epoch", "is missing"}
	}
	s := d.Snapshot
	if s == nil {
		return nil
	}
	_, err := hex.DecodeString(s.SHA256)
	switch {
	case s.ID.IsZero():
		return &FieldError{"snapshot.id", "is missing"}
	case s.Epoch == 0:
		return &FieldError{"snapshot.epoch", "is missing"}
	case len(s.SHA256) != 64 || err != nil:
		return &FieldError{"snapshot.sha256", "is not 64 hexadecimal digits"}
	case s.Count > MaxSnapshotKeys || s.Bytes < 0 || s.Bytes > MaxSnapshotBytes:
		return &FieldError{"snapshot.count", fmt.Sprintf("is more than %d keys or %d bytes", MaxSnapshotKeys, int64(MaxSnapshotBytes))}
	case s.Count > s.Revision || (s.Count == 0) != (s.Bytes == 0):
		return &FieldError{"snapshot.count", "does not fit its revision or bytes"}
	case int64(s.Of) != (s.Bytes+access.ChunkSize-1)/access.ChunkSize:
		return &FieldError{"snapshot.of", fmt.Sprintf("is not bytes in chunks of %d", access.ChunkSize)}
	}
	return nil
}
