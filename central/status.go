package central

import (
	"context"
	"fmt"
	"time"

	"postern/access"
	"postern/wire"
)

type statusRequest struct {
	ID optional[string] `json:"id"`
}

// statusAnswer says where the latest change of a key stands. Its arrays are
// never null.
type statusAnswer struct {
	ID      access.ID       `json:"id"`
	Status  string          `json:"status"`
	Applied []appliedSystem `json:"systems_where_applied"`
	Pending []pendingSystem `json:"systems_where_pending"`
	Failed  []failedSystem  `json:"systems_where_failed"`
}

type appliedSystem struct {
	SystemID  string `json:"system_id"`
	AppliedAt string `json:"applied_at"`
}

type pendingSystem struct {
	SystemID string `json:"system_id"`
}

type failedSystem struct {
	SystemID  string `json:"system_id"`
	ErrorType string `json:"error_type"`
}

// The overall statuses of a key.
const (
	statusNotApplied       = "NotApplied"
	statusFailed           = "Failed"
	statusApplied          = "Applied"
	statusPartiallyApplied = "PartiallyApplied"
	statusPending          = "Pending"
)

// overall is the first that fits, in this order.
func overall(applied, pending, failed int) string {
	switch {
	case applied+pending+failed == 0:
		return statusNotApplied
	case failed > 0:
		return statusFailed
	case pending == 0:
		return statusApplied
	case applied > 0:
		return statusPartiallyApplied
	}
	return statusPending
}

// keyStatus answers for the systems that hold the key or are being told of it,
// and after its removal for those that the removal was sent to.
func (t *tx) keyStatus(ctx context.Context, c *caller, id access.ID) (*statusAnswer, error) {
	k, err := t.ownKey(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if !k.removed.IsZero() && t.now.Sub(k.removed) >= keepRemoved {
		return nil, notFound("id", "access key")
	}
	out := &statusAnswer{ID: id, Applied: []appliedSystem{}, Pending: []pendingSystem{}, Failed: []failedSystem{}}
	_, err = all(ctx, t, func(scan func(...any) error) (struct{}, error) {
		var system, result, errorType string
		var at int64
		if err := scan(&system, &result, &errorType, &at); err != nil {
			return struct{}{}, err
		}
		switch result {
		case wire.ResultApplied:
			out.Applied = append(out.Applied, appliedSystem{system, rfc3339(fromMicros0(at))})
		case wire.ResultFailed:
			out.Failed = append(out.Failed, failedSystem{system, errorType})
		default:
			out.Pending = append(out.Pending, pendingSystem{system})
		}
		return struct{}{}, nil
	}, "SELECT system_id, result, error_type, applied_at FROM panel_keys WHERE key_id = $1 ORDER BY system_id", id.String())
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	out.Status = overall(len(out.Applied), len(out.Pending), len(out.Failed))
	return out, nil
}

// rfc3339 is a time as the HTTP API writes it.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
