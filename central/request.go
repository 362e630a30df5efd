package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/access"
)

// RequestsIntegration is the name of the integration whose the access keys of
// granted requests are. An API key of it sees their events.
const RequestsIntegration = "access-requests"

// DefaultPending is how long a request for immediate access waits for its votes
// when nothing else is configured.
const DefaultPending = 7 * 24 * time.Hour

const (
	maxInterval  = 24                   // hours of immediate access
	maxAhead     = 366 * 24 * time.Hour // how far scheduled access may reach
	maxReason    = 1000                 // characters of a reason
	maxOpen      = 32                   // pending and granted requests of one user
	keepRequests = 2 * 366 * 24 * time.Hour
)

// The states of a request in the database; see accessRequest.status.
const (
	statePending   = "pending"
	stateGranted   = "granted"
	stateRejected  = "rejected"
	stateExpired   = "expired"
	stateRevoked   = "revoked"
	stateWithdrawn = "withdrawn"
)

// The kinds of requests.
const (
	immediate = "immediate" // some hours from the grant
	scheduled = "scheduled" // from a time to a time
)

// accessRequest is one person's request for one access level.
type accessRequest struct {
	id, user, levelName, kind string
	level                     access.ID
	hours, required           int
	starts, expires           time.Time // zero: immediate, and not granted
	deadline                  time.Time // for the votes
	reason, state             string
	created, updated          time.Time
	granted, ended            time.Time // zero for not
	endedBy, endedReason      string
	key                       string        // id of the access key, "" before the grant
	outcome                   *provisioning // where the key stood when it ended
	outstanding               []string      // approvers who had not voted when it was decided
	violation                 *sodViolationContext
	fault                     string // why central could not do what was granted, "" when it did
	votes                     []requestVote
}

type requestVote struct {
	id, user string
	accepted bool
	reason   string
	at       time.Time
}

// status is the state at a time: what has run out is expired, also before that
// was noted.
func (r *accessRequest) status(now time.Time) string {
	if r.state == statePending && !now.Before(r.deadline) || r.state == stateGranted && !now.Before(r.expires) {
		return stateExpired
	}
	return r.state
}

func (r *accessRequest) voted(user string) bool {
	return slices.ContainsFunc(r.votes, func(v requestVote) bool { return v.user == user })
}

const requestColumns = `r.id, r.user_id, r.level_id, r.level_name, r.kind, r.hours, r.starts_at, r.expires_at, r.deadline, r.reason,
	r.required_votes, r.state, r.created_at, r.updated_at, r.granted_at, r.ended_at, r.ended_by, r.ended_reason, r.key_id, r.outcome,
	r.outstanding, r.violation, r.fault`

// requests reads requests with their votes. The rest of the query follows FROM
// access_requests r.
func (t *tx) requests(ctx context.Context, rest string, args ...any) ([]*accessRequest, error) {
	out, err := all(ctx, t, scanRequest, "SELECT "+requestColumns+" FROM access_requests r "+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", err)
	}
	for _, r := range out {
		r.votes, err = all(ctx, t, func(scan func(...any) error) (v requestVote, err error) {
			var at int64
			err = scan(&v.id, &v.user, &v.accepted, &v.reason, &at)
			v.at = fromMicros0(at)
			return v, err
		}, "SELECT id, user_id, accepted, reason, created_at FROM access_request_votes WHERE request_id = $1 ORDER BY created_at, id", r.id)
		if err != nil {
			return nil, fmt.Errorf("read votes: %w", err)
		}
	}
	return out, nil
}

func scanRequest(scan func(...any) error) (*accessRequest, error) {
	var r accessRequest
	var level, outcome, outstanding, violation string
	var at [7]int64
	err := scan(&r.id, &r.user, &level, &r.levelName, &r.kind, &r.hours, &at[0], &at[1], &at[2], &r.reason, &r.required, &r.state,
		&at[3], &at[4], &at[5], &at[6], &r.endedBy, &r.endedReason, &r.key, &outcome, &outstanding, &violation, &r.fault)
	if err != nil {
		return nil, err
	}
	for i, to := range []*time.Time{&r.starts, &r.expires, &r.deadline, &r.created, &r.updated, &r.granted, &r.ended} {
		*to = fromMicros0(at[i])
	}
	for _, x := range []struct {
		text string
		to   any
	}{{outcome, &r.outcome}, {outstanding, &r.outstanding}, {violation, &r.violation}} {
		if x.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(x.text), x.to); err != nil {
			return nil, fmt.Errorf("read request %s: %w", r.id, err)
		}
	}
	r.level, err = access.ParseID(level)
	return &r, err
}

