package store

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"postern/access"
)

// The buckets. meta is in both files and holds the row of the file's state.
var (
	bucketMeta    = []byte("meta")
	bucketKeys    = []byte("keys")
	bucketCreds   = []byte("cred") // only in files of before
	bucketStatus  = []byte("status")
	bucketLockout = []byte("lockout")
	bucketPlaces  = []byte("places") // only where somebody is known to be somewhere
	bucketLocal   = []byte("local")  // only where there are keys of this panel alone
	bucketEvents  = []byte("events")
	bucketKept    = []byte("kept") // only while a snapshot is staged

	metaState = []byte("state")
	metaLost  = []byte("pin-key-lost") // there while PINs and codes are those of a lost device key
)

// The kinds of file, the second byte of the meta row.
const (
	kindKeys    = 'K'
	kindJournal = 'J'
)

// digestSize is the size of the hashes of what keys were judged under.
const digestSize = 16

type hash16 [digestSize]byte

// keysState is the meta row of keys.db.
type keysState struct {
	epoch, revision, count uint64
	creds                  uint64 // of all keys
	statusSeq              uint64 // of the last status row ever written
	digest                 access.Digest
	device                 hash16 // check value of the device key
	matchers, policy       hash16 // that the index was built and the keys judged under
}

func (s *keysState) encode() []byte {
	b := []byte{wholeVersion, kindKeys}
	for _, v := range []uint64{s.epoch, s.revision, s.count, s.creds, s.statusSeq} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, s.digest[:]...)
	for _, h := range []hash16{s.device, s.matchers, s.policy} {
		b = append(b, h[:]...)
	}
	return b
}

func (s *keysState) decode(payload []byte) error {
	d := decoder{b: payload}
	d.bytes(2)
	for _, v := range []*uint64{&s.epoch, &s.revision, &s.count, &s.creds, &s.statusSeq} {
		if b := d.bytes(8); b != nil {
			*v = binary.BigEndian.Uint64(b)
		}
	}
	copy(s.digest[:], d.bytes(len(s.digest)))
	for _, h := range []*hash16{&s.device, &s.matchers, &s.policy} {
		copy(h[:], d.bytes(digestSize))
	}
	return d.done("meta")
}

func (s *keysState) position() access.Position {
	return access.Position{Epoch: s.epoch, Revision: s.revision, Digest: s.digest, Count: s.count}
}

// journalState is the meta row of journal.db.
type journalState struct {
	last      uint64 // seq of the last event ever written
	confirmed uint64 // events up to here are confirmed
	waiting   uint64 // events held that are not confirmed
	kept      uint64 // events held that are
	dropSeq   uint64 // the last EventsDropped event
	dropCount uint64 // and how many it counts
}

func (s *journalState) encode() []byte {
	b := []byte{recordVersion, kindJournal}
	for _, v := range []uint64{s.last, s.confirmed, s.waiting, s.kept, s.dropSeq, s.dropCount} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func (s *journalState) decode(payload []byte) error {
	d := decoder{b: payload}
	d.bytes(2)
	for _, v := range []*uint64{&s.last, &s.confirmed, &s.waiting, &s.kept, &s.dropSeq, &s.dropCount} {
		if b := d.bytes(8); b != nil {
			*v = binary.BigEndian.Uint64(b)
		}
	}
	return d.done("meta")
}

// readMeta gives the payload of the meta row and the kind of file it is in.
func readMeta(tx *bbolt.Tx) (payload []byte, kind byte, err error) {
	b := tx.Bucket(bucketMeta)
	if b == nil {
		return nil, 0, fmt.Errorf("%w: the meta bucket is missing", ErrDamaged)
	}
	payload, err = unseal(tagMeta, metaState, b.Get(metaState))
	if err != nil {
		return nil, 0, fmt.Errorf("meta row: %w", err)
	}
	if len(payload) < 2 || payload[1] != kindKeys && payload[1] != kindJournal {
		return nil, 0, fmt.Errorf("%w: the meta row is of no known kind", ErrDamaged)
	}
	return payload, payload[1], nil
}

func readKeysState(tx *bbolt.Tx) (s keysState, err error) {
	payload, kind, err := readMeta(tx)
	if err != nil {
		return s, err
	}
	if kind != kindKeys {
		return s, fmt.Errorf("%w: not a file of keys", ErrDamaged)
	}
	return s, s.decode(payload)
}

func readJournalState(tx *bbolt.Tx) (s journalState, err error) {
	payload, kind, err := readMeta(tx)
	if err != nil {
		return s, err
	}
	if kind != kindJournal {
		return s, fmt.Errorf("%w: not a journal", ErrDamaged)
	}
	return s, s.decode(payload)
}

func writeMeta(b *bbolt.Bucket, payload []byte) error {
	return b.Put(metaState, seal(tagMeta, metaState, payload))
}

// buckets gives the buckets of a file by name, or an error that is ErrDamaged.
func buckets(tx *bbolt.Tx, names ...[]byte) ([]*bbolt.Bucket, error) {
	out := make([]*bbolt.Bucket, len(names))
	for i, n := range names {
		if out[i] = tx.Bucket(n); out[i] == nil {
			return nil, fmt.Errorf("%w: the bucket %s is missing", ErrDamaged, n)
		}
	}
	return out, nil
}
