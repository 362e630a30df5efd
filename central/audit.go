package central

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
)

// The kinds of actors.
const (
	ActorIntegration = "integration" // through the access keys API
	ActorUser        = "user"        // with a token
	ActorCommand     = "command"     // an account of the machine, by postern-central
)

// Actor is who does something.
type Actor struct {
	Kind string // one of the Actor constants
	Name string
	ID   string // of the API key or of the user, "" for a command
}

// deed is what is being done, for the audit trail. It is written with the first
// transaction that commits: what changed nothing is not in the trail.
type deed struct {
	actor  Actor
	action string

	mu      sync.Mutex // guards what follows
	subject string
	detail  []string
	written bool
}

type deedKey struct{}

// WithDeed says who does what from here on: what changes the database then is
// in the audit trail. Action names what is done and subject to what; neither
// holds a secret.
func WithDeed(ctx context.Context, by Actor, action, subject string) context.Context {
	return context.WithValue(ctx, deedKey{}, &deed{actor: by, action: action, subject: subject})
}

// withRequest is WithDeed for a request, unless that only reads.
func withRequest(r *http.Request, by Actor) context.Context {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.Context()
	}
	return WithDeed(r.Context(), by, r.Method+" "+r.Pattern, clean(r.URL.Path[:min(len(r.URL.Path), maxSubject)]))
}

const (
	maxSubject = 256 // bytes
	maxDetails = 500
)

func deedOf(ctx context.Context) *deed {
	d, _ := ctx.Value(deedKey{}).(*deed)
	return d
}

// about names what the present deed is done to, where that was not known before.
func about(ctx context.Context, subject string) {
	if d := deedOf(ctx); d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.subject = subject
	}
}

// detail adds to what the audit trail says of the present deed; never a secret.
func detail(ctx context.Context, format string, args ...any) {
	if d := deedOf(ctx); d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.detail = append(d.detail, clean(fmt.Sprintf(format, args...)))
	}
}

