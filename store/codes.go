package store

import (
	"go.etcd.io/bbolt"

	"postern/access"
)

// Codes is how many keypad codes count at the doors, those of this panel alone
// too, and how many digits each has; access.CodeRisk says whether that is safe.
type Codes struct {
	Count, Size int
}

func (c *Codes) add(d *decision) {
	if d.opens && d.key.Type == access.Code {
		c.Count++
		c.Size = d.codeSize
	}
}

// codesAt is Codes of the keys as they were at a commit.
type codesAt struct {
	file *bbolt.DB
	tx   int
	Codes
}

// Codes counts the codes. It reads the keys with codes after a commit alone, so it
// may be asked often.
func (s *Store) Codes() (c Codes, err error) {
	s.exchange.RLock()
	defer s.exchange.RUnlock()
	err = s.keys.view(func(tx *bbolt.Tx) error {
		now := codesAt{file: tx.DB(), tx: tx.ID()}
		if was := s.codes.Load(); was != nil && was.file == now.file && was.tx == now.tx {
			c = was.Codes
			return nil
		}
		err := now.count(tx, s.index.Load().withCodes())
		if err == nil {
			s.codes.Store(&now)
			c = now.Codes
		}
		return err
	})
	if err != nil {
		return Codes{}, err
	}
	for _, l := range *s.local.Load() {
		c.add(&l.dec)
	}
	return c, nil
}

// count counts the codes among some keys.
func (c *Codes) count(tx *bbolt.Tx, ids []access.ID) error {
	for _, id := range ids {
		_, v, ok, err := readKey(tx, id)
		if err != nil {
			return err
		}
		if ok {
			c.add(&v)
		}
	}
	return nil
}

// CodesIn counts the codes in the keys.db of a daemon that does not run, as they
// were judged last; nothing is changed. ErrLocked is for one that runs.
func CodesIn(path string) (c Codes, err error) {
	err = viewFile(path, func(tx *bbolt.Tx) error {
		if _, err := readKeysState(tx); err != nil {
			return err
		}
		b, err := buckets(tx, bucketKeys)
		if err == nil {
			err = eachRecord(b[0], func(_ access.ID, _ *keyRow, v *decision) { c.add(v) })
		}
		local := tx.Bucket(bucketLocal)
		if err != nil || local == nil {
			return err
		}
		// Of local keys the file has what they were judged at first.
		size := c.Size
		return eachLocal(local, func(_ access.ID, l *record) {
			if size == 0 || l.dec.codeSize == size {
				c.add(&l.dec)
			}
		})
	})
	return c, err
}
