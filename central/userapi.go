package central

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"postern/access"
)

// sayError is the dialect of the access keys API.
func sayError(w http.ResponseWriter, p *Problem) {
	answer(w, p.Status, map[string]*Problem{"error": p})
}

func (a *API) routeUsers() {
	route := func(path string, methods map[string]userHandler) {
		a.routeUser(path, sayError, methods)
	}
	route("/v1/users", map[string]userHandler{"GET": a.listUsers, "POST": a.addUser})
	route("/v1/users/me", map[string]userHandler{"GET": a.me})
	route("/v1/users/me/codes", map[string]userHandler{"GET": a.myCodes})
	route("/v1/users/{id}", map[string]userHandler{"GET": a.getUser, "POST": a.changeUser, "DELETE": a.removeUser})
	route("/v1/users/{id}/tokens", map[string]userHandler{"GET": a.listTokens, "POST": a.createToken})
	route("/v1/users/{id}/tokens/{token}", map[string]userHandler{"DELETE": a.revokeToken})
	route("/v1/levels/{id}/approvers", map[string]userHandler{"GET": a.getApprovers, "PUT": a.setApprovers})
	route("/v1/levels/exclusions", map[string]userHandler{"GET": a.listExclusions, "POST": a.addExclusion, "DELETE": a.removeExclusion})
}

// parseQuery reads a URL's parameters; what is no UTF-8 or has a NUL can't be
// looked up anywhere.
func parseQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("InvalidParameter", "", "the query of the URL can't be read")
	}
	for name, all := range values {
		for _, v := range append(all, name) {
			if !utf8.ValidString(v) || checkText(v, 1<<16) != nil && v != "" {
				return nil, badRequest("InvalidParameter", "", "a parameter of the URL is not plain UTF-8 text")
			}
		}
	}
	return values, nil
}

func (u *actor) must(roles ...string) error {
	if !u.Is(roles...) {
		return forbidden("", "this needs a token of %s", roles[0])
	}
	return nil
}

// pathID is the uuid in a path; one that can't be is not there.
func pathID(r *http.Request, name, what string) (string, error) {
	id, err := access.ParseID(r.PathValue(name))
	if err != nil || id.IsZero() {
		return "", notFound(name, what)
	}
	return id.String(), nil
}

func (a *API) listUsers(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin, RoleAuditor); err != nil {
		return nil, err
	}
	if _, err := query(r); err != nil {
		return nil, err
	}
	users, err := a.store.Users(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return map[string][]User{"users": append([]User{}, users...)}, nil
}

type userRequest struct {
	Name   optional[string]   `json:"name"`
	Domain optional[string]   `json:"domain"`
	Roles  optional[[]string] `json:"roles"`
	Card   optional[string]   `json:"card"`
}

func (a *API) addUser(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, body []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	req, err := decode[userRequest](body)
	if err != nil {
		return nil, err
	}
	made, err := a.store.AddUser(ctx, UserSpec{Name: req.Name.Value, Domain: req.Domain.Value, Roles: req.Roles.Value, Card: req.Card.Value})
	if err != nil {
		return nil, err
	}
	a.log.Info("user added", "by", u.ID, "user", made.ID)
	return made, nil
}

func (a *API) me(_ context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, _ []byte) (any, error) {
	return u.User, nil
}

// code is what opens for a user without a card.
type codeAnswer struct {
	Code      string  `json:"code"`
	ValidFrom *string `json:"valid_from_date"`
	ValidTo   *string `json:"valid_to_date"`
}

