package central

import (
	"context"
	"fmt"
	"time"

	"postern/access"
	"postern/wire"
)

// surroundings are what requests are shown with: the people and panels of their
// time. They are read once for a whole list.
type surroundings struct {
	now    time.Time
	site   string
	users  map[string]User // removed ones too
	panels map[string]wire.Panel
	owners map[access.ID][]string // system ids
	rules  map[access.ID]LevelRule
}

// around reads the surroundings of some requests.
func (t *tx) around(ctx context.Context, list []*accessRequest) (*surroundings, error) {
	s := &surroundings{
		now: t.now, users: map[string]User{}, panels: map[string]wire.Panel{}, owners: map[access.ID][]string{}, rules: map[access.ID]LevelRule{},
	}
	for _, r := range list {
		who := append([]string{r.user, r.endedBy}, r.outstanding...)
		for _, v := range r.votes {
			who = append(who, v.user)
		}
		if err := t.meet(ctx, s.users, who); err != nil {
			return nil, err
		}
	}
	for _, r := range list {
		if _, ok := s.owners[r.level]; ok {
			continue
		}
		var err error
		if s.owners[r.level], err = t.levelOwners(ctx, r.level); err != nil {
			return nil, fmt.Errorf("find owners of access level: %w", err)
		}
		if s.rules[r.level], err = t.rule(ctx, r.level); err != nil {
			return nil, err
		}
		if err := t.meet(ctx, s.users, s.rules[r.level].Approvers); err != nil {
			return nil, err
		}
		for _, system := range s.owners[r.level] {
			if _, ok := s.panels[system]; ok {
				continue
			}
			var text string
			if err := t.QueryRowContext(ctx, "SELECT announcement FROM panels WHERE system_id = $1", system).Scan(&text); err != nil {
				return nil, fmt.Errorf("read announcement: %w", err)
			}
			s.panels[system] = announced(text)
		}
	}
	return s, nil
}