// writeDeed puts the present deed into the trail, once. Its result is to be
// called when the transaction has committed.
func (t *tx) writeDeed(ctx context.Context) (committed func(), err error) {
	d := deedOf(ctx)
	if d == nil {
		return func() {}, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.written {
		return func() {}, nil
	}
	var n int64
	const next = "UPDATE counters SET value = value + 1 WHERE name = 'audit_sequence' RETURNING value"
	if err := t.QueryRowContext(ctx, next).Scan(&n); err != nil {
		return nil, fmt.Errorf("number audit entry: %w", err)
	}
	text := strings.Join(d.detail, "; ")
	text = strings.ToValidUTF8(text[:min(len(text), maxDetails)], "")
	const insert = `INSERT INTO audit (sequence_id, at, actor_kind, actor, actor_id, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	err = t.exec(ctx, insert, n, t.now.UnixMicro(), d.actor.Kind, clean(d.actor.Name), d.actor.ID, d.action, clean(d.subject), text)
	if err != nil {
		return nil, fmt.Errorf("write audit entry: %w", err)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.written = true
	}, nil
}

// AuditEntry is one deed.
type AuditEntry struct {
	Sequence  int64     `json:"sequence_id"`
	At        time.Time `json:"at"`
	ActorKind string    `json:"actor_kind"`
	Actor     string    `json:"actor"`
	ActorID   string    `json:"actor_id"`
	Action    string    `json:"action"`
	Subject   string    `json:"subject"`
	Detail    string    `json:"detail"`
}

// AuditFilter chooses entries of the trail; its zero members choose all.
type AuditFilter struct {
	After    int64 // entries above this sequence id
	From, To time.Time
	Actor    string // name or id
	Newest   bool   // the newest instead of the oldest; still in their order
	Limit    int    // at most MaxAudit, which 0 is too
}

// MaxAudit is the most entries that are listed at once.
const MaxAudit = 1000

// Audit lists the trail in the order in which things were done.
func (s *Store) Audit(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	if f.Limit <= 0 || f.Limit > MaxAudit {
		f.Limit = MaxAudit
	}
	return s.listAudit(ctx, f)
}

// listAudit is Audit with whatever limit there is.
func (s *Store) listAudit(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	var p params
	query := "SELECT sequence_id, at, actor_kind, actor, actor_id, action, subject, detail FROM audit WHERE sequence_id > " + p.add(f.After)
	if !f.From.IsZero() {
		query += " AND at >= " + p.add(f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		query += " AND at < " + p.add(f.To.UnixMicro())
	}
	if f.Actor != "" {
		mark := p.add(f.Actor)
		query += " AND (actor = " + mark + " OR actor_id = " + mark + ")"
	}
	if query += " ORDER BY sequence_id"; f.Newest {
		query += " DESC"
	}
	query += " LIMIT " + p.add(f.Limit)
	if f.Newest {
		query = "SELECT * FROM (" + query + ") newest ORDER BY sequence_id"
	}
	out, err := all(ctx, s.read, func(scan func(...any) error) (e AuditEntry, err error) {
		var at int64
		err = scan(&e.Sequence, &at, &e.ActorKind, &e.Actor, &e.ActorID, &e.Action, &e.Subject, &e.Detail)
		e.At = fromMicros0(at)
		return e, err
	}, query, p...)
	if err != nil {
		return nil, fmt.Errorf("read audit trail: %w", err)
	}
	return out, nil
}

// auditMigration makes the trail. What is in it can't be changed or deleted, also
// not by a mistake here: the database refuses. Its statements are not the same on
// both databases, which is why it is no file.
func auditMigration(dialect goose.Dialect) *goose.Migration {
	up := []string{
		`CREATE TABLE audit (
			sequence_id BIGINT PRIMARY KEY,
			at          BIGINT NOT NULL,
			actor_kind  TEXT NOT NULL,
			actor       TEXT NOT NULL,
			actor_id    TEXT NOT NULL,
			action      TEXT NOT NULL,
			subject     TEXT NOT NULL,
			detail      TEXT NOT NULL
		)`,
		"CREATE INDEX audit_at ON audit (at)",
		"INSERT INTO counters (name, value) VALUES ('audit_sequence', 0)",
	}
	down := []string{"DROP TABLE audit", "DELETE FROM counters WHERE name = 'audit_sequence'"}
	if dialect == goose.DialectPostgres {
		up = append(up,
			`CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$`,
			"CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()")
		down = append(down, "DROP FUNCTION audit_is_append_only()")
	} else {
		up = append(up,
			"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
			"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END")
	}
	return goose.NewGoMigration(auditVersion, &goose.GoFunc{RunTx: statements(up)}, &goose.GoFunc{RunTx: statements(down)})
}

const auditVersion = 5

func statements(list []string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, t *sql.Tx) error {
		for _, text := range list {
			if _, err := t.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}
}

type auditAnswer struct {
	Entries []AuditEntry `json:"entries"`
	HasMore bool         `json:"has_more"`
}

// audit lists the trail for auditors.
func (a *API) audit(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAuditor, RoleAdmin); err != nil {
		return nil, err
	}
	q, err := query(r, "after", "from_date", "to_date", "actor", "limit")
	if err != nil {
		return nil, err
	}
	limit, err := number(q, "limit", MaxAudit, MaxAudit)
	if err == nil && limit == 0 {
		err = badRequest("InvalidParameter", "limit", "limit: want 1 to %d", MaxAudit)
	}
	if err != nil {
		return nil, err
	}
	after, err := number(q, "after", 0, int64(math.MaxInt64))
	if err != nil {
		return nil, err
	}
	date := func(name string) optional[string] {
		text, ok := q[name]
		return optional[string]{Set: ok, Value: text}
	}
	from, err1 := readDate(date("from_date"), "from_date")
	to, err2 := readDate(date("to_date"), "to_date")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	// One more than is given tells whether there is more.
	entries, err := a.store.listAudit(ctx, AuditFilter{After: after, From: from.Value, To: to.Value, Actor: q["actor"], Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	out := auditAnswer{Entries: append([]AuditEntry{}, entries[:min(len(entries), limit)]...), HasMore: len(entries) > limit}
	return out, nil
}
