package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern/access"
)

// SetMode orders a mode at a door, AllDoors for every door; see Rules.
func (c *Client) SetMode(ctx context.Context, door string, o ModeOrder) error {
	in := map[string]string{"mode": o.Mode}
	setTime(in, "until", o.Until)
	return c.call(ctx, http.MethodPost, "/v1/doors/"+url.PathEscape(door)+"/mode", in, nil)
}

// Explain answers what would come of a card or a code, and why; see Rules.
func (c *Client) Explain(ctx context.Context, q Question) (Explanation, error) {
	in := map[string]string{"reader": q.Reader}
	setText(in, "identification", q.Identification)
	setText(in, "code", q.Code)
	setText(in, "pin", q.PIN)
	setTime(in, "at", q.At)
	var e Explanation
	err := c.call(ctx, http.MethodPost, "/v1/explain", in, &e)
	return e, err
}

// Trace is how the decision behind a journal entry came about; or ErrNotFound.
func (c *Client) Trace(ctx context.Context, seq uint64) (Trace, error) {
	var t Trace
	err := c.call(ctx, http.MethodGet, "/v1/events/"+strconv.FormatUint(seq, 10)+"/trace", nil, &t)
	return t, err
}

// Policy says which policy is in force.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	var p Policy
	err := c.call(ctx, http.MethodGet, "/v1/policy", nil, &p)
	return p, err
}

// PolicyDocument is the policy in force, as central sends one.
func (c *Client) PolicyDocument(ctx context.Context) (json.RawMessage, error) {
	var doc json.RawMessage
	err := c.call(ctx, http.MethodGet, "/v1/policy/document", nil, &doc)
	return doc, err
}

// Inside is who is in an area or, for "", in each; or ErrNotFound.
func (c *Client) Inside(ctx context.Context, area string) ([]Area, error) {
	path := "/v1/inside"
	if area != "" {
		path += "?" + url.Values{"area": {area}}.Encode()
	}
	var l areaList
	err := c.call(ctx, http.MethodGet, path, nil, &l)
	return l.Areas, err
}

// Forgive has anti-passback forget where a person is, everybody for the zero id.
func (c *Client) Forgive(ctx context.Context, person access.ID) (int, error) {
	in := map[string]any{"all": true}
	if !person.IsZero() {
		in = map[string]any{"person": person}
	}
	var out forgiven
	err := c.call(ctx, http.MethodPost, "/v1/forgive", in, &out)
	return out.Forgiven, err
}

// LocalKeys are the keys that are kept at the panel alone.
func (c *Client) LocalKeys(ctx context.Context) ([]Key, error) {
	var l keyList
	err := c.call(ctx, http.MethodGet, "/v1/local-keys", nil, &l)
	return l.Keys, err
}

// AddLocal adds a key that is kept at the panel alone; see LocalKeys.
func (c *Client) AddLocal(ctx context.Context, k NewKey) (Key, error) {
	text := map[string]string{}
	setText(text, "identification", k.Identification)
	setText(text, "code", k.Code)
	setText(text, "pin", k.PIN)
	setTime(text, "valid_from", k.ValidFrom)
	setTime(text, "valid_to", k.ValidTo)
	in := map[string]any{"access_levels": k.Levels}
	for name, v := range text {
		in[name] = v
	}
	var out Key
	err := c.call(ctx, http.MethodPost, "/v1/local-keys", in, &out)
	return out, err
}

// RemoveLocal removes a key that is kept at the panel alone; or ErrNotFound.
func (c *Client) RemoveLocal(ctx context.Context, id access.ID) error {
	return c.call(ctx, http.MethodDelete, "/v1/local-keys/"+id.String(), nil, nil)
}

func setText(in map[string]string, name, v string) {
	if v != "" {
		in[name] = v
	}
}

func setTime(in map[string]string, name string, t time.Time) {
	if !t.IsZero() {
		in[name] = t.Format(time.RFC3339)
	}
}