// meet reads the users that are not in the map yet, removed ones too; "" is none.
func (t *tx) meet(ctx context.Context, users map[string]User, ids []string) error {
	for _, id := range ids {
		if _, ok := users[id]; ok || id == "" {
			continue
		}
		u, err := scanUser(t.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE id = $1", id).Scan)
		if err != nil {
			return fmt.Errorf("read user: %w", err)
		}
		users[id] = u
	}
	return nil
}

// requestModel is a request in the access requests API. What Postern has nothing
// to say about is null: there are no pools, and the safe, which is the site, has
// no name unless central was given one, which is its id as well.
type requestModel struct {
	ID                string          `json:"id"`
	Activated         bool            `json:"activated"`
	ImmediateInterval *int            `json:"immediate_interval"`
	StartsAt          *string         `json:"starts_at"`
	ExpiresAt         *string         `json:"expires_at"`
	Reason            string          `json:"reason"`
	RevokeReason      *string         `json:"revoke_reason"`
	RequiredVotes     int             `json:"required_votes"`
	Status            string          `json:"status"`
	Type              string          `json:"type"`
	AccountID         access.ID       `json:"account_id"`
	AccountName       string          `json:"account_name"`
	SafeID            *string         `json:"safe_id"`
	SafeName          *string         `json:"safe_name"`
	PoolID            *string         `json:"pool_id"`
	PoolName          *string         `json:"pool_name"`
	Protocol          string          `json:"protocol"`
	ServerID          *string         `json:"server_id"`
	ServerName        *string         `json:"server_name"`
	Listeners         []listenerModel `json:"listeners"`
	ListenerIDs       []string        `json:"listener_ids"`
	ListenerNames     []string        `json:"listener_names"`
	UserID            string          `json:"user_id"`
	UserDomain        *string         `json:"user_domain"`
	UserName          string          `json:"user_name"`
	Votes             []voteModel     `json:"votes"`
	Webclient         bool            `json:"webclient"`
	CreatedAt         string          `json:"created_at"`
	ModifiedAt        string          `json:"modified_at"`
	Removed           bool            `json:"removed"`
}

// listenerModel is a door.
type listenerModel struct {
	ID       string  `json:"id"` // system id, slash, door
	Mode     *string `json:"mode"`
	Name     string  `json:"name"`
	Hidden   bool    `json:"hidden"`
	Builtin  bool    `json:"builtin"`
	Protocol string  `json:"protocol"`
}

type voteModel struct {
	Reason     *string `json:"reason"`
	UserID     string  `json:"user_id"`
	Accepted   bool    `json:"accepted"`
	UserName   string  `json:"user_name"`
	UserRole   *string `json:"user_role"`
	UserDomain *string `json:"user_domain"`
}

// textOrNull is nil for "".
func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// role is the weightiest role of a user, nil for none.
func (u User) role() *string {
	if len(u.Roles) == 0 {
		return nil
	}
	return &u.Roles[0]
}

// model shows a request in the access requests API.
func (s *surroundings) model(r *accessRequest) requestModel {
	u := s.users[r.user]
	m := requestModel{
		ID: r.id, Activated: r.activated(s.now), StartsAt: dateOf(r.starts), ExpiresAt: dateOf(r.expires), Reason: r.reason,
		RequiredVotes: r.required, Status: r.status(s.now), Type: r.kind, AccountID: r.level, AccountName: r.levelName,
		Protocol: string(access.Code), Listeners: []listenerModel{}, ListenerIDs: []string{}, ListenerNames: []string{},
		SafeID: textOrNull(s.site), SafeName: textOrNull(s.site), UserID: u.ID, UserDomain: textOrNull(u.Domain), UserName: u.Name, Votes: []voteModel{},
		CreatedAt: rfc3339(r.created), ModifiedAt: rfc3339(r.modified(s.now)),
	}
	if u.Card != "" {
		m.Protocol = string(access.Proximity)
	}
	if r.kind == immediate {
		m.ImmediateInterval = &r.hours
	}
	switch m.Status {
	case stateWithdrawn:
		m.Status = stateRevoked // this API has no other word for it
		m.RevokeReason = &r.endedReason
	case stateRevoked:
		m.RevokeReason = &r.endedReason
	}
	for i, system := range s.owners[r.level] {
		p := s.panels[system]
		if i == 0 {
			m.ServerID, m.ServerName = &system, textOrNull(p.Name)
		}
		for _, d := range p.Doors {
			l := listenerModel{ID: system + "/" + d.ID, Name: d.Name, Protocol: m.Protocol}
			m.Listeners = append(m.Listeners, l)
			m.ListenerIDs, m.ListenerNames = append(m.ListenerIDs, l.ID), append(m.ListenerNames, l.Name)
		}
	}
	for _, v := range r.votes {
		by := s.users[v.user]
		m.Votes = append(m.Votes, voteModel{textOrNull(v.reason), by.ID, v.accepted, by.Name, by.role(), textOrNull(by.Domain)})
	}
	return m
}

// activated reports whether the access began.
func (r *accessRequest) activated(now time.Time) bool {
	last := now
	if !r.ended.IsZero() {
		last = r.ended
	}
	return !r.granted.IsZero() && !last.Before(r.starts)
}

// modified is when the request was changed last, or ran out.
func (r *accessRequest) modified(now time.Time) time.Time {
	if end := r.finish(now); end.After(r.updated) {
		return end
	}
	return r.updated
}

// finish is when a request ended, zero while it has not.
func (r *accessRequest) finish(now time.Time) time.Time {
	switch {
	case !r.ended.IsZero():
		return r.ended
	case r.state == statePending && !now.Before(r.deadline):
		return r.deadline
	case r.state == stateGranted && !now.Before(r.expires):
		return r.expires
	}
	return time.Time{}
}
