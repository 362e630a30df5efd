package central

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/access"
	"postern/wire"
)

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if raced && !asked {
		_ = flag.Set("rapid.checks", "20") // it takes ten times as long with SQLite; all run without it
	}
	// An fsync costs nothing in memory, and here nobody pulls a plug.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		_ = os.Setenv("TMPDIR", "/dev/shm")
	}
	goleak.VerifyTestMain(m)
}

// postgresDSN names the variable that holds the DSN of a PostgreSQL database
// in which tests may make schemas.
const postgresDSN = "POSTERN_TEST_POSTGRES"

// clock is a clock that a test moves by hand.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logs gathers what is logged.
type logs struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// kit is a store with an API over it and an integration that may see all.
type kit struct {
	t      testing.TB
	dir    string
	opts   StoreOptions
	clock  *clock
	logs   *logs
	store  *Store
	api    *API
	secret string // API key
}

func newKit(t testing.TB) *kit { return newKitAt(t, filepath.Join(t.TempDir(), "central.db")) }

func newKitAt(t testing.TB, database string) *kit {
	t.Helper()
	k := &kit{t: t, dir: t.TempDir(), clock: newClock(), logs: &logs{}}
	log := slog.New(slog.NewTextHandler(k.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	k.opts = StoreOptions{Database: database, SecretKeyFile: filepath.Join(k.dir, "secret.key"), Log: log, Now: k.clock.now}
	var err error
	if k.store, err = Open(t.Context(), k.opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.store.Close() })
	k.api = NewAPI(k.store, APIOptions{Log: log, RateLimit: 1_000_000})
	k.secret = k.key("main")
	return k
}

func newKitLog(l *logs) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eachStore runs a test on SQLite, and on PostgreSQL when there is one.
func eachStore(t *testing.T, fn func(t *testing.T, k *kit)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newKit(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, newKitAt(t, postgresSchema(t))) })
}

// postgresSchema makes an empty schema and gives a DSN that works in it.
func postgresSchema(t *testing.T) string {
	dsn := os.Getenv(postgresDSN)
	if dsn == "" {
		t.Skip(postgresDSN + " holds no DSN, so PostgreSQL is not tested")
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema := fmt.Sprintf("t%d", time.Now().UnixNano())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close()
		if _, err := db.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// key makes an API key.
func (k *kit) key(integration string, systems ...string) string {
	k.t.Helper()
	key, err := k.store.CreateAPIKey(context.Background(), APIKeySpec{Integration: integration, Systems: systems})
	if err != nil {
		k.t.Fatal(err)
	}
	return key.Secret
}

// panel makes a panel known and announces it with levels and a code size, 0 for
// codes off.
func (k *kit) panel(system string, codeSize int, levels ...access.ID) {
	k.t.Helper()
	if err := k.store.AddPanel(context.Background(), system); err != nil {
		k.t.Fatal(err)
	}
	k.announce(system, codeSize, levels...)
}

func (k *kit) announce(system string, codeSize int, levels ...access.ID) {
	k.t.Helper()
	if _, err := k.store.announce(context.Background(), system, announcement(codeSize, levels...)); err != nil {
		k.t.Fatal(err)
	}
}

func announcement(codeSize int, levels ...access.ID) wire.Panel {
	p := wire.Panel{
		Name: "a panel", Doors: []wire.Named{{ID: "front", Name: "Front door"}},
		Codes: wire.Codes{Enabled: codeSize > 0, Size: codeSize},
	}
	for _, l := range levels {
		p.AccessLevels = append(p.AccessLevels, wire.PanelLevel{ID: l, Name: "level " + l.String()[:8]})
	}
	return p
}

// level is a test's nth access level.
func level(n int) access.ID {
	return access.MustParseID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", n))
}

// reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) code(t testing.TB) (code, field string) {
	t.Helper()
	var v struct {
		Error struct{ Code, Message, Field string }
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || v.Error.Code == "" || v.Error.Message == "" {
		t.Fatalf("answer %d is no error object: %s", r.status, r.body)
	}
	return v.Error.Code, v.Error.Field
}

// send posts a body with an API key and further headers, in pairs.
func (k *kit) send(secret, path, body string, header ...string) reply {
	k.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	watched(k.t, k.api, w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return reply{w.Code, w.Result().Header, string(text)}
}

// post is send with the kit's own API key, and wants a status.
func (k *kit) post(want int, path, body string) reply {
	k.t.Helper()
	r := k.send(k.secret, path, body)
	if r.status != want {
		k.t.Fatalf("POST %s %s: got %d %s, want %d", path, body, r.status, r.body, want)
	}
	return r
}

// add adds a key and gives its answer.
func (k *kit) add(body string) (a struct {
	ID  access.ID `json:"id"`
	Key struct {
		Identification string `json:"identification"`
		Type           string `json:"type"`
	} `json:"key"`
	ValidFrom *string     `json:"valid_from_date"`
	ValidTo   *string     `json:"valid_to_date"`
	State     string      `json:"state"`
	Levels    []access.ID `json:"access_levels"`
	Person    personRef   `json:"person"`
},
) {
	k.t.Helper()
	r := k.post(http.StatusOK, "/v1/accesskeys/add", body)
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		k.t.Fatal(err)
	}
	return a
}

func (k *kit) addCard(number int, levels ...access.ID) access.ID {
	k.t.Helper()
	return k.add(fmt.Sprintf(`{"key":{"identification":"EM:%d","type":"proximity"},"access_levels":%s}`, number, jsonText(levels))).ID
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// status gives a key's overall status and the systems by result.
func (k *kit) status(id access.ID) (s statusAnswer) {
	k.t.Helper()
	r := k.post(http.StatusOK, "/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id))
	if err := json.Unmarshal([]byte(r.body), &s); err != nil {
		k.t.Fatal(err)
	}
	return s
}

// dump is the whole database as text, without the counter that every
// transaction moves.
func (k *kit) dump() string {
	k.t.Helper()
	var b strings.Builder
	for _, table := range []string{
		"integrations", "panels", "panel_boots", "losses", "panel_levels", "persons", "keys", "key_levels",
		"key_parts", "code_forms", "panel_keys", "panel_log", "results", "events", "idempotency",
		"documents", "snapshots", "snapshot_chunks", "snapshot_parts", "commands",
		"users", "user_cards", "user_tokens", "level_rules", "level_approvers", "exclusions", "access_requests", "access_request_votes",
		"(SELECT * FROM counters WHERE name NOT IN ('writer', 'audit_sequence')) c",
	} {
		rows, err := k.store.read.QueryContext(context.Background(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		if err != nil {
			k.t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			k.t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				k.t.Fatal(err)
			}
			fmt.Fprintln(&b, table, values)
		}
		if err := rows.Close(); err != nil {
			k.t.Fatal(err)
		}
	}
	return b.String()
}
