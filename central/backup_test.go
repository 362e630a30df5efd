package central

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBackup(t *testing.T) {
	k := newKit(t)
	k.panel("p1", 6, level(1))
	k.addCard(1, level(1))
	file := filepath.Join(t.TempDir(), "it's a 'backup'.db")
	if err := k.store.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	before := k.dump()
	k.addCard(2, level(1))
	if err := k.store.Backup(t.Context(), file); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: got %v", err)
	}
	o := k.opts
	o.Database = file
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if restored := (&kit{t: t, store: s}).dump(); restored != before {
		t.Errorf("the backup has not what there was:\n%s", restored)
	}
}

// TestServerRole: on PostgreSQL a server works with a role that may not change
// tables, does not without its tables up to date, and can't touch the trail.
func TestServerRole(t *testing.T) {
	owner := postgresSchema(t)
	db, err := sql.Open("pgx", owner)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	role := fmt.Sprintf(`server"%d`, time.Now().UnixNano())
	for _, text := range []string{"CREATE ROLE " + quoteName(role) + " LOGIN", "GRANT USAGE ON SCHEMA " + schemaOf(t, owner) + " TO " + quoteName(role)} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		db, err := sql.Open("pgx", owner)
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close()
		for _, text := range []string{"DROP OWNED BY " + quoteName(role), "DROP ROLE " + quoteName(role)} {
			if _, err := db.Exec(text); err != nil { //nolint:noctx // the test's context is over
				t.Error(err)
			}
		}
	})
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", role)
	u.RawQuery = q.Encode()
	o := StoreOptions{Database: u.String(), SecretKeyFile: filepath.Join(t.TempDir(), "key")}
	if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "postern-central migrate") {
		t.Errorf("without tables: got %v", err)
		if err == nil {
			_ = s.Close()
		}
	}
	for range 2 { // the second time there is nothing to do
		if err := Migrate(t.Context(), owner, role); err != nil {
			t.Fatal(err)
		}
	}
	k := newKitAt(t, u.String())
	k.panel("p1", 6, level(1))
	k.addCard(1, level(1))
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM audit").Scan(&n); err != nil || n != 1 {
		t.Errorf("the trail has %d entries, %v", n, err)
	}
	for _, text := range []string{
		"DELETE FROM audit", "UPDATE audit SET actor = ''", "TRUNCATE audit", "DROP TABLE audit", "CREATE TABLE x (y INT)",
		"ALTER TABLE keys ADD COLUMN x INT", "ALTER TABLE audit DISABLE TRIGGER ALL", "DELETE FROM goose_db_version",
	} {
		if _, err := k.store.write.ExecContext(t.Context(), text); !denied(err) && (err == nil || !strings.Contains(err.Error(), "owner")) {
			t.Errorf("%s: got %v, want it refused", text, err)
		}
	}
	// A newer program over older tables.
	if _, err := db.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id = $1", auditVersion); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), k.opts); err == nil || !strings.Contains(err.Error(), "tables have version 4, this program needs 5") {
		t.Errorf("older tables: got %v", err)
	}
}

func schemaOf(t *testing.T, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}

func TestMigrate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.db")
	if err := Migrate(t.Context(), file, ""); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), file, "somebody"); err == nil {
		t.Error("SQLite has no roles")
	}
	newKitAt(t, file)
}
