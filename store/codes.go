package store

import (
	"bytes"

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

// codesAt is Codes of the index as they were at a commit.
type codesAt struct {
	file *bbolt.DB
	tx   int
	Codes
}

// Codes counts the codes. It reads the index of codes after a commit alone, so it
// may be asked often.
func (s *Store) Codes() (c Codes, err error) {
	err = s.keys.view(func(tx *bbolt.Tx) error {
		now := codesAt{file: tx.DB(), tx: tx.ID()}
		if was := s.codes.Load(); was != nil && was.file == now.file && was.tx == now.tx {
			c = was.Codes
			return nil
		}
		err := now.count(tx)
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

// count counts the codes of the index.
func (c *Codes) count(tx *bbolt.Tx) error {
	b, err := buckets(tx, bucketCreds)
	if err != nil {
		return err
	}
	cur := b[0].Cursor()
	for k, v := cur.Seek([]byte{codePrefix}); bytes.HasPrefix(k, []byte{codePrefix}); k, v = cur.Next() {
		payload, err := unseal(tagCred, k, v)
		if err != nil {
			return err
		}
		d, err := decodeDecision(credID(k), payload)
		if err != nil {
			return err
		}
		c.add(&d)
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
		if err := c.count(tx); err != nil {
			return err
		}
		b := tx.Bucket(bucketLocal)
		if b == nil {
			return nil
		}
		// Of local keys the file has what they were judged at first.
		size := c.Size
		return eachLocal(b, func(_ access.ID, l *localKey) {
			if size == 0 || l.dec.codeSize == size {
				c.add(&l.dec)
			}
		})
	})
	return c, err
}
