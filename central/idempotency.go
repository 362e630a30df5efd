package central

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// keepAnswers is how long a repeated request gets the first one's answer.
const keepAnswers = 24 * time.Hour

// checkToken says what is wrong with an Idempotency-Key, nil for none or a
// good one.
func checkToken(token string) error {
	if len(token) > 255 || strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return badRequest("InvalidIdempotencyKey", "", "Idempotency-Key: want 1 to 255 visible ASCII characters")
	}
	return nil
}

// once runs fn unless the integration has sent the same token with the same
// body before; then it gives that answer again. Only what succeeded is kept: a
// refused request changed nothing and may be tried again.
func (t *tx) once(ctx context.Context, c *caller, token string, body []byte, fn func() (any, error)) (json.RawMessage, error) {
	place := "answer/" + c.integration + "/" + token
	// A body may hold a PIN, which a plain hash would let be guessed.
	hash := t.s.seal.hash("body", string(body))
	if token != "" {
		answer, err := t.answered(ctx, c, token, place, hash)
		if answer != nil || err != nil {
			return answer, err
		}
	}
	v, err := fn()
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	if token == "" {
		return answer, nil
	}
	const keep = `INSERT INTO idempotency (integration_id, token, body, response, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (integration_id, token) DO UPDATE SET body = excluded.body, response = excluded.response, created_at = excluded.created_at`
	if err := t.exec(ctx, keep, c.integration, token, hash, t.s.seal.seal(place, answer), t.now.UnixMicro()); err != nil {
		return nil, fmt.Errorf("keep answer: %w", err)
	}
	return answer, nil
}

func (t *tx) answered(ctx context.Context, c *caller, token, place, hash string) (json.RawMessage, error) {
	var body string
	var sealed []byte
	err := t.QueryRowContext(ctx, "SELECT body, response FROM idempotency WHERE integration_id = $1 AND token = $2 AND created_at > $3",
		c.integration, token, t.now.Add(-keepAnswers).UnixMicro()).Scan(&body, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read kept answer: %w", err)
	case body != hash:
		return nil, problem(http.StatusConflict, "IdempotencyKeyReused", "", "this Idempotency-Key was used with another body in the last 24 hours")
	}
	answer, err := t.s.seal.open(place, sealed)
	if err != nil {
		return nil, fmt.Errorf("open kept answer: %w", err)
	}
	return answer, nil
}
