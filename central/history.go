package central

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern/wire"
)

// PolicyVersion is one of a panel's policies that were applied here.
type PolicyVersion struct {
	wire.Version
	Created time.Time       `json:"created_at"`
	Policy  json.RawMessage `json:"policy,omitempty"` // only when one version is read
}

// PolicyHistory lists the versions of a panel's policy that are kept, the newest
// first: the last hundred. It gives ErrNotFound for an unknown panel. Who applied
// which is in the audit trail.
func (s *Store) PolicyHistory(ctx context.Context, systemID string) ([]PolicyVersion, error) {
	var out []PolicyVersion
	err := s.view(ctx, func(t *tx) error {
		if _, err := t.documentState(ctx, systemID, policyDocument); err != nil {
			return err
		}
		var err error
		out, err = all(ctx, t, func(scan func(...any) error) (v PolicyVersion, err error) {
			var created int64
			err = scan(&v.Epoch, &v.Revision, &created)
			v.Created = fromMicros0(created)
			return v, err
		}, "SELECT epoch, revision, created_at FROM documents WHERE system_id = $1 AND kind = $2 ORDER BY epoch DESC, revision DESC", systemID, policyDocument.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read history of policy: %w", err)
	}
	return out, nil
}

// PolicyAt gives one version of a panel's policy. It gives ErrNotFound for an
// unknown panel, and for a version that there never was or that is forgotten.
func (s *Store) PolicyAt(ctx context.Context, systemID string, v wire.Version) (PolicyVersion, error) {
	out := PolicyVersion{Version: v}
	err := s.view(ctx, func(t *tx) error {
		var sealed []byte
		var created int64
		const query = "SELECT body, created_at FROM documents WHERE system_id = $1 AND kind = $2 AND epoch = $3 AND revision = $4"
		err := t.QueryRowContext(ctx, query, systemID, policyDocument.String(), int64(v.Epoch), int64(v.Revision)).Scan(&sealed, &created)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("version %d/%d of the policy of panel %.64q: %w", v.Epoch, v.Revision, systemID, ErrNotFound)
		}
		if err != nil {
			return err
		}
		out.Created = fromMicros0(created)
		out.Policy, err = t.s.seal.open(documentPlace(systemID, policyDocument, v), sealed)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("read policy: %w", err)
	}
	return out, nil
}

// ParseVersion reads epoch and revision with a separator between, such as 4/17.
func ParseVersion(text, separator string) (wire.Version, error) {
	epoch, revision, ok := strings.Cut(text, separator)
	e, err1 := strconv.ParseUint(epoch, 10, 63)
	r, err2 := strconv.ParseUint(revision, 10, 63)
	if !ok || err1 != nil || err2 != nil {
		return wire.Version{}, fmt.Errorf("%.40q is no version (want EPOCH%sREVISION)", text, separator)
	}
	return wire.Version{Epoch: e, Revision: r}, nil
}

type policyHistoryAnswer struct {
	Versions []PolicyVersion `json:"versions"`
}

func (a *API) policyHistory(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	versions, err := a.store.PolicyHistory(ctx, system)
	if err != nil {
		return nil, missing(err, "system_id", "panel")
	}
	return policyHistoryAnswer{append([]PolicyVersion{}, versions...)}, nil
}

// policyAt answers one version, named as in an ETag.
func (a *API) policyAt(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	v, err := ParseVersion(r.PathValue("version"), "-")
	if err != nil {
		return nil, notFound("version", "version of the policy")
	}
	p, err := a.store.PolicyAt(ctx, system, v)
	if err != nil {
		return nil, missing(err, "version", "panel, or version of its policy")
	}
	return p, nil
}
