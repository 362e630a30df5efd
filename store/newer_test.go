package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"postern/access"
)

// ofVersion gives a record's value another version, with a checksum that is right.
func ofVersion(tag byte, key, value []byte, version byte) []byte {
	payload := bytes.Clone(value[:len(value)-crcSize])
	payload[0] = version
	return seal(tag, key, payload)
}

// folder is the content of every file in a folder.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		out[e.Name()] = string(readFile(t, filepath.Join(dir, e.Name())))
	}
	return out
}

// TestNewer: whichever file a later program has written, a store opens none of
// them, says which it is, and leaves all as they are.
func TestNewer(t *testing.T) {
	row := func(tag byte, bucket, key []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0, boltOptions(false))
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket(bucket)
				if key == nil {
					key, _ = b.Cursor().First()
					key = bytes.Clone(key)
				}
				return b.Put(key, ofVersion(tag, key, b.Get(key), 9))
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	small := func(tag byte, key string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			putFile(t, path, ofVersion(tag, []byte(key), readFile(t, path), 9))
		}
	}
	for _, test := range []struct {
		name, file string
		change     func(*testing.T, string)
	}{
		{"keys", "keys.db", row(tagMeta, bucketMeta, metaState)},
		{"a key", "keys.db", row(tagKey, bucketKeys, nil)},
		{"a status row", "keys.db", row(tagStatus, bucketStatus, nil)},
		{"journal", "journal.db", row(tagMeta, bucketMeta, metaState)},
		{"an event", "journal.db", row(tagEvent, bucketEvents, nil)},
		{"document", "policy.doc", small(tagDocument, "policy")},
		{"last good time", lastGoodName, small(tagLastGood, lastGoodName)},
		{"marked as damaged", "journal.db", func(t *testing.T, path string) {
			row(tagMeta, bucketMeta, metaState)(t, path)
			putFile(t, marker(path), []byte("met"))
		}},
		{"beside a damaged one", "journal.db", func(t *testing.T, path string) {
			row(tagMeta, bucketMeta, metaState)(t, path)
			keys := filepath.Join(filepath.Dir(path), "keys.db")
			putFile(t, keys, readFile(t, keys)[:2*pageSize])
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.apply(put(1, 1, 11))
			if _, err := h.s.Record(t.Context(), access.Event{Type: access.GrantedCard, At: start}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(h.s.SetLastGood(t.Context(), start), WriteDocument(h.o.Dir, "policy", []byte("p"))); err != nil {
				t.Fatal(err)
			}
			h.stop()
			test.change(t, h.path(test.file))
			was := folder(t, h.o.Dir)
			s, rec, err := Open(t.Context(), h.o)
			if err == nil {
				s.Close()
				t.Fatalf("opened, recovery %+v", rec)
			}
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
			for _, part := range []string{h.path(test.file) + ": ", "has format 9, this program knows up to ", "install the version"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %q", part, err)
				}
			}
			if diff := cmp.Diff(was, folder(t, h.o.Dir)); diff != "" {
				t.Errorf("the files changed (-before +after)\n%s", diff)
			}
		})
	}
}

// A check that knows less than the store does not have a newer file put aside.
func TestNewerOverlooked(t *testing.T) {
	h := newHarness(t)
	h.stop()
	path := h.path("journal.db")
	db, err := bbolt.Open(path, 0, boltOptions(false))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		return b.Put(metaState, ofVersion(tagMeta, metaState, b.Get(metaState), 9))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	h.o.Check = func(context.Context, string) error { return nil }
	was := folder(t, h.o.Dir)
	if s, rec, err := Open(t.Context(), h.o); !errors.Is(err, ErrNewer) {
		t.Errorf("opened %v, recovery %+v, error %v", s != nil, rec, err)
	}
	if diff := cmp.Diff(was, folder(t, h.o.Dir)); diff != "" {
		t.Errorf("the files changed (-before +after)\n%s", diff)
	}
}

// A document of a later program is not written over, by no door mode either.
func TestNewerDocumentStays(t *testing.T) {
	dir := t.TempDir()
	if err := WriteDocument(dir, "modes", []byte("of old")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "modes.doc")
	value := ofVersion(tagDocument, []byte("modes"), readFile(t, path), 2)
	putFile(t, path, value)
	if _, err := ReadDocument(dir, "modes"); !errors.Is(err, ErrNewer) {
		t.Errorf("ReadDocument: %v", err)
	}
	if err := WriteDocument(dir, "modes", []byte("of now")); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), path) {
		t.Errorf("WriteDocument: %v", err)
	}
	if got := readFile(t, path); !bytes.Equal(got, value) {
		t.Errorf("the file is %q", got)
	}
}

func TestUnsealVersions(t *testing.T) {
	key := []byte("k")
	for _, test := range []struct {
		tag, version byte
		want         error
	}{
		{tagLockout, 0, ErrDamaged},
		{tagLockout, recordVersion, nil},
		{tagLockout, recordVersion + 1, ErrNewer},
		{tagKey, recordVersion, nil},
		{tagKey, wholeVersion, nil},
		{tagKey, wholeVersion + 1, ErrNewer},
		{tagStatus, snapshotVersion, nil},
		{tagStatus, snapshotVersion + 1, ErrNewer},
		{tagEvent, 255, ErrNewer},
	} {
		value := seal(test.tag, key, []byte{test.version, 1})
		if _, err := unseal(test.tag, key, value); !errors.Is(err, test.want) {
			t.Errorf("%q of version %d: %v, want %v", test.tag, test.version, err, test.want)
		}
		binary.BigEndian.PutUint32(value[2:], 0)
		if _, err := unseal(test.tag, key, value); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q of version %d with another checksum: %v", test.tag, test.version, err)
		}
	}
}
