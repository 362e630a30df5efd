package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"postern/access"
)

// Client speaks to central's HTTP API. It tries again for as long as central
// does not answer, or can't: a request either had its effect once, or ctx ended.
type Client struct {
	base, key string
	http      *http.Client
}

func newClient(addr, key string) *Client {
	return &Client{"http://" + addr, key, &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16},
	}}
}

// Key is a key as it is added or changed; what is not set stays away from the
// request.
type Key struct {
	ID        access.ID  `json:"id,omitzero"`
	Key       *Ident     `json:"key,omitempty"`
	PIN       string     `json:"pin,omitempty"`
	ValidFrom *time.Time `json:"valid_from_date,omitempty"`
	ValidTo   *time.Time `json:"valid_to_date,omitempty"`
	Levels    []string   `json:"access_levels,omitempty"`
	State     string     `json:"state,omitempty"`
}

// Ident is what a key is known by.
type Ident struct {
	Identification string `json:"identification"`
	Type           string `json:"type"`
}

// retryPause is between two attempts.
const retryPause = 50 * time.Millisecond

// refusedError is an answer that trying again would not change.
type refusedError struct {
	path, status string
	body         []byte
}

func (e *refusedError) Error() string { return fmt.Sprintf("%s: %s: %s", e.path, e.status, e.body) }

func (c *Client) post(ctx context.Context, path, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for {
		err := c.once(ctx, path, token, body, out)
		if refused, ok := errors.AsType[*refusedError](err); ok || err == nil {
			if refused != nil {
				return refused
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		case <-time.After(retryPause):
		}
	}
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

func (c *Client) once(ctx context.Context, path, token string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Idempotency-Key", token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s: %s: %.200s", path, resp.Status, text)
	case resp.StatusCode/100 != 2:
		return &refusedError{path, resp.Status, text}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Add adds or changes a key, once however often it has to be tried: token names
// the request.
func (c *Client) Add(ctx context.Context, token string, k Key) (access.ID, error) {
	var out struct{ ID access.ID }
	err := c.post(ctx, "/v1/accesskeys/add", token, k, &out)
	return out.ID, err
}

// Remove removes a key.
func (c *Client) Remove(ctx context.Context, id access.ID) error {
	return c.post(ctx, "/v1/accesskeys/remove", "", map[string]access.ID{"id": id}, nil)
}

// Status is where a key's latest change stands.
type Status struct {
	Status  string
	Applied []struct {
		SystemID string `json:"system_id"`
	} `json:"systems_where_applied"`
	Pending []struct {
		SystemID string `json:"system_id"`
	} `json:"systems_where_pending"`
	Failed []struct {
		SystemID  string `json:"system_id"`
		ErrorType string `json:"error_type"`
	} `json:"systems_where_failed"`
}

// Status asks for a key's.
func (c *Client) Status(ctx context.Context, id access.ID) (s Status, err error) {
	return s, c.post(ctx, "/v1/accesskeys/status", "", map[string]access.ID{"id": id}, &s)
}

// Levels is how many access levels central knows.
func (c *Client) Levels(ctx context.Context) (int, error) {
	var out struct{ Levels []struct{ ID string } }
	err := c.post(ctx, "/v1/accesslevels/list", "", struct{}{}, &out)
	return len(out.Levels), err
}

// Event is an event as central lists it.
type Event struct {
	Time        time.Time        `json:"event_time"`
	Sequence    int64            `json:"sequence_id"`
	Type        access.EventType `json:"type"`
	SystemID    string           `json:"system_id"`
	AccessPoint string           `json:"access_point"`
	KeyID       *access.ID       `json:"key_id"`
	Subject     *string          `json:"subject"`
	Detail      string           `json:"detail"`
}

// Events lists all events, oldest first, page by page.
func (c *Client) Events(ctx context.Context) (all []Event, err error) {
	in := map[string]any{"include_system": true, "include_access_granted": true, "include_access_denied": true}
	for {
		var page struct {
			Events       []Event
			HasMore      bool   `json:"has_more"`
			Continuation string `json:"continuation_key"`
		}
		if err := c.post(ctx, "/v1/events/list", "", in, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if !page.HasMore {
			return all, nil
		}
		in = map[string]any{"continuation_key": page.Continuation}
	}
}
