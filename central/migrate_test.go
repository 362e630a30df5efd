package central

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// TestMigrateEveryTable begins with a database of each older version that has a
// row in every table, and brings it up to date: every row is there, with what it
// had, and the server works on it.
func TestMigrateEveryTable(t *testing.T) {
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "c.db") },
		"postgres": postgresSchema,
	} {
		t.Run(name, func(t *testing.T) {
			for version := int64(1); ; version++ {
				dsn := database(t)
				old, newest := oldDatabase(t, dsn, version)
				if version == newest {
					break
				}
				tables := old.tables()
				if len(tables) < 18 {
					t.Fatalf("version %d has the tables %v only", version, tables)
				}
				columns, rows := map[string][]string{}, map[string]string{}
				for _, table := range tables {
					columns[table] = old.fill(table)
				}
				for _, table := range tables {
					rows[table] = old.rows(table, columns[table])
				}
				if err := old.Close(); err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), StoreOptions{Database: dsn, SecretKeyFile: filepath.Join(t.TempDir(), "key")})
				if err != nil {
					t.Fatalf("version %d: %v", version, err)
				}
				now := &oldStore{Store: s, t: t}
				for _, table := range tables {
					if got := now.rows(table, columns[table]); got != rows[table] {
						t.Errorf("version %d, %s: got %s, had %s", version, table, got, rows[table])
					}
				}
				if missing := slices.DeleteFunc(tables, func(x string) bool { return slices.Contains(now.tables(), x) }); len(missing) > 0 {
					t.Errorf("version %d: %v are gone", version, missing)
				}
				if err := s.AddPanel(t.Context(), "p2"); err != nil {
					t.Errorf("version %d: %v", version, err)
				}
				if _, err := s.AddUser(t.Context(), UserSpec{Name: "new"}); err != nil {
					t.Errorf("version %d: %v", version, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// oldStore is a database of an older version.
type oldStore struct {
	*Store
	t *testing.T
}

// oldDatabase makes the tables of a version.
func oldDatabase(t *testing.T, dsn string, version int64) (s *oldStore, newest int64) {
	t.Helper()
	s = &oldStore{&Store{}, t}
	dialect, err := s.connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, s.write, files, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(auditMigration(dialect)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	sources := p.ListSources()
	return s, sources[len(sources)-1].Version
}

func (s *oldStore) postgres() bool { return s.read == s.write }

func (s *oldStore) list(query string, args ...any) []string {
	s.t.Helper()
	out, err := all(s.t.Context(), s.read, scanText, query, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// tables are those of ours that are there.
func (s *oldStore) tables() []string {
	query := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if s.postgres() {
		query = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	return slices.DeleteFunc(slices.Sorted(slices.Values(s.list(query))), func(n string) bool { return n == "goose_db_version" })
}

// fill puts a row into a table, whose texts are all the same, so that what refers
// to another table finds its row there. It gives the columns.
func (s *oldStore) fill(table string) []string {
	s.t.Helper()
	query := "SELECT name || ' ' || type FROM pragma_table_info($1) ORDER BY cid"
	off := "PRAGMA foreign_keys = OFF"
	if s.postgres() {
		query = "SELECT column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
		off = "SET session_replication_role = replica"
	}
	var names, values []string
	for _, text := range s.list(query, table) {
		name, kind, _ := strings.Cut(text, " ")
		value := map[string]string{"TEXT": "'row'", "BIGINT": "7", "BOOLEAN": "TRUE", "BYTEA": "'bytes'"}[strings.ToUpper(kind)]
		if value == "" {
			s.t.Fatalf("%s.%s is a %s", table, name, kind)
		}
		names, values = append(names, name), append(values, value)
	}
	insert := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(values, ", "))
	c, err := s.write.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	for _, text := range []string{off, insert} {
		if _, err := c.ExecContext(s.t.Context(), text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
	return names
}

// rows is the row that fill made, as text.
func (s *oldStore) rows(table string, columns []string) string {
	s.t.Helper()
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("'%s=' || COALESCE(CAST(%[1]s AS TEXT), 'NULL')", c)
	}
	condition := "value = 7"
	if table != "counters" {
		condition = "1 = 1"
	}
	if table == "meta" {
		condition = "name = 'row'"
	}
	got := s.list("SELECT " + strings.Join(parts, " || ' ' || ") + " FROM " + table + " WHERE " + condition)
	slices.Sort(got)
	return strings.Join(got, "\n")
}
