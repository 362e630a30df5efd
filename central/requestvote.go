package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// sees reports whether a user may read a request: their own, those that they
// may vote on or did, and all for some roles.
func (t *tx) seesRequest(ctx context.Context, u User, r *accessRequest) (bool, error) {
	if r.user == u.ID || r.voted(u.ID) || u.Is(RoleAdmin, RoleOperator, RoleAuditor) {
		return true, nil
	}
	rule, err := t.rule(ctx, r.level)
	return slices.Contains(rule.Approvers, u.ID), err
}

// notPending is for a request that is decided, or has ended.
func notPending(status string) *Problem {
	return problem(http.StatusConflict, "NotPending", "", "the access request is %s", status)
}

// vote counts one approver's vote. One rejection rejects; the last acceptance
// that was required grants, and makes or changes the access key.
func (t *tx) vote(ctx context.Context, u User, id string, accepted bool, reason string) error {
	r, err := t.request(ctx, id)
	if err != nil {
		return err
	}
	rule, err := t.rule(ctx, r.level)
	if err != nil {
		return err
	}
	switch {
	case r.user == u.ID:
		return forbidden("", "nobody votes on their own access request")
	case !slices.Contains(rule.Approvers, u.ID):
		return forbidden("", "you are not an approver of this account")
	case r.status(t.now) != statePending:
		return notPending(r.status(t.now))
	case r.voted(u.ID):
		return problem(http.StatusConflict, "VotedAlready", "", "you have voted on this access request")
	}
	v := requestVote{id: uuid.NewString(), user: u.ID, accepted: accepted, reason: reason, at: t.now.UTC()}
	r.votes = append(r.votes, v)
	const insert = "INSERT INTO access_request_votes (id, request_id, user_id, accepted, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
	if err := t.exec(ctx, insert, v.id, r.id, v.user, v.accepted, v.reason, t.now.UnixMicro()); err != nil {
		return fmt.Errorf("write vote: %w", err)
	}
	if err := t.exec(ctx, "UPDATE access_requests SET updated_at = $1 WHERE id = $2", t.now.UnixMicro(), r.id); err != nil {
		return err
	}
	if !accepted {
		return t.end(ctx, r, stateRejected, u.ID, reason)
	}
	count := 0
	for _, v := range r.votes {
		if v.accepted && slices.Contains(rule.Approvers, v.user) {
			count++
		}
	}
	if count < r.required {
		return nil
	}
	return t.grant(ctx, r)
}

// separated is a request that can't be granted while its user holds a level that
// excludes the one asked for.
const separated = "SeparationOfDuties"

func (t *tx) grant(ctx context.Context, r *accessRequest) error {
	u, err := t.user(ctx, r.user)
	if err != nil {
		return err
	}
	if r.violation, err = t.violation(ctx, u, r); err != nil {
		return err
	}
	if r.violation != nil {
		return problem(http.StatusConflict, separated, "",
			"the person holds an access level that excludes this one; it can be granted when that has ended")
	}
	if _, err := t.levelName(ctx, r.level); err != nil {
		return conflict(err)
	}
	r.granted = t.now.UTC().Truncate(time.Microsecond)
	if r.kind == immediate {
		r.starts, r.expires = r.granted, r.granted.Add(time.Duration(r.hours)*time.Hour)
	}
	outstanding, err := t.waitedFor(ctx, r)
	if err != nil {
		return err
	}
	const set = `UPDATE access_requests SET state = 'granted', granted_at = $1, starts_at = $2, expires_at = $3, outstanding = $4, violation = ''
		WHERE id = $5`
	err = t.exec(ctx, set, r.granted.UnixMicro(), r.starts.UnixMicro(), r.expires.UnixMicro(), outstanding, r.id)
	if err != nil {
		return fmt.Errorf("write grant: %w", err)
	}
	return conflict(t.provision(ctx, r.user))
}

// conflict is for a vote that is in order and can't have its effect.
func conflict(err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	return problem(http.StatusConflict, p.Code, "", "the access request can't be granted: %s", p.Message)
}

// waitedFor are the approvers who have not voted, as they are stored.
func (t *tx) waitedFor(ctx context.Context, r *accessRequest) (string, error) {
	rule, err := t.rule(ctx, r.level)
	if err != nil {
		return "", err
	}
	out := []string{}
	for _, id := range rule.Approvers {
		if id != r.user && !r.voted(id) {
			out = append(out, id)
		}
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// revoke ends a request: the requester's own, a pending one as a withdrawal, or
// another's by those who may.
func (t *tx) revoke(ctx context.Context, u User, id, reason string) error {
	r, err := t.request(ctx, id)
	if err != nil {
		return err
	}
	own := r.user == u.ID
	if !own && !u.Is(RoleAdmin, RoleOperator) {
		rule, err := t.rule(ctx, r.level)
		if err != nil {
			return err
		}
		if !slices.Contains(rule.Approvers, u.ID) {
			return forbidden("", "you may not revoke this access request")
		}
	}
	status := r.status(t.now)
	switch {
	case status != statePending && status != stateGranted:
		return notPending(status)
	case !own && reason == "":
		return badRequest("ReasonRequired", "revoke_reason", "revoke_reason: say why")
	}
	state := stateRevoked
	if own && status == statePending {
		state = stateWithdrawn
	}
	if err := t.end(ctx, r, state, u.ID, reason); err != nil {
		return err
	}
	return t.provision(ctx, r.user)
}

// end ends a request, and keeps where its key stood and whose votes were not
// given. What was granted is taken away by provision.
func (t *tx) end(ctx context.Context, r *accessRequest, state, by, reason string) error {
	if r.state == stateGranted {
		p, err := t.provisioned(ctx, r)
		if err != nil {
			return err
		}
		r.outcome = &p
	} else {
		waited, err := t.waitedFor(ctx, r)
		if err != nil {
			return err
		}
		if err := t.exec(ctx, "UPDATE access_requests SET outstanding = $1 WHERE id = $2", waited, r.id); err != nil {
			return err
		}
	}
	at := t.now
	if state == stateExpired { // it was over then, not when that was noticed
		if at = r.deadline; r.state == stateGranted {
			at = r.expires
		}
	}
	const set = `UPDATE access_requests SET state = $1, updated_at = $2, ended_at = $2, ended_by = $3, ended_reason = $4, outcome = $5, fault = ''
		WHERE id = $6`
	if err := t.exec(ctx, set, state, at.UnixMicro(), by, reason, jsonOrEmpty(r.outcome), r.id); err != nil {
		return fmt.Errorf("write end of request: %w", err)
	}
	r.state = state
	return nil
}
