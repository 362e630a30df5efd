package central

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// actor is the user who sent a request.
type actor struct {
	User
	tokenID string
}

// authenticateUser finds the user of a token; nil when the token is unknown,
// revoked or expired.
func (s *Store) authenticateUser(ctx context.Context, token string) (*actor, error) {
	if !strings.HasPrefix(token, tokenPrefix) || len(token) > 128 {
		return nil, nil
	}
	// The lookup is by hash: its timing tells nothing about a token.
	hash := hashAPIKey(token)
	var a actor
	var stored, user string
	const query = `SELECT k.id, k.hash, k.user_id FROM user_tokens k WHERE k.hash = $1 AND k.revoked_at = 0 AND k.expires_at > $2`
	err := s.read.QueryRowContext(ctx, query, hash, s.now().UnixMicro()).Scan(&a.tokenID, &stored, &user)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up token: %w", err)
	case subtle.ConstantTimeCompare([]byte(stored), []byte(hash)) != 1:
		return nil, nil
	}
	a.User, err = scanUser(s.read.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE id = $1", user).Scan)
	if err != nil {
		return nil, fmt.Errorf("read user of token: %w", err)
	}
	if a.removed {
		return nil, nil
	}
	return &a, nil
}

// dialect is how an API says that a request was not done.
type dialect func(w http.ResponseWriter, p *Problem)

// userHandler does one request of a user and gives what is to be answered, nil
// for nothing. It may set headers.
type userHandler func(ctx context.Context, u *actor, w http.ResponseWriter, r *http.Request, body []byte) (any, error)

// forUser is what the endpoints for users have in common: method, who calls, how
// often, and the body.
func (a *API) forUser(say dialect, methods map[string]userHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := a.handleUser(w, r, methods)
		switch {
		case err != nil:
			say(w, a.problemOf(w, err))
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			answer(w, http.StatusOK, v)
		}
	}
}

func (a *API) handleUser(w http.ResponseWriter, r *http.Request, methods map[string]userHandler) (any, error) {
	h, ok := methods[r.Method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		w.Header().Set("Allow", allowed)
		return nil, problem(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "use %s", allowed)
	}
	token := strings.TrimSpace(r.Header.Get("Authorization"))
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	u, err := a.store.authenticateUser(r.Context(), token)
	if err != nil {
		return nil, err
	}
	if u == nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return nil, problem(http.StatusUnauthorized, "Unauthorized", "",
			"send a valid token as \"Authorization: postern_user_…\"; postern-central users token makes one")
	}
	if rec, ok := w.(*recorder); ok {
		rec.caller = "user " + u.ID
	}
	if wait, ok := a.limit.take(u.tokenID, time.Now()); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return nil, problem(http.StatusTooManyRequests, "TooManyRequests", "", "too many requests with this token")
	}
	if !readsQuery(r) {
		if _, err := query(r); err != nil {
			return nil, err
		}
	}
	var body []byte
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if body, err = readBody(w, r); err != nil {
			return nil, err
		}
	}
	return h(withRequest(r, Actor{ActorUser, u.Name, u.ID}), u, w, r, body)
}

// readsQuery reports whether a user's request may have parameters in its URL,
// which its handler reads.
func readsQuery(r *http.Request) bool {
	return oneOf(r.Method+" "+r.Pattern,
		"GET /api/v2/access_request", "GET /access-request-status", "GET /v3/access-request-status", "GET /v2024/access-request-status",
		"GET /v1/audit", "DELETE /v1/levels/exclusions")
}

// query reads the parameters of a URL: each known, each once.
func query(r *http.Request, known ...string) (map[string]string, error) {
	values, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return nil, badRequest("UnknownParameter", clean(name[:min(len(name), 64)]), "a parameter is not known here (known: %s)",
				cmp.Or(strings.Join(known, ", "), "none"))
		}
		if len(v) != 1 {
			return nil, badRequest("InvalidParameter", name, "%s: is there %d times", name, len(v))
		}
		out[name] = v[0]
	}
	return out, nil
}

// number reads a parameter from 0 to most; without one it is fallback.
func number[T int | int64](params map[string]string, name string, fallback, most T) (T, error) {
	text, ok := params[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > uint64(most) {
		return 0, badRequest("InvalidParameter", name, "%s: want a number from 0 to %d", name, most)
	}
	return T(n), nil
}
