package central

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// StoreOptions say where the database is.
type StoreOptions struct {
	Database      string           // path of a SQLite file, or a postgres:// URL
	SecretKeyFile string           // made, mode 0600, when it and the database's contents are new
	Log           *slog.Logger     // nil discards
	Now           func() time.Time // nil is time.Now
}

// Store is central's database. Several processes may have it open at once: one
// that serves, and commands that change something beside it.
type Store struct {
	write *sql.DB // one connection on SQLite
	read  *sql.DB // the same pool as write on PostgreSQL
	seal  *sealer
	log   *slog.Logger
	now   func() time.Time
	asked *sql.Stmt // for the generation, which the link asks for each second

	still    *sql.TxOptions // of a transaction that sees one state of the database
	bytewise string         // after ORDER BY: by bytes, in whatever language the database is
}

// Open opens the database, brings its tables up to date and checks that the
// secret key is the one it was made with.
func Open(ctx context.Context, o StoreOptions) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Database == "" || o.SecretKeyFile == "" {
		return nil, errors.New("open database: both a database and a secret key file must be named")
	}
	s := &Store{log: o.Log, now: o.Now}
	dialect, err := s.connect(o.Database)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := s.prepare(ctx, dialect, o.SecretKeyFile); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.Close())
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error {
	err := s.write.Close()
	if s.read != s.write {
		err = errors.Join(err, s.read.Close())
	}
	return err
}

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return s.read.QueryRowContext(ctx, "SELECT 1").Scan(&n)
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

const postgresConns = 10

func (s *Store) connect(dsn string) (goose.Dialect, error) {
	if isPostgres(dsn) {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			// The library's error may repeat the password.
			return "", errors.New("the postgres:// URL can't be used")
		}
		db.SetMaxOpenConns(postgresConns)
		s.write, s.read = db, db
		s.still, s.bytewise = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, ` COLLATE "C"`
		return goose.DialectPostgres, nil
	}
	// SQLite would make the file readable to everybody, and its -wal and -shm
	// files take over its mode.
	f, err := os.OpenFile(dsn, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", explainFile(dsn, err)
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	if s.write, err = sql.Open("sqlite", sqliteURL(dsn, false)); err != nil {
		return "", err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", sqliteURL(dsn, true)); err != nil {
		return "", errors.Join(err, s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	return goose.DialectSQLite3, nil
}

func sqliteURL(path string, readOnly bool) string {
	q := url.Values{"_pragma": {"busy_timeout(60000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"}}
	// With the library's 2 MB a snapshot or its results, which go through all keys
	// in another order than they lie in, would read each page over and over.
	q["_pragma"] = append(q["_pragma"], "cache_size(-65536)")
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(ON)", "mmap_size(268435456)")
	} else {
		// A transaction that reads first and writes later would otherwise fail
		// at once when another process writes in between.
		q.Set("_txlock", "immediate")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (s *Store) prepare(ctx context.Context, dialect goose.Dialect, secretFile string) error {
	if err := s.migrate(ctx, dialect); err != nil {
		return err
	}
	var check []byte
	err := s.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'secret_check'").Scan(&check)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read check of the secret key: %w", err)
	}
	secret, err := loadSecret(secretFile, check == nil)
	if err != nil {
		return err
	}
	if s.seal, err = newSealer(secret); err != nil {
		return err
	}
	want := []byte(s.seal.hash("check", ""))
	if check == nil {
		const insert = "INSERT INTO meta (name, value) VALUES ('secret_check', $1) ON CONFLICT (name) DO NOTHING"
		if _, err := s.write.ExecContext(ctx, insert, want); err != nil {
			return fmt.Errorf("write check of the secret key: %w", err)
		}
		if err := s.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'secret_check'").Scan(&check); err != nil {
			return fmt.Errorf("read check of the secret key: %w", err)
		}
	}
	if subtle.ConstantTimeCompare(check, want) != 1 {
		return fmt.Errorf("secret key file %s is not the one this database was made with", secretFile)
	}
	s.asked, err = s.read.PrepareContext(ctx, "SELECT value FROM counters WHERE name = 'generation'")
	return err
}

func (s *Store) migrate(ctx context.Context, dialect goose.Dialect) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("find migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, s.write, files, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(auditMigration(dialect)), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	have, err := s.version(ctx, dialect)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	switch {
	case have == newest:
		return nil // a role that may not change tables can do that much
	case have > newest:
		return fmt.Errorf("the database has version %d, this program knows up to %d: install a newer postern-central", have, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return behind(have, newest, err)
	}
	return nil
}

// tx is one writing transaction. Such transactions run one at a time, on
// PostgreSQL too, so that what one reads stays true until it commits.
type tx struct {
	*sql.Tx
	s        *Store
	now      time.Time
	prepared map[string]*sql.Stmt // by their text; they end with the transaction
}

// prepare makes ready what the transaction is to do many times: on SQLite the
// parsing of a statement often costs more than the statement.
func (t *tx) prepare(ctx context.Context, queries ...string) error {
	if t.prepared == nil {
		t.prepared = map[string]*sql.Stmt{}
	}
	for _, q := range queries {
		if t.prepared[q] != nil {
			continue
		}
		stmt, err := t.PrepareContext(ctx, q)
		if err != nil {
			return err
		}
		t.prepared[q] = stmt
	}
	return nil
}

// QueryContext is that of sql.Tx, for what is prepared too. The rows of one query
// are to be read before it is made again.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.prepared[query]; stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// ExecContext is that of sql.Tx, for what is prepared too.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.prepared[query]; stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

func (s *Store) update(ctx context.Context, fn func(*tx) error) error {
	t, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = t.Rollback() }() // after Commit this does nothing
	if _, err := t.ExecContext(ctx, "UPDATE counters SET value = value + 1 WHERE name = 'writer'"); err != nil {
		return fmt.Errorf("lock for writing: %w", err)
	}
	in := &tx{Tx: t, s: s, now: s.now()}
	if err := fn(in); err != nil {
		return err
	}
	committed, err := in.writeDeed(ctx)
	if err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed()
	return nil
}

// view runs fn on one consistent state of the database; it must not write.
func (s *Store) view(ctx context.Context, fn func(*tx) error) error {
	t, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = t.Rollback() }()
	return fn(&tx{Tx: t, s: s, now: s.now()})
}

// stable is view for many statements: all see the same state, on PostgreSQL too.
func (s *Store) stable(ctx context.Context, fn func(*tx) error) error {
	t, err := s.read.BeginTx(ctx, s.still)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = t.Rollback() }()
	return fn(&tx{Tx: t, s: s, now: s.now()})
}

func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.ExecContext(ctx, query, args...)
	return err
}

// changed tells every process that has the database open that panels or their
// logs are not as they were.
func (t *tx) changed(ctx context.Context) error {
	return t.exec(ctx, "UPDATE counters SET value = value + 1 WHERE name = 'generation'")
}

// generation grows with every change of panels and their logs.
func (s *Store) generation(ctx context.Context) (int64, error) {
	var n int64
	err := s.asked.QueryRowContext(ctx).Scan(&n)
	return n, err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// all runs a query and gathers its rows.
func all[T any](ctx context.Context, q querier, scan func(scan func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func scanText(scan func(...any) error) (string, error) {
	var s string
	err := scan(&s)
	return s, err
}

// micros is how times lie in the database; the zero time is NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// fromMicros0 is for columns where 0 stands for none.
func fromMicros0(n int64) time.Time {
	return fromMicros(sql.NullInt64{Int64: n, Valid: n != 0})
}
