package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"postern/access"
)

// maxArea bounds the id of an area, in bytes.
const maxArea = 128

// Places gives where people were last known to go, by person or by key.
func (s *Store) Places() (map[access.ID]access.Place, error) {
	out := map[access.ID]access.Place{}
	err := s.keys.view(func(tx *bbolt.Tx) error {
		return eachPlace(tx, func(who access.ID, at access.Place) { out[who] = at })
	})
	return out, err
}

// eachPlace reads every place; a file without any has no bucket for them.
func eachPlace(tx *bbolt.Tx, row func(access.ID, access.Place)) error {
	b := tx.Bucket(bucketPlaces)
	if b == nil {
		return nil
	}
	return scan(b, tagPlace, func(k, payload []byte) error {
		if len(k) != idSize {
			return fmt.Errorf("%w: a person's id has %d bytes", ErrDamaged, len(k))
		}
		at, err := decodePlace(payload)
		if err == nil {
			row(access.ID(k), at)
		}
		return err
	})
}

// SetPlace keeps where somebody went. A zero place forgets that, and for the zero
// id forgets where everybody is. It returns after the commit.
func (s *Store) SetPlace(ctx context.Context, who access.ID, at access.Place) error {
	switch {
	case len(at.Area) > maxArea:
		return fmt.Errorf("place: the area's id is longer than %d bytes", maxArea)
	case who.IsZero() && !at.IsZero():
		return fmt.Errorf("place: nobody is nowhere")
	}
	return s.keysC.submit(ctx, func(u *keysTx) error { return u.setPlace(who, at) })
}

func (u *keysTx) setPlace(who access.ID, at access.Place) error {
	tx := u.meta.Tx()
	b := tx.Bucket(bucketPlaces)
	if b == nil {
		if at.IsZero() {
			return nil
		}
		var err error
		if b, err = tx.CreateBucket(bucketPlaces); err != nil {
			return err
		}
	}
	switch {
	case who.IsZero():
		u.touched = true
		return tx.DeleteBucket(bucketPlaces)
	case at.IsZero():
		return u.remove(b, who[:])
	}
	return u.put(b, who[:], seal(tagPlace, who[:], encodePlace(at)))
}

func encodePlace(p access.Place) []byte {
	b := binary.AppendUvarint([]byte{recordVersion}, uint64(len(p.Area)))
	return appendTime(append(b, p.Area...), p.At)
}

func decodePlace(payload []byte) (p access.Place, err error) {
	d := decoder{b: payload}
	d.u8()
	p.Area = d.str(maxArea)
	p.At = d.time()
	return p, d.done("place")
}
