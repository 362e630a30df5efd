package central

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"postern/access"
)

// addAnswer repeats a key as it is now, without its PIN. A code is in it: the
// caller has no other way to learn one that was made here.
type addAnswer struct {
	ID        access.ID   `json:"id"`
	Key       keyRef      `json:"key"`
	ValidFrom *string     `json:"valid_from_date"`
	ValidTo   *string     `json:"valid_to_date"`
	State     string      `json:"state"`
	Levels    []access.ID `json:"access_levels"`
	Person    personRef   `json:"person"`
}

type keyRef struct {
	Identification string `json:"identification"`
	Type           string `json:"type"`
}

func answerOf(k *key) addAnswer {
	return addAnswer{
		ID: k.ID, Key: keyRef{k.Identification.Canonical(), string(k.Type)},
		ValidFrom: dateOf(k.ValidFrom), ValidTo: dateOf(k.ValidTo), State: k.State.String(),
		Levels: append([]access.ID{}, k.Levels...), Person: personRef{k.person.id, k.person.first, k.person.last},
	}
}

func dateOf(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := rfc3339(t)
	return &text
}

func (a *API) add(ctx context.Context, c *caller, r *http.Request, body []byte) (any, error) {
	req, err := decode[addRequest](body)
	if err != nil {
		return nil, err
	}
	ch, err := req.check()
	if err != nil {
		return nil, err
	}
	token := r.Header.Get("Idempotency-Key")
	if err := checkToken(token); err != nil {
		return nil, err
	}
	var out json.RawMessage
	err = a.store.update(ctx, func(t *tx) error {
		out, err = t.once(ctx, c, token, body, func() (any, error) {
			k, err := t.addKey(ctx, c, ch)
			if err != nil {
				return nil, err
			}
			about(ctx, "access key "+k.ID.String())
			return answerOf(k), nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("add access key: %w", err)
	}
	a.wake()
	return out, nil
}

func (a *API) remove(ctx context.Context, c *caller, _ *http.Request, body []byte) (any, error) {
	req, err := decode[removeRequest](body)
	if err != nil {
		return nil, err
	}
	id, ident, err := req.check()
	if err != nil {
		return nil, err
	}
	if err := a.store.update(ctx, func(t *tx) error { return t.removeKey(ctx, c, id, ident) }); err != nil {
		return nil, fmt.Errorf("remove access key: %w", err)
	}
	a.wake()
	return nil, nil
}

func (a *API) status(ctx context.Context, c *caller, _ *http.Request, body []byte) (any, error) {
	req, err := decode[statusRequest](body)
	if err != nil {
		return nil, err
	}
	if !req.ID.Has() {
		return nil, badRequest("InvalidId", "id", "id is required")
	}
	id, err := readID(req.ID.Value, "id")
	if err != nil {
		return nil, err
	}
	var out *statusAnswer
	err = a.store.view(ctx, func(t *tx) error {
		out, err = t.keyStatus(ctx, c, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	return out, nil
}

type levelAnswer struct {
	ID       access.ID `json:"id"`
	Name     string    `json:"name"`
	SystemID string    `json:"system_id"`
}

func (a *API) levels(ctx context.Context, c *caller, _ *http.Request, body []byte) (any, error) {
	if _, err := decode[struct{}](body); err != nil {
		return nil, err
	}
	levels, err := a.store.Levels(ctx)
	if err != nil {
		return nil, fmt.Errorf("list access levels: %w", err)
	}
	out := []levelAnswer{}
	for _, l := range levels {
		if l.Owned && c.sees(l.SystemID) {
			out = append(out, levelAnswer{l.ID, l.Name, l.SystemID})
		}
	}
	return map[string][]levelAnswer{"levels": out}, nil
}

func (a *API) events(ctx context.Context, c *caller, _ *http.Request, body []byte) (any, error) {
	req, err := decode[eventsRequest](body)
	if err != nil {
		return nil, err
	}
	filter, limit, err := req.check(a.store.now())
	if err != nil {
		return nil, err
	}
	var out *eventsAnswer
	err = a.store.view(ctx, func(t *tx) error {
		out, err = t.listEvents(ctx, c, filter, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return out, nil
}
