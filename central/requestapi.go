package central

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"postern/access"
)

// maxRequestList is the most requests of one answer.
const maxRequestList = 1000

// sayFailure is the dialect of the access requests API.
func sayFailure(w http.ResponseWriter, p *Problem) {
	answer(w, p.Status, map[string]any{"result": "failure", "error": p})
}

func (a *API) routeRequests() {
	route := func(path string, methods map[string]userHandler) {
		a.routeUser(path, sayFailure, methods)
	}
	const base = "/api/v2/access_request"
	route(base, map[string]userHandler{"GET": a.listRequests, "POST": a.createRequest})
	route(base+"/{id}", map[string]userHandler{"GET": a.getRequest})
	route(base+"/{id}/vote", map[string]userHandler{"POST": a.voteRequest})
	route(base+"/{id}/revoke", map[string]userHandler{"POST": a.revokeRequest})
	for name, spec := range objectSpecs() {
		route("/api/v2/objspec/"+name, map[string]userHandler{"GET": func(context.Context, *actor, http.ResponseWriter, *http.Request, []byte) (any, error) {
			return map[string]any{"result": "success", name: spec}, nil
		}})
	}
}

func success() map[string]any { return map[string]any{"result": "success"} }

// visible is the condition under which a request is in a user's lists.
func (u *actor) visible(p *params) string {
	if u.Is(RoleAdmin, RoleOperator, RoleAuditor) {
		return "1 = 1"
	}
	me := p.add(u.ID)
	own := "r.user_id = " + me + " OR EXISTS (SELECT 1 FROM access_request_votes v WHERE v.request_id = r.id AND v.user_id = " + me + ")"
	if u.Is(RoleApprover) {
		own += " OR EXISTS (SELECT 1 FROM level_approvers l WHERE l.level_id = r.level_id AND l.user_id = " + me + ")"
	}
	return "(" + own + ")"
}

