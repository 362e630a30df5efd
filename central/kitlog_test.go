package central

import (
	"context"
	"io/fs"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"

	"postern/access"
	"postern/wire"
)

// logged is one revision as a panel would get it.
type logged struct {
	access.Update
	key access.Key
	pin string
}

// log reads the whole log of a panel. In it only a put whose key was removed
// later may be one that can't be a key.
func (k *kit) log(system string) []logged {
	k.t.Helper()
	head := k.head(system)
	var out []logged
	for from := uint64(1); from <= head.revision; {
		batches, err := k.store.batches(context.Background(), system, head.epoch, from, head.revision)
		if err != nil || len(batches) == 0 {
			k.t.Fatalf("no batch from %d on: %v", from, err)
		}
		for _, x := range batches {
			if len(x.payload) > wire.MaxBatch {
				k.t.Fatalf("a batch has %d bytes, more than %d", len(x.payload), wire.MaxBatch)
			}
			b, err := wire.DecodeChanges(x.payload)
			if err != nil {
				k.t.Fatal(err)
			}
			for _, u := range b.Updates {
				out = append(out, logged{Update: u, key: u.Key, pin: u.PIN})
			}
			from = x.last + 1
		}
	}
	removed := map[access.ID]bool{}
	for _, l := range slices.Backward(out) {
		if l.Op == access.Remove {
			removed[l.ID] = true
		} else if l.Fault != "" && !removed[l.ID] {
			k.t.Fatalf("revision %d can't be a key: %s", l.Revision, l.Fault)
		}
	}
	return out
}

func (k *kit) head(system string) *panelHead {
	k.t.Helper()
	var head *panelHead
	err := k.store.view(context.Background(), func(t *tx) (err error) {
		head, err = t.head(context.Background(), system)
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return head
}

// lastPut is the newest put in a panel's log.
func (k *kit) lastPut(system string) logged {
	k.t.Helper()
	for _, l := range slices.Backward(k.log(system)) {
		if l.Op == access.Put {
			return l
		}
	}
	k.t.Fatalf("panel %s was told of no key", system)
	return logged{}
}

// down takes the database back to an earlier version.
func (k *kit) down(t *testing.T, version int64) {
	t.Helper()
	dialect := goose.DialectSQLite3
	if isPostgres(k.opts.Database) {
		dialect = goose.DialectPostgres
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, k.store.write, files, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(auditMigration(dialect)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}
