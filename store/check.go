package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"postern/access"
)

// maxFile bounds the files that are read at all; ten million keys stay below it.
const maxFile = 4 << 30

// CheckFile reads a keys.db or journal.db whole and says what is wrong with it:
// structure, the checksum of every record, counts, digest and sequences. It
// changes nothing. It guards itself against panics and faults, but is meant to
// run in a child process with a time-out and a memory limit. ErrLocked and
// ErrNewer are no damage, nor are the errors of opening the file.
func CheckFile(path string) error {
	return viewFile(path, checkRows)
}

// viewFile reads from a database that no process has open, once its structure is
// right. ErrLocked is for one that a process has.
func viewFile(path string, fn func(*bbolt.Tx) error) error {
	if err := checkStructure(path); err != nil {
		return err
	}
	return guard(func() error {
		db, err := bbolt.Open(path, 0, boltOptions(true))
		if errors.Is(err, berrors.ErrTimeout) {
			return ErrLocked
		}
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer db.Close()
		return db.View(fn)
	})
}

// checkStructure reads the file front to back, which is the fastest way to get
// an SD card's content into memory, and then checks its pages.
func checkStructure(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := io.Copy(io.Discard, io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case size > maxFile:
		return fmt.Errorf("has more than %d bytes", int64(maxFile))
	case size == 0:
		return fmt.Errorf("%w: is empty", ErrDamaged)
	}
	if err := checkPages(f, size); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func checkRows(tx *bbolt.Tx) error {
	payload, kind, err := readMeta(tx)
	if err != nil {
		return err
	}
	if kind == kindJournal {
		var st journalState
		if err := st.decode(payload); err != nil {
			return err
		}
		return checkJournal(tx, st)
	}
	var st keysState
	if err := st.decode(payload); err != nil {
		return err
	}
	return checkKeys(tx, st)
}

// scan visits every row of a bucket in order, its checksum verified.
func scan(b *bbolt.Bucket, tag byte, row func(key, payload []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		payload, err := unseal(tag, k, v)
		if err != nil {
			return err
		}
		return row(k, payload)
	})
}

func checkKeys(tx *bbolt.Tx, st keysState) error {
	b, err := buckets(tx, bucketKeys, bucketStatus, bucketLockout)
	if err != nil {
		return err
	}
	var digest access.Digest
	var count, creds uint64
	err = eachRecord(b[0], func(id access.ID, r *keyRow, v *decision) {
		count++
		creds += uint64(len(r.creds))
		digest = digest.Add(id, v.revision)
	})
	if err != nil {
		return err
	}
	if count != st.count || digest != st.digest {
		return fmt.Errorf("%w: %d keys with digest %.8s, want %d with %.8s", ErrDamaged, count, digest, st.count, st.digest)
	}
	if creds != st.creds {
		return fmt.Errorf("%w: %d credentials, want %d", ErrDamaged, creds, st.creds)
	}
	if err := checkStatus(b[1], st); err != nil {
		return err
	}
	if err := checkKept(tx); err != nil {
		return err
	}
	if err := eachPlace(tx, func(access.ID, access.Place) {}); err != nil {
		return err
	}
	if err := checkLocal(tx); err != nil {
		return err
	}
	return scan(b[2], tagLockout, func(_, payload []byte) error {
		_, err := decodeLockout(payload)
		return err
	})
}

// eachRecord visits every key in order.
func eachRecord(keys *bbolt.Bucket, do func(access.ID, *keyRow, *decision)) error {
	return keys.ForEach(func(k, _ []byte) error {
		if len(k) != idSize {
			return fmt.Errorf("%w: a key's id has %d bytes", ErrDamaged, len(k))
		}
		id := access.ID(k)
		r, v, ok, err := loadKey(keys, id)
		if err == nil && ok {
			do(id, &r, &v)
		}
		return err
	})
}

func checkStatus(b *bbolt.Bucket, st keysState) error {
	last := uint64(0)
	err := scan(b, tagStatus, func(k, payload []byte) error {
		seq := seqOf(k)
		if seq == 0 || last != 0 && seq != last+1 {
			return fmt.Errorf("%w: status row %d follows %d", ErrDamaged, seq, last)
		}
		last = seq
		_, err := decodeStatus(payload)
		return err
	})
	if err == nil && last != 0 && last != st.statusSeq {
		err = fmt.Errorf("%w: the last status row is %d, want %d", ErrDamaged, last, st.statusSeq)
	}
	return err
}

func checkJournal(tx *bbolt.Tx, st journalState) error {
	b, err := buckets(tx, bucketEvents)
	if err != nil {
		return err
	}
	var last, waiting, kept uint64
	err = scan(b[0], tagEvent, func(k, payload []byte) error {
		seq := seqOf(k)
		if seq == 0 {
			return fmt.Errorf("%w: an event without a sequence number", ErrDamaged)
		}
		last = seq
		if seq > st.confirmed {
			waiting++
		} else {
			kept++
		}
		_, err := decodeEvent(seq, payload)
		return err
	})
	if err != nil {
		return err
	}
	if last > st.last || waiting != st.waiting || kept != st.kept {
		return fmt.Errorf("%w: events %d waiting, %d kept, the last %d; want %d, %d and %d",
			ErrDamaged, waiting, kept, last, st.waiting, st.kept, st.last)
	}
	return nil
}

// boltOptions are those of every file. NoFreelistSync halves what a commit
// writes; bbolt finds the free pages by reading the file when it opens it.
func boltOptions(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, PageSize: pageSize, ReadOnly: readOnly,
	}
}