func (a *API) myCodes(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, _ []byte) (any, error) {
	out := []codeAnswer{}
	err := a.store.view(ctx, func(t *tx) error {
		fresh, err := t.user(ctx, u.ID)
		if err != nil || fresh.key == "" {
			return err
		}
		k, err := t.key(ctx, fresh.key)
		if err == nil && k.removed.IsZero() && k.Type == access.Code {
			out = append(out, codeAnswer{k.Identification.Canonical(), dateOf(k.ValidFrom), dateOf(k.ValidTo)})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read code: %w", err)
	}
	return map[string][]codeAnswer{"codes": out}, nil
}

func (a *API) getUser(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	if id != u.ID {
		if err := u.must(RoleAdmin, RoleAuditor); err != nil {
			return nil, err
		}
	}
	var found User
	err = a.store.view(ctx, func(t *tx) error {
		found, err = t.user(ctx, id)
		return err
	})
	return found, err
}

func (a *API) changeUser(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	req, err := decode[userRequest](body)
	if err != nil {
		return nil, err
	}
	if req.Name.Set || req.Domain.Set {
		return nil, badRequest("InvalidField", "name", "name and domain can't be changed")
	}
	var ch UserChange
	if req.Roles.Set {
		ch.Roles = &req.Roles.Value
	}
	if req.Card.Set {
		ch.Card = &req.Card.Value
	}
	changed, err := a.store.ChangeUser(ctx, id, ch)
	if err != nil {
		return nil, err
	}
	a.log.Info("user changed", "by", u.ID, "user", id)
	a.wake()
	return changed, nil
}

func (a *API) removeUser(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	if err := a.store.RemoveUser(ctx, id); err != nil {
		return nil, err
	}
	a.log.Info("user removed", "by", u.ID, "user", id)
	a.wake()
	return nil, nil
}

func (a *API) listTokens(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	tokens, err := a.store.Tokens(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return map[string][]Token{"tokens": append([]Token{}, tokens...)}, nil
}

type tokenRequest struct {
	Expires optional[string] `json:"expires_at"`
}

func (a *API) createToken(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	req, err := decode[tokenRequest](body)
	if err != nil {
		return nil, err
	}
	expires, err := readDate(req.Expires, "expires_at")
	if err != nil {
		return nil, err
	}
	made, err := a.store.CreateToken(ctx, id, expires.Value)
	if err != nil {
		return nil, err
	}
	a.log.Info("token created", "by", u.ID, "user", id, "token", made.ID)
	return made, nil
}

func (a *API) revokeToken(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "user")
	if err != nil {
		return nil, err
	}
	token, err := pathID(r, "token", "token")
	if err != nil {
		return nil, err
	}
	if err := a.store.RevokeToken(ctx, id, token); err != nil {
		return nil, err
	}
	a.log.Info("token revoked", "by", u.ID, "user", id, "token", token)
	return nil, nil
}

func (a *API) getApprovers(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin, RoleAuditor); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "access level")
	if err != nil {
		return nil, err
	}
	level, err := access.ParseID(id)
	if err != nil {
		return nil, err
	}
	return a.store.Approvers(ctx, level)
}

type approversRequest struct {
	Approvers     optional[[]string] `json:"approvers"`
	RequiredVotes optional[int]      `json:"required_votes"`
}

func (a *API) setApprovers(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	id, err := pathID(r, "id", "access level")
	if err != nil {
		return nil, err
	}
	req, err := decode[approversRequest](body)
	if err != nil {
		return nil, err
	}
	switch { // an empty body is not meant to take everybody's vote away
	case !req.Approvers.Has():
		return nil, required("approvers")
	case !req.RequiredVotes.Has():
		return nil, required("required_votes")
	}
	rule := LevelRule{RequiredVotes: req.RequiredVotes.Value}
	if rule.LevelID, err = access.ParseID(id); err != nil {
		return nil, err
	}
	for i, text := range req.Approvers.Value {
		user, err := readID(text, fmt.Sprintf("approvers[%d]", i))
		if err != nil {
			return nil, err
		}
		rule.Approvers = append(rule.Approvers, user.String())
	}
	if err := a.store.SetApprovers(ctx, rule); err != nil {
		return nil, err
	}
	a.log.Info("approvers set", "by", u.ID, "level", id, "approvers", len(rule.Approvers), "votes", rule.RequiredVotes)
	return a.store.Approvers(ctx, rule.LevelID)
}

func (a *API) listExclusions(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin, RoleAuditor); err != nil {
		return nil, err
	}
	found, err := a.store.Exclusions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list exclusions: %w", err)
	}
	return map[string][]Exclusion{"exclusions": append([]Exclusion{}, found...)}, nil
}

type exclusionRequest struct {
	Left  string           `json:"left"`
	Right string           `json:"right"`
	Name  optional[string] `json:"name"`
}

func (a *API) addExclusion(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, body []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	req, err := decode[exclusionRequest](body)
	if err != nil {
		return nil, err
	}
	left, err := readID(req.Left, "left")
	if err != nil {
		return nil, err
	}
	right, err := readID(req.Right, "right")
	if err != nil {
		return nil, err
	}
	x, err := a.store.AddExclusion(ctx, left, right, req.Name.Value)
	if err != nil {
		return nil, err
	}
	a.log.Info("exclusion added", "by", u.ID, "left", x.Left, "right", x.Right)
	return x, nil
}

func (a *API) removeExclusion(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := u.must(RoleAdmin); err != nil {
		return nil, err
	}
	params, err := query(r, "left", "right")
	if err != nil {
		return nil, err
	}
	left, err := readID(params["left"], "left")
	if err != nil {
		return nil, err
	}
	right, err := readID(params["right"], "right")
	if err != nil {
		return nil, err
	}
	if err := a.store.RemoveExclusion(ctx, left, right); err != nil {
		return nil, err
	}
	a.log.Info("exclusion removed", "by", u.ID, "left", left, "right", right)
	return nil, nil
}
