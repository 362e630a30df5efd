package central

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/access"
	"postern/wire"
)

// span is one granted request as far as a key is concerned.
type span struct {
	level    access.ID
	from, to time.Time
}

// segment is what a person's one access key is to hold now: the levels of those
// grants that run, or of the next ones, from when (zero: at once) and until
// when. A key has one window for all of its levels, so where grants overlap it
// ends at the first time at which the levels would be others; central then sends
// the next segment. A panel that is away then closes early rather than late.
func segment(spans []span, now time.Time) (levels []access.ID, from, to time.Time) {
	spans = slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return !s.to.After(now) || !s.from.Before(s.to) })
	if len(spans) == 0 {
		return nil, from, to
	}
	begin := slices.MinFunc(spans, func(a, b span) int { return a.from.Compare(b.from) }).from
	if begin.After(now) {
		from = begin
	} else {
		begin = now
	}
	var bounds []time.Time
	for _, s := range spans {
		bounds = append(bounds, s.from, s.to)
	}
	slices.SortFunc(bounds, time.Time.Compare)
	levels = levelsAt(spans, begin)
	for _, b := range bounds {
		if b.After(begin) && !slices.Equal(levelsAt(spans, b), levels) {
			return levels, from, b
		}
	}
	return levels, from, bounds[len(bounds)-1] // not reached: at the last bound there are none
}

