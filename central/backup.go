package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// ErrPostgres is what only SQLite can do here: PostgreSQL has pg_dump for it.
var ErrPostgres = errors.New("the database is PostgreSQL: back it up with pg_dump")

// Backup writes the whole database, as it is at one moment, into a new file of
// mode 0600, also while a server runs. The secret key is not in it and has to be
// kept elsewhere. It gives ErrPostgres for that.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	if s.read == s.write {
		return ErrPostgres
	}
	// SQLite takes over an empty file, and would make one that all may read.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the folder %s is not there", err, filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("create backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err := s.write.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync backup: %w", err)
	}
	return nil
}

// Migrate brings the tables of a database up to date, for a server whose own
// role may not. On PostgreSQL it then gives role, if not empty, the rights that
// a server needs and no more: it reads and changes rows, but only adds to the
// audit trail.
func Migrate(ctx context.Context, database, role string) (err error) {
	s := &Store{}
	dialect, err := s.connect(database)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.migrate(ctx, dialect); err != nil {
		return err
	}
	if role == "" {
		return nil
	}
	if dialect != goose.DialectPostgres {
		return errors.New("grant rights: SQLite has no roles")
	}
	return s.grant(ctx, role)
}

func (s *Store) grant(ctx context.Context, role string) error {
	t, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = t.Rollback() }()
	schema, err := all(ctx, t, scanText, "SELECT current_schema()")
	if err != nil {
		return fmt.Errorf("find schema: %w", err)
	}
	to, in := quoteName(role), quoteName(schema[0])
	for _, text := range []string{
		"GRANT USAGE ON SCHEMA " + in + " TO " + to,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + in + " TO " + to,
		"REVOKE UPDATE, DELETE ON audit FROM " + to,
		"REVOKE INSERT, UPDATE, DELETE ON goose_db_version FROM " + to,
	} {
		if _, err := t.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("grant rights: %w", err)
		}
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("grant rights: %w", err)
	}
	return nil
}

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// denied reports whether PostgreSQL refused something to the role.
func denied(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42501"
}

// behind is why tables can't be used: they are older than the program, and its
// role may not change them.
func behind(have, want int64, err error) error {
	if !denied(err) {
		return fmt.Errorf("bring tables up to date: %w", err)
	}
	return fmt.Errorf("the database's tables have version %d, this program needs %d, and its role may not change tables: run postern-central migrate with one that may", have, want)
}

// version is that of the tables; 0 when there are none. It makes nothing, unlike
// the library's way to ask.
func (s *Store) version(ctx context.Context, dialect goose.Dialect) (int64, error) {
	table := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'"
	if dialect == goose.DialectPostgres {
		table = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'goose_db_version'"
	}
	var n int64
	if err := s.write.QueryRowContext(ctx, table).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	var v sql.NullInt64
	err := s.write.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	return v.Int64, err
}
