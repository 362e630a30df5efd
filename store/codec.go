package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
	"unicode/utf8"

	"postern/access"
)

// The tags go into a record's CRC, so that a record of one bucket never passes
// for one of another, whatever page a damaged pointer leads to.
const (
	tagMeta     = 'm'
	tagKey      = 'k'
	tagCred     = 'c' // in files of before
	tagStatus   = 's'
	tagLockout  = 'l'
	tagEvent    = 'e'
	tagLastGood = 't'
	tagKept     = 'd'
	tagStage    = 'h'
	tagDocument = 'p'
	tagPlace    = 'w'
	tagLocal    = 'o'
)

// The first byte of every record is its version. A row of the status outbox that
// belongs to a snapshot is of the second, and so are an event with how its decision
// came about, and a key that is in one piece with the state of its file; programs
// of before can't read these.
const (
	recordVersion    = 1
	snapshotVersion  = 2
	explainedVersion = 2
	wholeVersion     = 2
)

// newest is the newest version of a tag's records.
func newest(tag byte) byte {
	switch tag {
	case tagStatus:
		return snapshotVersion
	case tagEvent:
		return explainedVersion
	case tagKey, tagMeta:
		return wholeVersion
	}
	return recordVersion
}

const crcSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(tag byte, key, payload []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte{tag})
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, payload)
}

// seal makes a payload a value: the payload, then the CRC-32C over tag, key and
// payload.
func seal(tag byte, key, payload []byte) []byte {
	return binary.BigEndian.AppendUint32(payload, checksum(tag, key, payload))
}

// unseal gives the payload of a value, or an error that is ErrDamaged or, where a
// later program has written it, ErrNewer.
func unseal(tag byte, key, value []byte) ([]byte, error) {
	n := len(value) - crcSize
	if n < 1 || binary.BigEndian.Uint32(value[n:]) != checksum(tag, key, value[:n]) {
		return nil, fmt.Errorf("%w: checksum of a record in %q is wrong", ErrDamaged, tag)
	}
	if version := value[0]; version < recordVersion || version > newest(tag) {
		return nil, otherVersion(tag, version)
	}
	return value[:n], nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime keeps an instant to the nanosecond, the zero time too; the zone and
// the monotonic reading are not kept.
func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

var errShort = errors.New("ends too early")

// decoder reads a payload front to back. After its first error it gives zero
// values, so that only done needs to be asked.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.b = err, nil
	}
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail(errShort)
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size reads a length or a count, at most most.
func (d *decoder) size(most int) int {
	v := d.uvarint()
	if v > uint64(most) {
		d.fail(fmt.Errorf("has a size of %d, at most %d", v, most))
		return 0
	}
	return int(v)
}

func (d *decoder) str(most int) string { return string(d.bytes(d.size(most))) }

func (d *decoder) id() (id access.ID) {
	copy(id[:], d.bytes(len(id)))
	return id
}

func (d *decoder) time() time.Time {
	s, n := d.varint(), d.uvarint()
	if n >= uint64(time.Second) {
		d.fail(errors.New("has a time out of range"))
		return time.Time{}
	}
	return time.Unix(s, int64(n)).UTC()
}

// done is the error of the whole payload; bytes left over are one.
func (d *decoder) done(what string) error {
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("has %d bytes too many", len(d.b))
	}
	if d.err != nil {
		return fmt.Errorf("%w: %s %w", ErrDamaged, what, d.err)
	}
	return nil
}

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