func (a *API) listRequests(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	q, err := query(r, "limit", "offset")
	if err != nil {
		return nil, err
	}
	limit, err := number(q, "limit", maxRequestList, maxRequestList)
	if err != nil {
		return nil, err
	}
	offset, err := number(q, "offset", 0, 1<<31-1)
	if err != nil {
		return nil, err
	}
	out := []requestModel{}
	err = a.store.stable(ctx, func(t *tx) error {
		var p params
		rest := "WHERE " + u.visible(&p) + " ORDER BY r.created_at DESC, r.id DESC LIMIT " + p.add(limit) + " OFFSET " + p.add(offset)
		list, err := t.requests(ctx, rest, p...)
		if err != nil {
			return err
		}
		s, err := t.around(ctx, list)
		if err != nil {
			return err
		}
		s.site = a.site
		for _, r := range list {
			out = append(out, s.model(r))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return map[string]any{"result": "success", "access_request": out}, nil
}

func (a *API) getRequest(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	id, err := pathID(r, "id", "access request")
	if err != nil {
		return nil, err
	}
	var out requestModel
	err = a.store.stable(ctx, func(t *tx) error {
		r, err := t.request(ctx, id)
		if err != nil {
			return err
		}
		ok, err := t.seesRequest(ctx, u.User, r)
		if err != nil {
			return err
		}
		if !ok {
			return forbidden("id", "this access request is another user's")
		}
		s, err := t.around(ctx, []*accessRequest{r})
		if err != nil {
			return err
		}
		s.site = a.site
		out = s.model(r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return map[string]any{"result": "success", "access_request": out}, nil
}

type createBody struct {
	AccountID optional[string] `json:"account_id"`
	Type      optional[string] `json:"type"`
	Reason    optional[string] `json:"reason"`
	Interval  optional[int]    `json:"immediate_interval"`
	StartsAt  optional[string] `json:"starts_at"`
	ExpiresAt optional[string] `json:"expires_at"`
}

// check reads every member, so that what is left to go wrong depends on what the
// database holds.
func (b createBody) check() (*accessRequest, error) {
	r := &accessRequest{kind: b.Type.Value, hours: b.Interval.Value}
	var err error
	if !b.AccountID.Has() {
		return nil, required("account_id")
	}
	if r.level, err = readID(b.AccountID.Value, "account_id"); err != nil {
		return nil, err
	}
	if r.reason, err = readReason(b.Reason, "reason", true); err != nil {
		return nil, err
	}
	switch r.kind {
	case immediate:
		switch {
		case !b.Interval.Has():
			return nil, required("immediate_interval")
		case r.hours < 1 || r.hours > maxInterval:
			return nil, badRequest("InvalidInterval", "immediate_interval", "immediate_interval: want 1 to %d hours", maxInterval)
		case b.StartsAt.Has() || b.ExpiresAt.Has():
			return nil, badRequest("InvalidField", "starts_at", "starts_at and expires_at go with type scheduled")
		}
		return r, nil
	case scheduled:
	case "":
		return nil, required("type")
	default:
		return nil, badRequest("InvalidType", "type", "type: unknown (one of immediate, scheduled)")
	}
	if b.Interval.Has() {
		return nil, badRequest("InvalidField", "immediate_interval", "immediate_interval goes with type immediate")
	}
	for _, x := range []struct {
		field string
		from  optional[string]
	}{{"starts_at", b.StartsAt}, {"expires_at", b.ExpiresAt}} {
		if !x.from.Has() {
			return nil, required(x.field)
		}
		at, err := readDate(x.from, x.field)
		if err != nil {
			return nil, err
		}
		if x.field == "starts_at" {
			r.starts = at.Value.UTC()
		} else {
			r.expires = at.Value.UTC()
		}
	}
	if err := access.CheckWindow(r.starts, r.expires); err != nil || !r.starts.Before(r.expires) {
		return nil, badRequest("InvalidDate", "expires_at", "expires_at: must be after starts_at")
	}
	return r, nil
}

func required(field string) *Problem {
	return badRequest("FieldRequired", field, "%s is required", field)
}

// readReason reads a text that people read, in lines.
func readReason(o optional[string], field string, must bool) (string, error) {
	text := strings.TrimSpace(o.Value)
	if text == "" {
		if must {
			return "", required(field)
		}
		return "", nil
	}
	if err := checkText(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(text), maxReason); err != nil {
		return "", badRequest("InvalidReason", field, "%s: %v", field, err)
	}
	return text, nil
}

func (a *API) createRequest(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, body []byte) (any, error) {
	b, err := decode[createBody](body)
	if err != nil {
		return nil, readOnly(err)
	}
	r, err := b.check()
	if err != nil {
		return nil, err
	}
	var made requestModel
	err = a.store.update(ctx, func(t *tx) error {
		if err := t.ask(ctx, u.User, r, a.pending); err != nil {
			return err
		}
		s, err := t.around(ctx, []*accessRequest{r})
		if err != nil {
			return err
		}
		s.site = a.site
		made = s.model(r)
		about(ctx, "access request "+r.id)
		detail(ctx, "for access level %s", r.level)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("create request: %w", err)
	}
	a.log.Info("access requested", "request", r.id, "user", u.ID, "level", r.level, "kind", r.kind)
	return map[string]any{"result": "success", "access_request": made}, nil
}

// readOnly says of a member that is only answered that it can't be given.
func readOnly(err error) error {
	var p *Problem
	if errors.As(err, &p) && p.Code == "UnknownField" {
		if spec, ok := objectSpecs()["access_request"][p.Field]; ok && spec.ReadOnly {
			return badRequest("ReadOnlyField", p.Field, "%s is read-only", p.Field)
		}
	}
	return err
}

type voteBody struct {
	RequestID optional[string] `json:"access_request_id"`
	Accepted  optional[bool]   `json:"accepted"`
	Reason    optional[string] `json:"reason"`
}

func (a *API) voteRequest(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	id, err := pathID(r, "id", "access request")
	if err != nil {
		return nil, err
	}
	b, err := decode[voteBody](body)
	if err != nil {
		return nil, err
	}
	if err := samePath(b.RequestID, id); err != nil {
		return nil, err
	}
	if !b.Accepted.Has() {
		return nil, required("accepted")
	}
	reason, err := readReason(b.Reason, "reason", !b.Accepted.Value)
	if err != nil {
		return nil, err
	}
	err = a.store.update(ctx, func(t *tx) error {
		if err := t.vote(ctx, u.User, id, b.Accepted.Value, reason); err != nil {
			return err
		}
		about(ctx, "access request "+id)
		detail(ctx, "accepted: %v", b.Accepted.Value)
		return nil
	})
	var p *Problem
	if errors.As(err, &p) && p.Code == separated {
		about(ctx, "access request "+id)
		detail(ctx, "refused: %s", separated)
		if err := a.store.update(ctx, func(t *tx) error { return t.noteViolation(ctx, id) }); err != nil {
			return nil, fmt.Errorf("note violation: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("vote: %w", err)
	}
	a.log.Info("access request voted on", "request", id, "by", u.ID, "accepted", b.Accepted.Value)
	a.wake()
	return success(), nil
}

// samePath refuses a body about another request than the path's.
func samePath(o optional[string], id string) error {
	if !o.Has() {
		return nil
	}
	if given, err := readID(o.Value, "access_request_id"); err != nil || given.String() != id {
		return badRequest("InvalidId", "access_request_id", "access_request_id: is not the one in the path")
	}
	return nil
}

type revokeBody struct {
	RequestID optional[string] `json:"access_request_id"`
	Reason    optional[string] `json:"revoke_reason"`
}

func (a *API) revokeRequest(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	id, err := pathID(r, "id", "access request")
	if err != nil {
		return nil, err
	}
	b, err := decode[revokeBody](body)
	if err != nil {
		return nil, err
	}
	if err := samePath(b.RequestID, id); err != nil {
		return nil, err
	}
	reason, err := readReason(b.Reason, "revoke_reason", false)
	if err != nil {
		return nil, err
	}
	err = a.store.update(ctx, func(t *tx) error {
		if err := t.revoke(ctx, u.User, id, reason); err != nil {
			return err
		}
		about(ctx, "access request "+id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("revoke request: %w", err)
	}
	a.log.Info("access request revoked", "request", id, "by", u.ID)
	a.wake()
	return success(), nil
}

// attribute is what an objspec says about one attribute of a model.
type attribute struct {
	Type       string            `json:"type"`
	Values     []any             `json:"values,omitempty"`
	Required   bool              `json:"required,omitempty"`
	RequiredBy map[string]any    `json:"required-by,omitempty"`
	ReadOnly   bool              `json:"readonly,omitempty"`
	Immutable  bool              `json:"immutable,omitempty"`
	Protected  bool              `json:"protected,omitempty"`
	Expensive  bool              `json:"expensive,omitempty"`
	Unique     bool              `json:"unique,omitempty"`
	UniqueWith []string          `json:"unique-with,omitempty"`
	Elements   map[string]string `json:"elements,omitempty"` // of an object-array
}

// objectSpecs are the attributes of the three models.
func objectSpecs() map[string]map[string]attribute {
	costly := func(kind string) attribute { return attribute{Type: kind, ReadOnly: true, Expensive: true} }
	seen := func(kind string) attribute { return attribute{Type: kind, ReadOnly: true} }
	id := attribute{Type: "string", ReadOnly: true, Unique: true}
	var hours []any
	for n := range maxInterval {
		hours = append(hours, n+1)
	}
	listeners, votes := costly("object-array"), costly("object-array")
	listeners.Elements = map[string]string{"id": "string", "mode": "string", "name": "string", "hidden": "boolean", "builtin": "boolean", "protocol": "string"}
	votes.Elements = map[string]string{
		"reason": "string", "user_id": "string", "accepted": "boolean", "user_name": "string", "user_role": "string", "user_domain": "string",
	}
	request := map[string]attribute{
		"id": id, "activated": seen("boolean"),
		"immediate_interval": {Type: "number", Values: hours, RequiredBy: map[string]any{"type": immediate}},
		"starts_at":          {Type: "string", RequiredBy: map[string]any{"type": scheduled}},
		"expires_at":         {Type: "string", RequiredBy: map[string]any{"type": scheduled}},
		"reason":             {Type: "string", Required: true},
		"revoke_reason":      {Type: "string", Required: true},
		"required_votes":     seen("number"),
		"status": {Type: "string", ReadOnly: true, Expensive: true, Values: []any{
			stateExpired, stateGranted, statePending, stateRejected, stateRevoked,
		}},
		"type":      {Type: "string", Required: true, Values: []any{immediate, scheduled}},
		"listeners": listeners, "listener_ids": costly("string-array"), "listener_names": costly("string-array"),
		"user_id": {Type: "string", Required: true, Immutable: true, ReadOnly: true, Expensive: true},
		"votes":   votes, "webclient": costly("boolean"),
		"created_at": seen("string"), "modified_at": seen("string"), "removed": seen("boolean"),
	}
	for _, name := range []string{
		"account_name", "safe_id", "safe_name", "pool_id", "pool_name", "protocol", "server_id", "server_name", "user_domain", "user_name",
	} {
		request[name] = costly("string")
	}
	// It is what a request is for, so it is given once, with the request.
	request["account_id"] = attribute{Type: "string", Required: true, Immutable: true, Expensive: true}
	return map[string]map[string]attribute{
		"access_request": request,
		"access_request_vote": {
			"id":                id,
			"access_request_id": {Type: "string", Required: true, Immutable: true, UniqueWith: []string{"user_id"}},
			"accepted":          {Type: "boolean", Required: true},
			"reason":            {Type: "string", RequiredBy: map[string]any{"accepted": false}},
			"user_id": {
				Type: "string", Required: true, Immutable: true, Protected: true, ReadOnly: true, Expensive: true, UniqueWith: []string{"access_request_id"},
			},
			"created_at": seen("string"), "modified_at": seen("string"), "removed": seen("boolean"),
		},
		"access_request_revoke": {
			"access_request_id": {Type: "string"},
			"revoke_reason":     {Type: "string"},
		},
	}
}