// levelsAt are the levels that run at a time, each once, in a fixed order.
func levelsAt(spans []span, at time.Time) []access.ID {
	var out []access.ID
	for _, s := range spans {
		if !at.Before(s.from) && at.Before(s.to) && !slices.Contains(out, s.level) {
			out = append(out, s.level)
		}
	}
	slices.SortFunc(out, func(a, b access.ID) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// provision brings a user's access key to what they are granted: it makes,
// changes or removes it as the access keys API would.
func (t *tx) provision(ctx context.Context, userID string) error {
	u, err := t.user(ctx, userID)
	if err != nil {
		return err
	}
	live, err := t.requests(ctx, "WHERE r.user_id = $1 AND r.state = 'granted' AND r.expires_at > $2 ORDER BY r.id", u.ID, t.now.UnixMicro())
	if err != nil {
		return err
	}
	var spans []span
	for _, r := range live {
		owners, err := t.levelOwners(ctx, r.level)
		if err != nil {
			return err
		}
		if len(owners) > 0 { // otherwise no panel has the level any more
			spans = append(spans, span{r.level, r.starts, r.expires})
		}
	}
	c, err := t.requestsCaller(ctx)
	if err != nil {
		return err
	}
	var held *key
	if u.key != "" {
		if held, err = t.key(ctx, u.key); err != nil {
			return fmt.Errorf("read key of user: %w", err)
		}
		if !held.removed.IsZero() {
			held = nil
		}
	}
	levels, from, to := segment(spans, t.now)
	if len(levels) == 0 {
		if held != nil {
			if err := t.removeKey(ctx, c, held.ID, access.Identification{}); err != nil {
				return fmt.Errorf("remove key of user: %w", err)
			}
		}
		return t.exec(ctx, "UPDATE users SET key_id = '' WHERE id = $1", u.ID)
	}
	ch, same, err := t.keyChange(ctx, c, u, held, levels, from, to)
	if err != nil {
		return err
	}
	if !same {
		if held, err = t.addKey(ctx, c, ch); err != nil {
			return err
		}
	}
	id := held.ID.String()
	return errors.Join(
		t.exec(ctx, "UPDATE users SET key_id = $1, person_id = $2 WHERE id = $3", id, held.person.id, u.ID),
		t.exec(ctx, "UPDATE access_requests SET key_id = $1, fault = '' WHERE user_id = $2 AND state = 'granted' AND expires_at > $3",
			id, u.ID, t.now.UnixMicro()),
	)
}

// keyChange is the change that makes the user's key what it is to be, and
// whether it is that already.
func (t *tx) keyChange(ctx context.Context, c *caller, u User, held *key, levels []access.ID, from, to time.Time) (ch change, same bool, err error) {
	ch = change{
		judged: true, // by the vote
		levels: optional[[]access.ID]{Set: true, Value: levels},
		from:   optional[time.Time]{Set: true, Null: from.IsZero(), Value: from},
		to:     optional[time.Time]{Set: true, Value: to},
	}
	card, err := parseCard(u.Card)
	if err != nil {
		return ch, false, err
	}
	ch.hasKey, ch.kind, ch.ident = true, access.Code, card
	if !card.IsZero() {
		ch.kind = access.Proximity
	}
	if held != nil {
		ch.id = held.ID
		ch.keepIdent = card.IsZero() && held.Type == access.Code
		sameIdent := ch.keepIdent || held.Type == ch.kind && sameKey(held.Identification, card)
		return ch, sameIdent && slices.Equal(held.Levels, levels) && held.ValidTo.Equal(to) && sameBegin(held.ValidFrom, from, t.now), nil
	}
	if !card.IsZero() {
		holder, err := t.holder(ctx, c.integration, t.s.parts(card))
		if err != nil {
			return ch, false, err
		}
		if holder != "" {
			return ch, false, inUse() // somebody made it with an API key of the integration
		}
	}
	if u.person != "" {
		ch.personID, err = access.ParseID(u.person)
		return ch, false, err
	}
	ch.firstName, ch.lastName = personName(u)
	return ch, false, nil
}

// sameBegin reports whether two beginnings mean the same from now on; zero is at
// once.
func sameBegin(a, b, now time.Time) bool {
	return a.Equal(b) || !a.After(now) && !b.After(now)
}

// personName is a user's name in the two parts that a person has.
func personName(u User) (first, last string) {
	first, last, _ = strings.Cut(u.Name, " ")
	if last == "" {
		last = u.Domain
	}
	cut := func(s string) string {
		runes := []rune(strings.TrimSpace(s))
		return string(runes[:min(len(runes), maxPersonName)])
	}
	return cut(first), cut(last)
}

// requestsCaller is the integration of the requests' keys, as a caller that
// reaches every panel.
func (t *tx) requestsCaller(ctx context.Context) (*caller, error) {
	const insert = "INSERT INTO integrations (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING"
	if err := t.exec(ctx, insert, uuid.NewString(), RequestsIntegration, t.now.UnixMicro()); err != nil {
		return nil, fmt.Errorf("make integration: %w", err)
	}
	c := &caller{name: RequestsIntegration, everything: true}
	err := t.QueryRowContext(ctx, "SELECT id FROM integrations WHERE name = $1", RequestsIntegration).Scan(&c.integration)
	return c, err
}

// lateAfter is how long a panel is offline before what it was sent counts as
// waiting for it.
const lateAfter = 10 * time.Minute

// provisioning is where the panels stand with what a request was granted.
type provisioning struct {
	Applied []string       `json:"applied"`
	Pending []string       `json:"pending"`
	Failed  []failedSystem `json:"failed"`
	Late    bool           `json:"late"` // a pending one is offline for long
	At      time.Time      `json:"at"`   // of the latest result, zero for none
}

// provisioned looks where the panels stand with a granted request.
func (t *tx) provisioned(ctx context.Context, r *accessRequest) (provisioning, error) {
	var p provisioning
	type row struct {
		system, op, result, errorType string
		at, seen, added               int64
		online, has                   bool
	}
	rows, err := all(ctx, t, func(scan func(...any) error) (x row, err error) {
		err = scan(&x.system, &x.op, &x.result, &x.errorType, &x.at, &x.online, &x.seen, &x.added, &x.has)
		return x, err
	}, `SELECT l.system_id, COALESCE(k.op, ''), COALESCE(k.result, ''), COALESCE(k.error_type, ''), COALESCE(k.applied_at, 0), p.online, p.seen_at,
			p.added_at, EXISTS (SELECT 1 FROM key_levels h WHERE h.key_id = $2 AND h.level_id = $1)
		FROM panel_levels l JOIN panels p ON p.system_id = l.system_id
		LEFT JOIN panel_keys k ON k.system_id = l.system_id AND k.key_id = $2
		WHERE l.level_id = $1 AND l.owned ORDER BY l.system_id`, r.level.String(), r.key)
	if err != nil {
		return p, fmt.Errorf("read results: %w", err)
	}
	for _, x := range rows {
		switch {
		case x.has && x.op == wire.OpPut && x.result == wire.ResultApplied:
			p.Applied = append(p.Applied, x.system)
		case x.has && x.op == wire.OpPut && x.result == wire.ResultFailed:
			p.Failed = append(p.Failed, failedSystem{x.system, x.errorType})
		default:
			p.Pending = append(p.Pending, x.system)
			seen := fromMicros0(max(x.seen, x.added))
			p.Late = p.Late || !x.online && t.now.Sub(seen) > lateAfter
			continue
		}
		if at := fromMicros0(x.at); at.After(p.At) {
			p.At = at
		}
	}
	return p, nil
}

// requestsEvery is how often it is looked for requests that ran out and keys
// whose next segment begins. Panels close by the key's window, not by this.
const requestsEvery = 5 * time.Second

// runRequests ends what has run out until ctx ends. It calls wake when
// panels are to be told of something.
func (s *Store) runRequests(ctx context.Context, wake func()) error {
	ticker := time.NewTicker(requestsEvery)
	defer ticker.Stop()
	for {
		n, err := s.lapse(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("access requests that ran out are still open", "error", err)
		}
		if n > 0 {
			wake()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// lapse ends the requests that ran out and moves keys on to their next segment.
// It gives how many users' keys it looked at.
func (s *Store) lapse(ctx context.Context) (int, error) {
	now := s.now().UnixMicro()
	// Whose key is over, or lacks what was granted and a panel has.
	due, err := all(ctx, s.read, scanText, `SELECT DISTINCT r.user_id FROM access_requests r JOIN users u ON u.id = r.user_id
		LEFT JOIN keys k ON k.id = u.key_id
		WHERE r.state = 'pending' AND r.deadline <= $1 OR r.state = 'granted' AND (r.expires_at <= $1 OR r.fault <> ''
			OR k.removed_at = 0 AND k.valid_to <= $1
			OR EXISTS (SELECT 1 FROM panel_levels p WHERE p.level_id = r.level_id AND p.owned) AND (k.id IS NULL OR k.removed_at <> 0
				OR r.starts_at <= $1 AND NOT EXISTS (SELECT 1 FROM key_levels l WHERE l.key_id = k.id AND l.level_id = r.level_id)))
		ORDER BY r.user_id`, now)
	if err != nil {
		return 0, fmt.Errorf("look for requests that ran out: %w", err)
	}
	for _, user := range due {
		if err := s.update(ctx, func(t *tx) error { return t.lapseOf(ctx, user) }); err == nil {
			continue
		} else if err := s.noteFault(ctx, user, err); err != nil {
			return 0, err
		}
	}
	return len(due), s.purgeRequests(ctx)
}

func (t *tx) lapseOf(ctx context.Context, user string) error {
	over, err := t.requests(ctx, `WHERE r.user_id = $1 AND (r.state = 'pending' AND r.deadline <= $2 OR r.state = 'granted' AND r.expires_at <= $2)`,
		user, t.now.UnixMicro())
	if err != nil {
		return err
	}
	for _, r := range over {
		if err := t.end(ctx, r, stateExpired, "", ""); err != nil {
			return err
		}
	}
	return t.provision(ctx, user)
}

// noteFault keeps why a user's key could not be brought to what was granted; it
// is tried again.
func (s *Store) noteFault(ctx context.Context, user string, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := "central can't do this now; its log says why"
	if p, ok := errors.AsType[*Problem](cause); ok {
		text = p.Message
	}
	err := s.update(ctx, func(t *tx) error {
		const note = "UPDATE access_requests SET fault = $1 WHERE user_id = $2 AND state = 'granted' AND fault <> $1"
		r, err := t.ExecContext(ctx, note, text, user)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err // said before
		}
		s.log.Error("a granted access request can't be carried out", "user", user, "error", cause)
		return nil
	})
	if err != nil {
		return fmt.Errorf("note fault: %w", err)
	}
	return nil
}

// purgeRequests forgets requests that ended long ago.
func (s *Store) purgeRequests(ctx context.Context) error {
	old := s.now().Add(-keepRequests).UnixMicro()
	var n int
	const some = "SELECT COUNT(*) FROM (SELECT 1 FROM access_requests WHERE created_at <= $1 AND ended_at > 0 AND ended_at <= $1 LIMIT 1) o"
	if err := s.read.QueryRowContext(ctx, some, old).Scan(&n); err != nil || n == 0 {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		const votes = "DELETE FROM access_request_votes WHERE request_id IN (SELECT id FROM access_requests WHERE ended_at > 0 AND ended_at <= $1)"
		if err := t.exec(ctx, votes, old); err != nil {
			return fmt.Errorf("purge votes: %w", err)
		}
		if err := t.exec(ctx, "DELETE FROM access_requests WHERE ended_at > 0 AND ended_at <= $1", old); err != nil {
			return fmt.Errorf("purge requests: %w", err)
		}
		return nil
	})
}
