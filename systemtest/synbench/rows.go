package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// row is one key in the panel's key file.
type row struct{ key, value []byte }

// plainOptions are bbolt's as the store has them.
var plainOptions = bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, PageSize: 4096}

// keyBucket has the rows of keys.
var keyBucket = []byte("keys")

// copyKeys copies the panel's key file, which nobody may write meanwhile.
func copyKeys(dir, to string) error {
	in, err := os.Open(filepath.Join(dir, "keys.db"))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return cmp.Or(out.Sync(), out.Close())
}

func readRows(path string) (rows []row, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return rows, db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(keyBucket)
		if b == nil {
			return fmt.Errorf("the panel's key file has no bucket %s", keyBucket)
		}
		return b.ForEach(func(k, v []byte) error {
			rows = append(rows, row{bytes.Clone(k), bytes.Clone(v)})
			return nil
		})
	})
}

// repeats of each plain measurement; the middle one counts.
const repeats = 5

// plainLoad is how long bbolt takes for the rows, in their order, in one
// transaction of a new file, until it is safe under its name.
func plainLoad(dir string, rows []row) (time.Duration, error) {
	return median(func() (time.Duration, error) {
		path := filepath.Join(dir, "plain.db")
		defer os.Remove(path)
		start := time.Now()
		db, err := bbolt.Open(path+".new", 0o600, &plainOptions)
		if err != nil {
			return 0, err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(keyBucket)
			if err != nil {
				return err
			}
			return put(b, rows)
		})
		if err = cmp.Or(err, db.Close()); err != nil {
			return 0, err
		}
		err = cmp.Or(os.Rename(path+".new", path), syncDir(dir))
		return time.Since(start), err
	})
}

// put puts rows that come in order.
func put(b *bbolt.Bucket, rows []row) error {
	b.FillPercent = 0.9
	return scattered(b, rows)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// changed are the rows of after that are not in before.
func changed(before, after []row) (out []row) {
	have := map[string][]byte{}
	for _, r := range before {
		have[string(r.key)] = r.value
	}
	for _, r := range after {
		if v, ok := have[string(r.key)]; !ok || !bytes.Equal(v, r.value) {
			out = append(out, r)
		}
	}
	return out
}

// plainChanges is how long bbolt takes to put the rows of so many changes into a
// copy of a key file, in transactions of perCommit changes. The rows come in no
// order, as changes do.
func plainChanges(base string, rows []row, changes, perCommit int) (time.Duration, error) {
	rows = slices.Clone(rows)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	commits := max(1, changes/perCommit)
	return median(func() (time.Duration, error) {
		path := base + ".plain"
		defer os.Remove(path)
		if err := copyFile(base, path); err != nil {
			return 0, err
		}
		db, err := bbolt.Open(path, 0o600, &plainOptions)
		if err != nil {
			return 0, err
		}
		defer db.Close()
		start := time.Now()
		for i := range commits {
			part := rows[len(rows)*i/commits : len(rows)*(i+1)/commits]
			if err := db.Update(func(tx *bbolt.Tx) error { return scattered(tx.Bucket(keyBucket), part) }); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	})
}

func scattered(b *bbolt.Bucket, rows []row) error {
	for _, r := range rows {
		if err := b.Put(r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func median(f func() (time.Duration, error)) (time.Duration, error) {
	var all []time.Duration
	for range repeats {
		d, err := f()
		if err != nil {
			return 0, err
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