// request reads one request; a *Problem when there is none.
func (t *tx) request(ctx context.Context, id string) (*accessRequest, error) {
	found, err := t.requests(ctx, "WHERE r.id = $1", id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, notFound("id", "access request")
	}
	return found[0], nil
}

// ask stores a new request. It lacks an id, a state and what the database knows.
func (t *tx) ask(ctx context.Context, u User, r *accessRequest, pending time.Duration) error {
	var err error
	if r.levelName, err = t.levelName(ctx, r.level); err != nil {
		if errors.As(err, new(*Problem)) {
			return notFound("account_id", "account")
		}
		return err
	}
	rule, err := t.rule(ctx, r.level)
	if err != nil {
		return err
	}
	if rule.RequiredVotes == 0 {
		return forbidden("account_id", "nobody may ask for this account: it has no approvers")
	}
	others := slices.DeleteFunc(slices.Clone(rule.Approvers), func(id string) bool { return id == u.ID })
	if len(others) < rule.RequiredVotes {
		return problem(409, "NotEnoughApprovers", "account_id", "%d votes are required, and %d others may vote", rule.RequiredVotes, len(others))
	}
	var open int
	const count = "SELECT COUNT(*) FROM access_requests WHERE user_id = $1 AND (state = 'pending' AND deadline > $2 OR state = 'granted' AND expires_at > $2)"
	if err := t.QueryRowContext(ctx, count, u.ID, t.now.UnixMicro()).Scan(&open); err != nil {
		return err
	}
	if open >= maxOpen {
		return problem(409, "TooManyOpenRequests", "", "you have %d pending and granted requests: withdraw one first", open)
	}
	now := t.now.UTC().Truncate(time.Microsecond)
	r.id, r.user, r.state, r.required, r.created, r.updated = uuid.NewString(), u.ID, statePending, rule.RequiredVotes, now, now
	r.deadline = now.Add(pending)
	end := now.Add(time.Duration(r.hours) * time.Hour)
	if r.kind == scheduled {
		if r.starts.Before(now) {
			r.starts = now // it can't have begun
		}
		r.deadline, end = r.expires, r.expires
		switch {
		case !r.expires.After(now):
			return badRequest("InvalidDate", "expires_at", "expires_at: is over")
		case r.expires.After(now.Add(maxAhead)):
			return badRequest("InvalidDate", "expires_at", "expires_at: is more than %d days ahead", maxAhead/(24*time.Hour))
		}
	}
	var has int
	const same = `SELECT COUNT(*) FROM access_requests WHERE user_id = $1 AND level_id = $2 AND state = 'granted' AND starts_at <= $3 AND expires_at >= $4`
	from := now
	if r.kind == scheduled {
		from = r.starts
	}
	if err := t.QueryRowContext(ctx, same, u.ID, r.level.String(), from.UnixMicro(), end.UnixMicro()).Scan(&has); err != nil {
		return err
	}
	if has > 0 {
		return problem(409, "AccessHeld", "account_id", "you were granted this account for that time already")
	}
	if r.violation, err = t.violation(ctx, u, r); err != nil {
		return err
	}
	const insert = `INSERT INTO access_requests (id, user_id, level_id, level_name, kind, hours, starts_at, expires_at, deadline, reason,
			required_votes, state, created_at, updated_at, granted_at, ended_at, ended_by, ended_reason, key_id, outcome, outstanding, violation, fault)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, 0, 0, '', '', '', '', '', $14, '')`
	err = t.exec(ctx, insert, r.id, r.user, r.level.String(), r.levelName, r.kind, r.hours, micros0(r.starts), micros0(r.expires),
		r.deadline.UnixMicro(), r.reason, r.required, r.state, now.UnixMicro(), jsonOrEmpty(r.violation))
	if err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	return nil
}

// micros0 is for columns where 0 stands for none.
func micros0(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// jsonOrEmpty is v as JSON, "" for nil.
func jsonOrEmpty[T any](v *T) string {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic("central: can't be encoded: " + err.Error())
	}
	return string(text)
}
