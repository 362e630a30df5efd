package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"postern/access"
)

// ErrUnreachable is a daemon that can't be reached on its socket, or that went
// away while it answered.
var ErrUnreachable = errors.New("the daemon can't be reached")

// Bounds on what a daemon's answer may take, in bytes.
const (
	maxAnswer = 16 << 20
	maxLine   = 1 << 20
)

// Client talks to a daemon over its unix socket. What the daemon refuses is an
// *Error; what never reached it is ErrUnreachable.
type Client struct {
	http *http.Client
}

// NewClient makes a client for the socket at path. It connects with each call.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err := CheckSocketPath(path); err != nil {
				return nil, err
			}
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // nothing to close at the end
	}}}
}

// Status is the panel as it is now.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &st)
	return st, err
}

// Doors are the panel's doors as they are now.
func (c *Client) Doors(ctx context.Context) ([]Door, error) {
	var l doorList
	err := c.call(ctx, http.MethodGet, "/v1/doors", nil, &l)
	return l.Doors, err
}

// Events gives at most limit (1 to MaxLimit) journal entries with a sequence
// number below before, newest first; before 0 is from the newest.
func (c *Client) Events(ctx context.Context, before uint64, limit int) ([]Event, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if before > 0 {
		q.Set("before", strconv.FormatUint(before, 10))
	}
	var l eventList
	err := c.call(ctx, http.MethodGet, "/v1/events?"+q.Encode(), nil, &l)
	return l.Events, err
}

// Keys gives at most limit (1 to MaxLimit) keys with an id above after,
// ascending; the zero id is from the first.
func (c *Client) Keys(ctx context.Context, after access.ID, limit int) ([]Key, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if !after.IsZero() {
		q.Set("after", after.String())
	}
	var l keyList
	err := c.call(ctx, http.MethodGet, "/v1/keys?"+q.Encode(), nil, &l)
	return l.Keys, err
}

// Key gives one key; an id that the panel doesn't have is ErrNotFound.
func (c *Client) Key(ctx context.Context, id access.ID) (Key, error) {
	var k Key
	err := c.call(ctx, http.MethodGet, "/v1/keys/"+id.String(), nil, &k)
	return k, err
}

// Unlock releases a door once: ErrNotFound, or ErrRefused when its mode holds
// every grant back.
func (c *Client) Unlock(ctx context.Context, door string) error {
	return c.call(ctx, http.MethodPost, "/v1/doors/"+url.PathEscape(door)+"/unlock", nil, nil)
}

// Identify shows "identify" at a reader's lamp and beeper for a few seconds, or
// is ErrNotFound.
func (c *Client) Identify(ctx context.Context, reader string) error {
	return c.call(ctx, http.MethodPost, "/v1/readers/"+url.PathEscape(reader)+"/identify", nil, nil)
}

// SetOutput turns an auxiliary output on or off, or is ErrNotFound.
func (c *Client) SetOutput(ctx context.Context, id string, on bool) error {
	return c.call(ctx, http.MethodPost, "/v1/outputs/"+url.PathEscape(id), map[string]bool{"on": on}, nil)
}

// Badge presents a card to a simulated reader, by its identification or as raw
// bits, one of the two, and gives the bits that went over the line.
func (c *Client) Badge(ctx context.Context, reader, identification, bits string) (sent string, err error) {
	in := map[string]string{"reader": reader}
	if identification != "" {
		in["identification"] = identification
	}
	if bits != "" {
		in["bits"] = bits
	}
	var out sentBits
	err = c.call(ctx, http.MethodPost, "/v1/sim/badge", in, &out)
	return out.Sent, err
}

// PressKeys presses keys (0-9, * and #) on a simulated reader's keypad.
func (c *Client) PressKeys(ctx context.Context, reader, keys string) error {
	return c.call(ctx, http.MethodPost, "/v1/sim/keys", map[string]string{"reader": reader, "keys": keys}, nil)
}

// Contact opens or closes a simulated door.
func (c *Client) Contact(ctx context.Context, door string, open bool) error {
	return c.call(ctx, http.MethodPost, "/v1/sim/contact", map[string]any{"door": door, "open": open}, nil)
}

// REX presses a simulated door's exit button once.
func (c *Client) REX(ctx context.Context, door string) error {
	return c.call(ctx, http.MethodPost, "/v1/sim/rex", map[string]string{"door": door}, nil)
}

// Tamper opens or closes a simulated reader's tamper contact: open is tampered
// with.
func (c *Client) Tamper(ctx context.Context, reader string, open bool) error {
	return c.call(ctx, http.MethodPost, "/v1/sim/tamper", map[string]any{"reader": reader, "open": open}, nil)
}

// Input makes a simulated auxiliary input active, or puts it at rest.
func (c *Client) Input(ctx context.Context, id string, active bool) error {
	return c.call(ctx, http.MethodPost, "/v1/sim/input", map[string]any{"input": id, "active": active}, nil)
}

// Watch gives what happens, from when it returns until the caller stops or ctx
// ends, which ends it without an error. A daemon that ends the stream is
// ErrUnreachable. The sequence can be ranged over once, and must be.
func (c *Client) Watch(ctx context.Context) (iter.Seq2[Message, error], error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/watch", nil)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	// The first line is empty and says that from here on nothing is missed.
	if !lines.Scan() {
		_ = resp.Body.Close()
		return nil, streamEnd(ctx, lines.Err())
	}
	return func(yield func(Message, error) bool) {
		defer resp.Body.Close()
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue
			}
			var m Message
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				yield(Message{}, fmt.Errorf("watch: %w", err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := streamEnd(ctx, lines.Err()); ctx.Err() == nil {
			yield(Message{}, err)
		}
	}, nil
}

func streamEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errors.New("it ended the stream")
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// do gives a response of the 2xx kind, or an error.
func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://posternd"+path, body)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if outer, ok := errors.AsType[*url.Error](err); ok { // its URL is made up
			err = outer.Err
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e struct {
		Error Error `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&e); err != nil || e.Error.Message == "" {
		e.Error = Error{Code: "Unknown", Message: "the daemon answered " + resp.Status + "; is this another program's socket?"}
	}
	e.Error.Status = resp.StatusCode
	return nil, &e.Error
}
